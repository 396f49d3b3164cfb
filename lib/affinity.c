/* SPDX-License-Identifier: Apache-2.0 */
/*
 * affinity: sets of processors. More than cpu_set_t has (1,024): nothing is
 * spared.
 */
#include "lib/affinity.h"

void affinity_init(struct affinity *a)
{
	cpu_set_t ours;
	unsigned n, keep;

	*a = (struct affinity){.left = 1};
	if (sched_getaffinity(0, sizeof(ours), &ours) < 0)
		return;
	n = (unsigned)CPU_COUNT(&ours);
	keep = n < 2 ? 0 : n < 4 ? 1 : n / 4;
	a->left = n - keep;
	for (size_t i = 0; i < CPU_SETSIZE && keep > 0; i++) {
		if (!CPU_ISSET(i, &ours))
			continue;
		CPU_SET(i, &a->spared);
		keep--;
	}
}

bool affinity_confine(const struct affinity *a, pid_t pid, cpu_set_t *was)
{
	cpu_set_t left, both;

	if (CPU_COUNT(&a->spared) == 0 ||
	    sched_getaffinity(pid, sizeof(*was), was) < 0)
		return false;
	CPU_AND(&both, was, &a->spared);
	CPU_XOR(&left, was, &both);
	return CPU_COUNT(&both) > 0 && CPU_COUNT(&left) > 0 &&
	       sched_setaffinity(pid, sizeof(left), &left) == 0;
}

void affinity_release(pid_t pid, const cpu_set_t *was)
{
	(void)sched_setaffinity(pid, sizeof(*was), was);
}
