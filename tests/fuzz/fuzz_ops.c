/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as ops of a worker: what the check lets through is what a proxy
 * may apply without looking, and is told here by other means than in ops.c.
 */
#include "proto/ops.h"
#include "proto/proto.h"
#include "proto/scan.h"
#include "proto/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(char kind, struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (kind == 'n')
			must(c > ' ' && c < 0x7f && c != ':' && c != '"');
		if (kind == 'v')
			must(c != '\r' && c != '\n' && c != 0);
	}
	must(kind != 'n' || text.n > 0);
}

/* One op, read as a client would. */
static void check_op(struct slice bytes)
{
	struct cursor c = cursor_of(bytes);
	uint32_t n = cursor_array(&c);
	struct slice name;
	const char *args;
	enum op op;

	must(cursor_peek(&c) == CURSOR_STR);
	name = cursor_text(&c);
	op = op_parse(name);
	must(op < OP_COUNT && slice_is(name, op_table[op].name));
	args = op_table[op].args;
	must(n == 1 + strlen(args));
	for (; *args; args++) {
		if (*args == 'i') {
			int64_t status = cursor_int(&c);

			must(status >= 100 && status <= 999);
		} else {
			bool str = cursor_peek(&c) == CURSOR_STR;
			struct slice text = cursor_text(&c);

			must(!str || slice_is_utf8(text));
			check_text(*args, text);
		}
	}
	must(c.error == OK && c.p == c.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice seq = slice_of(data, size);
	uint32_t n, seen = 0, finishes = 0;
	struct cursor c = cursor_of(seq);
	bool finish;
	int r = ops_check(seq, &n, &finish);

	if (r < 0) {
		must(r == ERR_FORMAT || r == ERR_TYPE || r == ERR_RANGE);
		return 0;
	}
	for (; c.p < c.end; seen++) {
		struct cursor at = c;
		struct op_view view;
		struct slice op = cursor_raw(&c);

		must(op.n > 0);
		must(scan_whole(op, size));
		check_op(op);
		must(ops_next(&at, &view) == 1 && at.p == c.p);
		finishes += view.op == OP_CTX_SET_FINISH;
	}
	must(seen == n && n <= PROTO_MAX_OPS);
	must(finish == (finishes > 0));
	return 0;
}
