/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: the configuration is pinfoldd's to understand, so this becomes the
 * pinfoldd beside it, or the one on the PATH.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"

static int run_check(struct ctl *ctl)
{
	const char *file = ctl_config(ctl, ctl->nwords ? ctl->word[0] : NULL);
	char path[4096], name[] = "pinfoldd", c[] = "-c", check[] = "--check",
			 json[] = "--json";
	char *argv[] = {name,
			c,
			(char *)(uintptr_t)file,
			check,
			ctl->option[OPT_JSON] ? json : NULL,
			NULL};
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 16);
	char *slash;

	path[n > 0 ? n : 0] = 0;
	slash = strrchr(path, '/');
	if (slash) {
		strcpy(slash + 1, name);
		execv(path, argv);
	}
	execvp(name, argv);
	return ctl_fail(CTL_REFUSED,
			"pinfoldd, which checks, is neither beside this "
			"program nor on the PATH: %s",
			strerror(errno));
}

const struct command check_commands[] = {
	{"check", "[FILE]", "is a configuration right, do its scripts load?",
	 "Needs no running broker and changes nothing: every enabled script "
	 "is\n"
	 "compiled in a locked worker. One line a script; 78 when something "
	 "is\n"
	 "wrong, with file, line and column.",
	 0, 1, 0, run_check},
	{0},
};
