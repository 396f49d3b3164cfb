/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_thread: takes jobs off a list, does them with the engine, puts them
 * on another list. Writing a group is the only job that is not a plain call
 * of the engine: it counts what accounts hold and watches the free space.
 * `nowait` there: the loop does it, in the thread's place.
 */
#include "broker/store_thread.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "broker/be.h"
#include "broker/store/ballast.h"
#include "lib/log.h"

#define KEY_USAGE "musage"

enum {
	SPACE_EVERY_MS = 20,
	SPACE_EVERY_BYTES = 1 << 20,
};

static uint64_t now_ms(void)
{
	return uv_hrtime() / 1000000;
}

/* Too little space to write on? Asked often, since others fill a disk within
 * moments and Debian's RocksDB aborts the process on ENOSPC. */
static bool disk_full(struct store_thread *t)
{
	uint64_t now = now_ms(), least = 2 * t->ops->backlog(t->engine), have;
	struct statvfs st;

	if (t->space_at_ms && now - t->space_at_ms < SPACE_EVERY_MS &&
	    t->since_space < SPACE_EVERY_BYTES)
		return t->full;
	t->space_at_ms = now;
	t->since_space = 0;
	if (statvfs(t->dir, &st) < 0)
		return t->full;
	if (least < t->floor)
		least = t->floor;
	have = (uint64_t)st.f_bavail * st.f_frsize;
	if ((have < least) != t->full)
		log_warn("store", "%s dir=%s free=%" PRIu64 " floor=%" PRIu64,
			 t->full ? "space is back, writes go on"
				 : "disk full, writes are refused",
			 t->dir, have, least);
	if (t->full && have >= least)
		ballast_fill(t->dir, least);
	t->full = have < least;
	return t->full;
}

static void count(uint64_t *usage, int64_t by)
{
	if (by < 0 && *usage < (uint64_t)-by)
		*usage = 0;
	else
		*usage += (uint64_t)by;
}

static void freed(struct store_thread *t, int64_t bytes)
{
	if (bytes >= ENGINE_LARGE)
		t->freed += (uint64_t)bytes;
}

static int add_op(struct store_thread *t, const struct store_op *op,
		  bool nowait)
{
	uint64_t *usage = &t->usage[op->account];
	size_t old;
	int r;

	if (op->skip)
		return OK;
	if (op->account) {
		r = t->ops->size(t->engine, op->key, nowait, &old);
		if (r != OK && r != ERR_ABSENT)
			return r;
		if (r == OK) {
			count(usage, -(int64_t)(op->key.n + old));
			freed(t, (int64_t)old);
		}
		if (!op->del)
			count(usage, (int64_t)(op->key.n + op->value.n));
	}
	if (op->del)
		t->ops->del(t->engine, op->key);
	else
		t->ops->put(t->engine, op->key, op->value);
	return OK;
}

static int add_batch(struct store_thread *t, const struct store_batch *b,
		     bool nowait)
{
	int r = OK;

	for (size_t i = 0; i < b->n && r == OK; i++)
		r = add_op(t, &b->op[i], nowait);
	for (uint8_t i = 1; i < STORE_ACCOUNTS; i++) {
		count(&t->usage[i], b->charge[i]);
		freed(t, -b->charge[i]);
	}
	return r;
}

static void add_usage(struct store_thread *t, const uint64_t *before)
{
	uint8_t value[STORE_ACCOUNTS * 8];

	if (memcmp(t->usage, before, sizeof(t->usage)) == 0)
		return;
	for (size_t i = 0; i < STORE_ACCOUNTS; i++)
		be_put64(value + i * 8, t->usage[i]);
	t->ops->put(t->engine, slice_str(KEY_USAGE),
		    slice_of(value, sizeof(value)));
}

static int write_group(struct store_thread *t, struct group *g, bool nowait)
{
	enum engine_commit how = g->sync  ? ENGINE_SYNC
				 : nowait ? ENGINE_NOWAIT
					  : ENGINE_OS;
	uint64_t before[STORE_ACCOUNTS];
	char why[STORE_WHY] = "";
	int r = OK;

	memcpy(before, t->usage, sizeof(before));

	list_each(node, next, &g->batches)
	{
		r = add_batch(t, container_of(node, struct store_batch, node),
			      nowait);
		if (r < 0) {
			t->ops->abandon(t->engine);
			return r;
		}
	}
	add_usage(t, before);
	t->since_space += g->bytes;
	r = t->ops->commit(t->engine, how, why);
	if (r < 0 && r != ERR_AGAIN)
		log_error("store", "write failed: %s", why);
	return r;
}

static int write_or_not(struct store_thread *t, struct group *g, bool nowait)
{
	uint64_t before[STORE_ACCOUNTS];
	int r;

	memcpy(before, t->usage, sizeof(before));
	g->full = disk_full(t);
	r = g->full ? ERR_FULL : write_group(t, g, nowait);
	if (r < 0)
		memcpy(t->usage, before, sizeof(before));
	memcpy(g->usage, t->usage, sizeof(g->usage));
	g->freed = t->freed;
	return r;
}

void store_thread_write(struct store_thread *t, struct job *job)
{
	job->status =
		write_or_not(t, container_of(job, struct group, job), false);
}

void store_thread_flush(struct store_thread *t, struct job *job)
{
	job->status = OK;
	if (t->ops->flush)
		t->ops->flush(t->engine);
}

void store_thread_compact(struct store_thread *t, struct job *job)
{
	job->status = t->ops->compact ? t->ops->compact(t->engine) : OK;
}

int store_thread_try_write(struct store_thread *t, struct job *job)
{
	/* When space comes back there is more to be done than this group. */
	int r = t->full ? ERR_AGAIN
			: write_or_not(t, container_of(job, struct group, job),
				       true);

	if (r == ERR_AGAIN)
		return r;
	job->status = r;
	return OK;
}

static void report(struct store_thread *t, struct job *job)
{
	bool first;

	uv_mutex_lock(&t->lock);
	first = list_empty(&t->done);
	list_push(&t->done, &job->node);
	uv_mutex_unlock(&t->lock);
	if (first)
		uv_async_send(&t->async);
}

static void thread_main(void *arg)
{
	struct store_thread *t = arg;
	struct list *node;

	for (;;) {
		uv_mutex_lock(&t->lock);
		while (list_empty(&t->todo) && !t->stop)
			uv_cond_wait(&t->wake, &t->lock);
		node = list_pop(&t->todo);
		uv_mutex_unlock(&t->lock);
		if (!node)
			break;
		struct job *job = container_of(node, struct job, node);

		job->work(t, job);
		report(t, job);
	}
	t->ops->close(t->engine);
	uv_mutex_lock(&t->lock);
	t->finished = true;
	uv_mutex_unlock(&t->lock);
	uv_async_send(&t->async);
}

static void on_async(uv_async_t *async)
{
	struct store_thread *t =
		container_of(async, struct store_thread, async);
	struct list got, *node;
	bool finished;

	list_init(&got);
	uv_mutex_lock(&t->lock);
	while ((node = list_pop(&t->done)))
		list_push(&got, node);
	finished = t->finished;
	uv_mutex_unlock(&t->lock);
	while ((node = list_pop(&got))) {
		struct job *job = container_of(node, struct job, node);

		job->done(job);
	}
	if (!finished)
		return;
	must(uv_thread_join(&t->thread) == 0);
	uv_mutex_destroy(&t->lock);
	uv_cond_destroy(&t->wake);
	uv_close((uv_handle_t *)&t->async, t->closed);
}

static int load_usage(struct store_thread *t)
{
	struct buf b = {0};
	int r;

	r = t->ops->get(t->engine, slice_str(KEY_USAGE), false, &b);
	for (size_t i = 0; r == OK && i < STORE_ACCOUNTS; i++)
		if (b.n >= (i + 1) * 8)
			t->usage[i] = be_get64(b.p + i * 8);
	buf_fini(&b);
	return r == ERR_ABSENT ? OK : r;
}

static int check_format(struct store_thread *t, char why[STORE_WHY])
{
	struct slice key = slice_str(ENGINE_KEY_FORMAT);
	struct buf b = {0};
	char want[16];
	int r;

	snprintf(want, sizeof(want), "%d", STORE_FORMAT);
	r = t->ops->get(t->engine, key, false, &b);
	if (r == ERR_ABSENT) {
		t->ops->put(t->engine, key, slice_str(want));
		r = t->ops->commit(t->engine, ENGINE_SYNC, why);
	} else if (r == OK && !slice_is(buf_slice(&b), want)) {
		snprintf(why, STORE_WHY,
			 "%s: written in format %.*s, this release knows %s",
			 t->dir, (int)(b.n < 16 ? b.n : 16), b.p, want);
		r = ERR_FORMAT;
	} else if (r < 0) {
		snprintf(why, STORE_WHY, "%s: cannot be read", t->dir);
	}
	buf_fini(&b);
	return r;
}

int store_thread_start(struct store_thread *t, uv_loop_t *loop,
		       char why[STORE_WHY])
{
	int r = check_format(t, why);

	if (r == OK)
		r = load_usage(t);
	if (r < 0)
		return r;
	list_init(&t->todo);
	list_init(&t->done);
	if (uv_async_init(loop, &t->async, on_async) < 0) {
		snprintf(why, STORE_WHY, "%s: no wake-up for the loop", t->dir);
		return ERR_SYSTEM;
	}
	must(uv_mutex_init(&t->lock) == 0);
	must(uv_cond_init(&t->wake) == 0);
	must(uv_thread_create(&t->thread, thread_main, t) == 0);
	return OK;
}

void store_thread_post(struct store_thread *t, struct job *job)
{
	bool first;

	uv_mutex_lock(&t->lock);
	must(!t->stop);
	first = list_empty(&t->todo);
	list_push(&t->todo, &job->node);
	uv_mutex_unlock(&t->lock);
	if (first)
		uv_cond_signal(&t->wake);
}

void store_thread_stop(struct store_thread *t, uv_close_cb closed)
{
	t->closed = closed;
	uv_mutex_lock(&t->lock);
	t->stop = true;
	uv_mutex_unlock(&t->lock);
	uv_cond_signal(&t->wake);
}
