/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_pattern: a pattern up to the first line end, the rest is the text, to
 * all that matches patterns. Any outcome is right but a crash or an endless
 * loop.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/vm_state.h"

enum { DEADLINE_NS = 1000000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void call(lua_State *L, const char *name, int nargs)
{
	slot_get(L, SLOT_BASELINE);
	lua_getfield(L, -1, "string");
	lua_getfield(L, -1, name);
	for (int i = 1; i <= nargs; i++)
		lua_pushvalue(L, i);
	if (lua_pcall(L, nargs, LUA_MULTRET, 0) != LUA_OK)
		must(lua_isstring(L, -1));
	lua_settop(L, 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	size_t n = end ? (size_t)(end - data) : size;
	lua_State *L = vm_state();

	/* A match may work for a tenth of a second. The deadline of a run
	 * ends it sooner, so that many inputs have their turn. */
	vm.deadline_ns = vm_clock_ns() + DEADLINE_NS;
	vm.stop_asked = 1;
	lua_pushlstring(L, end ? (const char *)end + 1 : "",
			end ? size - n - 1 : 0);
	lua_pushlstring(L, (const char *)data, n);
	lua_pushliteral(L, "<%0>");
	call(L, "find", 2);
	call(L, "match", 2);
	call(L, "gsub", 3);
	lua_settop(L, 0);
	vm_event_end(&vm, true);
	return 0;
}
