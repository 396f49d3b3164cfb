/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any message as an envelope: every slice that comes out lies inside it and
 * is what it claims to be; written again, it decodes to the same.
 */
#include "proto/pack.h"
#include "proto/rpc.h"
#include "proto/scan.h"
#include "proto/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct slice s, struct slice msg)
{
	must(s.n == 0 || (s.p >= msg.p && s.p + s.n <= msg.p + msg.n));
}

static void write_again(const struct rpc *rpc, struct buf *b)
{
	if (rpc->type == RPC_RESPONSE && rpc->failed) {
		rpc_failure(b, rpc->id);
		pack_raw(b, rpc->error);
		pack_raw(b, rpc->result);
		return;
	}
	if (rpc->type == RPC_RESPONSE) {
		rpc_result(b, rpc->id);
		pack_raw(b, rpc->result);
		return;
	}
	pack_array(b, rpc->type == RPC_REQUEST ? 4 : 3);
	pack_uint(b, rpc->type);
	if (rpc->type == RPC_REQUEST)
		pack_uint(b, rpc->id);
	pack_bin(b, rpc->method);
	pack_raw(b, rpc->params);
}

static void check(const struct rpc *rpc, struct slice msg)
{
	struct buf b = {0};
	struct cursor c;
	struct rpc again;

	inside(rpc->method, msg);
	inside(rpc->params, msg);
	inside(rpc->error, msg);
	inside(rpc->result, msg);
	if (rpc->type == RPC_RESPONSE) {
		must(scan_whole(rpc->error, msg.n));
		must(scan_whole(rpc->result, msg.n));
		must(rpc->failed == !slice_is(rpc->error, "\xc0"));
	} else {
		c = cursor_of(rpc->params);
		must(cursor_array(&c) == rpc->nparams);
		for (uint32_t i = 0; i < rpc->nparams; i++)
			cursor_skip(&c);
		must(c.error == OK && c.p == c.end);
	}
	write_again(rpc, &b);
	must(rpc_decode(buf_slice(&b), &again) == OK);
	must(again.type == rpc->type && again.id == rpc->id);
	must(slice_eq(again.method, rpc->method));
	must(slice_eq(again.params, rpc->params));
	must(slice_eq(again.error, rpc->error));
	must(slice_eq(again.result, rpc->result));
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice msg = slice_of(data, size);
	struct rpc rpc;
	int r;

	if (!scan_whole(msg, 1 << 20))
		return 0;
	r = rpc_decode(msg, &rpc);
	must(r == OK || r == ERR_FORMAT);
	if (r == OK)
		check(&rpc, msg);
	return 0;
}
