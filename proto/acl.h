/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acl: which topics an MQTT client may publish and subscribe to, compiled from
 * what a script gave to auth_cache.insert, and the match. Shared by the broker
 * and the Mosquitto plugin, so that a cached decision costs no message. No
 * I/O, no clock.
 *
 * On the wire an entry is the map {mountpoint, client_id, username,
 * publish=[rule...], subscribe=[rule...], ttl_ms (0: none)}; a rule is
 * {pattern, max_qos, modifiers?} and for publish also {max_payload_size,
 * allowed_retain}. In a canonical entry all of that is checked, %m, %u and %c
 * are replaced, and absent keys have their defaults.
 */
#ifndef PF_PROTO_ACL_H
#define PF_PROTO_ACL_H

#include "lib/buf.h"
#include "proto/proto.h"

enum {
	ACL_MAX_RULES = 4096, /* of one list */
	ACL_MAX_LEVELS = 128, /* of a topic */
	ACL_MAX_PAYLOAD = 268435456,
};

/* Who an entry is for, and its lists as a script gave them (raw values, empty
 * or nil: none). */
struct acl_source {
	struct slice mountpoint, client_id, username;
	struct slice publish, subscribe;
	uint64_t ttl_ms;
	unsigned
		max_levels; /* deeper patterns are refused; 0: ACL_MAX_LEVELS */
};

/*
 * Append the canonical entry to `out`. What a script got wrong (an unknown
 * key, a value out of range, a pattern that is none, a modifier that is none)
 * is left out and told to `warn`, one line each; the rule stays.
 * ERR_TYPE: a list is no array of maps. ERR_RANGE: too many rules.
 */
int acl_canonical(const struct acl_source *src, struct buf *out,
		  void (*warn)(void *arg, struct slice line),
		  void *arg) must_check;

struct acl; /* compiled; immutable */

/* From canonical bytes (copied). ERR_FORMAT, ERR_TYPE, ERR_NOMEM. */
int acl_new(struct slice canonical, struct acl **out) must_check;
void acl_free(struct acl *a); /* NULL is fine */

/* Its canonical bytes; live as long as the acl. And parts of them. */
struct slice acl_bytes(const struct acl *a);
struct slice acl_mountpoint(const struct acl *a);
struct slice acl_client_id(const struct acl *a);
struct slice acl_username(const struct acl *a);
struct slice acl_publish(const struct acl *a);	 /* raw array */
struct slice acl_subscribe(const struct acl *a); /* raw array */
uint64_t acl_ttl_ms(const struct acl *a);

/* Bytes of memory that it takes. */
size_t acl_memory(const struct acl *a);

/*
 * The first rule that passes, in declared order: 1 and *mods (its raw
 * modifiers; empty: none); 0: none passes, that is deny. ERR_FORMAT: the topic
 * is none. A subscription's filter is matched as a topic: level by level,
 * equal, or a rule's `+` with anything, or its last `#` with any rest.
 */
int acl_publish_match(const struct acl *a, struct slice topic, unsigned qos,
		      size_t payload_bytes, bool retain,
		      struct slice *mods) must_check;
int acl_subscribe_match(const struct acl *a, struct slice filter, unsigned qos,
			struct slice *mods) must_check;

#endif
