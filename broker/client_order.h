/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_order: events of one connection with the same id run one after the
 * other, the whole chain of one before the next begins. Private to client.c.
 */
#ifndef PF_BROKER_CLIENT_ORDER_H
#define PF_BROKER_CLIENT_ORDER_H

#include "broker/client.h"

/* True: it may start now (client_start). False: it waits for the one before
 * it, whose client_leave() starts it. */
bool client_enter(struct client *c, struct event *ev);

/* Its turn has come: the auth cache answers it, or its chain starts. */
void client_start(struct client *c, struct event *ev);

/* It has ended: the next one of the same id takes over its place and its
 * followers, and starts. */
void client_leave(struct client *c, struct event *ev);

#endif
