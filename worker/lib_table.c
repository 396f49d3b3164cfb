/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table library. Lengths may be lies (__len), so every loop has a bound on
 * its elements, far above what fits in a worker's memory, and looks for the
 * stop. Tables without a metatable are read and written raw. table.sort:
 * lib_sort.c.
 */
#include "worker/out.h"
#include "worker/libs.h"

enum { MAX_ELEMENTS = 10000000 };

/* A table argument and how to reach into it. */
struct list_arg {
	lua_State *L;
	int index;
	bool raw;
};

/* What a function does with a list. */
enum { READS = 1, WRITES = 2, MEASURES = 4 };

/* A value that is no table may stand for one if its metatable does it all. */
static bool stands_in(lua_State *L, int index, int needs)
{
	static const char *const fields[] = {"__index", "__newindex", "__len"};

	for (int i = 0; i < 3; i++) {
		if (!(needs & 1 << i))
			continue;
		if (luaL_getmetafield(L, index, fields[i]) == LUA_TNIL)
			return false;
		lua_pop(L, 1);
	}
	return true;
}

static struct list_arg check_list(lua_State *L, int index, int needs)
{
	struct list_arg t = {.L = L, .index = index};
	bool table = lua_istable(L, index);

	if (table)
		vm_fill(L, index);
	if (!lua_getmetatable(L, index)) {
		luaL_checktype(L, index, LUA_TTABLE);
		t.raw = true;
		return t;
	}
	lua_pop(L, 1);
	if (!table && !stands_in(L, index, needs))
		luaL_checktype(L, index, LUA_TTABLE);
	return t;
}

/* A chain of 2000 metatables can stand behind one element: the stop is looked
 * for at each. */
static int get(const struct list_arg *t, lua_Integer i)
{
	if (t->raw)
		return lua_rawgeti(t->L, t->index, i);
	vm_poll(t->L);
	return lua_geti(t->L, t->index, i);
}

static void set(const struct list_arg *t, lua_Integer i)
{
	if (t->raw) {
		lua_rawseti(t->L, t->index, i);
		return;
	}
	vm_poll(t->L);
	lua_seti(t->L, t->index, i);
}

static lua_Integer length(const struct list_arg *t)
{
	return t->raw ? (lua_Integer)lua_rawlen(t->L, t->index)
		      : luaL_len(t->L, t->index);
}

static int table_insert(lua_State *L)
{
	struct list_arg t = check_list(L, 1, READS | WRITES | MEASURES);
	lua_Integer end = (lua_Integer)((lua_Unsigned)length(&t) + 1), at = end;
	struct work work;

	if (lua_gettop(L) == 3) {
		at = luaL_checkinteger(L, 2);
		luaL_argcheck(L, (lua_Unsigned)at - 1u < (lua_Unsigned)end, 2,
			      "position out of bounds");
	} else if (lua_gettop(L) != 2) {
		return luaL_error(L, "wrong number of arguments to 'insert'");
	}
	work_init(&work, L, "table.insert", MAX_ELEMENTS);
	for (lua_Integer i = end; i > at; i--) {
		work_add(&work, 1);
		get(&t, i - 1);
		set(&t, i);
	}
	set(&t, at);
	return 0;
}

static int table_remove(lua_State *L)
{
	struct list_arg t = check_list(L, 1, READS | WRITES | MEASURES);
	lua_Integer size = length(&t), at = luaL_optinteger(L, 2, size);
	struct work work;

	luaL_argcheck(L,
		      at == size || (lua_Unsigned)at - 1u <= (lua_Unsigned)size,
		      2, "position out of bounds");
	work_init(&work, L, "table.remove", MAX_ELEMENTS);
	get(&t, at);
	for (; at < size; at++) {
		work_add(&work, 1);
		get(&t, at + 1);
		set(&t, at);
	}
	lua_pushnil(L);
	set(&t, at);
	return 1;
}

static int table_move(lua_State *L)
{
	struct list_arg from = check_list(L, 1, READS), to;
	lua_Integer first = luaL_checkinteger(L, 2);
	lua_Integer last = luaL_checkinteger(L, 3);
	lua_Integer at = luaL_checkinteger(L, 4), n;
	int target = lua_isnoneornil(L, 5) ? 1 : 5;
	struct work work;
	bool up;

	lua_settop(L, 5);
	to = check_list(L, target, WRITES);
	lua_pushvalue(L, target);
	if (last < first)
		return 1;
	luaL_argcheck(L, first > 0 || last < LUA_MAXINTEGER + first, 3,
		      "too many elements to move");
	n = last - first + 1;
	luaL_argcheck(L, n <= MAX_ELEMENTS, 3, "too many elements to move");
	luaL_argcheck(L, at <= LUA_MAXINTEGER - n + 1, 4,
		      "destination wrap around");
	work_init(&work, L, "table.move", MAX_ELEMENTS + 1);
	up = at > last || at <= first || !lua_rawequal(L, 1, target);
	for (lua_Integer i = 0; i < n; i++) {
		lua_Integer k = up ? i : n - 1 - i;

		work_add(&work, 1);
		get(&from, first + k);
		set(&to, at + k);
	}
	return 1;
}

static int table_concat(lua_State *L)
{
	struct list_arg t = check_list(L, 1, READS | MEASURES);
	size_t sep_n, n;
	const char *sep = luaL_optlstring(L, 2, "", &sep_n), *p;
	lua_Integer i = luaL_optinteger(L, 3, 1), last;
	struct work work;
	struct out o;

	last = lua_isnoneornil(L, 4) ? length(&t) : luaL_checkinteger(L, 4);
	work_init(&work, L, "table.concat", MAX_ELEMENTS);
	out_init(&o, L);
	for (; i <= last; i++) {
		work_add(&work, 1);
		get(&t, i);
		if (!lua_isstring(L, -1))
			return luaL_error(L,
					  "invalid value (%s) at index %I in "
					  "table for 'concat'",
					  luaL_typename(L, -1), (LUAI_UACINT)i);
		p = lua_tolstring(L, -1, &n);
		out_add(&o, p, n);
		lua_pop(L, 1);
		if (i == last)
			break; /* i + 1 may overflow */
		out_add(&o, sep, sep_n);
	}
	out_push(&o);
	return 1;
}

int table_unpack(lua_State *L)
{
	lua_Integer i = luaL_optinteger(L, 2, 1), last;
	struct list_arg t = {.L = L, .index = 1};
	lua_Unsigned n;

	if (lua_istable(L, 1))
		vm_fill(L, 1);
	last = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
	if (i > last)
		return 0;
	n = (lua_Unsigned)last - (lua_Unsigned)i;
	if (n >= 900000 || !lua_checkstack(L, (int)++n))
		return luaL_error(L, "too many results to unpack");
	for (; i < last; i++)
		get(&t, i);
	get(&t, last);
	return (int)n;
}

static int table_pack(lua_State *L)
{
	int n = lua_gettop(L);

	lua_createtable(L, n, 1);
	lua_insert(L, 1);
	for (int i = n; i >= 1; i--)
		lua_rawseti(L, 1, i);
	lua_pushinteger(L, n);
	lua_setfield(L, 1, "n");
	return 1;
}

static int table_getn(lua_State *L)
{
	struct list_arg t = check_list(L, 1, MEASURES);

	lua_pushinteger(L, length(&t));
	return 1;
}

/* The largest positive number among the keys. */
static int table_maxn(lua_State *L)
{
	lua_Number most = 0;
	struct work work;
	lua_Integer n;

	luaL_checktype(L, 1, LUA_TTABLE);
	vm_fill(L, 1);
	work_init(&work, L, "table.maxn", MAX_ELEMENTS);
	lua_pushnil(L);
	while (lua_next(L, 1)) {
		work_add(&work, 1);
		lua_pop(L, 1);
		if (lua_type(L, -1) == LUA_TNUMBER &&
		    lua_tonumber(L, -1) > most)
			most = lua_tonumber(L, -1);
	}
	if (lua_numbertointeger(most, &n))
		lua_pushinteger(L, n);
	else
		lua_pushnumber(L, most);
	return 1;
}

void open_table(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"concat", table_concat},
		{"getn", table_getn},
		{"insert", table_insert},
		{"maxn", table_maxn},
		{"move", table_move},
		{"pack", table_pack},
		{"remove", table_remove},
		{"unpack", table_unpack},
		{NULL, NULL},
	};

	luaL_newlib(L, functions);
	open_sort(L);
}
