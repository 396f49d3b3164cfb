/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_chunk: any text to the compiler. Text that Lua takes is also run for a
 * few steps, which walks the paths that name what failed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/vm_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lua_State *L = vm_state();
	lua_State *co;
	int n;

	if (vm_compile(&vm, slice_of(data, size), "@fuzz.lua") != 0) {
		must(lua_isstring(L, -1));
	} else {
		vm_env_push(&vm, L);
		vm_env_set(L, 1);
		vm_event_begin(&vm, vm_clock_ns() + 20000000);
		co = lua_newthread(L);
		lua_pushvalue(L, 1);
		lua_xmove(L, co, 1);
		vm.running = co;
		vm_arm(&vm);
		if (vm_resume(&vm, co, 0, &n) > LUA_YIELD)
			luaL_traceback(L, co, NULL, 0);
	}
	lua_settop(L, 0);
	vm_event_end(&vm, true);
	return 0;
}
