/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run: one script's turn with one event, on its way through a crew and a
 * child. Whoever starts it (chain.c) owns the memory, and gets exactly one
 * call of `done`.
 *
 *   queued --> sent --> begun --> done
 *      \__________________________/   (withdrawn, overloaded, unavailable)
 */
#ifndef PF_BROKER_RUN_H
#define PF_BROKER_RUN_H

#include "broker/wheel.h"
#include "lib/slice.h"
#include "proto/proto.h"

enum { RUN_HEAD = 1024 }; /* what a run has around event, ops and extra */

struct child;
struct run;

/*
 * A question that a worker waits for and that is answered later. Whoever
 * answers it owns the memory; when the run ends first, `run` becomes NULL and
 * the answer has nobody to go to.
 */
struct call {
	struct run *run;
	uint32_t id; /* msgid of the question */
};

/* How a run ended. Slices live until `done` returns. */
struct outcome {
	enum code code;		/* CODE_OK or why it failed */
	struct slice message;	/* when it failed */
	struct slice traceback; /* may be empty */
	struct slice ops; /* checked sequence of ops; of an MQTT hook a checked
			   * verdict (mods.h) that is not `next`, or empty */
	uint32_t nops;
	bool finish;	      /* the ops hold ctx.set_finish; there is a
			       * verdict */
	struct slice effects; /* unchecked sequence of effects */
	struct child *child;  /* the worker that answered, or NULL */
	uint64_t us;	      /* from its begin to its answer; 0: never begun */
};

enum run_state {
	RUN_IDLE,
	RUN_QUEUED, /* in the crew's queue */
	RUN_SENT,   /* in a worker's socket */
	RUN_BEGUN,  /* one of the oldest `concurrency` unanswered */
};

struct run {
	struct list node; /* of the crew's queue or the child's list */
	enum run_state state;
	enum hook hook;
	struct slice event; /* the map as the worker gets it */
	struct slice ops;   /* of earlier scripts */
	uint32_t nops;
	struct slice extra; /* map that overrides keys of the event, or empty */

	struct child *child; /* from sent on */
	uint32_t id;	     /* msgid towards the worker */
	uint64_t serial;     /* of this turn; never used twice */
	struct call *call;   /* the question that it waits for, or NULL */
	bool called;	     /* it has made a call: never run it again */
	bool late;	     /* past its deadline: every call fails now */
	bool unwanted;	     /* answered before it began: has no effect */
	uint64_t begun_us;
	uint64_t late_ms; /* when it became late */
	struct wheel_timer timer;
	uint8_t tries; /* how often it was handed to a worker */

	void (*done)(struct run *run, const struct outcome *outcome);
	void *owner; /* the event, for calls about it */
};

/*
 * Can a worker with `memory` bytes be given it? What arrives takes a few times
 * its size while it grows, so: a quarter, and one message at most.
 */
static inline bool run_fits(const struct run *run, uint64_t memory)
{
	size_t size = run->event.n + run->ops.n + run->extra.n;

	return size <= memory / 4 && size <= PROTO_MAX_INTERNAL - RUN_HEAD;
}

#endif
