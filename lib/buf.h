/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf: a growing byte buffer with a hard maximum and a sticky error.
 *
 * Appends never have to be checked one by one: after the first failure every
 * later append does nothing, and buf_error() tells. Zeroed memory is a valid
 * empty buffer with the largest maximum.
 */
#ifndef PF_LIB_BUF_H
#define PF_LIB_BUF_H

#include "lib/err.h"
#include "lib/slice.h"

struct buf {
	uint8_t *p;
	size_t n;   /* bytes in use */
	size_t cap; /* bytes allocated */
	size_t max; /* 0: no limit but the address space */
	int error;  /* sticky: 0, ERR_NOMEM or ERR_RANGE */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b); /* accepts a zeroed buf; leaves it zeroed */

/* Forget content and error, keep the memory. */
void buf_clear(struct buf *b);

/* As buf_clear, but give memory above `keep` bytes back. */
void buf_reset(struct buf *b, size_t keep);

/* Room for n more bytes; *room stays valid until the next call on b. */
int buf_reserve(struct buf *b, size_t n, uint8_t **room) must_check;

/* Take over n bytes that were written into reserved room. */
void buf_commit(struct buf *b, size_t n);

/* The slow half of buf_add(): not for callers. */
void buf_add_grow(struct buf *b, const void *p, size_t n);

/* Inline, since a packer adds a few bytes at a time. cap never passes max. */
static inline void buf_add(struct buf *b, const void *p, size_t n)
{
	if (n > b->cap - b->n || b->error) {
		buf_add_grow(b, p, n);
		return;
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

void buf_add_slice(struct buf *b, struct slice s);
void buf_add_byte(struct buf *b, uint8_t c);
void buf_addf(struct buf *b, const char *fmt, ...) printf_like(2, 3);

/* Drop n bytes from the front (memmove of what is left). */
void buf_consume(struct buf *b, size_t n);

static inline struct slice buf_slice(const struct buf *b)
{
	return slice_of(b->p, b->n);
}

static inline int buf_error(const struct buf *b)
{
	return b->error;
}

#endif
