/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status: what the broker and its scripts are doing.
 */
#include <inttypes.h>

#include "ctl/ctl.h"
#include "ctl/field.h"
#include "ctl/out.h"
#include "proto/pack.h"

static void add_errors(struct slice script, struct buf *out)
{
	struct cursor c = field_at(script, "errors");
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
	struct cursor c = field_at(script, "workers");
	uint32_t n = cursor_array(&c);
	int64_t restarts = 0;

	for (uint32_t i = 0; i < n && !c.error; i++)
		restarts += field_int(cursor_raw(&c), "restarts");
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

static enum out_color color_of(struct slice state)
{
	if (slice_is(state, "ready"))
		return OUT_GREEN;
	return slice_is(state, "broken") || slice_is(state, "unavailable")
		       ? OUT_RED
		       : OUT_YELLOW;
}

static void script_row(struct out_table *t, struct slice script)
{
	struct buf b = {0};

	out_cell_slice(t, field_text(script, "name"));
	out_cell_paint(t, color_of(field_text(script, "state")));
	out_cell_slice(t, field_text(script, "state"));
	out_cell(t, "%" PRId64, field_int(script, "generation"));
	add_workers(script, &b);
	cell_buf(t, &b);
	out_cell(t, "%" PRId64, field_int(script, "events"));
	add_errors(script, &b);
	cell_buf(t, &b);
	cell_time(t, field_int(script, "p50_us"));
	cell_time(t, field_int(script, "p99_us"));
	out_cell(t, "%" PRId64, field_int(script, "queue"));
	field_words(script, "hooks", (struct field_words){",", "-"}, &b);
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
		struct cursor w = field_at(script, "workers");
		uint32_t workers = cursor_array(&w);

		while (workers-- > 0 && !w.error && rc == CTL_OK) {
			struct slice worker = cursor_raw(&w);
			struct cursor m = field_at(worker, "missing");

			if (cursor_array(&m) == 0)
				continue;
			out_safe(field_text(script, "name"), &line);
			buf_addf(&line, ": worker %" PRId64 " runs without ",
				 field_int(worker, "pid"));
			field_words(worker, "missing",
				    (struct field_words){",", ""}, &line);
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
	out_safe(field_text(status, "version"), &line);
	buf_addf(&line, ", pid %" PRId64 ", ", field_int(status, "pid"));
	out_safe(field_text(status, "state"), &line);
	buf_addf(&line, ", up ");
	add_uptime(field_int(status, "uptime_ms"), &line);
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
		rc = print_scripts(field_at(status, "scripts"));
	if (rc == CTL_OK)
		rc = print_missing(field_at(status, "scripts"));
	return rc == CTL_OK ? print_gateway(status) : rc;
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

static void add_pair(struct out_table *t, const char *key, struct buf *value)
{
	out_cell(t, "%s", key);
	cell_buf(t, value);
}

static void add_worker(struct out_table *t, struct slice worker)
{
	struct cursor missing = field_at(worker, "missing");
	struct buf b = {0};

	buf_addf(&b, "pid %" PRId64 ", restarts %" PRId64 ", sandbox ",
		 field_int(worker, "pid"), field_int(worker, "restarts"));
	field_words(worker, "sandbox", (struct field_words){" ", "none"}, &b);
	if (cursor_array(&missing) > 0)
		buf_addf(&b, ", without ");
	field_words(worker, "missing", (struct field_words){" ", ""}, &b);
	add_pair(t, "worker", &b);
	buf_fini(&b);
}

int print_script(struct slice script)
{
	static const char *const numbers[] = {"generation", "events", "p50_us",
					      "p99_us", "queue"};
	struct out_table t = {.columns = 2};
	struct cursor w = field_at(script, "workers");
	struct buf b = {0};

	out_safe(field_text(script, "name"), &b);
	add_pair(&t, "name", &b);
	out_cell(&t, "state");
	out_cell_paint(&t, color_of(field_text(script, "state")));
	out_cell_slice(&t, field_text(script, "state"));
	if (field_text(script, "why").n) {
		out_safe(field_text(script, "why"), &b);
		add_pair(&t, "why", &b);
	}
	field_words(script, "hooks", (struct field_words){" ", "none"}, &b);
	add_pair(&t, "hooks", &b);
	for (size_t i = 0; i < 5; i++) {
		buf_addf(&b, "%" PRId64, field_int(script, numbers[i]));
		add_pair(&t, numbers[i], &b);
	}
	add_errors(script, &b);
	add_pair(&t, "errors", &b);
	for (uint32_t n = cursor_array(&w); n > 0 && !w.error; n--)
		add_worker(&t, cursor_raw(&w));
	buf_fini(&b);
	return out_table(&t);
}

static int run_show(struct ctl *ctl)
{
	struct buf args = {0};
	struct slice script;
	struct cursor c;
	int rc;

	pack_text(&args, slice_str(ctl->word[0]));
	rc = ctl_ask(ctl, "script.show", 1, &args, &script);
	if (rc != CTL_OK)
		return rc;
	c = cursor_of(script);
	if (cursor_peek(&c) != CURSOR_MAP)
		return ctl_nonsense("script.show");
	return ctl->option[OPT_JSON] ? out_value(script) : print_script(script);
}

const struct command status_commands[] = {
	{"status", "", "print the state of the broker and its scripts",
	 "Per script: its generation, workers and their restarts, events, "
	 "errors by\ncode, the median and the 99th percentile of a run, "
	 "events that wait, hooks.",
	 0, 0, 0, run_status},
	{"scripts list", "", "print the scripts that are enabled", NULL, 0, 0,
	 0, run_list},
	{"scripts show", "SCRIPT", "print everything about one script", NULL, 1,
	 1, 0, run_show},
	{0},
};
