/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_write: one packed value as JSON. Keys that are no text are written as
 * text, since JSON has no others.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/json.h"
#include "lib/base64.h"
#include "proto/unpack.h"

/* Where the value stands; pretty < 0: all on one line. */
struct writer {
	struct buf *out;
	int indent;
};

void base64_write(struct slice s, struct buf *out)
{
	uint8_t *room;

	if (buf_reserve(out, base64_size(s.n), &room) < 0)
		return;
	base64_encode(s, (char *)room);
	buf_commit(out, base64_size(s.n));
}

void json_write_string(struct slice s, struct buf *out)
{
	buf_add_byte(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", c);
		else if (c == '\n')
			buf_addf(out, "\\n");
		else if (c < 0x20 || c == 0x7f)
			buf_addf(out, "\\u%04x", c);
		else if (c == 0xc2 && i + 1 < s.n && s.p[i + 1] < 0xa0)
			buf_addf(out, "\\u%04x", s.p[++i]); /* C1 controls */
		else
			buf_add_byte(out, c);
	}
	buf_add_byte(out, '"');
}

static void text(struct slice s, struct buf *out)
{
	if (slice_is_utf8(s)) {
		json_write_string(s, out);
		return;
	}
	buf_addf(out, "{\"$base64\":\"");
	base64_write(s, out);
	buf_addf(out, "\"}");
}

static void key(struct cursor *c, struct buf *out)
{
	enum cursor_type type = cursor_peek(c);
	struct buf inner = {0};
	struct slice s;

	if (type == CURSOR_STR || type == CURSOR_BIN) {
		s = cursor_text(c);
		if (slice_is_utf8(s)) {
			json_write_string(s, out);
			return;
		}
		buf_addf(&inner, "base64:");
		base64_write(s, &inner);
	} else {
		json_write(cursor_raw(c), false, &inner);
	}
	json_write_string(buf_slice(&inner), out);
	buf_fini(&inner);
}

/* The shortest text that reads back as the same; JSON keeps floats apart
 * from integers by the point. */
static void number(double v, struct buf *out)
{
	char s[40];

	if (!isfinite(v)) {
		buf_addf(out, "null");
		return;
	}
	snprintf(s, sizeof(s), "%.15g", v);
	if (strtod(s, NULL) != v)
		snprintf(s, sizeof(s), "%.17g", v);
	buf_addf(out, "%s%s", s, s[strcspn(s, ".e")] ? "" : ".0");
}

static void integer(struct cursor *c, struct buf *out)
{
	struct cursor again = *c;
	int64_t v = cursor_int(c);

	if (!c->error) {
		buf_addf(out, "%" PRId64, v);
		return;
	}
	*c = again; /* above int64 */
	buf_addf(out, "%" PRIu64, cursor_uint(c));
}

static void line(struct writer *w)
{
	if (w->indent < 0)
		return;
	buf_add_byte(w->out, '\n');
	for (int i = 0; i < w->indent; i++)
		buf_addf(w->out, "  ");
}

static void value(struct writer *w, struct cursor *c);

/* A pair of a map, or an element of an array. */
static void element(struct writer *w, struct cursor *c, bool pair)
{
	if (pair) {
		key(c, w->out);
		buf_addf(w->out, w->indent < 0 ? ":" : ": ");
	}
	value(w, c);
}

static void container(struct writer *w, struct cursor *c, bool map)
{
	uint32_t n = map ? cursor_map(c) : cursor_array(c);
	/* [name, value] of headers stays on one line */
	int outer = w->indent;

	buf_add_byte(w->out, map ? '{' : '[');
	if (outer >= 0)
		w->indent = !map && n <= 2 ? -1 : outer + 1;
	for (uint32_t i = 0; i < n && !c->error; i++) {
		if (i > 0)
			buf_addf(w->out,
				 outer >= 0 && w->indent < 0 ? ", " : ",");
		line(w);
		element(w, c, map);
	}
	if (n > 0 && outer >= 0 && w->indent >= 0) {
		w->indent = outer;
		line(w);
	}
	w->indent = outer;
	buf_add_byte(w->out, map ? '}' : ']');
}

/* The depth is bounded by the scan that the message has passed. */
static void value(struct writer *w, struct cursor *c)
{
	switch (cursor_peek(c)) {
	case CURSOR_BOOL:
		buf_addf(w->out, cursor_bool(c) ? "true" : "false");
		break;
	case CURSOR_INT:
		integer(c, w->out);
		break;
	case CURSOR_FLOAT:
		number(cursor_number(c), w->out);
		break;
	case CURSOR_STR:
	case CURSOR_BIN:
		text(cursor_text(c), w->out);
		break;
	case CURSOR_ARRAY:
		container(w, c, false);
		break;
	case CURSOR_MAP:
		container(w, c, true);
		break;
	default:
		cursor_skip(c);
		buf_addf(w->out, "null");
	}
}

void json_write(struct slice packed, bool pretty, struct buf *out)
{
	struct writer w = {.out = out, .indent = pretty ? 0 : -1};
	struct cursor c = cursor_of(packed);

	value(&w, &c);
}
