/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn: work that is done once at the end of a loop turn, whoever asked for it
 * and however often. It is why a socket sees one write per turn, not one per
 * message (batch by draining, never by waiting).
 */
#ifndef PF_BROKER_TURN_H
#define PF_BROKER_TURN_H

#include <uv.h>

#include "lib/err.h"
#include "lib/list.h"

enum { TURN_SCRATCH = 256 << 10 };

struct turn {
	uv_loop_t *loop;
	uv_prepare_t prepare;
	uv_check_t check;
	struct list tasks;
	uint64_t now_us; /* monotonic; read when a socket was read */
	/* Every socket reads into this first: an idle connection owns no
	 * input memory. Valid until the read callback returns. */
	uint8_t *scratch;
};

struct turn_task {
	struct list node;
	void (*run)(struct turn_task *task);
};

int turn_init(struct turn *t, uv_loop_t *loop) must_check;
void turn_close(struct turn *t); /* closes the handles; the loop runs on */
void turn_fini(struct turn *t);	 /* after the loop has ended */

void turn_task_init(struct turn_task *task,
		    void (*run)(struct turn_task *task));

/* Run the task before the loop next waits. Asking twice is once. */
void turn_later(struct turn *t, struct turn_task *task);
void turn_forget(struct turn_task *task);

/* Read the clock into now_us: once for all messages of one read. */
void turn_tick(struct turn *t);

#endif
