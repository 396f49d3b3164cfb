/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landlock: no path, no TCP port, no signal, no abstract socket, by the
 * kernel's Landlock; as much of that as the running kernel knows.
 */
#ifndef PF_WORKER_LANDLOCK_H
#define PF_WORKER_LANDLOCK_H

#include <stddef.h>

#include <stdint.h>

#include "lib/err.h"

/* As the kernel reads it; older kernels know a prefix. */
struct landlock_rights {
	uint64_t fs, net, scoped;
};

/* All rights of an ABI, 1 or later; what came after the newest one known here
 * is left out. Returns how many bytes of *r that ABI knows. */
size_t landlock_rights(int abi, struct landlock_rights *r);

/* Take them all away, for good. Needs no_new_privs and one free descriptor.
 * 0, ERR_ABSENT (no Landlock in this kernel) or ERR_IO (errno). */
int landlock_enter(void) must_check;

#endif
