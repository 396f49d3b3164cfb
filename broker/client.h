/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: one connection of a proxy or of a tool. It turns messages into
 * events, keeps those of one id in order, and writes answers.
 */
#ifndef PF_BROKER_CLIENT_H
#define PF_BROKER_CLIENT_H

#include "broker/chain.h"
#include "broker/link.h"
#include "lib/map.h"
#include "proto/rpc.h"

enum {
	CLIENT_MAX = 4096,		/* connections, descriptors allowing */
	CLIENT_CONTROL = 16,		/* of the control socket beyond that */
	CLIENT_KEEP_FILES = 512,	/* descriptors for everything else */
	CLIENT_BYTES = 64 << 20,	/* of events in flight, of one */
	CLIENT_TOTAL_BYTES = 512 << 20, /* and of all together */
	CLIENT_UNREAD = 64 << 20,	/* of answers that wait, of all */
	CLIENT_BEGUN = 256 << 20,	/* of messages not whole, of all */
};

struct client;

struct client_ops {
	/* A request or notification that is no hook and no hello, with
	 * `control` telling from which socket it came. False: unknown. */
	bool (*on_other)(void *arg, struct client *c, const struct rpc *rpc);
	/* The connection is over: forget it (subscriptions). Its memory goes
	 * once its last event has ended. */
	void (*on_gone)(void *arg, struct client *c);
};

struct client_house {
	struct turn *turn;
	struct wheel *wheel;
	struct chain_house *chains;
	struct mqtt *mqtt; /* answers before any script; NULL: none */
	const struct conf *conf;
	const char *session; /* this run's id, for hello */
	const struct client_ops *ops;
	void *arg;
	struct list clients;
	size_t nclients, max;
	void (*empty)(void *arg); /* of client_finish_all() */
	void *empty_arg;
	bool draining;	  /* hooks are refused with shutting_down */
	uint64_t dropped; /* notifications that were not taken */
	size_t bytes;	  /* of all events that have not ended */
	size_t unread;	  /* of answers that wait, at most */
	struct link_pool begun;
};

/* A question that we asked the client (body.get). */
struct client_question {
	struct list node;
	uint32_t id;
	/* answer NULL: the client is gone. Called once, then forgotten. */
	void (*on_answer)(struct client_question *q, const struct rpc *answer);
};

struct client {
	struct list node; /* of the house */
	struct link link;
	struct client_house *house;
	bool control; /* came over the control socket */
	bool hello;   /* wants `hooks` notifications */
	bool lazy;    /* agreed on lazy_body */
	bool mqtt;    /* agreed on mqtt: takes acl, acl.drop, mqtt.* */
	bool half;    /* sends no more; closed once all is answered */
	bool owed;    /* at the end: it has not read all it was told */
	bool gone;
	size_t inflight;    /* events that have not ended */
	size_t bytes;	    /* of those */
	size_t unread;	    /* of answers that wait, as noted last */
	struct list events; /* those */
	struct map order;   /* id -> the event that runs */
	struct list due;    /* events whose turn has come */
	bool starting;	    /* those are being started */
	struct list questions;
	uint32_t next_question;
	struct list subscriptions; /* of the admin room */
	void *tap;		   /* of the admin room: log.subscribe */
};

void client_house_init(struct client_house *house, struct turn *turn,
		       struct wheel *wheel, struct chain_house *chains,
		       const struct conf *conf);

/* Accept one connection of `listener`. */
int client_accept(struct client_house *house, uv_stream_t *listener,
		  bool control) must_check;

/* Tell the client what is wrong and close (PROTOCOL.md 1). */
void client_refuse(struct client *c, const char *message);
void client_close(struct client *c);

/* Ask; `q` stays the caller's until on_answer. Forget: no call any more. */
void client_ask(struct client *c, struct client_question *q, const char *method,
		uint32_t nparams, struct buf **out);
void client_forget(struct client_question *q);

/* Answer a request with an error. */
void client_fail(struct client *c, uint32_t id, enum code code,
		 const char *message);

/* Keep the client's memory while an answer to it is under way. */
void client_hold(struct client *c);
void client_release(struct client *c);

/* Tell every client that said hello which hooks are served now. */
void client_tell_hooks(struct client_house *house);

/* No new events; `goaway` to everybody. */
void client_drain(struct client_house *house, const char *reason);
void client_close_all(struct client_house *house);

/* Close each when all that was appended is written, and who is owed an answer
 * when it has read it; then call `empty`, once, possibly at once. */
void client_finish_all(struct client_house *house, void (*empty)(void *arg),
		       void *arg);

#endif
