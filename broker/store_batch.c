/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_batch: gathers operations and their bytes in two growing arrays. It
 * knows nothing of groups, threads or the overlay; store.c does.
 */
#include "broker/store_batch.h"

#include <stdlib.h>

struct store_batch *store_batch_new(void)
{
	struct store_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	list_init(&b->node);
	list_init(&b->followers);
	b->op = b->few;
	b->cap = STORE_BATCH_FEW;
	return b;
}

void store_batch_free(struct store_batch *b)
{
	if (!b)
		return;
	list_remove(&b->node);
	buf_fini(&b->bytes);
	if (b->op != b->few)
		free(b->op);
	free(b);
}

static struct store_op *grow(struct store_batch *b)
{
	size_t cap = b->cap * 2;
	struct store_op *op = calloc(cap, sizeof(*op));

	if (!op)
		return NULL;
	memcpy(op, b->op, b->n * sizeof(*op));
	if (b->op != b->few)
		free(b->op);
	b->op = op;
	b->cap = cap;
	return op;
}

/* A new operation with its key, or NULL when the batch has failed. */
static struct store_op *add(struct store_batch *b, uint8_t account,
			    struct slice key)
{
	struct store_op *op;

	if (!b || b->error)
		return NULL;
	must(account < STORE_ACCOUNTS);
	if (key.n > STORE_MAX_KEY) {
		b->error = ERR_RANGE;
		return NULL;
	}
	if (b->n == b->cap && !grow(b)) {
		b->error = ERR_NOMEM;
		return NULL;
	}
	op = &b->op[b->n++];
	*op = (struct store_op){
		.at = b->bytes.n, .key_n = key.n, .account = account};
	buf_add_slice(&b->bytes, key);
	return op;
}

static void finish(struct store_batch *b)
{
	if (buf_error(&b->bytes))
		b->error = buf_error(&b->bytes);
}

void store_batch_set2(struct store_batch *b, uint8_t account, struct slice key,
		      struct slice head, struct slice tail)
{
	struct store_op *op = add(b, account, key);

	if (!op)
		return;
	op->value_n = head.n + tail.n;
	buf_add_slice(&b->bytes, head);
	buf_add_slice(&b->bytes, tail);
	b->growth[account] += key.n + op->value_n;
	finish(b);
}

void store_batch_set(struct store_batch *b, uint8_t account, struct slice key,
		     struct slice value)
{
	store_batch_set2(b, account, key, value, (struct slice){0});
}

void store_batch_delete(struct store_batch *b, uint8_t account,
			struct slice key)
{
	struct store_op *op = add(b, account, key);

	if (!op)
		return;
	op->del = true;
	finish(b);
}

void store_batch_charge(struct store_batch *b, uint8_t account, int64_t bytes)
{
	if (!b)
		return;
	must(account < STORE_ACCOUNTS);
	b->charge[account] += bytes;
}

bool store_batch_empty(const struct store_batch *b)
{
	return b && b->n == 0;
}

void store_batch_seal(struct store_batch *b, struct group *group)
{
	for (size_t i = 0; i < b->n; i++) {
		struct store_op *op = &b->op[i];

		op->key = slice_of(b->bytes.p + op->at, op->key_n);
		op->value =
			slice_of(b->bytes.p + op->at + op->key_n, op->value_n);
		op->group = group;
		op->batch = b;
	}
}

size_t store_batch_size(const struct store_batch *b)
{
	return sizeof(*b) + b->bytes.cap + b->cap * sizeof(*b->op);
}
