/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_base64: any text to base64.decode. What it takes must survive encode
 * and decode.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker/libs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vm vm;

static lua_State *state(void)
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
static void call(lua_State *L, const char *library, const char *name)
{
	slot_get(L, SLOT_BASELINE);
	lua_getfield(L, -1, library);
	lua_getfield(L, -1, name);
	lua_pushvalue(L, -4);
	must(lua_pcall(L, 1, 2, 0) == LUA_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lua_State *L = state();
	size_t n, again;
	const char *bytes, *second;

	lua_pushlstring(L, (const char *)data, size);
	call(L, "base64", "decode");
	if (lua_isnil(L, -2)) {
		must(lua_isstring(L, -1));
	} else {
		bytes = lua_tolstring(L, -2, &n);
		lua_pop(L, 1);
		call(L, "base64", "encode");
		lua_pop(L, 1);
		call(L, "base64", "decode");
		second = lua_tolstring(L, -2, &again);
		must(second && again == n && memcmp(bytes, second, n) == 0);
	}
	lua_settop(L, 0);
	vm_event_end(&vm, true);
	return 0;
}
