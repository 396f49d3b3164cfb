/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctx_value: what each field of an event is, from its bytes and from the ops
 * of earlier scripts that lie over them. Start at ctx_value_req().
 */
#include "worker/convert.h"
#include "worker/cookies.h"
#include "worker/heap.h"
#include "worker/lane.h"
#include "worker/libs.h"
#include "worker/status.h"
#include "worker/url.h"

void ctx_room(lua_State *L)
{
	vm_room(L, heap_limit() / 16);
}

static void push_slice(lua_State *L, struct slice s)
{
	lua_pushlstring(L, s.n ? (const char *)s.p : "", s.n);
}

static struct slice scratch(struct ctx *c)
{
	return buf_slice(&c->scratch);
}

static bool is_map(struct slice raw)
{
	struct cursor c = cursor_of(raw);

	return raw.n && cursor_peek(&c) == CURSOR_MAP;
}

void ctx_value_root(lua_State *L, struct lane *l, enum field f)
{
	struct ctx *c = &l->ctx;
	struct slice raw = fields_find(&c->root, c->base, f);
	struct cursor cur = cursor_of(raw);

	switch (f) {
	case FIELD_REQ:
		if (is_map(raw))
			ctx_push_view(L, l, VIEW_REQ);
		else
			lua_pushnil(L);
		return;
	case FIELD_RESP:
		if (is_map(raw) || c->over.resp)
			ctx_push_view(L, l, VIEW_RESP);
		else
			lua_pushnil(L);
		return;
	case FIELD_IS_FINISHED:
		lua_pushboolean(L, c->over.has[OP_CTX_SET_FINISH] ||
					   (raw.n && cursor_bool(&cur)));
		return;
	default:
		push_slice(L, value_text(raw));
	}
}

/* --- request line --- */

static bool url_changed(const struct ctx *c)
{
	const bool *has = c->over.has;

	return has[OP_REQ_SET_HOST] || has[OP_REQ_SET_SCHEME] ||
	       has[OP_REQ_SET_PATH] || has[OP_REQ_SET_QUERY];
}

static struct slice last(struct ctx *c, enum op op)
{
	return span_slice(c, c->over.last[op]);
}

static struct slice query_op(struct ctx *c)
{
	return last(c, OP_REQ_SET_QUERY);
}

/* The URL before host, scheme, path or query were set one by one. */
static struct slice base_url(struct ctx *c)
{
	if (c->over.has[OP_REQ_SET_URL])
		return last(c, OP_REQ_SET_URL);
	return ctx_text(c, false, FIELD_URL);
}

static struct slice header_text(struct ctx *c, const char *name)
{
	struct headers *h = ctx_headers(c, false);

	for (size_t i = 0; i < headers_count(h); i++) {
		struct header *one = headers_at(h, i);

		if (!one->dead &&
		    header_name_eq(header_name(one, c->base), slice_str(name)))
			return header_value(one, c->base);
	}
	return (struct slice){0};
}

static struct slice host_of(struct ctx *c)
{
	struct slice text = {0};

	if (c->over.has[OP_REQ_SET_HOST])
		return last(c, OP_REQ_SET_HOST);
	if (!c->over.has[OP_REQ_SET_URL])
		text = ctx_text(c, false, FIELD_HOST);
	if (text.n == 0)
		text = url_split(base_url(c)).host;
	return text.n ? text : header_text(c, "host");
}

static struct slice scheme_of(struct ctx *c)
{
	struct slice text = {0};

	if (c->over.has[OP_REQ_SET_SCHEME])
		return last(c, OP_REQ_SET_SCHEME);
	if (!c->over.has[OP_REQ_SET_URL])
		text = ctx_text(c, false, FIELD_SCHEME);
	return text.n ? text : url_split(base_url(c)).scheme;
}

/* Decoded; in the bytes or in scratch. */
static struct slice path_of(struct ctx *c)
{
	struct slice text = {0};

	buf_clear(&c->scratch);
	if (c->over.has[OP_REQ_SET_PATH])
		text = last(c, OP_REQ_SET_PATH);
	else if (!c->over.has[OP_REQ_SET_URL])
		text = ctx_text(c, false, FIELD_PATH);
	if (text.n)
		return text;
	url_decode(url_split(base_url(c)).path, false, &c->scratch);
	return scratch(c);
}

/* The path may be in scratch, where the result goes too. */
static struct slice joined(struct ctx *c, const struct url *u,
			   struct slice path)
{
	bool own = path.n && path.p == c->scratch.p;
	size_t start = own ? path.n : 0;
	uint8_t *room;

	if (!own)
		buf_clear(&c->scratch);
	if (buf_reserve(&c->scratch,
			u->scheme.n + u->host.n + u->path.n + u->query.n +
				3 * path.n + 8,
			&room) < 0)
		return (struct slice){0};
	if (own)
		path.p = c->scratch.p;
	url_join(u, path, &c->scratch);
	return slice_of(c->scratch.p + start, c->scratch.n - start);
}

static void push_url(lua_State *L, struct ctx *c)
{
	struct slice text = base_url(c), path = {0};
	struct url u = url_split(text);

	if (text.n && !url_changed(c)) {
		push_slice(L, text);
		return;
	}
	u.host = host_of(c);
	u.scheme = scheme_of(c);
	if (c->over.has[OP_REQ_SET_QUERY]) {
		u.query = query_op(c);
		u.has_query = u.query.n > 0;
	}
	if (c->over.has[OP_REQ_SET_PATH] || u.path.n == 0)
		path = path_of(c);
	if (u.host.n)
		text = joined(c, &u, path);
	push_slice(L, text);
}

static void push_decoded(lua_State *L, struct ctx *c, struct slice s)
{
	buf_clear(&c->scratch);
	url_decode(s, true, &c->scratch);
	push_slice(L, scratch(c));
}

static void push_pairs(lua_State *L, struct ctx *c, struct slice query)
{
	struct slice name, value;

	lua_newtable(L);
	while (url_pair(&query, &name, &value)) {
		ctx_room(L);
		push_decoded(L, c, name);
		lua_pushvalue(L, -1);
		if (lua_rawget(L, -3) != LUA_TTABLE) {
			lua_pop(L, 1);
			lua_createtable(L, 1, 0);
			lua_pushvalue(L, -2);
			lua_pushvalue(L, -2);
			lua_rawset(L, -5);
		}
		push_decoded(L, c, value);
		lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
		lua_pop(L, 2);
	}
}

static void push_query(lua_State *L, struct ctx *c)
{
	struct slice raw = ctx_find(c, false, FIELD_QUERY);
	struct cursor cur = cursor_of(raw);

	if (c->over.has[OP_REQ_SET_QUERY])
		push_pairs(L, c, query_op(c));
	else if (is_map(raw) && !c->over.has[OP_REQ_SET_URL])
		convert_push(L, &cur);
	else
		push_pairs(L, c, url_split(base_url(c)).query);
}

/* --- cookies --- */

static void set_slice(lua_State *L, const char *key, struct slice s)
{
	push_slice(L, s);
	lua_setfield(L, -2, key);
}

static void set_bool(lua_State *L, const char *key, bool v)
{
	lua_pushboolean(L, v);
	lua_setfield(L, -2, key);
}

static void set_int(lua_State *L, const char *key, int64_t v)
{
	lua_pushinteger(L, v);
	lua_setfield(L, -2, key);
}

/* Scripts see all eleven fields, for a request's cookies too. */
static void push_cookie(lua_State *L, const struct set_cookie *c)
{
	ctx_room(L);
	lua_createtable(L, 0, 11);
	set_slice(L, "name", c->cookie.name);
	set_slice(L, "value", c->cookie.value);
	set_bool(L, "quoted", c->cookie.quoted);
	set_slice(L, "path", c->path);
	set_slice(L, "domain", c->domain);
	set_int(L, "expires", c->expires_ms);
	set_int(L, "max_age", c->max_age);
	set_bool(L, "secure", c->secure);
	set_bool(L, "http_only", c->http_only);
	set_slice(L, "same_site", c->same_site);
	set_bool(L, "partitioned", c->partitioned);
}

static lua_Integer push_line(lua_State *L, struct slice line, bool resp,
			     lua_Integer n)
{
	struct set_cookie c = {.expires_ms = COOKIE_NO_EXPIRY};

	if (resp) {
		if (!set_cookie_parse(line, &c))
			return n;
		push_cookie(L, &c);
		lua_rawseti(L, -2, ++n);
		return n;
	}
	while (cookie_next(&line, &c.cookie)) {
		push_cookie(L, &c);
		lua_rawseti(L, -2, ++n);
	}
	return n;
}

static void push_cookies(lua_State *L, struct ctx *c, bool resp)
{
	struct slice field = slice_str(resp ? "set-cookie" : "cookie");
	struct slice raw = ctx_find(c, resp, FIELD_COOKIES);
	struct cursor cur = cursor_of(raw);
	struct headers *h;
	lua_Integer n = 0;

	if (raw.n && !c->over.headers[resp] &&
	    cursor_peek(&cur) == CURSOR_ARRAY) {
		convert_push(L, &cur);
		if (lua_rawlen(L, -1) > 0)
			return;
		lua_pop(L, 1);
	}
	lua_newtable(L);
	h = ctx_headers(c, resp);
	for (size_t i = 0; i < headers_count(h); i++) {
		struct header *one = headers_at(h, i);

		if (!one->dead &&
		    header_name_eq(header_name(one, c->base), field))
			n = push_line(L, header_value(one, c->base), resp, n);
	}
	if (n > 0)
		return;
	lua_pop(L, 1);
	lua_pushnil(L);
}

/* --- the two messages and the WebSocket message --- */

static void push_length(lua_State *L, struct lane *l, bool resp)
{
	struct ctx *c = &l->ctx;
	bool changed = c->over.has[resp ? OP_RESP_SET_BODY : OP_REQ_SET_BODY];
	struct slice raw = ctx_find(c, resp, FIELD_CONTENT_LENGTH);
	struct cursor cur = cursor_of(raw);
	int64_t n = raw.n && !changed ? cursor_int(&cur) : -1;

	if (n < 0 || cur.error)
		n = (int64_t)ctx_body_length(l, resp ? BODY_RESP : BODY_REQ);
	lua_pushinteger(L, n);
}

void ctx_value_req(lua_State *L, struct lane *l, enum field f)
{
	struct ctx *c = &l->ctx;

	switch (f) {
	case FIELD_METHOD:
		if (c->over.has[OP_REQ_SET_METHOD])
			push_slice(L, last(c, OP_REQ_SET_METHOD));
		else
			push_slice(L, ctx_text(c, false, f));
		return;
	case FIELD_PATH:
		push_slice(L, path_of(c));
		return;
	case FIELD_HOST:
		push_slice(L, host_of(c));
		return;
	case FIELD_SCHEME:
		push_slice(L, scheme_of(c));
		return;
	case FIELD_URL:
		push_url(L, c);
		return;
	case FIELD_QUERY:
		push_query(L, c);
		return;
	case FIELD_HEADERS:
		ctx_push_view(L, l, VIEW_REQ_HEADERS);
		return;
	case FIELD_COOKIES:
		push_cookies(L, c, false);
		return;
	case FIELD_CONTENT_LENGTH:
		push_length(L, l, false);
		return;
	default:
		push_slice(L, ctx_text(c, false, f));
	}
}

static int64_t status_code(struct ctx *c)
{
	struct slice raw = ctx_find(c, true, FIELD_STATUS_CODE);
	struct cursor cur = cursor_of(raw);
	int64_t n = 0;

	if (c->over.has[OP_RESP_SET_STATUS])
		return c->over.status;
	if (raw.n)
		return cursor_int(&cur);
	raw = ctx_text(c, true, FIELD_STATUS);
	for (size_t i = 0; i < raw.n && i < 3; i++)
		if (raw.p[i] >= '0' && raw.p[i] <= '9')
			n = n * 10 + (raw.p[i] - '0');
	return n ? n : 200;
}

static void push_status(lua_State *L, struct ctx *c)
{
	struct slice text = ctx_text(c, true, FIELD_STATUS);
	int64_t code = status_code(c);
	const char *reason = status_text(code);

	if (text.n && !c->over.has[OP_RESP_SET_STATUS])
		push_slice(L, text);
	else if (*reason)
		lua_pushfstring(L, "%I %s", (LUAI_UACINT)code, reason);
	else
		lua_pushfstring(L, "%I", (LUAI_UACINT)code);
}

void ctx_value_resp(lua_State *L, struct lane *l, enum field f)
{
	struct ctx *c = &l->ctx;

	switch (f) {
	case FIELD_STATUS:
		push_status(L, c);
		return;
	case FIELD_STATUS_CODE:
		lua_pushinteger(L, status_code(c));
		return;
	case FIELD_HEADERS:
		ctx_push_view(L, l, VIEW_RESP_HEADERS);
		return;
	case FIELD_COOKIES:
		push_cookies(L, c, true);
		return;
	case FIELD_CONTENT_LENGTH:
		push_length(L, l, true);
		return;
	default:
		push_slice(L, ctx_text(c, true, f));
	}
}

static const char *opcode_name(int64_t opcode)
{
	switch (opcode) {
	case 0:
		return "continuation";
	case 1:
		return "text";
	case 2:
		return "binary";
	case 8:
		return "close";
	case 9:
		return "ping";
	case 10:
		return "pong";
	default:
		return "unknown";
	}
}

void ctx_value_ws(lua_State *L, struct lane *l, enum field f)
{
	struct ctx *c = &l->ctx;
	struct fields *ws = ctx_ws(c);
	struct slice raw = fields_find(ws, c->base, f);
	struct cursor cur = cursor_of(raw);
	struct slice op;

	switch (f) {
	case FIELD_OPCODE:
	case FIELD_TIMESTAMP:
		lua_pushinteger(L, raw.n ? cursor_int(&cur) : 0);
		return;
	case FIELD_OPCODE_NAME:
		op = fields_find(ws, c->base, FIELD_OPCODE);
		cur = cursor_of(op);
		lua_pushstring(L, opcode_name(op.n ? cursor_int(&cur) : -1));
		return;
	default:
		push_slice(L, value_text(raw));
	}
}
