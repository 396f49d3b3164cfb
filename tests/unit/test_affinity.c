/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Affinity, on the processors that this machine has: on one of them nothing
 * is spared, and that is a test too.
 */
#include <criterion/criterion.h>

#include "lib/affinity.h"

static cpu_set_t ours(void)
{
	cpu_set_t set;

	cr_assert_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	return set;
}

Test(affinity, a_quarter_is_spared)
{
	cpu_set_t all = ours(), both;
	unsigned n = (unsigned)CPU_COUNT(&all), spared;
	struct affinity a;

	affinity_init(&a);
	spared = (unsigned)CPU_COUNT(&a.spared);
	cr_assert_eq(spared + a.left, n);
	cr_assert_geq(a.left, 1);
	cr_assert_geq(spared * 4 + 3, n > 1 ? n : 0);
	cr_assert_leq(spared, n / 2);
	CPU_AND(&both, &all, &a.spared);
	cr_assert(CPU_EQUAL(&both, &a.spared));
}

Test(affinity, confined_and_released)
{
	cpu_set_t before = ours(), was, now, both;
	struct affinity a;

	affinity_init(&a);
	if (CPU_COUNT(&a.spared) == 0) {
		cr_assert_not(affinity_confine(&a, 0, &was));
		return;
	}
	cr_assert(affinity_confine(&a, 0, &was));
	cr_assert(CPU_EQUAL(&was, &before));
	now = ours();
	CPU_AND(&both, &now, &a.spared);
	cr_assert_eq(CPU_COUNT(&both), 0);
	cr_assert_eq((unsigned)CPU_COUNT(&now), a.left);
	cr_assert_not(affinity_confine(&a, 0, &was)); /* it is already */
	affinity_release(0, &before);
	now = ours();
	cr_assert(CPU_EQUAL(&now, &before));
}

Test(affinity, who_can_run_nowhere_else_stays)
{
	cpu_set_t was, now;
	struct affinity a;

	affinity_init(&a);
	if (CPU_COUNT(&a.spared) == 0)
		return;
	cr_assert_eq(sched_setaffinity(0, sizeof(a.spared), &a.spared), 0);
	cr_assert_not(affinity_confine(&a, 0, &was));
	now = ours();
	cr_assert(CPU_EQUAL(&now, &a.spared));
}

Test(affinity, nothing_is_spared_of_one)
{
	cpu_set_t all = ours(), one;
	struct affinity a;
	size_t first = 0;

	while (!CPU_ISSET(first, &all))
		first++;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	affinity_init(&a);
	cr_assert_eq(CPU_COUNT(&a.spared), 0);
	cr_assert_eq(a.left, 1);
}
