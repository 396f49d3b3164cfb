/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mqtt_verdict: what an entry of the auth cache says to an event's table (a
 * raw map), as a packed verdict (mods.h) that fits the hook. v5: the hook is
 * the one for MQTT 5. No state.
 */
#ifndef PF_BROKER_MQTT_VERDICT_H
#define PF_BROKER_MQTT_VERDICT_H

#include "proto/acl.h"

void mqtt_publish_verdict(const struct acl *acl, struct slice table, bool v5,
			  struct buf *out);
void mqtt_subscribe_verdict(const struct acl *acl, struct slice table, bool v5,
			    struct buf *out);

/* Nothing is denied there in the end: with `deny` it happens as asked. */
void mqtt_unsubscribe_verdict(const struct acl *acl, struct slice table,
			      bool v5, struct buf *out);

/* A text of the table; empty when it is absent or no text. */
struct slice mqtt_text(struct slice table, const char *key);

#endif
