/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp: the worker's filter, from the rows of policy.h.
 */
#ifndef PF_WORKER_SECCOMP_H
#define PF_WORKER_SECCOMP_H

#include "lib/seccomp.h"
#include "worker/policy.h"

/* Build the policy of this build and bind the process to it, for good. Needs
 * no_new_privs or the capability. 0 or ERR_IO (errno says why). */
int seccomp_load(void) must_check;

#endif
