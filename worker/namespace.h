/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespace: a worker alone on the machine, as far as the kernel can pretend.
 *
 * Each function is one layer of sandbox.c: 0, or ERR_IO with errno. The first
 * gives the capabilities (over the new namespaces only) that the others need;
 * without it they work for root alone. All want one thread and /proc; after
 * namespace_mount there is no /proc any more.
 */
#ifndef PF_WORKER_NAMESPACE_H
#define PF_WORKER_NAMESPACE_H

#include "lib/err.h"

/* An own user namespace with this process's uid and gid in it, as themselves,
 * and no other. Call it after the last change of uid. */
int namespace_user(void) must_check;

int namespace_net(void) must_check; /* no interface is up, not even lo */
int namespace_ipc(void) must_check;
int namespace_uts(void) must_check;

/* An own mount namespace whose root is an empty read-only file system. */
int namespace_mount(void) must_check;

#endif
