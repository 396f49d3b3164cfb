/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Artifacts: content before its name, names that change all at once, and
 * nothing left behind by runs that failed.
 */
#include "broker/artifact.h"
#include "broker/name.h"
#include "tests/unit/store_room.h"

struct art_room {
	struct room r;
	struct artifacts *a;
	struct artifact_options options;
};

static void art_start(struct art_room *k)
{
	cr_assert_eq(artifact_open(&k->a, k->r.store, &k->options), OK);
}

static void art_room_open(struct art_room *k, const struct store_options *o)
{
	k->options = (struct artifact_options){.ns = "http",
					       .account = 1,
					       .max_bytes = 3 << 20,
					       .list_rows = 10,
					       .grace_ms = 1};
	room_open(&k->r, o);
	art_start(k);
}

static void art_room_close(struct art_room *k)
{
	artifact_close(k->a);
	room_close(&k->r);
}

/* Until no blob waits for anything: removal is by timer. */
static void settle(struct art_room *k)
{
	for (int i = 0; i < 2000 && artifact_loose(k->a); i++) {
		uv_run(&k->r.loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
	cr_assert_eq(artifact_loose(k->a), 0);
}

static void on_blob(void *arg, int status, uint64_t blob)
{
	struct answer *a = arg;

	on_status(a, status);
	a->number = (int64_t)blob;
}

static int put(struct art_room *k, uint64_t owner, uint64_t *blob,
	       struct slice bytes)
{
	struct artifact_put p = {owner, *blob, bytes};
	struct answer a = {0};
	int r = artifact_put(k->a, &p, on_blob, &a);

	if (r < 0)
		return r;
	room_wait(&k->r, a.calls);
	*blob = (uint64_t)a.number;
	return a.status;
}

static uint64_t blob_of(struct art_room *k, uint64_t owner, const char *text)
{
	uint64_t blob = 0;

	cr_assert_eq(put(k, owner, &blob, s(text)), OK);
	cr_assert_neq(blob, 0);
	return blob;
}

/* One transaction, from begin to end. */
struct run {
	struct art_room *k;
	struct artifact_tx *tx;
	struct answer a;
};

static void on_applied(void *arg, int status)
{
	struct run *run = arg;

	artifact_tx_end(run->tx, status);
	on_status(&run->a, status);
}

static void on_ready(void *arg, int status, struct artifact_tx *tx)
{
	struct run *run = arg;
	struct store_batch *b;

	if (status < 0) {
		on_status(&run->a, status);
		return;
	}
	b = store_batch_new();
	run->tx = tx;
	artifact_tx_fill(tx, b);
	cr_assert_eq(store_apply(run->k->r.store, b, on_applied, run), OK);
}

static int change(struct art_room *k, uint64_t owner,
		  const struct artifact_op *op, size_t n)
{
	struct artifact_ops ops = {owner, op, n};
	struct run run = {.k = k};
	int r = artifact_begin(k->a, &ops, on_ready, &run);

	if (r < 0)
		return r;
	cr_assert_eq(run.a.calls, 0);
	room_wait(&k->r, run.a.calls);
	return run.a.status;
}

static struct artifact_op op_write(const char *name, uint64_t blob,
				   uint64_t size)
{
	return (struct artifact_op){.kind = ARTIFACT_WRITE,
				    .name = s(name),
				    .blob = blob,
				    .size = size};
}

static struct artifact_op op_delete(const char *name)
{
	return (struct artifact_op){.kind = ARTIFACT_DELETE, .name = s(name)};
}

static struct artifact_op op_rename(const char *name, const char *to)
{
	return (struct artifact_op){
		.kind = ARTIFACT_RENAME, .name = s(name), .to = s(to)};
}

static int write_text(struct art_room *k, const char *name, const char *text)
{
	struct artifact_op op =
		op_write(name, blob_of(k, 7, text), strlen(text));

	return change(k, 7, &op, 1);
}

struct found {
	struct answer a;
	struct artifact_stat stat;
};

static void on_stat(void *arg, int status, const struct artifact_stat *stat)
{
	struct found *f = arg;

	on_status(&f->a, status);
	if (stat)
		f->stat = *stat;
}

static struct found stat_of(struct art_room *k, const char *name)
{
	struct found f = {0};

	cr_assert_eq(artifact_stat(k->a, s(name), on_stat, &f), OK);
	room_wait(&k->r, f.a.calls);
	return f;
}

static int read_blob(struct art_room *k, uint64_t blob, uint64_t offset,
		     size_t length, struct answer *a)
{
	struct artifact_range range = {blob, offset, length};
	int r;

	a->calls = 0;
	r = artifact_read(k->a, &range, on_value, a);
	if (r < 0)
		return r;
	room_wait(&k->r, a->calls);
	return a->status;
}

static bool content_is(struct art_room *k, const char *name, const char *text)
{
	struct found f = stat_of(k, name);
	struct answer a = {0};
	bool same;

	if (f.a.status != OK || f.stat.dir || f.stat.size != strlen(text))
		return false;
	same = read_blob(k, f.stat.blob, 0, 100, &a) == OK &&
	       answer_is(&a, text);
	answer_fini(&a);
	return same;
}

Test(artifact, write_read_delete)
{
	each_kind(o)
	{
		struct artifact_op op = op_delete("d/a.txt");
		struct art_room k;

		art_room_open(&k, &o);
		cr_assert_eq(stat_of(&k, "d/a.txt").a.status, ERR_ABSENT);
		cr_assert_eq(write_text(&k, "d/a.txt", "hello"), OK);
		cr_assert(content_is(&k, "d/a.txt", "hello"));
		cr_assert(stat_of(&k, "d").stat.dir);
		cr_assert_eq(stat_of(&k, "d/a").a.status, ERR_ABSENT);
		cr_assert_eq(write_text(&k, "d/a.txt", "other"), OK);
		cr_assert(content_is(&k, "d/a.txt", "other"));
		cr_assert_eq(change(&k, 7, &op, 1), OK);
		cr_assert_eq(change(&k, 7, &op, 1), OK, "fine when absent");
		cr_assert_eq(stat_of(&k, "d/a.txt").a.status, ERR_ABSENT);
		cr_assert_eq(stat_of(&k, "d").a.status, ERR_ABSENT);
		settle(&k);
		cr_assert_eq(room_rows(&k.r, "c"), 0);
		cr_assert_eq(room_rows(&k.r, "p"), 0);
		cr_assert_eq(room_usage(&k.r), 0);
		art_room_close(&k);
	}
}

Test(artifact, an_empty_one)
{
	each_kind(o)
	{
		struct artifact_op op = op_write("none", 0, 0);
		struct art_room k;

		art_room_open(&k, &o);
		cr_assert_eq(write_text(&k, "e", ""), OK);
		cr_assert(content_is(&k, "e", ""));
		cr_assert_eq(change(&k, 7, &op, 1), OK);
		cr_assert(content_is(&k, "none", ""));
		art_room_close(&k);
	}
}

Test(artifact, large_content_in_ranges)
{
	each_kind(o)
	{
		size_t n = 2 * ARTIFACT_CHUNK + 1000;
		uint8_t *bytes = malloc(n);
		struct artifact_op op;
		struct answer a = {0};
		struct art_room k;
		uint64_t blob = 0;

		art_room_open(&k, &o);
		for (size_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)(i * 2654435761u >> 13);
		for (size_t at = 0; at < n; at += ARTIFACT_CHUNK) {
			size_t part = n - at < ARTIFACT_CHUNK ? n - at
							      : ARTIFACT_CHUNK;

			cr_assert_eq(
				put(&k, 7, &blob, slice_of(bytes + at, part)),
				OK);
		}
		cr_assert_eq(put(&k, 7, &blob, s("x")), ERR_FORMAT);
		op = op_write("big", blob, n);
		cr_assert_eq(change(&k, 7, &op, 1), OK);
		cr_assert_eq(read_blob(&k, blob, 500, ARTIFACT_CHUNK, &a), OK);
		cr_assert_eq(a.text.n, ARTIFACT_CHUNK);
		cr_assert_eq(memcmp(a.text.p, bytes + 500, a.text.n), 0);
		cr_assert_eq(read_blob(&k, blob, n - 10, 100, &a), OK);
		cr_assert_eq(a.text.n, 10);
		cr_assert_eq(memcmp(a.text.p, bytes + n - 10, 10), 0);
		cr_assert_eq(read_blob(&k, blob, n, 100, &a), OK);
		cr_assert_eq(a.text.n, 0);
		cr_assert_eq(read_blob(&k, blob, UINT64_MAX, 100, &a), OK);
		cr_assert_eq(a.text.n, 0);
		cr_assert_eq(read_blob(&k, blob, 0, ARTIFACT_CHUNK + 1, &a),
			     ERR_RANGE);
		cr_assert_eq(read_blob(&k, blob + 1, 0, 100, &a), ERR_ABSENT);
		cr_assert_eq(read_blob(&k, blob + 1, 5 << 20, 9, &a),
			     ERR_ABSENT);
		cr_assert_eq(room_usage(&k.r), n + 6 + 3 + 24);
		art_room_close(&k);
		answer_fini(&a);
		free(bytes);
	}
}

Test(artifact, limits_of_a_blob)
{
	struct store_options o = kind_options(0);
	uint8_t *mib = calloc(1, ARTIFACT_CHUNK + 1);
	struct art_room k;
	uint64_t blob = 0;

	art_room_open(&k, &o);
	cr_assert_eq(put(&k, 7, &blob, slice_of(mib, ARTIFACT_CHUNK + 1)),
		     ERR_RANGE);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(put(&k, 7, &blob, slice_of(mib, ARTIFACT_CHUNK)),
			     OK);
	cr_assert_eq(put(&k, 7, &blob, s("x")), ERR_RANGE);
	cr_assert_eq(put(&k, 8, &blob, s("x")), ERR_ABSENT, "another's");
	for (int i = 0; i < ARTIFACT_BLOBS; i++) {
		blob = 0;
		cr_assert_eq(put(&k, 9, &blob, s("")), OK);
	}
	blob = 0;
	cr_assert_eq(put(&k, 9, &blob, s("")), ERR_FULL);
	art_room_close(&k);
	free(mib);
}

Test(artifact, a_run_cannot_name_what_is_not_its_own)
{
	each_kind(o)
	{
		struct artifact_op op[2];
		struct art_room k;
		uint64_t blob;

		art_room_open(&k, &o);
		blob = blob_of(&k, 7, "mine");
		op[0] = op_write("x", blob, 4);
		cr_assert_eq(change(&k, 8, op, 1), ERR_FORMAT);
		op[0] = op_write("x", blob, 5);
		cr_assert_eq(change(&k, 7, op, 1), ERR_FORMAT, "its size");
		op[0] = op_write("x", blob + 1, 4);
		cr_assert_eq(change(&k, 7, op, 1), ERR_FORMAT, "no such blob");
		op[0] = op_write("x", 0, 4);
		cr_assert_eq(change(&k, 7, op, 1), ERR_FORMAT);
		op[0] = op_write("x", blob, 4);
		op[1] = op_write("y", blob, 4);
		cr_assert_eq(change(&k, 7, op, 2), ERR_FORMAT, "twice");
		op[0] = op_write("../x", blob, 4);
		cr_assert_eq(change(&k, 7, op, 1), ERR_FORMAT);
		op[0] = op_write("x", blob, 4);
		cr_assert_eq(change(&k, 7, op, 1), OK, "none of that sticks");
		cr_assert_eq(change(&k, 7, op, 1), ERR_FORMAT, "named already");
		cr_assert(content_is(&k, "x", "mine"));
		art_room_close(&k);
	}
}

Test(artifact, renames)
{
	each_kind(o)
	{
		struct artifact_op op[3];
		struct art_room k;

		art_room_open(&k, &o);
		cr_assert_eq(write_text(&k, "a", "aa"), OK);
		cr_assert_eq(write_text(&k, "b", "bb"), OK);
		op[0] = op_rename("a", "b");
		cr_assert_eq(change(&k, 7, op, 1), ERR_CONFLICT);
		op[0] = op_rename("none", "c");
		cr_assert_eq(change(&k, 7, op, 1), ERR_CONFLICT);
		/* A swap, and a delete that a later failure undoes. */
		op[0] = op_rename("a", "t");
		op[1] = op_rename("b", "a");
		op[2] = op_rename("t", "b");
		cr_assert_eq(change(&k, 7, op, 3), OK);
		cr_assert(content_is(&k, "a", "bb"));
		cr_assert(content_is(&k, "b", "aa"));
		op[0] = op_delete("a");
		op[1] = op_rename("a", "x");
		cr_assert_eq(change(&k, 7, op, 2), ERR_CONFLICT);
		cr_assert(content_is(&k, "a", "bb"));
		settle(&k);
		cr_assert_eq(room_rows(&k.r, "c"), 2);
		art_room_close(&k);
	}
}

/* Many at once that all change one name: they take turns. */
Test(artifact, transactions_take_turns)
{
	each_kind(o)
	{
		struct run run[20] = {{0}};
		struct art_room k;
		int done = 0, won = 0;

		art_room_open(&k, &o);
		cr_assert_eq(write_text(&k, "a", "aa"), OK);
		for (int i = 0; i < 20; i++) {
			struct artifact_op op = op_rename("a", "b");
			struct artifact_ops ops = {7, &op, 1};

			run[i].k = &k;
			cr_assert_eq(
				artifact_begin(k.a, &ops, on_ready, &run[i]),
				OK);
		}
		while (done < 20) {
			uv_run(&k.r.loop, UV_RUN_ONCE);
			for (int i = done = won = 0; i < 20; i++) {
				done += run[i].a.calls;
				won += run[i].a.calls && run[i].a.status == OK;
			}
		}
		cr_assert_eq(won, 1);
		cr_assert(content_is(&k, "b", "aa"));
		art_room_close(&k);
	}
}

Test(artifact, what_a_failed_run_put_is_removed)
{
	each_kind(o)
	{
		struct artifact_op op;
		struct art_room k;
		uint64_t kept;

		art_room_open(&k, &o);
		blob_of(&k, 7, "one");
		kept = blob_of(&k, 8, "kept");
		blob_of(&k, 7, "two");
		artifact_drop_blob(k.a, 7, kept); /* not its own */
		artifact_drop_owner(k.a, 7);
		op = op_write("x", kept, 4);
		cr_assert_eq(change(&k, 8, &op, 1), OK);
		artifact_drop_owner(k.a, 8);
		settle(&k);
		cr_assert_eq(room_rows(&k.r, "c"), 1);
		cr_assert_eq(room_rows(&k.r, "p"), 0);
		cr_assert(content_is(&k, "x", "kept"));
		art_room_close(&k);
	}
}

/* After a crash nobody remembers the owners: the marks do. */
Test(artifact, a_start_removes_what_has_no_name)
{
	struct store_options o = kind_options(KINDS - 1);
	struct art_room k;
	uint64_t before;

	art_room_open(&k, &o);
	cr_assert_eq(write_text(&k, "x", "kept"), OK);
	before = room_usage(&k.r);
	blob_of(&k, 7, "lost");
	blob_of(&k, 8, "lost too");
	cr_assert_eq(room_usage(&k.r), before + 12);
	artifact_close(k.a);
	room_store_close(&k.r);
	room_store_open(&k.r);
	cr_assert_eq(room_rows(&k.r, "c"), 3);
	art_start(&k);
	while (room_rows(&k.r, "c") > 1)
		uv_run(&k.r.loop, UV_RUN_NOWAIT);
	cr_assert_eq(room_rows(&k.r, "p"), 0);
	cr_assert_eq(room_usage(&k.r), before);
	cr_assert(content_is(&k, "x", "kept"));
	art_room_close(&k);
}

/* Who has begun to read may go on for the grace. */
Test(artifact, a_reader_outlives_the_name)
{
	each_kind(o)
	{
		struct artifact_op op = op_delete("x");
		struct answer a = {0};
		struct found f;
		struct art_room k;

		art_room_open(&k, &o);
		artifact_close(k.a);
		k.options.grace_ms = 60 * 1000;
		art_start(&k);
		cr_assert_eq(write_text(&k, "x", "text"), OK);
		f = stat_of(&k, "x");
		cr_assert_eq(change(&k, 7, &op, 1), OK);
		cr_assert_eq(read_blob(&k, f.stat.blob, 0, 10, &a), OK);
		cr_assert(answer_is(&a, "text"));
		cr_assert_eq(artifact_loose(k.a), 1);
		art_room_close(&k);
		answer_fini(&a);
	}
}

static void on_names(void *arg, int status, const struct slice *name, size_t n)
{
	struct answer *a = arg;

	on_status(a, status);
	a->n = n;
	for (size_t i = 0; i < n; i++) {
		buf_add_slice(&a->text, name[i]);
		buf_add(&a->text, " ", 1);
	}
}

Test(artifact, lists)
{
	each_kind(o)
	{
		struct answer a = {0};
		struct art_room k;
		char name[16];

		art_room_open(&k, &o);
		write_text(&k, "b", "1");
		write_text(&k, "a/y", "1");
		write_text(&k, "a/x", "1");
		cr_assert_eq(artifact_list(k.a, on_names, &a), OK);
		room_wait(&k.r, a.calls);
		cr_assert(answer_is(&a, "a/x a/y b "));
		for (int i = 0; i < 8; i++) {
			snprintf(name, sizeof(name), "n%d", i);
			write_text(&k, name, "1");
		}
		cr_assert_eq(artifact_list(k.a, on_names, &a), OK);
		room_wait(&k.r, a.calls == 2);
		cr_assert_eq(a.status, ERR_RANGE);
		art_room_close(&k);
		answer_fini(&a);
	}
}

Test(artifact, names)
{
	static const char *const good[] = {"a", "a/b", ".a", "a..", "...", " "};
	static const char *const bad[] = {"",	 ".",	   "..",   "/",
					  "/a",	 "a/",	   "a//b", "a/.",
					  "./a", "a/../b", "a/.."};
	char big[NAME_MAX_BYTES + 2];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		cr_assert(name_ok(s(good[i])), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(!name_ok(s(bad[i])), "%s", bad[i]);
	cr_assert(!name_ok(slice_of("a\0b", 3)));
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = i % 100 == 99 ? '/' : 'x';
	cr_assert(name_ok(slice_of(big, NAME_MAX_BYTES)));
	cr_assert(!name_ok(slice_of(big, NAME_MAX_BYTES + 1)));
	memset(big, 'x', sizeof(big));
	cr_assert(name_ok(slice_of(big, NAME_PART_MAX)));
	cr_assert(!name_ok(slice_of(big, NAME_PART_MAX + 1)));
}
