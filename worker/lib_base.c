/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The basic functions, where they must differ from the reference ones: tables
 * that are guards or lazy views look ordinary, nothing shows an address,
 * nobody sets a finalizer. What need not differ is taken from the engine.
 * pcall and xpcall: lib_protect.c; load and require: chunk.c.
 */
#include "worker/libs.h"

#include <lualib.h>

uint32_t vm_id(lua_State *L, int index)
{
	struct vm *vm = vm_of(L);
	uint32_t id;

	index = lua_absindex(L, index);
	luaL_checkstack(L, 4, NULL);
	if (slot_get(L, SLOT_IDS) != LUA_TTABLE) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_createtable(L, 0, 1);
		lua_pushliteral(L, "k");
		lua_setfield(L, -2, "__mode");
		lua_setmetatable(L, -2);
		lua_pushvalue(L, -1);
		slot_set(L, SLOT_IDS);
	}
	lua_pushvalue(L, index);
	if (lua_rawget(L, -2) == LUA_TNIL) {
		lua_pushvalue(L, index);
		lua_pushinteger(L, ++vm->ids);
		lua_rawset(L, -4);
		id = vm->ids;
	} else {
		id = (uint32_t)lua_tointeger(L, -1);
	}
	lua_pop(L, 2);
	return id;
}

static void push_object(lua_State *L, int index)
{
	int named = luaL_getmetafield(L, index, "__name");
	const char *name = named == LUA_TSTRING ? lua_tostring(L, -1)
						: luaL_typename(L, index);
	char id[16];

	snprintf(id, sizeof(id), "0x%08x", (unsigned)vm_id(L, index));
	lua_pushfstring(L, "%s: %s", name, id);
	if (named != LUA_TNIL)
		lua_remove(L, -2);
}

const char *vm_tostring(lua_State *L, int index, size_t *n)
{
	index = lua_absindex(L, index);
	luaL_checkstack(L, 6, NULL);
	if (luaL_callmeta(L, index, "__tostring")) {
		if (!lua_isstring(L, -1))
			luaL_error(L, "'__tostring' must return a string");
		return lua_tolstring(L, -1, n);
	}
	switch (lua_type(L, index)) {
	case LUA_TNUMBER:
	case LUA_TSTRING:
		lua_pushvalue(L, index);
		break;
	case LUA_TBOOLEAN:
		lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
		break;
	case LUA_TNIL:
		lua_pushliteral(L, "nil");
		break;
	default:
		push_object(L, index);
	}
	return lua_tolstring(L, -1, n);
}

static int base_tostring(lua_State *L)
{
	luaL_checkany(L, 1);
	vm_tostring(L, 1, NULL);
	return 1;
}

static int base_print(lua_State *L)
{
	struct vm *vm = vm_of(L);
	int n = lua_gettop(L);
	struct slice line;
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	for (int i = 1; i <= n; i++) {
		if (i > 1)
			luaL_addchar(&b, '\t');
		vm_tostring(L, i, NULL);
		luaL_addvalue(&b);
	}
	luaL_pushresult(&b);
	line.p = (const uint8_t *)lua_tolstring(L, -1, &line.n);
	if (vm->ops->print)
		vm->ops->print(vm->arg, line);
	return 0;
}

static int base_getmetatable(lua_State *L)
{
	luaL_checkany(L, 1);
	if (guard_is(L, 1) || !lua_getmetatable(L, 1)) {
		lua_pushnil(L);
		return 1;
	}
	luaL_getmetafield(L, 1, "__metatable");
	return 1; /* that field, or else the metatable below it */
}

static int base_setmetatable(lua_State *L)
{
	int type = lua_type(L, 2);

	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2,
			 "nil or table");
	vm_fill(L, 1);
	if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
		return luaL_error(L, "cannot change a protected metatable");
	if (type == LUA_TTABLE) {
		vm_fill(L, 2);
		lua_pushliteral(L, "__gc");
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L, "__gc is not available");
	}
	lua_settop(L, 2);
	lua_setmetatable(L, 1);
	return 1;
}

static int base_rawget(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkany(L, 2);
	vm_fill(L, 1);
	lua_settop(L, 2);
	lua_rawget(L, 1);
	return 1;
}

static int base_rawset(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkany(L, 2);
	luaL_checkany(L, 3);
	vm_fill(L, 1);
	lua_settop(L, 3);
	lua_rawset(L, 1);
	return 1;
}

static int base_rawlen(lua_State *L)
{
	int type = lua_type(L, 1);

	luaL_argexpected(L, type == LUA_TTABLE || type == LUA_TSTRING, 1,
			 "table or string");
	if (type == LUA_TTABLE)
		vm_fill(L, 1);
	lua_pushinteger(L, (lua_Integer)lua_rawlen(L, 1));
	return 1;
}

static int base_next(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	vm_fill(L, 1);
	lua_settop(L, 2);
	if (lua_next(L, 1))
		return 2;
	lua_pushnil(L);
	return 1;
}

static int after_pairs(lua_State *L, int status, lua_KContext extra)
{
	(void)L;
	(void)status;
	(void)extra;
	return 3;
}

static int base_pairs(lua_State *L)
{
	luaL_checkany(L, 1);
	if (lua_istable(L, 1))
		vm_fill(L, 1);
	if (luaL_getmetafield(L, 1, "__pairs") == LUA_TNIL) {
		luaL_checktype(L, 1, LUA_TTABLE);
		lua_pushcfunction(L, base_next);
		lua_pushvalue(L, 1);
		lua_pushnil(L);
		return 3;
	}
	lua_pushvalue(L, 1);
	lua_callk(L, 1, 3, 0, after_pairs);
	return 3;
}

static int ipairs_step(lua_State *L)
{
	lua_Integer i = luaL_checkinteger(L, 2);

	i = (lua_Integer)((lua_Unsigned)i + 1);
	lua_pushinteger(L, i);
	return lua_geti(L, 1, i) == LUA_TNIL ? 1 : 2;
}

static int base_ipairs(lua_State *L)
{
	luaL_checkany(L, 1);
	if (lua_istable(L, 1))
		vm_fill(L, 1);
	lua_pushcfunction(L, ipairs_step);
	lua_pushvalue(L, 1);
	lua_pushinteger(L, 0);
	return 3;
}

/* The engine's memory is its own business; only the question is answered. */
static int base_collectgarbage(lua_State *L)
{
	const char *what = luaL_optstring(L, 1, "collect");

	if (strcmp(what, "count") == 0) {
		lua_pushnumber(L, lua_gc(L, LUA_GCCOUNT) +
					  lua_gc(L, LUA_GCCOUNTB) / 1024.0);
		return 1;
	}
	lua_pushinteger(L, 0);
	return 1;
}

void open_base(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"collectgarbage", base_collectgarbage},
		{"eprint", base_print},
		{"getmetatable", base_getmetatable},
		{"ipairs", base_ipairs},
		{"next", base_next},
		{"pairs", base_pairs},
		{"print", base_print},
		{"rawget", base_rawget},
		{"rawlen", base_rawlen},
		{"rawset", base_rawset},
		{"setmetatable", base_setmetatable},
		{"tostring", base_tostring},
		{"warn", base_print},
		{NULL, NULL},
	};
	static const char *const kept[] = {"assert",  "error",	  "rawequal",
					   "select",  "tonumber", "type",
					   "_VERSION"};

	lua_pushcfunction(L, luaopen_base);
	lua_call(L, 0, 1);
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
		lua_getfield(L, -1, kept[i]);
		lua_setfield(L, -3, kept[i]);
	}
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
