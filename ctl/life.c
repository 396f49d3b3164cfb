/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life: the commands that make the broker do something with itself.
 */
#include "ctl/ctl.h"
#include "ctl/out.h"
#include "proto/pack.h"

enum { FLUSH_SECONDS = 60, STOP_SECONDS = 60 };

static int print_done(const struct ctl *ctl, struct slice result)
{
	return ctl->option[OPT_JSON] ? out_value(result) : CTL_OK;
}

static int run_flush(struct ctl *ctl)
{
	struct buf args = {0};
	struct slice result;
	int rc;

	if (ctl->nwords)
		pack_text(&args, slice_str(ctl->word[0]));
	else
		pack_nil(&args);
	rc = buf_error(&args)
		     ? ctl_fail(CTL_REFUSED, "out of memory")
		     : ctl_call_slow(ctl, "flush", pf_args(1, buf_slice(&args)),
				     FLUSH_SECONDS, &result);
	buf_fini(&args);
	return rc == CTL_OK ? print_done(ctl, result) : rc;
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
	return rc == CTL_OK ? print_done(ctl, slice_of("\xc3", 1)) : rc;
}

const struct command life_commands[] = {
	{"flush", "[SESSION]", "run the flush hook of every script",
	 "SESSION is what scripts see as opts.session; without it, the "
	 "broker's\nown run id.",
	 0, 1, 0, run_flush},
	{"stop", "", "drain, flush and end the broker", NULL, 0, 0,
	 OPTION(OPT_NO_WAIT), run_stop},
	{0},
};
