/* SPDX-License-Identifier: Apache-2.0 */
/*
 * artifact: opening, and the three ways to read. How content comes in is in
 * artifact_blob.c, how it gets its name in artifact_tx.c.
 */
#include "broker/artifact.h"

#include <stdlib.h>

#include "broker/artifact_space.h"

static void add(struct artifact_key *k, const void *p, size_t n)
{
	must(n <= sizeof(k->b) - k->n);
	if (n)
		memcpy(k->b + k->n, p, n);
	k->n += n;
}

void artifact_name_key(const struct artifacts *a, struct slice name,
		       struct artifact_key *out)
{
	out->n = 0;
	add(out, a->prefix, a->prefix_n);
	add(out, name.p, name.n);
}

void artifact_chunk_key(uint64_t blob, uint64_t index, struct artifact_key *out)
{
	out->b[0] = 'c';
	be_put64(out->b + 1, blob);
	be_put64(out->b + 9, index);
	out->n = 17;
}

void artifact_mark_key(uint64_t blob, struct artifact_key *out)
{
	out->b[0] = 'p';
	be_put64(out->b + 1, blob);
	out->n = 9;
}

bool artifact_meta(struct slice record, struct artifact_stat *out)
{
	*out = (struct artifact_stat){0};
	if (record.n != ARTIFACT_META)
		return false;
	out->blob = be_get64(record.p);
	out->size = be_get64(record.p + 8);
	out->mtime_ms = be_get64(record.p + 16);
	return true;
}

void artifact_ref(struct artifacts *a)
{
	a->refs++;
}

void artifact_unref(struct artifacts *a)
{
	if (--a->refs > 0)
		return;
	artifact_blobs_fini(a);
	free(a);
}

int artifact_open(struct artifacts **out, struct store *store,
		  const struct artifact_options *options)
{
	struct artifacts *a = calloc(1, sizeof(*a));
	size_t n = strlen(options->ns);
	int r;

	if (!a)
		return ERR_NOMEM;
	must(n <= ARTIFACT_NS_MAX);
	a->store = store;
	a->o = *options;
	if (!a->o.max_bytes)
		a->o.max_bytes = 64 << 20;
	if (!a->o.list_rows)
		a->o.list_rows = 10000;
	if (!a->o.grace_ms)
		a->o.grace_ms = ARTIFACT_GRACE_MS;
	a->prefix[0] = 'a';
	memcpy(a->prefix + 1, options->ns, n + 1);
	a->prefix_n = n + 2;
	list_init(&a->doomed);
	list_init(&a->owned);
	list_init(&a->queue);
	a->refs = 1;
	r = artifact_sweep_start(a);
	if (r < 0) {
		free(a);
		return r;
	}
	must(uv_timer_init(store_loop(store), &a->timer) == 0);
	uv_unref((uv_handle_t *)&a->timer);
	*out = a;
	return OK;
}

static void on_timer_closed(uv_handle_t *handle)
{
	artifact_unref(
		container_of((uv_timer_t *)handle, struct artifacts, timer));
}

void artifact_close(struct artifacts *a)
{
	if (!a)
		return;
	a->closing = true;
	uv_close((uv_handle_t *)&a->timer, on_timer_closed);
}

struct reading {
	struct artifacts *a;
	union {
		void (*stat)(void *arg, int status,
			     const struct artifact_stat *stat);
		void (*list)(void *arg, int status, const struct slice *name,
			     size_t n);
		void (*read)(void *arg, int status, struct slice bytes);
	} cb;
	void *arg;
	struct artifact_range range;
	struct buf bytes;
	struct artifact_key key;
};

static struct reading *reading_new(struct artifacts *a, void *arg)
{
	struct reading *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->a = a;
	r->arg = arg;
	artifact_ref(a);
	return r;
}

static void reading_free(struct reading *r)
{
	artifact_unref(r->a);
	buf_fini(&r->bytes);
	free(r);
}

static int begun(struct reading *r, int status)
{
	if (status < 0)
		reading_free(r);
	return status;
}

static void stat_end(struct reading *r, int status,
		     const struct artifact_stat *stat)
{
	r->cb.stat(r->arg, status, stat);
	reading_free(r);
}

static void on_below(void *arg, int status, const struct store_page *page)
{
	struct artifact_stat dir = {.dir = true};

	if (status == OK && page->n == 0)
		status = ERR_ABSENT;
	stat_end(arg, status, status == OK ? &dir : NULL);
}

static void on_stat(void *arg, int status, struct slice record)
{
	struct store_range range = {.max_rows = 1, .max_bytes = 1 << 16};
	struct artifact_stat stat;
	struct reading *r = arg;

	if (status == OK && !artifact_meta(record, &stat))
		status = ERR_CORRUPT;
	if (status == ERR_ABSENT) {
		add(&r->key, "/", 1);
		range.prefix = artifact_key_slice(&r->key);
		status = store_list(r->a->store, &range, on_below, r);
		if (status == OK)
			return;
	}
	stat_end(r, status, status == OK ? &stat : NULL);
}

int artifact_stat(struct artifacts *a, struct slice name,
		  void (*cb)(void *arg, int status,
			     const struct artifact_stat *stat),
		  void *arg)
{
	struct reading *r;

	if (!name_ok(name))
		return ERR_FORMAT;
	r = reading_new(a, arg);
	if (!r)
		return ERR_NOMEM;
	r->cb.stat = cb;
	artifact_name_key(a, name, &r->key);
	return begun(r, store_get(a->store, artifact_key_slice(&r->key),
				  on_stat, r));
}

static void on_list(void *arg, int status, const struct store_page *page)
{
	struct slice *name = NULL;
	struct reading *r = arg;
	size_t n = 0;

	if (status == OK && page->more)
		status = ERR_RANGE;
	if (status == OK && page->n) {
		name = calloc(page->n, sizeof(*name));
		status = name ? OK : ERR_NOMEM;
	}
	for (; status == OK && n < page->n; n++) {
		struct slice key = page->row[n].key;

		name[n] = slice_of(key.p + r->a->prefix_n,
				   key.n - r->a->prefix_n);
	}
	r->cb.list(r->arg, status, name, n);
	free(name);
	reading_free(r);
}

int artifact_list(struct artifacts *a,
		  void (*cb)(void *arg, int status, const struct slice *name,
			     size_t n),
		  void *arg)
{
	struct store_range range = {.max_rows = a->o.list_rows,
				    .max_bytes = 16 << 20};
	struct reading *r = reading_new(a, arg);

	if (!r)
		return ERR_NOMEM;
	r->cb.list = cb;
	range.prefix = slice_of(a->prefix, a->prefix_n);
	return begun(r, store_list(a->store, &range, on_list, r));
}

static void on_chunk(void *arg, int status, struct slice chunk);

static int read_chunk(struct reading *r)
{
	struct artifact_range *at = &r->range;

	artifact_chunk_key(at->blob, at->offset / ARTIFACT_CHUNK, &r->key);
	return store_get(r->a->store, artifact_key_slice(&r->key), on_chunk, r);
}

static void read_end(struct reading *r, int status)
{
	struct slice bytes =
		status == OK ? buf_slice(&r->bytes) : (struct slice){0};

	r->cb.read(r->arg, status, bytes);
	reading_free(r);
}

/* Past the end there is no chunk; that is an end only if the blob has a
 * first one. */
static void on_first(void *arg, int status, struct slice chunk)
{
	(void)chunk;
	read_end(arg, status);
}

static int past_end(struct reading *r)
{
	if (r->bytes.n || r->range.offset < ARTIFACT_CHUNK)
		return r->bytes.n ? OK : ERR_ABSENT;
	artifact_chunk_key(r->range.blob, 0, &r->key);
	return store_get(r->a->store, artifact_key_slice(&r->key), on_first,
			 r) < 0
		       ? ERR_IO
		       : ERR_AGAIN;
}

static void on_chunk(void *arg, int status, struct slice chunk)
{
	struct reading *r = arg;
	size_t skip = r->range.offset % ARTIFACT_CHUNK, n = 0;

	if (status == ERR_ABSENT)
		status = past_end(r);
	if (status == ERR_AGAIN)
		return;
	if (chunk.n > skip)
		n = chunk.n - skip;
	if (n > r->range.length)
		n = r->range.length;
	if (n)
		buf_add(&r->bytes, chunk.p + skip, n);
	r->range.offset += n;
	r->range.length -= n;
	if (status == OK)
		status = buf_error(&r->bytes);
	/* On to the next one if this one was read to a full end. */
	if (status == OK && r->range.length && n && chunk.n == ARTIFACT_CHUNK) {
		status = read_chunk(r);
		if (status == OK)
			return;
	}
	read_end(r, status);
}

static void on_empty(void *arg, int status, struct slice value)
{
	(void)status;
	(void)value;
	read_end(arg, OK);
}

int artifact_read(struct artifacts *a, const struct artifact_range *range,
		  void (*cb)(void *arg, int status, struct slice bytes),
		  void *arg)
{
	struct reading *r;

	if (range->length > ARTIFACT_CHUNK)
		return ERR_RANGE;
	r = reading_new(a, arg);
	if (!r)
		return ERR_NOMEM;
	r->cb.read = cb;
	r->range = *range;
	/* The law wants a later call: any key will do. */
	if (range->blob == 0)
		return begun(r,
			     store_get(a->store, slice_str("m"), on_empty, r));
	return begun(r, read_chunk(r));
}
