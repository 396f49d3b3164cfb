/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script_read: the sources of a script from disk: a folder of hook files, or
 * one file and what it may `require`.
 */
#include "broker/script_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"

enum { MAX_NESTING = 8 };

/* ---- reading ----------------------------------------------------------- */

struct reader {
	struct script *script;
	size_t bytes;
	struct buf *why;
	int nesting;	  /* folders deeper than that are passed over */
	const char *skip; /* a path that is not read, or NULL */
};

static int complain(struct reader *r, const char *name, const char *what)
{
	/* as in the chunk names of the dialect */
	if (r->script->dialect == DIALECT_HTTP)
		buf_addf(r->why, "%s/", r->script->name);
	buf_addf(r->why, "%s: %s", name, what);
	return ERR_IO;
}

static int read_text(struct reader *r, int fd, struct script_file *file)
{
	uint8_t *room;
	ssize_t n;

	/* One byte more than may be, to see that there is more. */
	buf_init(&file->text, PROTO_MAX_SOURCE + 1);
	do {
		size_t left = file->text.max - file->text.n;

		if (left == 0)
			return complain(r, file->name, "longer than 256 KiB");
		if (buf_reserve(&file->text, left < 4096 ? left : 4096, &room) <
		    0)
			return ERR_NOMEM;
		n = read(fd, room, file->text.cap - file->text.n);
		if (n < 0)
			return complain(r, file->name, strerror(errno));
		buf_commit(&file->text, (size_t)n);
	} while (n > 0);
	r->bytes += file->text.n;
	if (r->bytes > SCRIPT_MAX_BYTES)
		return complain(r, file->name,
				"all files together are over 4 MiB");
	return OK;
}

static int add_file(struct reader *r, int dir, const char *base,
		    const char *name)
{
	struct script *s = r->script;
	struct script_file *grown;
	int fd, rc;

	if (s->nfiles == SCRIPT_MAX_FILES)
		return complain(r, name, "more than 256 files");
	grown = realloc(s->files, (s->nfiles + 1) * sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	s->files = grown;
	s->files[s->nfiles] = (struct script_file){.name = strdup(name)};
	if (!s->files[s->nfiles].name)
		return ERR_NOMEM;
	s->nfiles++;
	fd = openat(dir, base, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return complain(r, name, strerror(errno));
	rc = read_text(r, fd, &s->files[s->nfiles - 1]);
	close(fd);
	return rc;
}

static void note_hook(struct reader *r, const char *path, const char *base)
{
	size_t n = strlen(base) - 4;
	enum hook hook = hook_parse(slice_of(base, n));

	if (hook == HOOK_COUNT || hook_table[hook].dialect != DIALECT_HTTP ||
	    r->script->dialect != DIALECT_HTTP)
		return;
	if (path == base)
		r->script->hooks |= 1ull << hook;
	else
		log_warn("script",
			 "%s/%s has a hook's name but is not at the "
			 "top of the folder: it is not a hook",
			 r->script->name, path);
}

static int read_dir(struct reader *r, int dir, const char *prefix, int depth);

static int read_entry(struct reader *r, int dir, const char *prefix,
		      const char *base, int depth)
{
	char path[512];
	size_t n = strlen(base);
	struct stat st;
	int sub;

	if (base[0] == '.')
		return OK;
	if (snprintf(path, sizeof(path), "%s%s", prefix, base) >=
	    (int)sizeof(path) - 1)
		return complain(r, base, "its path is too long");
	if (r->skip && strcmp(path, r->skip) == 0)
		return OK;
	if (fstatat(dir, base, &st, 0) < 0)
		return complain(r, path, strerror(errno));
	if (S_ISREG(st.st_mode)) {
		if (n < 5 || strcmp(base + n - 4, ".lua") != 0)
			return OK;
		note_hook(r, *prefix ? path : base, base);
		return add_file(r, dir, base, path);
	}
	if (!S_ISDIR(st.st_mode) || depth >= r->nesting)
		return OK;
	sub = openat(dir, base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sub < 0)
		return complain(r, path, strerror(errno));
	strcat(path, "/");
	return read_dir(r, sub, path, depth + 1);
}

/* Takes `dir`. */
static int read_dir(struct reader *r, int dir, const char *prefix, int depth)
{
	DIR *stream = fdopendir(dir);
	struct dirent *entry;
	int rc = OK;

	if (!stream) {
		close(dir);
		return complain(r, prefix, strerror(errno));
	}
	while (rc == OK && (entry = readdir(stream)))
		rc = read_entry(r, dirfd(stream), prefix, entry->d_name, depth);
	closedir(stream);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	const struct script_file *x = a, *y = b;

	return strcmp(x->name, y->name);
}

int script_read_folder(struct script *s, const char *dir, struct buf *why)
{
	struct reader r = {.script = s, .why = why, .nesting = MAX_NESTING};
	char path[4096];
	int fd, rc;

	if (snprintf(path, sizeof(path), "%s/%s", dir, s->name) >=
	    (int)sizeof(path))
		return complain(&r, "", "its path is too long");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		buf_addf(why, "%s: %s", path, strerror(errno));
		return ERR_IO;
	}
	rc = read_dir(&r, fd, "", 0);
	if (rc < 0)
		return rc;
	if (s->nfiles)
		qsort(s->files, s->nfiles, sizeof(*s->files), by_name);
	if (!s->hooks)
		log_warn("script", "%s has no hook file: it will never run",
			 s->name);
	return OK;
}

/* `file` as a part of `root` ("auth/postgres.lua"), or NULL: not below it.
 * Names decide, not links: so it is with `require`. */
static const char *below(const char *root, const char *file)
{
	size_t n = strlen(root);

	while (n > 1 && root[n - 1] == '/')
		n--;
	if (strncmp(root, file, n) != 0 || file[n] != '/')
		return NULL;
	for (file += n; *file == '/'; file++)
		;
	return *file && !strstr(file, "//") && !strstr(file, "../") &&
			       file[0] != '.'
		       ? file
		       : NULL;
}

/* The script's own file, wherever it is; known by its base name then. */
static int read_main(struct reader *r, const char *file)
{
	char folder[PATH_MAX];
	const char *base = strrchr(file, '/');
	size_t n = base ? (size_t)(base - file) : 0;
	int dir, rc;

	if (!base || n + 2 > sizeof(folder))
		return complain(r, file, "its path is too long");
	memcpy(folder, file, n + 1);
	folder[n + 1] = 0;
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return complain(r, file, strerror(errno));
	rc = add_file(r, dir, base + 1, r->script->main);
	close(dir);
	return rc;
}

static void sort_files(struct script *s)
{
	if (s->nfiles)
		qsort(s->files, s->nfiles, sizeof(*s->files), by_name);
}

int script_read_file(struct script *s, const struct conf_script *conf,
		     struct buf *why)
{
	const char *file = conf->file, *slash = strrchr(file, '/'),
		   *name = below(conf->root, file);
	struct reader r = {.script = s, .why = why};
	int fd, rc = OK;

	r.nesting = conf->shallow ? 0 : MAX_NESTING;
	s->main = strdup(name ? name : slash ? slash + 1 : file);
	if (!s->main)
		return ERR_NOMEM;
	r.skip = name ? NULL : s->main; /* of that name, but another file */
	fd = open(conf->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		rc = read_dir(&r, fd, "", 0);
	if (rc == OK && !script_file(s, slice_str(s->main)))
		rc = read_main(&r, file);
	sort_files(s);
	return rc;
}
