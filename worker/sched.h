/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched: the worker's only loop: has the script loaded, begins events in the
 * order in which they arrive, on lanes that are free, and resumes lanes whose
 * answer has come. Between runs it writes, collects garbage, and waits.
 */
#ifndef PF_WORKER_SCHED_H
#define PF_WORKER_SCHED_H

#include "lib/list.h"
#include "worker/lane.h"
#include "worker/wire.h"

struct sched {
	struct wire wire;
	struct script script;
	struct lane_host host;
	bool loaded;
	unsigned nlanes;
	struct list free, waiting, ready; /* lanes */
	struct list queue, spare;	  /* events that wait for a lane */
	struct lane *volatile running;
	volatile uint32_t run_id;    /* that memory is spent for; 0: none */
	volatile sig_atomic_t asked; /* SIGUSR1 came while none was running */
};

int sched_init(struct sched *s, int fd) must_check;
void sched_fini(struct sched *s);

/* Serve until the broker closes the socket; the exit code of the process. */
int sched_run(struct sched *s);

/* For loader.c. The process ends there, with the code that tells the broker
 * why; if it is an error; a new lane, on no list; a request for later. */
__attribute__((noreturn)) void sched_end(int code);
void sched_check(int code);
struct lane *sched_lane(struct sched *s);
void sched_enqueue(struct sched *s, const struct rpc *msg);

/* Async-signal-safe: the running lane shall look at its deadline (SIGUSR1). If
 * it is late, the broker is told which run that is. */
void sched_arm(struct sched *s);

/* Likewise: the heap is three quarters full. */
void sched_collect(struct sched *s);

/* The heap is full, see heap_last_words(). */
void sched_last_words(void *sched);

#endif
