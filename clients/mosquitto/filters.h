/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filters: what one session has subscribed to, as far as this plugin has seen
 * it. Needed to ask about them again (vmq_api.reauthorize_subscriptions), and
 * to keep back what a filter that lost its right would deliver, since
 * Mosquitto 2.0 offers no way to remove a subscription.
 */
#ifndef PF_MOSQUITTO_FILTERS_H
#define PF_MOSQUITTO_FILTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FILTERS_MOST = 10000,
	FILTERS_BYTES = 1 << 20,
};

struct filter {
	char *topic;
	uint8_t qos;
	bool ours;    /* a script allowed it, not another plugin */
	bool revoked; /* a later question was answered with no */
};

/* Zeroed memory is a valid empty one. */
struct filters {
	struct filter *v;
	size_t n, cap, bytes;
	size_t nrevoked, nothers;
	bool lost; /* there were more than we keep */
};

void filters_fini(struct filters *f);

/* Add or replace. What finds no room is forgotten (`lost`). */
void filters_add(struct filters *f, const char *topic, uint8_t qos, bool ours);
void filters_remove(struct filters *f, const char *topic);
void filters_revoke(struct filters *f, size_t i, bool revoked);

/* May a message of that topic be delivered, as far as we know: has it a
 * filter of ours that is not revoked? *qos gets the highest of those. */
bool filters_match(const struct filters *f, const char *topic, uint8_t *qos);

/* Does a revoked one match? */
bool filters_revoked(const struct filters *f, const char *topic);

#endif
