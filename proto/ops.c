/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops: the table of mutations, and the check of what a worker claims to be
 * some. A proxy applies ops without looking, so this is the place where a
 * hostile worker ends.
 */
#include "proto/ops.h"

#include "proto/proto.h"
#include "proto/unpack.h"

#define NAME(text) text, sizeof(text) - 1

const struct op_info op_table[OP_COUNT] = {
	[OP_REQ_SET_HOST] = {NAME("req.set_host"), "v"},
	[OP_REQ_SET_SCHEME] = {NAME("req.set_scheme"), "v"},
	[OP_REQ_SET_METHOD] = {NAME("req.set_method"), "n"},
	[OP_REQ_SET_PATH] = {NAME("req.set_path"), "s"},
	[OP_REQ_SET_QUERY] = {NAME("req.set_query"), "v"},
	[OP_REQ_SET_URL] = {NAME("req.set_url"), "v"},
	[OP_REQ_SET_BODY] = {NAME("req.set_body"), "b"},
	[OP_REQ_SET_HEADER] = {NAME("req.set_header"), "nv"},
	[OP_REQ_ADD_HEADER] = {NAME("req.add_header"), "nv"},
	[OP_REQ_DEL_HEADER] = {NAME("req.del_header"), "n"},
	[OP_RESP_SET_STATUS] = {NAME("resp.set_status"), "i"},
	[OP_RESP_SET_BODY] = {NAME("resp.set_body"), "b"},
	[OP_RESP_SET_HEADER] = {NAME("resp.set_header"), "nv"},
	[OP_RESP_ADD_HEADER] = {NAME("resp.add_header"), "nv"},
	[OP_RESP_DEL_HEADER] = {NAME("resp.del_header"), "n"},
	[OP_WS_SET_DATA] = {NAME("ws.set_data"), "b"},
	[OP_WS_DROP] = {NAME("ws.drop"), ""},
	[OP_CTX_SET_FINISH] = {NAME("ctx.set_finish"), ""},
};

enum op op_parse(struct slice name)
{
	int i;

	for (i = 0; i < OP_COUNT; i++)
		if (name.n == op_table[i].len &&
		    memcmp(name.p, op_table[i].name, name.n) == 0)
			break;
	return (enum op)i;
}

static bool is_token(uint8_t c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

bool header_name_ok(struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!is_token(name.p[i]))
			return false;
	return name.n > 0;
}

bool header_value_ok(struct slice value)
{
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] == '\r' || value.p[i] == '\n' || !value.p[i])
			return false;
	return true;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool header_name_eq(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (a.p[i] != b.p[i] && lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

static int take_arg(struct cursor *c, char kind, struct op_view *out,
		    unsigned at)
{
	bool str = cursor_peek(c) == CURSOR_STR;
	struct slice text;

	if (kind == 'i') {
		out->i = cursor_int(c);
		if (!c->error && (out->i < 100 || out->i > 999))
			return ERR_FORMAT;
		return c->error;
	}
	text = cursor_text(c);
	if (c->error)
		return c->error;
	if (str && !slice_is_utf8(text))
		return ERR_FORMAT;
	if (kind == 'n' && !header_name_ok(text))
		return ERR_FORMAT;
	if (kind == 'v' && !header_value_ok(text))
		return ERR_FORMAT;
	*(at ? &out->b : &out->a) = text;
	return OK;
}

int ops_next(struct cursor *c, struct op_view *out)
{
	const char *args;
	uint32_t n;
	bool str;
	int r;

	*out = (struct op_view){0};
	if (c->p == c->end && !c->error)
		return 0;
	n = cursor_array(c);
	/* A proxy looks the name up as text: as bin it would be another. */
	str = cursor_peek(c) == CURSOR_STR;
	out->op = op_parse(cursor_text(c));
	if (c->error)
		return c->error;
	if (out->op == OP_COUNT || !str)
		return ERR_FORMAT;
	args = op_table[out->op].args;
	if (n != 1 + strlen(args))
		return ERR_FORMAT;
	for (unsigned i = 0; args[i]; i++)
		if ((r = take_arg(c, args[i], out, i)) < 0)
			return r;
	return 1;
}

int ops_check(struct slice seq, uint32_t *n, bool *finish)
{
	struct cursor c = cursor_of(seq);
	struct op_view op;
	int r;

	*n = 0;
	*finish = false;
	if (seq.n == 0)
		return OK;
	while ((r = ops_next(&c, &op)) == 1) {
		if (++*n > PROTO_MAX_OPS)
			return ERR_RANGE;
		if (op.op == OP_CTX_SET_FINISH)
			*finish = true;
	}
	return r;
}
