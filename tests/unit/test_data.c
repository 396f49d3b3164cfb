/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data: reading below the root, and everything that tries to leave it.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "broker/data.h"

/* BASE/root is the root; BASE/secret lies beside it. */
struct place {
	char base[64];
	uv_loop_t loop;
	struct data *d;
};

static struct slice s(const char *text)
{
	return slice_str(text);
}

static const char *path(const struct place *p, const char *name)
{
	static char full[512];

	snprintf(full, sizeof(full), "%s/%s", p->base, name);
	return full;
}

static void file(const struct place *p, const char *name, const char *text)
{
	FILE *f = fopen(path(p, name), "w");

	cr_assert(f, "%s", name);
	fputs(text, f);
	fclose(f);
}

static void place_open(struct place *p)
{
	strcpy(p->base, "/tmp/pinfold-test-XXXXXX");
	cr_assert(mkdtemp(p->base));
	cr_assert_eq(mkdir(path(p, "root"), 0700), 0);
	cr_assert_eq(mkdir(path(p, "root/sub"), 0700), 0);
	cr_assert_eq(mkdir(path(p, "root/sub/deep"), 0700), 0);
	cr_assert_eq(mkdir(path(p, "out"), 0700), 0);
	file(p, "root/z.txt", "zzz");
	file(p, "root/sub/a.txt", "hello");
	file(p, "root/sub/deep/c.txt", "c");
	file(p, "secret", "s3cret");
	file(p, "out/secret", "s3cret");
	cr_assert_eq(uv_loop_init(&p->loop), 0);
	cr_assert_eq(data_open(&p->d, &p->loop, path(p, "root")), OK);
}

static int remove_one(const char *name, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(name);
}

static void place_close(struct place *p)
{
	data_close(p->d);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&p->loop), 0);
	nftw(p->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int read_text(struct place *p, const char *name, uint64_t offset,
		     size_t length, const char *expect)
{
	struct data_range range = {offset, length};
	struct buf out = {0};
	uint64_t total;
	int r = data_read_work(p->d, s(name), &range, &out, &total);

	if (r == OK && expect)
		cr_assert(slice_is(buf_slice(&out), expect), "%.*s", (int)out.n,
			  out.p);
	else
		cr_assert_eq(out.n, 0);
	buf_fini(&out);
	return r;
}

static bool exists(struct place *p, const char *name)
{
	bool yes;

	cr_assert_eq(data_exists_work(p->d, s(name), &yes), OK);
	return yes;
}

static int list(struct place *p, const char *name, const char *expect)
{
	struct buf names = {0};
	size_t n;
	int r = data_list_work(p->d, s(name), &names, &n);

	for (size_t i = 0; i < names.n; i++)
		if (!names.p[i])
			names.p[i] = ' ';
	if (r == OK)
		cr_assert(slice_is(buf_slice(&names), expect), "'%.*s'",
			  (int)names.n, names.p);
	buf_fini(&names);
	return r;
}

Test(data, reads_and_lists)
{
	struct place p;

	place_open(&p);
	cr_assert_eq(read_text(&p, "sub/a.txt", 0, 100, "hello"), OK);
	cr_assert_eq(read_text(&p, "sub/a.txt", 2, 2, "ll"), OK);
	cr_assert_eq(read_text(&p, "sub/a.txt", 5, 2, ""), OK);
	cr_assert_eq(read_text(&p, "sub/a.txt", UINT64_MAX, 2, ""), OK);
	cr_assert_eq(read_text(&p, "sub", 0, 2, NULL), ERR_TYPE);
	cr_assert_eq(read_text(&p, "nope", 0, 2, NULL), ERR_ABSENT);
	cr_assert_eq(read_text(&p, "z.txt/x", 0, 2, NULL), ERR_ABSENT);
	cr_assert_eq(read_text(&p, "z.txt", 0, DATA_RANGE + 1, NULL),
		     ERR_RANGE);
	cr_assert(exists(&p, "sub"));
	cr_assert(exists(&p, "sub/a.txt"));
	cr_assert(!exists(&p, "sub/b.txt"));
	cr_assert_eq(list(&p, "", "sub/a.txt sub/deep/c.txt z.txt "), OK);
	cr_assert_eq(list(&p, "sub", "sub/a.txt sub/deep/c.txt "), OK);
	cr_assert_eq(list(&p, "sub/a.txt", "sub/a.txt "), OK);
	cr_assert_eq(list(&p, "nope", ""), OK);
	place_close(&p);
}

Test(data, names_that_climb_are_refused)
{
	static const char *const bad[] = {"../secret", "/etc/passwd",
					  "..",	       "sub/../../secret",
					  ".",	       "sub//a.txt"};
	struct place p;
	bool yes;

	place_open(&p);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(read_text(&p, bad[i], 0, 10, NULL), ERR_FORMAT,
			     "%s", bad[i]);
		cr_assert_eq(data_exists_work(p.d, s(bad[i]), &yes),
			     ERR_FORMAT);
		cr_assert(!yes);
		cr_assert_eq(list(&p, bad[i], ""), ERR_FORMAT);
	}
	place_close(&p);
}

Test(data, links_stay_beneath_or_do_not_exist)
{
	static const char *const bad[] = {"up", "abs", "dirup/secret",
					  "sub/chain", "proc"};
	struct place p;
	char target[128];

	place_open(&p);
	cr_assert_eq(symlink("../secret", path(&p, "root/up")), 0);
	snprintf(target, sizeof(target), "%s/secret", p.base);
	cr_assert_eq(symlink(target, path(&p, "root/abs")), 0);
	cr_assert_eq(symlink("../out", path(&p, "root/dirup")), 0);
	cr_assert_eq(symlink("../up", path(&p, "root/sub/chain")), 0);
	cr_assert_eq(
		symlink("/proc/self/root/etc/passwd", path(&p, "root/proc")),
		0);
	cr_assert_eq(symlink("loop", path(&p, "root/loop")), 0);
	cr_assert_eq(symlink("../z.txt", path(&p, "root/sub/in")), 0);
	cr_assert_eq(symlink("..", path(&p, "root/sub/round")), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(read_text(&p, bad[i], 0, 10, NULL), ERR_ABSENT,
			     "%s", bad[i]);
		cr_assert(!exists(&p, bad[i]), "%s", bad[i]);
	}
	cr_assert(!exists(&p, "loop"));
	cr_assert_eq(read_text(&p, "sub/in", 0, 10, "zzz"), OK);
	/* Links to files beneath are listed; none is descended into. */
	cr_assert_eq(list(&p, "", "sub/a.txt sub/deep/c.txt sub/in z.txt "),
		     OK);
	cr_assert_eq(list(&p, "dirup", ""), OK);
	place_close(&p);
}

Test(data, only_regular_files)
{
	struct place p;

	place_open(&p);
	cr_assert_eq(mkfifo(path(&p, "root/fifo"), 0600), 0);
	cr_assert_eq(read_text(&p, "fifo", 0, 10, NULL), ERR_TYPE);
	cr_assert(!exists(&p, "fifo"));
	cr_assert_eq(list(&p, "", "sub/a.txt sub/deep/c.txt z.txt "), OK);
	place_close(&p);
}

Test(data, listings_are_bounded)
{
	struct place p;
	char name[64];

	place_open(&p);
	cr_assert_eq(mkdir(path(&p, "root/many"), 0700), 0);
	for (int i = 0; i <= DATA_LIST_ROWS; i++) {
		snprintf(name, sizeof(name), "root/many/%d", i);
		close(open(path(&p, name), O_CREAT | O_WRONLY, 0600));
	}
	cr_assert_eq(list(&p, "many", ""), ERR_RANGE);
	place_close(&p);
}

struct got {
	int calls, status;
	struct buf text;
	bool exists;
	uint64_t total;
};

static void on_result(void *arg, int status, const struct data_result *r)
{
	struct got *g = arg;

	g->calls++;
	g->status = status;
	if (!r)
		return;
	g->exists = r->exists;
	g->total = r->total;
	buf_clear(&g->text);
	buf_add_slice(&g->text, r->bytes);
	for (size_t i = 0; i < r->n; i++) {
		buf_add_slice(&g->text, r->name[i]);
		buf_add(&g->text, " ", 1);
	}
}

static void await(struct place *p, struct got *g)
{
	cr_assert_eq(g->calls, 0, "never before it returns");
	while (!g->calls)
		uv_run(&p->loop, UV_RUN_ONCE);
	g->calls = 0;
}

Test(data, calls_come_back_on_the_loop)
{
	struct data_range range = {1, 3};
	struct got g = {0};
	struct place p;

	place_open(&p);
	cr_assert_eq(data_exists(p.d, s("sub"), on_result, &g), OK);
	await(&p, &g);
	cr_assert(g.exists);
	cr_assert_eq(data_read(p.d, s("sub/a.txt"), &range, on_result, &g), OK);
	await(&p, &g);
	cr_assert(slice_is(buf_slice(&g.text), "ell"));
	cr_assert_eq(g.total, 5);
	cr_assert_eq(data_list(p.d, s("sub"), on_result, &g), OK);
	await(&p, &g);
	cr_assert(slice_is(buf_slice(&g.text), "sub/a.txt sub/deep/c.txt "));
	cr_assert_eq(data_read(p.d, s("no"), &range, on_result, &g), OK);
	await(&p, &g);
	cr_assert_eq(g.status, ERR_ABSENT);
	cr_assert_eq(data_read(p.d, s("../x"), &range, on_result, &g),
		     ERR_FORMAT);
	/* Closing with a call under way. */
	cr_assert_eq(data_exists(p.d, s("sub"), on_result, &g), OK);
	place_close(&p);
	cr_assert_eq(g.calls, 1);
	buf_fini(&g.text);
}

Test(data, a_root_that_is_not_there)
{
	struct data *d;
	uv_loop_t loop;

	cr_assert_eq(data_open(&d, &loop, "/nonexistent/x"), ERR_ABSENT);
	cr_assert_eq(data_open(&d, &loop, "/etc/passwd"), ERR_IO);
}
