/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: the worker's one socket, blocking.
 *
 * Reading takes all that has arrived into one buffer; wire_next() hands out
 * whole messages that point into it. Writing gathers: answers are sent when
 * WIRE_BATCH of them have gathered, or WIRE_CALLS questions of runs that wait,
 * when WIRE_FULL bytes wait, and (the caller's duty) before every wait. So
 * neither side makes a system call per event when there are many, and nothing
 * is ever held back to wait for more. Behind a run that takes long the broker
 * asks for it (SIGUSR1): wire_say().
 */
#ifndef PF_WORKER_WIRE_H
#define PF_WORKER_WIRE_H

#include <signal.h>

#include "lib/buf.h"
#include "proto/rpc.h"
#include "proto/scan.h"

enum {
	WIRE_BATCH = 16, /* measured: 12 to 16 keep three processes busy */
	WIRE_CALLS = 8,	 /* half the lanes ask while the others compute */
	WIRE_FULL = 256 << 10,
	WIRE_ROOM = 64 << 10, /* what a read offers at least */
};

struct wire {
	int fd;
	uint8_t *in; /* in[at..n) is what was read and not yet handed out */
	size_t at, n, cap;
	struct scan scan;
	struct buf out;
	unsigned answers; /* in `out` since the last flush */
	unsigned calls;	  /* likewise */
	size_t whole;	  /* bytes of `out` that are whole messages */
	volatile sig_atomic_t writing; /* between two messages if not */
	uint32_t next_id;	       /* of the calls that the worker makes */
};

int wire_init(struct wire *w, int fd) must_check;
void wire_fini(struct wire *w); /* closes the fd; accepts a zeroed wire */

/*
 * The next message of what was read: 1; 0 when no whole one is left;
 * ERR_FORMAT or ERR_RANGE: the bytes make no sense. *msg points into the
 * buffer and lives until wire_read().
 */
int wire_next(struct wire *w, struct rpc *msg) must_check;

/* Wait for more bytes and read all that are there. ERR_CLOSED at the end. */
int wire_read(struct wire *w) must_check;

/* Write all that was gathered. ERR_CLOSED when nobody listens any more. */
int wire_flush(struct wire *w) must_check;

/* An answer is complete in `out`: flush when enough have gathered. Returns 1
 * when it flushed, 0 when not. */
int wire_answered(struct wire *w) must_check;

/* The same for a question whose run waits now. */
int wire_called(struct wire *w) must_check;

/* All of `out` is whole messages now. */
static inline void wire_mark(struct wire *w)
{
	w->whole = w->out.n;
}

/* Write what was gathered now, in the midst of a run, unless that is writing a
 * message. ERR_CLOSED when nobody listens any more. */
int wire_say(struct wire *w) must_check;

/* Tell the broker which run is running, 0 for none: `running [id]`, unless that
 * is writing. Async-signal-safe. */
void wire_running(struct wire *w, uint32_t run_id);

/* The process ends here and now: write the messages that are whole, so that
 * no other event pays for the one that ended it, and then which run that was, 0
 * when it is not sure. Allocates nothing. */
void wire_last_words(struct wire *w, uint32_t run_id);

#endif
