/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory behind heap.h: objects up to 8 KiB in spans of 64 KiB, one size
 * class each, larger ones in pages of their own. Nothing has a header per
 * block: the caller tells sizes, and a span is found by masking the address.
 * What counts against the limit is what is mapped for use, so that a script
 * cannot hide memory in half empty spans. One thread only; zeroed memory is a
 * valid start, since malloc (heap.c) runs before main.
 *
 * In sanitizer builds every block is malloc's, and only the sum is kept here.
 */
#include "worker/heap.h"

#include "proto/proto.h"
#include "worker/arena.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
	size_t used, limit;
	size_t mark; /* what heap_soft said */
	size_t soft; /* where on_soft is told next: mark, or half way from
			there to the limit */
	void (*on_soft)(void *arg);
	void *arg;
	void (*last_words)(void *arg);
	void *last_arg;
} heap;

void heap_setup(size_t limit, void (*on_soft)(void *arg), void *arg)
{
	heap.limit = limit;
	heap.on_soft = on_soft;
	heap.arg = arg;
	heap_soft(limit / 4 * 3);
}

void heap_soft(size_t soft)
{
	heap.mark = heap.soft = soft;
}

size_t heap_used(void)
{
	return heap.used;
}

size_t heap_limit(void)
{
	return heap.limit;
}

void heap_last_words(void (*say)(void *arg), void *arg)
{
	heap.last_words = say;
	heap.last_arg = arg;
}

/* The limit: fail-stop. */
static __attribute__((noreturn, cold)) void die(void)
{
	if (heap.last_words)
		heap.last_words(heap.last_arg);
	_exit(EXIT_WORKER_MEMORY);
}

/* n more bytes come into use. */
static void charge(size_t n)
{
	heap.used += n;
	if (heap.limit && heap.used > heap.limit)
		die();
	if (heap.soft && heap.used >= heap.soft && heap.on_soft) {
		heap.soft = heap.used + heap.limit / 64;
		if (heap.limit > heap.used)
			heap.soft += (heap.limit - heap.used) / 2;
		heap.on_soft(heap.arg);
	}
}

/* n bytes went out of use. Clearly below the mark, it counts anew; a heap that
 * stays around it does not tell at each step. */
static void discharge(size_t n)
{
	heap.used -= n;
	if (heap.used + heap.limit / 16 < heap.mark)
		heap.soft = heap.mark;
}

#ifdef PINFOLD_SANITIZE

void *arena_get(size_t size)
{
	charge(size);
	return malloc(size);
}

void arena_put(void *p, size_t size)
{
	discharge(size);
	free(p);
}

void *arena_resize(void *p, size_t old, size_t size)
{
	if (size > old)
		charge(size - old);
	else
		discharge(old - size);
	return realloc(p, size);
}

#else

enum {
	SPAN = 64 << 10,
	SPAN_HEADER = 64,
	CHUNK = 1 << 20, /* mapped at a time, cut into spans */
	POOL_MAX = 32,	 /* free spans kept mapped */
	SMALL_MAX = 8 << 10,
	CLASSES = 36, /* 16 of 16..256, then 4 for each doubling to 8 KiB */
	PAGE = 4096,
	KEPT = 16,	      /* large blocks kept for the next of their size */
	KEPT_MAX = 256 << 10, /* and how large these may be */
};

struct span {
	struct span *next, *prev; /* spans of the class with room; or pool */
	void *free;		  /* objects that came back */
	uint32_t fresh;		  /* offset of the first never used object */
	uint32_t used;
	uint16_t class, size;
	bool listed;
};

static struct span *room[CLASSES]; /* head of the spans with room */
static struct span *pool;
static unsigned pool_n;
static struct {
	void *p;
	size_t size;
} kept[KEPT];
static unsigned kept_at;

static unsigned class_of(size_t size)
{
	size_t s = size - 1;
	unsigned top;

	if (size <= 256)
		return (unsigned)(s >> 4);
	top = 63 - (unsigned)__builtin_clzl(s);
	return 16 + (top - 8) * 4 + (unsigned)(s >> (top - 2) & 3);
}

static size_t class_size(unsigned class)
{
	unsigned top;

	if (class < 16)
		return (class + 1) * 16;
	top = 8 + (class - 16) / 4;
	return (size_t)(4 + (class - 16) % 4 + 1) << (top - 2);
}

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void *map_or_exit(size_t size)
{
	void *p = map(size);

	if (!p)
		die();
	return p;
}

static void pool_push(struct span *span)
{
	span->next = pool;
	pool = span;
	pool_n++;
}

/* A chunk, aligned to spans, cut up into the pool. */
static void pool_fill(void)
{
	char *p = map_or_exit(CHUNK + SPAN);
	size_t head = (SPAN - (uintptr_t)p % SPAN) % SPAN;

	if (head)
		munmap(p, head);
	p += head;
	if (SPAN - head)
		munmap(p + CHUNK, SPAN - head);
	for (size_t at = CHUNK; at > 0; at -= SPAN)
		pool_push((struct span *)(void *)(p + at - SPAN));
}

static void list_span(struct span *span)
{
	struct span *head = room[span->class];

	span->prev = NULL;
	span->next = head;
	if (head)
		head->prev = span;
	room[span->class] = span;
	span->listed = true;
}

static void unlist_span(struct span *span)
{
	if (span->next)
		span->next->prev = span->prev;
	if (span->prev)
		span->prev->next = span->next;
	else
		room[span->class] = span->next;
	span->listed = false;
}

static __attribute__((noinline)) struct span *new_span(unsigned class)
{
	struct span *span;

	charge(SPAN);
	if (!pool)
		pool_fill();
	span = pool;
	pool = span->next;
	pool_n--;
	*span = (struct span){.fresh = SPAN_HEADER, .class = (uint16_t) class};
	span->size = (uint16_t)class_size(class);
	list_span(span);
	return span;
}

static void free_span(struct span *span)
{
	unlist_span(span);
	discharge(SPAN);
	if (pool_n < POOL_MAX)
		pool_push(span);
	else
		munmap(span, SPAN);
}

static void *small_get(size_t size)
{
	unsigned class = class_of(size);
	struct span *span = room[class];
	void *p;

	if (!span)
		span = new_span(class);
	p = span->free;
	if (p) {
		memcpy(&span->free, p, sizeof(span->free));
	} else {
		p = (char *)span + span->fresh;
		span->fresh += span->size;
	}
	span->used++;
	if (!span->free && span->fresh + span->size > SPAN)
		unlist_span(span);
	return p;
}

static void small_put(void *p)
{
	struct span *span = (void *)((uintptr_t)p & ~(uintptr_t)(SPAN - 1));

	memcpy(p, &span->free, sizeof(span->free));
	span->free = p;
	if (!span->listed)
		list_span(span);
	/* The last span of a class stays, lest it come and go. */
	if (--span->used == 0 && (span->next || span->prev))
		free_span(span);
}

static size_t whole_pages(size_t size)
{
	return (size + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static void *large_get(size_t size)
{
	if (size > (size_t)1 << 46)
		die();
	size = whole_pages(size);
	charge(size);
	for (unsigned i = 0; size <= KEPT_MAX && i < KEPT; i++) {
		void *p = kept[i].p;

		if (!p || kept[i].size != size)
			continue;
		kept[i].p = NULL;
		return p;
	}
	return map_or_exit(size);
}

static void large_put(void *p, size_t size)
{
	size = whole_pages(size);
	discharge(size);
	if (size > KEPT_MAX) {
		munmap(p, size);
		return;
	}
	if (kept[kept_at].p)
		munmap(kept[kept_at].p, kept[kept_at].size);
	kept[kept_at].p = p;
	kept[kept_at].size = size;
	kept_at = (kept_at + 1) % KEPT;
}

static void *large_resize(void *p, size_t old, size_t size)
{
	if (size > (size_t)1 << 46)
		die();
	old = whole_pages(old);
	size = whole_pages(size);
	if (old == size)
		return p;
	if (size > old)
		charge(size - old);
	else
		discharge(old - size);
	p = mremap(p, old, size, MREMAP_MAYMOVE);
	if (p == MAP_FAILED)
		die();
	return p;
}

void *arena_get(size_t size)
{
	return size <= SMALL_MAX ? small_get(size) : large_get(size);
}

void arena_put(void *p, size_t size)
{
	if (size <= SMALL_MAX)
		small_put(p);
	else
		large_put(p, size);
}

void *arena_resize(void *p, size_t old, size_t size)
{
	void *q;

	if (old > SMALL_MAX && size > SMALL_MAX)
		return large_resize(p, old, size);
	if (old <= SMALL_MAX && size <= SMALL_MAX &&
	    class_of(old) == class_of(size))
		return p;
	q = arena_get(size);
	memcpy(q, p, old < size ? old : size);
	arena_put(p, old);
	return q;
}

#endif

void *heap_lua(void *ud, void *p, size_t old, size_t size)
{
	(void)ud;
	if (!p)
		return size ? arena_get(size) : NULL;
	if (!size) {
		arena_put(p, old);
		return NULL;
	}
	return arena_resize(p, old, size);
}
