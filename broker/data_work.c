/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data_work: the system calls of data.h. Start at open_beneath(): the only
 * place where a name meets the file system.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/data_space.h"
#include "broker/name.h"

enum { OPEN_TRIES = 64 };

static int fate(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
	case ELOOP:
	case EXDEV: /* would leave the root */
	case EACCES:
	case ENAMETOOLONG:
	case ENXIO:
		return ERR_ABSENT;
	case ENOMEM:
		return ERR_NOMEM;
	default:
		return ERR_IO;
	}
}

/* A descriptor, or an error. */
static int open_beneath(int root, const char *name, int flags)
{
	struct open_how how = {
		.flags = (unsigned int)(flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = -1;

	/* A FIFO must not hold the thread. */
	if (!(flags & O_PATH))
		how.flags |= O_NONBLOCK | O_NOCTTY;
	/* EAGAIN: something was renamed meanwhile. */
	for (int i = 0; i < OPEN_TRIES; i++) {
		fd = syscall(SYS_openat2, root, name, &how, sizeof(how));
		if (fd >= 0 || (errno != EINTR && errno != EAGAIN))
			break;
	}
	return fd < 0 ? fate(errno) : (int)fd;
}

static int text(struct slice name, char out[NAME_MAX_BYTES + 1])
{
	if (!name_ok(name))
		return ERR_FORMAT;
	memcpy(out, name.p, name.n);
	out[name.n] = 0;
	return OK;
}

/* What a name stands for, without opening it for reading. */
static int look(int root, const char *name, struct stat *st)
{
	int fd = open_beneath(root, name, O_PATH), r = OK;

	if (fd < 0)
		return fd;
	if (fstat(fd, st) < 0)
		r = ERR_IO;
	close(fd);
	return r;
}

int data_exists_work(const struct data *d, struct slice name, bool *yes)
{
	char path[NAME_MAX_BYTES + 1];
	struct stat st;
	int r = text(name, path);

	if (r == OK)
		r = look(d->root, path, &st);
	*yes = r == OK && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
	return r == ERR_ABSENT ? OK : r;
}

static int read_into(int fd, const struct data_range *range, struct buf *out)
{
	size_t left = range->length;
	uint64_t at = range->offset;

	while (left > 0) {
		uint8_t *room;
		ssize_t n;

		if (buf_reserve(out, left, &room) < 0)
			return buf_error(out);
		n = pread(fd, room, left, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_IO;
		if (n == 0)
			break;
		buf_commit(out, (size_t)n);
		left -= (size_t)n;
		at += (uint64_t)n;
	}
	return OK;
}

int data_read_work(const struct data *d, struct slice name,
		   const struct data_range *range, struct buf *out,
		   uint64_t *total)
{
	struct data_range part = *range;
	char path[NAME_MAX_BYTES + 1];
	struct stat st;
	int fd, r;

	*total = 0;
	if (range->length > DATA_RANGE)
		return ERR_RANGE;
	r = text(name, path);
	if (r < 0)
		return r;
	/* Look before opening: opening a device may do something. */
	r = look(d->root, path, &st);
	if (r < 0)
		return r;
	if (!S_ISREG(st.st_mode))
		return ERR_TYPE;
	fd = open_beneath(d->root, path, O_RDONLY);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return ERR_TYPE;
	}
	*total = (uint64_t)st.st_size;
	if (part.offset >= *total)
		part.length = 0;
	else if (part.length > *total - part.offset)
		part.length = (size_t)(*total - part.offset);
	r = read_into(fd, &part, out);
	close(fd);
	return r;
}

/* The names found so far, each with a NUL behind it, and the path at hand. */
struct walk {
	int root;
	struct buf names;
	size_t n;
	char path[NAME_MAX_BYTES + 1];
	size_t path_n;
	int depth;
};

static int found(struct walk *w)
{
	if (w->n == DATA_LIST_ROWS)
		return ERR_RANGE;
	w->n++;
	buf_add(&w->names, w->path, w->path_n + 1);
	return buf_error(&w->names);
}

static int walk_dir(struct walk *w);

static int walk_entry(struct walk *w, const char *name)
{
	size_t before = w->path_n, n = strlen(name), slash = before > 0;
	struct stat st;
	int r = OK;

	if (before + slash + n > NAME_MAX_BYTES)
		return OK;
	if (slash)
		w->path[before] = '/';
	memcpy(w->path + before + slash, name, n + 1);
	w->path_n += slash + n;
	if (look(w->root, w->path, &st) < 0)
		r = OK; /* gone, or a link that leads out */
	else if (S_ISREG(st.st_mode))
		r = found(w);
	else if (S_ISDIR(st.st_mode))
		r = walk_dir(w);
	w->path_n = before;
	w->path[before] = 0;
	return r;
}

/* Recursion is bounded by DATA_LIST_DEPTH. */
static int walk_dir(struct walk *w)
{
	const char *name = w->path_n ? w->path : ".";
	int flags = O_RDONLY | O_DIRECTORY | (w->depth ? O_NOFOLLOW : 0);
	struct dirent *entry;
	int fd, r = OK;
	DIR *dir;

	if (w->depth >= DATA_LIST_DEPTH)
		return ERR_RANGE;
	fd = open_beneath(w->root, name, flags);
	if (fd < 0)
		return fd == ERR_ABSENT ? OK : fd;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return ERR_IO;
	}
	w->depth++;
	while (r == OK && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			r = walk_entry(w, entry->d_name);
	w->depth--;
	closedir(dir);
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int sort(const struct walk *w, struct buf *out)
{
	const char *p = (const char *)w->names.p;
	const char **name = calloc(w->n ? w->n : 1, sizeof(*name));

	if (!name)
		return ERR_NOMEM;
	for (size_t i = 0; i < w->n; i++, p += strlen(p) + 1)
		name[i] = p;
	qsort(name, w->n, sizeof(*name), by_name);
	for (size_t i = 0; i < w->n; i++)
		buf_add(out, name[i], strlen(name[i]) + 1);
	free(name);
	return buf_error(out);
}

int data_list_work(const struct data *d, struct slice path, struct buf *names,
		   size_t *n)
{
	struct walk *w = calloc(1, sizeof(*w));
	struct stat st;
	int r = OK;

	*n = 0;
	if (!w)
		return ERR_NOMEM;
	w->root = d->root;
	buf_init(&w->names, DATA_LIST_BYTES);
	if (path.n) {
		r = text(path, w->path);
		w->path_n = path.n;
		if (r == OK)
			r = look(d->root, w->path, &st);
	}
	if (r == OK && path.n && S_ISREG(st.st_mode))
		r = found(w);
	else if (r == OK && (!path.n || S_ISDIR(st.st_mode)))
		r = walk_dir(w);
	if (r == OK)
		r = sort(w, names);
	if (r == OK)
		*n = w->n;
	buf_fini(&w->names);
	free(w);
	return r == ERR_ABSENT ? OK : r;
}
