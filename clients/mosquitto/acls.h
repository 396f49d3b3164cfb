/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acls: a copy of what scripts put into pinfold's auth cache for clients of
 * this broker, so that their publishes and subscribes cost no message.
 *
 * As there, a client may have several entries: the newest answers, and each
 * end of a session takes the oldest away.
 */
#ifndef PF_MOSQUITTO_ACLS_H
#define PF_MOSQUITTO_ACLS_H

#include "lib/map.h"
#include "proto/acl.h"

/* Zeroed memory is a valid empty one. */
struct acls {
	struct map clients; /* client id -> struct acls_client */
};

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

/* A session ended: its oldest entry goes. True when it had one. */
bool acls_remove_oldest(struct acls *a, struct slice client_id);
void acls_drop(struct acls *a, struct slice client_id); /* all of them */

#endif
