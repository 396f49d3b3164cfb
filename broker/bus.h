/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus: events that scripts emit, as a bounded log in the store, numbered in
 * the order in which they were committed.
 *
 * In the store: 'b' u64be SEQ -> [time, name, from, data, hops] and "mbus",
 * the next number. Numbers rise, also over restarts; there may be gaps. The
 * oldest events go when there are more than max_events or they are older than
 * max_age_ms.
 *
 * A subscriber has a position and no queue: while it keeps up it gets events
 * as they are committed, otherwise the bus reads pages of the log for it.
 */
#ifndef PF_BROKER_BUS_H
#define PF_BROKER_BUS_H

#include "broker/store.h"
#include "lib/list.h"

enum {
	BUS_MAX_HOPS = 8, /* not delivered on to scripts from here on */
	BUS_MAX_NAME = 1024,
};

struct bus;
struct bus_sub;

struct bus_event {
	uint64_t seq;
	uint64_t time_ms; /* CLOCK_REALTIME */
	struct slice name;
	struct slice from; /* the script */
	struct slice data; /* one raw MessagePack value */
	uint32_t hops;	   /* events that led to this one */
};

/* Zero means the default. */
struct bus_options {
	uint64_t max_events;   /* 100,000 */
	uint64_t max_age_ms;   /* 7 days */
	uint64_t (*now)(void); /* ms of wall-clock time; tests set it */
};

/* Blocks for one read. `store` must outlive it. Errors as store_get_now(). */
int bus_open(struct bus **out, struct store *store,
	     const struct bus_options *options) must_check;

/* Drops all subscribers without a call. Before store_close(). */
void bus_close(struct bus *bus);

/* For calls that outlive bus_close(): the memory stays until all let go. */
void bus_ref(struct bus *bus);
void bus_unref(struct bus *bus);

/*
 * Events on their way into the log. bus_add() numbers an event and puts it
 * into the batch; it must be followed by store_apply() of that batch before
 * anything else is applied. bus_commit() is told what came of the batch, from
 * its callback (or at once when store_apply() refused), and then delivers.
 */
struct bus_tx {
	struct list events; /* bus_tx_init() */
};

void bus_tx_init(struct bus_tx *tx);

/* Copies name, from, data and hops of `event`; seq and time are the bus's.
 * ERR_NOMEM; ERR_FORMAT when data is no single value: give the transaction
 * up with bus_commit(). */
int bus_add(struct bus *bus, struct bus_tx *tx, struct store_batch *b,
	    const struct bus_event *event) must_check;
void bus_commit(struct bus *bus, struct bus_tx *tx, int status);

/* One event by itself; cb may be NULL. Errors as store_apply(). */
int bus_emit(struct bus *bus, const struct bus_event *event,
	     void (*cb)(void *arg, int status), void *arg) must_check;

struct bus_filter {
	const struct slice *names; /* exact, or a prefix before a final '*' */
	size_t n;
	uint64_t from;	     /* first number wanted; 0: only new events */
	struct slice script; /* a script's name: it gets neither its own
			      * events nor those with too many hops */
};

/*
 * cb per event, in order, on the loop, never before this returns. It answers
 * OK, or ERR_FULL: "not now"; the same event comes again after bus_resume().
 * It may call anything here. Slices of the event live until it returns. The
 * filter is copied. ERR_NOMEM, ERR_CLOSED.
 */
int bus_subscribe(struct bus *bus, const struct bus_filter *filter,
		  int (*cb)(void *arg, const struct bus_event *event),
		  void *arg, struct bus_sub **out) must_check;
void bus_resume(struct bus_sub *sub);

/* No callback any more. NULL is allowed. */
void bus_unsubscribe(struct bus_sub *sub);

/* The event as clients and bus.lua get it: {seq, time, name, from, data}. */
void bus_pack(struct buf *out, const struct bus_event *event);

/* The next number, and how many events were delivered to scripts no more
 * because of their hops. */
uint64_t bus_next_seq(const struct bus *bus);
uint64_t bus_dropped(const struct bus *bus);

/* Exact, or a prefix before a final '*'. */
bool bus_name_matches(struct slice pattern, struct slice name);

#endif
