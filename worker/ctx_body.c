/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctx_body: the values that may be elsewhere: ctx.req.body, ctx.resp.body,
 * ws.data. Inline they are strings of the event; otherwise the broker has
 * them and they come by ranges when first touched.
 */
#include "worker/lane.h"

enum { KEEP = 64 << 10 };

struct where {
	struct slice text; /* inline */
	uint64_t length;
	bool lazy;
};

static const struct {
	enum view view;
	enum op op;
	enum field field;
} places[BODY_COUNT] = {
	[BODY_REQ] = {VIEW_REQ, OP_REQ_SET_BODY, FIELD_BODY},
	[BODY_RESP] = {VIEW_RESP, OP_RESP_SET_BODY, FIELD_BODY},
	[BODY_WS] = {VIEW_WS, OP_WS_SET_DATA, FIELD_DATA},
};

static struct where find(struct ctx *c, enum body which)
{
	enum op op = places[which].op;
	struct fields *f =
		which == BODY_WS ? ctx_ws(c) : ctx_side(c, which == BODY_RESP);
	struct slice raw = fields_find(f, c->base, places[which].field);
	struct cursor cur = cursor_of(raw);
	struct where w = {0};
	struct slice ext;
	int8_t type;

	if (c->over.has[op]) {
		w.text = span_slice(c, c->over.last[op]);
	} else if (raw.n && cursor_peek(&cur) == CURSOR_EXT) {
		ext = cursor_ext(&cur, &type);
		w.lazy = type == PROTO_EXT_LAZY && ext.n == 8;
		for (size_t i = 0; w.lazy && i < 8; i++)
			w.length = w.length << 8 | ext.p[i];
	} else {
		w.text = value_text(raw);
	}
	if (!w.lazy)
		w.length = w.text.n;
	return w;
}

uint64_t ctx_body_length(struct lane *l, enum body which)
{
	return find(&l->ctx, which).length;
}

static void check_size(lua_State *L, struct lane *l, enum body which,
		       uint64_t length)
{
	size_t max = l->host->script->max_body;

	if (length > max)
		luaL_error(L,
			   "too_large: %s has %I bytes, at most %I may be "
			   "read",
			   body_name(which), (LUAI_UACINT)length,
			   (LUAI_UACINT)max);
}

static void begin_fetch(struct lane *l, enum body which, uint64_t length,
			lane_k done)
{
	l->fetch.method = "body.get";
	l->fetch.name = slice_str(body_name(which));
	l->fetch.total = length;
	l->fetch.sized = true;
	l->fetch.done = done;
	buf_clear(&l->fetch.bytes);
}

static int push_fetched(lua_State *L, const struct answer *a)
{
	struct lane *l = lane_of(L);

	lane_check(L, a);
	lua_pushlstring(L, (const char *)l->fetch.bytes.p, l->fetch.bytes.n);
	buf_reset(&l->fetch.bytes, KEEP);
	return 1;
}

/* Bodies are kept at once: to make the string again is dear. */
static int keep(lua_State *L, struct lane *l)
{
	size_t n;
	const char *key = lua_tolstring(L, 2, &n);

	l->ctx.kept[l->fetch.view] |= 1u << field_parse(slice_of(key, n));
	lua_pushvalue(L, 2);
	lua_pushvalue(L, -2);
	lua_rawset(L, 1);
	return 1;
}

static int keep_fetched(lua_State *L, const struct answer *a)
{
	push_fetched(L, a);
	return keep(L, lane_of(L));
}

int ctx_body_index(lua_State *L, struct lane *l, enum body which)
{
	struct where w = find(&l->ctx, which);

	if (w.length == 0)
		return 0;
	check_size(L, l, which, w.length);
	l->fetch.view = places[which].view;
	if (!w.lazy) {
		lua_pushlstring(L, (const char *)w.text.p, w.text.n);
		return keep(L, l);
	}
	begin_fetch(l, which, w.length, keep_fetched);
	return lane_fetch(L, false);
}

void ctx_body_push(lua_State *L, struct lane *l, enum body which)
{
	struct where w = find(&l->ctx, which);

	if (w.length == 0) {
		lua_pushnil(L);
		return;
	}
	check_size(L, l, which, w.length);
	if (!w.lazy) {
		lua_pushlstring(L, (const char *)w.text.p, w.text.n);
		return;
	}
	begin_fetch(l, which, w.length, push_fetched);
	(void)lane_fetch(L, true);
}
