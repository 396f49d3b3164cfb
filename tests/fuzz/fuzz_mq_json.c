/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_mq_json: any text to json.decode of the dialect mqtt. What it takes,
 * json.encode must give back as a text that decodes and encodes to itself. The
 * first byte says what a null is.
 */
#include <stdint.h>

#include "tests/fuzz/vm_state.h"
#include "worker/mq.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct script script = {.dialect = DIALECT_MQTT};
static struct lane_host host = {.script = &script};
static struct lane lane = {.host = &host};

/* On top, in the place of a value: the text of an array with it, or nil. */
static const char *encode(lua_State *L, size_t *n)
{
	lua_newtable(L);
	lua_insert(L, -2);
	lua_rawseti(L, -2, 1);
	vm_state_call(L, "json", "encode");
	if (lua_isnil(L, -2)) {
		must(lua_isstring(L, -1));
		return NULL;
	}
	lua_pop(L, 1);
	return lua_tolstring(L, -1, n);
}

static void decode_again(lua_State *L)
{
	size_t n, again;
	const char *text = encode(L, &n), *second;

	if (!text) /* an array more: nested too deep */
		return;
	vm_state_call(L, "json", "decode");
	must(lua_isnil(L, -1));
	lua_pop(L, 1);
	lua_rawgeti(L, -1, 1);
	second = encode(L, &again);
	must(second && again == n && memcmp(text, second, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lua_State *L = vm_state();

	if (!vm.arg) {
		vm.arg = &lane;
		lua_newtable(L);
		mq_json(L);
		guard_library(L, "json");
	}
	if (size == 0)
		return 0;
	script.nulls = data[0] & 1;
	lua_pushlstring(L, (const char *)data + 1, size - 1);
	vm_state_call(L, "json", "decode");
	if (lua_isnil(L, -2)) {
		must(lua_isnil(L, -1) || lua_isstring(L, -1));
	} else {
		lua_pop(L, 1);
		decode_again(L);
	}
	lua_settop(L, 0);
	vm_event_end(&vm, true);
	return 0;
}
