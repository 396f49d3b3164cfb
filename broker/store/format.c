/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format: see format.h. Only the number itself counts: whether a release can
 * read what another one wrote is said by giving it the same one.
 */
#include "broker/store/format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 32 }; /* more than any number of ours */

static int sys_error(const char *path, char why[STORE_WHY])
{
	snprintf(why, STORE_WHY, "%.400s: %s", path, strerror(errno));
	return ERR_IO;
}

static int read_line(const char *path, char line[LINE + 1], char why[STORE_WHY])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return ERR_ABSENT;
	if (fd < 0)
		return sys_error(path, why);
	n = read(fd, line, LINE);
	close(fd);
	if (n < 0)
		return sys_error(path, why);
	line[n] = 0;
	return OK;
}

int format_check(const char *dir, char why[STORE_WHY])
{
	char path[4096], line[LINE + 1], ours[16];
	size_t digits;
	int r;

	snprintf(path, sizeof(path), "%s/format", dir);
	r = read_line(path, line, why);
	if (r < 0)
		return r;
	digits = strspn(line, "0123456789");
	if (digits == 0 || strcmp(line + digits, "\n") != 0) {
		snprintf(why, STORE_WHY,
			 "%.400s: damaged, expected one line with a number",
			 path);
		return ERR_CORRUPT;
	}
	snprintf(ours, sizeof(ours), "%d\n", STORE_FORMAT);
	if (strcmp(line, ours) == 0)
		return OK;
	snprintf(why, STORE_WHY,
		 "%.400s: written in format %.*s, this release knows %d", path,
		 (int)digits, line, STORE_FORMAT);
	return ERR_FORMAT;
}

int format_put(const char *dir, char why[STORE_WHY])
{
	char path[4096], fresh[4096];
	int fd, r = OK;

	snprintf(path, sizeof(path), "%s/format", dir);
	snprintf(fresh, sizeof(fresh), "%s/format.new", dir);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		  0600);
	if (fd < 0)
		return sys_error(fresh, why);
	/* An empty file would be refused after a power cut. */
	if (dprintf(fd, "%d\n", STORE_FORMAT) < 0 || fsync(fd) < 0 ||
	    rename(fresh, path) < 0)
		r = sys_error(fresh, why);
	close(fd);
	if (r < 0)
		(void)unlink(fresh);
	return r;
}

void format_remove(const char *dir)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/format", dir);
	(void)unlink(path);
}
