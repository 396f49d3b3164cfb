/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap: all memory of a worker, bounded, fail-stop.
 *
 * heap.c replaces malloc and its family in the worker (not in sanitizer
 * builds), on private anonymous mmap only, so that the system call filter can
 * do without brk. heap_lua() is the lua_Alloc of every lane; it needs no
 * header per block, since Lua tells the old size. When the sum passes the
 * limit the process ends with EXIT_WORKER_MEMORY: a script cannot catch it,
 * and Lua's emergency paths never run.
 */
#ifndef PF_WORKER_HEAP_H
#define PF_WORKER_HEAP_H

#include <stddef.h>
#include <stdint.h>

/*
 * Limit in bytes (0: none), and who is told when the use passes a mark
 * upwards: three quarters of the limit, or what heap_soft says; after that at
 * half of what is left, and so on, until the use is clearly below the mark
 * again. Async context: the callback may only set flags or arm a hook.
 */
void heap_setup(size_t limit, void (*on_soft)(void *arg), void *arg);
void heap_soft(size_t soft);

/* Called once, when the limit ends the process: it may write what is ready,
 * and allocate nothing. */
void heap_last_words(void (*say)(void *arg), void *arg);

size_t heap_used(void);
size_t heap_limit(void);

/* lua_Alloc */
void *heap_lua(void *ud, void *p, size_t old, size_t new_);

#endif
