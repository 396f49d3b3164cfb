/* SPDX-License-Identifier: Apache-2.0 */
/*
 * math: the engine's own, with random numbers that no event can pass on to the
 * next (xoshiro256**, seeded by the kernel), and what older engines had.
 */
#include "worker/libs.h"

#include <lualib.h>
#include <math.h>
#include <sys/random.h>

static uint64_t rotate(uint64_t x, int n)
{
	return (x << n) | (x >> (64 - n));
}

static uint64_t next_random(uint64_t s[4])
{
	uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

void random_open(struct vm *vm)
{
	if (getrandom(vm->random, sizeof(vm->random), 0) !=
	    (ssize_t)sizeof(vm->random))
		vm->random[0] = vm_clock_ns();
	vm->random[1] |= 1; /* all zeros would stay so */
}

void random_restore(struct vm *vm)
{
	if (!vm->seeded)
		return;
	memcpy(vm->random, vm->reseed, sizeof(vm->random));
	vm->seeded = false;
}

/* A number in [0, n], each as likely. */
static uint64_t below(uint64_t s[4], uint64_t n)
{
	uint64_t mask = n ? UINT64_MAX >> __builtin_clzll(n) : 0, r;

	do {
		r = next_random(s) & mask;
	} while (r > n);
	return r;
}

static int math_random(lua_State *L)
{
	uint64_t *s = vm_of(L)->random;
	lua_Integer low = 1, high;

	switch (lua_gettop(L)) {
	case 0:
		lua_pushnumber(L, (double)(next_random(s) >> 11) * 0x1p-53);
		return 1;
	case 1:
		high = luaL_checkinteger(L, 1);
		if (high == 0) {
			lua_pushinteger(L, (lua_Integer)next_random(s));
			return 1;
		}
		break;
	case 2:
		low = luaL_checkinteger(L, 1);
		high = luaL_checkinteger(L, 2);
		break;
	default:
		return luaL_error(L, "wrong number of arguments");
	}
	luaL_argcheck(L, low <= high, lua_gettop(L), "interval is empty");
	lua_pushinteger(L,
			(lua_Integer)(below(s, (uint64_t)high - (uint64_t)low) +
				      (uint64_t)low));
	return 1;
}

/* What the script seeds with: its arguments, or the kernel's. */
static void take_seed(lua_State *L, uint64_t seed[2])
{
	int exact = 0;
	lua_Number n;

	if (lua_isnone(L, 1)) {
		random_open(vm_of(L));
		memcpy(seed, vm_of(L)->random, 2 * sizeof(*seed));
		return;
	}
	seed[0] = (uint64_t)lua_tointegerx(L, 1, &exact);
	if (!exact) {
		n = luaL_checknumber(L, 1);
		memcpy(&seed[0], &n, sizeof(n));
	}
	seed[1] = (uint64_t)luaL_optinteger(L, 2, 0);
}

static int math_randomseed(lua_State *L)
{
	struct vm *vm = vm_of(L);
	uint64_t seed[2];

	if (!vm->seeded)
		memcpy(vm->reseed, vm->random, sizeof(vm->random));
	vm->seeded = true;
	take_seed(L, seed);
	vm->random[0] = seed[0];
	vm->random[1] = 0xff;
	vm->random[2] = seed[1];
	vm->random[3] = 0;
	for (int i = 0; i < 16; i++)
		next_random(vm->random);
	lua_pushinteger(L, (lua_Integer)seed[0]);
	lua_pushinteger(L, (lua_Integer)seed[1]);
	return 2;
}

static int math_pow(lua_State *L)
{
	lua_pushnumber(L, pow(luaL_checknumber(L, 1), luaL_checknumber(L, 2)));
	return 1;
}

static int math_mod(lua_State *L)
{
	lua_pushnumber(L, fmod(luaL_checknumber(L, 1), luaL_checknumber(L, 2)));
	return 1;
}

static int math_log10(lua_State *L)
{
	lua_pushnumber(L, log10(luaL_checknumber(L, 1)));
	return 1;
}

static int math_cosh(lua_State *L)
{
	lua_pushnumber(L, cosh(luaL_checknumber(L, 1)));
	return 1;
}

static int math_sinh(lua_State *L)
{
	lua_pushnumber(L, sinh(luaL_checknumber(L, 1)));
	return 1;
}

static int math_tanh(lua_State *L)
{
	lua_pushnumber(L, tanh(luaL_checknumber(L, 1)));
	return 1;
}

static int math_ldexp(lua_State *L)
{
	lua_Integer e = luaL_checkinteger(L, 2);

	e = e > 10000 ? 10000 : e < -10000 ? -10000 : e;
	lua_pushnumber(L, ldexp(luaL_checknumber(L, 1), (int)e));
	return 1;
}

static int math_frexp(lua_State *L)
{
	int e = 0;

	lua_pushnumber(L, frexp(luaL_checknumber(L, 1), &e));
	lua_pushinteger(L, e);
	return 2;
}

void open_math(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"cosh", math_cosh},
		{"frexp", math_frexp},
		{"ldexp", math_ldexp},
		{"log10", math_log10},
		{"mod", math_mod},
		{"pow", math_pow},
		{"random", math_random},
		{"randomseed", math_randomseed},
		{"sinh", math_sinh},
		{"tanh", math_tanh},
		{NULL, NULL},
	};

	lua_pushcfunction(L, luaopen_math);
	lua_call(L, 0, 1);
	luaL_setfuncs(L, functions, 0);
}
