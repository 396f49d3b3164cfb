/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway: the broker's view of pinfold-gateway, the process that talks to
 * databases and web servers for scripts (gateway/front.h has its messages).
 *
 * It is started when it is first needed, started again when it ends (at once,
 * then after 100 ms, 200 ms, ... 30 s), and knows again the pools that were
 * ensured before. Calls that it had when it ended fail as `unavailable`; in
 * the pause before the next start all do, at once. Settings that change get a
 * new process, while the old one ends what it has.
 *
 * What it says is believed no more than a worker's words.
 */
#ifndef PF_BROKER_GATEWAY_H
#define PF_BROKER_GATEWAY_H

#include <uv.h>

#include "broker/layers.h"
#include "broker/turn.h"
#include "broker/wheel.h"
#include "lib/buf.h"

enum {
	GATEWAY_CALLS = 4096,	       /* in flight */
	GATEWAY_BYTES = 64 << 20,      /* of them */
	GATEWAY_POOLS = 256,	       /* that are remembered */
	GATEWAY_POOL_BYTES = 16 << 10, /* settings of one */
};

struct gateway_options {
	const char *path;  /* of the program; borrowed */
	unsigned uid, gid; /* 0: it keeps ours */
	bool strict;	   /* end one that lacks an optional layer */
};

struct gateway_proc; /* one process */
struct gateway_pool; /* one that was ensured */

struct gateway {
	struct turn *turn;
	struct wheel *wheel;
	struct gateway_options options;
	struct buf config;	  /* raw map: provider -> settings */
	struct gateway_proc *now; /* who gets new calls, or NULL */
	struct list procs;	  /* `now`, and those that end */
	struct list pools;
	size_t nprocs, npools, ncalls, bytes;
	struct wheel_timer restart;
	unsigned deaths; /* in a row, without a good answer */
	uint64_t restarts;
	bool wanted, stopping;
	uv_signal_t sigchld;
	void (*stopped)(void *arg);
	void *arg;
};

/* One question. Slices are borrowed until gateway_ask() returns. */
struct gateway_question {
	struct slice provider, op;
	struct slice pool;   /* raw: text or nil */
	struct slice args;   /* raw array; of ensure_pool its settings: a map */
	struct slice grants; /* raw array of prefixes, or nil */
	uint64_t timeout_ms;
};

/* Lives until the callback returns. */
struct gateway_answer {
	bool failed;
	struct slice value;	    /* raw, when it went well */
	struct slice code, message; /* when not: text */
};

void gateway_init(struct gateway *g, struct turn *turn, struct wheel *wheel,
		  const struct gateway_options *options);
/* After gateway_stop() has told, and before the loop ends. */
void gateway_close(struct gateway *g);

/* What is configured (raw map, or empty). When it differs from before, a new
 * process replaces the one that runs. ERR_NOMEM. */
int gateway_configure(struct gateway *g, struct slice providers) must_check;

/* Start it now; it starts by itself when it is asked something. */
void gateway_start(struct gateway *g);

/*
 * Ask: `done` is called once, later. The op "ensure_pool" is remembered when
 * it went well. ERR_FULL: too much is in flight; ERR_CLOSED: it is not there;
 * ERR_NOMEM.
 */
int gateway_ask(struct gateway *g, const struct gateway_question *q,
		void (*done)(void *arg, const struct gateway_answer *a),
		void *arg) must_check;

/* End all of them; what is in flight fails. `stopped` once, maybe at once. */
void gateway_stop(struct gateway *g, void (*stopped)(void *arg), void *arg);

/* Whom that pool talks to ("HOST:PORT"), as far as the gateway has told;
 * empty: not known, or the pool has no server of its own. */
struct slice gateway_target(const struct gateway *g, struct slice provider,
			    struct slice pool);

/* For `status`: one map, or nil when it was never needed. */
void gateway_pack_status(const struct gateway *g, struct buf *out);

#endif
