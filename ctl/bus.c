/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus: following the events that scripts emit.
 */
#include <inttypes.h>

#include "ctl/field.h"
#include "ctl/follow.h"
#include "ctl/out.h"
#include "proto/pack.h"

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
	out_safe(field_text(event, "name"), line);
	buf_add_byte(line, ' ');
	out_safe(field_text(event, "from"), line);
	if (map_find(event, "data", &data)) {
		buf_add_byte(line, ' ');
		out_json(data, line);
	}
}

static void on_event(struct follow *f, const struct pf_item *item)
{
	struct cursor c = cursor_of(item->params.packed);
	struct slice event;

	if (!slice_is(item->method, "bus.event"))
		return;
	event = cursor_raw(&c);
	if (c.error) {
		f->rc = ctl_nonsense("bus.event");
		return;
	}
	if (f->ctl->option[OPT_JSON])
		out_json(event, &f->line);
	else
		add_event(event, &f->line);
	f->rc = out_line(&f->line);
	follow_count(f);
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

int bus_tail(struct ctl *ctl)
{
	struct buf args = {0};
	struct follow f;
	int rc = follow_init(&f, ctl);

	if (rc == CTL_OK)
		rc = pack_subscription(ctl, &args);
	if (rc != CTL_OK) {
		buf_fini(&args);
		return rc;
	}
	f.on = on_event;
	return follow_run(&f, "bus.subscribe", &args);
}
