/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: reading, in one pass by recursive descent; json_write.c writes. The
 * packed heads of containers are written with room for any count, which is
 * filled in behind the last element.
 */
#include "ctl/json.h"

#include "lib/base64.h"
#include <errno.h>
#include <stdlib.h>

#include "proto/pack.h"

enum { HEAD = 5, NUMBER_MAX = 64 };

struct reader {
	struct slice text;
	size_t at;
	unsigned depth;
	struct buf *out;
	int error;
	size_t wrong_at;
	const char *what;
};

static void wrong(struct reader *r, int error, const char *what)
{
	if (r->error)
		return;
	r->error = error;
	r->wrong_at = r->at;
	r->what = what;
}

static int peek(struct reader *r)
{
	while (r->at < r->text.n && strchr(" \t\r\n", r->text.p[r->at]) &&
	       r->text.p[r->at])
		r->at++;
	return r->at < r->text.n && !r->error ? r->text.p[r->at] : -1;
}

static bool take(struct reader *r, char c)
{
	if (peek(r) != c)
		return false;
	r->at++;
	return true;
}

/* ---- strings ----------------------------------------------------------- */

static int hex4(struct reader *r)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		int c = r->at < r->text.n ? r->text.p[r->at] : 0;
		int low = c | 0x20;

		if (c >= '0' && c <= '9')
			v = v * 16 + c - '0';
		else if (low >= 'a' && low <= 'f')
			v = v * 16 + low - 'a' + 10;
		else
			return -1;
		r->at++;
	}
	return v;
}

static void add_utf8(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_add_byte(out, (uint8_t)c);
		return;
	}
	if (c < 0x800) {
		buf_add_byte(out, (uint8_t)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			buf_add_byte(out, (uint8_t)(0xe0 | c >> 12));
		} else {
			buf_add_byte(out, (uint8_t)(0xf0 | c >> 18));
			buf_add_byte(out, (uint8_t)(0x80 | (c >> 12 & 63)));
		}
		buf_add_byte(out, (uint8_t)(0x80 | (c >> 6 & 63)));
	}
	buf_add_byte(out, (uint8_t)(0x80 | (c & 63)));
}

/* Behind \u: one code point, from two halves when need be. */
static void unicode(struct reader *r, struct buf *out)
{
	int c = hex4(r), low = -1;

	if (c >= 0xd800 && c < 0xdc00) {
		if (r->at + 2 <= r->text.n && r->text.p[r->at] == '\\' &&
		    r->text.p[r->at + 1] == 'u') {
			r->at += 2;
			low = hex4(r);
		}
		c = low >= 0xdc00 && low < 0xe000
			    ? 0x10000 + ((c - 0xd800) << 10) + low - 0xdc00
			    : -1;
	} else if (c >= 0xdc00 && c < 0xe000) {
		c = -1;
	}
	if (c < 0)
		wrong(r, ERR_FORMAT,
		      "\\u: expected four hex digits that are "
		      "a character");
	else
		add_utf8(out, (uint32_t)c);
}

static void escape(struct reader *r, struct buf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	int c = r->at < r->text.n ? r->text.p[r->at++] : 0;
	const char *known = c ? strchr(from, c) : NULL;

	if (c == 'u')
		unicode(r, out);
	else if (known)
		buf_add_byte(out, (uint8_t)to[known - from]);
	else
		wrong(r, ERR_FORMAT,
		      "unknown escape, expected one of "
		      "\\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
}

/* The opening quote has been seen. */
static void string(struct reader *r, struct buf *out)
{
	r->at++;
	for (;;) {
		uint8_t c;

		if (r->error)
			return;
		if (r->at >= r->text.n) {
			wrong(r, ERR_FORMAT, "the string does not end");
			return;
		}
		c = r->text.p[r->at];
		if (c < 0x20) {
			wrong(r, ERR_FORMAT,
			      "a control character in a "
			      "string, expected an escape");
			return;
		}
		r->at++;
		if (c == '"')
			break;
		if (c == '\\')
			escape(r, out);
		else
			buf_add_byte(out, c);
	}
	if (!slice_is_utf8(buf_slice(out)))
		wrong(r, ERR_FORMAT,
		      "a string that is not UTF-8, expected "
		      "{\"$base64\": \"...\"} for bytes");
}

static void string_value(struct reader *r)
{
	struct buf text = {0};

	string(r, &text);
	if (!r->error)
		pack_str(r->out, buf_slice(&text));
	if (buf_error(&text) < 0)
		r->out->error = buf_error(&text);
	buf_fini(&text);
}

int base64_read(struct slice s, struct buf *out)
{
	ptrdiff_t n, wrong;
	uint8_t *room;

	if (buf_reserve(out, base64_room(s.n), &room) < 0)
		return buf_error(out);
	n = base64_decode(s, room, &wrong);
	if (n < 0)
		return ERR_FORMAT;
	buf_commit(out, (size_t)n);
	return OK;
}

/* ---- the rest ---------------------------------------------------------- */

static void value(struct reader *r);

static void word(struct reader *r, const char *text)
{
	size_t n = strlen(text);

	if (r->text.n - r->at < n || memcmp(r->text.p + r->at, text, n) != 0) {
		wrong(r, ERR_FORMAT,
		      "expected a value: a map, an array, a "
		      "string, a number, true, false or null");
		return;
	}
	r->at += n;
	if (*text == 'n')
		pack_nil(r->out);
	else
		pack_bool(r->out, *text == 't');
}

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* As JSON has them: no plus, no leading zero, digits around a point. */
static bool number_ok(const char *s, bool *whole)
{
	size_t n;

	s += *s == '-';
	n = digits(s);
	if (n == 0 || (n > 1 && *s == '0'))
		return false;
	s += n;
	*whole = !*s;
	if (*s == '.') {
		n = digits(++s);
		if (n == 0)
			return false;
		s += n;
	}
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		n = digits(s);
		if (n == 0)
			return false;
		s += n;
	}
	return !*s;
}

static void number(struct reader *r)
{
	char text[NUMBER_MAX + 1];
	bool whole = false;
	size_t n = 0;
	long long v;

	while (r->at + n < r->text.n && n < NUMBER_MAX &&
	       r->text.p[r->at + n] &&
	       strchr("+-0123456789.eE", r->text.p[r->at + n]))
		n++;
	memcpy(text, r->text.p + r->at, n);
	text[n] = 0;
	if (!number_ok(text, &whole)) {
		wrong(r, ERR_FORMAT, "expected a number such as -12 or 0.5e3");
		return;
	}
	r->at += n;
	errno = 0;
	v = strtoll(text, NULL, 10);
	if (whole && !errno) {
		pack_int(r->out, v);
		return;
	}
	errno = 0;
	if (whole && *text != '-') {
		unsigned long long u = strtoull(text, NULL, 10);

		if (!errno) {
			pack_uint(r->out, u);
			return;
		}
	}
	pack_double(r->out, strtod(text, NULL));
}

static size_t open_head(struct reader *r, uint8_t type)
{
	const uint8_t head[HEAD] = {type, 0, 0, 0, 0};
	size_t at = r->out->n;

	buf_add(r->out, head, HEAD);
	r->at++;
	if (++r->depth > JSON_DEPTH)
		wrong(r, ERR_RANGE, "nested too deep");
	return at;
}

static void close_head(struct reader *r, size_t at, uint32_t n)
{
	r->depth--;
	for (size_t i = 0; i < 4 && !buf_error(r->out); i++)
		r->out->p[at + 1 + i] = (uint8_t)(n >> (24 - 8 * i));
}

static void array(struct reader *r)
{
	size_t at = open_head(r, 0xdd);
	uint32_t n = 0;

	if (!take(r, ']')) {
		do {
			value(r);
			n++;
		} while (take(r, ','));
		if (!take(r, ']'))
			wrong(r, ERR_FORMAT, "expected , or ]");
	}
	close_head(r, at, n);
}

/* {"$base64": "..."} was read as a map; it stands at `at`. */
static void as_bytes(struct reader *r, size_t at, struct slice text)
{
	struct buf bytes = {0};

	if (base64_read(text, &bytes) < 0)
		wrong(r, ERR_FORMAT, "$base64: expected base64 with padding");
	r->out->n = at;
	pack_bin(r->out, buf_slice(&bytes));
	buf_fini(&bytes);
}

/* A key and its colon; true: it is $base64 and a string follows. */
static bool pair_key(struct reader *r)
{
	struct buf text = {0};
	bool bytes;

	if (peek(r) != '"') {
		wrong(r, ERR_FORMAT, "expected a key in double quotes");
		return false;
	}
	string(r, &text);
	pack_str(r->out, buf_slice(&text));
	bytes = slice_is(buf_slice(&text), "$base64");
	buf_fini(&text);
	if (!take(r, ':'))
		wrong(r, ERR_FORMAT, "expected : behind the key");
	return bytes && peek(r) == '"';
}

static void map(struct reader *r)
{
	size_t at = open_head(r, 0xdf);
	struct buf bytes = {0};
	bool is_bytes = false;
	uint32_t n = 0;

	if (!take(r, '}')) {
		do {
			if (pair_key(r)) {
				is_bytes = true;
				buf_clear(&bytes);
				string(r, &bytes);
				pack_str(r->out, buf_slice(&bytes));
			} else if (!r->error) {
				value(r);
			}
			n++;
		} while (take(r, ','));
		if (!take(r, '}'))
			wrong(r, ERR_FORMAT, "expected , or }");
	}
	close_head(r, at, n);
	if (is_bytes && n == 1 && !r->error)
		as_bytes(r, at, buf_slice(&bytes));
	buf_fini(&bytes);
}

static void value(struct reader *r)
{
	int c = peek(r);

	if (r->error)
		return;
	if (c == '{')
		map(r);
	else if (c == '[')
		array(r);
	else if (c == '"')
		string_value(r);
	else if (c == '-' || (c >= '0' && c <= '9'))
		number(r);
	else
		word(r, c == 't' ? "true" : c == 'f' ? "false" : "null");
}

static void locate(const struct reader *r, struct json_error *error)
{
	*error = (struct json_error){1, 1, r->what};
	for (size_t i = 0; i < r->wrong_at && i < r->text.n; i++) {
		error->column++;
		if (r->text.p[i] == '\n') {
			error->line++;
			error->column = 1;
		}
	}
}

int json_read(struct slice text, struct buf *out, struct json_error *error)
{
	struct reader r = {.text = text, .out = out};

	if (text.n > JSON_MAX)
		wrong(&r, ERR_RANGE, "larger than 16 MiB");
	value(&r);
	if (!r.error && peek(&r) >= 0)
		wrong(&r, ERR_FORMAT, "expected nothing behind the value");
	locate(&r, error);
	return r.error ? r.error : buf_error(out);
}
