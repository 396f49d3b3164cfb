/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctx: the lazy tables: life, look-up, and turning them into ordinary ones.
 * What a field's value is says ctx_value.c; bodies, which may have to be
 * fetched, are in ctx_body.c. Start at index_fields().
 */
#include "worker/ctx.h"

#include "worker/convert.h"
#include "worker/lane.h"

#define BIT(f) (1u << (f))

_Static_assert(FIELD_COUNT <= 32, "a field is a bit of a word");

static const uint32_t masks[VIEW_COUNT] = {
	[VIEW_CTX] = BIT(FIELD_ID) | BIT(FIELD_SESSION_ID) |
		     BIT(FIELD_IS_FINISHED) | BIT(FIELD_REQ) | BIT(FIELD_RESP),
	[VIEW_REQ] = BIT(FIELD_PROTO) | BIT(FIELD_HOST) | BIT(FIELD_SCHEME) |
		     BIT(FIELD_METHOD) | BIT(FIELD_PATH) | BIT(FIELD_QUERY) |
		     BIT(FIELD_URL) | BIT(FIELD_REMOTE_ADDR) |
		     BIT(FIELD_HEADERS) | BIT(FIELD_COOKIES) | BIT(FIELD_BODY) |
		     BIT(FIELD_CONTENT_LENGTH),
	[VIEW_RESP] = BIT(FIELD_STATUS) | BIT(FIELD_STATUS_CODE) |
		      BIT(FIELD_PROTO) | BIT(FIELD_HEADERS) |
		      BIT(FIELD_COOKIES) | BIT(FIELD_BODY) |
		      BIT(FIELD_CONTENT_LENGTH),
	[VIEW_WS] = BIT(FIELD_DIRECTION) | BIT(FIELD_OPCODE) |
		    BIT(FIELD_OPCODE_NAME) | BIT(FIELD_DATA) | BIT(FIELD_TEXT) |
		    BIT(FIELD_TIMESTAMP),
};

/* Tables and what is dear to find are kept at once, the rest when it is asked
 * for a second time: most scripts ask once. */
static const uint32_t keep_at_once = BIT(FIELD_REQ) | BIT(FIELD_RESP) |
				     BIT(FIELD_HEADERS) | BIT(FIELD_QUERY) |
				     BIT(FIELD_COOKIES);

static void push_value(lua_State *L, struct lane *l, enum view v, enum field f)
{
	switch (v) {
	case VIEW_CTX:
		ctx_value_root(L, l, f);
		return;
	case VIEW_REQ:
		ctx_value_req(L, l, f);
		return;
	case VIEW_RESP:
		ctx_value_resp(L, l, f);
		return;
	default:
		ctx_value_ws(L, l, f);
	}
}

/* Which body is this field of that view? BODY_COUNT: none. */
static enum body body_of(enum view v, enum field f)
{
	if (f == FIELD_BODY)
		return v == VIEW_REQ ? BODY_REQ : BODY_RESP;
	if (f == FIELD_DATA || f == FIELD_TEXT)
		return BODY_WS;
	return BODY_COUNT;
}

/* text is data of a text message. */
static bool has_text(struct lane *l)
{
	struct slice op =
		fields_find(ctx_ws(&l->ctx), l->ctx.base, FIELD_OPCODE);
	struct cursor c = cursor_of(op);

	return op.n && cursor_int(&c) == 1;
}

/* __index: a table and a key that it does not have (any more). */
static int index_fields(lua_State *L, enum view v)
{
	struct lane *l = lane_of(L);
	enum field f;
	enum body body;
	size_t n;
	const char *key;

	if (lua_type(L, 2) != LUA_TSTRING)
		return 0;
	key = lua_tolstring(L, 2, &n);
	f = field_parse(slice_of(key, n));
	if (!(masks[v] & BIT(f)))
		return 0;
	if (l->ctx.kept[v] & BIT(f))
		return 0; /* it was there: the script has removed it */
	body = body_of(v, f);
	if (body != BODY_COUNT) {
		if (f == FIELD_TEXT && !has_text(l))
			return 0;
		return ctx_body_index(L, l, body);
	}
	push_value(L, l, v, f);
	if ((l->ctx.seen[v] | keep_at_once) & BIT(f)) {
		l->ctx.kept[v] |= BIT(f);
		lua_pushvalue(L, 2);
		lua_pushvalue(L, -2);
		lua_rawset(L, 1);
	}
	l->ctx.seen[v] |= BIT(f);
	return 1;
}

static int index_ctx(lua_State *L)
{
	return index_fields(L, VIEW_CTX);
}

static int index_req(lua_State *L)
{
	return index_fields(L, VIEW_REQ);
}

static int index_resp(lua_State *L)
{
	return index_fields(L, VIEW_RESP);
}

static int index_ws(lua_State *L)
{
	return index_fields(L, VIEW_WS);
}

static void set_meta(lua_State *L, struct lane *l, int table, enum view v)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, l->ctx.meta[v]);
	lua_setmetatable(L, table);
}

static void fill_fields(lua_State *L, struct lane *l, int t, enum view v)
{
	for (int f = 1; f < FIELD_COUNT; f++) {
		enum body body = body_of(v, (enum field)f);

		if (!(masks[v] & BIT(f)) || (l->ctx.kept[v] & BIT(f)))
			continue;
		lua_pushstring(L, field_name((enum field)f));
		if (body == BODY_COUNT)
			push_value(L, l, v, (enum field)f);
		else if (f == FIELD_TEXT && !has_text(l))
			lua_pushnil(L);
		else
			ctx_body_push(L, l, body);
		lua_rawset(L, t);
		l->ctx.kept[v] |= BIT(f);
	}
	lua_pushnil(L);
	lua_setmetatable(L, t);
}

static bool same_name(const struct header *a, const struct header *b,
		      const uint8_t *base)
{
	return !a->dead && !a->kept &&
	       header_name_eq(header_name(a, base), header_name(b, base));
}

/* Push the list of the values of header i's name; they count as kept. */
static void push_values(lua_State *L, struct ctx *c, struct headers *h,
			size_t i)
{
	struct header *first = headers_at(h, i), *one;
	lua_Integer n = 0;

	lua_createtable(L, 1, 0);
	for (size_t j = i; j < headers_count(h); j++) {
		struct slice value;

		one = headers_at(h, j);
		if (one != first && !same_name(one, first, c->base))
			continue;
		one->kept = true;
		value = header_value(one, c->base);
		lua_pushlstring(L, (const char *)value.p, value.n);
		lua_rawseti(L, -2, ++n);
	}
}

/* One header of the message, by itself: thousands of them must not each look
 * at all others. */
static void add_value(lua_State *L, struct slice value)
{
	ctx_room(L);
	lua_pushlstring(L, (const char *)value.p, value.n);
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static void fill_headers(lua_State *L, struct lane *l, int t, bool resp)
{
	struct headers *h = ctx_headers(&l->ctx, resp);
	uint8_t name[256];

	for (size_t i = 0; i < headers_count(h); i++) {
		struct header *one = headers_at(h, i);
		struct slice raw = header_name(one, l->ctx.base);

		if (one->dead || one->kept || raw.n > sizeof(name))
			continue;
		header_canonical(raw, name);
		lua_pushlstring(L, (const char *)name, raw.n);
		lua_pushvalue(L, -1);
		if (lua_rawget(L, t) != LUA_TTABLE) {
			lua_pop(L, 1);
			lua_createtable(L, 1, 0);
			lua_pushvalue(L, -2);
			lua_pushvalue(L, -2);
			lua_rawset(L, t);
		}
		add_value(L, header_value(one, l->ctx.base));
		lua_pop(L, 2);
		one->kept = true;
	}
	set_meta(L, l, t, VIEW_FILLED_HEADERS);
}

static void fill_pairs(lua_State *L, struct slice map, int t)
{
	struct cursor c = cursor_of(map);
	uint32_t n = c.p == c.end ? 0 : cursor_map(&c);

	while (n-- && !c.error) {
		convert_push(L, &c);
		convert_push(L, &c);
		if (lua_isnil(L, -2))
			lua_pop(L, 2);
		else
			lua_rawset(L, t);
	}
}

/* A trial brings a config of its own: its keys lie over the script's. */
static bool find_trial(const struct ctx *c, struct slice *map)
{
	return map_find(span_slice(c, c->extra), "config", map);
}

static void fill_config(lua_State *L, struct lane *l, int t)
{
	struct slice trial;

	l->ctx.config_dirty = true;
	lua_pushnil(L);
	lua_setmetatable(L, t);
	fill_pairs(L, buf_slice(&l->host->script->config), t);
	if (find_trial(&l->ctx, &trial))
		fill_pairs(L, trial, t);
}

static void fill_view(lua_State *L, struct lane *l, int t, enum view v)
{
	luaL_checkstack(L, 8, NULL);
	switch (v) {
	case VIEW_REQ_HEADERS:
	case VIEW_RESP_HEADERS:
		fill_headers(L, l, t, v == VIEW_RESP_HEADERS);
		return;
	case VIEW_CONFIG:
		fill_config(L, l, t);
		return;
	case VIEW_FILLED_HEADERS:
		return;
	case VIEW_DEAD:
		luaL_error(L, "this event is over");
		return;
	default:
		fill_fields(L, l, t, v);
	}
}

/* VIEW_COUNT: an ordinary table. */
static enum view view_of(lua_State *L, struct lane *l, int index)
{
	const void *meta;
	int v;

	if (!lua_istable(L, index) || !lua_getmetatable(L, index))
		return VIEW_COUNT;
	meta = lua_topointer(L, -1);
	lua_pop(L, 1);
	for (v = 0; v < VIEW_COUNT; v++)
		if (l->ctx.meta_p[v] == meta)
			break;
	return (enum view)v;
}

bool ctx_fill(lua_State *L, int index)
{
	struct lane *l = lane_of(L);
	enum view v = view_of(L, l, index);

	if (v == VIEW_COUNT)
		return false;
	fill_view(L, l, lua_absindex(L, index), v);
	return true;
}

/* __newindex: a key that the table does not have yet. */
static int write_view(lua_State *L)
{
	struct lane *l = lane_of(L);

	lua_settop(L, 3);
	fill_view(L, l, 1, view_of(L, l, 1));
	lua_rawset(L, 1);
	return 0;
}

/* Push table[canonical form of the key], when that is another string. */
static bool push_canonical(lua_State *L, struct slice key)
{
	uint8_t name[256];

	if (key.n > sizeof(name) || header_canonical(key, name))
		return false;
	lua_pushlstring(L, (const char *)name, key.n);
	lua_pushvalue(L, -1);
	lua_rawget(L, 1);
	return true;
}

static int index_filled(lua_State *L)
{
	size_t n;
	const char *key;

	if (lua_type(L, 2) != LUA_TSTRING)
		return 0;
	key = lua_tolstring(L, 2, &n);
	return push_canonical(L, slice_of(key, n)) ? 1 : 0;
}

static int index_headers(lua_State *L, bool resp)
{
	struct lane *l = lane_of(L);
	struct headers *h;
	struct slice key;

	if (lua_type(L, 2) != LUA_TSTRING)
		return 0;
	key.p = (const uint8_t *)lua_tolstring(L, 2, &key.n);
	if (push_canonical(L, key)) {
		if (!lua_isnil(L, -1))
			return 1;
		lua_pop(L, 1);
		lua_replace(L, 2);
		key.p = (const uint8_t *)lua_tolstring(L, 2, &key.n);
	}
	h = ctx_headers(&l->ctx, resp);
	for (size_t i = 0; i < headers_count(h); i++) {
		struct header *one = headers_at(h, i);

		if (one->dead || one->kept ||
		    !header_name_eq(header_name(one, l->ctx.base), key))
			continue;
		lua_pushvalue(L, 2);
		push_values(L, &l->ctx, h, i);
		lua_pushvalue(L, -1);
		lua_insert(L, -3);
		lua_rawset(L, 1);
		return 1;
	}
	return 0;
}

static int index_req_headers(lua_State *L)
{
	return index_headers(L, false);
}

static int index_resp_headers(lua_State *L)
{
	return index_headers(L, true);
}

static int index_config(lua_State *L)
{
	fill_config(L, lane_of(L), 1);
	lua_settop(L, 2);
	lua_rawget(L, 1);
	return 1;
}

static int index_dead(lua_State *L)
{
	return luaL_error(L, "this event is over");
}

static void make_meta(struct lane *l, enum view v, lua_CFunction index,
		      lua_CFunction newindex)
{
	lua_State *L = l->vm.L;

	lua_newtable(L);
	lua_pushcfunction(L, index);
	lua_setfield(L, -2, "__index");
	if (newindex) {
		lua_pushcfunction(L, newindex);
		lua_setfield(L, -2, "__newindex");
	}
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	l->ctx.meta_p[v] = lua_topointer(L, -1);
	l->ctx.meta[v] = luaL_ref(L, LUA_REGISTRYINDEX);
}

static void put_config(struct lane *l)
{
	lua_State *L = l->vm.L;

	lua_newtable(L);
	set_meta(L, l, lua_gettop(L), VIEW_CONFIG);
	vm_global(&l->vm, "config");
	l->ctx.config_dirty = false;
}

void ctx_open(struct lane *l, bool keep)
{
	make_meta(l, VIEW_CTX, index_ctx, write_view);
	make_meta(l, VIEW_REQ, index_req, write_view);
	make_meta(l, VIEW_RESP, index_resp, write_view);
	make_meta(l, VIEW_WS, index_ws, write_view);
	make_meta(l, VIEW_REQ_HEADERS, index_req_headers, write_view);
	make_meta(l, VIEW_RESP_HEADERS, index_resp_headers, write_view);
	make_meta(l, VIEW_CONFIG, index_config, write_view);
	make_meta(l, VIEW_FILLED_HEADERS, index_filled, NULL);
	make_meta(l, VIEW_DEAD, index_dead, index_dead);
	l->ctx.keep = keep;
	l->ctx.own_config = LUA_NOREF;
	lua_newtable(l->vm.L);
	l->ctx.views = luaL_ref(l->vm.L, LUA_REGISTRYINDEX);
	put_config(l);
}

void ctx_close(struct ctx *c)
{
	headers_fini(&c->headers[0]);
	headers_fini(&c->headers[1]);
	buf_fini(&c->scratch);
}

void ctx_push_view(lua_State *L, struct lane *l, enum view v)
{
	luaL_checkstack(L, 4, NULL);
	lua_newtable(L);
	set_meta(L, l, lua_gettop(L), v);
	if (!l->ctx.keep)
		return;
	lua_rawgeti(L, LUA_REGISTRYINDEX, l->ctx.views);
	lua_pushvalue(L, -2);
	lua_rawseti(L, -2, (int)v + 1);
	lua_pop(L, 1);
}

/* A plain table from a map of the event or of what the broker adds. */
static void push_plain(lua_State *L, struct ctx *c, const char *key)
{
	struct slice raw, extra = span_slice(c, c->extra);
	struct cursor cur;

	lua_newtable(L);
	if (!map_find(extra, key, &raw) &&
	    !map_find(span_slice(c, c->event), key, &raw))
		return;
	lua_pop(L, 1);
	cur = cursor_of(raw);
	convert_push(L, &cur);
}

static void push_bus_event(lua_State *L, struct ctx *c)
{
	struct cursor cur = cursor_of(span_slice(c, c->event));

	convert_push(L, &cur);
	if (!lua_istable(L, -1))
		return;
	lua_pushnil(L);
	lua_setfield(L, -2, "hops"); /* the broker's own */
}

/* A kept environment may have a metatable of the script's by now. */
static void set_global(lua_State *L, const char *name)
{
	lua_pushstring(L, name);
	lua_insert(L, -2);
	lua_rawset(L, -3);
}

/* globals: script. Its config was filled long ago: a trial gets another one,
 * which ctx_end() takes away again. */
static void lend_config(lua_State *L, struct lane *l)
{
	lua_pushliteral(L, "config");
	lua_rawget(L, -2);
	l->ctx.own_config = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	set_meta(L, l, lua_gettop(L), VIEW_CONFIG);
	set_global(L, "config");
}

static void return_config(lua_State *L, struct lane *l)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, l->ctx.own_config);
	set_global(L, "config");
	luaL_unref(L, LUA_REGISTRYINDEX, l->ctx.own_config);
	l->ctx.own_config = LUA_NOREF;
}

void ctx_globals(lua_State *L, struct lane *l)
{
	struct ctx *c = &l->ctx;
	struct slice trial;

	if (c->keep && find_trial(c, &trial))
		lend_config(L, l);
	if (c->has_event && l->hook != HOOK_FLUSH && l->hook != HOOK_BUS) {
		ctx_push_view(L, l, VIEW_CTX);
		set_global(L, "ctx");
	}
	switch (l->hook) {
	case HOOK_WS_MSG:
		ctx_push_view(L, l, VIEW_WS);
		set_global(L, "ws");
		return;
	case HOOK_ERROR:
		push_plain(L, c, "err");
		set_global(L, "err");
		return;
	case HOOK_FLUSH:
		push_plain(L, c, "opts");
		set_global(L, "opts");
		return;
	case HOOK_BUS:
		push_bus_event(L, c);
		set_global(L, "event");
		return;
	default:
		return;
	}
}

/* A view, or what it has become, ends: empty, and every access raises. */
static void kill_view(lua_State *L, struct lane *l, int t)
{
	lua_pushnil(L);
	while (lua_next(L, t)) {
		lua_pop(L, 1);
		lua_pushvalue(L, -1);
		lua_pushnil(L);
		lua_rawset(L, t);
	}
	set_meta(L, l, t, VIEW_DEAD);
}

void ctx_end(lua_State *L, struct lane *l)
{
	static const char *const names[] = {"ctx", "mut",  "ws",
					    "err", "opts", "event"};
	int env = lua_gettop(L);

	if (!l->ctx.keep) {
		if (l->ctx.config_dirty)
			put_config(l);
		return;
	}
	if (l->ctx.own_config != LUA_NOREF)
		return_config(L, l);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		lua_pushstring(L, names[i]);
		lua_pushnil(L);
		lua_rawset(L, env);
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, l->ctx.views);
	for (int v = 0; v < VIEW_COUNT; v++) {
		if (lua_rawgeti(L, env + 1, v + 1) == LUA_TTABLE)
			kill_view(L, l, env + 2);
		lua_pop(L, 1);
		lua_pushnil(L);
		lua_rawseti(L, env + 1, v + 1);
	}
	lua_settop(L, env);
}
