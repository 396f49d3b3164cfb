/* SPDX-License-Identifier: Apache-2.0 */
/*
 * out: safe text, tables, colours.
 *
 * Nothing that came from the broker reaches a terminal without passing here,
 * but for what was asked for as raw bytes (kv get, artifacts cat).
 */
#include "ctl/out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/json.h"

void out_json(struct slice packed, struct buf *out)
{
	json_write(packed, false, out);
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

void out_paint(enum out_color color, struct buf *out)
{
	static const char *const codes[] = {"0", "31", "32", "33", "2", "1"};
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if ((no && *no) || !term || strcmp(term, "dumb") == 0 ||
	    !isatty(STDOUT_FILENO))
		return;
	buf_addf(out, "\x1b[%sm", codes[color]);
}

/* A byte before the text, which out_safe() lets nobody else write. */
void out_cell_paint(struct out_table *t, enum out_color color)
{
	buf_add(&t->cells, &(uint8_t){(uint8_t)color}, color != OUT_PLAIN);
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
		n += ((uint8_t)*s & 0xc0) != 0x80 && (uint8_t)*s >= 0x20;
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

static void add_cell(const char *cell, struct buf *line)
{
	uint8_t first = (uint8_t)*cell;

	if (first == 0 || first >= 0x20) {
		buf_addf(line, "%s", cell);
		return;
	}
	out_paint((enum out_color)first, line);
	buf_addf(line, "%s", cell + 1);
	out_paint(OUT_PLAIN, line);
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
		add_cell(cell, line);
		pad(line, last ? 0 : 2 + (right ? 0 : gap));
		while (last && !*cell && line->n && line->p[line->n - 1] == ' ')
			line->n--;
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
