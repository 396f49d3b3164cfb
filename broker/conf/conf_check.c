/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_check: rules between keys, after all of them have been read; and what
 * they name must be there.
 */
#include "broker/conf/conf_check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Append the parts of `rest` to the absolute path in `out`, minding dots. */
static void join(char out[PATH_MAX], const char *rest)
{
	while (*rest) {
		size_t n = strcspn(rest, "/"), have = strlen(out);

		if (n == 2 && memcmp(rest, "..", 2) == 0) {
			char *slash = strrchr(out, '/');

			if (slash)
				*slash = 0;
		} else if (n > 0 && !(n == 1 && *rest == '.')) {
			if (have + 1 + n >= PATH_MAX)
				return;
			out[have] = '/';
			memcpy(out + have + 1, rest, n);
			out[have + 1 + n] = 0;
		}
		rest += n;
		rest += *rest == '/';
	}
}

/* The real path of the part that exists, then the rest by its letters. */
static void resolve(const char *path, char out[PATH_MAX])
{
	char head[PATH_MAX];
	size_t n = strlen(path);

	if (n >= PATH_MAX)
		n = PATH_MAX - 1;
	memcpy(head, path, n);
	head[n] = 0;
	while (n > 0 && !realpath(head, out)) {
		while (n > 0 && head[n - 1] != '/')
			n--;
		while (n > 0 && head[n - 1] == '/')
			n--;
		head[n] = 0;
	}
	if (n == 0 || strcmp(out, "/") == 0)
		out[0] = 0;
	join(out, path + n);
}

bool conf_paths_overlap(const char *a, const char *b)
{
	char real_a[PATH_MAX], real_b[PATH_MAX];
	size_t na, nb, n;

	resolve(a, real_a);
	resolve(b, real_b);
	na = strlen(real_a);
	nb = strlen(real_b);
	n = na < nb ? na : nb;
	if (memcmp(real_a, real_b, n) != 0)
		return false;
	return na == nb || (na < nb ? real_b : real_a)[n] == '/';
}

static int missing(struct conf_reader *r, const struct yaml_node *root,
		   const char *what)
{
	return conf_wrong(r, root, "%s", what);
}

static int default_control(struct conf_reader *r, const struct yaml_node *root,
			   struct conf *conf)
{
	struct buf path = {0};
	int rc;

	buf_addf(&path, "%s/control.sock", conf->data_dir);
	if (buf_error(&path))
		rc = ERR_NOMEM;
	else if (path.n > CONF_SOCKET_MAX)
		rc = conf_wrong(r, yaml_tree_get(root, "data_dir"),
				"data_dir: too long for a socket in it, "
				"expected the key control as well");
	else
		rc = conf_copy(buf_slice(&path), &conf->control);
	buf_fini(&path);
	return rc;
}

static bool is_folder(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool is_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	errno = S_ISDIR(st.st_mode) ? EISDIR : EACCES;
	return S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* What is missing now would be missed by the first event that needs it. */
static int check_there(struct conf_reader *r, const struct yaml_node *root,
		       const struct conf *conf)
{
	const struct {
		const char *key, *path, *expected;
		bool (*is)(const char *path);
	} named[] = {
		{"data_store", conf->data_store, "a folder", is_folder},
		{"gateway", conf->gateway, "a program", is_program},
		{"worker", conf->worker, "a program", is_program},
	};

	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		char expected[128];

		if (!named[i].path || named[i].is(named[i].path))
			continue;
		snprintf(expected, sizeof(expected), "%s (%s)",
			 named[i].expected, strerror(errno));
		return conf_unexpected(r, named[i].key,
				       yaml_tree_get(root, named[i].key),
				       expected);
	}
	return 0;
}

int conf_check(struct conf_reader *r, const struct yaml_node *root,
	       struct conf *conf)
{
	int rc = 0;

	if (!conf->listen.path)
		return missing(r, root,
			       "listen is missing, expected the path of the "
			       "socket for proxies");
	if (!conf->data_dir)
		return missing(r, root,
			       "data_dir is missing, expected a directory for "
			       "the database");
	if (!conf->control)
		rc = default_control(r, root, conf);
	if (rc < 0)
		return rc;
	if (strcmp(conf->control, conf->listen.path) == 0)
		return conf_wrong(r, yaml_tree_get(root, "listen"),
				  "listen and control are the same socket, "
				  "expected two paths");
	if (conf->data_store &&
	    conf_paths_overlap(conf->data_store, conf->data_dir))
		return conf_wrong(r, yaml_tree_get(root, "data_store"),
				  "data_store overlaps data_dir, expected a "
				  "directory of its own: scripts can read all "
				  "of it");
	return check_there(r, root, conf);
}
