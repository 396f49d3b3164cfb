/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mqtt: what the broker itself does around MQTT hooks: the auth cache answers
 * before any script, and the end of a session takes an entry away. No
 * sockets: who is told of changes is in mqtt_client.h.
 */
#ifndef PF_BROKER_MQTT_H
#define PF_BROKER_MQTT_H

#include "broker/auth_cache.h"
#include "broker/chain.h"

struct mqtt_ops {
	/* `entry` is the newest one of its client now. `asker` is the event
	 * whose answer will carry it (mqtt_acl), or NULL; `replaced`: there
	 * was another one before. */
	void (*on_entry)(void *arg, const struct acl *entry,
			 const struct event *asker, bool replaced);
	/* The client has no entry any more. */
	void (*on_drop)(void *arg, struct slice mountpoint,
			struct slice client_id);
	/* Nobody has. */
	void (*on_clear)(void *arg);
};

struct mqtt {
	struct auth_cache *cache;
	const struct mqtt_ops *ops; /* NULL: nobody is told */
	void *arg;
};

/* ttl_ms: of entries that name none; 0: for ever. ERR_NOMEM. */
int mqtt_init(struct mqtt *m, struct wheel *wheel, uint64_t ttl_ms) must_check;
void mqtt_fini(struct mqtt *m);

/*
 * The turn of an event has come (its `table` is the raw map): call this once,
 * before any script, and also when no script serves the hook. Needs no struct
 * event, so that it may be asked before one is made, when nothing of the same
 * client_id is under way.
 *
 * on_client_offline, on_client_gone, on_session_expired: the oldest entry of
 * the client is removed; false.
 * auth_on_publish, auth_on_subscribe, on_unsubscribe and their _m5: true when
 * the client has an entry; `verdict` then holds a packed verdict (mods.h),
 * which is the answer. Everything else: false.
 */
bool mqtt_answer_cached(struct mqtt *m, enum hook hook, struct slice table,
			struct buf *verdict);

/* For the answer to auth_on_register(_m5): the value of its key `acl` (a raw
 * map), when a run of this event inserted an entry for its own client and the
 * client still has one; else empty. Lives until the cache is used again. */
struct slice mqtt_acl(struct mqtt *m, const struct event *ev);

/* auth_cache.insert of a run of `ev` (NULL: while loading); errors and `warn`
 * as auth_cache_insert(). */
int mqtt_insert(struct mqtt *m, struct event *ev, const struct acl_source *src,
		void (*warn)(void *arg, struct slice line),
		void *arg) must_check;

/* All entries of a client go, or of all clients; how many those were. It is
 * told also when there were none: who keeps copies may have older ones. */
size_t mqtt_drop(struct mqtt *m, struct slice mountpoint,
		 struct slice client_id);
size_t mqtt_clear(struct mqtt *m);

#endif
