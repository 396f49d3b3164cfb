/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp: rows of policy.h -> a BPF program -> the kernel.
 *
 *   seccomp_begin(&s);
 *   seccomp_allow(&s, policy_rules, n);
 *   seccomp_end(&s);                      what no row allowed, kills
 *
 * The program first checks the architecture and refuses the x32 numbers, so
 * that a number means the same call everywhere.
 */
#ifndef PF_WORKER_SECCOMP_H
#define PF_WORKER_SECCOMP_H

#include <linux/filter.h>

#include "lib/err.h"
#include "worker/policy.h"

enum { SECCOMP_MAX = 512 };

struct seccomp {
	struct sock_filter code[SECCOMP_MAX];
	unsigned short n;
};

void seccomp_begin(struct seccomp *s);
void seccomp_allow(struct seccomp *s, const struct policy_rule *rules,
		   size_t n);
void seccomp_end(struct seccomp *s);

/* Build the policy of this build and bind the process to it, for good. Needs
 * no_new_privs or the capability. 0 or ERR_IO (errno says why). */
int seccomp_load(void) must_check;

#endif
