/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats: counters and a latency histogram of one script. Buckets grow by a
 * quarter of a power of two, so a quantile is right to within 19 %.
 */
#ifndef PF_BROKER_STATS_H
#define PF_BROKER_STATS_H

#include "proto/proto.h"

enum { STATS_BUCKETS = 160 };

struct stats {
	uint64_t events;	     /* runs that ended */
	uint64_t errors[CODE_COUNT]; /* by cause */
	uint64_t latency[STATS_BUCKETS];
};

/* A run has ended; us: from its begin to its answer. */
void stats_run(struct stats *s, enum code code, uint64_t us);

/* Microseconds below which `share` (0..1) of the runs stayed; 0: none yet. */
uint64_t stats_quantile(const struct stats *s, double share);

#endif
