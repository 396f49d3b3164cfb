/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mqtt_client: the MQTT brokers among the clients (those that said hello with
 * the cap "mqtt"): they are told of the auth cache's changes, and asked to
 * disconnect, to reauthorize and to publish (PROTOCOL.md 4).
 */
#ifndef PF_BROKER_MQTT_CLIENT_H
#define PF_BROKER_MQTT_CLIENT_H

#include "broker/client.h"
#include "broker/mqtt.h"

enum { MQTT_ASK_MS = 2000, MQTT_ASKS = 4096 };

/* Zeroed memory is one that knows nobody. */
struct mqtt_clients {
	struct client_house *house;
	struct mqtt *mqtt;
	struct list asks; /* questions under way */
	size_t nasks;
};

/* Become mqtt's ops: `acl` and `acl.drop` notifications. */
void mqtt_clients_open(struct mqtt_clients *mc, struct client_house *house,
		       struct mqtt *mqtt);
void mqtt_clients_close(struct mqtt_clients *mc);

/* A notification that is no hook: acl.refresh of an MQTT broker is answered
 * with `acl` or `acl.drop`. False: it is none of ours. */
bool mqtt_clients_hear(struct mqtt_clients *mc, struct client *c,
		       const struct rpc *rpc);

enum mqtt_told {
	MQTT_NONE,    /* no MQTT broker is connected */
	MQTT_REFUSED, /* all answered, none with "ok" */
	MQTT_SILENT,  /* some did not answer in time, none said "ok" */
	MQTT_OK,      /* one did; the others may still be at it */
	MQTT_BUSY,    /* MQTT_ASKS are under way: not asked */
};

/*
 * Ask all of them `method [params]` (params: one raw map). `done` is called
 * exactly once, possibly before this returns, and at most MQTT_ASK_MS later;
 * also when the client's own hook is under way: nothing waits for its answer.
 */
void mqtt_clients_ask(struct mqtt_clients *mc, const char *method,
		      struct slice map,
		      void (*done)(void *arg, enum mqtt_told told), void *arg);

#endif
