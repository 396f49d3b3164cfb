/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writer and cursor: every type there and back at its boundaries, errors of
 * type, and a cursor that stays inside its bytes whatever they are.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "proto/pack.h"
#include "proto/proto.h"
#include "proto/scan.h"
#include "proto/unpack.h"

#define S(text) slice_of((text), sizeof(text) - 1)

static struct cursor over(const struct buf *b)
{
	return cursor_of(buf_slice(b));
}

/* The value of b is whole for a scan and is read to its last byte. */
static void expect_end(struct buf *b, struct cursor *c)
{
	cr_assert_eq(c->error, OK);
	cr_assert_eq(cursor_peek(c), CURSOR_END);
	cr_assert(scan_whole(buf_slice(b), 1 << 28));
	buf_clear(b);
}

Test(pack_unpack, integers)
{
	static const int64_t values[] = {
		0,	   1,	   127,	   128,	       255,
		256,	   65535,  65536,  UINT32_MAX, (int64_t)UINT32_MAX + 1,
		INT64_MAX, -1,	   -32,	   -33,	       -128,
		-129,	   -32768, -32769, INT32_MIN,  (int64_t)INT32_MIN - 1,
		INT64_MIN};
	struct buf b = {0};
	struct cursor c;

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		pack_int(&b, values[i]);
		c = over(&b);
		cr_assert_eq(cursor_peek(&c), CURSOR_INT);
		cr_assert_eq(cursor_int(&c), values[i]);
		c = over(&b);
		cr_assert_eq(cursor_number(&c), (double)values[i]);
		c = over(&b);
		cr_assert_eq(cursor_uint(&c),
			     values[i] < 0 ? 0 : (uint64_t)values[i]);
		cr_assert_eq(c.error, values[i] < 0 ? ERR_TYPE : OK);
		c = over(&b);
		cursor_skip(&c);
		expect_end(&b, &c);
	}
	pack_uint(&b, UINT64_MAX);
	c = over(&b);
	cr_assert_eq(cursor_uint(&c), UINT64_MAX);
	c = over(&b);
	cr_assert_eq(cursor_number(&c), (double)UINT64_MAX);
	c = over(&b);
	cr_assert_eq(cursor_int(&c), 0);
	cr_assert_eq(c.error, ERR_TYPE);
	buf_fini(&b);
}

Test(pack_unpack, integers_in_more_bytes_than_they_need)
{
	const struct {
		struct slice bytes;
		int64_t value;
	} rows[] = {
		{S("\xcc\x01"), 1},
		{S("\xcd\x00\x01"), 1},
		{S("\xce\x00\x00\x00\x01"), 1},
		{S("\xcf\x00\x00\x00\x00\x00\x00\x00\x01"), 1},
		{S("\xd0\x01"), 1},
		{S("\xd0\xff"), -1},
		{S("\xd1\xff\xff"), -1},
		{S("\xd2\xff\xff\xff\xff"), -1},
		{S("\xd3\xff\xff\xff\xff\xff\xff\xff\xff"), -1},
		{S("\xd3\x00\x00\x00\x00\x00\x00\x00\x01"), 1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct cursor c = cursor_of(rows[i].bytes);

		cr_assert_eq(cursor_int(&c), rows[i].value, "row %zu", i);
		cr_assert_eq(c.error, OK);
		cr_assert_eq(c.p, c.end);
	}
}

Test(pack_unpack, numbers)
{
	static const double values[] = {0.0, -0.5, 1e300, 3.0, INFINITY};
	struct buf b = {0};
	struct cursor c;

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		pack_double(&b, values[i]);
		c = over(&b);
		cr_assert_eq(cursor_peek(&c), CURSOR_FLOAT);
		cr_assert_eq(cursor_number(&c), values[i]);
		expect_end(&b, &c);
	}
	pack_double(&b, (double)NAN);
	c = over(&b);
	cr_assert(isnan(cursor_number(&c)));
	expect_end(&b, &c);
	c = cursor_of(S("\xca\x3f\xc0\x00\x00"));
	cr_assert_eq(cursor_number(&c), 1.5);
	cr_assert_eq(c.p, c.end);
	buf_fini(&b);
}

Test(pack_unpack, text_of_every_header)
{
	static const size_t sizes[] = {0,   1,	 31,	32,    255,
				       256, 257, 65535, 65536, 70000};
	static uint8_t bytes[70000];
	struct buf b = {0};
	struct cursor c;

	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct slice s = slice_of(bytes, sizes[i]);

		pack_str(&b, s);
		c = over(&b);
		cr_assert_eq(cursor_peek(&c), CURSOR_STR);
		cr_assert(slice_eq(cursor_text(&c), s));
		expect_end(&b, &c);

		pack_bin(&b, s);
		c = over(&b);
		cr_assert_eq(cursor_peek(&c), CURSOR_BIN);
		cr_assert(slice_eq(cursor_text(&c), s));
		expect_end(&b, &c);
	}
	pack_text(&b, S("\xc3\xa4"));
	pack_text(&b, S("\xff"));
	c = over(&b);
	cr_assert_eq(cursor_peek(&c), CURSOR_STR);
	cursor_skip(&c);
	cr_assert_eq(cursor_peek(&c), CURSOR_BIN);
	buf_fini(&b);
}

Test(pack_unpack, extensions)
{
	static const size_t sizes[] = {0, 1,  2,  3,  4,   5,	7,     8,
				       9, 15, 16, 17, 255, 256, 65535, 65536};
	static uint8_t bytes[65536];
	struct buf b = {0};
	struct cursor c;
	int8_t type;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct slice s = slice_of(bytes, sizes[i]);

		memset(bytes, (int)i, sizeof(bytes));
		pack_ext(&b, (int8_t)(i % 2 ? -5 : 9), s);
		c = over(&b);
		cr_assert_eq(cursor_peek(&c), CURSOR_EXT);
		cr_assert(slice_eq(cursor_ext(&c, &type), s));
		cr_assert_eq(type, i % 2 ? -5 : 9);
		expect_end(&b, &c);
	}
	pack_lazy(&b, 0x0102030405060708);
	c = over(&b);
	cr_assert(slice_eq(cursor_ext(&c, &type),
			   S("\x01\x02\x03\x04\x05\x06\x07\x08")));
	cr_assert_eq(type, PROTO_EXT_LAZY);
	expect_end(&b, &c);
	buf_fini(&b);
}

Test(pack_unpack, containers)
{
	static const uint32_t sizes[] = {0, 1, 15, 16, 65535, 65536};
	struct buf b = {0};
	struct cursor c;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		pack_array(&b, sizes[i]);
		for (uint32_t n = 0; n < sizes[i]; n++)
			pack_nil(&b);
		pack_bool(&b, true);
		c = over(&b);
		cr_assert_eq(cursor_peek(&c), CURSOR_ARRAY);
		cr_assert_eq(cursor_array(&c), sizes[i]);
		c = over(&b);
		cr_assert_eq(cursor_raw(&c).n, b.n - 1);
		cr_assert_eq(cursor_bool(&c), true);
		cr_assert_eq(c.error, OK);
		buf_clear(&b);

		pack_map(&b, sizes[i]);
		for (uint32_t n = 0; n < sizes[i]; n++) {
			pack_uint(&b, n);
			pack_bool(&b, false);
		}
		c = over(&b);
		cr_assert_eq(cursor_peek(&c), CURSOR_MAP);
		cr_assert_eq(cursor_map(&c), sizes[i]);
		c = over(&b);
		cursor_skip(&c);
		expect_end(&b, &c);
	}
	buf_fini(&b);
}

Test(pack_unpack, nil_is_taken_only_when_it_is_there)
{
	struct cursor c = cursor_of(S("\xc0\xc3"));

	cr_assert(cursor_nil(&c));
	cr_assert(!cursor_nil(&c));
	cr_assert_eq(cursor_bool(&c), true);
	cr_assert(!cursor_nil(&c));
	cr_assert_eq(c.error, OK);
}

/* Each reader on each first byte: it takes its own types and no other. */
enum reader {
	READ_ARRAY,
	READ_MAP,
	READ_TEXT,
	READ_INT,
	READ_UINT,
	READ_NUMBER,
	READ_BOOL,
	READ_EXT,
	READ_RAW,
	READ_SKIP,
	READ_NIL,
	READERS,
};

static void read_one(enum reader reader, struct cursor *c)
{
	int8_t type;

	switch (reader) {
	case READ_ARRAY:
		cursor_array(c);
		break;
	case READ_MAP:
		cursor_map(c);
		break;
	case READ_TEXT:
		cursor_text(c);
		break;
	case READ_INT:
		cursor_int(c);
		break;
	case READ_UINT:
		cursor_uint(c);
		break;
	case READ_NUMBER:
		cursor_number(c);
		break;
	case READ_BOOL:
		cursor_bool(c);
		break;
	case READ_EXT:
		cursor_ext(c, &type);
		break;
	case READ_RAW:
		cursor_raw(c);
		break;
	case READ_SKIP:
		cursor_skip(c);
		break;
	case READ_NIL:
	case READERS:
		cursor_nil(c);
		break;
	}
}

static bool takes(enum reader reader, enum cursor_type type)
{
	switch (reader) {
	case READ_ARRAY:
		return type == CURSOR_ARRAY;
	case READ_MAP:
		return type == CURSOR_MAP;
	case READ_TEXT:
		return type == CURSOR_STR || type == CURSOR_BIN;
	case READ_INT:
	case READ_UINT:
		return type == CURSOR_INT;
	case READ_NUMBER:
		return type == CURSOR_INT || type == CURSOR_FLOAT;
	case READ_BOOL:
		return type == CURSOR_BOOL;
	case READ_EXT:
		return type == CURSOR_EXT;
	default:
		return type != CURSOR_END;
	}
}

Test(pack_unpack, readers_refuse_other_types)
{
	uint8_t bytes[64] = {0};

	for (unsigned first = 0; first < 256; first++)
		for (enum reader r = 0; r <= READ_SKIP; r++) {
			struct cursor c =
				cursor_of(slice_of(bytes, sizeof(bytes)));
			enum cursor_type type;

			bytes[0] = (uint8_t)first;
			type = cursor_peek(&c);
			read_one(r, &c);
			if (r == READ_UINT && first >= 0xe0)
				type = CURSOR_END; /* negative */
			cr_assert_eq(c.error == OK, takes(r, type),
				     "reader %d, byte %02x", (int)r, first);
			if (c.error)
				cr_assert_eq(cursor_peek(&c), CURSOR_END);
		}
}

Test(pack_unpack, every_cut_of_every_type_ends_in_an_error)
{
	struct buf b = {0}, cut = {0};
	static uint8_t big[300];
	struct cursor c;

	pack_array(&b, 9);
	pack_map(&b, 1);
	pack_cstr(&b, "key");
	pack_bin(&b, slice_of(big, sizeof(big)));
	pack_double(&b, 1.5);
	pack_int(&b, -70000);
	pack_uint(&b, UINT64_MAX);
	pack_lazy(&b, 5);
	pack_ext(&b, 3, slice_of(big, sizeof(big)));
	pack_str(&b, slice_of(big, 40));
	pack_bool(&b, true);
	pack_nil(&b);
	for (size_t n = 0; n < b.n; n++) {
		/* Memory of the exact size: ASan sees one byte too many. */
		uint8_t *exact = malloc(n ? n : 1);

		memcpy(exact, b.p, n);
		c = cursor_of(slice_of(exact, n));
		cr_assert_eq(cursor_raw(&c).n, 0);
		cr_assert_eq(c.error, ERR_FORMAT, "cut at %zu", n);
		free(exact);
	}
	c = over(&b);
	cr_assert_eq(cursor_raw(&c).n, b.n);
	buf_fini(&b);
	buf_fini(&cut);
}

Test(pack_unpack, random_bytes_and_readers_never_leave_the_bytes)
{
	srandom(11);
	for (int round = 0; round < 20000; round++) {
		size_t n = (size_t)random() % 24;
		uint8_t *bytes = malloc(n ? n : 1);
		struct cursor c = cursor_of(slice_of(bytes, n));
		bool failed = false;

		for (size_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)(random() % 3 ? random()
							  : 0x80 | random());
		for (int step = 0; step < 30; step++) {
			read_one((enum reader)(random() % READERS), &c);
			cr_assert(c.p >= bytes && c.p <= c.end);
			cr_assert(!failed || c.error, "errors stick");
			failed = c.error != OK;
			if (failed)
				cr_assert_eq(c.p, c.end);
		}
		free(bytes);
	}
}

Test(pack_unpack, nothing_at_all)
{
	for (enum reader r = 0; r <= READ_SKIP; r++) {
		struct cursor c = cursor_of(slice_of(NULL, 0));

		read_one(r, &c);
		cr_assert_lt(c.error, 0);
	}
}

Test(pack_unpack, map_find)
{
	struct buf b = {0};
	struct slice found;

	pack_map(&b, 6);
	pack_uint(&b, 7); /* keys of other types are passed over */
	pack_cstr(&b, "seven");
	pack_array(&b, 1);
	pack_cstr(&b, "a");
	pack_cstr(&b, "in an array");
	pack_cstr(&b, "a");
	pack_cstr(&b, "first");
	pack_cstr(&b, "a");
	pack_cstr(&b, "second");
	pack_bin(&b, slice_str("b"));
	pack_map(&b, 1);
	pack_cstr(&b, "inner");
	pack_nil(&b);
	pack_cstr(&b, "");
	pack_uint(&b, 1);
	cr_assert(map_find(buf_slice(&b), "a", &found));
	cr_assert(slice_is(found, "\xa5"
				  "first"));
	cr_assert(map_find(buf_slice(&b), "b", &found));
	cr_assert_eq(found.p[0], 0x81);
	cr_assert(map_find(buf_slice(&b), "", &found));
	cr_assert(!map_find(buf_slice(&b), "inner", &found));
	cr_assert(!map_find(buf_slice(&b), "seven", &found));
	cr_assert(!map_find(S("\x91\xa1"
			      "a"),
			    "a", &found));
	cr_assert(!map_find(slice_of(NULL, 0), "a", &found));
	cr_assert(!map_find(S("\x82\xa1z\x01"), "a", &found));
	buf_fini(&b);
}

Test(pack_unpack, a_full_buffer_is_told_once_at_the_end)
{
	struct buf b;

	buf_init(&b, 10);
	pack_array(&b, 2);
	pack_cstr(&b, "longer than ten bytes");
	pack_nil(&b);
	cr_assert_eq(buf_error(&b), ERR_RANGE);
	buf_fini(&b);
}
