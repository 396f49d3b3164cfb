/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcall, xpcall and debug.traceback. They cannot swallow the stop: once it has
 * been raised, every protected call raises it again. The message handler of
 * xpcall runs after unwinding, as an ordinary function: inside Lua's own
 * handler call hooks may be off, and a loop there could not be stopped.
 */
#include "worker/libs.h"

enum {
	DEEP = 1000, /* levels, beyond which a traceback costs too much */
	SHOWN = 10,  /* and how many of those are shown */
};

/* Both end here, also after a yield. `extra` values lie below the results. */
static int after_pcall(lua_State *L, int status, lua_KContext extra)
{
	struct vm *vm = vm_of(L);
	bool ok = status == LUA_OK || status == LUA_YIELD;

	if (vm->stopping && ok)
		vm_timeout(L);
	if (vm->stopping)
		return lua_error(L);
	if (ok)
		return lua_gettop(L) - (int)extra;
	lua_pushboolean(L, 0);
	lua_pushvalue(L, -2);
	return 2;
}

static int base_pcall(lua_State *L)
{
	int status;

	luaL_checkany(L, 1);
	vm_stack(L);
	lua_pushboolean(L, 1);
	lua_insert(L, 1);
	status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0,
			    after_pcall);
	return after_pcall(L, status, 0);
}

void vm_traceback(lua_State *L, lua_State *of, const char *text, int level)
{
	lua_Debug ar;

	if (!lua_getstack(of, DEEP, &ar)) {
		luaL_traceback(L, of, text, level);
		return;
	}
	lua_pushfstring(L, "%s%sstack traceback (of more than %d levels):",
			text ? text : "", text ? "\n" : "", DEEP);
	for (int end = level + SHOWN; level < end; level++) {
		if (!lua_getstack(of, level, &ar))
			break;
		lua_getinfo(of, "Sl", &ar);
		lua_pushfstring(L, "\n\t%s:%d: in function <%s:%d>",
				ar.short_src, ar.currentline, ar.short_src,
				ar.linedefined);
		lua_concat(L, 2);
	}
}

/* Lua's own handler: remembers where it was, changes nothing. */
static int on_error(lua_State *L)
{
	lua_settop(L, 1);
	vm_traceback(L, L, NULL, 1);
	slot_set(L, SLOT_TRACE);
	vm_of(L)->traced = true;
	return 1;
}

/* The script's handler is at 2, the error on top. */
static int call_handler(lua_State *L)
{
	struct vm *vm = vm_of(L);
	bool outer = vm->handling;
	int status;

	vm->handling = true;
	lua_pushvalue(L, 2);
	lua_pushvalue(L, -2);
	status = lua_pcall(L, 1, 1, 0);
	vm->handling = outer;
	lua_pushnil(L);
	slot_set(L, SLOT_TRACE);
	if (vm->stopping && status == LUA_OK)
		vm_timeout(L);
	if (vm->stopping)
		return lua_error(L);
	lua_pushboolean(L, 0);
	lua_pushvalue(L, -2);
	return 2;
}

static int after_xpcall(lua_State *L, int status, lua_KContext extra)
{
	if (status == LUA_OK || status == LUA_YIELD || vm_of(L)->stopping)
		return after_pcall(L, status, extra);
	return call_handler(L);
}

/*
 * On the stack: on_error, the script's handler, true, f, arguments. Within a
 * script's own coroutine there is no on_error: closing a coroutine that waits
 * inside xpcall would call whatever lies in its place by then (Lua 5.4.7 and
 * older).
 */
static int base_xpcall(lua_State *L)
{
	int n = lua_gettop(L), status;

	luaL_checktype(L, 2, LUA_TFUNCTION);
	vm_stack(L);
	lua_pushboolean(L, 1);
	lua_pushvalue(L, 1);
	lua_rotate(L, 3, 2);
	lua_pushcfunction(L, on_error);
	lua_replace(L, 1);
	status = lua_pcallk(L, n - 2, LUA_MULTRET, vm_of(L)->depth ? 0 : 1, 2,
			    after_xpcall);
	return after_xpcall(L, status, 2);
}

static int debug_traceback(lua_State *L)
{
	int first = lua_isthread(L, 1) ? 1 : 0;
	lua_State *of = first ? lua_tothread(L, 1) : L;
	bool run = of == vm_of(L)->L && vm_of(L)->depth == 0;
	const char *text = lua_tostring(L, first + 1);
	int level = (int)luaL_optinteger(L, first + 2, of == L || run);

	if (run)
		of = L; /* what co_running() gives for it */
	if (!text && !lua_isnoneornil(L, first + 1)) {
		lua_pushvalue(L, first + 1);
		return 1;
	}
	if (of == L && vm_of(L)->handling &&
	    slot_get(L, SLOT_TRACE) == LUA_TSTRING) {
		if (text)
			lua_pushfstring(L, "%s\n%s", text, lua_tostring(L, -1));
		return 1;
	}
	vm_traceback(L, of, text, level);
	return 1;
}

void open_debug(lua_State *L)
{
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, debug_traceback);
	lua_setfield(L, -2, "traceback");
}

void open_protect(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"pcall", base_pcall},
		{"xpcall", base_xpcall},
		{NULL, NULL},
	};

	luaL_setfuncs(L, functions, 0);
}
