/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script_file: one-file scripts (MQTT) by the path of their file: load,
 * unload, reload, show. Everything about scripts by name is in scripts.c and
 * status.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/field.h"
#include "ctl/out.h"
#include "proto/pack.h"

enum { LOAD_SECONDS = 120 };

/* The path as the broker can open it. A word that looks like a name stays
 * one; so does one without a file behind it, but for becoming absolute. */
static int pack_path(const char *word, struct buf *args)
{
	size_t n = strlen(word);
	char *real, *cwd;

	if (!strchr(word, '/') &&
	    (n < 5 || strcmp(word + n - 4, ".lua") != 0)) {
		pack_text(args, slice_str(word));
		return CTL_OK;
	}
	real = realpath(word, NULL);
	if (real) {
		pack_text(args, slice_str(real));
		free(real);
		return CTL_OK;
	}
	cwd = word[0] == '/' ? NULL : getcwd(NULL, 0);
	if (!cwd && word[0] != '/')
		return ctl_fail(CTL_REFUSED, "%s: %s", word, strerror(errno));
	{
		struct buf path = {0};

		if (cwd)
			buf_addf(&path, "%s/", cwd);
		buf_addf(&path, "%s", word);
		pack_text(args, buf_slice(&path));
		buf_fini(&path);
	}
	free(cwd);
	return CTL_OK;
}

static int ask(struct ctl *ctl, const char *method, struct slice *result)
{
	struct buf args = {0};
	int rc = pack_path(ctl->word[0], &args);

	ctl->patience = LOAD_SECONDS;
	if (rc == CTL_OK)
		return ctl_ask(ctl, method, 1, &args, result);
	buf_fini(&args);
	return rc;
}

/* [{name, result, why}]: a line, and whether it was done. */
static int change(struct ctl *ctl, const char *method)
{
	struct buf line = {0};
	struct slice rows, row, result;
	struct cursor c;
	uint32_t n;
	bool refused = false;
	int rc = ask(ctl, method, &rows);

	if (rc != CTL_OK)
		return rc;
	c = cursor_of(rows);
	for (n = cursor_array(&c); n > 0 && !c.error && rc == CTL_OK; n--) {
		row = cursor_raw(&c);
		result = field_text(row, "result");
		refused = refused || slice_is(result, "refused");
		if (ctl->option[OPT_JSON])
			continue;
		out_safe(field_text(row, "name"), &line);
		buf_addf(&line, ": ");
		out_safe(result, &line);
		if (field_text(row, "why").n) {
			buf_addf(&line, ": ");
			out_safe(field_text(row, "why"), &line);
		}
		rc = out_line(&line);
	}
	buf_fini(&line);
	if (c.error)
		return ctl_nonsense(method);
	if (ctl->option[OPT_JSON])
		rc = out_value(rows);
	return rc == CTL_OK && refused ? CTL_REFUSED : rc;
}

static int run_load(struct ctl *ctl)
{
	return change(ctl, "script.load");
}

static int run_unload(struct ctl *ctl)
{
	return change(ctl, "script.unload");
}

static int run_reload(struct ctl *ctl)
{
	return change(ctl, "script.reload");
}

/* ---- show -------------------------------------------------------------- */

static bool is_one_file(struct slice script)
{
	return slice_is(field_text(script, "dialect"), "mqtt");
}

static void hook_row(struct out_table *t, struct slice script,
		     struct slice hook, struct slice calls)
{
	out_cell_slice(t, field_text(script, "name"));
	out_cell_slice(t, hook);
	out_cell(t, "%" PRId64, field_int(calls, "calls"));
	out_cell(t, "%" PRId64, field_int(calls, "errors"));
	out_cell(t, "%" PRId64, field_int(calls, "p50_us"));
	out_cell(t, "%" PRId64, field_int(calls, "p99_us"));
	out_cell(t, "%" PRId64, field_int(script, "queue"));
}

/* Every hook of a script, also those that were never called. */
static void script_rows(struct out_table *t, struct slice script)
{
	struct cursor hooks = field_at(script, "hooks");
	uint32_t n = cursor_array(&hooks);

	while (n-- > 0 && !hooks.error) {
		struct slice name = cursor_text(&hooks), calls = {0};
		struct cursor c = field_at(script, "calls");

		for (uint32_t k = cursor_map(&c); k > 0 && !c.error; k--) {
			struct slice key = cursor_text(&c);
			struct slice value = cursor_raw(&c);

			if (slice_eq(key, name))
				calls = value;
		}
		hook_row(t, script, name, calls);
	}
}

static int print(struct slice script, bool many)
{
	static const char *const heads[] = {
		"SCRIPT", "HOOK", "CALLS", "ERRORS", "P50US", "P99US", "QUEUE"};
	struct out_table t = {.columns = 7, .right = 0x7c};
	struct cursor c = cursor_of(script);
	uint32_t n = many ? cursor_array(&c) : 1;

	for (int i = 0; i < 7; i++)
		out_cell(&t, "%s", heads[i]);
	while (n-- > 0 && !c.error) {
		struct slice one = many ? cursor_raw(&c) : script;

		if (is_one_file(one))
			script_rows(&t, one);
	}
	if (!c.error)
		return out_table(&t);
	buf_fini(&t.cells);
	return ctl_nonsense("script.list");
}

/* As script.list has them, the one-file ones alone. */
static int print_json(struct slice scripts)
{
	struct cursor c = cursor_of(scripts);
	struct buf some = {0}, all = {0};
	uint32_t kept = 0;
	int rc;

	for (uint32_t n = cursor_array(&c); n > 0 && !c.error; n--) {
		struct slice one = cursor_raw(&c);

		if (!is_one_file(one))
			continue;
		pack_raw(&some, one);
		kept++;
	}
	if (c.error) {
		buf_fini(&some);
		return ctl_nonsense("script.list");
	}
	pack_array(&all, kept);
	pack_raw(&all, buf_slice(&some));
	rc = out_value(buf_slice(&all));
	buf_fini(&some);
	buf_fini(&all);
	return rc;
}

/* Hooks of all one-file scripts, or of one. */
static int run_show(struct ctl *ctl)
{
	bool many = ctl->nwords == 0;
	struct slice result;
	struct cursor c;
	int rc = many ? ctl_call(ctl, "script.list",
				 pf_args(0, slice_of(NULL, 0)), &result)
		      : ask(ctl, "script.show", &result);

	if (rc != CTL_OK)
		return rc;
	c = cursor_of(result);
	if (!many && cursor_peek(&c) != CURSOR_MAP)
		return ctl_nonsense("script.show");
	if (!ctl->option[OPT_JSON] && !many && !is_one_file(result))
		return print_script(result);
	if (!ctl->option[OPT_JSON])
		return print(result, many);
	return many ? print_json(result) : out_value(result);
}

const struct command script_file_commands[] = {
	{"script load", "PATH", "load a one-file (MQTT) script",
	 "Until the next start of pinfoldd. One that is loaded already is "
	 "refused,\nas is one that does not load, with file and line; the "
	 "exit code is then 1.",
	 1, 1, 0, run_load},
	{"script unload", "PATH", "serve a one-file script no more",
	 "Until the next start of pinfoldd, or load.", 1, 1, 0, run_unload},
	{"script reload", "PATH", "read a one-file script again",
	 "Its hooks and settings, too. A broken one is refused, with file and "
	 "line,\nand the old version goes on; the exit code is then 1.",
	 1, 1, 0, run_reload},
	{"script show", "[PATH]", "print the hooks of one-file scripts",
	 "Per hook: calls, errors, the median and the 99th percentile of a "
	 "run in\nmicroseconds, and how many events wait for the script.",
	 0, 1, 0, run_show},
	{0},
};
