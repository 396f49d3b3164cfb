/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_cache: what auth_cache.insert has put there: compiled access lists of
 * MQTT clients, by mountpoint and client id. No sockets, no scripts, no clock
 * but the wheel's.
 *
 * One client may have several entries, since a session that takes over
 * another one is authorised before the old one ends: the newest answers, and
 * each end of a session takes the oldest away. Only what is newest is ever
 * used, so an older entry does not come back when a newer one expires.
 */
#ifndef PF_BROKER_AUTH_CACHE_H
#define PF_BROKER_AUTH_CACHE_H

#include "broker/wheel.h"
#include "lib/map.h"
#include "proto/acl.h"

enum {
	AUTH_CACHE_ENTRIES = 1 << 20,
	AUTH_CACHE_BYTES = 256 << 20,
	AUTH_CACHE_ENTRY_BYTES = 1 << 20, /* of one */
};

struct auth_cache;

struct auth_cache_options {
	uint64_t ttl_ms; /* of entries that name none; 0: for ever */
	size_t max_entries, max_bytes; /* 0: as above */
	unsigned max_levels;	       /* of patterns; 0: ACL_MAX_LEVELS */
	/* The newest entry of that client is no more (removed, dropped,
	 * expired, evicted), and none is in its place. May be NULL. */
	void (*on_drop)(void *arg, struct slice mountpoint,
			struct slice client_id);
	void *arg;
};

/* How often it was asked, and what it holds. */
struct auth_cache_counts {
	size_t entries, clients, bytes;
	uint64_t hits, misses, inserts, expired, evicted;
};

int auth_cache_new(struct wheel *wheel, const struct auth_cache_options *o,
		   struct auth_cache **out) must_check;
void auth_cache_free(struct auth_cache *c); /* NULL is fine; tells nobody */

/*
 * Add an entry. ttl_ms 0: the default. `session` says that it belongs to a
 * session that begins (auth_on_register of that client): always one more
 * entry; otherwise it takes the place of a newest one that has expired.
 * Oldest entries of anybody go when there is no room. ERR_TYPE: a list is
 * none. ERR_RANGE: the entry is too large, has too many rules, or a name is
 * too long. ERR_NOMEM. `warn` as in acl.h. *out (may be NULL) gets the entry,
 * which lives until the cache is used again.
 */
int auth_cache_insert(struct auth_cache *c, const struct acl_source *src,
		      bool session, void (*warn)(void *arg, struct slice line),
		      void *arg, const struct acl **out) must_check;

/* The newest entry of a client, or NULL. Lives until the cache is used again.
 * `count`: it is asked for an answer (hits, misses). */
const struct acl *auth_cache_find(struct auth_cache *c, struct slice mountpoint,
				  struct slice client_id, bool count);

/* A session ended: its oldest entry goes. True when there was one. */
bool auth_cache_remove_oldest(struct auth_cache *c, struct slice mountpoint,
			      struct slice client_id);

/* All entries of a client; how many those were. */
size_t auth_cache_drop(struct auth_cache *c, struct slice mountpoint,
		       struct slice client_id);
/* Or of everybody; on_drop is not called. */
size_t auth_cache_drop_all(struct auth_cache *c);

/* One client as `cache show` has it. */
struct auth_cache_row {
	const struct acl *acl; /* the newest, never NULL */
	size_t entries;	       /* of this client */
	uint64_t age_ms;
	uint64_t left_ms; /* until it expires; 0: never does */
};

/* Of one client; false when it has none. Lives as auth_cache_find()'s. */
bool auth_cache_row(struct auth_cache *c, struct slice mountpoint,
		    struct slice client_id, struct auth_cache_row *out);

/* Walk, oldest client first, until `each` says false. No change meanwhile. */
void auth_cache_each(struct auth_cache *c,
		     bool (*each)(void *arg, const struct auth_cache_row *row),
		     void *arg);

void auth_cache_count(const struct auth_cache *c,
		      struct auth_cache_counts *out);

#endif
