/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers: the hard maximum, the sticky error, and what each way of emptying
 * one keeps.
 */
#include <criterion/criterion.h>
#include <signal.h>

#include "lib/buf.h"

Test(buf, zeroed_memory_is_an_empty_buffer)
{
	struct buf b = {0};

	cr_assert_eq(buf_error(&b), OK);
	cr_assert_eq(buf_slice(&b).n, 0);
	buf_consume(&b, 0);
	buf_add(&b, NULL, 0);
	cr_assert_null(b.p, "nothing was added, nothing allocated");
	buf_fini(&b);
	buf_fini(&b);
}

Test(buf, grows_and_keeps_content)
{
	struct buf b = {0};

	for (unsigned i = 0; i < 100000; i++)
		buf_add_byte(&b, (uint8_t)i);
	cr_assert_eq(b.n, 100000);
	cr_assert_leq(b.cap, 200000);
	for (unsigned i = 0; i < 100000; i++)
		cr_assert_eq(b.p[i], (uint8_t)i);
	buf_fini(&b);
	cr_assert_null(b.p);
	cr_assert_eq(b.cap, 0);
}

Test(buf, max_is_hard_and_reached_exactly)
{
	struct buf b;

	for (size_t max = 1; max < 300; max++) {
		buf_init(&b, max);
		for (size_t i = 0; i < max; i++)
			buf_add_byte(&b, 'x');
		cr_assert_eq(buf_error(&b), OK, "max %zu", max);
		cr_assert_leq(b.cap, max);
		buf_add_byte(&b, 'y');
		cr_assert_eq(buf_error(&b), ERR_RANGE);
		cr_assert_eq(b.n, max);
		cr_assert_eq(b.p[max - 1], 'x');
		buf_fini(&b);
	}
}

Test(buf, text_fits_to_the_last_byte)
{
	struct buf b;

	buf_init(&b, 5);
	buf_addf(&b, "%s", "hello");
	cr_assert_eq(buf_error(&b), OK);
	cr_assert(slice_is(buf_slice(&b), "hello"));
	buf_addf(&b, "%s", "");
	cr_assert_eq(buf_error(&b), OK);
	buf_addf(&b, "%d", 1);
	cr_assert_eq(buf_error(&b), ERR_RANGE);
	buf_fini(&b);
}

Test(buf, the_first_error_sticks)
{
	struct buf b;
	uint8_t *room;

	buf_init(&b, 8);
	buf_add(&b, "abc", 3);
	buf_add(&b, "too long by far", 15);
	cr_assert_eq(buf_error(&b), ERR_RANGE);
	buf_add(&b, "d", 1); /* would fit, but comes after a gap */
	buf_addf(&b, "%d", 1);
	buf_add_byte(&b, 'e');
	cr_assert(slice_is(buf_slice(&b), "abc"));
	cr_assert_eq(buf_reserve(&b, 1, &room), ERR_RANGE);
	cr_assert_null(room);
	buf_clear(&b);
	cr_assert_eq(buf_error(&b), OK);
	buf_add(&b, "12345678", 8);
	cr_assert(slice_is(buf_slice(&b), "12345678"));
	buf_fini(&b);
}

Test(buf, sizes_do_not_wrap_around)
{
	struct buf b = {0};
	uint8_t *room;

	buf_add(&b, "abc", 3);
	cr_assert_eq(buf_reserve(&b, SIZE_MAX, &room), ERR_RANGE);
	buf_clear(&b);
	buf_add(&b, "abc", 3);
	b.max = 100;
	cr_assert_eq(buf_reserve(&b, SIZE_MAX - 3, &room), ERR_RANGE);
	cr_assert_eq(b.n, 3);
	buf_fini(&b);
}

Test(buf, reserve_and_commit)
{
	struct buf b = {0};
	uint8_t *room;

	cr_assert_eq(buf_reserve(&b, 10, &room), OK);
	memcpy(room, "0123456789", 10);
	buf_commit(&b, 4);
	cr_assert(slice_is(buf_slice(&b), "0123"));
	cr_assert_eq(buf_reserve(&b, 0, &room), OK);
	cr_assert_eq(room, b.p + 4);
	buf_fini(&b);
}

Test(buf, consume_moves_the_rest)
{
	struct buf b = {0};

	buf_add(&b, "abcdef", 6);
	buf_consume(&b, 2);
	cr_assert(slice_is(buf_slice(&b), "cdef"));
	buf_consume(&b, 4);
	cr_assert_eq(b.n, 0);
	buf_add(&b, "x", 1);
	cr_assert(slice_is(buf_slice(&b), "x"));
	buf_fini(&b);
}

Test(buf, reset_gives_memory_above_the_mark_back)
{
	struct buf b = {0};
	uint8_t *before;

	buf_add(&b, "abc", 3);
	before = b.p;
	buf_reset(&b, 64);
	cr_assert_eq(b.p, before);
	cr_assert_eq(b.n, 0);
	for (int i = 0; i < 1000; i++)
		buf_add_byte(&b, 'x');
	buf_reset(&b, 64);
	cr_assert_null(b.p);
	cr_assert_eq(b.cap, 0);
	buf_add(&b, "abc", 3);
	cr_assert(slice_is(buf_slice(&b), "abc"));
	buf_fini(&b);
}

Test(buf, more_than_there_is_is_our_bug, .signal = SIGABRT)
{
	struct buf b = {0};

	buf_add(&b, "abc", 3);
	buf_consume(&b, 4);
}
