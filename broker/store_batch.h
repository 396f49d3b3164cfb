/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_batch: what a batch is inside the store: the loop side fills and
 * folds it, the storage thread reads it. store.h has the outer face.
 *
 * From store_apply() on, the operations double as entries of the overlay:
 * nothing is copied, keys and values stay where the caller packed them.
 */
#ifndef PF_BROKER_STORE_BATCH_H
#define PF_BROKER_STORE_BATCH_H

#include "broker/store.h"
#include "lib/list.h"

struct group;

struct store_op {
	struct slice key, value; /* set by store_batch_seal() */
	struct group *group;	 /* the group that it was applied in */
	struct store_batch *batch;
	size_t at; /* offset of key, then value, in bytes */
	size_t key_n, value_n;
	uint8_t account;
	bool del;
	bool skip; /* a later one of the same group replaced it; written
		    * only while the group is open */
};

enum { STORE_BATCH_FEW = 4 };

struct store_batch {
	struct list node; /* in its group */
	struct list followers;
	struct buf bytes;
	struct store_op *op;
	size_t n, cap;
	int64_t charge[STORE_ACCOUNTS];
	uint64_t growth[STORE_ACCOUNTS]; /* at most, by the sizes of sets */
	int error;
	void (*cb)(void *arg, int status);
	void *arg;
	struct store_op few[STORE_BATCH_FEW];
};

/* The bytes have their final place: turn offsets into slices. */
void store_batch_seal(struct store_batch *b, struct group *group);

/* Bytes of memory that the batch holds, roughly. */
size_t store_batch_size(const struct store_batch *b);

#endif
