/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crew_load: loading a script in a worker. Private to crew*.c.
 */
#ifndef PF_BROKER_CREW_LOAD_H
#define PF_BROKER_CREW_LOAD_H

#include "broker/crew.h"

/* As in child_ops: on_ready, on_loaded; `arg` is the crew. */
void crew_load(struct child *c, void *arg);
int crew_loaded(struct child *c, void *arg, struct slice map, bool failed);

/* Say once that the script is loaded (why empty) or cannot be. */
void crew_tell(struct crew *crew, struct slice why);

/* Give a worker what waits, as much as it has room for. */
void crew_hand_out(struct crew *crew, struct child *c);

/* End everything that waits. */
void crew_fail_queue(struct crew *crew, enum code code, const char *message);

#endif
