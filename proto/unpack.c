/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack: the cursor of unpack.h. Start at take(), which every read uses: it
 * is the only place that moves the cursor.
 */
#include "proto/unpack.h"

#include "proto/scan.h"

static bool fail(struct cursor *c, int code)
{
	if (!c->error)
		c->error = code;
	c->p = c->end;
	return false;
}

/* n bytes, or NULL and a sticky error. */
static const uint8_t *take(struct cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if ((size_t)(c->end - p) < n) {
		fail(c, ERR_FORMAT);
		return NULL;
	}
	c->p += n;
	return p;
}

static uint64_t take_be(struct cursor *c, size_t width)
{
	const uint8_t *p = take(c, width);
	uint64_t v = 0;

	if (!p)
		return 0;
	while (width--)
		v = v << 8 | *p++;
	return v;
}

enum cursor_type cursor_peek(const struct cursor *c)
{
	uint8_t b;

	if (c->error || c->p == c->end)
		return CURSOR_END;
	b = *c->p;
	if (b < 0x80 || b >= 0xe0 || (b >= 0xcc && b <= 0xd3))
		return CURSOR_INT;
	if (b <= 0x8f || b == 0xde || b == 0xdf)
		return CURSOR_MAP;
	if (b <= 0x9f || b == 0xdc || b == 0xdd)
		return CURSOR_ARRAY;
	if (b <= 0xbf || (b >= 0xd9 && b <= 0xdb))
		return CURSOR_STR;
	if (b == 0xc0)
		return CURSOR_NIL;
	if (b == 0xc2 || b == 0xc3)
		return CURSOR_BOOL;
	if (b >= 0xc4 && b <= 0xc6)
		return CURSOR_BIN;
	if (b == 0xca || b == 0xcb)
		return CURSOR_FLOAT;
	return b == 0xc1 ? CURSOR_END : CURSOR_EXT;
}

static uint8_t take_head(struct cursor *c)
{
	const uint8_t *p = c->error ? NULL : take(c, 1);

	return p ? *p : 0xc1;
}

uint32_t cursor_array(struct cursor *c)
{
	uint8_t b = take_head(c);

	if (b >= 0x90 && b <= 0x9f)
		return b & 0x0f;
	if (b == 0xdc || b == 0xdd)
		return (uint32_t)take_be(c, b == 0xdc ? 2 : 4);
	fail(c, ERR_TYPE);
	return 0;
}

uint32_t cursor_map(struct cursor *c)
{
	uint8_t b = take_head(c);

	if (b >= 0x80 && b <= 0x8f)
		return b & 0x0f;
	if (b == 0xde || b == 0xdf)
		return (uint32_t)take_be(c, b == 0xde ? 2 : 4);
	fail(c, ERR_TYPE);
	return 0;
}

struct slice cursor_text(struct cursor *c)
{
	uint8_t b = take_head(c);
	const uint8_t *p;
	size_t n;

	if (b >= 0xa0 && b <= 0xbf)
		n = b & 0x1f;
	else if (b >= 0xd9 && b <= 0xdb)
		n = take_be(c, (size_t)1 << (b - 0xd9));
	else if (b >= 0xc4 && b <= 0xc6)
		n = take_be(c, (size_t)1 << (b - 0xc4));
	else {
		fail(c, ERR_TYPE);
		return (struct slice){0};
	}
	p = c->error ? NULL : take(c, n);
	return p ? slice_of(p, n) : (struct slice){0};
}

/* An integer as sign and magnitude bits; false when it is none. */
static bool take_integer(struct cursor *c, uint64_t *bits, bool *negative)
{
	uint8_t b = take_head(c);
	size_t width;

	*negative = false;
	if (b < 0x80 || b >= 0xe0) {
		*bits = (uint64_t)(int64_t)(int8_t)b;
		*negative = b >= 0xe0;
		return true;
	}
	if (b < 0xcc || b > 0xd3)
		return fail(c, ERR_TYPE);
	width = (size_t)1 << ((b - 0xcc) & 3);
	*bits = take_be(c, width);
	if (b >= 0xd0) {
		unsigned shift = (unsigned)(64 - 8 * width);

		*bits = (uint64_t)((int64_t)(*bits << shift) >> shift);
		*negative = (int64_t)*bits < 0;
	}
	return !c->error;
}

int64_t cursor_int(struct cursor *c)
{
	uint64_t bits;
	bool negative;

	if (!take_integer(c, &bits, &negative))
		return 0;
	if (!negative && bits > INT64_MAX) {
		fail(c, ERR_TYPE);
		return 0;
	}
	return (int64_t)bits;
}

uint64_t cursor_uint(struct cursor *c)
{
	uint64_t bits;
	bool negative;

	if (!take_integer(c, &bits, &negative))
		return 0;
	if (negative) {
		fail(c, ERR_TYPE);
		return 0;
	}
	return bits;
}

double cursor_number(struct cursor *c)
{
	uint64_t bits;
	bool negative;

	if (cursor_peek(c) == CURSOR_FLOAT) {
		double d = 0;

		if (take_head(c) == 0xca) {
			uint32_t word = (uint32_t)take_be(c, 4);
			float f;

			memcpy(&f, &word, sizeof(f));
			return (double)f;
		}
		bits = take_be(c, 8);
		memcpy(&d, &bits, sizeof(d));
		return d;
	}
	if (!take_integer(c, &bits, &negative))
		return 0;
	return negative ? (double)(int64_t)bits : (double)bits;
}

bool cursor_bool(struct cursor *c)
{
	uint8_t b = take_head(c);

	if (b != 0xc2 && b != 0xc3)
		return fail(c, ERR_TYPE);
	return b == 0xc3;
}

struct slice cursor_ext(struct cursor *c, int8_t *type)
{
	uint8_t b = take_head(c);
	const uint8_t *p;
	size_t n;

	*type = 0;
	if (b >= 0xd4 && b <= 0xd8) {
		n = (size_t)1 << (b - 0xd4);
	} else if (b >= 0xc7 && b <= 0xc9) {
		n = take_be(c, (size_t)1 << (b - 0xc7));
	} else {
		fail(c, ERR_TYPE);
		return (struct slice){0};
	}
	*type = (int8_t)take_be(c, 1);
	p = c->error ? NULL : take(c, n);
	return p ? slice_of(p, n) : (struct slice){0};
}

bool cursor_nil(struct cursor *c)
{
	if (c->error || c->p == c->end || *c->p != 0xc0)
		return false;
	c->p++;
	return true;
}

/* Strings, small integers, nil and booleans are nearly all that is skipped;
 * what is left goes through the scan. */
void cursor_skip(struct cursor *c)
{
	struct scan s;
	size_t len;
	uint8_t b;

	if (c->error || c->p == c->end) {
		fail(c, ERR_FORMAT);
		return;
	}
	b = *c->p;
	if (b < 0x80 || b >= 0xe0 || (b >= 0xc2 && b <= 0xc3) || b == 0xc0) {
		c->p++;
		return;
	}
	if (b >= 0xa0 && b <= 0xbf) {
		take(c, 1 + (size_t)(b & 0x1f));
		return;
	}
	scan_init(&s, (size_t)(c->end - c->p));
	if (scan_next(&s, slice_of(c->p, (size_t)(c->end - c->p)), &len) != 1) {
		fail(c, ERR_FORMAT);
		return;
	}
	c->p += len;
}

struct slice cursor_raw(struct cursor *c)
{
	const uint8_t *start = c->p;

	cursor_skip(c);
	if (c->error)
		return (struct slice){0};
	return slice_of(start, (size_t)(c->p - start));
}

bool map_find(struct slice value, const char *key, struct slice *found)
{
	struct cursor c = cursor_of(value);
	struct slice want = slice_str(key);
	uint32_t n;

	if (cursor_peek(&c) != CURSOR_MAP)
		return false;
	for (n = cursor_map(&c); n > 0 && !c.error; n--) {
		enum cursor_type type = cursor_peek(&c);

		if ((type == CURSOR_STR || type == CURSOR_BIN) &&
		    slice_eq(cursor_text(&c), want)) {
			*found = cursor_raw(&c);
			return !c.error;
		}
		if (type != CURSOR_STR && type != CURSOR_BIN)
			cursor_skip(&c);
		cursor_skip(&c);
	}
	return false;
}

struct slice map_text(struct slice value, const char *key)
{
	struct slice raw;
	struct cursor c;

	if (!map_find(value, key, &raw))
		return slice_of(NULL, 0);
	c = cursor_of(raw);
	return cursor_text(&c);
}
