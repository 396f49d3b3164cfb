/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_json: any text to json.decode. What it takes, json.encode must give back
 * as a text that decodes and encodes to itself.
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
	const char *text, *second;

	lua_pushlstring(L, (const char *)data, size);
	call(L, "json", "decode");
	if (lua_isnil(L, -2)) {
		must(lua_isnil(L, -1) || lua_isstring(L, -1));
	} else {
		lua_pop(L, 1);
		call(L, "json", "encode");
		text = lua_tolstring(L, -2, &n);
		must(text);
		lua_pop(L, 1);
		call(L, "json", "decode");
		must(lua_isnil(L, -1));
		lua_pop(L, 1);
		call(L, "json", "encode");
		second = lua_tolstring(L, -2, &again);
		must(second && again == n && memcmp(text, second, n) == 0);
	}
	lua_settop(L, 0);
	vm_event_end(&vm, true);
	return 0;
}
