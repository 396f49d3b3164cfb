/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert: see convert.h. What comes from the broker has been scanned, so its
 * depth is bounded; what comes from a script is bounded here.
 */
#include "worker/convert.h"

#include <lauxlib.h>

#include "proto/pack.h"
#include "worker/heap.h"
#include "worker/libs.h"

enum { ENTRY_BYTES = 16 }; /* of a Lua array */

static void push(lua_State *L, struct cursor *c, const char *null);

/* Somebody else decides how large a value is: the script must fail, not its
 * worker, so some of the heap is left over. */
static void room(lua_State *L, size_t n)
{
	vm_room(L, heap_limit() / 16 + n);
}

static void push_slice(lua_State *L, struct slice s)
{
	room(L, s.n);
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

/* One value in a container, where a nil would leave no trace. */
static void push_inner(lua_State *L, struct cursor *c, const char *null)
{
	if (null && cursor_nil(c))
		lua_pushstring(L, null);
	else
		push(L, c, null);
}

/* Room for the whole table first, since each entry came in at least a byte. */
static void push_array(lua_State *L, struct cursor *c, const char *null)
{
	uint32_t n = cursor_array(c);

	room(L, (size_t)n * ENTRY_BYTES);
	lua_createtable(L, (int)n, 0);
	for (uint32_t i = 1; i <= n && !c->error; i++) {
		push_inner(L, c, null);
		lua_rawseti(L, -2, i);
	}
}

static void push_map(lua_State *L, struct cursor *c, const char *null)
{
	uint32_t n = cursor_map(c);

	room(L, (size_t)n * 4 * ENTRY_BYTES);
	lua_createtable(L, 0, (int)n);
	while (n-- && !c->error) {
		bool usable;

		convert_push(L, c);
		usable = !lua_isnil(L, -1) &&
			 (lua_type(L, -1) != LUA_TNUMBER ||
			  lua_rawequal(L, -1, -1)); /* no NaN as a key */
		push_inner(L, c, null);
		if (usable)
			lua_rawset(L, -3);
		else
			lua_pop(L, 2);
	}
}

static void push(lua_State *L, struct cursor *c, const char *null)
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
		push_array(L, c, null);
		return;
	case CURSOR_MAP:
		push_map(L, c, null);
		return;
	default:
		cursor_skip(c);
		lua_pushnil(L);
	}
}

void convert_push(lua_State *L, struct cursor *c)
{
	push(L, c, NULL);
}

void convert_push_nulls(lua_State *L, struct cursor *c, const char *null)
{
	push(L, c, null);
}

struct packer {
	lua_State *L;
	struct buf *out;
	const char *why;
	bool exact; /* whole floats stay floats */
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
	else if (!p->exact && lua_numbertointeger(v, &whole) &&
		 (lua_Number)whole == v)
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

static const char *pack(struct packer *p, int index)
{
	size_t start = p->out->n;

	pack_value(p, lua_absindex(p->L, index), 0);
	if (!p->why && buf_error(p->out))
		p->why = "too large";
	if (p->why) {
		buf_clear(p->out);
		p->out->n = start;
	}
	return p->why;
}

const char *convert_pack(lua_State *L, int index, struct buf *out)
{
	struct packer p = {.L = L, .out = out};

	return pack(&p, index);
}

const char *convert_pack_exact(lua_State *L, int index, struct buf *out)
{
	struct packer p = {.L = L, .out = out, .exact = true};

	return pack(&p, index);
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
