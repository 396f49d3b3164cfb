/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain: one event's walk over the scripts of its hook, which it pinned at its
 * start, and the follow-up runs of error.lua.
 *
 *   chain_start --> run script, commit its effects, append its ops --+
 *        ^___________________________________________________________|
 *   end of the list --> answer (once) --> error.lua runs --> done (once)
 *
 * When the deadline passes first, `answer` comes early; what runs, runs on.
 * The event's bytes are copied once, when it arrives, and freed only here.
 */
#ifndef PF_BROKER_CHAIN_H
#define PF_BROKER_CHAIN_H

#include "broker/crew.h"
#include "proto/event.h"

struct event;
struct chain_house;

enum { CHAIN_WHAT = 128, CHAIN_BLOBS = 8 };

struct failure {
	struct script *script; /* pinned by the event's roster */
	enum code code;
	bool fails;		   /* policy: the whole hook fails with it */
	char *message, *traceback; /* owned; traceback may be NULL */
};

struct chain_ops {
	/*
	 * Commit the effects of a run that ended well: exactly one later call
	 * of chain_applied(). ERR_FORMAT: they are no effects (the worker
	 * lies); any other error: they were refused. `what` (CHAIN_WHAT
	 * bytes, empty at first) may get the effect that it was about.
	 */
	int (*apply)(void *arg, struct event *ev, struct script *script,
		     struct slice effects, char *what);
	/* A run that had asked something is over: what it had put ahead and
	 * not named may go. */
	void (*over)(void *arg, uint64_t serial);
	/* No event and no roster needs this script any more. */
	void (*gone)(void *arg, struct script *script);
};

/* All events of a broker. */
struct chain_house {
	struct wheel *wheel;
	const struct conf *conf;
	struct roster *roster; /* what new events get; one reference */
	const struct chain_ops *ops;
	void *arg;
	struct list spare; /* events to use again */
	size_t nspare;
	size_t running;
	uint64_t serial;
	void (*idle)(void *arg); /* running became 0; may be NULL */
	/* Sees every event that starts, and every run of error.lua that is
	 * due (then ev->erring, and ev->extra has the err); or NULL. */
	void (*tap)(void *arg, struct event *ev);
	void *tap_arg;
};

/* One range of a body that the proxy keeps (PROTOCOL.md 3). */
struct body_range {
	struct buf bytes;
	bool have, refused; /* neither: not asked for yet */
};

struct event {
	struct list node;      /* of the house's spares, or a client's events */
	struct list followers; /* the same key, later: they wait */
	struct list waiting;   /* node in the followers of another one */
	struct chain_house *house;
	enum hook hook;
	struct buf bytes;   /* the message as it came */
	struct slice map;   /* the event in it */
	struct slice id;    /* its ordering key; empty: none */
	struct slice trace; /* its traceparent; empty: none */
	struct buf trimmed; /* the event with large bodies taken out */
	struct slice view;  /* map or trimmed: what workers get */
	struct event_bodies bodies;
	bool bodies_known;
	struct body_range *ranges[BODY_COUNT];
	size_t nranges[BODY_COUNT];
	uint64_t hops; /* of a bus event: how many events led to it */

	/* the walk */
	struct roster *roster;
	struct script *only; /* run just this one (bus), or NULL */
	size_t at;
	struct run run;
	/* What the scripts answered: a sequence of ops, and whether one of
	 * them is ctx.set_finish; of an MQTT hook the one verdict (mods.h), or
	 * nothing, and whether the walk has ended with it. */
	struct buf ops;
	uint32_t nops;
	bool finish;
	struct buf pending_ops; /* of the run whose effects are written */
	uint32_t pending_nops;
	bool pending_finish;
	struct buf extra;
	struct failure *failures;
	size_t nfailures, failures_cap;
	size_t error_at; /* failure whose error.lua runs are due */
	bool erring;
	struct wheel_timer deadline;
	uint64_t arrived_ms;
	int64_t budget_ms; /* what the caller leaves us; -1: not said */
	bool answered;
	bool expired;	/* its deadline passed while it had not begun */
	bool abandoned; /* the caller is gone */
	bool dry;	/* a trial: calls that write are denied, no error.lua,
			 * no counts; apply() only looks at the effects */
	bool acl;	/* a run has put an entry of the event's own client into
			 the auth cache (mqtt.c) */
	uint64_t us;	/* of the last run that ended */

	/* the caller's */
	void *client;
	uint32_t msgid;
	bool notification;
	void (*answer)(struct event *ev); /* the result stands in ev */
	void (*done)(struct event *ev);	  /* then call event_free() */
	/* blobs that calls of this event's runs were told of (call.c) */
	uint64_t blobs[CHAIN_BLOBS];
	unsigned nblobs;
};

void chain_init(struct chain_house *house, struct wheel *wheel,
		const struct conf *conf, const struct chain_ops *ops,
		void *arg);
void chain_fini(struct chain_house *house);

/* Make `roster` current (takes the reference). */
void chain_switch(struct chain_house *house, struct roster *roster);

/* A blank event, or NULL when memory is short. */
struct event *event_new(struct chain_house *house) must_check;
void event_free(struct event *ev);

/*
 * Give it its content, once its hook is set: a copy of msg, of which map and
 * id are parts. Also trims large bodies of HTTP events. ERR_TYPE: a body is of
 * the wrong type.
 */
int event_fill(struct event *ev, struct slice msg, struct slice map,
	       struct slice id) must_check;

/* `traceparent`, part of the msg that filled it: goes into log lines. */
void event_trace(struct event *ev, struct slice msg, struct slice traceparent);

/* Start walking. The clock runs since event_fill(). */
void chain_start(struct event *ev);

/* It may not start yet. When its deadline passes meanwhile, it is answered
 * (`expired`); chain_start() is due all the same. */
void chain_wait(struct event *ev);

/* The effects of the run are committed (OK) or refused. */
void chain_applied(struct event *ev, int status);

/* The script whose turn it is; only between its start and its end. */
const struct script *chain_script(const struct event *ev);

/* Is there a script that serves this hook? */
bool chain_serves(const struct chain_house *house, enum hook hook);

/* The failure that the whole hook fails with, or NULL. */
const struct failure *event_error(const struct event *ev);

/* Bodies of the event, found when first asked for. */
int event_find_bodies(struct event *ev) must_check;

#endif
