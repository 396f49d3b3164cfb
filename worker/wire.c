/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: read(), write() and the buffer between them. It knows envelopes, not
 * what they say. Start at wire_next().
 */
#include "worker/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/proto.h"

enum {
	KEEP_IN = 256 << 10, /* larger buffers are given back when idle */
	KEEP_OUT = 512 << 10,
};

int wire_init(struct wire *w, int fd)
{
	*w = (struct wire){.fd = fd, .cap = WIRE_ROOM, .next_id = 1};
	scan_init(&w->scan, PROTO_MAX_INTERNAL);
	buf_init(&w->out, 0);
	w->in = malloc(w->cap);
	return w->in ? OK : ERR_NOMEM;
}

void wire_fini(struct wire *w)
{
	if (w->in)
		close(w->fd);
	free(w->in);
	buf_fini(&w->out);
	*w = (struct wire){0};
}

int wire_next(struct wire *w, struct rpc *msg)
{
	struct slice rest = slice_of(w->in + w->at, w->n - w->at);
	size_t len;
	int r;

	if (rest.n == 0)
		return 0;
	r = scan_next(&w->scan, rest, &len);
	if (r != 1)
		return r;
	w->at += len;
	r = rpc_decode(slice_of(rest.p, len), msg);
	return r < 0 ? r : 1;
}

static int resize(struct wire *w, size_t cap)
{
	uint8_t *p = realloc(w->in, cap);

	if (!p)
		return ERR_NOMEM;
	w->in = p;
	w->cap = cap;
	return OK;
}

/* What is left goes to the front, and there is room behind it. A message that
 * does not fit doubles the buffer, never past what has arrived times two. */
static int make_room(struct wire *w)
{
	size_t left = w->n - w->at;

	if (left && w->at)
		memmove(w->in, w->in + w->at, left);
	w->at = 0;
	w->n = left;
	if (left == 0 && w->cap > KEEP_IN)
		return resize(w, WIRE_ROOM);
	if (w->cap - left < WIRE_ROOM / 2)
		return resize(w, w->cap * 2);
	return OK;
}

int wire_read(struct wire *w)
{
	ssize_t got;
	int r = make_room(w);

	if (r < 0)
		return r;
	do
		got = read(w->fd, w->in + w->n, w->cap - w->n);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return ERR_CLOSED;
	w->n += (size_t)got;
	return OK;
}

static int write_all(int fd, const uint8_t *p, size_t n)
{
	size_t at = 0;
	ssize_t sent;

	while (at < n) {
		sent = write(fd, p + at, n - at);
		if (sent < 0 && errno != EINTR)
			return ERR_CLOSED;
		if (sent > 0)
			at += (size_t)sent;
	}
	return OK;
}

int wire_flush(struct wire *w)
{
	int r;

	w->answers = w->calls = 0;
	if (buf_error(&w->out))
		return buf_error(&w->out);
	w->writing = 1;
	r = write_all(w->fd, w->out.p, w->out.n);
	w->writing = 0;
	if (r < 0)
		return r;
	w->whole = 0;
	buf_reset(&w->out, KEEP_OUT);
	return OK;
}

int wire_say(struct wire *w)
{
	if (w->whole == 0 || w->whole != w->out.n)
		return OK;
	return wire_flush(w);
}

/* [RPC_NOTIFICATION, "running", [run_id]] */
static int write_running(int fd, uint32_t run_id)
{
	uint8_t message[16] = "\x93\x02\xa7running\x91\xce";

	for (int i = 0; i < 4; i++)
		message[12 + i] = (uint8_t)(run_id >> (24 - 8 * i));
	return write_all(fd, message, sizeof(message));
}

void wire_running(struct wire *w, uint32_t run_id)
{
	if (!w->writing)
		(void)write_running(w->fd, run_id);
}

void wire_last_words(struct wire *w, uint32_t run_id)
{
	w->writing = 1; /* nothing comes between */
	if (write_all(w->fd, w->out.p, w->whole) == OK)
		(void)write_running(w->fd, run_id);
}

static int gathered(struct wire *w, unsigned n, unsigned most)
{
	int r;

	wire_mark(w);
	if (n < most && w->out.n < WIRE_FULL)
		return 0;
	r = wire_flush(w);
	return r < 0 ? r : 1;
}

int wire_answered(struct wire *w)
{
	return gathered(w, ++w->answers, WIRE_BATCH);
}

int wire_called(struct wire *w)
{
	return gathered(w, ++w->calls, WIRE_CALLS);
}
