/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats: see stats.h. Recording is two increments and a count of bits.
 */
#include "broker/stats.h"

/* 0..3 exactly, then four buckets for every power of two. */
static unsigned bucket_of(uint64_t us)
{
	unsigned log, at;

	if (us < 4)
		return (unsigned)us;
	log = 63 - (unsigned)__builtin_clzll(us);
	at = (log - 1) * 4 + (unsigned)(us >> (log - 2) & 3);
	return at < STATS_BUCKETS ? at : STATS_BUCKETS - 1;
}

/* The upper edge of a bucket. */
static uint64_t edge_of(unsigned bucket)
{
	unsigned log = bucket / 4 + 1;

	if (bucket < 4)
		return bucket;
	return ((uint64_t)(4 + bucket % 4 + 1) << (log - 2)) - 1;
}

void stats_run(struct stats *s, enum code code, uint64_t us)
{
	s->events++;
	if (code != CODE_OK)
		s->errors[code]++;
	s->latency[bucket_of(us)]++;
}

uint64_t stats_quantile(const struct stats *s, double share)
{
	uint64_t want = (uint64_t)((double)s->events * share), seen = 0;

	if (s->events == 0)
		return 0;
	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		seen += s->latency[i];
		if (seen > want || seen == s->events)
			return edge_of(i);
	}
	return edge_of(STATS_BUCKETS - 1);
}
