/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Library tables that cost nothing per event and still start fresh in each.
 * A script holds the guard: an empty table that reads through to the real
 * library. Its first write copies the library in and makes the guard an
 * ordinary table; guard_restore() then makes new guards for the next event.
 * Environments use the same trick over the baseline.
 */
#include "worker/libs.h"

/* In a guard's metatable: the real table. */
static const char real_key;

/* The string metatable follows `string`, so that ("x"):f() finds what the
 * script has added; on top of L is what it shall lead to. */
static void string_index(lua_State *L)
{
	lua_pushliteral(L, "");
	lua_getmetatable(L, -1);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 3);
}

static bool string_leads_to(lua_State *L, int real)
{
	bool same;

	lua_pushliteral(L, "");
	if (!lua_getmetatable(L, -1)) {
		lua_pop(L, 1);
		return false;
	}
	lua_pushliteral(L, "__index");
	lua_rawget(L, -2);
	same = lua_rawequal(L, -1, real);
	lua_pop(L, 3);
	return same;
}

/* Push metatable and real table of a guard; else push nothing. */
static bool guard_open(lua_State *L, int index)
{
	if (!lua_getmetatable(L, index))
		return false;
	if (lua_rawgetp(L, -1, &real_key) == LUA_TTABLE)
		return true;
	lua_pop(L, 2);
	return false;
}

bool guard_is(lua_State *L, int index)
{
	if (!lua_istable(L, index) || !guard_open(L, index))
		return false;
	lua_pop(L, 2);
	return true;
}

static void copy_missing(lua_State *L, int from, int to)
{
	lua_pushnil(L);
	while (lua_next(L, from)) {
		lua_pushvalue(L, -2);
		if (lua_rawget(L, to) == LUA_TNIL) {
			lua_pushvalue(L, -3);
			lua_pushvalue(L, -3);
			lua_rawset(L, to);
		}
		lua_pop(L, 2);
	}
}

void guard_copy(lua_State *L, int from, int to)
{
	copy_missing(L, from, to);
	if (!guard_open(L, from))
		return;
	copy_missing(L, lua_gettop(L), to);
	lua_pop(L, 2);
}

bool guard_fill(lua_State *L, int index)
{
	int real;

	luaL_checkstack(L, 8, NULL);
	index = lua_absindex(L, index);
	if (!guard_open(L, index))
		return false;
	real = lua_gettop(L);
	guard_copy(L, real, index);
	lua_pushnil(L);
	lua_setmetatable(L, index);
	slot_get(L, SLOT_ENV_META);
	if (!lua_rawequal(L, -1, real - 1))
		vm_of(L)->dirty = true;
	if (string_leads_to(L, real)) {
		lua_pushvalue(L, index);
		string_index(L);
	}
	lua_settop(L, real - 2);
	return true;
}

static int guard_write(lua_State *L)
{
	lua_settop(L, 3);
	guard_fill(L, 1);
	lua_rawset(L, 1);
	return 0;
}

/* On top: the metatable of a guard. Replaced by a fresh guard. */
static void push_guard(lua_State *L)
{
	lua_newtable(L);
	lua_insert(L, -2);
	lua_setmetatable(L, -2);
}

void guard_meta(lua_State *L, int index)
{
	index = lua_absindex(L, index);
	lua_createtable(L, 0, 3);
	lua_pushvalue(L, index);
	lua_setfield(L, -2, "__index");
	lua_pushvalue(L, index);
	lua_rawsetp(L, -2, &real_key);
}

void guard_library(lua_State *L, const char *name)
{
	int real = lua_gettop(L);

	luaL_checkstack(L, 8, NULL);
	guard_meta(L, real);
	lua_pushcfunction(L, guard_write);
	lua_setfield(L, -2, "__newindex");
	slot_get(L, SLOT_LIBS);
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, name);
	slot_get(L, SLOT_BASELINE);
	lua_pushvalue(L, real + 1);
	push_guard(L);
	lua_setfield(L, -2, name);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_pushvalue(L, real);
	lua_setfield(L, -2, name);
	lua_settop(L, real - 1);
}

void guard_alias(lua_State *L, const char *alias, const char *name)
{
	slot_get(L, SLOT_ALIASES);
	lua_pushstring(L, name);
	lua_setfield(L, -2, alias);
	slot_get(L, SLOT_BASELINE);
	lua_getfield(L, -1, name);
	lua_setfield(L, -2, alias);
	lua_pop(L, 2);
}

/* At `baseline` and `baseline` + 1 lie the baseline and the libraries. */
static void restore_aliases(lua_State *L, int baseline)
{
	slot_get(L, SLOT_ALIASES);
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		lua_rawget(L, baseline);
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, baseline);
	}
	lua_pop(L, 1);
}

void guard_adopt(lua_State *L)
{
	int top = lua_gettop(L);

	luaL_checkstack(L, 12, NULL);
	slot_get(L, SLOT_BASELINE);
	slot_get(L, SLOT_LIBS);
	lua_pushnil(L);
	while (lua_next(L, top + 2)) {
		lua_pop(L, 1);
		lua_pushvalue(L, -1);
		lua_rawget(L, top + 1);
		if (guard_is(L, -1))
			lua_pop(L, 1);
		else
			guard_library(L, lua_tostring(L, -2));
	}
	restore_aliases(L, top + 1);
	lua_settop(L, top);
}

void guard_restore(lua_State *L)
{
	int top = lua_gettop(L);

	luaL_checkstack(L, 8, NULL);
	slot_get(L, SLOT_BASELINE);
	slot_get(L, SLOT_LIBS);
	lua_pushnil(L);
	while (lua_next(L, top + 2)) {
		push_guard(L);
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, top + 1);
	}
	restore_aliases(L, top + 1);
	lua_getfield(L, top + 2, "string");
	lua_rawgetp(L, -1, &real_key);
	string_index(L);
	lua_settop(L, top);
}

/* The environments' metatable is a guard too, over the baseline. */
void guard_environments(lua_State *L)
{
	slot_get(L, SLOT_ENV_META);
	slot_get(L, SLOT_BASELINE);
	lua_rawsetp(L, -2, &real_key);
	lua_pop(L, 1);
}

void vm_fill(lua_State *L, int index)
{
	struct vm *vm = vm_of(L);

	if (!lua_getmetatable(L, index))
		return;
	lua_pop(L, 1);
	if (!guard_fill(L, index) && vm->ops->fill)
		(void)vm->ops->fill(L, index);
}
