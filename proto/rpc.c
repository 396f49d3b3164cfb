/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc: envelopes, decoded once at the head and written head by head.
 */
#include "proto/rpc.h"

#include "proto/pack.h"
#include "proto/unpack.h"

static void decode_params(struct cursor *c, struct rpc *out)
{
	struct cursor inner;

	out->params = slice_of(c->p, (size_t)(c->end - c->p));
	inner = *c;
	out->nparams = cursor_array(&inner);
	if (inner.error)
		c->error = inner.error;
}

int rpc_decode(struct slice msg, struct rpc *out)
{
	struct cursor c = cursor_of(msg);
	uint32_t n = cursor_array(&c);
	uint64_t type = cursor_uint(&c), id;

	*out = (struct rpc){0};
	if (c.error || type > RPC_NOTIFICATION ||
	    n != (type == RPC_NOTIFICATION ? 3 : 4))
		return ERR_FORMAT;
	out->type = (enum rpc_type)type;
	if (type != RPC_NOTIFICATION) {
		id = cursor_uint(&c);
		if (id > UINT32_MAX)
			return ERR_FORMAT;
		out->id = (uint32_t)id;
	}
	if (type == RPC_RESPONSE) {
		out->error = cursor_raw(&c);
		out->result = slice_of(c.p, (size_t)(c.end - c.p));
		out->failed = out->error.n != 1 || out->error.p[0] != 0xc0;
	} else {
		out->method = cursor_text(&c);
		decode_params(&c, out);
	}
	return c.error ? ERR_FORMAT : OK;
}

void rpc_request(struct buf *b, uint32_t id, const char *method,
		 uint32_t nparams)
{
	pack_array(b, 4);
	pack_uint(b, RPC_REQUEST);
	pack_uint(b, id);
	pack_cstr(b, method);
	pack_array(b, nparams);
}

void rpc_notification(struct buf *b, const char *method, uint32_t nparams)
{
	pack_array(b, 3);
	pack_uint(b, RPC_NOTIFICATION);
	pack_cstr(b, method);
	pack_array(b, nparams);
}

void rpc_result(struct buf *b, uint32_t id)
{
	pack_array(b, 4);
	pack_uint(b, RPC_RESPONSE);
	pack_uint(b, id);
	pack_nil(b);
}

void rpc_failure(struct buf *b, uint32_t id)
{
	pack_array(b, 4);
	pack_uint(b, RPC_RESPONSE);
	pack_uint(b, id);
}

void rpc_failure_end(struct buf *b)
{
	pack_nil(b);
}
