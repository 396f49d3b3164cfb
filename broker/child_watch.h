/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_watch: a worker that has something to do and is silent. Private to
 * child.c.
 *
 * It has one thread, and gathers what it says. Behind a run that takes long,
 * answers of others might wait until they are taken for late; so it is reminded
 * (SIGUSR1) to say what there is. And while a run, or the loading, computes for
 * longer than WATCH_MS, the worker keeps off some processors (affinity.h); one
 * that waits for an answer to its call does not compute.
 */
#ifndef PF_BROKER_CHILD_WATCH_H
#define PF_BROKER_CHILD_WATCH_H

#include "broker/child.h"

enum { WATCH_MS = 10 };

void child_watch_init(struct child *c); /* `watch` is stopped by the owner */

/* It was given something to do. */
void child_watch(struct child *c);

/* It is about to be killed: it can end wherever there is room, and need not
 * wait for others that compute. */
void child_watch_release(struct child *c);

#endif
