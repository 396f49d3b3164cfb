/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert: see convert.h. What comes from the broker has been scanned, so its
 * depth is bounded; what comes from a script is bounded here.
 */
#include "worker/convert.h"

#include <lauxlib.h>

#include "proto/pack.h"
#include "worker/libs.h"

static void push_slice(lua_State *L, struct slice s)
{
	lua_pushlstring(L, s.n ? (const char *)s.p : "", s.n);
}

static void push_integer(lua_State *L, struct cursor *c)
{
	struct cursor copy = *c;
	int64_t v = cursor_int(&copy);

	if (copy.error) {
		lua_pushnumber(L, cursor_number(c));
		return;
	}
	*c = copy;
	lua_pushinteger(L, v);
}

static void push_array(lua_State *L, struct cursor *c)
{
	uint32_t n = cursor_array(c);

	lua_newtable(L);
	for (uint32_t i = 1; i <= n && !c->error; i++) {
		convert_push(L, c);
		lua_rawseti(L, -2, i);
	}
}

static void push_map(lua_State *L, struct cursor *c)
{
	uint32_t n = cursor_map(c);

	lua_newtable(L);
	while (n-- && !c->error) {
		bool usable;

		convert_push(L, c);
		usable = !lua_isnil(L, -1) &&
			 (lua_type(L, -1) != LUA_TNUMBER ||
			  lua_rawequal(L, -1, -1)); /* no NaN as a key */
		convert_push(L, c);
		if (usable)
			lua_rawset(L, -3);
		else
			lua_pop(L, 2);
	}
}

void convert_push(lua_State *L, struct cursor *c)
{
	luaL_checkstack(L, 4, "value nested too deep");
	switch (cursor_peek(c)) {
	case CURSOR_BOOL:
		lua_pushboolean(L, cursor_bool(c));
		return;
	case CURSOR_INT:
		push_integer(L, c);
		return;
	case CURSOR_FLOAT:
		lua_pushnumber(L, cursor_number(c));
		return;
	case CURSOR_STR:
	case CURSOR_BIN:
		push_slice(L, cursor_text(c));
		return;
	case CURSOR_ARRAY:
		push_array(L, c);
		return;
	case CURSOR_MAP:
		push_map(L, c);
		return;
	default:
		cursor_skip(c);
		lua_pushnil(L);
	}
}

struct packer {
	lua_State *L;
	struct buf *out;
	const char *why;
};

static void pack_value(struct packer *p, int index, unsigned depth);

/* Entries, and whether the keys are 1..n. */
static uint32_t measure(lua_State *L, int index, bool *array)
{
	lua_Integer top = 0;
	uint32_t n = 0;

	*array = true;
	lua_pushnil(L);
	while (lua_next(L, index)) {
		lua_pop(L, 1);
		n++;
		if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1)
			*array = false;
		else if (lua_tointeger(L, -1) > top)
			top = lua_tointeger(L, -1);
	}
	if (top != (lua_Integer)n)
		*array = false;
	return n;
}

static void pack_key(struct packer *p)
{
	if (lua_type(p->L, -2) == LUA_TSTRING) {
		size_t n;
		const char *s = lua_tolstring(p->L, -2, &n);

		pack_text(p->out, slice_of(s, n));
		return;
	}
	if (lua_type(p->L, -2) != LUA_TNUMBER &&
	    lua_type(p->L, -2) != LUA_TBOOLEAN) {
		p->why = "a key is neither text, number nor boolean";
		return;
	}
	pack_text(p->out, convert_tostring(p->L, -2));
	lua_pop(p->L, 1);
}

static void pack_table(struct packer *p, int index, unsigned depth)
{
	bool array;
	uint32_t n;

	if (depth >= CONVERT_DEPTH) {
		p->why = "nested too deep (16 levels)";
		return;
	}
	vm_poll(p->L);
	vm_fill(p->L, index);
	n = measure(p->L, index, &array);
	if (array) {
		pack_array(p->out, n);
		for (uint32_t i = 1; i <= n && !p->why; i++) {
			lua_rawgeti(p->L, index, i);
			pack_value(p, lua_gettop(p->L), depth + 1);
			lua_pop(p->L, 1);
		}
		return;
	}
	pack_map(p->out, n);
	lua_pushnil(p->L);
	while (lua_next(p->L, index)) {
		pack_key(p);
		if (!p->why)
			pack_value(p, lua_gettop(p->L), depth + 1);
		if (p->why) {
			lua_pop(p->L, 2);
			return;
		}
		lua_pop(p->L, 1);
	}
}

static void pack_number(struct packer *p, int index)
{
	lua_Integer whole;
	lua_Number v = lua_tonumber(p->L, index);

	if (lua_isinteger(p->L, index))
		pack_int(p->out, lua_tointeger(p->L, index));
	else if (lua_numbertointeger(v, &whole) && (lua_Number)whole == v)
		pack_int(p->out, whole);
	else
		pack_double(p->out, v);
}

static void pack_value(struct packer *p, int index, unsigned depth)
{
	size_t n;
	const char *s;

	luaL_checkstack(p->L, 8, "value nested too deep");
	if (buf_error(p->out)) {
		p->why = "too large";
		return;
	}
	switch (lua_type(p->L, index)) {
	case LUA_TNIL:
		pack_nil(p->out);
		return;
	case LUA_TBOOLEAN:
		pack_bool(p->out, lua_toboolean(p->L, index));
		return;
	case LUA_TNUMBER:
		pack_number(p, index);
		return;
	case LUA_TSTRING:
		s = lua_tolstring(p->L, index, &n);
		pack_text(p->out, slice_of(s, n));
		return;
	case LUA_TTABLE:
		pack_table(p, index, depth);
		return;
	default:
		p->why = "functions and threads cannot be sent";
	}
}

const char *convert_pack(lua_State *L, int index, struct buf *out)
{
	struct packer p = {.L = L, .out = out};
	size_t start = out->n;

	pack_value(&p, lua_absindex(L, index), 0);
	if (!p.why && buf_error(out))
		p.why = "too large";
	if (p.why) {
		buf_clear(out);
		out->n = start;
	}
	return p.why;
}

struct slice convert_text(lua_State *L, int arg)
{
	lua_Integer whole;
	lua_Number v;
	const char *s;
	size_t n;

	if (lua_type(L, arg) == LUA_TNUMBER && !lua_isinteger(L, arg)) {
		v = lua_tonumber(L, arg);
		if (lua_numbertointeger(v, &whole) && (lua_Number)whole == v) {
			lua_pushinteger(L, whole);
			lua_replace(L, arg);
		}
	}
	s = luaL_checklstring(L, arg, &n);
	return slice_of(s, n);
}

struct slice convert_tostring(lua_State *L, int index)
{
	lua_Integer whole;
	lua_Number v;
	const char *s;
	size_t n;

	if (lua_type(L, index) == LUA_TNUMBER && !lua_isinteger(L, index)) {
		v = lua_tonumber(L, index);
		if (lua_numbertointeger(v, &whole) && (lua_Number)whole == v) {
			lua_pushinteger(L, whole);
			s = lua_tolstring(L, -1, &n);
			return slice_of(s, n);
		}
	}
	s = vm_tostring(L, index, &n);
	return slice_of(s, n);
}

static int call_tostring(lua_State *L)
{
	size_t n;

	vm_tostring(L, 1, &n);
	return 1;
}

void convert_error(lua_State *L)
{
	const char *type = luaL_typename(L, -1);

	if (lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TNUMBER) {
		lua_tolstring(L, -1, NULL);
		return;
	}
	if (luaL_getmetafield(L, -1, "__tostring") != LUA_TNIL) {
		lua_pop(L, 1);
		lua_pushcfunction(L, call_tostring);
		lua_insert(L, -2);
		if (lua_pcall(L, 1, 1, 0) == LUA_OK)
			return;
	}
	lua_pop(L, 1);
	lua_pushfstring(L, "(error object is a %s value)", type);
}
