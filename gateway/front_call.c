/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_call: the broker's two requests, ensure_pool and call, and their
 * answers. Start at front_request().
 */
#include "gateway/front_call.h"

#include <stdlib.h>

#include "gateway/net.h"
#include "proto/proto.h"

enum { NOTES = 10, MAX_TIMEOUT_MS = 3600000 };

/* ---- answers ----------------------------------------------------------- */

static const char *const code_words[] = {
	[JOB_OK] = "ok",
	[JOB_BADARG] = "badarg",
	[JOB_UNAVAILABLE] = "unavailable",
	[JOB_TIMEOUT] = "timeout",
	[JOB_TOO_LARGE] = "too_large",
	[JOB_DENIED] = "denied",
};

static void refuse(struct front *f, uint32_t id, const char *code,
		   struct slice message)
{
	rpc_failure(&f->out, id);
	pack_map(&f->out, 2);
	pack_cstr(&f->out, "code");
	pack_cstr(&f->out, code);
	pack_cstr(&f->out, "message");
	pack_text(&f->out, message);
	rpc_failure_end(&f->out);
}

void front_refuse(struct front *f, uint32_t id, const char *code,
		  const char *message)
{
	refuse(f, id, code, slice_str(message));
}

void front_say(struct front *f, enum log_level level, struct slice line)
{
	rpc_notification(&f->out, "log", 2);
	pack_uint(&f->out, level);
	pack_text(&f->out, line);
}

/* What servers said of calls that failed: ten lines a second. */
static void say_note(struct front *f, const struct task *t)
{
	const struct job *job = &t->job;
	uint64_t second = net_now_ms() / 1000;
	struct buf line = {0};

	if (job->note.n == 0)
		return;
	if (f->notes_ms != second) {
		f->notes_ms = second;
		f->notes = 0;
	}
	if (f->notes++ >= NOTES) {
		f->hidden++;
		return;
	}
	buf_addf(&line, "%s pool=%s op=%.*s: %.*s", t->pool->provider->name,
		 t->pool->name, (int)job->op.n, (const char *)job->op.p,
		 (int)job->note.n, (const char *)job->note.p);
	if (f->hidden)
		buf_addf(&line, " (and %llu more)",
			 (unsigned long long)f->hidden);
	f->hidden = 0;
	front_say(f, LOG_WARN, buf_slice(&line));
	buf_fini(&line);
}

static void answer_job(struct front *f, uint32_t id, const struct job *job)
{
	if (job->code == JOB_OK) {
		size_t start = f->out.n;

		rpc_result(&f->out, id);
		pack_raw(&f->out, buf_slice(&job->out));
		if (scan_whole(slice_of(f->out.p + start, f->out.n - start),
			       PROTO_MAX_INTERNAL))
			return;
		f->out.n = start;
		front_refuse(f, id, "too_large",
			     "the answer is nested too deep");
	} else {
		refuse(f, id, code_words[job->code], buf_slice(&job->why));
	}
}

void front_answered(struct front *f, struct task *t)
{
	t->answered = true;
	list_remove(&t->inflight);
	f->ninflight--;
	f->changed = true;
}

/* ---- requests ---------------------------------------------------------- */

static struct pool *find_pool(struct front *f, const struct provider *p,
			      struct slice name)
{
	list_each(node, next, &f->pools)
	{
		struct pool *pool = container_of(node, struct pool, node);

		if (pool->provider == p && slice_is(name, pool->name))
			return pool;
	}
	return NULL;
}

static struct slice configured(const struct front *f, const struct provider *p)
{
	static const uint8_t empty_map = 0x80;
	struct slice found;

	if (map_find(buf_slice(&f->config), p->name, &found))
		return found;
	return slice_of(&empty_map, 1);
}

static bool differs(struct slice a, struct slice b, const char *key)
{
	struct slice x, y;

	if (!map_find(a, key, &x))
		return false;
	return !map_find(b, key, &y) || !slice_eq(x, y);
}

static bool is_secret(struct slice key)
{
	return slice_is(key, "password") || slice_is(key, "keyfile") ||
	       slice_is(key, "certfile");
}

/* The script's settings before the configuration's. The secrets of the
 * configuration are for the server that it names, and no other. */
static void merge(struct slice script, struct slice conf, struct buf *out)
{
	bool elsewhere =
		differs(script, conf, "host") || differs(script, conf, "port");
	struct cursor a = cursor_of(script), b = cursor_of(conf);
	uint32_t na = cursor_map(&a), nb = cursor_map(&b), kept = 0;
	struct buf rest = {0};

	while (nb-- > 0 && !b.error) {
		struct cursor key = b;
		struct slice name = cursor_text(&key);
		struct slice pair_key = cursor_raw(&b);
		struct slice value = cursor_raw(&b);

		if (b.error || (elsewhere && is_secret(name)))
			continue;
		pack_raw(&rest, pair_key);
		pack_raw(&rest, value);
		kept++;
	}
	pack_map(out, na + kept);
	pack_raw(out, slice_of(a.p, (size_t)(a.end - a.p)));
	pack_raw(out, buf_slice(&rest));
	if (buf_error(&rest))
		out->error = buf_error(&rest);
	buf_fini(&rest);
}

static struct pool *make_pool(struct front *f, const struct provider *p,
			      struct slice name, struct slice script,
			      struct buf *why)
{
	struct buf settings = {0};
	struct pool *pool = NULL;
	int r = ERR_FULL;

	merge(script, configured(f, p), &settings);
	if (f->npools >= FRONT_POOLS || name.n >= POOL_NAME)
		buf_addf(why, "too many pools, or too long a name");
	else if ((r = buf_error(&settings)) == OK)
		r = pool_new(p, name, buf_slice(&settings), &f->done, &pool,
			     why);
	if (r < 0 && why->n == 0)
		buf_addf(why, "%s", err_name(r));
	buf_fini(&settings);
	if (!pool)
		return NULL;
	list_push(&f->pools, &pool->node);
	f->npools++;
	f->changed = true;
	f->told_ms = 0; /* the broker learns of it at once */
	return pool;
}

static void submit(struct front *f, uint32_t id, struct pool *pool,
		   struct task *t)
{
	int r = f->ninflight >= FRONT_INFLIGHT ? ERR_FULL : OK;

	t->id = id;
	if (r == OK)
		r = pool_submit(pool, t);
	if (r < 0) {
		front_refuse(f, id, "overloaded",
			     r == ERR_FULL ? "too many calls wait"
					   : "no thread can be had");
		task_free(t);
		return;
	}
	list_push(&f->inflight, &t->inflight);
	f->ninflight++;
	f->changed = true;
	if (t->job.deadline_ms < f->next_ms)
		f->next_ms = t->job.deadline_ms;
}

static bool refuse_target(struct front *f, uint32_t id, struct pool *pool,
			  struct slice grants)
{
	if (pool->target.n == 0 ||
	    net_granted(grants, pool->provider->name, buf_slice(&pool->target)))
		return false;
	front_refuse(f, id, "denied", "denied: no grant for that server");
	return true;
}

/* Text, or the provider's default for nil. ERR_TYPE sticks in the cursor. */
static struct slice pool_name(struct cursor *c, const struct provider *p)
{
	if (cursor_nil(c))
		return slice_str(p && p->default_pool ? p->default_pool : "");
	return cursor_text(c);
}

static struct slice raw_or_empty(struct cursor *c)
{
	return cursor_nil(c) ? (struct slice){0} : cursor_raw(c);
}

static int on_ensure(struct front *f, const struct rpc *rpc, struct cursor *c)
{
	static const uint8_t empty_map = 0x80;
	struct slice word = cursor_text(c);
	const struct provider *p = provider_find(word);
	struct slice name = pool_name(c, p);
	struct slice settings = raw_or_empty(c), grants = raw_or_empty(c);
	struct cursor map = cursor_of(settings);
	struct buf why = {0};
	struct pool *pool;
	struct task *t;

	if (c->error)
		return ERR_FORMAT;
	if (!p) {
		front_refuse(f, rpc->id, "badarg", "no such provider here");
		return OK;
	}
	if (settings.n == 0 || cursor_peek(&map) != CURSOR_MAP)
		settings = slice_of(&empty_map, 1);
	pool = find_pool(f, p, name);
	if (!pool)
		pool = make_pool(f, p, name, settings, &why);
	if (!pool) {
		refuse(f, rpc->id, "badarg", buf_slice(&why));
	} else if (refuse_target(f, rpc->id, pool, grants)) {
		;
	} else if (!p->eager || pool_served(pool)) {
		rpc_result(&f->out, rpc->id);
		pack_bool(&f->out, true);
	} else if ((t = task_new(grants)) != NULL) {
		t->connect_only = true;
		t->job.grants = buf_slice(&t->bytes);
		t->job.deadline_ms = net_now_ms() + POOL_CONNECT_MS;
		submit(f, rpc->id, pool, t);
	}
	buf_fini(&why);
	return OK;
}

/* [provider, op, pool|nil, args, timeout_ms, grants|nil] of the copy. */
static int read_call(struct task *t, const struct provider **p,
		     struct slice *pool)
{
	struct cursor c = cursor_of(buf_slice(&t->bytes));
	struct job *job = &t->job;
	struct slice args;
	uint64_t timeout;

	cursor_array(&c);
	*p = provider_find(cursor_text(&c));
	job->op = cursor_text(&c);
	*pool = pool_name(&c, *p);
	args = cursor_raw(&c);
	timeout = cursor_uint(&c);
	job->grants = raw_or_empty(&c);
	job->args = cursor_of(args);
	job->nargs = cursor_array(&job->args);
	if (timeout > MAX_TIMEOUT_MS)
		timeout = MAX_TIMEOUT_MS;
	job->deadline_ms = net_now_ms() + timeout;
	return c.error || job->args.error ? ERR_FORMAT : OK;
}

/* The pool that the job's arguments or its call name, or NULL. */
static struct pool *job_pool(struct front *f, const struct provider *p,
			     struct slice name, const struct job *job)
{
	const void *settings = p->owner ? p->owner(job) : NULL;

	if (!settings)
		return find_pool(f, p, name);
	list_each(node, next, &f->pools)
	{
		struct pool *pool = container_of(node, struct pool, node);

		if (pool->settings == settings)
			return pool;
	}
	return NULL;
}

static bool do_local(struct front *f, uint32_t id, const struct provider *p,
		     struct task *t)
{
	if (!p->local || p->local(configured(f, p), &t->job) < 0)
		return false;
	answer_job(f, id, &t->job);
	task_free(t);
	return true;
}

static int on_call(struct front *f, const struct rpc *rpc)
{
	static const uint8_t empty_map = 0x80;
	struct task *t = task_new(rpc->params);
	const struct provider *p;
	struct slice name;
	struct buf why = {0};
	struct pool *pool;

	if (!t) {
		front_refuse(f, rpc->id, "overloaded", "no memory");
		return OK;
	}
	if (read_call(t, &p, &name) < 0) {
		task_free(t);
		return ERR_FORMAT;
	}
	if (p && do_local(f, rpc->id, p, t))
		return OK;
	pool = p ? job_pool(f, p, name, &t->job) : NULL;
	if (!pool && p && p->implicit)
		pool = make_pool(f, p, name, slice_of(&empty_map, 1), &why);
	if (!pool)
		buf_addf(&why,
			 p ? "unknown pool %.*s" : "no such provider %.*s",
			 p ? (int)name.n : 0, (const char *)name.p);
	if (!pool)
		refuse(f, rpc->id, "badarg", buf_slice(&why));
	buf_fini(&why);
	if (!pool || refuse_target(f, rpc->id, pool, t->job.grants))
		task_free(t);
	else
		submit(f, rpc->id, pool, t);
	return OK;
}

int front_request(struct front *f, struct slice msg)
{
	struct cursor c;
	struct rpc rpc;

	if (rpc_decode(msg, &rpc) < 0 || rpc.type != RPC_REQUEST)
		return ERR_FORMAT;
	c = cursor_of(rpc.params);
	if (slice_is(rpc.method, "call") && cursor_array(&c) == 6)
		return on_call(f, &rpc);
	c = cursor_of(rpc.params);
	if (slice_is(rpc.method, "ensure_pool") && cursor_array(&c) == 4)
		return on_ensure(f, &rpc, &c);
	return ERR_FORMAT;
}

void front_finish(struct front *f, struct task *t)
{
	if (!t->answered) {
		say_note(f, t);
		answer_job(f, t->id, &t->job);
		front_answered(f, t);
	}
	task_free(t);
}
