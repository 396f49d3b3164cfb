/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front: see front.h. Start at front_run().
 */
#include "gateway/front.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/front_call.h"
#include "gateway/net.h"
#include "proto/proto.h"

enum { READ_BYTES = 64 << 10, TELL_MS = 500 };

/* ---- deadlines --------------------------------------------------------- */

/* A job is late: from the queue it goes at once, a running one is given a
 * moment to say so itself. When to look again, or 0: it is answered. */
static uint64_t expire(struct front *f, struct task *t, uint64_t now)
{
	uint64_t due = t->job.deadline_ms + FRONT_GRACE_MS;
	bool withdrawn = pool_withdraw(t->pool, t);

	if (!withdrawn && now < due)
		return due;
	front_refuse(f, t->id, "timeout",
		     withdrawn ? "no connection was free in time"
			       : "there was no answer in time");
	front_answered(f, t);
	if (withdrawn)
		task_free(t);
	else
		pool_interrupt(t->pool, t);
	return 0;
}

static void check_deadlines(struct front *f)
{
	uint64_t now = net_now_ms(), next = UINT64_MAX;

	if (now < f->next_ms)
		return;
	list_each(node, next_node, &f->inflight)
	{
		struct task *t = container_of(node, struct task, inflight);
		uint64_t due = t->job.deadline_ms;

		if (due <= now)
			due = expire(f, t, now);
		if (due && due < next)
			next = due;
	}
	f->next_ms = next;
}

static void take_done(struct front *f)
{
	struct list tasks, *node;

	list_init(&tasks);
	done_take(&f->done, &tasks);
	while ((node = list_pop(&tasks)) != NULL) {
		struct task *t = container_of(node, struct task, node);

		front_finish(f, t);
	}
}

/* ---- what it tells ----------------------------------------------------- */

static void pack_pool(struct buf *out, struct pool *p)
{
	struct pool_stats s;

	pool_stats(p, &s);
	pack_map(out, 9);
	pack_cstr(out, "provider");
	pack_cstr(out, p->provider->name);
	pack_cstr(out, "name");
	pack_text(out, slice_str(p->name));
	pack_cstr(out, "target");
	pack_text(out, buf_slice(&p->target));
	pack_cstr(out, "size");
	pack_uint(out, s.size);
	pack_cstr(out, "connected");
	pack_uint(out, p->provider->connects ? s.connected : s.threads);
	pack_cstr(out, "calls");
	pack_uint(out, s.calls);
	pack_cstr(out, "errors");
	pack_uint(out, s.errors);
	pack_cstr(out, "queue");
	pack_uint(out, s.queue);
	pack_cstr(out, "down");
	pack_bool(out, s.down);
}

static void tell_news(struct front *f)
{
	struct buf news = {0};
	struct slice rest;
	const uint8_t *end;

	list_each(node, next, &f->pools)
	{
		pool_news(container_of(node, struct pool, node), &news);
	}
	rest = buf_slice(&news);
	while (rest.n && (end = memchr(rest.p, '\n', rest.n)) != NULL) {
		size_t n = (size_t)(end - rest.p);

		front_say(f, LOG_WARN, slice_of(rest.p, n));
		rest = slice_of(end + 1, rest.n - n - 1);
	}
	buf_fini(&news);
}

static void tell(struct front *f)
{
	uint64_t now = net_now_ms();

	if (!f->changed || now < f->told_ms + TELL_MS)
		return;
	f->changed = false;
	f->told_ms = now;
	tell_news(f);
	rpc_notification(&f->out, "pools", 1);
	pack_array(&f->out, (uint32_t)f->npools);
	list_each(node, next, &f->pools)
	{
		pack_pool(&f->out, container_of(node, struct pool, node));
	}
}

/* ---- the loop ---------------------------------------------------------- */

static int take_in(struct front *f)
{
	uint8_t *room;
	ssize_t n;

	if (buf_reserve(&f->in, READ_BYTES, &room) < 0)
		return ERR_NOMEM;
	n = read(f->fd, room, f->in.cap - f->in.n);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? OK : ERR_CLOSED;
	if (n == 0)
		return ERR_CLOSED;
	buf_commit(&f->in, (size_t)n);
	return OK;
}

/* One whole message at `at` of what has come, or 0. */
static int next_message(struct front *f, size_t at, size_t *len)
{
	return scan_next(&f->scan, slice_of(f->in.p + at, f->in.n - at), len);
}

static int deliver(struct front *f)
{
	size_t at = 0, len;
	int r;

	while ((r = next_message(f, at, &len)) == 1) {
		r = front_request(f, slice_of(f->in.p + at, len));
		at += len;
		if (r < 0)
			break;
	}
	buf_consume(&f->in, at);
	if (f->in.n == 0)
		buf_reset(&f->in, READ_BYTES * 4);
	return r;
}

static int give_out(struct front *f)
{
	ssize_t n;

	if (buf_error(&f->out))
		return ERR_NOMEM;
	if (f->out.n == 0)
		return OK;
	n = write(f->fd, f->out.p, f->out.n);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? OK : ERR_CLOSED;
	buf_consume(&f->out, (size_t)n);
	if (f->out.n == 0)
		buf_reset(&f->out, READ_BYTES * 4);
	return OK;
}

static int wait_ms(const struct front *f)
{
	int ms = f->next_ms == UINT64_MAX ? -1 : net_left_ms(f->next_ms) + 1;

	if (f->changed) {
		int tell_in = net_left_ms(f->told_ms + TELL_MS) + 1;

		if (ms < 0 || tell_in < ms)
			ms = tell_in;
	}
	return ms;
}

int front_run(struct front *f)
{
	int r = deliver(f); /* what came behind the config */

	while (r >= 0) {
		struct pollfd p[2] = {
			{.fd = f->fd,
			 .events = (short)(POLLIN | (f->out.n ? POLLOUT : 0))},
			{.fd = f->done.fd, .events = POLLIN}};

		r = give_out(f);
		if (r < 0)
			break;
		p[0].events = (short)(POLLIN | (f->out.n ? POLLOUT : 0));
		if (poll(p, 2, wait_ms(f)) < 0 && errno != EINTR)
			return ERR_IO;
		if (p[0].revents & (POLLIN | POLLHUP | POLLERR) &&
		    (r = take_in(f)) == OK)
			r = deliver(f);
		take_done(f);
		check_deadlines(f);
		tell(f);
	}
	return r == ERR_CLOSED ? OK : r;
}

int front_init(struct front *f, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return ERR_IO;
	*f = (struct front){.fd = fd, .next_ms = UINT64_MAX};
	scan_init(&f->scan, PROTO_MAX_INTERNAL);
	list_init(&f->pools);
	list_init(&f->inflight);
	return OK;
}

int front_read_config(struct front *f)
{
	uint64_t until = net_now_ms() + FRONT_CONFIG_MS;
	struct slice config;
	struct cursor c;
	struct rpc rpc;
	size_t len;
	int r;

	while ((r = next_message(f, 0, &len)) == 0)
		if ((r = net_wait(f->fd, POLLIN, until)) < 0 ||
		    (r = take_in(f)) < 0)
			return r;
	if (r < 0 || rpc_decode(slice_of(f->in.p, len), &rpc) < 0 ||
	    rpc.type != RPC_NOTIFICATION || !slice_is(rpc.method, "config"))
		return ERR_FORMAT;
	c = cursor_of(rpc.params);
	if (cursor_array(&c) != 1 || cursor_peek(&c) != CURSOR_MAP)
		return ERR_FORMAT;
	config = cursor_raw(&c);
	buf_add_slice(&f->config, config);
	buf_consume(&f->in, len);
	return c.error ? ERR_FORMAT : buf_error(&f->config);
}

static void pack_names(struct buf *out, const char *key,
		       const char *const *names, unsigned n)
{
	pack_cstr(out, key);
	pack_array(out, n);
	for (unsigned i = 0; i < n; i++)
		pack_cstr(out, names[i]);
}

int front_ready(struct front *f, const struct sandbox_report *r)
{
	rpc_notification(&f->out, "ready", 1);
	pack_map(&f->out, 2);
	pack_names(&f->out, "sandbox", r->held, r->nheld);
	pack_names(&f->out, "missing", r->missing, r->nmissing);
	return done_init(&f->done);
}

bool front_close(struct front *f)
{
	uint64_t until = net_now_ms() + FRONT_CLOSE_MS;
	struct list waiting, *node;
	bool all = true;

	list_init(&waiting);
	list_each(n1, next1, &f->pools)
	{
		pool_close(container_of(n1, struct pool, node), &waiting);
	}
	list_each(n2, next2, &f->pools)
	{
		struct pool *p = container_of(n2, struct pool, node);

		if (!pool_join(p, until)) {
			all = false;
			continue;
		}
		list_remove(&p->node);
		pool_free(p);
	}
	if (!all)
		return false;
	done_take(&f->done, &waiting);
	while ((node = list_pop(&waiting)) != NULL)
		task_free(container_of(node, struct task, node));
	done_fini(&f->done);
	buf_fini(&f->in);
	buf_fini(&f->out);
	buf_fini(&f->config);
	return true;
}
