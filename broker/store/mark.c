/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mark: see mark.h. The line always has the same length, so that writing it
 * needs no new block and cannot fail on a full disk.
 */
#include "broker/store/mark.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 20 + 1 + MARK_BOOT + 1 };

static const char synced_word[] = "synced";

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
	char line[LINE + 1] = "", when[MARK_BOOT + 1];
	unsigned long long number;
	ssize_t n = pread(m->fd, line, LINE, 0);

	if (n != LINE || sscanf(line, "%llu %36s", &number, when) != 2)
		return;
	if (strcmp(when, synced_word) == 0 ||
	    (strcmp(when, m->boot) == 0 && strcmp(when, "unknown") != 0))
		m->least = number;
}

void mark_open(struct mark *m, const char *dir)
{
	char path[4096];

	*m = (struct mark){.fd = -1};
	read_boot(m->boot);
	if ((size_t)snprintf(path, sizeof(path), "%s/sequence", dir) >=
	    sizeof(path))
		return;
	m->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (m->fd >= 0)
		read_line(m);
}

void mark_put(struct mark *m, uint64_t number, bool synced)
{
	char line[LINE + 1];

	if (m->fd < 0)
		return;
	snprintf(line, sizeof(line), "%020llu %-36s\n",
		 (unsigned long long)number, synced ? synced_word : m->boot);
	/* A mark that stays behind only notices less. */
	(void)!pwrite(m->fd, line, LINE, 0);
}

void mark_close(struct mark *m)
{
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
}
