/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_json: any text to json.decode. What it takes, json.encode must give back
 * as a text that decodes and encodes to itself.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/vm_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lua_State *L = vm_state();
	size_t n, again;
	const char *text, *second;

	lua_pushlstring(L, (const char *)data, size);
	vm_state_call(L, "json", "decode");
	if (lua_isnil(L, -2)) {
		must(lua_isnil(L, -1) || lua_isstring(L, -1));
	} else {
		lua_pop(L, 1);
		vm_state_call(L, "json", "encode");
		text = lua_tolstring(L, -2, &n);
		must(text);
		lua_pop(L, 1);
		vm_state_call(L, "json", "decode");
		must(lua_isnil(L, -1));
		lua_pop(L, 1);
		vm_state_call(L, "json", "encode");
		second = lua_tolstring(L, -2, &again);
		must(second && again == n && memcmp(text, second, n) == 0);
	}
	lua_settop(L, 0);
	vm_event_end(&vm, true);
	return 0;
}
