/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mongodb_check: a stream that gives libmongoc only whole messages that are in
 * order: of a length that can be, of a kind that it asked for, with documents
 * that are BSON to the last level. libmongoc 1.23 uses what was never
 * initialised when one is not.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "gateway/provider/mongodb.h"

enum {
	STREAM_TYPE = 1001,
	STREAM_POLL = 64,
	HEAD = 16,
	MESSAGE_MAX = (48 << 20) + (16 << 10),
	CHUNK = 1 << 20,
	OP_REPLY = 1,
	OP_MSG = 2013,
	LEVELS = 100,
};

struct checked {
	mongoc_stream_t vtable; /* first: libmongoc knows this part */
	mongoc_stream_t *below;
	struct buf message;
	size_t need;  /* bytes of the message, HEAD until they are there */
	size_t given; /* of a message that is whole and in order */
	bool whole, broken;
};

static struct checked *of(mongoc_stream_t *s)
{
	return (struct checked *)(void *)s;
}

/* ---- what a message may be --------------------------------------------- */

static int32_t le32(const uint8_t *p)
{
	return (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 |
			 (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
}

static bool walk(bson_iter_t *it, unsigned level)
{
	bson_iter_t child;

	while (bson_iter_next(it)) {
		if (!BSON_ITER_HOLDS_DOCUMENT(it) && !BSON_ITER_HOLDS_ARRAY(it))
			continue;
		if (level >= LEVELS || !bson_iter_recurse(it, &child) ||
		    !walk(&child, level + 1))
			return false;
	}
	return it->err_off == 0;
}

bool mongo_is_document(const uint8_t *p, size_t n)
{
	bson_iter_t it;
	bson_t doc;

	return n >= 5 && (size_t)le32(p) == n && bson_init_static(&doc, p, n) &&
	       bson_iter_init(&it, &doc) && walk(&it, 0);
}

static bool in_order(const uint8_t *p, size_t n)
{
	switch (le32(p + 12)) {
	case OP_MSG: /* flags, kind of the section, document */
		return n > HEAD + 5 && le32(p + HEAD) == 0 &&
		       p[HEAD + 4] == 0 &&
		       mongo_is_document(p + HEAD + 5, n - HEAD - 5);
	case OP_REPLY: /* flags, cursor (8), from, how many */
		return n > HEAD + 20 && le32(p + HEAD + 16) == 1 &&
		       mongo_is_document(p + HEAD + 20, n - HEAD - 20);
	default:
		return false;
	}
}

/* ---- reading ----------------------------------------------------------- */

static ssize_t refuse(struct checked *s)
{
	s->broken = true;
	errno = EPROTO;
	return -1;
}

/* 1: a message is there; else what the stream below said. */
static ssize_t fill(struct checked *s, int32_t timeout_ms)
{
	while (!s->whole) {
		size_t left = s->need - s->message.n;
		uint8_t *room;
		ssize_t got;

		left = left < CHUNK ? left : CHUNK;
		if (s->broken || buf_reserve(&s->message, left, &room) < 0)
			return refuse(s);
		got = mongoc_stream_read(s->below, room, left,
					 timeout_ms ? left : 0, timeout_ms);
		if (got <= 0)
			return got;
		buf_commit(&s->message, (size_t)got);
		if (s->message.n < s->need)
			continue;
		if (s->need == HEAD) {
			int32_t n = le32(s->message.p);

			if (n <= HEAD || n > MESSAGE_MAX)
				return refuse(s);
			s->need = (size_t)n;
			continue;
		}
		if (!in_order(s->message.p, s->message.n))
			return refuse(s);
		s->whole = true;
	}
	return 1;
}

/* As much as there is and fits. */
static size_t give(struct checked *s, mongoc_iovec_t *iov)
{
	size_t n = s->message.n - s->given;

	n = n < iov->iov_len ? n : iov->iov_len;
	if (n)
		memcpy(iov->iov_base, s->message.p + s->given, n);
	iov->iov_base = (char *)iov->iov_base + n;
	iov->iov_len -= n;
	s->given += n;
	if (s->given == s->message.n) {
		buf_reset(&s->message, CHUNK);
		s->need = HEAD;
		s->given = 0;
		s->whole = false;
	}
	return n;
}

static ssize_t on_read(mongoc_stream_t *stream, mongoc_iovec_t *iov, size_t n,
		       size_t least, int32_t timeout_ms)
{
	struct checked *s = of(stream);
	ssize_t all = 0, r;

	while (n > 0) {
		if (iov->iov_len == 0) {
			iov++;
			n--;
			continue;
		}
		if (!s->whole && all > 0 && (size_t)all >= least)
			break;
		r = fill(s, timeout_ms);
		if (r <= 0)
			return all > 0 && r == 0 ? all : r;
		all += (ssize_t)give(s, iov);
	}
	return all;
}

/* ---- the rest ---------------------------------------------------------- */

static ssize_t on_write(mongoc_stream_t *stream, mongoc_iovec_t *iov, size_t n,
			int32_t timeout_ms)
{
	return mongoc_stream_writev(of(stream)->below, iov, n, timeout_ms);
}

static int on_close(mongoc_stream_t *stream)
{
	return mongoc_stream_close(of(stream)->below);
}

static void on_destroy(mongoc_stream_t *stream)
{
	struct checked *s = of(stream);

	mongoc_stream_destroy(s->below);
	buf_fini(&s->message);
	free(s);
}

static void on_failed(mongoc_stream_t *stream)
{
	struct checked *s = of(stream);

	mongoc_stream_failed(s->below);
	buf_fini(&s->message);
	free(s);
}

static int on_flush(mongoc_stream_t *stream)
{
	return mongoc_stream_flush(of(stream)->below);
}

static int on_setsockopt(mongoc_stream_t *stream, int level, int name,
			 void *value, mongoc_socklen_t n)
{
	return mongoc_stream_setsockopt(of(stream)->below, level, name, value,
					n);
}

static bool is_closed(mongoc_stream_t *stream)
{
	return of(stream)->broken ||
	       mongoc_stream_check_closed(of(stream)->below);
}

static bool on_timed_out(mongoc_stream_t *stream)
{
	return mongoc_stream_timed_out(of(stream)->below);
}

static bool should_retry(mongoc_stream_t *stream)
{
	return !of(stream)->broken &&
	       mongoc_stream_should_retry(of(stream)->below);
}

/* What has been read and not given counts as there. */
static ssize_t on_poll(mongoc_stream_poll_t *streams, size_t n, int32_t timeout)
{
	mongoc_stream_poll_t below[STREAM_POLL];
	ssize_t ready = 0, got;

	n = n < STREAM_POLL ? n : STREAM_POLL;
	for (size_t i = 0; i < n; i++) {
		below[i] = streams[i];
		below[i].stream = of(streams[i].stream)->below;
		ready += of(streams[i].stream)->whole;
	}
	got = mongoc_stream_poll(below, n, ready ? 0 : timeout);
	for (size_t i = 0; i < n; i++) {
		streams[i].revents = below[i].revents;
		if (of(streams[i].stream)->whole)
			streams[i].revents |= POLLIN;
	}
	return ready ? ready : got;
}

mongoc_stream_t *mongo_checked(mongoc_stream_t *below)
{
	struct checked *s = calloc(1, sizeof(*s));

	if (!s) {
		mongoc_stream_destroy(below);
		return NULL;
	}
	s->vtable = (mongoc_stream_t){.type = STREAM_TYPE,
				      .destroy = on_destroy,
				      .close = on_close,
				      .flush = on_flush,
				      .writev = on_write,
				      .readv = on_read,
				      .setsockopt = on_setsockopt,
				      .check_closed = is_closed,
				      .poll = on_poll,
				      .failed = on_failed,
				      .timed_out = on_timed_out,
				      .should_retry = should_retry};
	s->below = below;
	s->need = HEAD;
	return &s->vtable;
}
