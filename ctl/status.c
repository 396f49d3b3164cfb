/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status: what the broker and its scripts are doing.
 */
#include <inttypes.h>

#include "ctl/ctl.h"
#include "ctl/out.h"
#include "proto/unpack.h"

static struct cursor at(struct slice map, const char *key)
{
	struct slice raw;

	if (!map_find(map, key, &raw))
		raw = slice_of("\xc0", 1);
	return cursor_of(raw);
}

static int64_t int_at(struct slice map, const char *key)
{
	struct cursor c = at(map, key);

	return cursor_int(&c);
}

static struct slice text_at(struct slice map, const char *key)
{
	struct cursor c = at(map, key);

	return cursor_text(&c);
}

/* The texts of an array with commas between, or `none`. */
static void add_words(struct slice map, const char *key, const char *none,
		      struct buf *out)
{
	struct cursor c = at(map, key);
	uint32_t n = cursor_array(&c);

	if (n == 0)
		buf_addf(out, "%s", none);
	for (uint32_t i = 0; i < n && !c.error; i++) {
		buf_add(out, ",", i > 0);
		out_safe(cursor_text(&c), out);
	}
}

static void add_errors(struct slice script, struct buf *out)
{
	struct cursor c = at(script, "errors");
	uint32_t n = cursor_map(&c);
	bool some = false;

	while (n-- > 0 && !c.error) {
		struct slice code = cursor_text(&c);
		int64_t count = cursor_int(&c);

		if (count == 0)
			continue;
		buf_add(out, ",", some);
		out_safe(code, out);
		buf_addf(out, ":%" PRId64, count);
		some = true;
	}
	if (!some)
		buf_addf(out, "0");
}

static void add_workers(struct slice script, struct buf *out)
{
	struct cursor c = at(script, "workers");
	uint32_t n = cursor_array(&c);
	int64_t restarts = 0;

	for (uint32_t i = 0; i < n && !c.error; i++)
		restarts += int_at(cursor_raw(&c), "restarts");
	buf_addf(out, "%" PRIu32, n);
	if (restarts)
		buf_addf(out, " (%" PRId64 " restarts)", restarts);
}

static void cell_time(struct out_table *t, int64_t us)
{
	if (us < 1000)
		out_cell(t, "%" PRId64 "us", us);
	else if (us < 1000000)
		out_cell(t, "%.1fms", (double)us / 1e3);
	else
		out_cell(t, "%.2fs", (double)us / 1e6);
}

static void cell_buf(struct out_table *t, struct buf *b)
{
	out_cell_slice(t, buf_slice(b));
	buf_clear(b);
}

static void script_row(struct out_table *t, struct slice script)
{
	struct buf b = {0};

	out_cell_slice(t, text_at(script, "name"));
	out_cell_slice(t, text_at(script, "state"));
	out_cell(t, "%" PRId64, int_at(script, "generation"));
	add_workers(script, &b);
	cell_buf(t, &b);
	out_cell(t, "%" PRId64, int_at(script, "events"));
	add_errors(script, &b);
	cell_buf(t, &b);
	cell_time(t, int_at(script, "p50_us"));
	cell_time(t, int_at(script, "p99_us"));
	out_cell(t, "%" PRId64, int_at(script, "queue"));
	add_words(script, "hooks", "-", &b);
	cell_buf(t, &b);
	buf_fini(&b);
}

static int print_scripts(struct cursor c)
{
	static const char *const heads[] = {
		"SCRIPT", "STATE", "GEN", "WORKERS", "EVENTS",
		"ERRORS", "P50",   "P99", "QUEUE",   "HOOKS"};
	struct out_table t = {.columns = 10, .right = 0x1d4};
	uint32_t n = cursor_array(&c);

	if (c.error)
		return ctl_nonsense("status");
	if (n == 0)
		puts("no scripts are enabled");
	for (int i = 0; n && i < 10; i++)
		out_cell(&t, "%s", heads[i]);
	while (n-- > 0 && !c.error)
		script_row(&t, cursor_raw(&c));
	if (c.error) {
		buf_fini(&t.cells);
		return ctl_nonsense("status");
	}
	return out_table(&t);
}

/* Layers of the sandbox that a worker does without, one line each. */
static int print_missing(struct cursor c)
{
	uint32_t n = cursor_array(&c);
	struct buf line = {0};
	int rc = CTL_OK;

	while (n-- > 0 && !c.error && rc == CTL_OK) {
		struct slice script = cursor_raw(&c);
		struct cursor w = at(script, "workers");
		uint32_t workers = cursor_array(&w);

		while (workers-- > 0 && !w.error && rc == CTL_OK) {
			struct slice worker = cursor_raw(&w);
			struct cursor m = at(worker, "missing");

			if (cursor_array(&m) == 0)
				continue;
			out_safe(text_at(script, "name"), &line);
			buf_addf(&line, ": worker %" PRId64 " runs without ",
				 int_at(worker, "pid"));
			add_words(worker, "missing", "", &line);
			rc = out_line(&line);
		}
	}
	buf_fini(&line);
	return rc;
}

static void add_uptime(int64_t ms, struct buf *line)
{
	int64_t s = ms / 1000;

	if (s >= 86400)
		buf_addf(line, "%" PRId64 "d ", s / 86400);
	buf_addf(line, "%02d:%02d:%02d", (int)(s / 3600 % 24),
		 (int)(s / 60 % 60), (int)(s % 60));
}

static int print_head(struct slice status)
{
	struct buf line = {0};
	int rc;

	buf_addf(&line, "pinfoldd ");
	out_safe(text_at(status, "version"), &line);
	buf_addf(&line, ", pid %" PRId64 ", ", int_at(status, "pid"));
	out_safe(text_at(status, "state"), &line);
	buf_addf(&line, ", up ");
	add_uptime(int_at(status, "uptime_ms"), &line);
	rc = out_line(&line);
	buf_fini(&line);
	return rc;
}

static int run_status(struct ctl *ctl)
{
	struct slice status;
	struct cursor c;
	int rc =
		ctl_call(ctl, "status", pf_args(0, slice_of(NULL, 0)), &status);

	if (rc != CTL_OK)
		return rc;
	c = cursor_of(status);
	if (cursor_peek(&c) != CURSOR_MAP)
		return ctl_nonsense("status");
	if (ctl->option[OPT_JSON])
		return out_value(status);
	rc = print_head(status);
	if (rc == CTL_OK)
		rc = print_scripts(at(status, "scripts"));
	return rc == CTL_OK ? print_missing(at(status, "scripts")) : rc;
}

static int run_list(struct ctl *ctl)
{
	struct slice scripts;
	int rc = ctl_call(ctl, "script.list", pf_args(0, slice_of(NULL, 0)),
			  &scripts);

	if (rc != CTL_OK)
		return rc;
	return ctl->option[OPT_JSON] ? out_value(scripts)
				     : print_scripts(cursor_of(scripts));
}

const struct command status_commands[] = {
	{"status", "", "print the state of the broker and its scripts",
	 "Per script: its generation, workers and their restarts, events, "
	 "errors by\ncode, the median and the 99th percentile of a run, "
	 "events that wait, hooks.",
	 0, 0, 0, run_status},
	{"scripts list", "", "print the scripts", NULL, 0, 0, 0, run_list},
	{0},
};
