/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landlock: which rights each version has. The numbers are written here
 * because the system's headers are often older than its kernel.
 */
#include "lib/landlock.h"

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

int landlock_abi(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, GET_VERSION);
}
