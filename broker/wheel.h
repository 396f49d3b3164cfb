/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel: all deadlines of the broker on one coarse timer. Starting and
 * stopping cost a list operation and no system call; a deadline fires at most
 * one grain late, never early.
 */
#ifndef PF_BROKER_WHEEL_H
#define PF_BROKER_WHEEL_H

#include <uv.h>

#include <stdbool.h>

#include "lib/list.h"

enum {
	WHEEL_GRAIN_MS = 2,
	WHEEL_SLOTS = 8192, /* a power of two; sixteen seconds around */
};

struct wheel {
	uv_loop_t *loop;
	uv_timer_t timer;
	uint64_t armed_ms; /* what the timer waits for; 0: nothing */
	bool running;	   /* inside the timer's callback */
	uint64_t tick;	   /* the last grain that was run */
	struct list slots[WHEEL_SLOTS];
	uint64_t used[WHEEL_SLOTS / 64]; /* slots that may hold something */
};

struct wheel_timer {
	struct list node;
	uint64_t due_ms; /* by uv_now(); 0: not started */
	void (*fire)(struct wheel_timer *timer);
};

void wheel_init(struct wheel *w, uv_loop_t *loop);
void wheel_close(struct wheel *w); /* nothing fires any more */

void wheel_timer_init(struct wheel_timer *t,
		      void (*fire)(struct wheel_timer *timer));

/* (Re)start: fire once, after delay_ms. */
void wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t delay_ms);
void wheel_stop(struct wheel_timer *t); /* also when it is not started */

static inline bool wheel_started(const struct wheel_timer *t)
{
	return t->due_ms != 0;
}

#endif
