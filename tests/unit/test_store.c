/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: pending writes are seen, callbacks come once and in order, a
 * failed write takes what followed with it, and what is on disk comes back
 * whole or is refused.
 */
#include "tests/unit/store_room.h"

static void del(struct room *r, const char *key, struct answer *a)
{
	struct store_batch *b = store_batch_new();

	store_batch_delete(b, 0, slice_str(key));
	cr_assert_eq(store_apply(r->store, b, on_status, a), OK);
}

static void on_page(void *arg, int status, const struct store_page *page)
{
	struct answer *a = arg;

	on_status(a, status);
	buf_clear(&a->text);
	for (size_t i = 0; status == OK && i < page->n; i++) {
		buf_add_slice(&a->text, page->row[i].key);
		buf_add(&a->text, "=", 1);
		buf_add_slice(&a->text, page->row[i].value);
		buf_add(&a->text, " ", 1);
	}
	a->more = status == OK && page->more;
	a->n = status == OK ? page->n : 0;
}

static void list(struct room *r, const char *prefix, const char *after,
		 size_t rows, struct answer *a)
{
	struct store_range range = {slice_str(prefix), slice_str(after), rows,
				    1 << 20};

	a->calls = 0;
	cr_assert_eq(store_list(r->store, &range, on_page, a), OK);
	room_wait(r, a->calls);
	cr_assert_eq(a->status, OK);
}

Test(store, a_write_is_seen_at_once_and_answered_later)
{
	each_kind(o)
	{
		struct answer w = {0}, g = {0};
		struct buf b = {0};
		struct room r;

		room_open(&r, &o);
		room_put(&r, "qa", "1", &w);
		cr_assert_eq(w.calls, 0);
		cr_assert_eq(store_try_get(r.store, slice_str("qa"), &b), OK);
		cr_assert(slice_is(buf_slice(&b), "1"));
		room_get(&r, "qa", &g);
		cr_assert(answer_is(&g, "1"));
		room_wait(&r, w.calls);
		cr_assert_eq(w.status, OK);
		room_get(&r, "qa", &g);
		cr_assert(answer_is(&g, "1"));
		del(&r, "qa", &w);
		cr_assert_eq(store_try_get(r.store, slice_str("qa"), &b),
			     ERR_ABSENT);
		room_get(&r, "qa", &g);
		cr_assert_eq(g.status, ERR_ABSENT);
		room_close(&r);
		cr_assert_eq(w.calls, 2);
		buf_fini(&b);
		answer_fini(&g);
	}
}

/* A read that set out before a write must not show the value before it. */
Test(store, a_read_shows_the_moment_of_its_callback)
{
	each_kind(o)
	{
		struct answer w = {0}, g = {0};
		struct room r;

		room_open(&r, &o);
		room_put(&r, "qa", "old", &w);
		room_wait(&r, w.calls);
		for (int i = 0; i < 50; i++) {
			char text[16];

			g.calls = 0;
			cr_assert_eq(store_get(r.store, slice_str("qa"),
					       on_value, &g),
				     OK);
			snprintf(text, sizeof(text), "new%d", i);
			room_put(&r, "qa", text, &w);
			room_wait(&r, g.calls);
			cr_assert(answer_is(&g, text), "round %d", i);
			if (i % 3 == 0)
				room_wait(&r, w.calls == i + 2);
		}
		room_close(&r);
		answer_fini(&g);
	}
}

struct turn_order {
	int at[200];
	int n;
};

static struct turn_order order;

static void on_nth(void *arg, int status)
{
	cr_assert_eq(status, OK);
	order.at[order.n++] = (int)(intptr_t)arg;
}

Test(store, callbacks_come_in_the_order_of_the_calls)
{
	each_kind(o)
	{
		struct store_status status;
		struct room r;

		room_open(&r, &o);
		order.n = 0;
		for (intptr_t i = 0; i < 200; i++) {
			struct store_batch *b = store_batch_new();
			char key[8];

			snprintf(key, sizeof(key), "q%d", (int)i % 7);
			store_batch_set(b, 0, slice_str(key), slice_str("x"));
			cr_assert_eq(store_apply(r.store, b, on_nth, (void *)i),
				     OK);
			if (i % 20 == 0)
				uv_run(&r.loop, UV_RUN_NOWAIT);
		}
		room_wait(&r, order.n == 200);
		for (int i = 0; i < 200; i++)
			cr_assert_eq(order.at[i], i);
		store_status(r.store, &status);
		cr_assert_eq(status.batches, 200);
		cr_assert_lt(status.groups, 30, "one group per turn");
		cr_assert_eq(status.pending_bytes, 0);
		room_close(&r);
	}
}

Test(store, lists_merge_what_is_pending)
{
	each_kind(o)
	{
		struct answer w = {0}, l = {0};
		struct room r;

		room_open(&r, &o);
		room_put(&r, "qa", "1", &w);
		room_put(&r, "qc", "3", &w);
		room_put(&r, "qe", "5", &w);
		room_put(&r, "r", "not in it", &w);
		room_wait(&r, w.calls == 4);
		room_put(&r, "qb", "2", &w);
		room_put(&r, "qc", "33", &w);
		del(&r, "qe", &w);
		room_put(&r, "qf", "6", &w);
		list(&r, "q", "", 100, &l);
		cr_assert(answer_is(&l, "qa=1 qb=2 qc=33 qf=6 "));
		cr_assert(!l.more);
		list(&r, "q", "", 2, &l);
		cr_assert(answer_is(&l, "qa=1 qb=2 "));
		cr_assert(l.more);
		list(&r, "q", "qb", 2, &l);
		cr_assert(answer_is(&l, "qc=33 qf=6 "));
		list(&r, "q", "qz", 2, &l);
		cr_assert_eq(l.n, 0);
		room_close(&r);
		answer_fini(&l);
	}
}

Test(store, pages_of_a_list_miss_nothing)
{
	each_kind(o)
	{
		struct answer w = {0}, l = {0};
		char after[8] = "", key[8];
		size_t seen = 0;
		struct room r;

		room_open(&r, &o);
		for (int i = 0; i < 100; i++) {
			snprintf(key, sizeof(key), "q%03d", i);
			room_put(&r, key, "v", &w);
			if (i == 50)
				room_wait(&r, w.calls == 51);
		}
		do {
			list(&r, "q", after, 7, &l);
			for (size_t i = 0; i < l.n; i++) {
				snprintf(key, sizeof(key), "q%03zu", seen++);
				cr_assert_eq(memcmp(l.text.p + i * 7, key, 4),
					     0);
			}
			snprintf(after, sizeof(after), "q%03zu", seen - 1);
		} while (l.more);
		cr_assert_eq(seen, 100);
		room_close(&r);
		answer_fini(&l);
	}
}

/* Applies once the group before it has been sent, and before the loop can
 * hear what became of that: handles of a turn run newest first, and the
 * store's is newer. */
struct follower {
	uv_prepare_t turn;
	struct room *r;
	struct answer *a;
};

static void on_follow(uv_prepare_t *turn)
{
	struct follower *f = turn->data;

	room_put(f->r, "qb", "computed from 2", f->a);
	uv_close((uv_handle_t *)turn, NULL);
}

Test(store, a_failed_write_takes_what_followed_with_it)
{
	struct store_options o = {.kind = STORE_MEM, .fail_write = 3};
	struct answer first = {0}, failed = {0}, second = {0};
	struct answer after = {0}, g = {0};
	struct follower f;
	struct room r;

	room_open(&r, &o); /* the format is the first write */
	room_put(&r, "qa", "1", &first);
	room_wait(&r, first.calls);
	f = (struct follower){.r = &r, .a = &second};
	uv_prepare_init(&r.loop, &f.turn);
	f.turn.data = &f;
	uv_prepare_start(&f.turn, on_follow);
	room_put(&r, "qa", "2", &failed);
	room_wait(&r, failed.calls && second.calls);
	cr_assert_eq(failed.status, ERR_IO);
	cr_assert_eq(second.status, ERR_IO);
	room_get(&r, "qa", &g);
	cr_assert(answer_is(&g, "1"));
	room_get(&r, "qb", &g);
	cr_assert_eq(g.status, ERR_ABSENT);
	room_put(&r, "qb", "later", &after);
	room_wait(&r, after.calls);
	cr_assert_eq(after.status, OK);
	room_close(&r);
	answer_fini(&g);
}

Test(store, closing_finishes_and_refuses)
{
	each_kind(o)
	{
		struct answer w = {0}, g = {0};
		struct store_batch *b;
		struct room r;

		room_open(&r, &o);
		room_put(&r, "qa", "1", &w);
		cr_assert_eq(store_get(r.store, slice_str("qa"), on_value, &g),
			     OK);
		store_close(r.store, room_on_closed, &r.closed);
		b = store_batch_new();
		store_batch_set(b, 0, slice_str("qb"), slice_str("2"));
		cr_assert_eq(store_apply(r.store, b, on_status, &w),
			     ERR_CLOSED);
		cr_assert_eq(store_get(r.store, slice_str("qa"), on_value, &g),
			     ERR_CLOSED);
		room_wait(&r, r.closed);
		cr_assert_eq(w.calls, 1);
		cr_assert_eq(w.status, OK);
		cr_assert(answer_is(&g, "1"));
		cr_assert_eq(uv_loop_close(&r.loop), 0);
		room_remove_dir(r.dir);
		answer_fini(&g);
	}
}

Test(store, bounds_are_kept)
{
	each_kind(o)
	{
		struct answer w = {0};
		struct store_batch *b;
		char big[STORE_MAX_KEY + 1];
		struct room r;

		o.queue_bytes = 64 << 10;
		room_open(&r, &o);
		memset(big, 'q', sizeof(big));
		b = store_batch_new();
		store_batch_set(b, 0, slice_of(big, sizeof(big)),
				slice_str("x"));
		cr_assert_eq(store_apply(r.store, b, on_status, &w), ERR_RANGE);
		for (int i = 0, refused = 0; !refused; i++) {
			int status;

			b = store_batch_new();
			store_batch_set(b, 0, slice_str("q"),
					slice_of(big, sizeof(big)));
			status = store_apply(r.store, b, on_status, &w);
			refused = status == ERR_FULL;
			cr_assert(refused || status == OK);
			cr_assert_lt(i, 17);
		}
		cr_assert_eq(store_apply(r.store, NULL, on_status, &w),
			     ERR_NOMEM);
		room_close(&r);
	}
}

static void counted(struct room *r, const char *key, size_t n, int64_t charge,
		    int expect)
{
	struct store_batch *b = store_batch_new();
	struct answer w = {0};
	char value[1000] = "";

	store_batch_set(b, 1, slice_str(key), slice_of(value, n));
	store_batch_charge(b, 1, charge);
	cr_assert_eq(store_apply(r->store, b, on_status, &w), expect);
	if (expect == OK)
		room_wait(r, w.calls);
}

static uint64_t usage(struct room *r)
{
	struct store_status status;

	store_status(r->store, &status);
	cr_assert_eq(status.usage[2], 0);
	return status.usage[1];
}

Test(store, accounts_count_and_limit)
{
	each_kind(o)
	{
		struct store_batch *b;
		struct answer w = {0};
		struct room r;

		o.account_max = 2000;
		room_open(&r, &o);
		counted(&r, "qa", 100, 0, OK);
		cr_assert_eq(usage(&r), 102);
		counted(&r, "qa", 10, 500, OK);
		cr_assert_eq(usage(&r), 512);
		counted(&r, "qb", 900, 0, OK);
		counted(&r, "qc", 900, 0, ERR_FULL);
		cr_assert_eq(usage(&r), 512 + 902);
		if (o.kind == STORE_ROCKSDB) {
			room_store_close(&r);
			room_store_open(&r);
			cr_assert_eq(usage(&r), 512 + 902);
		}
		b = store_batch_new();
		store_batch_delete(b, 1, slice_str("qb"));
		store_batch_charge(b, 1, -500);
		cr_assert_eq(store_apply(r.store, b, on_status, &w), OK);
		room_wait(&r, w.calls);
		cr_assert_eq(usage(&r), 12);
		room_close(&r);
	}
}
