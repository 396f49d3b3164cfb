/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "proto/pack.h"
#include "proto/unpack.h"
#include "worker/field.h"

static struct slice text(struct slice value)
{
	struct cursor c = cursor_of(value);

	return cursor_text(&c);
}

Test(field, every_name_is_found_and_nothing_else)
{
	for (int f = 1; f < FIELD_COUNT; f++) {
		char name[32];
		size_t n = strlen(field_name((enum field)f));

		memcpy(name, field_name((enum field)f), n);
		cr_assert_eq(field_parse(slice_of(name, n)), f);
		name[n - 1] = 'X';
		cr_assert_eq(field_parse(slice_of(name, n)), FIELD_NONE);
		cr_assert_eq(field_parse(slice_of(name, n - 1)), FIELD_NONE);
	}
	cr_assert_eq(field_parse((struct slice){0}), FIELD_NONE);
	cr_assert_eq(field_parse(slice_str("x")), FIELD_NONE);
	cr_assert_eq(field_parse(slice_str("a_rather_long_name")), FIELD_NONE);
}

static struct buf sample(void)
{
	struct buf b = {0};

	pack_uint(&b, 0); /* an offset of 0 means "not met" */
	pack_map(&b, 5);
	pack_int(&b, 7); /* a key that is no text */
	pack_cstr(&b, "x");
	pack_cstr(&b, "unknown");
	pack_array(&b, 1);
	pack_map(&b, 0);
	pack_cstr(&b, "method");
	pack_cstr(&b, "GET");
	pack_cstr(&b, "path");
	pack_cstr(&b, "/first");
	pack_cstr(&b, "path");
	pack_cstr(&b, "/second");
	return b;
}

Test(field, finds_in_any_order_and_the_first_of_two)
{
	static const enum field orders[2][2] = {
		{FIELD_METHOD, FIELD_PATH},
		{FIELD_PATH, FIELD_METHOD},
	};
	struct buf b = sample();

	for (int i = 0; i < 2; i++) {
		struct fields f;

		cr_assert(fields_open(&f, b.p, 1, (uint32_t)b.n));
		for (int j = 0; j < 2; j++) {
			struct slice raw = fields_find(&f, b.p, orders[i][j]);

			cr_assert(slice_is(text(raw), orders[i][j] == FIELD_PATH
							      ? "/first"
							      : "GET"));
		}
		cr_assert_eq(fields_find(&f, b.p, FIELD_BODY).n, 0);
		cr_assert(slice_is(text(fields_find(&f, b.p, FIELD_PATH)),
				   "/first"));
		cr_assert_not(f.bad);
	}
	buf_fini(&b);
}

Test(field, offsets_hold_when_the_bytes_move)
{
	struct buf b = sample();
	struct fields f;
	uint8_t *copy;

	cr_assert(fields_open(&f, b.p, 1, (uint32_t)b.n));
	(void)fields_find(&f, b.p, FIELD_METHOD);
	copy = malloc(b.n);
	memcpy(copy, b.p, b.n);
	memset(b.p, 0xc1, b.n);
	cr_assert(slice_is(text(fields_find(&f, copy, FIELD_METHOD)), "GET"));
	cr_assert(slice_is(text(fields_find(&f, copy, FIELD_PATH)), "/first"));
	free(copy);
	buf_fini(&b);
}

Test(field, a_map_that_is_cut_short_is_bad_and_never_overrun)
{
	struct buf b = sample();

	for (size_t n = 2; n < b.n; n++) {
		uint8_t *cut = malloc(n); /* exact, for the sanitizer */
		struct fields f;

		memcpy(cut, b.p, n);
		cr_assert(fields_open(&f, cut, 1, (uint32_t)n));
		cr_assert_eq(fields_find(&f, cut, FIELD_BODY).n, 0);
		cr_assert(f.bad || f.left == 0);
		free(cut);
	}
	buf_fini(&b);
}

Test(field, what_is_no_map_does_not_open)
{
	struct fields f;

	cr_assert_not(fields_open(&f, (const uint8_t *)"\0\x91\x01", 1, 3));
	cr_assert_not(fields_open(&f, (const uint8_t *)"\0\xdf", 1, 2));
}
