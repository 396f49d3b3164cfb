/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv of VerneMQ's scripts: named tables in the broker's memory, shared by all
 * scripts of the dialect, beside our own kv.get and the like. They act at
 * once. kv.delete has a table and a key here; with a key alone it is ours.
 */
#include "proto/pack.h"
#include "worker/lib.h"
#include "worker/mq.h"

/* Push the field, or its default. */
static struct slice option(lua_State *L, const char *key, const char *absent)
{
	if (lua_getfield(L, 1, key) == LUA_TNIL)
		lua_pushstring(L, absent);
	else
		lua_pop(L, 1), mq_field(L, 1, key);
	return mq_text(L, -1);
}

static int kv_ensure_table(lua_State *L)
{
	static const char *const types[] = {"set", "ordered_set", "bag",
					    "duplicate_bag"};
	struct slice name, type;
	struct buf *b;
	bool known = false;

	if (lua_isnoneornil(L, 1)) {
		lua_settop(L, 0);
		lua_newtable(L);
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	name = option(L, "name", "simple_kv");
	type = option(L, "type", "set");
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		known = known || slice_is(type, types[i]);
	luaL_argcheck(L, known, 1,
		      "type: must be set, ordered_set, bag or duplicate_bag");
	b = mq_begin(L);
	pack_text(b, name);
	pack_text(b, type);
	return mq_call(L, "ets.ensure_table", 2, mq_give);
}

static int insert(lua_State *L, const char *method)
{
	struct slice name = mq_text(L, 1);
	uint32_t n = mq_check_map(L, 2);

	luaL_argcheck(L, n > 0, 2, "it is empty");
	pack_text(mq_begin(L), name);
	mq_pack(L, 2);
	return mq_call(L, method, 2, mq_give);
}

static int kv_insert(lua_State *L)
{
	return insert(L, "ets.insert");
}

static int kv_insert_new(lua_State *L)
{
	return insert(L, "ets.insert_new");
}

static int with_key(lua_State *L, const char *method)
{
	struct slice name = mq_text(L, 1), key = mq_text(L, 2);
	struct buf *b = mq_begin(L);

	pack_text(b, name);
	pack_text(b, key);
	return mq_call(L, method, 2, mq_give);
}

static int kv_lookup(lua_State *L)
{
	return with_key(L, "ets.lookup");
}

/* By their number: kv.delete(t, nil) must not delete the key t. */
static int kv_delete_any(lua_State *L)
{
	if (lua_gettop(L) < 2)
		return lib_kv_delete(L);
	return with_key(L, "ets.delete");
}

static int kv_delete_all(lua_State *L)
{
	struct slice name = mq_text(L, 1);

	pack_text(mq_begin(L), name);
	return mq_call(L, "ets.delete_all", 1, mq_give);
}

void mq_kv(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"ensure_table", kv_ensure_table},
		{"insert", kv_insert},
		{"insert_new", kv_insert_new},
		{"lookup", kv_lookup},
		{"delete", kv_delete_any},
		{"delete_all", kv_delete_all},
		{NULL, NULL},
	};

	luaL_setfuncs(L, lib_kv, 0);
	luaL_setfuncs(L, functions, 0);
}
