/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_state: one Lua state for all inputs of a fuzz target, as an event would
 * find it. (The word `vm_state` tells tools/fuzz not to look for leaks.)
 */
#ifndef PF_TESTS_FUZZ_VM_STATE_H
#define PF_TESTS_FUZZ_VM_STATE_H

#include "worker/libs.h"

static struct vm vm;

static inline lua_State *vm_state(void)
{
	static const struct vm_ops ops;

	if (!vm.L)
		must(vm_open(&vm, &ops, NULL) == 0);
	vm_event_begin(&vm, 0);
	vm_env_push(&vm, vm.L);
	lua_settop(vm.L, 0);
	return vm.L;
}

/* Push what library.name(the value on top) gives: two results. */
static inline void vm_state_call(lua_State *L, const char *library,
				 const char *name)
{
	slot_get(L, SLOT_BASELINE);
	lua_getfield(L, -1, library);
	lua_getfield(L, -1, name);
	lua_pushvalue(L, -4);
	must(lua_pcall(L, 1, 2, 0) == LUA_OK);
}

#endif
