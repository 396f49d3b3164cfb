/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock with every right handled and no rule: all of it is denied. It does
 * not cover UDP and processes; other layers do.
 */
#include "worker/landlock.h"

#include <sys/syscall.h>
#include <unistd.h>

int landlock_enter(void)
{
	struct landlock_rights rights;
	int abi = landlock_abi();
	long fd, result;
	size_t n;

	if (abi < 1)
		return ERR_ABSENT;
	n = landlock_rights(abi, &rights);
	fd = syscall(SYS_landlock_create_ruleset, &rights, n, 0);
	if (fd < 0)
		return ERR_IO;
	result = syscall(SYS_landlock_restrict_self, (int)fd, 0);
	close((int)fd);
	return result == 0 ? 0 : ERR_IO;
}
