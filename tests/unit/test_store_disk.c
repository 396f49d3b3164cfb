/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store on a disk: what was written comes back whole or is refused, by the
 * name of what is damaged; a second one, a foreign format and a full disk.
 */
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>

#include "tests/unit/store_room.h"

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
		room_put(r, key, key, &w);
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
	room_get(&r, "q00099", &g);
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
	room_put(&r, "mformat", "999", &w);
	room_store_close(&r);
	cr_assert_eq(reopen(&r, why), ERR_FORMAT);
	cr_assert(strstr(why, "999"), "%s", why);
	over(&r);
}

static void format_path(const struct room *r, char path[256])
{
	snprintf(path, 256, "%s/format", r->dir);
}

static bool format_file_is(const struct room *r, const char *text)
{
	char path[256], got[64] = "";
	ssize_t n = -1;
	int fd;

	format_path(r, path);
	fd = open(path, O_RDONLY);
	if (fd >= 0) {
		n = read(fd, got, sizeof(got) - 1);
		close(fd);
	}
	return n >= 0 && strcmp(got, text) == 0;
}

static void put_format_file(const struct room *r, const char *text)
{
	char path[256];
	int fd;

	format_path(r, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* It is read before the database is opened, which would write to it: that
 * nothing is, is looked at from outside (test_durability.py). */
Test(store, another_format_in_the_file_is_refused)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{"2\n", ERR_FORMAT},	{"999\n", ERR_FORMAT},
		{"0\n", ERR_FORMAT},	{"18446744073709551617\n", ERR_FORMAT},
		{"", ERR_CORRUPT},	{"\n", ERR_CORRUPT},
		{"1", ERR_CORRUPT},	{"1\n1\n", ERR_CORRUPT},
		{"one\n", ERR_CORRUPT}, {"-1\n", ERR_CORRUPT},
		{" 1\n", ERR_CORRUPT},	{"1x\n", ERR_CORRUPT},
	};
	struct store_options o = rocks();
	char why[STORE_WHY], path[256];
	struct room r;

	room_open(&r, &o);
	room_store_close(&r);
	cr_assert(format_file_is(&r, "1\n"));
	format_path(&r, path);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_format_file(&r, cases[i].text);
		cr_assert_eq(reopen(&r, why), cases[i].status, "%s: %s",
			     cases[i].text, why);
		cr_assert(strstr(why, path), "%s", why);
		cr_assert(format_file_is(&r, cases[i].text));
	}
	put_format_file(&r, "999\n");
	cr_assert_eq(reopen(&r, why), ERR_FORMAT);
	cr_assert(strstr(why, "format 999, this release knows 1"), "%s", why);
	over(&r);
}

/* A database from before there was the file gets one, if it is ours. */
Test(store, a_format_file_is_added)
{
	struct store_options o = rocks();
	char why[STORE_WHY], path[256];
	struct answer w = {0};
	struct room r;

	room_open(&r, &o);
	room_store_close(&r);
	format_path(&r, path);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(reopen(&r, why), OK, "%s", why);
	cr_assert(format_file_is(&r, "1\n"));
	room_store_open(&r);
	room_put(&r, "mformat", "999", &w);
	room_store_close(&r);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(reopen(&r, why), ERR_FORMAT);
	cr_assert_eq(access(path, F_OK), -1);
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
	room_put(&r, "qa", "1", &w);
	room_wait(&r, w.calls);
	cr_assert_eq(w.status, ERR_FULL);
	store_status(r.store, &status);
	cr_assert(status.full);
	room_get(&r, "qa", &g);
	cr_assert_eq(g.status, ERR_ABSENT);
	room_close(&r);
}

static uint64_t disk_bytes(const struct room *r)
{
	uint64_t sum = 0;
	struct stat st;
	char path[128];
	glob_t found;

	snprintf(path, sizeof(path), "%s/db/*.blob", r->dir);
	if (glob(path, 0, NULL, &found) != 0)
		return 0;
	for (size_t i = 0; i < found.gl_pathc; i++)
		if (stat(found.gl_pathv[i], &st) == 0)
			sum += (uint64_t)st.st_size;
	globfree(&found);
	return sum;
}

/* The engine's own threads tell the loop nothing. */
static void wait_bytes(struct room *r, uint64_t least, uint64_t most)
{
	uint64_t now;

	do {
		uv_run(&r->loop, UV_RUN_NOWAIT);
		usleep(1000);
		now = disk_bytes(r);
	} while (now < least || now > most);
}

static void put_large(struct room *r, const char *key, struct slice value,
		      struct answer *w)
{
	struct store_batch *b = store_batch_new();

	store_batch_set(b, 1, s(key), value);
	cr_assert_eq(store_apply(r->store, b, on_status, w), OK);
}

/* A burst that is over: nothing is written any more, and the room of what was
 * deleted comes back all the same. */
Test(store, the_disk_gets_large_values_back, .timeout = 60)
{
	struct store_options o = rocks();
	struct answer w = {0}, g = {0};
	struct buf large = {0};
	char key[16];
	struct room r;
	uint8_t *room;

	o.write_buffer_bytes = 4 << 20;
	o.tidy_bytes = 8 << 20;
	o.tidy_ms = 50;
	cr_assert_eq(buf_reserve(&large, 1 << 20, &room), OK);
	memset(room, 'x', 1 << 20);
	buf_commit(&large, 1 << 20);
	room_open(&r, &o);
	for (int i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "q%d", i);
		put_large(&r, key, buf_slice(&large), &w);
		room_wait(&r, w.calls == i + 1);
	}
	cr_assert_eq(w.status, OK);
	wait_bytes(&r, 30 << 20, UINT64_MAX);
	for (int i = 1; i < 40; i++) {
		struct store_batch *batch = store_batch_new();

		snprintf(key, sizeof(key), "q%d", i);
		store_batch_delete(batch, 1, s(key));
		cr_assert_eq(store_apply(r.store, batch, on_status, &w), OK);
	}
	wait_bytes(&r, 0, 8 << 20);
	room_get(&r, "q0", &g);
	cr_assert_eq(g.text.n, large.n);
	room_close(&r);
	answer_fini(&g);
	buf_fini(&large);
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
	cr_assert(format_file_is(&copy, "1\n"));
	cr_assert_eq(store_backup(r.store, copy.dir, on_status, &w), OK);
	room_wait(&r, w.calls == 2);
	cr_assert_eq(w.status, ERR_EXISTS);
	cr_assert_eq(uv_loop_init(&copy.loop), 0);
	room_store_open(&copy);
	room_get(&copy, "q00019", &g);
	cr_assert(answer_is(&g, "q00019"));
	room_close(&copy);
	room_close(&r);
	answer_fini(&g);
}
