/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check that a proxy relies on: every op in its right form, and each way
 * in which it can be wrong.
 */
#include <criterion/criterion.h>

#include "proto/ops.h"
#include "proto/pack.h"
#include "proto/proto.h"
#include "proto/unpack.h"

#define S(text) slice_of((text), sizeof(text) - 1)

static struct buf b;

static void empty(void)
{
	buf_fini(&b);
}

TestSuite(ops, .fini = empty);

static int check(void)
{
	uint32_t n;
	bool finish;

	cr_assert_eq(buf_error(&b), OK);
	return ops_check(buf_slice(&b), &n, &finish);
}

static void good_arg(char kind)
{
	if (kind == 'i')
		pack_uint(&b, 204);
	else
		pack_cstr(&b, kind == 'n' ? "X-Name" : "value");
}

/* The op with argument `at` packed by `bad` (at -1: all are good). */
static void make(enum op op, int at, void (*bad)(void))
{
	const char *args = op_table[op].args;

	buf_clear(&b);
	pack_array(&b, (uint32_t)(1 + strlen(args)));
	pack_cstr(&b, op_table[op].name);
	for (int i = 0; args[i]; i++) {
		if (i == at)
			bad();
		else
			good_arg(args[i]);
	}
}

Test(ops, every_op_in_its_right_form)
{
	for (enum op op = 0; op < OP_COUNT; op++) {
		struct op_view view;
		struct cursor c;

		make(op, -1, NULL);
		cr_assert_eq(check(), OK, "%s", op_table[op].name);
		cr_assert_eq(op_parse(slice_str(op_table[op].name)), op);
		c = cursor_of(buf_slice(&b));
		cr_assert_eq(ops_next(&c, &view), 1);
		cr_assert_eq(view.op, op);
		if (strchr(op_table[op].args, 'i'))
			cr_assert_eq(view.i, 204);
		else if (strlen(op_table[op].args) == 2)
			cr_assert(slice_is(view.b, "value"));
		else if (*op_table[op].args)
			cr_assert_gt(view.a.n, 0);
		cr_assert_eq(ops_next(&c, &view), 0);
	}
}

static void arg_nil(void)
{
	pack_nil(&b);
}

static void arg_int(void)
{
	pack_int(&b, 7);
}

static void arg_map(void)
{
	pack_map(&b, 0);
}

static void arg_ext(void)
{
	pack_ext(&b, 1, S("12345678"));
}

static void arg_float(void)
{
	pack_double(&b, 200.0);
}

static void arg_text(void)
{
	pack_cstr(&b, "200");
}

static void arg_no_utf8(void)
{
	pack_str(&b, S("a\xff"));
}

Test(ops, arguments_of_other_types)
{
	void (*const bad[])(void) = {arg_nil, arg_map, arg_ext, arg_float};

	for (enum op op = 0; op < OP_COUNT; op++)
		for (int at = 0; op_table[op].args[at]; at++) {
			char kind = op_table[op].args[at];

			for (size_t i = 0; i < 4; i++) {
				make(op, at, bad[i]);
				cr_assert_lt(check(), 0, "%s %d %zu",
					     op_table[op].name, at, i);
			}
			make(op, at, kind == 'i' ? arg_text : arg_int);
			cr_assert_lt(check(), 0, "%s", op_table[op].name);
			make(op, at, arg_no_utf8);
			cr_assert_lt(check(), 0, "%s", op_table[op].name);
		}
}

Test(ops, too_few_and_too_many)
{
	for (enum op op = 0; op < OP_COUNT; op++) {
		uint32_t n = (uint32_t)strlen(op_table[op].args);

		buf_clear(&b);
		pack_array(&b, n + 2);
		pack_cstr(&b, op_table[op].name);
		for (uint32_t i = 0; i < n + 1; i++)
			good_arg(op_table[op].args[i] ? op_table[op].args[i]
						      : 's');
		cr_assert_eq(check(), ERR_FORMAT);
		if (n == 0)
			continue;
		buf_clear(&b);
		pack_array(&b, n);
		pack_cstr(&b, op_table[op].name);
		for (uint32_t i = 0; i + 1 < n; i++)
			good_arg(op_table[op].args[i]);
		cr_assert_eq(check(), ERR_FORMAT);
	}
}

static struct slice given;

static void arg_str(void)
{
	pack_str(&b, given);
}

static void arg_bin(void)
{
	pack_bin(&b, given);
}

/* May arguments of that kind be these bytes? The same for str and bin. */
static bool may_be(char kind, struct slice bytes)
{
	int r = 0, seen = 0;

	given = bytes;
	for (enum op op = 0; op < OP_COUNT; op++)
		for (int at = 0; op_table[op].args[at]; at++) {
			if (op_table[op].args[at] != kind)
				continue;
			make(op, at, arg_bin);
			r += check() == OK;
			seen++;
			if (!slice_is_utf8(bytes))
				continue;
			make(op, at, arg_str);
			r += check() == OK;
			seen++;
		}
	cr_assert(seen > 0 && (r == 0 || r == seen), "%c: all alike", kind);
	return r > 0;
}

Test(ops, line_breaks_and_nul_never_reach_a_header)
{
	for (unsigned c = 0; c < 256; c++) {
		uint8_t bytes[] = {'a', (uint8_t)c, 'b'};
		struct slice s = slice_of(bytes, 3);

		cr_assert_eq(may_be('v', s), c != '\r' && c != '\n' && c,
			     "value %02x", c);
		cr_assert_eq(may_be('n', s),
			     c > 0x20 && c < 0x7f &&
				     !strchr("\"(),/:;<=>?@[\\]{}", (int)c),
			     "name %02x", c);
		cr_assert(may_be('b', s));
		cr_assert(may_be('s', s));
	}
	cr_assert(!may_be('n', slice_of(NULL, 0)));
	cr_assert(may_be('v', slice_of(NULL, 0)));
	cr_assert(may_be('b', slice_of(NULL, 0)));
	cr_assert(!may_be('v', S("\n")));
	cr_assert(!may_be('v', S("x\r")));
}

static int64_t status;

static void arg_status(void)
{
	pack_int(&b, status);
}

Test(ops, status_has_three_digits)
{
	static const struct {
		int64_t value;
		bool ok;
	} rows[] = {
		{99, false},	    {100, true},
		{999, true},	    {1000, false},
		{0, false},	    {-200, false},
		{INT64_MIN, false}, {(int64_t)1 << 32 | 200, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		status = rows[i].value;
		make(OP_RESP_SET_STATUS, 0, arg_status);
		cr_assert_eq(check() == OK, rows[i].ok, "row %zu", i);
	}
	buf_clear(&b);
	pack_array(&b, 2);
	pack_cstr(&b, "resp.set_status");
	pack_uint(&b, UINT64_MAX);
	cr_assert_lt(check(), 0);
}

Test(ops, names)
{
	static const char *const bad[] = {"", "req.set", "req.set_hos",
					  "req.set_hostx", "REQ.SET_HOST"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		buf_clear(&b);
		pack_array(&b, 2);
		pack_cstr(&b, bad[i]);
		pack_cstr(&b, "x");
		cr_assert_eq(check(), ERR_FORMAT, "%s", bad[i]);
		cr_assert_eq(op_parse(slice_str(bad[i])), OP_COUNT);
	}
	/* A proxy looks names up as text: bin would be another key there. */
	buf_clear(&b);
	pack_array(&b, 1);
	pack_bin(&b, slice_str("ws.drop"));
	cr_assert_lt(check(), 0);
}

Test(ops, what_is_no_sequence_of_arrays)
{
	const struct slice bad[] = {
		S("\xc0"), S("\x90"),		S("\x91\xc0"),
		S("\x80"), S("\xa1x"),		S("\x91"),
		S("\xc1"), S("\x91\xa7ws.dro"), S("\x92\xa7ws.drop"),
	};
	uint32_t n;
	bool finish;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_lt(ops_check(bad[i], &n, &finish), 0, "row %zu", i);
	cr_assert_eq(ops_check(slice_of(NULL, 0), &n, &finish), OK);
	cr_assert_eq(n, 0);
}

Test(ops, cut_anywhere)
{
	uint32_t n;
	bool finish;
	size_t edge = 0, edges = 0;

	buf_clear(&b);
	for (int i = 0; i < 3; i++) {
		pack_array(&b, 3);
		pack_cstr(&b, "resp.add_header");
		pack_cstr(&b, "X-A");
		pack_cstr(&b, "b");
	}
	edge = b.n / 3;
	for (size_t cut = 0; cut <= b.n; cut++) {
		bool ok = ops_check(slice_of(b.p, cut), &n, &finish) == OK;

		cr_assert_eq(ok, cut % edge == 0, "cut at %zu", cut);
		edges += ok;
	}
	cr_assert_eq(edges, 4);
}

Test(ops, counts_finish_and_the_maximum)
{
	uint32_t n;
	bool finish;

	for (int i = 0; i < PROTO_MAX_OPS - 1; i++) {
		pack_array(&b, 1);
		pack_cstr(&b, "ws.drop");
	}
	cr_assert_eq(ops_check(buf_slice(&b), &n, &finish), OK);
	cr_assert_eq(n, PROTO_MAX_OPS - 1);
	cr_assert(!finish);
	pack_array(&b, 1);
	pack_cstr(&b, "ctx.set_finish");
	cr_assert_eq(ops_check(buf_slice(&b), &n, &finish), OK);
	cr_assert_eq(n, PROTO_MAX_OPS);
	cr_assert(finish);
	pack_array(&b, 1);
	pack_cstr(&b, "ws.drop");
	cr_assert_eq(ops_check(buf_slice(&b), &n, &finish), ERR_RANGE);
}

Test(ops, header_names_compare_without_case)
{
	cr_assert(header_name_eq(S("Content-Type"), S("cONTENT-tYPE")));
	cr_assert(!header_name_eq(S("Content-Type"), S("Content-Typ")));
	cr_assert(!header_name_eq(S("a@"), S("a`"))); /* differ by 0x20 */
	cr_assert(!header_name_eq(S("\xc4"), S("\xe4")));
}
