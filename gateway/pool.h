/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: connections of one kind to one server, each a thread of its own, and
 * the queue of jobs before them.
 *
 *   pool_submit --> queued --> running --> done list --> front.c answers
 *                      \--pool_withdraw--> (the caller's again)
 *
 * Threads start when there is work that nobody idle can take. A connection
 * is made when a job needs it. When that fails the pool is down: jobs fail
 * at once as `unavailable`, but for one a second that tries again; so it
 * comes back without help, and nobody waits for a dead server.
 *
 * The main thread owns pools and tasks; a running task belongs to the thread
 * that runs it until it is on the done list.
 */
#ifndef PF_GATEWAY_POOL_H
#define PF_GATEWAY_POOL_H

#include <pthread.h>

#include "gateway/provider.h"
#include "lib/list.h"

enum {
	POOL_QUEUE = 1024,	 /* jobs that wait, a pool */
	POOL_CONNECT_MS = 5000,	 /* one attempt, whatever the job's deadline */
	POOL_RETRY_MS = 1000,	 /* while it is down */
	POOL_STACK = 1024 << 10, /* of a thread */
	POOL_NAME = 128,
};

/* Tasks that are over; an eventfd wakes the main thread. */
struct done {
	pthread_mutex_t lock;
	struct list tasks;
	int fd;
};

int done_init(struct done *d) must_check;
void done_take(struct done *d, struct list *tasks); /* all of them */
void done_fini(struct done *d);

struct seat; /* a thread and its connection */

struct task {
	struct list node; /* of the pool's queue, then of the done list */
	struct pool *pool;
	struct job job;
	struct buf bytes;  /* what the job's slices point into */
	bool connect_only; /* ensure_pool() of an eager provider */
	bool queued;	   /* in the pool's queue; its lock */
	struct seat *seat; /* who runs it; the pool's lock */
	/* for front.c, main thread only */
	struct list inflight;
	uint32_t id;
	bool answered;
};

struct task *task_new(struct slice bytes); /* a copy; NULL: no memory */
void task_free(struct task *t);

/* Counters for `status`. */
struct pool_stats {
	unsigned size, threads, connected, queue;
	uint64_t calls, errors;
	bool down;
};

struct pool {
	struct list node;
	const struct provider *provider;
	char name[POOL_NAME];
	void *settings;
	unsigned size;
	struct buf target; /* "HOST:PORT" */
	struct done *done;
	/* Written under the lock, a line about an outage, for the log. */
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct list queue;
	unsigned nqueue, idle, nseats, connected;
	struct seat **seats; /* size of them */
	bool closing, down, trying, served;
	uint64_t retry_ms;
	uint64_t calls, errors;
	struct buf news; /* text for the log that nobody has taken */
};

/* `settings` as for provider.pool_open(). ERR_TYPE and `why`; ERR_NOMEM. */
int pool_new(const struct provider *provider, struct slice name,
	     struct slice settings, struct done *done, struct pool **out,
	     struct buf *why) must_check;

/* ERR_FULL: too much waits; ERR_NOMEM: no thread. The task stays the
 * caller's then. */
int pool_submit(struct pool *p, struct task *t) must_check;

/* Take it back if no thread has it yet. */
bool pool_withdraw(struct pool *p, struct task *t);

/* It runs past its deadline: shut its socket down, so that a library which
 * does not look at the time comes back. */
void pool_interrupt(struct pool *p, struct task *t);

/* Has a connection ever been made? */
bool pool_served(struct pool *p);

void pool_stats(struct pool *p, struct pool_stats *out);

/* Appends what there is to say to the log, a line each. */
void pool_news(struct pool *p, struct buf *out);

/* Tell its threads to end when their jobs are done. Tasks that wait come
 * back to `waiting`. */
void pool_close(struct pool *p, struct list *waiting);

/* Wait for them until then; false: one hangs, and the pool must stay. */
bool pool_join(struct pool *p, uint64_t deadline_ms) must_check;
void pool_free(struct pool *p); /* joined ones */

#endif
