/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena: blocks whose sizes the caller remembers, counted against the limit of
 * heap.h. All sizes are above 0. Never NULL: past the limit, or when the
 * kernel has no memory, the process ends with EXIT_WORKER_MEMORY.
 * Blocks are aligned to 16 bytes.
 */
#ifndef PF_WORKER_ARENA_H
#define PF_WORKER_ARENA_H

#include <stddef.h>

void *arena_get(size_t size);
void arena_put(void *p, size_t size);
void *arena_resize(void *p, size_t old, size_t size);

#endif
