/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv: reads, and the two operations that read before they write. Those are
 * decided on the loop, in one piece: from what the store knows at once, or in
 * the callback of a store_get(), which shows the state of that moment. So
 * nothing can come between reading and writing.
 */
#include "broker/kv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "broker/kv_space.h"
#include "proto/proto.h"

#define TTL_FOREVER_MS (100ull * 365 * 86400 * 1000)

enum { SUM = 24 }; /* room for an integer as text */

static uint64_t wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void append(struct kv_key *out, const void *p, size_t n)
{
	must(n <= sizeof(out->b) - out->n);
	if (n)
		memcpy(out->b + out->n, p, n);
	out->n += n;
}

void kv_data_key(const struct kv *kv, struct slice key, struct kv_key *out)
{
	out->n = 0;
	append(out, kv->prefix, kv->prefix_n);
	append(out, key.p, key.n);
}

void kv_index_key(const struct kv *kv, uint64_t at, struct slice key,
		  struct kv_key *out)
{
	uint8_t be[KV_EXPIRY];

	be_put64(be, at);
	out->n = 0;
	append(out, kv->prefix, kv->prefix_n);
	out->b[0] = 'x';
	append(out, be, sizeof(be));
	append(out, key.p, key.n);
}

int kv_record(const struct kv *kv, struct slice record, uint64_t *expiry,
	      struct slice *value)
{
	if (record.n < KV_EXPIRY)
		return ERR_ABSENT;
	*expiry = be_get64(record.p);
	*value = slice_of(record.p + KV_EXPIRY, record.n - KV_EXPIRY);
	if (*expiry && *expiry <= kv->o.now())
		return ERR_ABSENT;
	return OK;
}

static void defaults(struct kv_options *o)
{
	if (!o->max_key || o->max_key > PROTO_MAX_KEY)
		o->max_key = PROTO_MAX_KEY;
	if (!o->max_value)
		o->max_value = PROTO_MAX_VALUE;
	if (!o->list_rows)
		o->list_rows = 10000;
	if (!o->list_bytes)
		o->list_bytes = 16 << 20;
	if (!o->now)
		o->now = wall_ms;
}

int kv_open(struct kv **out, struct store *store,
	    const struct kv_options *options)
{
	struct kv *kv = calloc(1, sizeof(*kv));
	size_t n = strlen(options->ns);

	if (!kv)
		return ERR_NOMEM;
	must(n <= KV_NS_MAX);
	kv->store = store;
	kv->o = *options;
	defaults(&kv->o);
	kv->prefix[0] = 'k';
	memcpy(kv->prefix + 1, options->ns, n + 1);
	kv->prefix_n = n + 2;
	kv->refs = 1;
	must(uv_timer_init(store_loop(store), &kv->timer) == 0);
	uv_unref((uv_handle_t *)&kv->timer);
	kv_sweep_start(kv);
	*out = kv;
	return OK;
}

void kv_ref(struct kv *kv)
{
	kv->refs++;
}

void kv_unref(struct kv *kv)
{
	if (--kv->refs == 0)
		free(kv);
}

static void on_timer_closed(uv_handle_t *handle)
{
	kv_unref(container_of((uv_timer_t *)handle, struct kv, timer));
}

void kv_close(struct kv *kv)
{
	if (!kv)
		return;
	kv->closing = true;
	uv_close((uv_handle_t *)&kv->timer, on_timer_closed);
}

bool kv_key_ok(const struct kv *kv, struct slice key)
{
	return key.n <= kv->o.max_key;
}

bool kv_value_ok(const struct kv *kv, struct slice value)
{
	return value.n <= kv->o.max_value;
}

/* Appends the record to `out`; *value points into it. */
static int try_record(struct kv *kv, struct slice key, struct buf *out,
		      uint64_t *expiry, struct slice *value)
{
	struct kv_key k;
	int r;

	kv_data_key(kv, key, &k);
	r = store_try_get(kv->store, kv_key_slice(&k), out);
	return r < 0 ? r : kv_record(kv, buf_slice(out), expiry, value);
}

int kv_try_get(struct kv *kv, struct slice key, struct buf *out)
{
	struct buf record = {0};
	struct slice value;
	uint64_t expiry;
	int r = ERR_ABSENT;

	if (kv_key_ok(kv, key))
		r = try_record(kv, key, &record, &expiry, &value);
	if (r == OK) {
		buf_add_slice(out, value);
		r = buf_error(out);
	}
	buf_fini(&record);
	return r;
}

/* One call under way; `key` and, behind it, old and value lie in bytes. */
struct call {
	struct kv *kv;
	union {
		void (*get)(void *arg, int status, struct slice value);
		void (*list)(void *arg, int status, const struct kv_row *row,
			     size_t n);
		void (*incr)(void *arg, int status, int64_t value);
		void (*cas)(void *arg, int status);
	} cb;
	void *arg;
	int64_t by, sum;
	struct store_follower written;
	struct kv_cas c;
	struct slice old, value;
	struct buf bytes;
};

static struct call *call_new(struct kv *kv, void *arg)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->kv = kv;
	c->arg = arg;
	kv_ref(kv);
	return c;
}

static void call_free(struct call *c)
{
	kv_unref(c->kv);
	buf_fini(&c->bytes);
	free(c);
}

/* For the end of a function that has begun a call: keep the law. */
static int begun(struct call *c, int r)
{
	if (r < 0)
		call_free(c);
	return r;
}

static void on_get(void *arg, int status, struct slice record)
{
	struct slice value = {0};
	struct call *c = arg;
	uint64_t expiry;

	if (status == OK)
		status = kv_record(c->kv, record, &expiry, &value);
	c->cb.get(c->arg, status, status == OK ? value : (struct slice){0});
	call_free(c);
}

int kv_get(struct kv *kv, struct slice key,
	   void (*cb)(void *arg, int status, struct slice value), void *arg)
{
	struct kv_key k;
	struct call *c;

	if (!kv_key_ok(kv, key))
		return ERR_ABSENT;
	c = call_new(kv, arg);
	if (!c)
		return ERR_NOMEM;
	c->cb.get = cb;
	kv_data_key(kv, key, &k);
	return begun(c, store_get(kv->store, kv_key_slice(&k), on_get, c));
}

static void on_list(void *arg, int status, const struct store_page *page)
{
	struct kv_row *row = NULL;
	struct call *c = arg;
	uint64_t expiry;
	size_t n = 0;

	if (status == OK && page->more)
		status = ERR_RANGE;
	if (status == OK && page->n) {
		row = calloc(page->n, sizeof(*row));
		status = row ? OK : ERR_NOMEM;
	}
	for (size_t i = 0; status == OK && i < page->n; i++) {
		struct slice key = page->row[i].key;

		if (kv_record(c->kv, page->row[i].value, &expiry,
			      &row[n].value) < 0)
			continue;
		row[n++].key = slice_of(key.p + c->kv->prefix_n,
					key.n - c->kv->prefix_n);
	}
	c->cb.list(c->arg, status, row, n);
	free(row);
	call_free(c);
}

int kv_list(struct kv *kv, struct slice prefix,
	    void (*cb)(void *arg, int status, const struct kv_row *row,
		       size_t n),
	    void *arg)
{
	struct store_range range = {.max_rows = kv->o.list_rows,
				    .max_bytes = kv->o.list_bytes};
	struct kv_key k;
	struct call *c;

	if (!kv_key_ok(kv, prefix))
		return ERR_RANGE;
	c = call_new(kv, arg);
	if (!c)
		return ERR_NOMEM;
	c->cb.list = cb;
	kv_data_key(kv, prefix, &k);
	range.prefix = kv_key_slice(&k);
	/* What the layout adds to a row is not the script's. */
	range.max_bytes += range.max_rows * (kv->prefix_n + KV_EXPIRY);
	return begun(c, store_list(kv->store, &range, on_list, c));
}

static int parse(struct slice s, int64_t *out)
{
	bool negative = s.n && s.p[0] == '-';
	uint64_t v = 0, most = (uint64_t)INT64_MAX + negative;
	size_t i = negative;

	if (s.n == i || s.n > i + 19)
		return ERR_TYPE;
	for (; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return ERR_TYPE;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	if (v > most)
		return ERR_TYPE;
	*out = (int64_t)(negative ? -v : v);
	return OK;
}

static void add_record(struct kv *kv, struct store_batch *b, struct slice key,
		       uint64_t expiry, struct slice value)
{
	uint8_t be[KV_EXPIRY];
	struct kv_key k;

	be_put64(be, expiry);
	kv_data_key(kv, key, &k);
	store_batch_set2(b, kv->o.account, kv_key_slice(&k),
			 slice_of(be, sizeof(be)), value);
}

static void on_incr_written(void *arg, int status)
{
	struct call *c = arg;

	c->cb.incr(c->arg, status, status == OK ? c->sum : 0);
	call_free(c);
}

/* Sets c->sum; `text` is that, NUL-terminated. Its length, or an error. */
static int add(struct call *c, struct slice value, char text[SUM])
{
	int64_t old = 0;
	int r;

	if (value.p && (r = parse(value, &old)) < 0)
		return r;
	if (__builtin_add_overflow(old, c->by, &c->sum))
		return ERR_RANGE;
	return snprintf(text, SUM, "%" PRId64, c->sum);
}

/*
 * A counter that all events increment: those of a turn are one write. False
 * where that cannot be, whatever the reason.
 */
static bool incr_gathering(struct call *c, const struct kv_key *key)
{
	struct store_batch *b;
	struct slice value;
	uint64_t expiry;
	uint8_t *record;
	char text[SUM];
	size_t n;

	b = store_gathering(c->kv->store, kv_key_slice(key), &record, &n);
	if (!b || kv_record(c->kv, slice_of(record, n), &expiry, &value) < 0 ||
	    add(c, value, text) != (int)value.n)
		return false;
	memcpy(record + n - value.n, text, value.n);
	c->written.cb = on_incr_written;
	c->written.arg = c;
	store_follow(b, &c->written);
	return true;
}

/* `found` tells about value: OK or ERR_ABSENT. The callback comes if OK. */
static int incr_now(struct call *c, int found, uint64_t expiry,
		    struct slice value)
{
	struct store_batch *b;
	char text[SUM];
	int n = add(c, found == OK ? value : (struct slice){0}, text);

	if (n < 0)
		return n;
	b = store_batch_new();
	if (b)
		add_record(c->kv, b, buf_slice(&c->bytes),
			   found == OK ? expiry : 0, slice_of(text, (size_t)n));
	return store_apply(c->kv->store, b, on_incr_written, c);
}

static void on_incr_read(void *arg, int status, struct slice record)
{
	struct slice value = {0};
	struct call *c = arg;
	uint64_t expiry = 0;

	if (status == OK)
		status = kv_record(c->kv, record, &expiry, &value);
	if (status == OK || status == ERR_ABSENT)
		status = incr_now(c, status, expiry, value);
	if (status < 0)
		on_incr_written(c, status);
}

int kv_incr(struct kv *kv, struct slice key, int64_t by,
	    void (*cb)(void *arg, int status, int64_t value), void *arg)
{
	struct buf record = {0};
	struct slice value = {0};
	uint64_t expiry = 0;
	struct kv_key k;
	struct call *c;
	int r;

	if (!kv_key_ok(kv, key))
		return ERR_RANGE;
	c = call_new(kv, arg);
	if (!c)
		return ERR_NOMEM;
	c->cb.incr = cb;
	c->by = by;
	kv_data_key(kv, key, &k);
	if (incr_gathering(c, &k))
		return OK;
	buf_add_slice(&c->bytes, key);
	r = buf_error(&c->bytes);
	if (r == OK)
		r = try_record(kv, key, &record, &expiry, &value);
	if (r == ERR_AGAIN)
		r = store_get(kv->store, kv_key_slice(&k), on_incr_read, c);
	else if (r == OK || r == ERR_ABSENT)
		r = incr_now(c, r, expiry, value);
	buf_fini(&record);
	return begun(c, r);
}

static void on_cas_written(void *arg, int status)
{
	struct call *c = arg;

	c->cb.cas(c->arg, status);
	call_free(c);
}

static int cas_now(struct call *c, int found, struct slice value)
{
	struct store_batch *b;
	struct kv_key k;

	if (c->c.old ? found != OK || !slice_eq(value, c->old) : found == OK)
		return ERR_CONFLICT;
	b = store_batch_new();
	if (b && c->c.value) {
		add_record(c->kv, b, c->c.key, 0, c->value);
	} else if (b) {
		kv_data_key(c->kv, c->c.key, &k);
		store_batch_delete(b, c->kv->o.account, kv_key_slice(&k));
	}
	return store_apply(c->kv->store, b, on_cas_written, c);
}

static void on_cas_read(void *arg, int status, struct slice record)
{
	struct slice value = {0};
	struct call *c = arg;
	uint64_t expiry;

	if (status == OK)
		status = kv_record(c->kv, record, &expiry, &value);
	if (status == OK || status == ERR_ABSENT)
		status = cas_now(c, status, value);
	if (status < 0)
		on_cas_written(c, status);
}

/* The caller's bytes, kept for as long as the call takes. */
static int cas_copy(struct call *c, const struct kv_cas *cas)
{
	size_t at_old, at_value;

	c->c = *cas;
	buf_add_slice(&c->bytes, cas->key);
	at_old = c->bytes.n;
	if (cas->old)
		buf_add_slice(&c->bytes, *cas->old);
	at_value = c->bytes.n;
	if (cas->value)
		buf_add_slice(&c->bytes, *cas->value);
	if (buf_error(&c->bytes))
		return buf_error(&c->bytes);
	c->c.key = slice_of(c->bytes.p, cas->key.n);
	if (cas->old)
		c->old = slice_of(c->bytes.p + at_old, cas->old->n);
	if (cas->value)
		c->value = slice_of(c->bytes.p + at_value, cas->value->n);
	return OK;
}

int kv_cas(struct kv *kv, const struct kv_cas *cas,
	   void (*cb)(void *arg, int status), void *arg)
{
	struct buf record = {0};
	struct slice value = {0};
	uint64_t expiry;
	struct kv_key k;
	struct call *c;
	int r;

	if (!kv_key_ok(kv, cas->key) ||
	    (cas->value && !kv_value_ok(kv, *cas->value)))
		return ERR_RANGE;
	c = call_new(kv, arg);
	if (!c)
		return ERR_NOMEM;
	c->cb.cas = cb;
	r = cas_copy(c, cas);
	if (r == OK)
		r = try_record(kv, cas->key, &record, &expiry, &value);
	if (r == ERR_AGAIN) {
		kv_data_key(kv, cas->key, &k);
		r = store_get(kv->store, kv_key_slice(&k), on_cas_read, c);
	} else if (r == OK || r == ERR_ABSENT) {
		r = cas_now(c, r, value);
	}
	buf_fini(&record);
	return begun(c, r);
}

/*
 * When to look at a key that expires: a little late, on a grid that is
 * coarser for longer ttls, so that a key that is set over and over has a
 * few rows in the index and not one per write.
 */
static uint64_t look_at(uint64_t expiry, uint64_t ttl_ms)
{
	uint64_t grid = 1000;

	while (grid < ttl_ms / 32)
		grid *= 2;
	return (expiry + grid - 1) / grid * grid;
}

int kv_set(struct kv *kv, struct store_batch *b, struct slice key,
	   struct slice value, uint64_t ttl_ms)
{
	uint64_t expiry = 0, at;
	struct kv_key k;

	if (!kv_key_ok(kv, key) || !kv_value_ok(kv, value))
		return ERR_RANGE;
	if (ttl_ms && ttl_ms < TTL_FOREVER_MS) {
		expiry = kv->o.now() + ttl_ms;
		at = look_at(expiry, ttl_ms);
		kv_index_key(kv, at, key, &k);
		store_batch_set(b, 0, kv_key_slice(&k), (struct slice){0});
		kv_sweep_at(kv, at);
	}
	add_record(kv, b, key, expiry, value);
	return OK;
}

int kv_delete(struct kv *kv, struct store_batch *b, struct slice key)
{
	struct kv_key k;

	if (!kv_key_ok(kv, key))
		return ERR_RANGE;
	kv_data_key(kv, key, &k);
	store_batch_delete(b, kv->o.account, kv_key_slice(&k));
	return OK;
}
