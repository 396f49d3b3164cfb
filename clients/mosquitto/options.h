/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options: the lines `plugin_opt_NAME VALUE` of mosquitto.conf
 * (docs/mosquitto.md).
 */
#ifndef PF_MOSQUITTO_OPTIONS_H
#define PF_MOSQUITTO_OPTIONS_H

#include "lib/buf.h"

struct mosquitto_opt;

struct options {
	char *socket;	      /* of pinfoldd */
	char *mountpoint;     /* what every hook is told; "" */
	int timeout_ms;	      /* one question to pinfoldd */
	size_t queue;	      /* bytes of notifications that may wait */
	bool defer;	      /* pinfoldd is gone: ask Mosquitto's others */
	bool ignore_mods;     /* modifiers that cannot be applied are ignored */
	bool kick;	      /* a denied publish ends an MQTT 3.1.1 client */
	bool late_publish_m5; /* auth_on_publish_m5 sees properties (2.0) */
	bool delayed_auth;    /* logins do not hold the broker (2.1) */
};

/* ERR_TYPE: `why` says which option is wrong, in one line. ERR_NOMEM. */
int options_init(struct options *o, const struct mosquitto_opt *opts, int n,
		 struct buf *why) must_check;
void options_fini(struct options *o);

#endif
