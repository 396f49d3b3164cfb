/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landlock: the rights that the kernel's Landlock knows, by its version.
 */
#ifndef PF_LIB_LANDLOCK_H
#define PF_LIB_LANDLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

/* As the kernel reads it; older kernels know a prefix. */
struct landlock_rights {
	uint64_t fs, net, scoped;
};

/* The running kernel's version, or less than 1: none. */
int landlock_abi(void);

/* All rights of an ABI, 1 or later; what came after the newest one known here
 * is left out. Returns how many bytes of *r that ABI knows. */
size_t landlock_rights(int abi, struct landlock_rights *r);

#endif
