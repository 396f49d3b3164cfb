/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_base64: any text to base64.decode. What it takes must survive encode
 * and decode.
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
	const char *bytes, *second;

	lua_pushlstring(L, (const char *)data, size);
	vm_state_call(L, "base64", "decode");
	if (lua_isnil(L, -2)) {
		must(lua_isstring(L, -1));
	} else {
		bytes = lua_tolstring(L, -2, &n);
		lua_pop(L, 1);
		vm_state_call(L, "base64", "encode");
		lua_pop(L, 1);
		vm_state_call(L, "base64", "decode");
		second = lua_tolstring(L, -2, &again);
		must(second && again == n && memcmp(bytes, second, n) == 0);
	}
	lua_settop(L, 0);
	vm_event_end(&vm, true);
	return 0;
}
