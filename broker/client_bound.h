/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_bound: what all clients together make the broker hold: answers that
 * they do not read (CLIENT_UNREAD), and messages that they have begun to send
 * (CLIENT_BEGUN). Past it, who has most of it is cut off. Events have bounds
 * of their own, in client.c.
 */
#ifndef PF_BROKER_CLIENT_BOUND_H
#define PF_BROKER_CLIENT_BOUND_H

#include "broker/client.h"

void client_bound_init(struct client_house *house);

/* It was given an answer. It may be cut off by the end of this turn. */
void client_bound_answers(struct client *c);

/* It is over: what it held counts no more. */
void client_bound_forget(struct client *c);

#endif
