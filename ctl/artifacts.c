/* SPDX-License-Identifier: Apache-2.0 */
/*
 * artifacts: the files that scripts have written.
 *
 * Start at copy(). Export trusts no name: it creates below its directory,
 * step by step, and follows no symbolic link there.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/out.h"
#include "proto/pack.h"

#define TEMPORARY ".pinfold-export.tmp"

static int list(struct ctl *ctl, const char *prefix, struct slice *result)
{
	struct buf args = {0};

	pack_text(&args, slice_str(prefix));
	return ctl_ask(ctl, "artifacts.list", ctl_space(ctl, 1, &args), &args,
		       result);
}

/* One row [name, size]. */
static struct slice row(struct cursor *c, uint64_t *size)
{
	uint32_t n = cursor_array(c);
	struct slice name = cursor_text(c);

	*size = cursor_uint(c);
	if (n != 2 && !c->error)
		c->error = ERR_FORMAT;
	return name;
}

static int print_rows(struct slice result)
{
	struct out_table t = {.columns = 2, .right = 1};
	struct cursor c = cursor_of(result);
	uint32_t n = cursor_array(&c);

	while (n-- > 0 && !c.error) {
		uint64_t size;
		struct slice name = row(&c, &size);

		out_cell(&t, "%" PRIu64, size);
		out_cell_slice(&t, name);
	}
	if (c.error) {
		buf_fini(&t.cells);
		return ctl_nonsense("artifacts.list");
	}
	return out_table(&t);
}

static int run_ls(struct ctl *ctl)
{
	struct slice result;
	int rc = list(ctl, ctl->nwords ? ctl->word[0] : "", &result);

	if (rc != CTL_OK)
		return rc;
	return ctl->option[OPT_JSON] ? out_value(result) : print_rows(result);
}

/* The next range of an artifact: its bytes, and how long the whole is. */
static int read_range(struct ctl *ctl, struct slice name, uint64_t offset,
		      struct slice *bytes, uint64_t *size)
{
	struct buf args = {0};
	struct slice result;
	struct cursor c;
	int rc;

	pack_text(&args, name);
	pack_uint(&args, offset);
	pack_uint(&args, PROTO_RANGE);
	rc = ctl_ask(ctl, "artifacts.read", ctl_space(ctl, 3, &args), &args,
		     &result);
	if (rc != CTL_OK)
		return rc;
	c = cursor_of(result);
	if (cursor_array(&c) != 2)
		return ctl_nonsense("artifacts.read");
	*bytes = cursor_text(&c);
	*size = cursor_uint(&c);
	return c.error ? ctl_nonsense("artifacts.read") : CTL_OK;
}

static int write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno != EINTR)
			return ctl_fail(CTL_REFUSED, "cannot write: %s",
					strerror(errno));
		if (n > 0)
			s = slice_of(s.p + n, s.n - (size_t)n);
	}
	return CTL_OK;
}

static int copy(struct ctl *ctl, struct slice name, int fd)
{
	uint64_t at = 0, size = 0;

	do {
		struct slice bytes;
		int rc = read_range(ctl, name, at, &bytes, &size);

		if (rc == CTL_OK)
			rc = write_all(fd, bytes);
		if (rc != CTL_OK)
			return rc;
		at += bytes.n;
		if (bytes.n == 0 && at < size)
			return ctl_fail(CTL_REFUSED,
					"%.*s: changed while it was read",
					(int)name.n, (const char *)name.p);
	} while (at < size);
	return CTL_OK;
}

/* As one JSON string (or {"$base64": ...}), by way of memory. */
static int cat_json(struct ctl *ctl)
{
	int fd = memfd_create("artifact", MFD_CLOEXEC), rc;
	struct buf packed = {0};
	struct slice all = {0};
	struct stat st;

	if (fd < 0)
		return ctl_fail(CTL_REFUSED, "%s", strerror(errno));
	rc = copy(ctl, slice_str(ctl->word[0]), fd);
	if (rc == CTL_OK && fstat(fd, &st) == 0 && st.st_size > 0) {
		void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE,
			       fd, 0);

		if (p == MAP_FAILED)
			rc = ctl_fail(CTL_REFUSED, "%s", strerror(errno));
		else
			all = slice_of(p, (size_t)st.st_size);
	}
	if (rc == CTL_OK) {
		pack_text(&packed, all);
		rc = out_value(buf_slice(&packed));
	}
	buf_fini(&packed);
	close(fd);
	return rc;
}

static int run_cat(struct ctl *ctl)
{
	if (ctl->option[OPT_JSON])
		return cat_json(ctl);
	return copy(ctl, slice_str(ctl->word[0]), STDOUT_FILENO);
}

/* The directory `part` below `dir`, made when need be; takes `dir`. */
static int step_into(int dir, const char *part)
{
	int fd = -1, saved;

	if (mkdirat(dir, part, 0777) == 0 || errno == EEXIST)
		fd = openat(dir, part,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	saved = errno;
	close(dir);
	errno = saved;
	return fd;
}

/* No part of a name may be empty, "." or "..". */
static bool name_ok(const char *name)
{
	if (!*name)
		return false;
	while (*name) {
		size_t n = strcspn(name, "/");

		if (n == 0 || strncmp(name, "..", n) == 0)
			return false; /* strncmp sees "." and ".." */
		name += n;
		if (*name && !*++name)
			return false;
	}
	return true;
}

/* Write one artifact below `root`, whole or not at all. */
static int export_one(struct ctl *ctl, int root, char *name)
{
	struct slice whole = slice_str(name);
	struct buf again = {0}; /* the name is cut into its parts */
	int dir = dup(root), fd = -1, rc = CTL_REFUSED;
	char *slash;

	buf_add_slice(&again, whole);
	while (dir >= 0 && (slash = strchr(name, '/'))) {
		*slash = 0;
		dir = step_into(dir, name);
		name = slash + 1;
	}
	if (dir >= 0) {
		(void)unlinkat(dir, TEMPORARY, 0);
		fd = openat(dir, TEMPORARY,
			    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	}
	if (fd >= 0 && !buf_error(&again))
		rc = copy(ctl, buf_slice(&again), fd);
	if (fd < 0 || (rc == CTL_OK && renameat(dir, TEMPORARY, dir, name) < 0))
		rc = ctl_fail(CTL_REFUSED, "%.*s: %s", (int)again.n,
			      (const char *)again.p, strerror(errno));
	if (fd >= 0) {
		if (rc != CTL_OK)
			(void)unlinkat(dir, TEMPORARY, 0);
		close(fd);
	}
	if (dir >= 0)
		close(dir);
	buf_fini(&again);
	return rc;
}

/* All names first: the list's bytes do not outlive the next call. */
static int names_of(struct slice result, struct buf *names, uint32_t *n)
{
	struct cursor c = cursor_of(result);

	*n = cursor_array(&c);
	for (uint32_t i = 0; i < *n && !c.error; i++) {
		uint64_t size;
		struct slice name = row(&c, &size);

		if (name.n && memchr(name.p, 0, name.n))
			c.error = ERR_FORMAT;
		buf_add_slice(names, name);
		buf_add_byte(names, 0);
	}
	if (buf_error(names))
		return ctl_fail(CTL_REFUSED, "out of memory");
	return c.error ? ctl_nonsense("artifacts.list") : CTL_OK;
}

static int export_all(struct ctl *ctl, int root, struct buf *names, uint32_t n)
{
	char *name = (char *)names->p;
	int rc = CTL_OK;

	for (uint32_t i = 0; i < n; i++) {
		char *next = name + strlen(name) + 1;
		int one;

		if (name_ok(name))
			one = export_one(ctl, root, name);
		else
			one = ctl_fail(CTL_REFUSED, "a name that cannot be a "
						    "file's was passed over");
		if (one > CTL_REFUSED)
			return one;
		if (one != CTL_OK)
			rc = one;
		name = next;
	}
	return rc;
}

static int run_export(struct ctl *ctl)
{
	const char *dir = ctl->word[0];
	struct buf names = {0};
	struct slice result;
	uint32_t n = 0;
	int root, rc = list(ctl, ctl->nwords > 1 ? ctl->word[1] : "", &result);

	if (rc == CTL_OK)
		rc = names_of(result, &names, &n);
	if (rc == CTL_OK) {
		(void)mkdir(dir, 0777);
		root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (root < 0) {
			rc = ctl_fail(CTL_REFUSED, "%s: %s", dir,
				      strerror(errno));
		} else {
			rc = export_all(ctl, root, &names, n);
			close(root);
		}
	}
	buf_fini(&names);
	return rc == CTL_OK ? ctl_done(ctl, slice_of("\xc3", 1)) : rc;
}

static int run_write(struct ctl *ctl)
{
	struct buf args = {0}, content = {0};
	struct slice result;
	int rc = ctl_read_file(ctl->word[1], &content);

	if (rc == CTL_OK) {
		pack_text(&args, slice_str(ctl->word[0]));
		pack_bin(&args, buf_slice(&content));
		rc = ctl_ask(ctl, "artifacts.write", ctl_space(ctl, 2, &args),
			     &args, &result);
	}
	buf_fini(&content);
	return rc == CTL_OK ? ctl_done(ctl, result) : rc;
}

static int run_delete(struct ctl *ctl)
{
	struct buf args = {0};
	struct slice result;
	int rc;

	pack_text(&args, slice_str(ctl->word[0]));
	rc = ctl_ask(ctl, "artifacts.delete", ctl_space(ctl, 1, &args), &args,
		     &result);
	return rc == CTL_OK ? ctl_done(ctl, result) : rc;
}

const struct command artifact_commands[] = {
	{"artifacts ls", "[PREFIX]", "print sizes and names", NULL, 0, 1,
	 OPTION(OPT_MQTT), run_ls},
	{"artifacts cat", "NAME", "print the content of one", NULL, 1, 1,
	 OPTION(OPT_MQTT), run_cat},
	{"artifacts export", "DIR [PREFIX]", "write them out as files",
	 "Files of the same name are replaced, each at once.", 1, 2,
	 OPTION(OPT_MQTT), run_export},
	{"artifacts write", "NAME FILE", "write one, from a file",
	 "FILE may be - for stdin; at most what fits in a message (16 MiB).", 2,
	 2, OPTION(OPT_MQTT), run_write},
	{"artifacts delete", "NAME", "delete one", NULL, 1, 1, OPTION(OPT_MQTT),
	 run_delete},
	{0},
};
