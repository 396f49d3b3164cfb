/* SPDX-License-Identifier: Apache-2.0 */
/*
 * artifact_tx: what a run does to names. Only transactions change names, and
 * they take turns; so what the first of the queue has read stays true until
 * it has been applied. Start at artifact_begin(), then serve().
 */
#include <stdlib.h>
#include <time.h>

#include "broker/artifact_space.h"

/* What a name means, before and after. */
struct entry {
	struct artifact_tx *tx;
	struct slice name;
	uint8_t blob_key[8]; /* of is.blob, for by_blob */
	struct artifact_stat was, is;
	bool existed, exists;
};

struct artifact_tx {
	struct list node;
	struct artifacts *a;
	uint64_t owner;
	struct artifact_op *op;
	size_t n;
	struct entry *entry; /* one per name */
	size_t nentries;
	struct map by_name; /* all entries */
	struct map by_blob; /* those that exist after play() */
	size_t waiting;	    /* for so many reads */
	int status;
	void (*ready)(void *arg, int status, struct artifact_tx *tx);
	void *arg;
	struct buf bytes; /* names */
};

static void tx_free(struct artifact_tx *tx)
{
	list_remove(&tx->node);
	map_fini(&tx->by_name);
	map_fini(&tx->by_blob);
	buf_fini(&tx->bytes);
	free(tx->op);
	free(tx->entry);
	free(tx);
}

/* The first n operations let go of their blobs. */
static void unclaim(struct artifact_tx *tx, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct blob *b = artifact_blob(tx->a, tx->op[i].blob);

		if (tx->op[i].kind != ARTIFACT_WRITE || !b ||
		    b->owner != tx->owner)
			continue;
		b->claimed = false;
		if (b->orphan)
			artifact_doom(tx->a, b->id, b->size, 0);
	}
}

static int claim_one(struct artifact_tx *tx, const struct artifact_op *op)
{
	struct blob *b;

	if (!name_ok(op->name) ||
	    (op->kind == ARTIFACT_RENAME && !name_ok(op->to)))
		return ERR_FORMAT;
	if (op->kind != ARTIFACT_WRITE || (!op->blob && !op->size))
		return OK;
	b = artifact_blob(tx->a, op->blob);
	if (!b || b->owner != tx->owner || b->claimed || b->size != op->size)
		return ERR_FORMAT;
	b->claimed = true;
	return OK;
}

static int claim(struct artifact_tx *tx)
{
	for (size_t i = 0; i < tx->n; i++) {
		int r = claim_one(tx, &tx->op[i]);

		if (r < 0) {
			unclaim(tx, i);
			return r;
		}
	}
	return OK;
}

static struct entry *entry_of(struct artifact_tx *tx, struct slice name)
{
	return map_get(&tx->by_name, name);
}

static int want(struct artifact_tx *tx, struct slice name)
{
	struct entry *e;

	if (entry_of(tx, name))
		return OK;
	e = &tx->entry[tx->nentries++];
	*e = (struct entry){.tx = tx, .name = name};
	return map_put(&tx->by_name, name, e, NULL);
}

/* The caller's operations with names of our own. */
static int copy(struct artifact_tx *tx, const struct artifact_ops *ops)
{
	size_t at = 0;
	int r = OK;

	tx->op = calloc(ops->n, sizeof(*tx->op));
	tx->entry = calloc(ops->n * 2, sizeof(*tx->entry));
	if (!tx->op || !tx->entry)
		return ERR_NOMEM;
	for (size_t i = 0; i < ops->n; i++) {
		buf_add_slice(&tx->bytes, ops->op[i].name);
		buf_add_slice(&tx->bytes, ops->op[i].to);
	}
	if (buf_error(&tx->bytes))
		return ERR_NOMEM;
	tx->n = ops->n;
	for (size_t i = 0; i < ops->n && r == OK; i++) {
		struct artifact_op *op = &tx->op[i];

		*op = ops->op[i];
		op->name = slice_of(tx->bytes.p + at, op->name.n);
		op->to = slice_of(tx->bytes.p + at + op->name.n, op->to.n);
		at += op->name.n + op->to.n;
		r = want(tx, op->name);
		if (r == OK && op->kind == ARTIFACT_RENAME)
			r = want(tx, op->to);
	}
	return r;
}

static uint64_t wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The operations in order, on what the names mean. */
static int play(struct artifact_tx *tx)
{
	uint64_t now = wall_ms();

	for (size_t i = 0; i < tx->n; i++) {
		struct artifact_op *op = &tx->op[i];
		struct entry *from = entry_of(tx, op->name), *to;

		if (op->kind == ARTIFACT_WRITE) {
			from->is = (struct artifact_stat){false, op->blob,
							  op->size, now};
			from->exists = true;
		} else if (op->kind == ARTIFACT_DELETE) {
			from->exists = false;
		} else {
			to = entry_of(tx, op->to);
			if (!from->exists || to->exists)
				return ERR_CONFLICT;
			to->is = from->is;
			to->exists = true;
			from->exists = false;
		}
	}
	return OK;
}

static int index_blobs(struct artifact_tx *tx)
{
	int r = OK;

	for (size_t i = 0; i < tx->nentries && r == OK; i++) {
		struct entry *e = &tx->entry[i];

		if (!e->exists || !e->is.blob)
			continue;
		be_put64(e->blob_key, e->is.blob);
		r = map_put(&tx->by_blob, slice_of(e->blob_key, 8), e, NULL);
	}
	return r;
}

/* Does some name stand for that blob afterwards? */
static bool named(const struct artifact_tx *tx, uint64_t blob)
{
	uint8_t key[8];

	be_put64(key, blob);
	return map_get(&tx->by_blob, slice_of(key, sizeof(key)));
}

/* Everything about this one is known, or has failed: its turn is over. */
static void served(struct artifact_tx *tx)
{
	struct artifacts *a = tx->a;
	int status = tx->status;

	if (status == OK)
		status = play(tx);
	if (status == OK)
		status = index_blobs(tx);
	list_remove(&tx->node);
	if (status == OK) {
		tx->ready(tx->arg, OK, tx);
		return;
	}
	unclaim(tx, tx->n);
	tx->ready(tx->arg, status, NULL);
	tx_free(tx);
	artifact_unref(a);
}

static void serve(struct artifacts *a);

static void on_entry(void *arg, int status, struct slice record)
{
	struct entry *e = arg;
	struct artifact_tx *tx = e->tx;
	struct artifacts *a = tx->a;

	if (status == OK && !artifact_meta(record, &e->was))
		status = ERR_CORRUPT;
	e->existed = e->exists = status == OK;
	e->is = e->was;
	if (status < 0 && status != ERR_ABSENT)
		tx->status = status;
	if (--tx->waiting > 0)
		return;
	artifact_ref(a);
	served(tx);
	a->turn = false;
	serve(a);
	artifact_unref(a);
}

/* Asks what the names mean; false when nothing at all could be asked. */
static bool ask(struct artifact_tx *tx)
{
	struct artifact_key key;

	for (size_t i = 0; i < tx->nentries && tx->status == OK; i++) {
		artifact_name_key(tx->a, tx->entry[i].name, &key);
		tx->status = store_get(tx->a->store, artifact_key_slice(&key),
				       on_entry, &tx->entry[i]);
		tx->waiting += tx->status == OK;
	}
	return tx->waiting > 0;
}

static void serve(struct artifacts *a)
{
	struct list *first;

	while (!a->turn && (first = list_first(&a->queue))) {
		struct artifact_tx *tx =
			container_of(first, struct artifact_tx, node);

		if (ask(tx))
			a->turn = true;
		else
			served(tx);
	}
}

/* No callback may come before artifact_begin() returns. */
static int enqueue(struct artifact_tx *tx)
{
	if (!tx->a->turn) {
		must(list_empty(&tx->a->queue));
		if (!ask(tx))
			return tx->status;
		tx->a->turn = true;
	}
	artifact_ref(tx->a);
	list_push(&tx->a->queue, &tx->node);
	return OK;
}

int artifact_begin(struct artifacts *a, const struct artifact_ops *ops,
		   void (*ready)(void *arg, int status, struct artifact_tx *tx),
		   void *arg)
{
	struct artifact_tx *tx;
	int r;

	must(ops->n > 0 && ops->owner);
	tx = calloc(1, sizeof(*tx));
	if (!tx)
		return ERR_NOMEM;
	list_init(&tx->node);
	tx->a = a;
	tx->owner = ops->owner;
	tx->ready = ready;
	tx->arg = arg;
	r = copy(tx, ops);
	if (r == OK)
		r = claim(tx);
	if (r == OK) {
		r = enqueue(tx);
		if (r < 0)
			unclaim(tx, tx->n);
	}
	if (r < 0)
		tx_free(tx);
	return r;
}

/* The blobs that the transaction takes the name from. */
static bool loses(const struct artifact_tx *tx, const struct entry *e)
{
	return e->existed && e->was.blob && !named(tx, e->was.blob);
}

static void fill_entry(struct artifact_tx *tx, const struct entry *e,
		       struct store_batch *b)
{
	uint8_t account = tx->a->o.account, meta[ARTIFACT_META], size[8];
	struct artifact_key key;

	artifact_name_key(tx->a, e->name, &key);
	if (e->exists) {
		be_put64(meta, e->is.blob);
		be_put64(meta + 8, e->is.size);
		be_put64(meta + 16, e->is.mtime_ms);
		store_batch_set(b, account, artifact_key_slice(&key),
				slice_of(meta, sizeof(meta)));
	} else if (e->existed) {
		store_batch_delete(b, account, artifact_key_slice(&key));
	}
	if (loses(tx, e)) {
		artifact_mark_key(e->was.blob, &key);
		be_put64(size, e->was.size);
		store_batch_set(b, 0, artifact_key_slice(&key),
				slice_of(size, sizeof(size)));
	}
}

void artifact_tx_fill(struct artifact_tx *tx, struct store_batch *b)
{
	struct artifact_key key;

	for (size_t i = 0; i < tx->nentries; i++)
		fill_entry(tx, &tx->entry[i], b);
	for (size_t i = 0; i < tx->n; i++) {
		struct artifact_op *op = &tx->op[i];

		if (op->kind != ARTIFACT_WRITE || !op->blob ||
		    !named(tx, op->blob))
			continue;
		artifact_mark_key(op->blob, &key);
		store_batch_delete(b, 0, artifact_key_slice(&key));
	}
}

void artifact_tx_end(struct artifact_tx *tx, int status)
{
	struct artifacts *a = tx->a;

	for (size_t i = 0; status == OK && i < tx->n; i++) {
		struct artifact_op *op = &tx->op[i];
		struct blob *b = artifact_blob(a, op->blob);

		if (op->kind == ARTIFACT_WRITE && b && named(tx, op->blob))
			artifact_blob_forget(a, b);
	}
	unclaim(tx, tx->n);
	for (size_t i = 0; status == OK && i < tx->nentries; i++) {
		struct entry *e = &tx->entry[i];

		if (loses(tx, e))
			artifact_doom(a, e->was.blob, e->was.size,
				      a->o.grace_ms);
	}
	tx_free(tx);
	artifact_unref(a);
}
