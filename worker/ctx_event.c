/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctx_event: the bytes of a run: where its maps are, the header fields, and
 * what the ops of earlier scripts lay over them. Start at ctx_begin().
 */
#include "worker/ctx.h"

/* --- ops of earlier scripts --- */

static void lay_op(struct ctx *c, const struct op_view *op)
{
	struct overlay *o = &c->over;

	o->has[op->op] = true;
	o->last[op->op] = span_of(c, op->a);
	if (op->op <= OP_REQ_DEL_HEADER)
		o->req = true;
	else if (op->op <= OP_RESP_DEL_HEADER)
		o->resp = true;
	if (op->op == OP_RESP_SET_STATUS)
		o->status = op->i;
	if (op->op >= OP_REQ_SET_HEADER && op->op <= OP_REQ_DEL_HEADER)
		o->headers[0] = true;
	if (op->op >= OP_RESP_SET_HEADER && op->op <= OP_RESP_DEL_HEADER)
		o->headers[1] = true;
	if (op->op == OP_REQ_SET_URL) {
		o->has[OP_REQ_SET_HOST] = o->has[OP_REQ_SET_SCHEME] = false;
		o->has[OP_REQ_SET_PATH] = o->has[OP_REQ_SET_QUERY] = false;
	}
}

static int lay_ops(struct ctx *c)
{
	struct cursor cur = cursor_of(span_slice(c, c->ops));
	struct op_view op;
	int r;

	while ((r = ops_next(&cur, &op)) == 1)
		lay_op(c, &op);
	return r;
}

int ctx_begin(struct ctx *c, const uint8_t *base, struct slice event,
	      struct slice ops, struct slice extra)
{
	c->base = base;
	c->event = span_of(c, event);
	c->ops = span_of(c, ops);
	c->extra = span_of(c, extra);
	c->req.open = c->resp.open = c->ws.open = false;
	headers_clear(&c->headers[0]);
	headers_clear(&c->headers[1]);
	memset(c->seen, 0, sizeof(c->seen));
	memset(c->kept, 0, sizeof(c->kept));
	c->has_event = event.n > 0 && fields_open(&c->root, base, c->event.off,
						  c->event.off + c->event.len);
	if (event.n && !c->has_event)
		return ERR_FORMAT;
	c->over = (struct overlay){0};
	return ops.n ? lay_ops(c) : OK;
}

void ctx_move(struct ctx *c, const uint8_t *base)
{
	c->base = base;
}

/* --- headers --- */

static bool is_header_op(enum op op, bool resp)
{
	if (resp)
		return op >= OP_RESP_SET_HEADER && op <= OP_RESP_DEL_HEADER;
	return op >= OP_REQ_SET_HEADER && op <= OP_REQ_DEL_HEADER;
}

static void apply_headers(struct ctx *c, bool resp)
{
	struct cursor cur = cursor_of(span_slice(c, c->ops));
	struct headers *h = &c->headers[resp];
	struct op_view op;

	while (ops_next(&cur, &op) == 1) {
		if (!is_header_op(op.op, resp))
			continue;
		if (op.op == OP_REQ_SET_HEADER || op.op == OP_RESP_SET_HEADER)
			headers_set(h, c->base, &op);
		else if (op.op == OP_REQ_ADD_HEADER ||
			 op.op == OP_RESP_ADD_HEADER)
			headers_add(h, c->base, &op);
		else
			headers_del(h, c->base, op.a);
	}
}

struct headers *ctx_headers(struct ctx *c, bool resp)
{
	struct headers *h = &c->headers[resp];
	struct fields *side;

	if (h->ready)
		return h;
	h->ready = true;
	if (!c->has_event)
		return h;
	side = ctx_side(c, resp);
	/* Headers that make no sense are as good as none. */
	if (headers_load(h, c->base,
			 fields_find(side, c->base, FIELD_HEADERS)) < 0) {
		headers_clear(h);
		h->ready = true;
	}
	if (c->over.headers[resp])
		apply_headers(c, resp);
	return h;
}

/* --- maps --- */

static struct fields *open_map(struct ctx *c, struct fields *f, enum field at)
{
	struct slice raw;

	if (f->open)
		return f;
	raw = fields_find(&c->root, c->base, at);
	if (raw.n == 0) {
		*f = (struct fields){.open = true};
		return f;
	}
	(void)fields_open(f, c->base, (uint32_t)(raw.p - c->base),
			  (uint32_t)(raw.p + raw.n - c->base));
	return f;
}

struct fields *ctx_side(struct ctx *c, bool resp)
{
	return resp ? open_map(c, &c->resp, FIELD_RESP)
		    : open_map(c, &c->req, FIELD_REQ);
}

struct fields *ctx_ws(struct ctx *c)
{
	return open_map(c, &c->ws, FIELD_WS);
}
