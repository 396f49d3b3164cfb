/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_watch: a worker that has several runs and is silent. Private to
 * child.c.
 *
 * It has one thread, and gathers what it says. Behind a run that takes long,
 * answers of others might wait until they are taken for late; so it is reminded
 * (SIGUSR1) to say what there is.
 */
#ifndef PF_BROKER_CHILD_WATCH_H
#define PF_BROKER_CHILD_WATCH_H

#include "broker/child.h"

enum { SILENCE_MS = 10 };

void child_watch_init(struct child *c); /* `silence` is stopped by the owner */

/* One more run was sent. */
void child_watch(struct child *c);

#endif
