/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "proto/pack.h"
#include "worker/headers.h"

static void canonical(const char *in, const char *out, bool same)
{
	uint8_t name[64];

	cr_assert_eq(header_canonical(slice_str(in), name), same, "%s", in);
	cr_assert_eq(memcmp(name, out, strlen(in)), 0, "%s", in);
}

Test(headers, canonical_names)
{
	canonical("x-cli", "X-Cli", false);
	canonical("X-CLI", "X-Cli", false);
	canonical("X-Cli", "X-Cli", true);
	canonical("etag", "Etag", false);
	canonical("a--b-1c", "A--B-1c", false);
	canonical("no token", "no token", true);
	canonical("", "", true);
}

static void pair(struct buf *b, const char *name, const char *value)
{
	pack_array(b, 2);
	pack_cstr(b, name);
	pack_cstr(b, value);
}

static size_t alive(const struct headers *h)
{
	size_t n = 0;

	for (size_t i = 0; i < headers_count(h); i++)
		n += !headers_at(h, i)->dead;
	return n;
}

Test(headers, pairs_and_ops_over_them)
{
	struct headers h = {0};
	struct buf b = {0};
	struct op_view op = {0};
	size_t ops;

	pack_array(&b, 3);
	pair(&b, "x-cli", "one");
	pair(&b, "Accept", "*/*");
	pair(&b, "X-Cli", "two");
	ops = b.n;
	buf_add(&b, "X-CLIthree", 10);
	cr_assert_eq(headers_load(&h, b.p, slice_of(b.p, ops)), OK);
	cr_assert_eq(headers_count(&h), 3);
	op.a = slice_of(b.p + ops, 5);
	op.b = slice_of(b.p + ops + 5, 5);
	headers_add(&h, b.p, &op);
	cr_assert_eq(alive(&h), 4);
	headers_set(&h, b.p, &op);
	cr_assert_eq(alive(&h), 2);
	cr_assert(slice_is(header_value(headers_at(&h, 4), b.p), "three"));
	headers_del(&h, b.p, slice_str("ACCEPT"));
	cr_assert_eq(alive(&h), 1);
	headers_fini(&h);
	buf_fini(&b);
}

Test(headers, a_map_of_texts_and_lists)
{
	struct headers h = {0};
	struct buf b = {0};

	pack_map(&b, 2);
	pack_cstr(&b, "a");
	pack_cstr(&b, "1");
	pack_cstr(&b, "b");
	pack_array(&b, 2);
	pack_cstr(&b, "2");
	pack_bin(&b, slice_str("3"));
	cr_assert_eq(headers_load(&h, b.p, buf_slice(&b)), OK);
	cr_assert_eq(headers_count(&h), 3);
	cr_assert(slice_is(header_name(headers_at(&h, 2), b.p), "b"));
	cr_assert(slice_is(header_value(headers_at(&h, 2), b.p), "3"));
	headers_fini(&h);
	buf_fini(&b);
}

Test(headers, what_makes_no_sense)
{
	static const struct {
		const char *p;
		size_t n;
	} bad[] = {
		{"\x91\x91\xa1x", 4}, {"\x91\x05", 2},	    {"\xa1x", 2},
		{"\x81\xa1x\x05", 4}, {"\x92\x92\xa1x", 4},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct headers h = {0};
		uint8_t *p = malloc(bad[i].n);

		memcpy(p, bad[i].p, bad[i].n);
		cr_assert_eq(headers_load(&h, p, slice_of(p, bad[i].n)),
			     ERR_FORMAT);
		headers_fini(&h);
		free(p);
	}
}
