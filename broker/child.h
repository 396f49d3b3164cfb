/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child: the broker's view of one worker process: its socket, its process and
 * the runs it has been given.
 *
 *   STARTING --ready--> SPARE --child_load--> LOADING --loaded--> SERVING
 *       \_________________\______________________\___________________\--> DYING
 *   DYING --end of stream and exit status both seen--> dead: on_dead, once
 *
 * The worker is a stranger: a response to nothing, an op that is none, a call
 * out of turn end it (SIGKILL), never the broker. The child owns every
 * deadline of its runs (house rule: no clock of the worker is trusted).
 */
#ifndef PF_BROKER_CHILD_H
#define PF_BROKER_CHILD_H

#include <sys/types.h>

#include "broker/layers.h"
#include "broker/link.h"
#include "broker/run.h"
#include "lib/affinity.h"
#include "proto/rpc.h"

enum {
	CHILD_SLOTS = 1024,    /* runs given to one worker at most */
	CHILD_BYTES = 8 << 20, /* that wait for its socket, unless it idles */
};

enum child_state {
	CHILD_STARTING,
	CHILD_SPARE,
	CHILD_LOADING,
	CHILD_SERVING,
	CHILD_DYING,
};

/* Why a worker is gone. */
struct child_death {
	int status;	   /* of waitpid */
	enum code code;	   /* for the runs that were begun: crashed, memory */
	const char *cause; /* a word for the log */
};

struct child_ops {
	/* Locked down (SPARE). */
	void (*on_ready)(struct child *c, void *arg);
	/* The answer to child_load(): its raw map, or with `failed` the
	 * error's. When it went well, child_serve() is due, now or later.
	 * ERR_* kills the worker. */
	int (*on_loaded)(struct child *c, void *arg, struct slice map,
			 bool failed);
	/* A question; while loading, run is &c->load. Answer by child_answer()
	 * or child_refuse(), now or later. ERR_* kills the worker. */
	int (*on_call)(struct child *c, void *arg, struct run *run,
		       const struct rpc *question);
	/* A log record: [run_id, level, msg, attrs]. */
	void (*on_log)(struct child *c, void *arg, const struct rpc *record);
	/* A run has ended; there is room for another one. */
	void (*on_room)(struct child *c, void *arg);
	/* A run that cannot have begun is handed back (state IDLE). */
	void (*on_return)(struct child *c, void *arg, struct run *run);
	/* This run has ended it, surely; it fails next. Never of a worker
	 * without runs. */
	void (*on_culprit)(struct child *c, void *arg, const struct run *run);
	/* Everything of it has ended; child_free() is due. */
	void (*on_dead)(struct child *c, void *arg,
			const struct child_death *death);
};

struct child_slot {
	struct run *run;
	uint32_t seq;
};

struct child {
	struct list node; /* of whoever owns it */
	struct link link;
	const struct child_ops *ops;
	void *arg;
	pid_t pid;
	enum child_state state;
	bool ended, reaped, link_closed;
	bool strict;	 /* see child_house */
	bool starved;	 /* while loading, a call of it could not be served:
			  * later it might */
	bool distrusted; /* broke a rule: nothing it says counts any more */
	int status;
	const char *cause;   /* why we killed it, or NULL */
	struct run *culprit; /* the late run that it was killed for */
	uint32_t running;    /* the run that it has named last, or 0 */

	/* of the script it serves */
	unsigned concurrency;
	uint64_t timeout_ms; /* while loading: of that, for its grace */

	struct list sent; /* runs, oldest first; the first nbegun have begun */
	unsigned nsent, nbegun;
	unsigned free_slots[CHILD_SLOTS];
	unsigned nfree;
	struct child_slot slots[CHILD_SLOTS];
	struct wheel_timer timer; /* of starting and loading */
	struct wheel_timer watch; /* child_watch.c */
	uint64_t heard_ms;	  /* when it said something last */
	const struct affinity *affinity;
	bool confined;	      /* kept off the spared processors */
	cpu_set_t processors; /* confined: where it could run before */
	struct run load;  /* stands for the loading in calls: BEGUN meanwhile,
			   * without an owner, not in `sent` */
	void **kept;	  /* the crew's; set to NULL when this is freed */
	uint64_t answers; /* good ones since the spawn */

	char held[LAYERS_MAX][LAYERS_NAME];
	unsigned nheld;
	char missing[LAYERS_MAX][LAYERS_NAME];
	unsigned nmissing;
	char failed[LAYERS_NAME + 8]; /* "sandbox:LAYER", or empty */
};

/* Everything a child needs of the house. */
struct child_house {
	struct turn *turn;
	struct wheel *wheel;
	bool strict; /* a worker that lacks an optional layer is ended */
	const struct affinity *affinity; /* the nursery's */
};

/* Take over a spawned worker (its pid and our end of its socket). NULL: no
 * memory; the caller then closes fd and kills the pid. */
struct child *child_new(const struct child_house *house, pid_t pid, int fd,
			const struct child_ops *ops, void *arg) must_check;
void child_free(struct child *c); /* dead ones only */

/* Hand it over to another owner (a spare to a crew). */
void child_adopt(struct child *c, const struct child_ops *ops, void *arg);

/* SPARE -> LOADING; `params` is the load request's values, packed. */
void child_load(struct child *c, struct slice params, uint32_t nparams,
		uint64_t load_timeout_ms);

/* LOADING -> SERVING: it was loaded and takes runs on so many lanes. */
void child_serve(struct child *c, unsigned concurrency, uint64_t timeout_ms);

/* Is it the loading, not a run of an event? */
static inline bool child_loading(const struct run *run)
{
	return run->child && run == &run->child->load;
}

/* The run that a worker named by its id, or NULL. */
struct run *child_run(struct child *c, uint32_t id);

/* Is there room for one more run, `ahead` of its lanes at most? */
bool child_has_room(const struct child *c, unsigned ahead);
void child_send(struct child *c, struct run *run); /* there is room */

/* The answer to the question `id` of `run`: pack one value into what comes
 * back. */
struct buf *child_answer(struct child *c, struct run *run, uint32_t id);
void child_refuse(struct child *c, struct run *run, uint32_t id, enum code code,
		  const char *message);

/* The same with a code of calls only: "badarg" raises in the script. */
void child_refuse_word(struct child *c, struct run *run, uint32_t id,
		       const char *code, struct slice message);

/* Answer it later: `call` stays the caller's, see run.h. */
void child_defer(struct run *run, struct call *call, uint32_t id);

/* The cause of a kill at the broker's own end: its runs get shutting_down. */
#define CHILD_STOPPED "stopped"

/* SIGKILL, with a word for the log. What it was given ends through on_dead. */
void child_kill(struct child *c, const char *cause);

/* A SIGCHLD came: has this one ended? */
void child_reap(struct child *c);

#endif
