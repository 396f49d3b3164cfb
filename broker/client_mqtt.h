/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_mqtt: what the broker itself reads of an MQTT hook's parameters,
 * [table, {deadline_ms, traceparent}?]. Private to client.c.
 */
#ifndef PF_BROKER_CLIENT_MQTT_H
#define PF_BROKER_CLIENT_MQTT_H

#include "lib/buf.h"
#include "proto/event.h"
#include "proto/rpc.h"

/*
 * NULL, or what is wrong: no map, a key that hooks know with another type.
 * head->id is client_id. With a mountpoint that is not "" `key` gets the
 * ordering key (else it stays empty): order is kept for each client of each
 * mountpoint.
 */
const char *client_mqtt_read(const struct rpc *rpc, struct event_head *head,
			     struct slice *table, struct buf *key);

/*
 * Make `key` a copy of `msg` with the key behind it, and the slices of `head`
 * parts of that; returns where it starts. Without memory: msg.p, and `key` is
 * msg's copy no more (use it only when it has bytes).
 */
const uint8_t *client_mqtt_join(struct buf *key, struct slice msg,
				struct event_head *head);

#endif
