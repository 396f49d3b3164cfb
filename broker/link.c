/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link: reading into the turn's scratch buffer, scanning, and writing once per
 * turn. Start at on_read() and on_flush().
 */
#include "broker/link.h"

#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { KEEP_OUT = 256 << 10, READ_MORE = 64 << 10 };
enum { MUTE_MS = 1000, PART_MS = 10 };

static void hold(struct link *l, size_t n)
{
	struct link_pool *pool = l->limits.pool;

	if (!pool || n == l->held)
		return;
	pool->held += n - l->held;
	l->held = n;
}

static void end(struct link *l, enum link_end why)
{
	if (l->ended || l->closing)
		return;
	l->ended = true;
	hold(l, 0);
	uv_read_stop((uv_stream_t *)&l->pipe);
	wheel_stop(&l->stuck);
	wheel_stop(&l->partial);
	l->ops->on_end(l->arg, why);
}

static bool to_read(const struct link *l)
{
	struct pollfd p = {.events = POLLIN};

	return uv_fileno((const uv_handle_t *)&l->pipe, &p.fd) == 0 &&
	       poll(&p, 1, 0) > 0;
}

static void on_stuck(struct wheel_timer *t)
{
	struct link *l = container_of(t, struct link, stuck);

	if (!l->shut)
		end(l, LINK_STUCK);
	else if (link_unread(l) || to_read(l))
		wheel_start(l->wheel, t, PART_MS);
	else
		end(l, LINK_EOF);
}

static void on_partial(struct wheel_timer *t)
{
	end(container_of(t, struct link, partial), LINK_STALLED);
}

/* Into the scratch buffer, unless a message has begun to arrive. */
static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *room)
{
	struct link *l = handle->data;
	uint8_t *p;

	(void)hint;
	if (l->in.n == 0) {
		*room = uv_buf_init((char *)l->turn->scratch, TURN_SCRATCH);
		return;
	}
	if (buf_reserve(&l->in, READ_MORE, &p) < 0)
		*room = uv_buf_init(NULL, 0); /* libuv reports ENOBUFS */
	else
		*room = uv_buf_init((char *)p, (unsigned)(l->in.cap - l->in.n));
}

/* Hand out the whole messages of `bytes`; how much of it they were. */
static size_t deliver(struct link *l, struct slice bytes)
{
	size_t at = 0, len;

	while (!l->ended && !l->closing) {
		struct slice rest = slice_of(bytes.p + at, bytes.n - at);
		int r = scan_next(&l->scan, rest, &len);

		if (r == 0)
			break;
		if (r < 0) {
			end(l, r == ERR_RANGE ? LINK_RANGE : LINK_PROTOCOL);
			break;
		}
		at += len;
		l->ops->on_message(l->arg, slice_of(rest.p, len), &l->scan);
	}
	return at;
}

/* A message that stays begun is bounded in time (PROTOCOL.md 1). */
static void watch_partial(struct link *l)
{
	if (l->in.n == 0)
		wheel_stop(&l->partial);
	else if (l->limits.partial_ms && !wheel_started(&l->partial))
		wheel_start(l->wheel, &l->partial, l->limits.partial_ms);
}

static void take(struct link *l, const uint8_t *p, size_t n)
{
	size_t used;

	turn_tick(l->turn);
	if (l->parting) {
		if (l->shut)
			return;
		turn_later(l->turn, &l->flush);
	}
	if (l->in.n == 0) { /* straight from the scratch buffer */
		used = deliver(l, slice_of(p, n));
		if (!l->ended && !l->closing && used < n)
			buf_add(&l->in, p + used, n - used);
	} else {
		buf_commit(&l->in, n);
		used = deliver(l, buf_slice(&l->in));
		if (l->ended || l->closing)
			return;
		if (used)
			wheel_stop(&l->partial);
		buf_consume(&l->in, used);
		if (l->in.n == 0)
			buf_reset(&l->in, 0);
	}
	if (l->ended || l->closing)
		return;
	if (buf_error(&l->in) < 0) {
		end(l, LINK_IO);
		return;
	}
	watch_partial(l);
	hold(l, l->in.n);
	if (l->held && l->limits.pool->held > l->limits.pool->max)
		l->limits.pool->full(l->limits.pool->arg);
}

/* End of stream: has the peer closed, or only shut down its sending side? */
static bool still_reads(const struct link *l)
{
	struct pollfd p = {0};

	return uv_fileno((const uv_handle_t *)&l->pipe, &p.fd) == 0 &&
	       poll(&p, 1, 0) == 0;
}

static void on_eof(struct link *l)
{
	if (!still_reads(l)) {
		end(l, LINK_EOF);
		return;
	}
	l->half = true;
	uv_read_stop((uv_stream_t *)&l->pipe);
	wheel_stop(&l->partial);
	l->ops->on_end(l->arg, LINK_HALF);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct link *l = stream->data;

	if (l->ended || l->closing || n == 0)
		return;
	if (n > 0)
		take(l, (const uint8_t *)buf->base, (size_t)n);
	else if (n == UV_EOF)
		on_eof(l);
	else
		end(l, n == UV_ECONNRESET ? LINK_EOF : LINK_IO);
}

/*
 * Writing has failed because the peer is gone. What it said before that is
 * still to be read, and its end comes behind it; nothing is written any more.
 */
static void peer_gone(struct link *l)
{
	if (l->half || l->finishing) {
		end(l, LINK_EOF);
		return;
	}
	l->mute = true;
	buf_clear(&l->out);
	wheel_start(l->wheel, &l->stuck, MUTE_MS);
}

/* All is written that will be. */
static void finished(struct link *l)
{
	uv_os_fd_t fd;

	if (!l->parting || l->half ||
	    uv_fileno((const uv_handle_t *)&l->pipe, &fd) < 0) {
		end(l, LINK_EOF);
		return;
	}
	if (to_read(l))
		return; /* take() or on_eof() comes */
	(void)shutdown(fd, SHUT_WR);
	l->mute = l->shut = true;
	wheel_start(l->wheel, &l->stuck, PART_MS);
}

static void send_rest(struct link *l);

static void on_written(uv_write_t *req, int status)
{
	struct link *l = req->data;

	l->writing = false;
	wheel_stop(&l->stuck);
	buf_reset(&l->sending, KEEP_OUT);
	if (l->closing)
		return;
	if (status == UV_EPIPE || status == UV_ECONNRESET)
		peer_gone(l);
	else if (status < 0)
		end(l, LINK_IO);
	else if (l->out.n > 0)
		send_rest(l);
	else if (l->finishing)
		finished(l);
}

/* The kernel's buffer is full: libuv goes on when it empties. */
static void send_rest(struct link *l)
{
	struct buf swap = l->sending;
	uv_buf_t bytes;

	l->sending = l->out;
	l->out = swap;
	bytes = uv_buf_init((char *)l->sending.p, (unsigned)l->sending.n);
	l->write.data = l;
	if (uv_write(&l->write, (uv_stream_t *)&l->pipe, &bytes, 1,
		     on_written) < 0) {
		end(l, LINK_IO);
		return;
	}
	l->writing = true;
	if (l->limits.stuck_ms)
		wheel_start(l->wheel, &l->stuck, l->limits.stuck_ms);
}

static void on_flush(struct turn_task *task)
{
	struct link *l = container_of(task, struct link, flush);
	uv_buf_t bytes;
	int n;

	if (l->closing || l->ended || l->mute)
		return;
	if (l->overrun || buf_error(&l->out) < 0) {
		end(l, l->overrun ? LINK_STUCK : LINK_IO);
		return;
	}
	if (l->writing)
		return;
	if (l->out.n == 0) {
		if (l->finishing)
			finished(l);
		return;
	}
	bytes = uv_buf_init((char *)l->out.p, (unsigned)l->out.n);
	n = uv_try_write((uv_stream_t *)&l->pipe, &bytes, 1);
	if (n == UV_EPIPE || n == UV_ECONNRESET) {
		peer_gone(l);
		return;
	}
	if (n < 0 && n != UV_EAGAIN) {
		end(l, LINK_IO);
		return;
	}
	if (n > 0 && (size_t)n == l->out.n) {
		buf_reset(&l->out, KEEP_OUT);
		if (l->finishing)
			finished(l);
		return;
	}
	buf_consume(&l->out, n > 0 ? (size_t)n : 0);
	send_rest(l);
}

void link_init(struct link *l, struct turn *turn, struct wheel *wheel,
	       const struct link_limits *limits)
{
	*l = (struct link){.turn = turn, .wheel = wheel, .limits = *limits};
	must(uv_pipe_init(turn->loop, &l->pipe, 0) == 0);
	l->pipe.data = l;
	turn_task_init(&l->flush, on_flush);
	wheel_timer_init(&l->stuck, on_stuck);
	wheel_timer_init(&l->partial, on_partial);
	scan_init(&l->scan, limits->max_message);
}

int link_open_fd(struct link *l, int fd)
{
	return uv_pipe_open(&l->pipe, fd) < 0 ? ERR_IO : OK;
}

int link_start(struct link *l, const struct link_ops *ops, void *arg)
{
	l->ops = ops;
	l->arg = arg;
	if (uv_read_start((uv_stream_t *)&l->pipe, on_alloc, on_read) < 0)
		return ERR_IO;
	return OK;
}

size_t link_backlog(const struct link *l)
{
	const uv_stream_t *stream = (const uv_stream_t *)&l->pipe;

	return l->out.n + uv_stream_get_write_queue_size(stream);
}

bool link_unread(const struct link *l)
{
	uv_os_fd_t fd;
	int bytes = 0;

	return link_backlog(l) > 0 ||
	       (uv_fileno((const uv_handle_t *)&l->pipe, &fd) == 0 &&
		ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0);
}

void link_cut(struct link *l)
{
	l->overrun = true;
	if (!l->ended && !l->closing)
		turn_later(l->turn, &l->flush);
}

struct buf *link_out(struct link *l)
{
	if (l->ended || l->closing || l->overrun || l->mute)
		buf_clear(&l->out);
	/* The owner is told at the end of the turn, not from in here. */
	if (link_backlog(l) > l->limits.max_backlog)
		l->overrun = true;
	if (!l->ended && !l->closing)
		turn_later(l->turn, &l->flush);
	return &l->out;
}

void link_finish(struct link *l)
{
	l->finishing = true;
	if (!l->ended && !l->closing)
		turn_later(l->turn, &l->flush);
}

void link_part(struct link *l)
{
	l->parting = true;
	link_finish(l);
}

static void on_closed(uv_handle_t *handle)
{
	struct link *l = handle->data;

	buf_fini(&l->in);
	buf_fini(&l->out);
	buf_fini(&l->sending);
	l->closed = true;
	if (l->ops)
		l->ops->on_closed(l->arg);
}

void link_close(struct link *l)
{
	uv_buf_t bytes;

	if (l->closing)
		return;
	if (!l->writing && l->out.n > 0 && buf_error(&l->out) == OK) {
		bytes = uv_buf_init((char *)l->out.p, (unsigned)l->out.n);
		(void)uv_try_write((uv_stream_t *)&l->pipe, &bytes, 1);
	}
	l->closing = true;
	hold(l, 0);
	wheel_stop(&l->stuck);
	wheel_stop(&l->partial);
	turn_forget(&l->flush);
	uv_close((uv_handle_t *)&l->pipe, on_closed);
}
