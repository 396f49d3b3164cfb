/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scan: the same verdict for every way of cutting the bytes, limits, and
 * the marks of the third level.
 */
#include <criterion/criterion.h>

#include "lib/buf.h"
#include "proto/pack.h"
#include "proto/rpc.h"
#include "proto/scan.h"

static void sample(struct buf *b)
{
	rpc_request(b, 7, "before_request", 1);
	pack_map(b, 3);
	pack_cstr(b, "id");
	pack_cstr(b, "a");
	pack_cstr(b, "req");
	pack_map(b, 2);
	pack_cstr(b, "headers");
	pack_array(b, 1);
	pack_array(b, 2);
	pack_cstr(b, "X-A");
	pack_cstr(b, "a value that is longer than thirty-one bytes, really");
	pack_cstr(b, "body");
	pack_lazy(b, 123456);
	pack_cstr(b, "deadline_ms");
	pack_int(b, -100000);
}

Test(scan, every_cut_gives_the_same_end)
{
	struct buf b = {0};

	sample(&b);
	for (size_t cut = 0; cut <= b.n; cut++) {
		struct scan s;
		size_t len = 0;
		int r;

		scan_init(&s, 1 << 20);
		r = scan_next(&s, slice_of(b.p, cut), &len);
		cr_assert_eq(r, cut == b.n, "cut %zu gave %d", cut, r);
		if (cut < b.n)
			r = scan_next(&s, buf_slice(&b), &len);
		cr_assert_eq(r, 1);
		cr_assert_eq(len, b.n);
		cr_assert_eq(s.nmarks, 6);
	}
	buf_fini(&b);
}

Test(scan, byte_by_byte_with_two_messages)
{
	struct buf b = {0};
	struct scan s;
	size_t len = 0, first;

	sample(&b);
	first = b.n;
	sample(&b);
	scan_init(&s, 1 << 20);
	for (size_t n = 0; n < first; n++)
		cr_assert_eq(scan_next(&s, slice_of(b.p, n), &len), 0);
	cr_assert_eq(scan_next(&s, buf_slice(&b), &len), 1);
	cr_assert_eq(len, first);
	cr_assert_eq(scan_next(&s, slice_of(b.p + first, first), &len), 1);
	cr_assert_eq(len, first);
	buf_fini(&b);
}

Test(scan, marks_are_where_keys_and_values_start)
{
	struct buf b = {0};
	struct scan s;
	size_t len;

	sample(&b);
	scan_init(&s, 1 << 20);
	cr_assert_eq(scan_next(&s, buf_slice(&b), &len), 1);
	cr_assert_eq(b.p[s.mark[0]], 0xa2);
	cr_assert_eq(memcmp(b.p + s.mark[0] + 1, "id", 2), 0);
	cr_assert_eq(memcmp(b.p + s.mark[2] + 1, "req", 3), 0);
	cr_assert_eq(b.p[s.mark[3]], 0x82);
	cr_assert_eq(b.p[s.mark[5]], 0xd2);
	buf_fini(&b);
}

static int scan_bytes(const void *p, size_t n, size_t max)
{
	struct scan s;
	size_t len;

	scan_init(&s, max);
	return scan_next(&s, slice_of(p, n), &len);
}

Test(scan, declared_lengths_are_not_believed)
{
	cr_assert_eq(scan_bytes("\xdd\x10\x00\x00\x00", 5, 1 << 20),
		     ERR_FORMAT);
	cr_assert_eq(scan_bytes("\xdf\xff\xff\xff\xff", 5, 1 << 20),
		     ERR_FORMAT);
	cr_assert_eq(scan_bytes("\xc6\xff\xff\xff\xff", 5, 1 << 20), ERR_RANGE);
	cr_assert_eq(scan_bytes("\xc6\x00\x0f\xff\x00", 5, 1 << 20), 0);
	cr_assert_eq(scan_bytes("\xc1", 1, 1 << 20), ERR_FORMAT);
	cr_assert_eq(scan_bytes("\xdc\x00", 2, 1 << 20), 0);
}

Test(scan, nesting_is_bounded)
{
	uint8_t deep[40];

	memset(deep, 0x91, sizeof(deep));
	deep[32] = 0xc0;
	cr_assert_eq(scan_bytes(deep, 33, 1 << 20), 1);
	deep[32] = 0x91;
	cr_assert_eq(scan_bytes(deep, 40, 1 << 20), ERR_RANGE);
}

Test(scan, whole_means_nothing_behind)
{
	cr_assert(scan_whole(slice_str("\x01"), 10));
	cr_assert(!scan_whole(slice_str("\x01\x01"), 10));
	cr_assert(!scan_whole(slice_of(NULL, 0), 10));
}
