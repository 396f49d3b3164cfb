/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env: see env.h. A fresh environment is an empty table that reads through to
 * the state after load and from there to the baseline. The first time a run
 * gives a global of that state another value, it gets the whole state copied,
 * so that a later nil is a nil. Start at env_seal().
 */
#include "worker/env.h"

#include "worker/libs.h"

void env_root(struct vm *vm)
{
	lua_State *L = vm->L;

	vm_env_push(vm, L);
	lua_pushvalue(L, -1);
	slot_set(L, SLOT_STATE);
	vm_env_set(L, -2);
	slot_set(L, SLOT_ROOT);
	vm->rooted = true;
}

void env_push_root(lua_State *L)
{
	slot_get(L, SLOT_ROOT);
}

void env_push_state(lua_State *L)
{
	slot_get(L, SLOT_STATE);
}

void env_bind(lua_State *L)
{
	if (vm_of(L)->rooted) {
		slot_get(L, SLOT_ROOT);
		lua_upvaluejoin(L, -2, 1, -1, 1);
		lua_pop(L, 1);
		return;
	}
	slot_get(L, SLOT_ENV);
	vm_env_set(L, -2);
}

/* The table at `t` gets what the state after load has, and its metatable. */
static void take_state(lua_State *L, int t)
{
	int state;

	luaL_checkstack(L, 6, NULL);
	slot_get(L, SLOT_STATE);
	state = lua_gettop(L);
	guard_copy(L, state, t);
	if (!lua_getmetatable(L, state))
		lua_pushnil(L);
	lua_setmetatable(L, t);
	lua_pop(L, 1);
}

/* __newindex of fresh environments. */
static int write_global(lua_State *L)
{
	lua_settop(L, 3);
	slot_get(L, SLOT_STATE);
	lua_pushvalue(L, 2);
	if (lua_rawget(L, 4) != LUA_TNIL)
		take_state(L, 1);
	lua_settop(L, 3);
	lua_rawset(L, 1);
	return 0;
}

/* The state at `state` was made an ordinary table, by pairs(_G) or the like:
 * what it has of the baseline it shall read through to again. */
static void reopen(lua_State *L, int state)
{
	int baseline;

	slot_get(L, SLOT_BASELINE);
	baseline = lua_gettop(L);
	lua_pushnil(L);
	while (lua_next(L, baseline)) {
		lua_pushvalue(L, -2);
		lua_rawget(L, state);
		if (lua_rawequal(L, -1, -2)) {
			lua_pushvalue(L, -3);
			lua_pushnil(L);
			lua_rawset(L, state);
		}
		lua_pop(L, 2);
	}
	slot_get(L, SLOT_ENV_META);
	lua_setmetatable(L, state);
	lua_settop(L, baseline - 1);
}

/* Has the script given _G a metatable of its own? */
static bool own_meta(lua_State *L, int state)
{
	bool own;

	if (!lua_getmetatable(L, state)) {
		reopen(L, state);
		return false;
	}
	slot_get(L, SLOT_ENV_META);
	own = !lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return own;
}

static void keep_modules(struct vm *vm)
{
	if (!vm->modules)
		return;
	slot_get(vm->L, SLOT_MODULES);
	slot_set(vm->L, SLOT_LOADED);
	lua_pushnil(vm->L);
	slot_set(vm->L, SLOT_MODULES);
	vm->modules = false;
}

void env_seal(struct vm *vm)
{
	lua_State *L = vm->L;
	int state;

	luaL_checkstack(L, 8, NULL);
	slot_get(L, SLOT_STATE);
	state = lua_gettop(L);
	vm->copied = own_meta(L, state);
	guard_adopt(L);
	vm->dirty = false;
	keep_modules(vm);
	guard_meta(L, state);
	lua_pushcfunction(L, write_global);
	lua_setfield(L, -2, "__newindex");
	slot_set(L, SLOT_ENV_META);
	lua_pop(L, 1);
}

void env_fresh(struct vm *vm)
{
	lua_State *L = vm->L;

	luaL_checkstack(L, 4, NULL);
	slot_get(L, SLOT_ROOT);
	vm_env_push(vm, L);
	if (vm->copied)
		take_state(L, lua_gettop(L));
	vm_env_set(L, -2);
	lua_pop(L, 1);
}
