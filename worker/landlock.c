/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock with every right handled and no rule: all of it is denied. The
 * numbers are written here because the system's headers are often older than
 * its kernel. It does not cover UDP and processes; other layers do.
 */
#include "worker/landlock.h"

#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { GET_VERSION = 1 };

/* How many of the lowest bits of each word an ABI defines. */
static const struct {
	unsigned char fs, net, scoped;
} abis[] = {
	{13, 0, 0}, /* 1: Linux 5.13 */
	{14, 0, 0}, /* 2: 5.19, rename to another folder */
	{15, 0, 0}, /* 3: 6.2, truncate */
	{15, 2, 0}, /* 4: 6.7, TCP bind and connect */
	{16, 2, 0}, /* 5: 6.10, ioctl on devices */
	{16, 2, 2}, /* 6: 6.12, abstract sockets and signals */
};

static uint64_t lowest(unsigned bits)
{
	return (UINT64_C(1) << bits) - 1;
}

size_t landlock_rights(int abi, struct landlock_rights *r)
{
	size_t newest = sizeof(abis) / sizeof(abis[0]);
	size_t i = (size_t)abi < newest ? (size_t)abi : newest;

	must(abi >= 1);
	r->fs = lowest(abis[i - 1].fs);
	r->net = lowest(abis[i - 1].net);
	r->scoped = lowest(abis[i - 1].scoped);
	if (r->scoped != 0)
		return sizeof(*r);
	if (r->net != 0)
		return offsetof(struct landlock_rights, scoped);
	return offsetof(struct landlock_rights, net);
}

int landlock_enter(void)
{
	struct landlock_rights rights;
	long abi, fd, result;
	size_t n;

	abi = syscall(SYS_landlock_create_ruleset, NULL, 0, GET_VERSION);
	if (abi < 1)
		return ERR_ABSENT;
	n = landlock_rights((int)abi, &rights);
	fd = syscall(SYS_landlock_create_ruleset, &rights, n, 0);
	if (fd < 0)
		return ERR_IO;
	result = syscall(SYS_landlock_restrict_self, (int)fd, 0);
	close((int)fd);
	return result == 0 ? 0 : ERR_IO;
}
