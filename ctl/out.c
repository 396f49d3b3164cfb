/* SPDX-License-Identifier: Apache-2.0 */
/*
 * out: JSON, safe text and tables.
 *
 * Nothing that came from the broker reaches a terminal without passing here,
 * but for what was asked for as raw bytes (kv get, artifacts cat).
 */
#include "ctl/out.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include "ctl/ctl.h"
#include "proto/unpack.h"

static void base64(struct slice s, struct buf *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < s.n; i += 3) {
		size_t left = s.n - i;
		uint32_t v = (uint32_t)s.p[i] << 16;

		if (left > 1)
			v |= (uint32_t)s.p[i + 1] << 8;
		if (left > 2)
			v |= s.p[i + 2];
		buf_add_byte(out, (uint8_t)digits[v >> 18]);
		buf_add_byte(out, (uint8_t)digits[v >> 12 & 63]);
		buf_add_byte(out,
			     left > 1 ? (uint8_t)digits[v >> 6 & 63] : '=');
		buf_add_byte(out, left > 2 ? (uint8_t)digits[v & 63] : '=');
	}
}

void out_json_string(struct slice s, struct buf *out)
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
		else
			buf_add_byte(out, c);
	}
	buf_add_byte(out, '"');
}

static void text(struct slice s, struct buf *out)
{
	if (slice_is_utf8(s)) {
		out_json_string(s, out);
		return;
	}
	buf_addf(out, "{\"base64\":\"");
	base64(s, out);
	buf_addf(out, "\"}");
}

/* JSON's keys are strings, so other keys are written as such. */
static void key(struct cursor *c, struct buf *out)
{
	enum cursor_type type = cursor_peek(c);
	struct buf inner = {0};
	struct slice s;

	if (type == CURSOR_STR || type == CURSOR_BIN) {
		s = cursor_text(c);
		if (slice_is_utf8(s)) {
			out_json_string(s, out);
			return;
		}
		buf_addf(&inner, "base64:");
		base64(s, &inner);
	} else {
		out_json(cursor_raw(c), &inner);
	}
	out_json_string(buf_slice(&inner), out);
	buf_fini(&inner);
}

static void number(double v, struct buf *out)
{
	if (isfinite(v))
		buf_addf(out, "%.17g", v);
	else
		buf_addf(out, "null");
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

/* The depth is bounded by the scan that the message has passed. */
static void value(struct cursor *c, struct buf *out)
{
	uint32_t n, i;

	switch (cursor_peek(c)) {
	case CURSOR_BOOL:
		buf_addf(out, cursor_bool(c) ? "true" : "false");
		break;
	case CURSOR_INT:
		integer(c, out);
		break;
	case CURSOR_FLOAT:
		number(cursor_number(c), out);
		break;
	case CURSOR_STR:
	case CURSOR_BIN:
		text(cursor_text(c), out);
		break;
	case CURSOR_ARRAY:
		n = cursor_array(c);
		buf_add_byte(out, '[');
		for (i = 0; i < n && !c->error; i++) {
			buf_add(out, ",", i > 0);
			value(c, out);
		}
		buf_add_byte(out, ']');
		break;
	case CURSOR_MAP:
		n = cursor_map(c);
		buf_add_byte(out, '{');
		for (i = 0; i < n && !c->error; i++) {
			buf_add(out, ",", i > 0);
			key(c, out);
			buf_add_byte(out, ':');
			value(c, out);
		}
		buf_add_byte(out, '}');
		break;
	default:
		cursor_skip(c);
		buf_addf(out, "null");
	}
}

void out_json(struct slice packed, struct buf *out)
{
	struct cursor c = cursor_of(packed);

	value(&c, out);
}

/* Bytes of the well-formed UTF-8 character at s.p[0], or 0. */
static size_t character(struct slice s)
{
	for (size_t n = 1; n <= 4 && n <= s.n; n++) {
		if (slice_is_utf8(slice_of(s.p, n)))
			return n;
	}
	return 0;
}

void out_safe(struct slice s, struct buf *out)
{
	while (s.n > 0) {
		size_t n = character(s);
		/* C1 controls are two bytes: c2 80 to c2 9f */
		bool control = (n == 1 && (s.p[0] < 0x20 || s.p[0] == 0x7f)) ||
			       (n == 2 && s.p[0] == 0xc2 && s.p[1] < 0xa0);

		if (n == 0 || control) {
			buf_addf(out, "\\x%02x", s.p[0]);
			n = 1;
		} else {
			buf_add(out, s.p, n);
		}
		s = slice_of(s.p + n, s.n - n);
	}
}

void out_time(int64_t ms, struct buf *out)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	char s[40];

	if (ms < 0 || !gmtime_r(&seconds, &tm)) {
		buf_addf(out, "%" PRId64, ms);
		return;
	}
	strftime(s, sizeof(s), "%Y-%m-%dT%H:%M:%S", &tm);
	buf_addf(out, "%s.%03dZ", s, (int)(ms % 1000));
}

int out_line(struct buf *line)
{
	buf_add_byte(line, '\n');
	if (buf_error(line))
		return ctl_fail(CTL_REFUSED, "out of memory");
	if (fwrite(line->p, 1, line->n, stdout) != line->n || fflush(stdout))
		return ctl_fail(CTL_REFUSED, "cannot write: %s",
				strerror(errno));
	buf_clear(line);
	return CTL_OK;
}

int out_value(struct slice packed)
{
	struct buf line = {0};
	int rc;

	out_json(packed, &line);
	rc = out_line(&line);
	buf_fini(&line);
	return rc;
}

void out_cell_slice(struct out_table *t, struct slice s)
{
	out_safe(s, &t->cells);
	buf_add_byte(&t->cells, 0);
}

void out_cell(struct out_table *t, const char *fmt, ...)
{
	char s[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s, sizeof(s), fmt, ap);
	va_end(ap);
	out_cell_slice(t, slice_str(s));
}

/* Characters, not bytes: the bytes that start one are counted. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((uint8_t)*s & 0xc0) != 0x80;
	return n;
}

static const char *after(const char *cell)
{
	return cell + strlen(cell) + 1;
}

static void pad(struct buf *line, size_t n)
{
	while (n-- > 0)
		buf_add_byte(line, ' ');
}

static int print_rows(const struct out_table *t, const size_t *wide,
		      struct buf *line)
{
	const char *cell = (const char *)t->cells.p;
	const char *end = cell + t->cells.n;
	unsigned column = 0;
	int rc = CTL_OK;

	for (; cell < end && rc == CTL_OK; cell = after(cell)) {
		size_t gap = wide[column] - width(cell);
		bool right = t->right >> column & 1;
		bool last = column + 1 == t->columns;

		pad(line, right ? gap : 0);
		buf_addf(line, "%s", cell);
		pad(line, last ? 0 : 2 + (right ? 0 : gap));
		column = last ? 0 : column + 1;
		if (last)
			rc = out_line(line);
	}
	return rc;
}

int out_table(struct out_table *t)
{
	size_t wide[OUT_COLUMNS] = {0};
	struct buf line = {0};
	const char *cell = (const char *)t->cells.p;
	unsigned column = 0;
	int rc;

	must(t->columns > 0 && t->columns <= OUT_COLUMNS);
	if (buf_error(&t->cells)) {
		buf_fini(&t->cells);
		return ctl_fail(CTL_REFUSED, "out of memory");
	}
	for (size_t at = 0; at < t->cells.n; cell = after(cell)) {
		size_t w = width(cell);

		if (w > wide[column])
			wide[column] = w;
		at += strlen(cell) + 1;
		column = (column + 1) % t->columns;
	}
	rc = print_rows(t, wide, &line);
	buf_fini(&line);
	buf_fini(&t->cells);
	return rc;
}
