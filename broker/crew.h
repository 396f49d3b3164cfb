/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crew: the workers of one script. It hands runs to the least busy worker,
 * queues what they cannot take, replaces workers that die, and gives up for a
 * while when they only die.
 *
 *   restart at once, then after 100 ms, 200 ms, ... 30 s (+-20 %);
 *   five deaths without a single good answer open the breaker: runs fail with
 *   `unavailable` until a worker that was tried after the pause serves.
 */
#ifndef PF_BROKER_CREW_H
#define PF_BROKER_CREW_H

#include "broker/child.h"
#include "broker/script.h"

enum {
	CREW_AHEAD = 64,   /* runs sent to a worker beyond its lanes */
	CREW_QUEUE = 1024, /* runs that may wait */
	CREW_QUEUE_BYTES = 64 << 20,
	CREW_BREAKER = 5,  /* deaths in a row */
	CREW_LANES = 1024, /* of all its workers */
};

struct crew_ops;

/* A loading whose effects are under way. */
struct crew_load {
	void *child; /* struct child; NULL: it has died */
	struct crew *crew;
	const struct crew_ops *ops;
	void *arg;
	unsigned lanes;
	uint64_t serial;
};

struct crew_ops {
	/* A question of a worker about `run`; child_loading(run): while it
	 * loads. */
	int (*on_call)(void *arg, struct crew *crew, struct child *c,
		       struct run *run, const struct rpc *question);
	/* A log record of a worker. */
	void (*on_log)(void *arg, struct crew *crew, struct child *c,
		       const struct rpc *record);
	/* The script was loaded by a first worker (why empty), or cannot be:
	 * why is the error's text. Once. */
	void (*on_loaded)(void *arg, struct crew *crew, struct slice why);
	/* Commit the effects of a loading (run &c->load): exactly one later
	 * crew_applied(), or an error as in chain.h. NULL: nothing of it is
	 * committed (a trial). */
	int (*on_effects)(void *arg, struct crew *crew, struct crew_load *load,
			  struct slice effects);
	/* A loading has ended, well or not: what it put ahead may go. */
	void (*on_over)(void *arg, uint64_t serial);
	/* After on_loaded: script->hooks has changed. May be NULL. */
	void (*on_hooks)(void *arg, struct crew *crew);
	/* A worker that is locked and has no script, or NULL. */
	struct child *(*spawn)(void *arg, struct crew *crew);
	/* A worker's memory may go back. */
	void (*on_dead)(void *arg, struct crew *crew, struct child *c);
};

struct crew {
	struct script *script;
	const struct conf *conf;
	struct wheel *wheel;
	const struct crew_ops *ops;
	void *arg;
	struct child **workers; /* script->conf->workers of them, or NULL */
	unsigned nworkers;
	unsigned serving;
	struct list queue;
	size_t nqueue, queue_bytes;
	struct buf load;    /* the load request's map */
	bool told;	    /* on_loaded was called */
	bool hooks_known;   /* a worker has said them */
	bool stopping;	    /* no worker is replaced any more */
	unsigned deaths;    /* in a row, without a good answer */
	uint64_t *restarts; /* of each place in workers */
	struct wheel_timer restart;
};

int crew_new(struct script *script, const struct conf *conf,
	     struct wheel *wheel, const struct crew_ops *ops, void *arg,
	     struct crew **out) must_check;

/* Spawn the workers. */
void crew_start(struct crew *crew);

/*
 * Hand over a run (fields up to `extra`, done, owner set). `done` is called
 * exactly once, possibly before this returns (overloaded, unavailable).
 */
void crew_submit(struct crew *crew, struct run *run);

/* Take back a run that still waits in the queue: true, and `done` will not be
 * called. False: it is with a worker. */
bool crew_withdraw(struct crew *crew, struct run *run);

/* Kill all workers and replace none; queued runs fail as `shutting_down`. */
void crew_stop(struct crew *crew);

/* Kill all, so that fresh ones come; what is missing is tried now. */
void crew_restart(struct crew *crew);

/* The effects of a loading are committed (OK) or refused. Frees it. */
void crew_applied(struct crew_load *load, int status);

bool crew_idle(const struct crew *crew); /* no worker process is left */
void crew_free(struct crew *crew);	 /* idle ones only */

#endif
