/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus: following the events that scripts emit.
 */
#include <inttypes.h>

#include "ctl/ctl.h"
#include "ctl/out.h"
#include "proto/pack.h"

struct tail {
	const struct ctl *ctl;
	int64_t left; /* -1: no end */
	int rc;
	struct buf line;
};

static struct slice text_at(struct slice event, const char *key)
{
	struct slice raw;
	struct cursor c;

	if (!map_find(event, key, &raw))
		return slice_of(NULL, 0);
	c = cursor_of(raw);
	return cursor_text(&c);
}

static void add_number(struct slice event, const char *key, bool time,
		       struct buf *line)
{
	struct slice raw;
	struct cursor c;
	int64_t v;

	if (!map_find(event, key, &raw)) {
		buf_addf(line, "-");
		return;
	}
	c = cursor_of(raw);
	v = cursor_int(&c);
	if (c.error)
		out_json(raw, line);
	else if (time)
		out_time(v, line);
	else
		buf_addf(line, "%" PRId64, v);
}

static void add_event(struct slice event, struct buf *line)
{
	struct slice data;

	add_number(event, "seq", false, line);
	buf_add_byte(line, ' ');
	add_number(event, "time", true, line);
	buf_add_byte(line, ' ');
	out_safe(text_at(event, "name"), line);
	buf_add_byte(line, ' ');
	out_safe(text_at(event, "from"), line);
	if (map_find(event, "data", &data)) {
		buf_add_byte(line, ' ');
		out_json(data, line);
	}
}

static void on_notification(void *arg, const struct pf_item *item)
{
	struct tail *t = arg;
	struct cursor c = cursor_of(item->params.packed);
	struct slice event;

	if (t->left == 0 || !slice_is(item->method, "bus.event"))
		return;
	event = cursor_raw(&c);
	if (c.error) {
		t->rc = ctl_nonsense("bus.event");
		return;
	}
	if (t->ctl->option[OPT_JSON])
		out_json(event, &t->line);
	else
		add_event(event, &t->line);
	t->rc = out_line(&t->line);
	if (t->left > 0)
		t->left--;
}

static int pack_subscription(const struct ctl *ctl, struct buf *args)
{
	const char *from = ctl->option[OPT_FROM];
	int64_t seq = 0;

	if (from && strcmp(from, "new") == 0)
		from = NULL;
	if (from && ctl_int("--from", from, &seq) != CTL_OK)
		return CTL_USAGE;
	if (seq < 0)
		return ctl_fail(CTL_USAGE, "--from: expected new or a number");
	pack_map(args, 2);
	pack_cstr(args, "names");
	pack_array(args, ctl->nwords ? (uint32_t)ctl->nwords : 1);
	if (ctl->nwords == 0)
		pack_cstr(args, "*");
	for (int i = 0; i < ctl->nwords; i++)
		pack_text(args, slice_str(ctl->word[i]));
	pack_cstr(args, "from");
	if (from)
		pack_int(args, seq);
	else
		pack_cstr(args, "new");
	return buf_error(args) ? ctl_fail(CTL_REFUSED, "out of memory")
			       : CTL_OK;
}

static int follow(struct ctl *ctl, struct tail *t)
{
	int rc = 0;

	while (rc == 0 && t->rc == CTL_OK && t->left != 0)
		rc = pf_conn_wait(ctl->conn, -1);
	return rc < 0 ? ctl_broken(ctl, rc) : t->rc;
}

static int run_tail(struct ctl *ctl)
{
	struct tail t = {.ctl = ctl, .left = -1};
	struct pf_handler handler = {NULL, on_notification, &t};
	const char *number = ctl->option[OPT_NUMBER];
	struct buf args = {0};
	struct slice result;
	int rc = CTL_OK;

	if (number)
		rc = ctl_int("--number", number, &t.left);
	if (rc == CTL_OK && number && t.left < 1)
		rc = ctl_fail(CTL_USAGE, "--number: expected 1 or more");
	if (rc == CTL_OK)
		rc = pack_subscription(ctl, &args);
	if (rc == CTL_OK)
		rc = ctl_connect(ctl);
	if (rc == CTL_OK) {
		pf_conn_handle(ctl->conn, &handler);
		rc = ctl_call(ctl, "bus.subscribe",
			      pf_args(1, buf_slice(&args)), &result);
	}
	buf_fini(&args);
	if (rc == CTL_OK)
		rc = follow(ctl, &t);
	buf_fini(&t.line);
	return rc;
}

const struct command bus_commands[] = {
	{"bus tail", "[NAME...]", "print events of the bus as they come",
	 "A NAME may end in *; without any it is all of them. One line each:\n"
	 "number, time, name, the script that sent it, data as JSON.",
	 0, -1, OPTION(OPT_FROM) | OPTION(OPT_NUMBER), run_tail},
	{0},
};
