/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64: lib/base64.h for scripts.
 */
#include "lib/base64.h"

#include "worker/libs.h"

static int encode(lua_State *L)
{
	struct slice in;
	luaL_Buffer b;
	char *out;

	in.p = (const uint8_t *)luaL_checklstring(L, 1, &in.n);
	vm_room(L, base64_size(in.n) * 2);
	out = luaL_buffinitsize(L, &b, base64_size(in.n));
	base64_encode(in, out);
	luaL_pushresultsize(&b, base64_size(in.n));
	return 1;
}

static int decode(lua_State *L)
{
	struct slice in;
	ptrdiff_t n, wrong = 0;
	luaL_Buffer b;
	uint8_t *out;

	in.p = (const uint8_t *)luaL_checklstring(L, 1, &in.n);
	vm_room(L, in.n * 2);
	out = (uint8_t *)luaL_buffinitsize(L, &b, base64_room(in.n));
	n = base64_decode(in, out, &wrong);
	if (n >= 0) {
		luaL_pushresultsize(&b, (size_t)n);
		return 1;
	}
	lua_pushnil(L);
	lua_pushfstring(L, "illegal base64 data at input byte %d", (int)wrong);
	return 2;
}

void open_base64(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"decode", decode},
		{"encode", encode},
		{NULL, NULL},
	};

	luaL_newlib(L, functions);
}
