/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life: the commands that make the broker do something with itself.
 */
#include <errno.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/out.h"
#include "proto/pack.h"

enum { FLUSH_SECONDS = 60, STOP_SECONDS = 60, BACKUP_SECONDS = 3600 };

static int run_flush(struct ctl *ctl)
{
	struct buf args = {0};
	struct slice result;
	int rc;

	if (ctl->nwords)
		pack_text(&args, slice_str(ctl->word[0]));
	else
		pack_nil(&args);
	ctl->patience = FLUSH_SECONDS;
	rc = ctl_ask(ctl, "flush", 1, &args, &result);
	return rc == CTL_OK ? ctl_done(ctl, result) : rc;
}

/* The broker keeps this connection until it has drained and ends. */
static int wait_for_end(struct ctl *ctl)
{
	int rc;

	do
		rc = pf_conn_wait(ctl->conn, STOP_SECONDS * 1000);
	while (rc == 0);
	if (rc == ERR_CLOSED)
		return CTL_OK;
	if (rc == ERR_TIMEOUT)
		return ctl_fail(CTL_REFUSED,
				"the broker at %s is still there after %d "
				"seconds",
				ctl->path, STOP_SECONDS);
	return ctl_broken(ctl, rc);
}

static int run_stop(struct ctl *ctl)
{
	struct slice result;
	int rc = ctl_call(ctl, "shutdown", pf_args(0, slice_of(NULL, 0)),
			  &result);

	if (rc == CTL_OK && !ctl->option[OPT_NO_WAIT])
		rc = wait_for_end(ctl);
	return rc == CTL_OK ? ctl_done(ctl, slice_of("\xc3", 1)) : rc;
}

/* The broker writes, wherever it was started: the path has to be absolute. */
static int run_backup(struct ctl *ctl)
{
	const char *dir = ctl->word[0];
	struct buf args = {0}, path = {0};
	struct slice result;
	char here[4096];
	int rc;

	if (dir[0] != '/') {
		if (!getcwd(here, sizeof(here)))
			return ctl_fail(CTL_REFUSED, "%s: %s", dir,
					strerror(errno));
		buf_addf(&path, "%s/", here);
	}
	buf_addf(&path, "%s", dir);
	pack_text(&args, buf_slice(&path));
	buf_fini(&path);
	ctl->patience = BACKUP_SECONDS;
	rc = ctl_ask(ctl, "backup", 1, &args, &result);
	return rc == CTL_OK ? ctl_done(ctl, result) : rc;
}

const struct command life_commands[] = {
	{"flush", "[SESSION]", "run the flush hook of every script",
	 "SESSION is what scripts see as opts.session; without it, the "
	 "broker's\nown run id.",
	 0, 1, 0, run_flush},
	{"backup", "DIR", "copy the database, while it is in use",
	 "DIR must not exist; pinfoldd makes it, with what a start finds in\n"
	 "data_dir. To restore: stop pinfoldd, move its data_dir away, copy "
	 "DIR\n"
	 "to where data_dir was, start pinfoldd.",
	 1, 1, 0, run_backup},
	{"stop", "", "drain, flush and end the broker", NULL, 0, 0,
	 OPTION(OPT_NO_WAIT), run_stop},
	{0},
};
