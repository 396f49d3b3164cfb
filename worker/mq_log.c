/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log of VerneMQ's scripts: info, error, debug and warning, which take strings
 * only. Attributes, and the other levels, are ours.
 */
#include "worker/lib.h"
#include "worker/mq.h"

static int write_log(lua_State *L, enum log_level level)
{
	luaL_checktype(L, 1, LUA_TSTRING);
	return log_call(L, level);
}

static int debug(lua_State *L)
{
	return write_log(L, LOG_DEBUG);
}

static int info(lua_State *L)
{
	return write_log(L, LOG_INFO);
}

static int warning(lua_State *L)
{
	return write_log(L, LOG_WARN);
}

static int error(lua_State *L)
{
	return write_log(L, LOG_ERROR);
}

void mq_log(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"debug", debug}, {"info", info}, {"warning", warning},
		{"error", error}, {NULL, NULL},
	};

	luaL_setfuncs(L, lib_log, 0);
	luaL_setfuncs(L, functions, 0);
}
