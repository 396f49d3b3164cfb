/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bcrypt: computed in the gateway, since a quarter of a second of arithmetic
 * must not stop the worker's other lanes.
 */
#include "proto/pack.h"
#include "worker/mq.h"

static int bcrypt_gen_salt(lua_State *L)
{
	mq_begin(L);
	return mq_call(L, "bcrypt.salt", 0, mq_give);
}

/* The salt may be a whole hash: then the same hash means the same password. */
static int bcrypt_hashpw(lua_State *L)
{
	struct slice password = mq_text(L, 1), salt = mq_text(L, 2);
	struct buf *b = mq_begin(L);

	pack_text(b, password);
	pack_text(b, salt);
	return mq_call(L, "bcrypt.hash", 2, mq_give);
}

void mq_bcrypt(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"gen_salt", bcrypt_gen_salt},
		{"hashpw", bcrypt_hashpw},
		{NULL, NULL},
	};

	luaL_setfuncs(L, functions, 0);
}
