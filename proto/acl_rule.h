/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acl_rule: what a topic and a pattern are. For acl*.c, and for who has to
 * check a topic before it is matched.
 */
#ifndef PF_PROTO_ACL_RULE_H
#define PF_PROTO_ACL_RULE_H

#include "lib/slice.h"

enum { ACL_MAX_TOPIC = 65535 };

/* May be subscribed to: not empty, no NUL, `+` and `#` alone in their level,
 * `#` the last one, and no more levels than that (0: any number). */
bool acl_is_filter(struct slice s, size_t max_levels);

/* May be published to: not empty, no NUL, no `+` and no `#`. */
bool acl_is_topic(struct slice s);

#endif
