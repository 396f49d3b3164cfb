/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_proc: one process of pinfold-gateway and the calls that it has.
 * Private to gateway.c, which decides when there is one.
 *
 *   STARTING --ready--> READY --proc_retire--> its calls end --proc_leave-->
 *   end of stream and exit status both seen: on_gone, once
 *
 * Calls may be sent as soon as there is one: it reads them when it is ready.
 */
#ifndef PF_BROKER_GATEWAY_PROC_H
#define PF_BROKER_GATEWAY_PROC_H

#include <sys/types.h>

#include "broker/gateway.h"
#include "broker/link.h"

struct gateway_pool {
	struct list node;
	struct buf params; /* of ensure_pool, packed */
	size_t key;	   /* so many bytes name provider and pool */
};

/* A call in flight. */
struct gateway_call {
	struct list node;
	struct gateway_proc *proc;
	uint32_t id;
	size_t bytes;
	struct gateway_pool *pool; /* to be remembered, owned; or NULL */
	struct wheel_timer timer;
	void (*done)(void *arg, const struct gateway_answer *a);
	void *arg;
};

struct gateway_proc {
	struct list node;
	struct gateway *gateway;
	struct link link;
	pid_t pid;
	int status;
	bool ready, ended, reaped, link_closed;
	bool retired; /* gets no new calls */
	bool leaving; /* was told to end */
	const char *cause;
	struct wheel_timer timer; /* of its start, then of its end */
	struct list calls;
	unsigned ncalls;
	struct gateway_call *slots[GATEWAY_CALLS];
	uint16_t free_slots[GATEWAY_CALLS];
	unsigned nfree;
	uint32_t seq;
	uint64_t log_second;
	unsigned log_lines;
	struct buf pools; /* what it last told of them: a raw array */
	char held[LAYERS_MAX][LAYERS_NAME];
	char missing[LAYERS_MAX][LAYERS_NAME];
	unsigned nheld, nmissing;
};

/* Start one; tells it the configuration and the pools. NULL: it cannot be
 * started (logged). */
struct gateway_proc *proc_spawn(struct gateway *g) must_check;

/* Can it be asked something? */
bool proc_serves(const struct gateway_proc *p);

/* A slot for a question; NULL: no memory. There must be a free one. */
struct gateway_call *proc_call(struct gateway_proc *p,
			       const struct gateway_question *q);

void proc_kill(struct gateway_proc *p, const char *cause);
void proc_retire(struct gateway_proc *p);
void proc_leave(struct gateway_proc *p); /* what it still has fails */
void proc_reap(struct gateway_proc *p);	 /* a SIGCHLD came */

/* gateway.c: a pool was ensured; takes call->pool if it keeps it. */
void gateway_remember(struct gateway *g, struct gateway_call *call);

/* gateway.c: it is gone; its memory is freed by the caller. */
void gateway_gone(struct gateway *g, struct gateway_proc *p);

#endif
