/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What scripts for older engines expect: the bit32 library and a global
 * unpack. The rest of that kind stands with its library (lib_table.c,
 * lib_math.c, chunk.c).
 */
#include "worker/libs.h"

#include <math.h>

static uint32_t check_bits(lua_State *L, int arg)
{
	int exact;
	lua_Integer n = lua_tointegerx(L, arg, &exact);
	lua_Number x;

	if (exact)
		return (uint32_t)n;
	x = fmod(floor(luaL_checknumber(L, arg)), 0x1p32);
	if (x < 0)
		x += 0x1p32;
	return x >= 0 && x < 0x1p32 ? (uint32_t)x : 0;
}

static int push_bits(lua_State *L, uint32_t bits)
{
	lua_pushinteger(L, (lua_Integer)bits);
	return 1;
}

static uint32_t all_and(lua_State *L)
{
	uint32_t bits = UINT32_MAX;

	for (int i = 1; i <= lua_gettop(L); i++)
		bits &= check_bits(L, i);
	return bits;
}

static int bit_band(lua_State *L)
{
	return push_bits(L, all_and(L));
}

static int bit_btest(lua_State *L)
{
	lua_pushboolean(L, all_and(L) != 0);
	return 1;
}

static int bit_bor(lua_State *L)
{
	uint32_t bits = 0;

	for (int i = 1; i <= lua_gettop(L); i++)
		bits |= check_bits(L, i);
	return push_bits(L, bits);
}

static int bit_bxor(lua_State *L)
{
	uint32_t bits = 0;

	for (int i = 1; i <= lua_gettop(L); i++)
		bits ^= check_bits(L, i);
	return push_bits(L, bits);
}

static int bit_bnot(lua_State *L)
{
	return push_bits(L, ~check_bits(L, 1));
}

/* Left by n, right when n is negative. */
static uint32_t shifted(uint32_t bits, lua_Integer n)
{
	if (n <= -32 || n >= 32)
		return 0;
	return n >= 0 ? bits << n : bits >> -n;
}

static int bit_lshift(lua_State *L)
{
	return push_bits(L, shifted(check_bits(L, 1), luaL_checkinteger(L, 2)));
}

static int bit_rshift(lua_State *L)
{
	lua_Integer n = luaL_checkinteger(L, 2);

	return push_bits(
		L, shifted(check_bits(L, 1), n == LUA_MININTEGER ? 64 : -n));
}

static int bit_arshift(lua_State *L)
{
	uint32_t bits = check_bits(L, 1);
	lua_Integer n = luaL_checkinteger(L, 2);

	if (n < 0)
		return push_bits(L, n <= -32 ? 0 : bits << -n);
	if (!(bits & 0x80000000u))
		return push_bits(L, shifted(bits, n > 32 ? -32 : -n));
	if (n >= 32)
		return push_bits(L, UINT32_MAX);
	return push_bits(L, ~(~bits >> n));
}

static uint32_t rotated(uint32_t bits, lua_Integer n)
{
	unsigned left = (unsigned)(n & 31);

	return left ? (bits << left) | (bits >> (32 - left)) : bits;
}

static int bit_lrotate(lua_State *L)
{
	return push_bits(L, rotated(check_bits(L, 1), luaL_checkinteger(L, 2)));
}

static int bit_rrotate(lua_State *L)
{
	lua_Integer n = luaL_checkinteger(L, 2) & 31;

	return push_bits(L, rotated(check_bits(L, 1), 32 - n));
}

/* Arguments `arg` and the optional next: a field and its width. */
static uint32_t check_field(lua_State *L, int arg, int *at)
{
	lua_Integer field = luaL_checkinteger(L, arg);
	lua_Integer width = luaL_optinteger(L, arg + 1, 1);

	luaL_argcheck(L, field >= 0 && field < 32, arg, "field out of range");
	luaL_argcheck(L, width > 0 && width <= 32 - field, arg + 1,
		      "width out of range");
	*at = (int)field;
	return width == 32 ? UINT32_MAX : (1u << width) - 1;
}

static int bit_extract(lua_State *L)
{
	uint32_t bits = check_bits(L, 1), mask;
	int at;

	mask = check_field(L, 2, &at);
	return push_bits(L, (bits >> at) & mask);
}

static int bit_replace(lua_State *L)
{
	uint32_t bits = check_bits(L, 1), value = check_bits(L, 2), mask;
	int at;

	mask = check_field(L, 3, &at);
	return push_bits(L, (bits & ~(mask << at)) | ((value & mask) << at));
}

void open_bit32(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"arshift", bit_arshift},
		{"band", bit_band},
		{"bnot", bit_bnot},
		{"bor", bit_bor},
		{"btest", bit_btest},
		{"bxor", bit_bxor},
		{"extract", bit_extract},
		{"lrotate", bit_lrotate},
		{"lshift", bit_lshift},
		{"replace", bit_replace},
		{"rrotate", bit_rrotate},
		{"rshift", bit_rshift},
		{NULL, NULL},
	};

	luaL_newlib(L, functions);
}

void open_compat(lua_State *L)
{
	slot_get(L, SLOT_BASELINE);
	lua_pushcfunction(L, table_unpack);
	lua_setfield(L, -2, "unpack");
	lua_pop(L, 1);
}
