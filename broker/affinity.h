/* SPDX-License-Identifier: Apache-2.0 */
/*
 * affinity: the processors that long runs keep off.
 *
 * A process that wakes up behind one that computes waits for the kernel's next
 * tick, 4 ms at 250 Hz. When as many workers compute as there are processors,
 * that is what every short run pays, and the broker too. So a quarter of the
 * processors, at least one, stays free of workers that compute for long. On a
 * single processor nothing changes.
 */
#ifndef PF_BROKER_AFFINITY_H
#define PF_BROKER_AFFINITY_H

#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

struct affinity {
	cpu_set_t spared; /* where no long run is */
};

/* Spares some of the processors that this process may use. */
void affinity_init(struct affinity *a);

/*
 * Move `pid` off the spared processors; *was is where it could run before, for
 * affinity_release(). False, and nothing has changed: it can run nowhere else,
 * or we may not (a worker of another user, without CAP_SYS_NICE).
 */
bool affinity_confine(const struct affinity *a, pid_t pid, cpu_set_t *was);
void affinity_release(pid_t pid, const cpu_set_t *was);

#endif
