/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acls: a copy of what scripts put into pinfold's auth cache for clients of
 * this broker, so that their publishes and subscribes cost no message.
 *
 * As there, a client may have several entries: the newest answers, and each
 * end of a session takes the oldest away.
 *
 * Copies outlive a connection. What happened while it was lost, here and
 * there, is asked and told on the next one (acls_ask), if that is to the same
 * run of pinfoldd. Another run knows nothing of them; they stay until it gives
 * that client an entry.
 */
#ifndef PF_MOSQUITTO_ACLS_H
#define PF_MOSQUITTO_ACLS_H

#include "lib/list.h"
#include "lib/map.h"
#include "proto/acl.h"

enum { ACLS_ASK = 256 }; /* questions that await their answer */

struct acls {
	struct map clients; /* client id -> struct acls_client */
	/* each of them is in one of these: */
	struct list current;  /* as on this connection, or on the last one */
	struct list doubtful; /* to be asked about */
	struct list asked;    /* about which the answer is awaited */
	struct list foreign;  /* of another run of pinfoldd */
	unsigned run;	      /* counts those */
};

void acls_init(struct acls *a);
void acls_fini(struct acls *a); /* leaves it empty */

/*
 * A canonical entry (acl.h). `renews`: it takes the place of the newest one,
 * if there is one, else it is one more. ERR_FORMAT, ERR_TYPE, ERR_NOMEM.
 */
int acls_insert(struct acls *a, struct slice canonical, bool renews,
		int64_t now) must_check;

/* The newest one, unless its ttl is over, or NULL. Lives until the next
 * change of `a`. */
const struct acl *acls_find(const struct acls *a, struct slice client_id,
			    int64_t now);

/* A session ended: its oldest entry goes. Of which run that was. */
enum acls_run {
	ACLS_NONE,  /* it had no entry */
	ACLS_THIS,  /* pinfoldd has it, too */
	ACLS_OTHER, /* pinfoldd never heard of it, and must not count its end */
};
enum acls_run acls_remove_oldest(struct acls *a, struct slice client_id);
void acls_drop(struct acls *a, struct slice client_id); /* all of them */

/* A session ended to which this run gave an entry, and it could not be told:
 * it will be, by acls_ask(). */
void acls_owe(struct acls *a, struct slice client_id);

/* There is a new connection; `same`: to the run that the last one was to. */
void acls_connected(struct acls *a, bool same);

/* Ask about some of those in doubt, once each, unless answers are awaited:
 * insertions and drops. `ended`: sessions of which pinfoldd has not heard.
 * `ask` is false when it could not; then that is all for now. It must not
 * change `a`. True when it has asked. */
bool acls_ask(struct acls *a,
	      bool (*ask)(void *arg, struct slice client_id, unsigned ended),
	      void *arg);

#endif
