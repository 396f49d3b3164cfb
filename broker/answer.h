/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer: what the broker writes to a client, as bytes. No state.
 */
#ifndef PF_BROKER_ANSWER_H
#define PF_BROKER_ANSWER_H

#include "broker/client.h"

/* The result (or the error) of an event that has been walked. */
void answer_event(struct buf *out, const struct event *ev);

/* The pairs verdict, reason?, mods? of an MQTT hook; how many those are. */
void answer_verdict(struct buf *out, const struct event *ev);
uint32_t answer_verdict_pairs(const struct event *ev);

/* The result when no script serves the hook. */
void answer_nothing(struct buf *out, uint32_t id, enum hook hook);

void answer_failure(struct buf *out, uint32_t id, enum code code,
		    const char *message);

void answer_hello(struct buf *out, uint32_t id, const struct client *c);

/* The notification `hooks [{NAME={mode, reads}}]`. */
void answer_hooks(struct buf *out, const struct chain_house *chains);

#endif
