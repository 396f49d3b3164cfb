/* SPDX-License-Identifier: Apache-2.0 */
/*
 * artifact_blob: blobs that have no name: those that a run is filling, and
 * those that are to be removed. Each has a mark in the store that is written
 * with its first chunk and goes when it gets a name or with its last chunk,
 * so that a start after a crash finds them all.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

#include "broker/artifact_space.h"
#include "lib/log.h"

enum { SWEEP_ROWS = 1000, RETRY_MS = 10 * 1000 };

struct blob *artifact_blob(const struct artifacts *a, uint64_t id)
{
	uint8_t key[8];

	be_put64(key, id);
	return map_get(&a->blobs, slice_of(key, sizeof(key)));
}

void artifact_blob_forget(struct artifacts *a, struct blob *b)
{
	map_del(&a->blobs, slice_of(b->key, sizeof(b->key)));
	list_remove(&b->node);
	free(b);
}

static struct blob *blob_new(struct artifacts *a, uint64_t id, uint64_t owner)
{
	struct blob *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	list_init(&b->node);
	b->id = id;
	b->owner = owner;
	be_put64(b->key, id);
	if (map_put(&a->blobs, slice_of(b->key, sizeof(b->key)), b, NULL)) {
		free(b);
		return NULL;
	}
	return b;
}

void artifact_blobs_fini(struct artifacts *a)
{
	struct list *node;

	while ((node = list_pop(&a->doomed)))
		free(container_of(node, struct blob, node));
	while ((node = list_pop(&a->owned)))
		free(container_of(node, struct blob, node));
	map_fini(&a->blobs);
}

size_t artifact_loose(const struct artifacts *a)
{
	return a->blobs.n;
}

static void remove_due(struct artifacts *a);

static void on_timer(uv_timer_t *timer)
{
	remove_due(container_of(timer, struct artifacts, timer));
}

static void plan(struct artifacts *a)
{
	struct list *first = list_first(&a->doomed);
	uint64_t now = uv_now(store_loop(a->store)), due;

	if (!first || a->closing)
		return;
	due = container_of(first, struct blob, node)->due_ms;
	uv_timer_start(&a->timer, on_timer, due > now ? due - now : 1, 0);
}

static void doom(struct artifacts *a, struct blob *b, uint64_t wait_ms)
{
	uint64_t due = uv_now(store_loop(a->store)) + wait_ms;
	struct list *at = a->doomed.prev;

	b->owner = 0;
	b->claimed = false;
	b->due_ms = due;
	list_remove(&b->node);
	while (at != &a->doomed &&
	       container_of(at, struct blob, node)->due_ms > due)
		at = at->prev;
	list_push_front(at, &b->node); /* behind `at` */
	plan(a);
}

void artifact_doom(struct artifacts *a, uint64_t id, uint64_t size,
		   uint64_t wait_ms)
{
	struct blob *b = artifact_blob(a, id);

	if (!b)
		b = blob_new(a, id, 0);
	/* Without memory its mark waits for the next start. */
	if (!b)
		return;
	b->size = size;
	doom(a, b, wait_ms);
}

struct removal {
	struct artifacts *a;
	struct blob *b;
};

static void on_removed(void *arg, int status)
{
	struct removal *r = arg;
	struct artifacts *a = r->a;

	r->b->going = false;
	if (status == OK)
		artifact_blob_forget(a, r->b);
	else
		doom(a, r->b, RETRY_MS);
	free(r);
	artifact_unref(a);
}

static int remove_blob(struct artifacts *a, struct blob *b)
{
	struct removal *r = calloc(1, sizeof(*r));
	struct store_batch *batch;
	struct artifact_key key;
	int status;

	if (!r)
		return ERR_NOMEM;
	*r = (struct removal){a, b};
	batch = store_batch_new();
	for (uint64_t i = 0; i == 0 || i * ARTIFACT_CHUNK < b->size; i++) {
		artifact_chunk_key(b->id, i, &key);
		store_batch_delete(batch, 0, artifact_key_slice(&key));
	}
	artifact_mark_key(b->id, &key);
	store_batch_delete(batch, 0, artifact_key_slice(&key));
	store_batch_charge(batch, a->o.account, -(int64_t)b->size);
	status = store_apply(a->store, batch, on_removed, r);
	if (status < 0) {
		free(r);
		return status;
	}
	b->going = true;
	list_remove(&b->node);
	list_init(&b->node);
	artifact_ref(a);
	return OK;
}

static void remove_due(struct artifacts *a)
{
	uint64_t now = uv_now(store_loop(a->store));
	struct list *node;

	while ((node = list_first(&a->doomed))) {
		struct blob *b = container_of(node, struct blob, node);

		if (b->due_ms > now)
			break;
		if (remove_blob(a, b) < 0) {
			doom(a, b, RETRY_MS);
			return;
		}
	}
	plan(a);
}

static void drop(struct artifacts *a, struct blob *b)
{
	if (b->claimed)
		b->orphan = true;
	else
		doom(a, b, 0);
}

void artifact_drop_blob(struct artifacts *a, uint64_t owner, uint64_t id)
{
	struct blob *b = artifact_blob(a, id);

	if (b && owner && b->owner == owner)
		drop(a, b);
}

void artifact_drop_owner(struct artifacts *a, uint64_t owner)
{
	list_each(node, next, &a->owned)
	{
		struct blob *b = container_of(node, struct blob, node);

		if (owner && b->owner == owner)
			drop(a, b);
	}
}

struct putting {
	struct artifacts *a;
	void (*cb)(void *arg, int status, uint64_t blob);
	void *arg;
	uint64_t blob;
	size_t n;
};

static void on_put(void *arg, int status)
{
	struct putting *p = arg;
	struct artifacts *a = p->a;
	struct blob *b = artifact_blob(a, p->blob);

	if (status < 0 && b)
		b->size -= p->n;
	p->cb(p->arg, status, status == OK ? p->blob : 0);
	free(p);
	artifact_unref(a);
}

static uint64_t new_id(const struct artifacts *a)
{
	uint64_t id = 0;

	while (!id || artifact_blob(a, id)) {
		if (getrandom(&id, sizeof(id), 0) != sizeof(id))
			id = uv_hrtime();
		id &= INT64_MAX;
	}
	return id;
}

static int blob_for(struct artifacts *a, const struct artifact_put *put,
		    struct blob **out)
{
	struct blob *b = put->blob ? artifact_blob(a, put->blob) : NULL;
	size_t n = 0;

	if (put->bytes.n > ARTIFACT_CHUNK)
		return ERR_RANGE;
	if (put->blob) {
		if (!b || b->owner != put->owner || b->claimed)
			return ERR_ABSENT;
		if (b->size % ARTIFACT_CHUNK)
			return ERR_FORMAT;
		*out = b;
		return b->size + put->bytes.n > a->o.max_bytes ? ERR_RANGE : OK;
	}
	if (put->bytes.n > a->o.max_bytes)
		return ERR_RANGE;
	list_each(node, next, &a->owned) n +=
		container_of(node, struct blob, node)->owner == put->owner;
	if (n >= ARTIFACT_BLOBS)
		return ERR_FULL;
	b = blob_new(a, new_id(a), put->owner);
	if (!b)
		return ERR_NOMEM;
	list_push(&a->owned, &b->node);
	*out = b;
	return OK;
}

static int apply_put(struct artifacts *a, struct blob *b, struct slice bytes,
		     struct putting *p)
{
	struct store_batch *batch = store_batch_new();
	struct artifact_key key;
	uint8_t size[8];

	artifact_chunk_key(b->id, b->size / ARTIFACT_CHUNK, &key);
	store_batch_set(batch, 0, artifact_key_slice(&key), bytes);
	artifact_mark_key(b->id, &key);
	be_put64(size, b->size + bytes.n);
	store_batch_set(batch, 0, artifact_key_slice(&key),
			slice_of(size, sizeof(size)));
	store_batch_charge(batch, a->o.account, (int64_t)bytes.n);
	return store_apply(a->store, batch, on_put, p);
}

int artifact_put(struct artifacts *a, const struct artifact_put *put,
		 void (*cb)(void *arg, int status, uint64_t blob), void *arg)
{
	struct putting *p = calloc(1, sizeof(*p));
	struct blob *b = NULL;
	int r;

	must(put->owner);
	if (!p)
		return ERR_NOMEM;
	r = blob_for(a, put, &b);
	if (r == OK) {
		*p = (struct putting){a, cb, arg, b->id, put->bytes.n};
		r = apply_put(a, b, put->bytes, p);
		if (r < 0 && !put->blob)
			artifact_blob_forget(a, b);
	}
	if (r < 0) {
		free(p);
		return r;
	}
	b->size += put->bytes.n;
	artifact_ref(a);
	return OK;
}

static void on_marks(void *arg, int status, const struct store_page *page);

static int sweep_from(struct artifacts *a, struct slice after)
{
	struct store_range range = {.prefix = slice_str("p"),
				    .after = after,
				    .max_rows = SWEEP_ROWS,
				    .max_bytes = 1 << 20};
	int r = store_list(a->store, &range, on_marks, a);

	if (r == OK)
		artifact_ref(a);
	return r;
}

static void on_marks(void *arg, int status, const struct store_page *page)
{
	struct artifacts *a = arg;
	size_t found = 0;

	for (size_t i = 0; status == OK && i < page->n && !a->closing; i++) {
		struct store_row row = page->row[i];
		uint64_t id;

		if (row.key.n != 9 || row.value.n != 8)
			continue;
		id = be_get64(row.key.p + 1);
		/* Those of this life are known. */
		if (artifact_blob(a, id))
			continue;
		artifact_doom(a, id, be_get64(row.value.p), 0);
		found++;
	}
	if (found)
		log_info("artifact", "removing blobs without a name n=%zu",
			 found);
	if (status == OK && page->more && !a->closing)
		status = sweep_from(a, page->last);
	if (status < 0)
		log_warn("artifact", "marks cannot be read error=%s",
			 err_name(status));
	artifact_unref(a);
}

int artifact_sweep_start(struct artifacts *a)
{
	return sweep_from(a, (struct slice){0});
}
