/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_sweep: removes what has expired. Start at sweep(): it reads a page of
 * the expiry index; every row that is due is dropped, together with its key
 * if that has really expired. No timer runs while nothing can expire.
 */
#include <stdlib.h>

#include "broker/kv_space.h"
#include "lib/log.h"

enum {
	SWEEP_ROWS = 256,
	SWEEP_LEAST_MS = 1000,
	SWEEP_MOST_MS = 3600 * 1000, /* the wall clock may jump */
	SWEEP_RETRY_MS = 10 * 1000,
};

static void sweep(struct kv *kv);

static void on_timer(uv_timer_t *timer)
{
	struct kv *kv = container_of(timer, struct kv, timer);

	kv->timer_at = 0;
	sweep(kv);
}

void kv_sweep_at(struct kv *kv, uint64_t at)
{
	uint64_t now = kv->o.now(), wait = at > now ? at - now : 0;

	if (kv->closing || (kv->timer_at && kv->timer_at <= at))
		return;
	if (wait < SWEEP_LEAST_MS)
		wait = SWEEP_LEAST_MS;
	if (wait > SWEEP_MOST_MS)
		wait = SWEEP_MOST_MS;
	kv->timer_at = at;
	uv_update_time(store_loop(kv->store));
	uv_timer_start(&kv->timer, on_timer, wait, 0);
}

/* One row of the index under examination. */
struct due {
	struct kv *kv;
	size_t key_n;
	size_t row_n;
	uint8_t row[];
};

static void due_over(struct due *d)
{
	struct kv *kv = d->kv;

	free(d);
	if (--kv->sweeping == 0 && kv->sweep_again && !kv->closing) {
		kv->sweep_again = false;
		sweep(kv);
	}
	kv_unref(kv);
}

static void on_due_written(void *arg, int status)
{
	struct due *d = arg;

	/* The row is still there; the next sweep tries again. */
	if (status < 0)
		kv_sweep_at(d->kv, d->kv->o.now() + SWEEP_RETRY_MS);
	due_over(d);
}

static struct slice due_key(const struct due *d)
{
	return slice_of(d->row + d->row_n - d->key_n, d->key_n);
}

static void on_due_read(void *arg, int status, struct slice record)
{
	struct store_batch *b;
	struct due *d = arg;
	struct slice value;
	uint64_t expiry = 0;
	struct kv_key k;

	if (status < 0 && status != ERR_ABSENT) {
		on_due_written(d, status);
		return;
	}
	b = store_batch_new();
	store_batch_delete(b, 0, slice_of(d->row, d->row_n));
	if (status == OK &&
	    kv_record(d->kv, record, &expiry, &value) == ERR_ABSENT) {
		kv_data_key(d->kv, due_key(d), &k);
		store_batch_delete(b, d->kv->o.account, kv_key_slice(&k));
	}
	status = store_apply(d->kv->store, b, on_due_written, d);
	if (status < 0)
		on_due_written(d, status);
}

static int examine(struct kv *kv, struct slice row)
{
	size_t head = kv->prefix_n + KV_EXPIRY;
	struct due *d = calloc(1, sizeof(*d) + row.n);
	struct kv_key k;
	int r;

	if (!d)
		return ERR_NOMEM;
	d->kv = kv;
	d->row_n = row.n;
	d->key_n = row.n - head;
	memcpy(d->row, row.p, row.n);
	kv_data_key(kv, due_key(d), &k);
	r = store_get(kv->store, kv_key_slice(&k), on_due_read, d);
	if (r < 0) {
		free(d);
		return r;
	}
	kv_ref(kv);
	kv->sweeping++;
	return OK;
}

static void on_page(void *arg, int status, const struct store_page *page)
{
	struct kv *kv = arg;
	uint64_t now = kv->o.now();
	size_t i;

	for (i = 0; status == OK && i < page->n && !kv->closing; i++) {
		struct slice row = page->row[i].key;
		uint64_t at;

		if (row.n < kv->prefix_n + KV_EXPIRY)
			continue;
		at = be_get64(row.p + kv->prefix_n);
		if (at > now) {
			kv_sweep_at(kv, at);
			break;
		}
		status = examine(kv, row);
	}
	if (status < 0)
		kv_sweep_at(kv, now + SWEEP_RETRY_MS);
	else if (i == page->n && page->more)
		kv->sweep_again = true;
	kv_unref(kv);
}

static void sweep(struct kv *kv)
{
	struct store_range range = {.max_rows = SWEEP_ROWS,
				    .max_bytes = 1 << 20};
	uint8_t prefix[KV_NS_MAX + 2];

	if (kv->sweeping) {
		kv->sweep_again = true;
		return;
	}
	memcpy(prefix, kv->prefix, kv->prefix_n);
	prefix[0] = 'x';
	range.prefix = slice_of(prefix, kv->prefix_n);
	if (store_list(kv->store, &range, on_page, kv) == OK)
		kv_ref(kv);
	else
		kv_sweep_at(kv, kv->o.now() + SWEEP_RETRY_MS);
}

void kv_sweep_start(struct kv *kv)
{
	sweep(kv);
}
