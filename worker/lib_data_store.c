/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_data_store: data_store.exists read list (also as `data`): read-only
 * files that the broker serves. The names that it answers are relative to the
 * root, as are those that it is asked for.
 */
#include "proto/pack.h"
#include "proto/unpack.h"
#include "worker/convert.h"
#include "worker/lib.h"
#include "worker/libs.h"

enum { KEEP = 64 << 10, MAX_SUFFIXES = 1000 };

static int on_exists(lua_State *L, const struct answer *a)
{
	struct cursor c = cursor_of(a->result);

	if (lane_failed(L, a, LUA_TBOOLEAN))
		return 2;
	lua_pushboolean(L, cursor_bool(&c));
	return 1;
}

static int data_exists(lua_State *L)
{
	struct slice name;

	if (!lib_clean(L, convert_text(L, 1), &name)) {
		lua_pushboolean(L, 0);
		return 1;
	}
	pack_text(lane_call_begin(lane_of(L), "data.exists", 1), name);
	return lane_call(L, on_exists);
}

static int on_read(lua_State *L, const struct answer *a)
{
	struct lane *l = lane_of(L);

	if (lane_failed(L, a, LUA_TNIL))
		return 2;
	lua_pushlstring(L, (const char *)l->fetch.bytes.p, l->fetch.bytes.n);
	buf_reset(&l->fetch.bytes, KEEP);
	return 1;
}

static int data_read(lua_State *L)
{
	struct lane *l = lane_of(L);
	struct slice name;

	if (!lib_clean(L, convert_text(L, 1), &name) || name.n == 0) {
		lua_pushnil(L);
		lua_pushliteral(L, "data_store: not the name of a file");
		return 2;
	}
	l->fetch.method = "data.read";
	l->fetch.name = name;
	l->fetch.sized = false;
	l->fetch.done = on_read;
	buf_clear(&l->fetch.bytes);
	return lane_fetch(L, false);
}

/* Does the name end in one of the suffixes of the table at 2? */
static bool wanted(lua_State *L, struct slice name)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, 2);

	if (n == 0)
		return true;
	/* A table with holes may call itself any length. */
	for (lua_Integer i = 1; i <= n && i <= MAX_SUFFIXES; i++) {
		struct slice end = {0};
		bool text = lua_rawgeti(L, 2, i) == LUA_TSTRING;

		if (text)
			end.p = (const uint8_t *)lua_tolstring(L, -1, &end.n);
		lua_pop(L, 1);
		if (text && name.n >= end.n &&
		    memcmp(name.p + name.n - end.n, end.p, end.n) == 0)
			return true;
	}
	return false;
}

static int on_list(lua_State *L, const struct answer *a)
{
	struct cursor c = cursor_of(a->result);
	lua_Integer n = 0;

	if (lane_failed(L, a, LUA_TNIL))
		return 2;
	lua_newtable(L);
	for (uint32_t left = cursor_array(&c); left > 0 && !c.error; left--) {
		struct slice name = cursor_text(&c);

		if (c.error || !wanted(L, name))
			continue;
		lua_pushlstring(L, (const char *)name.p, name.n);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

static int data_list(lua_State *L)
{
	struct slice path = convert_text(L, 1), name;

	lua_settop(L, 2);
	if (lua_isnil(L, 2)) {
		lua_newtable(L);
		lua_replace(L, 2);
	}
	luaL_checktype(L, 2, LUA_TTABLE);
	vm_fill(L, 2);
	if (!lib_clean(L, path, &name)) {
		lua_newtable(L);
		return 1;
	}
	pack_text(lane_call_begin(lane_of(L), "data.list", 1), name);
	return lane_call(L, on_list);
}

const luaL_Reg lib_data_store[] = {
	{"exists", data_exists},
	{"read", data_read},
	{"list", data_list},
	{NULL, NULL},
};
