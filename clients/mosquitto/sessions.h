/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions: one record for each `struct mosquitto *` whose login this plugin
 * has seen, because Mosquitto does not say enough at the end of a session:
 *
 * - a client that takes another's place is authorised before the old one's
 *   DISCONNECT comes, and by then the old one's clean flag reads true
 * - an offline durable session gets a second DISCONNECT when its client is
 *   back; a refused login gets one with a NULL client id
 * - pointers are used again after they were freed
 *
 *   NEW --login accepted--> ONLINE --DISCONNECT--> OFFLINE (durable)
 *                             |                      |
 *                             +-- taken over, gone --+--> ENDED --tick--> freed
 *
 * An ENDED one stays until the next tick, since its will is asked about after
 * its DISCONNECT; with MQTT 5 a will may be delayed, so there it stays until
 * its pointer stands for another client.
 */
#ifndef PF_MOSQUITTO_SESSIONS_H
#define PF_MOSQUITTO_SESSIONS_H

#include "clients/mosquitto/filters.h"
#include "lib/list.h"
#include "lib/map.h"

struct mosquitto;

enum session_state {
	SESSION_NEW, /* logging in; others decide, or it is not over */
	SESSION_ONLINE,
	SESSION_OFFLINE,
	SESSION_ENDED,
};

struct session {
	struct mosquitto *client; /* a key; only asked while it is alive */
	struct list ended;	  /* ENDED: of those */
	struct list kick;	  /* to be disconnected at the next tick */
	struct list same;	  /* of one client id, newest first */
	char *client_id;
	char *auth_method; /* extended authentication */
	enum session_state state;
	int version; /* 3, 4, 5 */
	bool clean;
	bool known;	 /* its login went through this plugin */
	bool cached;	 /* which gave it an entry of the auth cache */
	bool registered; /* on_register has been sent */
	bool no_publish, no_subscribe, no_unsubscribe;
	uint32_t call; /* delayed login: the question's id */
	bool waiting;  /* for its answer */
	struct filters filters;
};

struct sessions {
	struct map by_client, by_id;
	struct list ended, kicks;
};

void sessions_init(struct sessions *s);
void sessions_fini(struct sessions *s);

struct session *session_find(const struct sessions *s,
			     const struct mosquitto *client);
/* The newest of that client id. */
struct session *session_of_id(const struct sessions *s, struct slice client_id);
/* Another one of the same client id that is not ENDED, or NULL. */
struct session *session_older(const struct session *s);

/* Begin a NEW one; what that pointer stood for before is freed. NULL: no
 * memory, or the client has no id. */
struct session *session_begin(struct sessions *s, struct mosquitto *client);

/* The end: it can still be found by its pointer. */
void session_end(struct sessions *s, struct session *it);
void session_free(struct sessions *s, struct session *it);
void sessions_sweep(struct sessions *s); /* at a tick */

/* True for every one whose will may be asked about: not online any more, or
 * another one with its client id has come. */
bool session_is_past(const struct sessions *s, const struct session *it);

#endif
