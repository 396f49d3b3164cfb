/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: the connection to pinfoldd, on Mosquitto's only thread.
 *
 *   DOWN --connect--> HELLO --answered--> UP
 *     ^                 |                  |
 *     +--- lost, or nothing heard ---------+
 *
 * It connects again by itself (wire_tick) with back-off. A question waits in
 * poll() for its answer until its deadline, and meanwhile serves whatever
 * else arrives, so that a script that asks us something cannot deadlock.
 * Notifications are only queued, in a bounded queue, and never wait.
 */
#ifndef PF_MOSQUITTO_WIRE_H
#define PF_MOSQUITTO_WIRE_H

#include "clients/c/pinfold_client.h"
#include "clients/mosquitto/options.h"

enum wire_state {
	WIRE_DOWN,
	WIRE_HELLO,
	WIRE_UP,
};

/* Callbacks must not call wire_* but for pf_answer() and pf_refuse() on the
 * client they get. Slices live until they return. */
struct wire_ops {
	void (*request)(void *arg, struct pf_client *c,
			const struct pf_item *item);
	void (*notification)(void *arg, const struct pf_item *item);
	/* an answer to wire_send() */
	void (*answer)(void *arg, const struct pf_item *item);
	/* answers to wire_send() that were awaited will not come */
	void (*lost)(void *arg);
	void (*log)(void *arg, bool bad, const char *text);
	/* it is UP; `same`: to the run of pinfoldd that it was UP to before */
	void (*connected)(void *arg, bool same);
};

enum { WIRE_SESSION = 64 };

struct wire {
	const struct options *options;
	const struct wire_ops *ops;
	void *arg;
	enum wire_state state;
	int fd;
	struct pf_client *client;
	uint32_t hello_id;
	int64_t hello_until;
	int64_t retry_at, backoff_ms;
	int64_t looked_at; /* the tick that read last */
	unsigned silent;   /* deadlines passed without a byte in between */
	bool told_down;	   /* its loss has been logged */
	char session[WIRE_SESSION]; /* of pinfoldd's last run, or "" */
	bool hooks_known;	    /* stays over a loss */
	uint64_t hooks;	  /* those that are served: bit per enum hook */
	uint64_t dropped; /* notifications, ever */
	uint64_t said;	  /* of them, in the log */
	int64_t say_at;	  /* not before */
	struct buf args;
	uint8_t *chunk; /* to read into */
};

/* ERR_NOMEM. Nothing is connected yet. */
int wire_init(struct wire *w, const struct options *o,
	      const struct wire_ops *ops, void *arg) must_check;
void wire_fini(struct wire *w);

/* Does any script serve it, as far as we know? True when nobody has told. */
bool wire_serves(const struct wire *w, enum hook hook);

/* Would a question be sent now? May make one attempt to connect. */
bool wire_ready(struct wire *w);

/*
 * Ask `hook [table, {deadline_ms}]` and wait. 0: *out is the PF_RESULT or
 * PF_ERROR; its slices live until the wire is used again. ERR_CLOSED: nobody
 * is there (the policy decides). ERR_TIMEOUT; ERR_RANGE: too large; ERR_FULL;
 * ERR_NOMEM.
 */
int wire_ask(struct wire *w, enum hook hook, struct slice table,
	     struct pf_item *out) must_check;

/* The same without waiting: `tag` (not NULL) comes back with ops->answer. */
int wire_send(struct wire *w, enum hook hook, struct slice table, void *tag,
	      uint32_t *id) must_check;
void wire_forget(struct wire *w, uint32_t id);

/* Fire and forget; what finds no room is dropped and counted: false. */
bool wire_notify(struct wire *w, enum hook hook, struct slice table);

/* A notification that can wait: false when there is no room for it now, or
 * nobody to send it to. wire_push() writes it. */
bool wire_tell(struct wire *w, const char *method, struct slice map) must_check;
void wire_push(struct wire *w);

/* Connect, write, read and serve what is there; never waits. */
void wire_tick(struct wire *w);

int64_t wire_now(void); /* ms, monotonic */

#endif
