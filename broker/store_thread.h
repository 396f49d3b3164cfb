/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_thread: the storage thread: jobs go in, in order, and come back on
 * the loop, in the same order.
 *
 * That order is what the store's promises stand on: when a read comes back,
 * every write that the thread had not done before it is still in the overlay.
 */
#ifndef PF_BROKER_STORE_THREAD_H
#define PF_BROKER_STORE_THREAD_H

#include "broker/store/engine.h"
#include "broker/store_batch.h"

struct store_thread;

/* Embedded in what the job is about. */
struct job {
	struct list node;
	void (*work)(struct store_thread *t, struct job *job); /* thread */
	void (*done)(struct job *job);			       /* loop */
	int status;
};

/* The batches that are written together. */
struct group {
	struct job job;
	struct list batches;
	size_t n, bytes;
	uint64_t usage[STORE_ACCOUNTS]; /* after it, set by who wrote it */
	uint64_t freed;			/* in all, likewise */
	bool sync, full;
};

struct store_thread {
	uv_thread_t thread;
	uv_mutex_t lock;
	uv_cond_t wake;
	struct list todo, done; /* under lock */
	bool stop, finished;	/* under lock */
	uv_async_t async;
	uv_close_cb closed;

	/* The thread's own; the loop's while the thread has nothing to do. */
	struct engine *engine;
	const struct engine_ops *ops;
	char *dir;
	uint64_t usage[STORE_ACCOUNTS];
	uint64_t freed; /* bytes of large values that are no more */
	uint64_t floor, space_at_ms, since_space;
	bool full;
};

/*
 * `t` has engine, ops, dir and floor set. Reads the counted usage and checks
 * or records the format: errors as store_open().
 */
int store_thread_start(struct store_thread *t, uv_loop_t *loop,
		       char why[STORE_WHY]) must_check;

/* job->done comes once, later, on the loop. */
void store_thread_post(struct store_thread *t, struct job *job);

/*
 * The thread ends after all posted jobs, and closes the engine; then `closed`
 * on the loop with t->async, after which t's memory is free to go.
 */
void store_thread_stop(struct store_thread *t, uv_close_cb closed);

/* The works of jobs: see engine.h. */
void store_thread_flush(struct store_thread *t, struct job *job);
void store_thread_compact(struct store_thread *t, struct job *job);

/* The work of a group's job. */
void store_thread_write(struct store_thread *t, struct job *job);

/*
 * The same, on the loop, while the thread has no job: all that was posted is
 * back. ERR_AGAIN: it would have to wait, for a read of the disk, for the
 * engine to make room, or for free space; nothing was done. Else OK, and
 * job->status is set.
 */
int store_thread_try_write(struct store_thread *t, struct job *job) must_check;

#endif
