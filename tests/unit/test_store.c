/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: pending writes are seen, callbacks come once and in order, a
 * failed write takes what followed with it, and what is on disk comes back
 * whole or is refused.
 */
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include "tests/unit/store_room.h"

static struct slice s(const char *text)
{
	return slice_str(text);
}

static void put(struct room *r, const char *key, const char *value,
		struct answer *a)
{
	struct store_batch *b = store_batch_new();

	store_batch_set(b, 0, s(key), s(value));
	cr_assert_eq(store_apply(r->store, b, on_status, a), OK);
}

static void del(struct room *r, const char *key, struct answer *a)
{
	struct store_batch *b = store_batch_new();

	store_batch_delete(b, 0, s(key));
	cr_assert_eq(store_apply(r->store, b, on_status, a), OK);
}

static void get(struct room *r, const char *key, struct answer *a)
{
	a->calls = 0;
	cr_assert_eq(store_get(r->store, s(key), on_value, a), OK);
	cr_assert_eq(a->calls, 0);
	room_wait(r, a->calls);
	cr_assert_eq(a->calls, 1);
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
	struct store_range range = {s(prefix), s(after), rows, 1 << 20};

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
		put(&r, "qa", "1", &w);
		cr_assert_eq(w.calls, 0);
		cr_assert_eq(store_try_get(r.store, s("qa"), &b), OK);
		cr_assert(slice_is(buf_slice(&b), "1"));
		get(&r, "qa", &g);
		cr_assert(answer_is(&g, "1"));
		room_wait(&r, w.calls);
		cr_assert_eq(w.status, OK);
		get(&r, "qa", &g);
		cr_assert(answer_is(&g, "1"));
		del(&r, "qa", &w);
		cr_assert_eq(store_try_get(r.store, s("qa"), &b), ERR_ABSENT);
		get(&r, "qa", &g);
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
		put(&r, "qa", "old", &w);
		room_wait(&r, w.calls);
		for (int i = 0; i < 50; i++) {
			char text[16];

			g.calls = 0;
			cr_assert_eq(store_get(r.store, s("qa"), on_value, &g),
				     OK);
			snprintf(text, sizeof(text), "new%d", i);
			put(&r, "qa", text, &w);
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
			store_batch_set(b, 0, s(key), s("x"));
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
		put(&r, "qa", "1", &w);
		put(&r, "qc", "3", &w);
		put(&r, "qe", "5", &w);
		put(&r, "r", "not in it", &w);
		room_wait(&r, w.calls == 4);
		put(&r, "qb", "2", &w);
		put(&r, "qc", "33", &w);
		del(&r, "qe", &w);
		put(&r, "qf", "6", &w);
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
			put(&r, key, "v", &w);
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

	put(f->r, "qb", "computed from 2", f->a);
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
	put(&r, "qa", "1", &first);
	room_wait(&r, first.calls);
	f = (struct follower){.r = &r, .a = &second};
	uv_prepare_init(&r.loop, &f.turn);
	f.turn.data = &f;
	uv_prepare_start(&f.turn, on_follow);
	put(&r, "qa", "2", &failed);
	room_wait(&r, failed.calls && second.calls);
	cr_assert_eq(failed.status, ERR_IO);
	cr_assert_eq(second.status, ERR_IO);
	get(&r, "qa", &g);
	cr_assert(answer_is(&g, "1"));
	get(&r, "qb", &g);
	cr_assert_eq(g.status, ERR_ABSENT);
	put(&r, "qb", "later", &after);
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
		put(&r, "qa", "1", &w);
		cr_assert_eq(store_get(r.store, s("qa"), on_value, &g), OK);
		store_close(r.store, room_on_closed, &r.closed);
		b = store_batch_new();
		store_batch_set(b, 0, s("qb"), s("2"));
		cr_assert_eq(store_apply(r.store, b, on_status, &w),
			     ERR_CLOSED);
		cr_assert_eq(store_get(r.store, s("qa"), on_value, &g),
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
		store_batch_set(b, 0, slice_of(big, sizeof(big)), s("x"));
		cr_assert_eq(store_apply(r.store, b, on_status, &w), ERR_RANGE);
		for (int i = 0, refused = 0; !refused; i++) {
			int status;

			b = store_batch_new();
			store_batch_set(b, 0, s("q"),
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

	store_batch_set(b, 1, s(key), slice_of(value, n));
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
		store_batch_delete(b, 1, s("qb"));
		store_batch_charge(b, 1, -500);
		cr_assert_eq(store_apply(r.store, b, on_status, &w), OK);
		room_wait(&r, w.calls);
		cr_assert_eq(usage(&r), 12);
		room_close(&r);
	}
}

static struct store_options rocks(void)
{
	return kind_options(KINDS - 1);
}

static void fill(struct room *r, int n)
{
	struct answer w = {0};
	char key[16];

	for (int i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "q%05d", i);
		put(r, key, key, &w);
		/* One group each: one record each in the log. */
		room_wait(r, w.calls == i + 1);
	}
}

Test(store, what_was_written_is_there_again)
{
	struct store_options o = rocks();
	struct answer g = {0};
	struct stat st;
	struct room r;

	o.durability = STORE_DISK;
	room_open(&r, &o);
	fill(&r, 100);
	room_store_close(&r);
	cr_assert_eq(stat(r.dir, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0700);
	room_store_open(&r);
	get(&r, "q00099", &g);
	cr_assert(answer_is(&g, "q00099"));
	room_close(&r);
	answer_fini(&g);
}

Test(store, a_second_one_is_refused)
{
	struct store_options o = rocks();
	char why[STORE_WHY];
	struct store *second;
	struct room r;

	room_open(&r, &o);
	cr_assert_eq(store_open(&second, &r.loop, r.dir, &o, why), ERR_EXISTS);
	cr_assert(strstr(why, "lock"), "%s", why);
	room_close(&r);
}

static int reopen(struct room *r, char why[STORE_WHY])
{
	int status = store_open(&r->store, &r->loop, r->dir, &r->options, why);

	if (status == OK)
		room_store_close(r);
	return status;
}

static void the_one(const struct room *r, const char *pattern, char path[256])
{
	char full[256];
	glob_t found;

	snprintf(full, sizeof(full), "%s/db/%s", r->dir, pattern);
	cr_assert_eq(glob(full, 0, NULL, &found), 0, "%s", full);
	snprintf(path, 256, "%s", found.gl_pathv[found.gl_pathc - 1]);
	globfree(&found);
}

static void over(struct room *r)
{
	uv_run(&r->loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&r->loop), 0);
	room_remove_dir(r->dir);
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t c;

	cr_assert_geq(fd, 0);
	cr_assert_eq(pread(fd, &c, 1, at), 1);
	c ^= 0x10;
	cr_assert_eq(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

/* Flipped in the middle of the log: the records behind it must not be lost
 * in silence. */
Test(store, a_flipped_bit_in_the_log_is_refused)
{
	struct store_options o = rocks();
	char why[STORE_WHY], path[256];
	struct stat st;
	struct room r;

	room_open(&r, &o);
	fill(&r, 200);
	room_store_close(&r);
	the_one(&r, "*.log", path);
	cr_assert_eq(stat(path, &st), 0);
	flip(path, st.st_size / 2);
	cr_assert_eq(reopen(&r, why), ERR_CORRUPT, "%s", why);
	cr_assert(strstr(why, r.dir) || strstr(why, ".log"), "%s", why);
	over(&r);
}

Test(store, a_log_without_its_end_is_refused)
{
	struct store_options o = rocks();
	char why[STORE_WHY], path[256];
	struct stat st;
	struct room r;

	room_open(&r, &o);
	fill(&r, 200);
	room_store_close(&r);
	the_one(&r, "*.log", path);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(truncate(path, st.st_size / 2), 0);
	cr_assert_eq(reopen(&r, why), ERR_CORRUPT, "%s", why);
	over(&r);
}

Test(store, a_missing_file_is_refused)
{
	static const char *const files[] = {"CURRENT", "MANIFEST-*", "*.sst",
					    "*.log"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct store_options o = rocks();
		char why[STORE_WHY] = "", path[256];
		struct room r;

		room_open(&r, &o);
		fill(&r, 50);
		room_store_close(&r);
		/* Opening writes what is in the log to a table. */
		room_store_open(&r);
		fill(&r, 50);
		room_store_close(&r);
		the_one(&r, files[i], path);
		cr_assert_eq(unlink(path), 0);
		cr_assert_eq(reopen(&r, why), ERR_CORRUPT, "%s: %s", files[i],
			     why);
		cr_assert_neq(why[0], 0);
		over(&r);
	}
}

Test(store, another_format_is_refused)
{
	struct store_options o = rocks();
	struct answer w = {0};
	char why[STORE_WHY];
	struct room r;

	room_open(&r, &o);
	put(&r, "mformat", "999", &w);
	room_store_close(&r);
	cr_assert_eq(reopen(&r, why), ERR_FORMAT);
	cr_assert(strstr(why, "999"), "%s", why);
	over(&r);
}

Test(store, no_space_refuses_writes_and_goes_on)
{
	struct store_options o = rocks();
	struct store_status status;
	struct answer w = {0}, g = {0};
	struct room r;

	o.floor_bytes = UINT64_MAX;
	room_open(&r, &o);
	put(&r, "qa", "1", &w);
	room_wait(&r, w.calls);
	cr_assert_eq(w.status, ERR_FULL);
	store_status(r.store, &status);
	cr_assert(status.full);
	get(&r, "qa", &g);
	cr_assert_eq(g.status, ERR_ABSENT);
	room_close(&r);
}

Test(store, a_backup_can_be_opened)
{
	struct store_options o = rocks();
	struct answer w = {0}, g = {0};
	struct room r, copy;

	room_open(&r, &o);
	fill(&r, 20);
	copy = (struct room){.options = o};
	snprintf(copy.dir, sizeof(copy.dir), "%.40s-copy", r.dir);
	cr_assert_eq(store_backup(r.store, copy.dir, on_status, &w), OK);
	room_wait(&r, w.calls);
	cr_assert_eq(w.status, OK);
	cr_assert_eq(store_backup(r.store, copy.dir, on_status, &w), OK);
	room_wait(&r, w.calls == 2);
	cr_assert_eq(w.status, ERR_EXISTS);
	cr_assert_eq(uv_loop_init(&copy.loop), 0);
	room_store_open(&copy);
	get(&copy, "q00019", &g);
	cr_assert(answer_is(&g, "q00019"));
	room_close(&copy);
	room_close(&r);
	answer_fini(&g);
}
