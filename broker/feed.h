/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed: bus events for the scripts that subscribe to them (bus.lua), one at a
 * time and in the order of the bus.
 */
#ifndef PF_BROKER_FEED_H
#define PF_BROKER_FEED_H

#include "broker/bus.h"
#include "broker/chain.h"

struct feed;

/* Begin to feed a script from the bus's new events. Nothing when it has no
 * bus.lua or subscribes to nothing. Hung into script->feed. */
void feed_open(struct chain_house *chains, struct bus *bus,
	       struct script *script);

/* No event any more; one that runs ends by itself. */
void feed_close(struct script *script);

#endif
