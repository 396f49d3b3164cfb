/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache: what the auth cache holds of MQTT clients, and taking it away.
 */
#include <inttypes.h>

#include "ctl/ctl.h"
#include "ctl/field.h"
#include "ctl/out.h"
#include "proto/pack.h"

/* The one map of the parameters: whose entries are meant. */
static void pack_which(const struct ctl *ctl, struct buf *args)
{
	const char *mountpoint = ctl->option[OPT_MOUNTPOINT];
	bool all = ctl->option[OPT_ALL];

	pack_map(args,
		 (ctl->nwords > 0 ? 1u : 0) + (mountpoint ? 1u : 0) + all);
	if (ctl->nwords > 0) {
		pack_cstr(args, "client_id");
		pack_text(args, slice_str(ctl->word[0]));
	}
	if (mountpoint) {
		pack_cstr(args, "mountpoint");
		pack_text(args, slice_str(mountpoint));
	}
	if (all) {
		pack_cstr(args, "all");
		pack_bool(args, true);
	}
}

/* ---- show -------------------------------------------------------------- */

static void add_time(struct buf *out, int64_t ms)
{
	if (ms < 100000)
		buf_addf(out, "%.1fs", (double)ms / 1e3);
	else if (ms < (int64_t)100 * 60 * 1000)
		buf_addf(out, "%" PRId64 "min", ms / 60000);
	else
		buf_addf(out, "%" PRId64 "h", ms / 3600000);
}

static void cell_time(struct out_table *t, int64_t ms)
{
	struct buf b = {0};

	add_time(&b, ms);
	out_cell_slice(t, buf_slice(&b));
	buf_fini(&b);
}

static void client_row(struct out_table *t, struct slice row)
{
	struct cursor publish = field_at(row, "publish");
	struct cursor subscribe = field_at(row, "subscribe");
	int64_t left = field_int(row, "left_ms");

	out_cell_slice(t, field_text(row, "client_id"));
	out_cell_slice(t, field_text(row, "mountpoint"));
	out_cell_slice(t, field_text(row, "username"));
	out_cell(t, "%" PRIu32, cursor_array(&publish));
	out_cell(t, "%" PRIu32, cursor_array(&subscribe));
	out_cell(t, "%" PRId64, field_int(row, "entries"));
	cell_time(t, field_int(row, "age_ms"));
	if (left > 0)
		cell_time(t, left);
	else
		out_cell(t, "-");
}

static int print_clients(struct slice result)
{
	static const char *const heads[] = {"CLIENT",  "MOUNTPOINT", "USERNAME",
					    "PUBLISH", "SUBSCRIBE",  "ENTRIES",
					    "AGE",     "EXPIRES"};
	struct out_table t = {.columns = 8, .right = 0xf8};
	struct cursor c = field_at(result, "cached");
	uint32_t n = cursor_array(&c);

	for (int i = 0; n && i < 8; i++)
		out_cell(&t, "%s", heads[i]);
	while (n-- > 0 && !c.error)
		client_row(&t, cursor_raw(&c));
	if (c.error) {
		buf_fini(&t.cells);
		return ctl_nonsense("cache.show");
	}
	return out_table(&t);
}

static int print_line(struct buf *line)
{
	int rc = out_line(line);

	buf_fini(line);
	return rc;
}

/* One rule on one line: its pattern, and what is not as usual. */
static int print_rule(const char *list, struct slice rule)
{
	struct cursor mods = field_at(rule, "modifiers");
	struct cursor retain = field_at(rule, "allowed_retain");
	int64_t max = field_int(rule, "max_payload_size");
	struct buf line = {0};

	buf_addf(&line, "  %s  ", list);
	out_safe(field_text(rule, "pattern"), &line);
	buf_addf(&line, "  qos<=%" PRId64, field_int(rule, "max_qos"));
	if (max && max != 268435456)
		buf_addf(&line, "  payload<=%" PRId64, max);
	if (cursor_peek(&retain) == CURSOR_BOOL && !cursor_bool(&retain))
		buf_addf(&line, "  no retain");
	if (!cursor_nil(&mods)) {
		buf_addf(&line, "  becomes ");
		out_json(cursor_raw(&mods), &line);
	}
	return print_line(&line);
}

static int print_rules(struct slice row, const char *list)
{
	struct cursor c = field_at(row, list);
	uint32_t n = cursor_array(&c);
	struct buf line = {0};
	int rc = CTL_OK;

	if (n == 0) {
		buf_addf(&line, "  %s  nothing", list);
		return print_line(&line);
	}
	while (n-- > 0 && !c.error && rc == CTL_OK)
		rc = print_rule(list, cursor_raw(&c));
	return c.error ? ctl_nonsense("cache.show") : rc;
}

static int print_client(struct slice row)
{
	int64_t left = field_int(row, "left_ms");
	struct buf line = {0};
	int rc;

	out_safe(field_text(row, "client_id"), &line);
	if (field_text(row, "mountpoint").n) {
		buf_addf(&line, " at ");
		out_safe(field_text(row, "mountpoint"), &line);
	}
	buf_addf(&line, ": user ");
	out_safe(field_text(row, "username"), &line);
	buf_addf(&line, ", %" PRId64 " entries, since ",
		 field_int(row, "entries"));
	add_time(&line, field_int(row, "age_ms"));
	if (left > 0) {
		buf_addf(&line, ", expires in ");
		add_time(&line, left);
	}
	rc = print_line(&line);
	if (rc == CTL_OK)
		rc = print_rules(row, "publish");
	return rc == CTL_OK ? print_rules(row, "subscribe") : rc;
}

static int print_details(struct slice result)
{
	struct cursor c = field_at(result, "cached");
	uint32_t n = cursor_array(&c);
	int rc = CTL_OK;

	while (n-- > 0 && !c.error && rc == CTL_OK)
		rc = print_client(cursor_raw(&c));
	return c.error ? ctl_nonsense("cache.show") : rc;
}

static int run_show(struct ctl *ctl)
{
	struct buf args = {0};
	struct slice result;
	struct cursor c;
	uint32_t n;
	int rc;

	pack_which(ctl, &args);
	rc = ctl_ask(ctl, "cache.show", 1, &args, &result);
	if (rc != CTL_OK)
		return rc;
	c = field_at(result, "cached");
	n = cursor_array(&c);
	if (c.error)
		return ctl_nonsense("cache.show");
	if (ctl->option[OPT_JSON])
		rc = out_value(result);
	else
		rc = ctl->nwords ? print_details(result)
				 : print_clients(result);
	if (rc != CTL_OK)
		return rc;
	c = field_at(result, "more");
	if (!cursor_nil(&c) && cursor_bool(&c))
		fputs("pinfold: there are more: name a client\n", stderr);
	return n == 0 && ctl->nwords
		       ? ctl_fail(CTL_REFUSED, "%s: not in the cache",
				  ctl->word[0])
		       : CTL_OK;
}

/* ---- drop -------------------------------------------------------------- */

static int run_drop(struct ctl *ctl)
{
	struct buf args = {0};
	struct slice result;
	struct cursor c;
	int64_t n;
	int rc;

	if ((ctl->nwords > 0) == (ctl->option[OPT_ALL] != NULL))
		return ctl_fail(CTL_USAGE,
				"cache drop: expected CLIENT or --all");
	pack_which(ctl, &args);
	rc = ctl_ask(ctl, "cache.drop", 1, &args, &result);
	if (rc != CTL_OK)
		return rc;
	c = cursor_of(result);
	n = cursor_int(&c);
	if (c.error)
		return ctl_nonsense("cache.drop");
	rc = out_value(result);
	if (rc == CTL_OK && n == 0 && ctl->nwords)
		return ctl_fail(CTL_REFUSED, "%s: not in the cache",
				ctl->word[0]);
	return rc;
}

const struct command cache_commands[] = {
	{"cache show", "[CLIENT]", "print what MQTT clients may do, as cached",
	 "One line a client; with CLIENT (its client id) every rule of it, in\n"
	 "the order in which they are tried. A client that is not cached is\n"
	 "exit code 1.",
	 0, 1, OPTION(OPT_MOUNTPOINT), run_show},
	{"cache drop", "CLIENT|--all", "forget it: scripts are asked again",
	 "Prints how many entries there were; none of CLIENT is exit code 1.",
	 0, 1, OPTION(OPT_MOUNTPOINT) | OPTION(OPT_ALL), run_drop},
	{0},
};
