/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host: what has to be known of the Mosquitto that loaded us and that its
 * interface does not tell.
 */
#ifndef PF_MOSQUITTO_HOST_H
#define PF_MOSQUITTO_HOST_H

#include <stdbool.h>

struct host {
	char version[16]; /* "2.0.11"; "" when it could not be found out */
	/*
	 * Who frees a topic and properties that MOSQ_EVT_MESSAGE replaced: up
	 * to 2.0.14 nobody, so we do; later the broker. When the version is
	 * not known we do not: a leak is better than freeing twice.
	 */
	bool we_free;
	const int *run; /* the broker's flag: 0 when it stops; or NULL */
	bool modern;	/* 2.1 or later */
};

void host_init(struct host *h);

/* Is the broker's loop over? Wills that are sent then are not announced by
 * any event. Not `known`: nobody can tell. */
bool host_stopping(const struct host *h, bool *known);

/*
 * Was the plugin loaded for one listener (per_listener_settings true)? Then
 * 2.0 never calls MOSQ_EVT_TICK, and half of its events lie. `identifier` is
 * what mosquitto_plugin_init() was given.
 */
bool host_per_listener(const struct host *h, const void *identifier);

#endif
