/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs: lines of the broker's log as they come. The broker has escaped them;
 * on a terminal the word of the level gets a colour.
 */
#include "ctl/follow.h"
#include "ctl/json.h"
#include "ctl/out.h"
#include "lib/log.h"
#include "proto/pack.h"

static enum out_color color_of(struct slice word)
{
	if (slice_is(word, "error"))
		return OUT_RED;
	if (slice_is(word, "warn"))
		return OUT_YELLOW;
	return slice_is(word, "debug") || slice_is(word, "trace") ? OUT_DIM
								  : OUT_PLAIN;
}

/* TIME LEVEL TOPIC ...; lines in JSON have no such word and no colour. */
static void add_line(struct slice line, struct buf *out)
{
	const uint8_t *blank = line.n ? memchr(line.p, ' ', line.n) : NULL;
	size_t from = blank ? (size_t)(blank - line.p) + 1 : line.n, to = from;

	while (to < line.n && line.p[to] != ' ')
		to++;
	out_safe(slice_of(line.p, from), out);
	if (to > from) {
		struct slice word = slice_of(line.p + from, to - from);

		out_paint(color_of(word), out);
		out_safe(word, out);
		out_paint(OUT_PLAIN, out);
		out_safe(slice_of(line.p + to, line.n - to), out);
	}
}

/* With --json: the line itself when it is an object, else {"line": "..."}. */
static void add_json(struct slice line, struct buf *out)
{
	struct json_error error;
	struct buf packed = {0};

	if (line.n && *line.p == '{' &&
	    json_read(line, &packed, &error) == OK) {
		out_json(buf_slice(&packed), out);
	} else {
		buf_clear(&packed);
		pack_map(&packed, 1);
		pack_cstr(&packed, "line");
		pack_text(&packed, line);
		out_json(buf_slice(&packed), out);
	}
	buf_fini(&packed);
}

static void on_log(struct follow *f, const struct pf_item *item)
{
	struct cursor c = cursor_of(item->params.packed);
	struct slice line;

	if (!slice_is(item->method, "log"))
		return;
	line = cursor_text(&c);
	if (c.error) {
		f->rc = ctl_nonsense("log");
		return;
	}
	if (f->ctl->option[OPT_JSON])
		add_json(line, &f->line);
	else
		add_line(line, &f->line);
	f->rc = out_line(&f->line);
	follow_count(f);
}

int logs(struct ctl *ctl)
{
	const char *level = ctl->option[OPT_LEVEL];
	const char *script = ctl->option[OPT_SCRIPT];
	struct buf args = {0};
	struct follow f;
	int rc = follow_init(&f, ctl);

	if (rc != CTL_OK)
		return rc;
	if (level && log_level_parse(slice_str(level)) < 0)
		return ctl_fail(CTL_USAGE,
				"--level: '%s', expected trace, debug, info, "
				"warn, error or audit",
				level);
	f.on = on_log;
	pack_map(&args, 1 + (script != NULL));
	pack_cstr(&args, "level");
	pack_cstr(&args, level ? level : "info");
	if (script) {
		pack_cstr(&args, "script");
		pack_text(&args, slice_str(script));
	}
	return follow_run(&f, "log.subscribe", &args);
}
