/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mark: see mark.h. The line always has the same length, so that writing it
 * needs no new block and cannot fail on a full disk. Its number changes with
 * every group of writes, in a mapping and without a system call; the rest of
 * it seldom.
 */
#include "broker/store/mark.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	DIGITS = 20,
	LINE = DIGITS + 1 + MARK_NAME + 1 + 20 + 1 + 1 + 1 + MARK_BOOT + 1
};

static void read_boot(char boot[MARK_BOOT + 1])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!f || fscanf(f, "%36s", boot) != 1)
		strcpy(boot, "unknown");
	if (f)
		fclose(f);
}

static void read_line(struct mark *m)
{
	char line[LINE + 1] = "", name[MARK_NAME + 1], boot[MARK_BOOT + 1];
	unsigned long long writes, size;
	char kind;
	bool same;

	if (pread(m->fd, line, LINE, 0) != LINE ||
	    sscanf(line, "%llu %20s %llu %c %36s", &writes, name, &size, &kind,
		   boot) != 5)
		return;
	same = strcmp(boot, m->boot) == 0 && strcmp(boot, "unknown") != 0;
	if (same || kind == MARK_SYNCED || kind == MARK_CLOSED)
		m->writes = writes;
	if (same || kind == MARK_CLOSED) {
		strcpy(m->manifest, name);
		m->size = size;
	}
}

void mark_open(struct mark *m, const char *dir)
{
	char path[4096];

	*m = (struct mark){.fd = -1, .manifest_fd = -1};
	read_boot(m->boot);
	if ((size_t)snprintf(path, sizeof(path), "%s/sequence", dir) >=
	    sizeof(path))
		return;
	m->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (m->fd >= 0)
		read_line(m);
}

static bool read_current(const char *db, char name[MARK_NAME + 1])
{
	char path[4096];
	bool found;
	FILE *f;

	snprintf(path, sizeof(path), "%s/CURRENT", db);
	f = fopen(path, "re");
	if (!f)
		return false;
	found = fscanf(f, "%20s", name) == 1 && !strchr(name, '/');
	fclose(f);
	return found;
}

bool mark_manifest_whole(const struct mark *m, const char *db)
{
	char path[4096], name[MARK_NAME + 1];
	struct stat st;

	/* Where it is not the one that was marked, the database tells. */
	if (!read_current(db, name) || strcmp(name, m->manifest) != 0)
		return true;
	snprintf(path, sizeof(path), "%s/%s", db, name);
	return stat(path, &st) < 0 || (uint64_t)st.st_size >= m->size;
}

void mark_watch(struct mark *m, const char *db)
{
	char path[4096];

	if (!read_current(db, m->manifest))
		return;
	snprintf(path, sizeof(path), "%s/%s", db, m->manifest);
	m->manifest_fd = open(path, O_RDONLY | O_CLOEXEC);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/*
 * From the last digit to the first that changes: whatever a kill leaves of
 * this, never is it more than `writes`.
 */
static void put_number(struct mark *m, uint64_t writes)
{
	for (int i = DIGITS - 1; i >= 0 && m->writes != writes; i--) {
		m->line[i] = (char)('0' + writes % 10);
		m->writes /= 10;
		writes /= 10;
	}
}

static void put_line(struct mark *m, uint64_t writes, enum mark_kind kind)
{
	char line[LINE + 1];

	snprintf(line, sizeof(line), "%020llu %-20.20s %020llu %c %-36s\n",
		 (unsigned long long)writes, m->size ? m->manifest : "-",
		 (unsigned long long)m->size, (char)kind, m->boot);
	/* A mark that stays behind only notices less. */
	if (pwrite(m->fd, line, LINE, 0) != LINE)
		return;
	m->kind = (char)kind;
	if (m->line)
		return;
	m->line =
		mmap(NULL, LINE, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (m->line == MAP_FAILED)
		m->line = NULL;
}

/* Has the MANIFEST another size? */
static bool look(struct mark *m)
{
	uint64_t old = m->size;
	struct stat st;

	/* One that was replaced (it grew too large) is watched no more. */
	if (m->manifest_fd < 0 || fstat(m->manifest_fd, &st) < 0 ||
	    st.st_nlink == 0)
		st.st_size = 0;
	m->size = (uint64_t)st.st_size;
	return m->size != old;
}

void mark_put(struct mark *m, uint64_t writes, enum mark_kind kind)
{
	bool whole = !m->line || m->kind != (char)kind;
	uint64_t now;

	if (m->fd < 0)
		return;
	now = now_ms();
	if (whole || now - m->looked_ms >= MARK_LOOK_MS) {
		m->looked_ms = now;
		whole |= look(m);
	}
	if (whole)
		put_line(m, writes, kind);
	else
		put_number(m, writes);
	m->writes = writes;
}

void mark_close(struct mark *m)
{
	if (m->line)
		munmap((void *)m->line, LINE);
	if (m->manifest_fd >= 0)
		close(m->manifest_fd);
	if (m->fd >= 0)
		close(m->fd);
	m->line = NULL;
	m->fd = m->manifest_fd = -1;
}
