/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C library's malloc, replaced for the worker: the same arena and limit as
 * Lua's memory, and no brk. Each block carries 16 bytes before it. Also the
 * one libc function that Lua calls on its own account (to seed a state) and
 * that is a system call outside the filter in a static program: time().
 */
#include "worker/heap.h"

#include "worker/arena.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct header {
	size_t size;   /* of the whole block, this and what lies before too */
	size_t before; /* bytes of the block in front of the header */
};
_Static_assert(sizeof(struct header) == 16, "blocks keep their alignment");

static struct header *header_of(void *p)
{
	return (struct header *)p - 1;
}

static void *place(char *block, size_t size, size_t before)
{
	struct header *h = (struct header *)(void *)(block + before);

	h->size = size;
	h->before = before;
	return h + 1;
}

/* Not malloc() by name: the compiler makes calloc() of malloc() and memset(),
 * and calloc() below would then call itself. */
static void *get(size_t n)
{
	size_t size;

	if (__builtin_add_overflow(n, sizeof(struct header), &size)) {
		errno = ENOMEM;
		return NULL;
	}
	return place(arena_get(size), size, 0);
}

void *malloc(size_t n)
{
	return get(n);
}

void free(void *p)
{
	if (p)
		arena_put((char *)header_of(p) - header_of(p)->before,
			  header_of(p)->size);
}

void *calloc(size_t n, size_t each)
{
	size_t size;
	void *p;

	if (__builtin_mul_overflow(n, each, &size)) {
		errno = ENOMEM;
		return NULL;
	}
	p = get(size);
	return p ? memset(p, 0, size) : NULL;
}

size_t malloc_usable_size(void *p)
{
	if (!p)
		return 0;
	return header_of(p)->size - header_of(p)->before -
	       sizeof(struct header);
}

void *realloc(void *p, size_t n)
{
	size_t size, old;
	void *q;

	if (!p)
		return malloc(n);
	if (__builtin_add_overflow(n, sizeof(struct header), &size)) {
		errno = ENOMEM;
		return NULL;
	}
	if (header_of(p)->before == 0)
		return place(
			arena_resize(header_of(p), header_of(p)->size, size),
			size, 0);
	old = malloc_usable_size(p);
	q = malloc(n);
	if (q) {
		memcpy(q, p, old < n ? old : n);
		free(p);
	}
	return q;
}

void *aligned_alloc(size_t align, size_t n)
{
	size_t size, before;
	uintptr_t at;
	char *block;

	if (align <= 16)
		return malloc(n);
	if (__builtin_add_overflow(n, align + sizeof(struct header), &size)) {
		errno = ENOMEM;
		return NULL;
	}
	block = arena_get(size);
	at = ((uintptr_t)block + sizeof(struct header) + align - 1) &
	     ~(uintptr_t)(align - 1);
	before = at - sizeof(struct header) - (uintptr_t)block;
	return place(block, size, before);
}

void *memalign(size_t align, size_t n)
{
	return aligned_alloc(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
	*p = aligned_alloc(align, n);
	return *p ? 0 : ENOMEM;
}

void *valloc(size_t n)
{
	return aligned_alloc(4096, n);
}

void *pvalloc(size_t n)
{
	return aligned_alloc(4096, (n + 4095) & ~(size_t)4095);
}

time_t time(time_t *t)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (t)
		*t = now.tv_sec;
	return now.tv_sec;
}
