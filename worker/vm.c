/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vm's life: open with all libraries, environments, begin and end of a run.
 * How a run is stopped is in stop.c, how library tables are guarded in
 * guard.c, how text becomes a function in chunk.c. Start at vm_open().
 */
#include "worker/vm.h"

#include "worker/heap.h"
#include "worker/libs.h"

#include <lualib.h>

static const char slot_keys[SLOT_COUNT];

int slot_get(lua_State *L, enum slot slot)
{
	return lua_rawgetp(L, LUA_REGISTRYINDEX, &slot_keys[slot]);
}

void slot_set(lua_State *L, enum slot slot)
{
	lua_rawsetp(L, LUA_REGISTRYINDEX, &slot_keys[slot]);
}

/* What the reference engine already bounds, as it is. */
static void open_utf8(lua_State *L)
{
	lua_pushcfunction(L, luaopen_utf8);
	lua_call(L, 0, 1);
}

static const struct {
	const char *name;
	void (*open)(lua_State *L);
} libraries[] = {
	{"string", open_string},
	{"table", open_table},
	{"coroutine", open_coroutine},
	{"math", open_math},
	{"utf8", open_utf8},
	{"bit32", open_bit32},
	{"os", open_os},
	{"debug", open_debug},
	{"json", open_json},
	{"base64", open_base64},
	{"time", open_time},
	{"crypto", open_crypto},
};

static void open_slots(lua_State *L)
{
	lua_newtable(L);
	slot_set(L, SLOT_LIBS);
	lua_newtable(L);
	slot_set(L, SLOT_ALIASES);
	lua_newtable(L);
	slot_set(L, SLOT_CHUNKS);
	lua_newtable(L);
	slot_set(L, SLOT_BASELINE);
	/* Where lauxlib looks for the names of C functions. */
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	slot_get(L, SLOT_BASELINE);
	lua_setfield(L, -2, LUA_GNAME);
	lua_pop(L, 1);
	lua_newtable(L);
	slot_get(L, SLOT_BASELINE);
	lua_setfield(L, -2, "__index");
	slot_set(L, SLOT_ENV_META);
	guard_environments(L);
}

static int open_all(lua_State *L)
{
	open_slots(L);
	slot_get(L, SLOT_BASELINE);
	open_base(L);
	open_protect(L);
	open_chunk(L);
	lua_pop(L, 1);
	for (size_t i = 0; i < sizeof(libraries) / sizeof(*libraries); i++) {
		libraries[i].open(L);
		guard_library(L, libraries[i].name);
	}
	open_compat(L);
	/* A chunk that nobody gave an environment must see nothing. */
	lua_newtable(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
	return 0;
}

int vm_open(struct vm *vm, const struct vm_ops *ops, void *arg)
{
	*vm = (struct vm){.ops = ops, .arg = arg};
	vm->stack_base = __builtin_frame_address(0);
	vm->L = lua_newstate(heap_lua, NULL);
	if (!vm->L)
		return ERR_NOMEM;
	*(struct vm **)lua_getextraspace(vm->L) = vm;
	vm->running = vm->L;
	random_open(vm);
	lua_pushcfunction(vm->L, open_all);
	if (lua_pcall(vm->L, 0, 0, 0) != LUA_OK) {
		vm_close(vm);
		return ERR_NOMEM;
	}
	lua_gc(vm->L, LUA_GCCOLLECT);
	return 0;
}

void vm_close(struct vm *vm)
{
	lua_State *L = vm->L;

	vm->L = vm->running = NULL;
	if (L)
		lua_close(L);
}

void vm_library(struct vm *vm, const char *name, const luaL_Reg *functions)
{
	lua_newtable(vm->L);
	luaL_setfuncs(vm->L, functions, 0);
	guard_library(vm->L, name);
}

void vm_alias(struct vm *vm, const char *alias, const char *name)
{
	guard_alias(vm->L, alias, name);
}

void vm_global(struct vm *vm, const char *name)
{
	slot_get(vm->L, SLOT_BASELINE);
	lua_insert(vm->L, -2);
	lua_setfield(vm->L, -2, name);
	lua_pop(vm->L, 1);
}

int vm_compile(struct vm *vm, struct slice text, const char *chunkname)
{
	return chunk_load(vm->L, text, chunkname);
}

void vm_env_push(struct vm *vm, lua_State *L)
{
	luaL_checkstack(L, 3, NULL);
	lua_createtable(L, 0, 2);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "_G");
	slot_get(L, SLOT_ENV_META);
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	slot_set(L, SLOT_ENV);
	if (vm->modules) {
		lua_pushnil(L);
		slot_set(L, SLOT_MODULES);
		vm->modules = false;
	}
}

void vm_env_set(lua_State *L, int index)
{
	index = lua_absindex(L, index);
	if (!lua_setupvalue(L, index, 1))
		lua_pop(L, 1); /* a function without globals */
}

void vm_event_begin(struct vm *vm, uint64_t deadline_ns)
{
	vm->stack_base = __builtin_frame_address(0);
	vm->deadline_ns = deadline_ns;
	vm->stop_asked = 0;
	vm->stopping = false;
	vm->handling = false;
	vm->depth = 0;
	vm->running = vm->L;
	random_restore(vm);
}

void vm_event_end(struct vm *vm, bool restore)
{
	vm->deadline_ns = 0;
	if (vm->running && vm->running != vm->L)
		lua_sethook(vm->running, NULL, 0, 0);
	lua_sethook(vm->L, NULL, 0, 0);
	vm->running = vm->L;
	vm->stop_asked = 0;
	vm->stopping = false;
	vm->depth = 0;
	if (vm->traced) {
		lua_pushnil(vm->L);
		slot_set(vm->L, SLOT_TRACE);
		vm->traced = false;
	}
	if (vm->ids) {
		lua_pushnil(vm->L);
		slot_set(vm->L, SLOT_IDS);
		vm->ids = 0;
	}
	if (restore && vm->dirty) {
		guard_restore(vm->L);
		vm->dirty = false;
	}
}

bool vm_can_yield(lua_State *L)
{
	return vm_of(L)->depth == 0 && lua_isyieldable(L);
}
