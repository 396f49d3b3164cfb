/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scripts: what can be done to scripts, one or all. Looking at them is in
 * status.c.
 */
#include "ctl/ctl.h"
#include "ctl/field.h"
#include "ctl/out.h"
#include "proto/pack.h"

enum { LOAD_SECONDS = 120 };

static enum out_color color_of(struct slice result)
{
	if (slice_is(result, "refused"))
		return OUT_RED;
	return slice_is(result, "loaded") ? OUT_GREEN : OUT_PLAIN;
}

/* Rows {name, result, why}; CTL_REFUSED when one of them was refused. */
static int print_rows(const struct ctl *ctl, struct slice rows)
{
	struct out_table t = {.columns = 3};
	struct cursor c = cursor_of(rows);
	uint32_t n = cursor_array(&c);
	bool refused = false;
	int rc;

	while (n-- > 0 && !c.error) {
		struct slice row = cursor_raw(&c);
		struct slice result = field_text(row, "result");

		out_cell_slice(&t, field_text(row, "name"));
		out_cell_paint(&t, color_of(result));
		out_cell_slice(&t, result);
		out_cell_slice(&t, field_text(row, "why"));
		refused = refused || slice_is(result, "refused");
	}
	if (c.error) {
		buf_fini(&t.cells);
		return ctl_nonsense("reload");
	}
	if (ctl->option[OPT_JSON]) {
		buf_fini(&t.cells);
		rc = out_value(rows);
	} else {
		rc = out_table(&t);
	}
	return rc == CTL_OK && refused ? CTL_REFUSED : rc;
}

/* Call with the script's name, if there is one. */
static int ask(struct ctl *ctl, const char *method, struct slice *result)
{
	struct buf args = {0};

	for (int i = 0; i < ctl->nwords; i++)
		pack_text(&args, slice_str(ctl->word[i]));
	ctl->patience = LOAD_SECONDS;
	return ctl_ask(ctl, method, (uint32_t)ctl->nwords, &args, result);
}

static int change(struct ctl *ctl, const char *method)
{
	struct slice rows;
	int rc = ask(ctl, method, &rows);

	return rc == CTL_OK ? print_rows(ctl, rows) : rc;
}

static int run_reload(struct ctl *ctl)
{
	return change(ctl, ctl->nwords ? "script.reload" : "reload");
}

static int run_enable(struct ctl *ctl)
{
	return change(ctl, "script.enable");
}

static int run_disable(struct ctl *ctl)
{
	return change(ctl, "script.disable");
}

static int run_restart(struct ctl *ctl)
{
	struct slice result;
	int rc = ask(ctl, "script.restart", &result);

	return rc == CTL_OK ? ctl_done(ctl, result) : rc;
}

const struct command script_commands[] = {
	{"reload", "[SCRIPT]", "read the scripts and their settings again",
	 "Without SCRIPT: all that have changed, added and removed ones too;\n"
	 "with it: this one, changed or not. A broken one is refused, with "
	 "file\n"
	 "and line, and the old one goes on; the exit code is then 1.",
	 0, 1, 0, run_reload},
	{"restart", "SCRIPT", "replace the workers of a script by new ones",
	 "Of the same generation. Events that they had begun fail as\n"
	 "`crashed`; reload is the gentle way.",
	 1, 1, 0, run_restart},
	{"enable", "SCRIPT", "serve a script that the file has disabled",
	 "Until the next start of pinfoldd. Reloads as well.", 1, 1, 0,
	 run_enable},
	{"disable", "SCRIPT", "serve a script no more",
	 "Until the next start of pinfoldd, or enable. Reloads as well.", 1, 1,
	 0, run_disable},
	{0},
};
