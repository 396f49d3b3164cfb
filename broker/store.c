/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the loop side of writing. Start at store_apply(): it puts a batch's
 * operations into the overlay and the open group; on_turn() sends the group
 * when the thread has none; on_group() clears it from the overlay and calls
 * back. Reads are in store_read.c, the thread in store_thread.c.
 */
#include <stdlib.h>

#include "broker/store/ballast.h"
#include "broker/store/format.h"
#include "broker/store_loop.h"

enum {
	LOOP_GROUPS = 4, /* that one turn writes by itself */
	SLOW_US = 2000,
	THREAD_MS = 1000,
};

static void group_init(struct group *g)
{
	*g = (struct group){.sync = g->sync, .job = {.done = g->job.done}};
	list_init(&g->job.node);
	list_init(&g->batches);
	g->job.work = store_thread_write;
}

static void overlay_drop(struct store *s, struct group *g)
{
	list_each(node, next, &g->batches)
	{
		struct store_batch *b =
			container_of(node, struct store_batch, node);

		for (size_t i = 0; i < b->n; i++) {
			struct store_op *op = &b->op[i];

			if (!op->skip && map_get(&s->overlay, op->key) == op)
				map_del(&s->overlay, op->key);
		}
	}
}

static uint64_t growth_of(const struct store_batch *b, size_t account)
{
	int64_t charge = b->charge[account];

	return b->growth[account] + (charge > 0 ? (uint64_t)charge : 0);
}

/* Moves g's batches to `over`; g is as new. */
static void group_take(struct store *s, struct group *g, struct list *over)
{
	struct list *node;

	overlay_drop(s, g);
	while ((node = list_pop(&g->batches))) {
		struct store_batch *b =
			container_of(node, struct store_batch, node);

		for (size_t i = 1; i < STORE_ACCOUNTS; i++)
			s->growth[i] -= growth_of(b, i);
		list_push(over, node);
	}
	s->status.pending_bytes -= g->bytes;
	group_init(g);
}

/* Takes the batch. */
static void tell(struct store_batch *b, int status)
{
	struct list *node;

	b->cb(b->arg, status);
	while ((node = list_pop(&b->followers))) {
		struct store_follower *f =
			container_of(node, struct store_follower, node);

		f->cb(f->arg, status);
	}
	store_batch_free(b);
}

static void maybe_stop(struct store *s);
static void on_turn(uv_prepare_t *turn);

static void want_turn(struct store *s)
{
	if (!s->flight && s->open->n > 0)
		uv_prepare_start(&s->turn, on_turn);
}

static void send_group(struct store *s)
{
	must(!s->flight && s->open->n > 0);
	s->flight = s->open;
	s->open = s->flight == &s->group[0] ? &s->group[1] : &s->group[0];
	s->flight->sync = s->sync;
}

/* Only the page cache can make it wait. One that took long is the last for a
 * while: the loop has others to serve. */
static bool write_here(struct store *s)
{
	uint64_t start = uv_hrtime();
	int r;

	if (s->jobs > 0 || s->flight->bytes >= s->loop_bytes ||
	    start / 1000000 < s->thread_until_ms)
		return false;
	r = store_thread_try_write(&s->thread, &s->flight->job);
	if (uv_hrtime() - start > SLOW_US * 1000)
		s->thread_until_ms = start / 1000000 + THREAD_MS;
	return r == OK;
}

static void on_group(struct store *s, struct group *g);

static void on_again(uv_idle_t *again)
{
	uv_idle_stop(again);
}

/*
 * Before the loop waits. What the callbacks of a group have applied is the
 * next group's, and whatever else they have begun must not wait for what
 * happens to wake the loop up: so it goes round once more.
 */
static void on_turn(uv_prepare_t *turn)
{
	struct store *s = container_of(turn, struct store, turn);

	for (int i = 0; i < LOOP_GROUPS && s->open->n > 0; i++) {
		send_group(s);
		if (!write_here(s)) {
			store_thread_post(&s->thread, &s->flight->job);
			break;
		}
		on_group(s, s->flight);
		uv_idle_start(&s->again, on_again);
	}
	if (!s->flight && s->open->n > 0) {
		send_group(s);
		store_thread_post(&s->thread, &s->flight->job);
	}
	uv_prepare_stop(turn);
}

static void on_group(struct store *s, struct group *g)
{
	int status = g->job.status;
	struct list over, *node;

	memcpy(s->usage, g->usage, sizeof(s->usage));
	s->freed = g->freed;
	s->status.full = g->full;
	s->status.groups++;
	s->flight = NULL;
	list_init(&over);
	group_take(s, g, &over);
	/* What came after may have been computed from what has failed. */
	if (status < 0)
		group_take(s, s->open, &over);
	while ((node = list_pop(&over))) {
		struct store_batch *b =
			container_of(node, struct store_batch, node);

		s->status.batches++;
		s->status.failed += status < 0;
		tell(b, status);
	}
	want_turn(s);
	store_tidy_seen(s);
	maybe_stop(s);
}

/* Two small functions instead of a pointer to the store in each group. */
static void on_group_0(struct job *job)
{
	struct group *g = container_of(job, struct group, job);

	on_group(container_of(g, struct store, group[0]), g);
}

static void on_group_1(struct job *job)
{
	struct group *g = container_of(job, struct group, job);

	on_group(container_of(g, struct store, group[1]), g);
}

/* Undo the first n operations of a batch that could not all be entered. */
static void overlay_undo(struct store *s, struct store_batch *b, size_t n,
			 struct store_op **below)
{
	while (n-- > 0) {
		struct store_op *op = &b->op[n];

		map_del(&s->overlay, op->key);
		if (!below[n])
			continue;
		if (below[n]->group == s->open)
			below[n]->skip = false;
		/* There is room: the map had as many a moment ago. */
		must(map_put(&s->overlay, below[n]->key, below[n], NULL) == 0);
	}
}

static int overlay_add(struct store *s, struct store_batch *b)
{
	struct store_op *few[STORE_BATCH_FEW], **below = few;
	int r = OK;

	if (b->n > STORE_BATCH_FEW)
		below = calloc(b->n, sizeof(*below));
	if (!below)
		return ERR_NOMEM;
	for (size_t i = 0; i < b->n; i++) {
		void *old = NULL;

		r = map_put(&s->overlay, b->op[i].key, &b->op[i], &old);
		if (r < 0) {
			overlay_undo(s, b, i, below);
			break;
		}
		below[i] = old;
		if (below[i] && below[i]->group == s->open)
			below[i]->skip = true;
	}
	if (below != few)
		free(below);
	return r;
}

static int allowed(const struct store *s, const struct store_batch *b)
{
	if (s->closing)
		return ERR_CLOSED;
	if (!b)
		return ERR_NOMEM;
	if (b->error)
		return b->error;
	if (s->status.pending_bytes + store_batch_size(b) > s->queue_bytes)
		return ERR_FULL;
	for (size_t i = 1; s->account_max && i < STORE_ACCOUNTS; i++) {
		uint64_t growth = growth_of(b, i);

		if (growth &&
		    s->usage[i] + s->growth[i] + growth > s->account_max)
			return ERR_FULL;
	}
	return OK;
}

int store_apply(struct store *s, struct store_batch *b,
		void (*cb)(void *arg, int status), void *arg)
{
	int r = allowed(s, b);

	if (r == OK) {
		store_batch_seal(b, s->open);
		r = overlay_add(s, b);
	}
	if (r < 0) {
		store_batch_free(b);
		return r;
	}
	b->cb = cb;
	b->arg = arg;
	list_push(&s->open->batches, &b->node);
	s->open->n++;
	s->open->bytes += store_batch_size(b);
	s->status.pending_bytes += store_batch_size(b);
	for (size_t i = 1; i < STORE_ACCOUNTS; i++)
		s->growth[i] += growth_of(b, i);
	want_turn(s);
	return OK;
}

struct store_batch *store_gathering(struct store *s, struct slice key,
				    uint8_t **value, size_t *n)
{
	struct store_op *op = map_get(&s->overlay, key);

	if (!op || op->del || op->group != s->open || s->closing)
		return NULL;
	*value = (uint8_t *)op->value.p;
	*n = op->value.n;
	return op->batch;
}

void store_follow(struct store_batch *b, struct store_follower *f)
{
	list_push(&b->followers, &f->node);
}

static void defaults(struct store_options *o)
{
	if (!o->floor_bytes)
		o->floor_bytes = 64 << 20;
	if (!o->queue_bytes)
		o->queue_bytes = 128 << 20;
	if (!o->cache_bytes)
		o->cache_bytes = 64 << 20;
	if (!o->write_buffer_bytes)
		o->write_buffer_bytes = 32 << 20;
	if (!o->tidy_bytes)
		o->tidy_bytes = 64 << 20;
	if (!o->tidy_ms)
		o->tidy_ms = 10000;
}

static void start(struct store *s, const struct store_options *o)
{
	s->sync = o->durability == STORE_DISK;
	s->account_max = o->account_max;
	s->queue_bytes = o->queue_bytes;
	s->loop_bytes = s->sync ? 0 : o->loop_bytes;
	memcpy(s->usage, s->thread.usage, sizeof(s->usage));
	s->open = &s->group[0];
	group_init(&s->group[0]);
	group_init(&s->group[1]);
	s->group[0].job.done = on_group_0;
	s->group[1].job.done = on_group_1;
	must(uv_prepare_init(s->loop, &s->turn) == 0);
	must(uv_idle_init(s->loop, &s->again) == 0);
	store_tidy_init(s, o);
}

/* For the start on a full disk; what is refused stays as it is. */
static int make_room(const char *dir, uint64_t floor, char why[STORE_WHY])
{
	int r = format_check(dir, why);

	if (r < 0 && r != ERR_ABSENT)
		return r;
	return floor ? ballast_release(dir, why) : OK;
}

int store_open(struct store **out, uv_loop_t *loop, const char *dir,
	       const struct store_options *options, char why[STORE_WHY])
{
	struct store_options o = *options;
	struct store *s = calloc(1, sizeof(*s));
	struct store_thread *t;
	int r = ERR_NOMEM;

	*why = 0;
	if (!s)
		return r;
	defaults(&o);
	t = &s->thread;
	s->loop = loop;
	t->floor = o.kind == STORE_MEM ? 0 : o.floor_bytes;
	t->ops = o.kind == STORE_MEM ? &engine_mem : &engine_rocksdb;
	t->dir = strdup(dir);
	if (t->dir)
		r = o.kind == STORE_MEM ? OK : make_room(dir, t->floor, why);
	if (r == OK)
		r = t->ops->open(&t->engine, dir, &o, why);
	if (r == OK) {
		r = store_thread_start(t, loop, why);
		if (r < 0)
			t->ops->close(t->engine);
	}
	if (r < 0) {
		free(t->dir);
		free(s);
		return r;
	}
	start(s, &o);
	if (t->floor)
		ballast_fill(dir, t->floor);
	*out = s;
	return OK;
}

static void on_tidy_closed(uv_handle_t *handle)
{
	struct store *s =
		container_of((uv_timer_t *)handle, struct store, tidy.timer);
	void (*cb)(void *arg) = s->close_cb;
	void *arg = s->close_arg;

	map_fini(&s->overlay);
	free(s->thread.dir);
	free(s);
	cb(arg);
}

static void on_again_closed(uv_handle_t *handle)
{
	struct store *s =
		container_of((uv_idle_t *)handle, struct store, again);

	store_tidy_close(s, on_tidy_closed);
}

static void on_turn_closed(uv_handle_t *handle)
{
	struct store *s =
		container_of((uv_prepare_t *)handle, struct store, turn);

	uv_close((uv_handle_t *)&s->again, on_again_closed);
}

static void on_thread_closed(uv_handle_t *handle)
{
	struct store *s =
		container_of((uv_async_t *)handle, struct store, thread.async);

	uv_close((uv_handle_t *)&s->turn, on_turn_closed);
}

static void maybe_stop(struct store *s)
{
	if (!s->closing || s->stopped || s->jobs || s->flight || s->open->n)
		return;
	s->stopped = true;
	store_thread_stop(&s->thread, on_thread_closed);
}

void store_close(struct store *s, void (*cb)(void *arg), void *arg)
{
	must(!s->closing);
	s->closing = true;
	s->close_cb = cb;
	s->close_arg = arg;
	maybe_stop(s);
}

int store_job_allowed(const struct store *s)
{
	if (s->closing)
		return ERR_CLOSED;
	return s->jobs < STORE_MAX_JOBS ? OK : ERR_FULL;
}

void store_job_post(struct store *s, struct job *job)
{
	s->jobs++;
	store_thread_post(&s->thread, job);
}

void store_job_over(struct store *s)
{
	s->jobs--;
	maybe_stop(s);
}

void store_status(const struct store *s, struct store_status *out)
{
	*out = s->status;
	memcpy(out->usage, s->usage, sizeof(out->usage));
}

uv_loop_t *store_loop(const struct store *s)
{
	return s->loop;
}
