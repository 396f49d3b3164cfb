/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slices: comparison, and UTF-8 against a table and against a decoder that
 * was written another way.
 */
#include <criterion/criterion.h>
#include <limits.h>

#include "lib/slice.h"

#define S(text) slice_of((text), sizeof(text) - 1)

Test(slice, utf8_table)
{
	const struct {
		struct slice s;
		bool ok;
	} rows[] = {
		{{NULL, 0}, true},
		{S("plain ASCII, longer than eight bytes"), true},
		{S("\0\x01\x7f"), true},
		{S("\xc2\x80"), true},	    /* U+0080, the first of two bytes */
		{S("\xdf\xbf"), true},	    /* U+07FF */
		{S("\xc0\x80"), false},	    /* overlong NUL */
		{S("\xc1\xbf"), false},	    /* overlong DEL */
		{S("\xe0\xa0\x80"), true},  /* U+0800 */
		{S("\xe0\x9f\xbf"), false}, /* overlong U+07FF */
		{S("\xed\x9f\xbf"), true},  /* U+D7FF */
		{S("\xed\xa0\x80"), false}, /* U+D800, a surrogate */
		{S("\xed\xbf\xbf"), false}, /* U+DFFF */
		{S("\xee\x80\x80"), true},  /* U+E000 */
		{S("\xef\xbf\xbf"), true},  /* U+FFFF */
		{S("\xf0\x90\x80\x80"), true},	/* U+10000 */
		{S("\xf0\x8f\xbf\xbf"), false}, /* overlong U+FFFF */
		{S("\xf4\x8f\xbf\xbf"), true},	/* U+10FFFF */
		{S("\xf4\x90\x80\x80"), false}, /* U+110000 */
		{S("\xf5\x80\x80\x80"), false},
		{S("\xff"), false},
		{S("\x80"), false}, /* a continuation by itself */
		{S("\xc2"), false},
		{S("\xe2\x82"), false}, /* cut off */
		{S("\xf0\x9f\x98"), false},
		{S("\xc2\x41"), false},
		{S("\xe2\x28\xa1"), false},
		{S("\xf0\x9f\x28\x80"), false},
		{S("12345678\xe2\x82\xac"
		   "12345678\xf0\x9f\x98\x80"),
		 true},
		{S("1234567\xe2\x82\xac"), true}, /* across the word */
		{S("12345678\xe2\x82"), false},
		{S("1234567\x80"), false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(slice_is_utf8(rows[i].s), rows[i].ok, "row %zu",
			     i);
}

/* By decoding to code points; the one under test never does that. */
static bool decodes(const uint8_t *p, size_t n)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

	while (n > 0) {
		size_t len = *p < 0x80		   ? 1
			     : (*p & 0xe0) == 0xc0 ? 2
			     : (*p & 0xf0) == 0xe0 ? 3
			     : (*p & 0xf8) == 0xf0 ? 4
						   : 0;
		uint32_t point;

		if (len == 0 || len > n)
			return false;
		point = len == 1 ? *p : *p & (0x7fu >> len);
		for (size_t i = 1; i < len; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return false;
			point = point << 6 | (p[i] & 0x3f);
		}
		if (point < least[len] || point > 0x10ffff ||
		    (point >= 0xd800 && point <= 0xdfff))
			return false;
		p += len;
		n -= len;
	}
	return true;
}

Test(slice, utf8_all_short_sequences)
{
	uint8_t b[4];

	for (uint32_t v = 0; v < 1u << 16; v++) {
		b[0] = (uint8_t)(v >> 8);
		b[1] = (uint8_t)v;
		cr_assert_eq(slice_is_utf8(slice_of(b, 2)), decodes(b, 2),
			     "%04x", v);
	}
	/* Every lead with every second byte, and edges behind them. */
	for (uint32_t v = 0; v < 1u << 16; v++) {
		static const uint8_t edge[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0};

		b[0] = (uint8_t)(v >> 8);
		b[1] = (uint8_t)v;
		for (size_t i = 0; i < 25; i++) {
			b[2] = edge[i / 5];
			b[3] = edge[i % 5];
			cr_assert_eq(slice_is_utf8(slice_of(b, 4)),
				     decodes(b, 4), "%04x %02x%02x", v, b[2],
				     b[3]);
		}
	}
}

Test(slice, utf8_of_every_length_and_place)
{
	uint8_t b[40];

	for (size_t n = 0; n <= sizeof(b); n++)
		for (size_t at = 0; at < n; at++) {
			memset(b, 'a', sizeof(b));
			b[at] = 0xff;
			cr_assert(!slice_is_utf8(slice_of(b, n)), "%zu at %zu",
				  n, at);
			b[at] = 0xc3;
			if (at + 1 < n)
				b[at + 1] = 0xa4;
			cr_assert_eq(slice_is_utf8(slice_of(b, n)), at + 1 < n,
				     "%zu at %zu", n, at);
		}
}

Test(slice, comparing)
{
	cr_assert(slice_eq(slice_of(NULL, 0), slice_str("")));
	cr_assert(slice_eq(S("a\0b"), S("a\0b")));
	cr_assert(!slice_eq(S("a\0b"), S("a\0c")));
	cr_assert(!slice_is(S("ab\0"), "ab"));
	cr_assert(slice_starts(S("abc"), slice_of(NULL, 0)));
	cr_assert(slice_starts(S("abc"), S("abc")));
	cr_assert(!slice_starts(S("ab"), S("abc")));
	cr_assert_eq(slice_cmp(slice_of(NULL, 0), slice_of(NULL, 0)), 0);
	cr_assert_eq(slice_cmp(S("a"), S("ab")), -1);
	cr_assert_eq(slice_cmp(S("b"), S("ab")), 1);
	cr_assert_eq(slice_cmp(S("\x7f"), S("\x80")), -1);
	cr_assert_eq(slice_cmp(S("ab"), S("ab")), 0);
}

Test(slice, distance)
{
	char longer[SLICE_NEAR + 1] = {0};

	cr_assert_eq(slice_distance(S(""), S("")), 0);
	cr_assert_eq(slice_distance(S("abc"), S("abc")), 0);
	cr_assert_eq(slice_distance(S(""), S("abc")), 3);
	cr_assert_eq(slice_distance(S("stauts"), S("status")), 2);
	cr_assert_eq(slice_distance(S("kv"), S("kx")), 1);
	cr_assert_eq(slice_distance(S("kitten"), S("sitting")), 3);
	cr_assert_eq(slice_distance(slice_of(longer, SLICE_NEAR + 1), S("a")),
		     UINT_MAX);
	cr_assert_eq(slice_distance(S("a"), slice_of(longer, SLICE_NEAR + 1)),
		     UINT_MAX);
	cr_assert_eq(slice_distance(slice_of(longer, SLICE_NEAR),
				    slice_of(longer, SLICE_NEAR)),
		     0);
}
