/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coroutines that the stop can follow: every switch keeps vm->running right
 * (stop.c), and nesting is bounded, for close too. A script may yield only
 * within a coroutine of its own: the run's thread belongs to the vm's owner.
 */
#include "worker/libs.h"

enum state { RUNNING, DEAD, SUSPENDED, NORMAL };
static const char *const state_names[] = {"running", "dead", "suspended",
					  "normal"};

static enum state state_of(lua_State *L, lua_State *co)
{
	lua_Debug ar;

	if (co == L)
		return RUNNING;
	if (co == vm_of(L)->L)
		return vm_of(L)->depth ? NORMAL : RUNNING; /* co_running */
	switch (lua_status(co)) {
	case LUA_YIELD:
		return SUSPENDED;
	case LUA_OK:
		if (lua_getstack(co, 0, &ar))
			return NORMAL;
		return lua_gettop(co) ? SUSPENDED : DEAD;
	default:
		return DEAD;
	}
}

static lua_State *check_co(lua_State *L)
{
	lua_State *co = lua_tothread(L, 1);

	luaL_argexpected(L, co, 1, "coroutine");
	return co;
}

/* The stop went through the coroutine: it goes on here. */
static void pass_stop(lua_State *L, int status)
{
	if (!vm_of(L)->stopping)
		return;
	if (status == LUA_OK || status == LUA_YIELD)
		vm_timeout(L);
	lua_error(L);
}

/* The arguments are on top of L. The number of results on top of L, or -1 and
 * the error there. */
static int resume(lua_State *L, lua_State *co, int nargs)
{
	enum state state = state_of(L, co);
	int status, n = 0;

	if (state != SUSPENDED) {
		lua_pushfstring(L, "cannot resume %s coroutine",
				state == DEAD ? "dead" : "non-suspended");
		return -1;
	}
	if (!lua_checkstack(co, nargs)) {
		lua_pushliteral(L, "too many arguments to resume");
		return -1;
	}
	lua_xmove(L, co, nargs);
	status = vm_resume_nested(L, co, nargs, &n);
	if (status != LUA_OK && status != LUA_YIELD) {
		lua_xmove(co, L, 1);
		pass_stop(L, status);
		return -1;
	}
	pass_stop(L, status);
	if (!lua_checkstack(L, n + 1)) {
		lua_pop(co, n);
		lua_pushliteral(L, "too many results to resume");
		return -1;
	}
	lua_xmove(co, L, n);
	return n;
}

static int co_resume(lua_State *L)
{
	lua_State *co = check_co(L);
	int n = resume(L, co, lua_gettop(L) - 1);

	lua_pushboolean(L, n >= 0);
	if (n < 0)
		n = 1;
	lua_insert(L, -(n + 1));
	return n + 1;
}

/* A wrapped coroutine that failed is closed, and its error goes on. */
static int wrap_failed(lua_State *L, lua_State *co)
{
	if (lua_status(co) != LUA_OK && lua_status(co) != LUA_YIELD) {
		int status = vm_close_nested(L, co);

		lua_pop(L, 1);
		lua_xmove(co, L, 1);
		pass_stop(L, status);
	}
	if (lua_type(L, -1) == LUA_TSTRING) {
		luaL_where(L, 1);
		lua_insert(L, -2);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

static int wrap_call(lua_State *L)
{
	lua_State *co = lua_tothread(L, lua_upvalueindex(1));
	int n = resume(L, co, lua_gettop(L));

	return n >= 0 ? n : wrap_failed(L, co);
}

static int co_create(lua_State *L)
{
	lua_State *co;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	co = lua_newthread(L);
	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	return 1;
}

static int co_wrap(lua_State *L)
{
	co_create(L);
	lua_pushcclosure(L, wrap_call, 1);
	return 1;
}

static int co_close(lua_State *L)
{
	lua_State *co = check_co(L);
	enum state state = state_of(L, co);
	int status;

	if (state != DEAD && state != SUSPENDED)
		return luaL_error(L, "cannot close a %s coroutine",
				  state_names[state]);
	status = vm_close_nested(L, co);
	lua_pushboolean(L, status == LUA_OK);
	if (status != LUA_OK)
		lua_xmove(co, L, 1);
	pass_stop(L, status);
	return status == LUA_OK ? 1 : 2;
}

static int co_status(lua_State *L)
{
	lua_pushstring(L, state_names[state_of(L, check_co(L))]);
	return 1;
}

static bool own(lua_State *L)
{
	return vm_of(L)->depth > 0;
}

static int co_isyieldable(lua_State *L)
{
	lua_State *co = lua_isnoneornil(L, 1) ? L : check_co(L);

	lua_pushboolean(L, (co != L || own(L)) && lua_isyieldable(co));
	return 1;
}

/* The run's thread never reaches the script: kept beyond its run, it could be
 * closed when it has become another run's, or none's. */
static int co_running(lua_State *L)
{
	if (own(L)) {
		lua_pushthread(L);
	} else {
		lua_pushthread(vm_of(L)->L);
		lua_xmove(vm_of(L)->L, L, 1);
	}
	lua_pushboolean(L, !own(L));
	return 2;
}

static int co_yield (lua_State *L)
{
	if (!own(L))
		return luaL_error(L,
				  "attempt to yield from outside a coroutine");
	return lua_yield(L, lua_gettop(L));
}

void open_coroutine(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"close", co_close},
		{"create", co_create},
		{"isyieldable", co_isyieldable},
		{"resume", co_resume},
		{"running", co_running},
		{"status", co_status},
		{"wrap", co_wrap},
		{"yield", co_yield },
		{NULL, NULL},
	};

	luaL_newlib(L, functions);
}
