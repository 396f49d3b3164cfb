/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory groups, by writing to their files. Each worker's is called
 * pinfold-PID, so that nothing has to be remembered.
 */
#include "broker/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char prefix[] = "pinfold-";

printf_like(2, 3) static int path_of(char *path, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(path, CGROUP_PATH, fmt, ap);
	va_end(ap);
	return n >= 0 && n < CGROUP_PATH ? 0 : ERR_RANGE;
}

static int put_file(const char *dir, const char *file, const char *text)
{
	char path[CGROUP_PATH];
	size_t n = strlen(text);
	ssize_t done;
	int fd, e;

	if (path_of(path, "%s/%s", dir, file) != 0)
		return ERR_RANGE;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return ERR_IO;
	done = write(fd, text, n);
	e = errno;
	close(fd);
	errno = e;
	return done == (ssize_t)n ? 0 : ERR_IO;
}

/* Does the file's text hold that word? */
static int has_word(const char *dir, const char *file, const char *word)
{
	char path[CGROUP_PATH], text[256];
	int found = 0;
	FILE *f;

	if (path_of(path, "%s/%s", dir, file) != 0)
		return 0;
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	while (!found && fscanf(f, "%255s", text) == 1)
		found = strcmp(text, word) == 0;
	fclose(f);
	return found;
}

/*
 * The path of the broker's group from lines as "4:memory:/a/b" (v1, found by
 * its controller) or "0::/a/b" (v2, controller ""). In a container the path
 * may be the host's and not exist here.
 */
static int own_path(const char *self, const char *controller,
		    char path[CGROUP_PATH])
{
	char line[CGROUP_PATH];
	int result = ERR_ABSENT;
	FILE *f = fopen(self, "re");

	if (f == NULL)
		return ERR_ABSENT;
	while (result != 0 && fgets(line, sizeof(line), f) != NULL) {
		char *list = strchr(line, ':'), *own, *save, *word;
		bool found;

		own = list ? strchr(list + 1, ':') : NULL;
		if (own == NULL)
			continue;
		*own++ = '\0';
		own[strcspn(own, "\n")] = '\0';
		found = *controller == '\0' && list[1] == '\0';
		word = strtok_r(list + 1, ",", &save);
		for (; word != NULL; word = strtok_r(NULL, ",", &save))
			found = found || strcmp(word, controller) == 0;
		if (found && *own == '/')
			result = path_of(path, "%s",
					 strcmp(own, "/") == 0 ? "" : own);
	}
	fclose(f);
	return result;
}

static int is_writable(const char *dir)
{
	char path[CGROUP_PATH];

	return path_of(path, "%s/cgroup.procs", dir) == 0 &&
	       access(path, W_OK) == 0 && access(dir, W_OK | X_OK) == 0;
}

static int try_v2(struct cgroup *cg, const char *mount, const char *self)
{
	char own[CGROUP_PATH];

	if (own_path(self, "", own) != 0 ||
	    path_of(cg->dir, "%s%s", mount, own) != 0 ||
	    !has_word(cg->dir, "cgroup.controllers", "memory") ||
	    !is_writable(cg->dir))
		return ERR_ABSENT;
	/* Refused while processes are in this group and it is not the root:
	 * a service manager that delegates puts the broker one below. */
	if (!has_word(cg->dir, "cgroup.subtree_control", "memory") &&
	    put_file(cg->dir, "cgroup.subtree_control", "+memory") != 0)
		return ERR_ABSENT;
	cg->version = 2;
	return 0;
}

static int try_v1(struct cgroup *cg, const char *root, const char *self)
{
	char own[CGROUP_PATH];

	if (own_path(self, "memory", own) != 0 ||
	    path_of(cg->dir, "%s/memory%s", root, own) != 0)
		return ERR_ABSENT;
	if (!is_writable(cg->dir) &&
	    (path_of(cg->dir, "%s/memory", root) != 0 || !is_writable(cg->dir)))
		return ERR_ABSENT;
	cg->version = 1;
	return 0;
}

static void sweep(const struct cgroup *cg)
{
	const struct dirent *entry;
	char path[CGROUP_PATH];
	DIR *dir = opendir(cg->dir);

	if (dir == NULL)
		return;
	/* One that is in use cannot be removed. */
	while ((entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
		    path_of(path, "%s/%s", cg->dir, entry->d_name) == 0)
			rmdir(path);
	closedir(dir);
}

int cgroup_open(struct cgroup *cg, const char *root, const char *self)
{
	char unified[CGROUP_PATH];

	*cg = (struct cgroup){.version = 0};
	if (try_v2(cg, root, self) != 0 &&
	    (path_of(unified, "%s/unified", root) != 0 ||
	     try_v2(cg, unified, self) != 0) &&
	    try_v1(cg, root, self) != 0) {
		cg->dir[0] = '\0';
		return ERR_ABSENT;
	}
	sweep(cg);
	return 0;
}

static int fill(const struct cgroup *cg, const char *dir, pid_t pid,
		size_t memory)
{
	bool v2 = cg->version == 2;
	char text[32];

	snprintf(text, sizeof(text), "%zu", memory + CGROUP_SLACK);
	if (put_file(dir, v2 ? "memory.max" : "memory.limit_in_bytes", text))
		return ERR_IO;
	/* Kernels without swap have no such file. */
	if (put_file(dir, v2 ? "memory.swap.max" : "memory.swappiness", "0"))
		errno = 0;
	snprintf(text, sizeof(text), "%ld", (long)pid);
	if (put_file(dir, "cgroup.procs", text) != 0)
		return errno == ESRCH ? ERR_CLOSED : ERR_IO;
	return 0;
}

int cgroup_add_work(const struct cgroup *cg, pid_t pid, size_t memory)
{
	char dir[CGROUP_PATH];
	int result;

	if (cg->version == 0)
		return ERR_ABSENT;
	if (path_of(dir, "%s/%s%ld", cg->dir, prefix, (long)pid) != 0)
		return ERR_RANGE;
	if (mkdir(dir, 0755) != 0 && errno != EEXIST)
		return ERR_IO;
	result = fill(cg, dir, pid, memory);
	if (result != 0)
		rmdir(dir);
	return result;
}

void cgroup_remove(const struct cgroup *cg, pid_t pid)
{
	char dir[CGROUP_PATH];

	if (cg->version == 0 ||
	    path_of(dir, "%s/%s%ld", cg->dir, prefix, (long)pid) != 0)
		return;
	rmdir(dir);
}
