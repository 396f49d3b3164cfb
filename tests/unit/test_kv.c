/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv: expiry, lists, and the two atomic operations, on every engine.
 */
#include "broker/kv.h"
#include "tests/unit/store_room.h"

static uint64_t clock_ms;

static uint64_t test_now(void)
{
	return clock_ms;
}

struct kv_room {
	struct room r;
	struct kv *kv;
};

static void kv_room_open(struct kv_room *k, const struct store_options *o)
{
	struct kv_options kv = {.ns = "http",
				.account = 1,
				.max_key = 64,
				.max_value = 1000,
				.list_rows = 20,
				.now = test_now};

	clock_ms = 1000000;
	room_open(&k->r, o);
	cr_assert_eq(kv_open(&k->kv, k->r.store, &kv), OK);
}

static void kv_room_close(struct kv_room *k)
{
	kv_close(k->kv);
	room_close(&k->r);
}

static void set(struct kv_room *k, const char *key, const char *value,
		uint64_t ttl_ms)
{
	struct store_batch *b = store_batch_new();
	struct answer w = {0};

	cr_assert_eq(kv_set(k->kv, b, s(key), s(value), ttl_ms), OK);
	cr_assert_eq(store_apply(k->r.store, b, on_status, &w), OK);
	room_wait(&k->r, w.calls);
	cr_assert_eq(w.status, OK);
}

/* NULL: absent. Both ways of asking must agree. */
static bool holds(struct kv_room *k, const char *key, const char *value)
{
	struct answer g = {0};
	struct buf now = {0};
	int status;
	bool same;

	cr_assert_eq(kv_get(k->kv, s(key), on_value, &g), OK);
	room_wait(&k->r, g.calls);
	status = kv_try_get(k->kv, s(key), &now);
	if (status != ERR_AGAIN) {
		cr_assert_eq(status, g.status);
		cr_assert(slice_eq(buf_slice(&now), buf_slice(&g.text)));
	}
	if (value)
		same = g.status == OK && answer_is(&g, value);
	else
		same = g.status == ERR_ABSENT;
	buf_fini(&now);
	answer_fini(&g);
	return same;
}

static int cas(struct kv_room *k, const char *key, const char *old,
	       const char *value)
{
	struct slice o = s(old ? old : ""), v = s(value ? value : "");
	struct kv_cas c = {s(key), old ? &o : NULL, value ? &v : NULL};
	struct answer w = {0};
	int status = kv_cas(k->kv, &c, on_status, &w);

	if (status < 0)
		return status;
	room_wait(&k->r, w.calls);
	return w.status;
}

static int incr(struct kv_room *k, const char *key, int64_t by, int64_t *sum)
{
	struct answer w = {0};
	int status = kv_incr(k->kv, s(key), by, on_number, &w);

	if (status < 0)
		return status;
	room_wait(&k->r, w.calls);
	*sum = w.number;
	return w.status;
}

Test(kv, set_get_delete)
{
	each_kind(o)
	{
		struct store_batch *b;
		struct answer w = {0};
		struct kv_room k;

		kv_room_open(&k, &o);
		cr_assert(holds(&k, "nope", NULL));
		set(&k, "a", "1", 0);
		set(&k, "", "the empty key", 0);
		set(&k, "e", "", 0);
		cr_assert(holds(&k, "a", "1"));
		cr_assert(holds(&k, "", "the empty key"));
		cr_assert(holds(&k, "e", ""));
		b = store_batch_new();
		cr_assert_eq(kv_delete(k.kv, b, s("a")), OK);
		cr_assert_eq(kv_delete(k.kv, b, s("never there")), OK);
		cr_assert_eq(store_apply(k.r.store, b, on_status, &w), OK);
		room_wait(&k.r, w.calls);
		cr_assert(holds(&k, "a", NULL));
		kv_room_close(&k);
	}
}

Test(kv, two_namespaces_do_not_meet)
{
	each_kind(o)
	{
		struct kv_options other = {.ns = "httpx"};
		struct store_batch *b = store_batch_new();
		struct answer w = {0}, g = {0};
		struct kv_room k;
		struct kv *kv;

		kv_room_open(&k, &o);
		cr_assert_eq(kv_open(&kv, k.r.store, &other), OK);
		cr_assert_eq(kv_set(kv, b, s("a"), s("other"), 0), OK);
		cr_assert_eq(store_apply(k.r.store, b, on_status, &w), OK);
		room_wait(&k.r, w.calls);
		cr_assert(holds(&k, "a", NULL));
		cr_assert_eq(kv_get(kv, s("a"), on_value, &g), OK);
		room_wait(&k.r, g.calls);
		cr_assert(answer_is(&g, "other"));
		answer_fini(&g);
		kv_close(kv);
		kv_room_close(&k);
	}
}

Test(kv, limits)
{
	each_kind(o)
	{
		struct store_batch *b = store_batch_new();
		uint8_t big[1001] = {0};
		struct answer w = {0};
		struct kv_room k;

		kv_room_open(&k, &o);
		cr_assert_eq(kv_set(k.kv, b, s("a"), slice_of(big, 1001), 0),
			     ERR_RANGE);
		cr_assert_eq(kv_set(k.kv, b, slice_of(big, 65), s("v"), 0),
			     ERR_RANGE);
		cr_assert_eq(kv_delete(k.kv, b, slice_of(big, 65)), ERR_RANGE);
		cr_assert(store_batch_empty(b));
		cr_assert_eq(kv_incr(k.kv, slice_of(big, 65), 1, on_number, &w),
			     ERR_RANGE);
		store_batch_free(b);
		kv_room_close(&k);
	}
}

Test(kv, incr)
{
	each_kind(o)
	{
		struct kv_room k;
		int64_t sum;

		kv_room_open(&k, &o);
		cr_assert_eq(incr(&k, "n", 5, &sum), OK);
		cr_assert_eq(sum, 5);
		cr_assert_eq(incr(&k, "n", -7, &sum), OK);
		cr_assert_eq(sum, -2);
		cr_assert(holds(&k, "n", "-2"));
		set(&k, "n", "9223372036854775806", 0);
		cr_assert_eq(incr(&k, "n", 1, &sum), OK);
		cr_assert_eq(sum, INT64_MAX);
		cr_assert_eq(incr(&k, "n", 1, &sum), ERR_RANGE);
		cr_assert(holds(&k, "n", "9223372036854775807"));
		set(&k, "n", "-9223372036854775808", 0);
		cr_assert_eq(incr(&k, "n", -1, &sum), ERR_RANGE);
		kv_room_close(&k);
	}
}

Test(kv, incr_of_what_is_no_number)
{
	static const char *const bad[] = {"",
					  "-",
					  "x",
					  "1x",
					  " 1",
					  "+1",
					  "1.0",
					  "9223372036854775808",
					  "-9223372036854775809",
					  "99999999999999999999"};

	each_kind(o)
	{
		struct kv_room k;
		int64_t sum;

		kv_room_open(&k, &o);
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			set(&k, "n", bad[i], 0);
			cr_assert_eq(incr(&k, "n", 1, &sum), ERR_TYPE, "'%s'",
				     bad[i]);
			cr_assert(holds(&k, "n", bad[i]));
		}
		kv_room_close(&k);
	}
}

static uint8_t seen[1001];
static int answered;

static void on_sum(void *arg, int status, int64_t sum)
{
	(void)arg;
	cr_assert_eq(status, OK);
	cr_assert(sum >= 1 && sum <= 1000);
	seen[sum]++;
	answered++;
}

/* Every sum exactly once, whatever the store is doing meanwhile. */
Test(kv, incr_is_exact_under_concurrency)
{
	each_kind(o)
	{
		struct store_status status;
		struct kv_room k;

		kv_room_open(&k, &o);
		memset(seen, 0, sizeof(seen));
		answered = 0;
		for (int i = 0; i < 1000; i++) {
			cr_assert_eq(kv_incr(k.kv, s("n"), 1, on_sum, NULL),
				     OK);
			if (i % 37 == 0)
				uv_run(&k.r.loop, UV_RUN_NOWAIT);
		}
		room_wait(&k.r, answered == 1000);
		for (int i = 1; i <= 1000; i++)
			cr_assert_eq(seen[i], 1, "%d", i);
		cr_assert(holds(&k, "n", "1000"));
		store_status(k.r.store, &status);
		cr_assert_lt(status.groups, 200, "they are not folded");
		kv_room_close(&k);
	}
}

/* What increments of one turn fold into, and what they do not. */
Test(kv, increments_of_a_turn_are_one_batch)
{
	each_kind(o)
	{
		struct answer a[7] = {0};
		struct store_status before, after;
		struct buf now = {0};
		struct kv_room k;

		kv_room_open(&k, &o);
		set(&k, "n", "7", 5000);
		set(&k, "zeros", "007", 0);
		store_status(k.r.store, &before);
		for (int i = 0; i < 5; i++) /* 8, 9; and 10, 11, 12 */
			cr_assert_eq(kv_incr(k.kv, s("n"), 1, on_number, &a[i]),
				     OK);
		if (!o.cold) {
			cr_assert_eq(kv_try_get(k.kv, s("n"), &now), OK);
			cr_assert(slice_is(buf_slice(&now), "12"));
		}
		for (int i = 5; i < 7; i++)
			cr_assert_eq(
				kv_incr(k.kv, s("zeros"), 93, on_number, &a[i]),
				OK);
		room_wait(&k.r, a[4].calls && a[6].calls);
		for (int i = 0; i < 5; i++)
			cr_assert(a[i].status == OK && a[i].number == 8 + i);
		cr_assert(a[5].number == 100 && a[6].number == 193);
		store_status(k.r.store, &after);
		cr_assert_eq(after.batches - before.batches, o.cold ? 7 : 3);
		cr_assert(holds(&k, "n", "12") && holds(&k, "zeros", "193"));
		clock_ms += 5001; /* the ttl stays */
		cr_assert(holds(&k, "n", NULL));
		buf_fini(&now);
		kv_room_close(&k);
	}
}

Test(kv, increments_fail_with_the_batch_that_they_follow)
{
	struct store_options o = {.kind = STORE_MEM, .fail_write = 3};
	struct answer a[3] = {0};
	struct kv_room k;

	kv_room_open(&k, &o);
	set(&k, "n", "41", 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(kv_incr(k.kv, s("n"), 1, on_number, &a[i]), OK);
	room_wait(&k.r, a[2].calls);
	for (int i = 0; i < 3; i++)
		cr_assert(a[i].calls == 1 && a[i].status == ERR_IO);
	cr_assert(holds(&k, "n", "41"));
	kv_room_close(&k);
}

Test(kv, cas)
{
	each_kind(o)
	{
		struct kv_room k;

		kv_room_open(&k, &o);
		cr_assert_eq(cas(&k, "a", "1", "2"), ERR_CONFLICT);
		cr_assert_eq(cas(&k, "a", NULL, "1"), OK);
		cr_assert_eq(cas(&k, "a", NULL, "2"), ERR_CONFLICT);
		cr_assert_eq(cas(&k, "a", "0", "2"), ERR_CONFLICT);
		cr_assert(holds(&k, "a", "1"));
		cr_assert_eq(cas(&k, "a", "1", "2"), OK);
		cr_assert(holds(&k, "a", "2"));
		cr_assert_eq(cas(&k, "a", "2", NULL), OK);
		cr_assert(holds(&k, "a", NULL));
		kv_room_close(&k);
	}
}

/* Of many that race for one key, one wins. */
Test(kv, cas_has_one_winner)
{
	each_kind(o)
	{
		struct answer w[50] = {{0}};
		int called = 0, won = 0;
		struct kv_room k;

		kv_room_open(&k, &o);
		for (int i = 0; i < 50; i++) {
			struct slice v = s("mine");
			struct kv_cas c = {s("lock"), NULL, &v};

			w[i].status = kv_cas(k.kv, &c, on_status, &w[i]);
			w[i].calls = -(w[i].status == OK);
		}
		while (called < 50) {
			called = won = 0;
			for (int i = 0; i < 50; i++) {
				called += w[i].calls == 0;
				won += w[i].calls == 0 && w[i].status == OK;
			}
			if (called < 50)
				uv_run(&k.r.loop, UV_RUN_ONCE);
		}
		cr_assert_eq(won, 1);
		kv_room_close(&k);
	}
}

static void on_rows(void *arg, int status, const struct kv_row *row, size_t n)
{
	struct answer *a = arg;

	on_status(a, status);
	a->n = n;
	buf_clear(&a->text);
	for (size_t i = 0; i < n; i++) {
		buf_add_slice(&a->text, row[i].key);
		buf_add(&a->text, "=", 1);
		buf_add_slice(&a->text, row[i].value);
		buf_add(&a->text, " ", 1);
	}
}

static void list(struct kv_room *k, const char *prefix, struct answer *a)
{
	a->calls = 0;
	cr_assert_eq(kv_list(k->kv, s(prefix), on_rows, a), OK);
	room_wait(&k->r, a->calls);
}

Test(kv, lists)
{
	each_kind(o)
	{
		struct answer l = {0};
		struct kv_room k;
		char key[16];

		kv_room_open(&k, &o);
		set(&k, "u:b", "2", 0);
		set(&k, "u:a", "1", 0);
		set(&k, "v", "3", 0);
		set(&k, "u:x", "short", 1000);
		list(&k, "u:", &l);
		cr_assert(answer_is(&l, "u:a=1 u:b=2 u:x=short "));
		clock_ms += 1000;
		list(&k, "u:", &l);
		cr_assert(answer_is(&l, "u:a=1 u:b=2 "));
		list(&k, "none", &l);
		cr_assert_eq(l.n, 0);
		for (int i = 0; i < 20; i++) {
			snprintf(key, sizeof(key), "z%02d", i);
			set(&k, key, "v", 0);
		}
		list(&k, "z", &l);
		cr_assert_eq(l.n, 20);
		list(&k, "", &l);
		cr_assert_eq(l.status, ERR_RANGE);
		kv_room_close(&k);
		answer_fini(&l);
	}
}

Test(kv, expiry)
{
	each_kind(o)
	{
		struct kv_room k;
		int64_t sum;

		kv_room_open(&k, &o);
		set(&k, "a", "1", 5000);
		set(&k, "forever", "1", UINT64_MAX);
		clock_ms += 4999;
		cr_assert(holds(&k, "a", "1"));
		cr_assert_eq(incr(&k, "a", 1, &sum), OK);
		clock_ms += 1;
		cr_assert(holds(&k, "a", NULL), "incr keeps the expiry");
		cr_assert_eq(cas(&k, "a", "2", "3"), ERR_CONFLICT);
		cr_assert_eq(incr(&k, "a", 1, &sum), OK);
		cr_assert_eq(sum, 1);
		clock_ms += 100000;
		cr_assert(holds(&k, "a", "1"), "and a new one has none");
		cr_assert(holds(&k, "forever", "1"));
		kv_room_close(&k);
	}
}

/* The sweep removes what has expired, and only that; the index empties. */
Test(kv, the_sweep)
{
	each_kind(o)
	{
		struct kv_room k;
		char key[16];

		kv_room_open(&k, &o);
		for (int i = 0; i < 400; i++) {
			snprintf(key, sizeof(key), "s%03d", i);
			set(&k, key, "v", 2000);
		}
		set(&k, "again", "short", 2000);
		set(&k, "again", "for good", 0);
		set(&k, "later", "v", 3600 * 1000);
		cr_assert_eq(room_rows(&k.r, "k"), 402);
		clock_ms += 10 * 1000;
		/* Opened again, it looks at once, not when a timer says. */
		kv_close(k.kv);
		uv_run(&k.r.loop, UV_RUN_NOWAIT);
		cr_assert_eq(kv_open(&k.kv, k.r.store,
				     &(struct kv_options){.ns = "http",
							  .account = 1,
							  .now = test_now}),
			     OK);
		while (room_rows(&k.r, "k") > 2)
			uv_run(&k.r.loop, UV_RUN_NOWAIT);
		while (room_rows(&k.r, "x") > 1)
			uv_run(&k.r.loop, UV_RUN_NOWAIT);
		cr_assert(holds(&k, "again", "for good"));
		cr_assert(holds(&k, "later", "v"));
		cr_assert_lt(room_usage(&k.r), 100);
		kv_room_close(&k);
	}
}

/* Setting one key with a ttl over and over must not fill the index. */
Test(kv, the_index_stays_small)
{
	each_kind(o)
	{
		struct kv_room k;

		kv_room_open(&k, &o);
		for (int i = 0; i < 500; i++) {
			set(&k, "session", "v", 3600 * 1000);
			clock_ms += 1000;
		}
		cr_assert_lt(room_rows(&k.r, "x"), 10);
		kv_room_close(&k);
	}
}
