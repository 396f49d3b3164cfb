/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rocksdb: the engine that keeps things on disk. Start at rocks_open(); most of
 * what makes it safe is settings, and those are in rocksdb_parts.c.
 *
 * DIR/format store_open() has read it before (format.h)
 * DIR/lock   locked by whoever has the store open
 * DIR/db     the database. It is created as DIR/db.new and renamed, and is
 *            otherwise never created: a database that lost its CURRENT file
 *            must be refused, not taken for a new one.
 * DIR/sequence  how far it had come (mark.h): less at the next open means
 *            that the end of the log, or of the list of files, is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/store/engine.h"
#include "broker/store/format.h"
#include "broker/store/mark.h"
#include "broker/store/rocksdb_parts.h"
#include "lib/log.h"

struct engine {
	rocksdb_t *db;
	struct rocks_parts parts;
	struct mark mark;
	int lock;
	char *dir, *path;
};

enum {
	VERIFY_MAX = 256 << 20, /* what is read as a whole at the start */
};

static const char *tail(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* The library tells errors by text only. Takes err; fills why. */
static int fate(char *err, const char *path, char why[STORE_WHY])
{
	char *old = strstr(err, ".ldb");
	int r = ERR_IO;

	/* A missing table is looked for under its old name last. */
	if (old)
		memcpy(old, ".sst", 4);
	if (tail(err, "Corruption") || strstr(err, "No such file") ||
	    tail(err, "Invalid argument"))
		r = ERR_CORRUPT;
	else if (strstr(err, "lock hold") || strstr(err, "While lock file"))
		r = ERR_EXISTS;
	if (why) {
		bool named = strstr(err, ".sst") || strstr(err, ".log") ||
			     strstr(err, path);

		snprintf(why, STORE_WHY, "%s%s%.400s", named ? "" : path,
			 named ? "" : ": ", err);
	}
	free(err);
	return r;
}

static int sys_error(const char *what, const char *path, char why[STORE_WHY])
{
	snprintf(why, STORE_WHY, "%.400s: %s: %s", path, what, strerror(errno));
	return ERR_IO;
}

static int take_lock(struct engine *e, char why[STORE_WHY])
{
	char path[4096];

	if (mkdir(e->dir, 0700) < 0 && errno != EEXIST)
		return sys_error("mkdir", e->dir, why);
	snprintf(path, sizeof(path), "%s/lock", e->dir);
	e->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (e->lock < 0)
		return sys_error("open", path, why);
	if (flock(e->lock, LOCK_EX | LOCK_NB) == 0)
		return OK;
	if (errno != EWOULDBLOCK)
		return sys_error("flock", path, why);
	snprintf(why, STORE_WHY, "%.400s: in use by another process", path);
	return ERR_EXISTS;
}

static int sync_dir(const char *dir, char why[STORE_WHY])
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = OK;

	if (fd < 0)
		return sys_error("open", dir, why);
	if (fsync(fd) < 0)
		r = sys_error("fsync", dir, why);
	close(fd);
	return r;
}

/* A whole new database appears under its name at once, or not at all. */
static int create(struct engine *e, char why[STORE_WHY])
{
	char fresh[4096], *err = NULL;
	struct stat st;
	rocksdb_t *db;

	if (stat(e->path, &st) == 0)
		return OK;
	/* A new one in its place would look like a loss of everything. */
	snprintf(fresh, sizeof(fresh), "%s.tmp", e->path);
	if (stat(fresh, &st) == 0) {
		snprintf(why, STORE_WHY, "%.400s: a backup that was not ended",
			 fresh);
		return ERR_CORRUPT;
	}
	snprintf(fresh, sizeof(fresh), "%s/db.new", e->dir);
	if (stat(fresh, &st) == 0)
		rocksdb_destroy_db(e->parts.options, fresh, &err);
	if (err)
		return fate(err, fresh, why);
	rocksdb_options_set_create_if_missing(e->parts.options, 1);
	db = rocksdb_open(e->parts.options, fresh, &err);
	rocksdb_options_set_create_if_missing(e->parts.options, 0);
	if (err)
		return fate(err, fresh, why);
	rocksdb_close(db);
	if (rename(fresh, e->path) < 0)
		return sys_error("rename", fresh, why);
	return sync_dir(e->dir, why);
}

static void put_mark(struct engine *e, enum mark_kind kind)
{
	mark_put(&e->mark, rocksdb_get_latest_sequence_number(e->db), kind);
}

static int check_mark(struct engine *e, char why[STORE_WHY])
{
	uint64_t now = rocksdb_get_latest_sequence_number(e->db);

	if (now >= e->mark.writes)
		return OK;
	snprintf(why, STORE_WHY,
		 "%.160s: the log ends at write %llu of %llu: its end is lost "
		 "(to go on without it, remove %.160s/sequence)",
		 e->path, (unsigned long long)now,
		 (unsigned long long)e->mark.writes, e->dir);
	return ERR_CORRUPT;
}

/* Damage inside a table or blob file shows only when it is read: better now
 * than in the middle of an event. What is large is checked as it is read. */
static int check_tables(struct engine *e, char why[STORE_WHY])
{
	uint64_t tables = 0, blobs = 0;
	rocksdb_iterator_t *it;
	char *err = NULL;

	rocksdb_property_int(e->db, "rocksdb.live-sst-files-size", &tables);
	rocksdb_property_int(e->db, "rocksdb.live-blob-file-size", &blobs);
	if (tables + blobs > VERIFY_MAX)
		return OK;
	it = rocksdb_create_iterator(e->db, e->parts.read_scan);
	rocksdb_iter_seek_to_first(it);
	while (rocksdb_iter_valid(it))
		rocksdb_iter_next(it);
	rocksdb_iter_get_error(it, &err);
	rocksdb_iter_destroy(it);
	return err ? fate(err, e->path, why) : OK;
}

/* Which log file it choked on, the library tells its own log only. */
static void name_culprit(const struct engine *e, char why[STORE_WHY])
{
	size_t n = strlen(why);
	char line[4096];
	FILE *f;

	snprintf(line, sizeof(line), "%s/LOG", e->path);
	f = fopen(line, "re");
	while (f && fgets(line, sizeof(line), f)) {
		char *end = strstr(line, ".log: dropping"), *start = end;

		if (!end)
			continue;
		while (start > line && start[-1] != '/')
			start--;
		end[strlen(".log")] = 0;
		snprintf(why + n, STORE_WHY - n, " (in %s)", start);
		break;
	}
	if (f)
		fclose(f);
}

static int open_db(struct engine *e, char why[STORE_WHY])
{
	char *err = NULL;
	int r;

	mark_open(&e->mark, e->dir);
	if (!mark_manifest_whole(&e->mark, e->path)) {
		snprintf(why, STORE_WHY, "%.400s/%s: its end is lost", e->path,
			 e->mark.manifest);
		return ERR_CORRUPT;
	}
	e->db = rocksdb_open(e->parts.options, e->path, &err);
	if (err) {
		r = fate(err, e->path, why);
		name_culprit(e, why);
		return r;
	}
	r = check_mark(e, why);
	if (r == OK)
		r = check_tables(e, why);
	if (r == OK) {
		mark_watch(&e->mark, e->path);
		put_mark(e, MARK_WRITTEN);
	}
	return r;
}

static int rocks_get(struct engine *e, struct slice key, bool cached,
		     struct buf *out);

/* A new database, or one from before there was the file. One that is another
 * release's will be refused; one that could not be written (a full disk) is
 * written by the next start. */
static void add_format(struct engine *e)
{
	char ours[16], why[STORE_WHY];
	struct buf b = {0};
	int r;

	if (format_check(e->dir, why) != ERR_ABSENT)
		return;
	snprintf(ours, sizeof(ours), "%d", STORE_FORMAT);
	r = rocks_get(e, slice_str(ENGINE_KEY_FORMAT), false, &b);
	if (r == ERR_ABSENT || (r == OK && slice_is(buf_slice(&b), ours)))
		(void)format_put(e->dir, why);
	buf_fini(&b);
}

static void rocks_close(struct engine *e)
{
	char *err = NULL;

	if (e->db) {
		rocksdb_flush_wal(e->db, 1, &err);
		if (err)
			log_error("store", "%s: %s", e->path, err);
		else
			put_mark(e, MARK_CLOSED);
		free(err);
		rocksdb_close(e->db);
	}
	rocks_parts_free(&e->parts);
	mark_close(&e->mark);
	if (e->lock >= 0)
		close(e->lock);
	free(e->dir);
	free(e->path);
	free(e);
}

static int rocks_open(struct engine **out, const char *dir,
		      const struct store_options *o, char why[STORE_WHY])
{
	struct engine *e = calloc(1, sizeof(*e));
	int r = ERR_NOMEM;

	if (!e)
		return ERR_NOMEM;
	e->lock = e->mark.fd = e->mark.manifest_fd = -1;
	e->dir = strdup(dir);
	e->path = malloc(strlen(dir) + sizeof("/db"));
	if (!e->dir || !e->path)
		goto out;
	sprintf(e->path, "%s/db", dir);
	if ((r = take_lock(e, why)) < 0)
		goto out;
	rocks_parts_make(&e->parts, o);
	if ((r = create(e, why)) < 0)
		goto out;
	r = open_db(e, why);
	if (r == OK)
		add_format(e);
out:
	if (r < 0) {
		if (e->db) {
			/* What is damaged stays as it was found. */
			rocksdb_close(e->db);
			e->db = NULL;
		}
		rocks_close(e);
		return r;
	}
	*out = e;
	return OK;
}

/* Frees err when it is: what would have to wait is told as a status like any
 * other. */
static bool would_wait(char *err)
{
	if (!tail(err, "Result incomplete"))
		return false;
	free(err);
	return true;
}

/* Frees err. */
static int read_error(char *err, bool cached)
{
	int r;

	if (cached && would_wait(err))
		return ERR_AGAIN;
	log_error("store", "read failed: %s", err);
	r = tail(err, "Corruption") ? ERR_CORRUPT : ERR_IO;
	free(err);
	return r;
}

static int rocks_get(struct engine *e, struct slice key, bool cached,
		     struct buf *out)
{
	rocksdb_pinnableslice_t *v;
	char *err = NULL;
	const char *p;
	size_t n;

	v = rocksdb_get_pinned(e->db,
			       cached ? e->parts.read_cached : e->parts.read,
			       (const char *)key.p, key.n, &err);
	if (err)
		return read_error(err, cached);
	if (!v)
		return ERR_ABSENT;
	p = rocksdb_pinnableslice_value(v, &n);
	buf_add(out, p, n);
	rocksdb_pinnableslice_destroy(v);
	return buf_error(out);
}

static int rocks_size(struct engine *e, struct slice key, bool cached,
		      size_t *n)
{
	rocksdb_pinnableslice_t *v;
	char *err = NULL;

	*n = 0;
	v = rocksdb_get_pinned(e->db,
			       cached ? e->parts.read_cached : e->parts.read,
			       (const char *)key.p, key.n, &err);
	if (err)
		return read_error(err, cached);
	if (!v)
		return ERR_ABSENT;
	rocksdb_pinnableslice_value(v, n);
	rocksdb_pinnableslice_destroy(v);
	return OK;
}

static struct slice iter_key(const rocksdb_iterator_t *it)
{
	size_t n;
	const char *p = rocksdb_iter_key(it, &n);

	return slice_of(p, n);
}

static struct slice iter_value(const rocksdb_iterator_t *it)
{
	size_t n;
	const char *p = rocksdb_iter_value(it, &n);

	return slice_of(p, n);
}

static int scan_from(rocksdb_iterator_t *it, const struct store_range *range,
		     struct engine_rows *out)
{
	int r;

	for (; rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
		struct slice key = iter_key(it), value;

		if (!slice_starts(key, range->prefix))
			return OK;
		if (range->after.n && slice_eq(key, range->after))
			continue;
		value = iter_value(it);
		if (out->n == range->max_rows ||
		    (out->n &&
		     out->bytes.n + key.n + value.n > range->max_bytes)) {
			out->more = true;
			return OK;
		}
		r = engine_rows_add(out, key, value);
		if (r < 0)
			return r;
	}
	return OK;
}

static int rocks_scan(struct engine *e, const struct store_range *range,
		      struct engine_rows *out)
{
	struct slice from = range->after.n ? range->after : range->prefix;
	rocksdb_iterator_t *it =
		rocksdb_create_iterator(e->db, e->parts.read_scan);
	char *err = NULL;
	int r;

	rocksdb_iter_seek(it, (const char *)from.p, from.n);
	r = scan_from(it, range, out);
	rocksdb_iter_get_error(it, &err);
	rocksdb_iter_destroy(it);
	return err ? read_error(err, false) : r;
}

static void rocks_put(struct engine *e, struct slice key, struct slice value)
{
	rocksdb_writebatch_put(e->parts.batch, (const char *)key.p, key.n,
			       (const char *)value.p, value.n);
}

static void rocks_del(struct engine *e, struct slice key)
{
	rocksdb_writebatch_delete(e->parts.batch, (const char *)key.p, key.n);
}

static void rocks_abandon(struct engine *e)
{
	rocksdb_writebatch_clear(e->parts.batch);
}

static int rocks_commit(struct engine *e, enum engine_commit how,
			char why[STORE_WHY])
{
	char *err = NULL;

	rocksdb_write(e->db, e->parts.write[how], e->parts.batch, &err);
	rocksdb_writebatch_clear(e->parts.batch);
	if (err && how == ENGINE_NOWAIT && would_wait(err))
		return ERR_AGAIN;
	if (err)
		return fate(err, e->path, why);
	put_mark(e, how == ENGINE_SYNC ? MARK_SYNCED : MARK_WRITTEN);
	return OK;
}

static void rocks_flush(struct engine *e)
{
	char *err = NULL;

	rocksdb_flush(e->db, e->parts.flush, &err);
	free(err); /* the next one will tell */
}

static bool is_flushing(struct engine *e)
{
	uint64_t waiting = 0, running = 0;

	rocksdb_property_int(e->db, "rocksdb.num-immutable-mem-table",
			     &waiting);
	rocksdb_property_int(e->db, "rocksdb.num-running-flushes", &running);
	return waiting || running;
}

/* Its own threads do it. */
static int rocks_compact(struct engine *e)
{
	char *err = NULL;

	if (is_flushing(e))
		return ERR_AGAIN;
	rocksdb_suggest_compact_range(e->db, "", 0, "\xff", 1, &err);
	free(err);
	return OK;
}

static uint64_t rocks_backlog(struct engine *e)
{
	uint64_t n = 0;

	if (rocksdb_property_int(e->db, "rocksdb.cur-size-all-mem-tables", &n))
		return 0;
	return n;
}

static int rocks_backup(struct engine *e, const char *dir, char why[STORE_WHY])
{
	rocksdb_checkpoint_t *point;
	char path[4096], *err = NULL;
	int r;

	if (mkdir(dir, 0700) < 0) {
		bool exists = errno == EEXIST;

		sys_error("mkdir", dir, why);
		return exists ? ERR_EXISTS : ERR_IO;
	}
	r = format_put(dir, why);
	if (r < 0)
		goto out;
	snprintf(path, sizeof(path), "%s/db", dir);
	point = rocksdb_checkpoint_object_create(e->db, &err);
	if (!err)
		rocksdb_checkpoint_create(point, path, 0, &err);
	if (point)
		rocksdb_checkpoint_object_destroy(point);
	if (err)
		r = fate(err, path, why);
out:
	if (r < 0) { /* so that it can be tried again */
		format_remove(dir);
		(void)rmdir(dir);
	}
	return r;
}

const struct engine_ops engine_rocksdb = {
	.name = "rocksdb",
	.open = rocks_open,
	.close = rocks_close,
	.get = rocks_get,
	.size = rocks_size,
	.scan = rocks_scan,
	.put = rocks_put,
	.del = rocks_del,
	.commit = rocks_commit,
	.abandon = rocks_abandon,
	.flush = rocks_flush,
	.compact = rocks_compact,
	.backlog = rocks_backlog,
	.backup = rocks_backup,
};
