/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's system call filter: policy.h, and nothing else.
 */
#include "worker/seccomp.h"

int seccomp_load(void)
{
	struct seccomp s;

	seccomp_begin(&s);
	seccomp_allow(&s, policy_rules,
		      sizeof(policy_rules) / sizeof(policy_rules[0]));
#if POLICY_SANITIZED
	seccomp_allow(&s, policy_sanitizer,
		      sizeof(policy_sanitizer) / sizeof(policy_sanitizer[0]));
#endif
	seccomp_end(&s);
	return seccomp_install(&s);
}
