/* SPDX-License-Identifier: Apache-2.0 */
/*
 * affinity: the processors that long computations keep off.
 *
 * A process that wakes up behind one that computes waits for the kernel's next
 * tick, 4 ms at 250 Hz. When as many compute as there are processors, that is
 * what everybody pays who has little to do. So a quarter of the processors, at
 * least one, is spared. Of a single one nothing is.
 */
#ifndef PF_LIB_AFFINITY_H
#define PF_LIB_AFFINITY_H

#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

struct affinity {
	cpu_set_t spared;
	unsigned left; /* how many others there are, at least 1 */
};

/* Of the processors that this thread may use. */
void affinity_init(struct affinity *a);

/*
 * Move the thread `pid` off the spared processors; *was is where it could run
 * before, for affinity_release(). False, and nothing has changed: it can run
 * nowhere else, or we may not (another user's, without CAP_SYS_NICE).
 */
bool affinity_confine(const struct affinity *a, pid_t pid, cpu_set_t *was);
void affinity_release(pid_t pid, const cpu_set_t *was);

#endif
