/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow: see follow.h; what is done with a notification is in bus.c, logs.c
 * and record.c.
 */
#include "ctl/follow.h"

int follow_init(struct follow *f, struct ctl *ctl)
{
	const char *number = ctl->option[OPT_NUMBER];

	*f = (struct follow){.ctl = ctl, .left = -1};
	if (number && ctl_int("--number", number, &f->left) != CTL_OK)
		return CTL_USAGE;
	if (number && f->left < 1)
		return ctl_fail(CTL_USAGE, "--number: expected 1 or more");
	return CTL_OK;
}

void follow_count(struct follow *f)
{
	if (f->left > 0)
		f->left--;
}

static void on_notification(void *arg, const struct pf_item *item)
{
	struct follow *f = arg;

	if (f->left != 0 && f->rc == CTL_OK)
		f->on(f, item);
}

int follow_run(struct follow *f, const char *method, struct buf *args)
{
	struct pf_handler handler = {NULL, on_notification, f};
	struct slice result;
	int wait = 0, rc = ctl_connect(f->ctl);

	if (rc != CTL_OK) {
		buf_fini(args);
		return rc;
	}
	pf_conn_handle(f->ctl->conn, &handler);
	rc = ctl_ask(f->ctl, method, 1, args, &result);
	while (rc == CTL_OK && wait == 0 && f->left != 0 && f->rc == CTL_OK)
		wait = pf_conn_wait(f->ctl->conn, -1);
	buf_fini(&f->line);
	if (rc != CTL_OK)
		return rc;
	return wait < 0 ? ctl_broken(f->ctl, wait) : f->rc;
}

const struct command follow_commands[] = {
	{"bus tail", "[NAME...]", "print events of the bus as they come",
	 "A NAME may end in *; without any it is all of them. One line each:\n"
	 "number, time, name, the script that sent it, data as JSON.",
	 0, -1, OPTION(OPT_FROM) | OPTION(OPT_NUMBER), bus_tail},
	{"logs", "[-f]", "print the broker's log as it is written",
	 "Of that level and above, with the lines of scripts. What was "
	 "written\n"
	 "before is where pinfoldd's stderr goes. It goes on until "
	 "interrupted,\n"
	 "or until -n lines have come; a reader that is too slow misses some.",
	 0, 0,
	 OPTION(OPT_FOLLOW) | OPTION(OPT_NUMBER) | OPTION(OPT_LEVEL) |
		 OPTION(OPT_SCRIPT),
	 logs},
	{"record", "HOOK DIR", "write the next events of a hook into files",
	 "DIR/HOOK-000001.json and so on, one event each, for `pinfold exec`;\n"
	 "-n says how many (1). What authenticates somebody is replaced by\n"
	 "[redacted]; --secrets keeps it. A large body that the proxy had not\n"
	 "sent is left out.",
	 2, 2, OPTION(OPT_NUMBER) | OPTION(OPT_SCRIPT) | OPTION(OPT_SECRETS),
	 record},
	{0},
};
