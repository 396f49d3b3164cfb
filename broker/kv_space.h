/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_space: keys and records of kv as they lie in the store; shared by kv.c
 * and kv_sweep.c, nobody else includes it.
 */
#ifndef PF_BROKER_KV_SPACE_H
#define PF_BROKER_KV_SPACE_H

#include "broker/be.h"
#include "broker/kv.h"
#include "lib/list.h"

enum { KV_NS_MAX = 32, KV_EXPIRY = 8 };

struct kv {
	struct store *store;
	struct kv_options o;
	uint8_t prefix[KV_NS_MAX + 2]; /* 'k' NS 0 */
	size_t prefix_n;
	uv_timer_t timer;  /* the next sweep; not running: nothing expires */
	uint64_t timer_at; /* wall clock, when it runs */
	uint32_t refs;	   /* calls under way, and the timer's handle */
	uint32_t sweeping; /* keys that the current sweep waits for */
	bool sweep_again, closing;
};

/* A key of the store on the stack. */
struct kv_key {
	size_t n;
	uint8_t b[KV_NS_MAX + 2 + KV_EXPIRY + STORE_MAX_KEY];
};

static inline struct slice kv_key_slice(const struct kv_key *k)
{
	return slice_of(k->b, k->n);
}

void kv_data_key(const struct kv *kv, struct slice key, struct kv_key *out);
void kv_index_key(const struct kv *kv, uint64_t at, struct slice key,
		  struct kv_key *out);

/* The record's parts; an expired or damaged one is ERR_ABSENT. */
int kv_record(const struct kv *kv, struct slice record, uint64_t *expiry,
	      struct slice *value) must_check;

/* Look again at `at` (wall clock, ms), or earlier if that is planned. */
void kv_sweep_at(struct kv *kv, uint64_t at);
void kv_sweep_start(struct kv *kv);

#endif
