/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf: the growing buffer of buf.h. Growth doubles, so that n appends cost
 * O(n); the hard maximum is checked before memory is asked for.
 */
#include "lib/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){0};
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->error = 0;
}

void buf_reset(struct buf *b, size_t keep)
{
	buf_clear(b);
	if (b->cap > keep) {
		free(b->p);
		b->p = NULL;
		b->cap = 0;
	}
}

static int fail(struct buf *b, int code)
{
	b->error = code;
	return code;
}

static int grow(struct buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : 64;
	uint8_t *p;

	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	if (b->max && cap > b->max)
		cap = b->max;
	p = realloc(b->p, cap);
	if (!p)
		return fail(b, ERR_NOMEM);
	b->p = p;
	b->cap = cap;
	return OK;
}

int buf_reserve(struct buf *b, size_t n, uint8_t **room)
{
	*room = NULL;
	if (b->error)
		return b->error;
	if (n > SIZE_MAX - b->n || (b->max && b->n + n > b->max))
		return fail(b, ERR_RANGE);
	if (b->n + n > b->cap && grow(b, b->n + n) < 0)
		return b->error;
	*room = b->p + b->n;
	return OK;
}

void buf_commit(struct buf *b, size_t n)
{
	must(n <= b->cap - b->n);
	b->n += n;
}

void buf_add_grow(struct buf *b, const void *p, size_t n)
{
	uint8_t *room;

	if (n == 0 || buf_reserve(b, n, &room) < 0)
		return;
	memcpy(room, p, n);
	b->n += n;
}

void buf_add_slice(struct buf *b, struct slice s)
{
	buf_add(b, s.p, s.n);
}

void buf_add_byte(struct buf *b, uint8_t c)
{
	buf_add(b, &c, 1);
}

/* Formatted aside, since vsnprintf wants room for a NUL that the buffer may
 * not have. */
void buf_addf(struct buf *b, const char *fmt, ...)
{
	char aside[256], *text = aside;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(aside, sizeof(aside), fmt, args);
	va_end(args);
	if (n >= (int)sizeof(aside)) {
		va_start(args, fmt);
		n = vasprintf(&text, fmt, args);
		va_end(args);
	}
	if (n < 0) {
		fail(b, b->error ? b->error : ERR_NOMEM);
		return;
	}
	buf_add(b, text, (size_t)n);
	if (text != aside)
		free(text);
}

void buf_consume(struct buf *b, size_t n)
{
	must(n <= b->n);
	if (n == 0)
		return;
	if (n < b->n)
		memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}
