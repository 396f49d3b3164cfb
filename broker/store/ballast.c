/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ballast: see ballast.h. The sizes at the top follow the settings of
 * rocksdb.c.
 */
#include "broker/store/ballast.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/log.h"

enum {
	BALLAST = 72 << 20, /* the largest log, and BESIDE */
	BESIDE = 4 << 20,   /* what opening writes beside the table */
};

static bool free_bytes(const char *dir, uint64_t *out)
{
	struct statvfs st;

	if (statvfs(dir, &st) < 0)
		return false;
	*out = (uint64_t)st.f_bavail * st.f_frsize;
	return true;
}

static uint64_t log_bytes(const char *dir)
{
	struct dirent *entry;
	char path[4096];
	uint64_t n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/db", dir);
	d = opendir(path);
	while (d && (entry = readdir(d))) {
		const char *dot = strrchr(entry->d_name, '.');
		struct stat st;

		if (dot && strcmp(dot, ".log") == 0 &&
		    fstatat(dirfd(d), entry->d_name, &st, 0) == 0)
			n += (uint64_t)st.st_size;
	}
	if (d)
		closedir(d);
	return n;
}

static void ballast_path(const char *dir, char path[4096])
{
	snprintf(path, 4096, "%s/ballast", dir);
}

int ballast_release(const char *dir, char why[STORE_WHY])
{
	uint64_t have, need = log_bytes(dir) + BESIDE;
	char path[4096];

	if (!free_bytes(dir, &have) || have >= need)
		return OK;
	ballast_path(dir, path);
	if (truncate(path, 0) == 0) {
		log_warn("store",
			 "the disk is full, opening on the ballast "
			 "dir=%s",
			 dir);
		/* Blocks that are given up may take a moment to be free. */
		for (int i = 0; i < 20 && have < need; i++) {
			usleep(10000);
			if (!free_bytes(dir, &have))
				return OK;
		}
	}
	if (have >= need)
		return OK;
	snprintf(why, STORE_WHY,
		 "%.300s: the disk is full: %" PRIu64 " bytes are free, to "
		 "open the database takes %" PRIu64,
		 dir, have, need);
	return ERR_IO;
}

void ballast_fill(const char *dir, uint64_t floor)
{
	char path[4096];
	struct stat st;
	uint64_t have;
	int fd;

	ballast_path(dir, path);
	if (!free_bytes(dir, &have) || have < floor + BALLAST)
		return;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size < BALLAST &&
	    fallocate(fd, 0, 0, BALLAST) < 0)
		(void)!ftruncate(fd, 0);
	close(fd);
}
