/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_tidy: gives back to the disk what large values took that are no more.
 * An engine keeps those in files of their own and gives a file up once it has
 * come across all that was deleted; which it does when it has other work, and
 * after a burst there is none. First what is in memory has to be written, then
 * the engine is told to look; both on the storage thread, which only begins
 * them. Start at store_tidy_seen().
 */
#include "broker/store_loop.h"

static void post(struct store *s,
		 void (*work)(struct store_thread *t, struct job *job),
		 void (*done)(struct job *job))
{
	s->tidy.job = (struct job){.work = work, .done = done};
	list_init(&s->tidy.job.node);
	store_job_post(s, &s->tidy.job);
}

static void compact_later(struct store *s);

static void on_compacted(struct job *job)
{
	struct store *s = container_of(job, struct store, tidy.job);

	s->tidy.busy = false;
	if (job->status == ERR_AGAIN)
		compact_later(s);
	else
		store_tidy_seen(s);
	store_job_over(s);
}

static void on_written(uv_timer_t *timer)
{
	struct store *s = container_of(timer, struct store, tidy.timer);

	if (!s->closing)
		post(s, store_thread_compact, on_compacted);
}

static void compact_later(struct store *s)
{
	if (s->closing)
		return;
	s->tidy.busy = true;
	uv_timer_start(&s->tidy.timer, on_written, s->tidy.ms / 5, 0);
}

static void on_flushed(struct job *job)
{
	struct store *s = container_of(job, struct store, tidy.job);

	compact_later(s);
	store_job_over(s);
}

static void on_due(uv_timer_t *timer)
{
	struct store *s = container_of(timer, struct store, tidy.timer);

	if (s->closing)
		return;
	s->tidy.done = s->freed;
	post(s, store_thread_flush, on_flushed);
}

void store_tidy_seen(struct store *s)
{
	if (s->tidy.busy || s->closing ||
	    s->freed - s->tidy.done < s->tidy.bytes)
		return;
	s->tidy.busy = true;
	uv_timer_start(&s->tidy.timer, on_due, s->tidy.ms, 0);
}

void store_tidy_init(struct store *s, const struct store_options *o)
{
	s->tidy.bytes = o->tidy_bytes;
	s->tidy.ms = o->tidy_ms;
	must(uv_timer_init(s->loop, &s->tidy.timer) == 0);
	uv_unref((uv_handle_t *)&s->tidy.timer);
}

void store_tidy_close(struct store *s, uv_close_cb closed)
{
	uv_close((uv_handle_t *)&s->tidy.timer, closed);
}
