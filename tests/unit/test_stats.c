/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The histogram: quantiles against sorted samples, within what stats.h says.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "broker/stats.h"

Test(stats, nothing_yet)
{
	struct stats s = {0};

	cr_assert_eq(stats_quantile(&s, 0.5), 0);
}

Test(stats, one_value_is_every_quantile)
{
	for (uint64_t us = 1; us < (uint64_t)1 << 38; us = us * 9 / 8 + 1) {
		struct stats s = {0};

		stats_run(&s, CODE_OK, us);
		for (double share = 0; share <= 1.0; share += 0.25) {
			uint64_t q = stats_quantile(&s, share);

			cr_assert(q >= us && (double)q <= (double)us * 1.25,
				  "%llu gave %llu", (unsigned long long)us,
				  (unsigned long long)q);
		}
	}
}

Test(stats, edges_rise_and_extremes_fit)
{
	struct stats s = {0};

	stats_run(&s, CODE_OK, 0);
	cr_assert_eq(stats_quantile(&s, 1), 0);
	stats_run(&s, CODE_OK, UINT64_MAX);
	cr_assert_gt(stats_quantile(&s, 1), (uint64_t)1 << 39);
	cr_assert_eq(s.events, 2);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

Test(stats, quantiles_of_many)
{
	enum { N = 10001 };
	static uint64_t value[N];
	static const double share[] = {0.01, 0.1, 0.5, 0.9, 0.99, 0.999};
	struct stats s = {0};

	srandom(5);
	for (int i = 0; i < N; i++) {
		value[i] = (uint64_t)random() >> (random() % 28);
		stats_run(&s, i % 10 ? CODE_OK : CODE_TIMEOUT, value[i]);
	}
	qsort(value, N, sizeof(*value), by_value);
	for (size_t i = 0; i < sizeof(share) / sizeof(*share); i++) {
		double real = (double)value[(size_t)(share[i] * N)];
		double q = (double)stats_quantile(&s, share[i]);

		cr_assert(q >= real && q <= real * 1.25 + 1,
			  "%g: %g is told as %g", share[i], real, q);
	}
	cr_assert_eq(s.events, N);
	cr_assert_eq(s.errors[CODE_TIMEOUT], 1001);
	cr_assert_eq(s.errors[CODE_OK], 0);
}
