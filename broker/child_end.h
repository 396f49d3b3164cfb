/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_end: what the end of a worker means. Private to child.c.
 */
#ifndef PF_BROKER_CHILD_END_H
#define PF_BROKER_CHILD_END_H

#include "broker/child.h"

/* From its exit status, and from what we killed it for. */
void child_end_read(const struct child *c, struct child_death *death);

/*
 * The run that has ended it, when that is sure; or NULL. What we have ended is
 * the fault of none, but for a run past its deadline that was running. Of
 * memory the worker's word counts, of a crash that no other run had begun, that
 * it waited for nothing, and that it was no SIGKILL.
 */
struct run *child_end_culprit(struct child *c, const struct child_death *death);

#endif
