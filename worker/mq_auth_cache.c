/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_cache: what a client may publish and subscribe to, kept by the broker,
 * which then answers without asking scripts. Types are checked here; what the
 * rules say is checked there (proto/acl.h) and its complaints are logged.
 */
#include "proto/pack.h"
#include "proto/unpack.h"
#include "worker/convert.h"
#include "worker/lib.h"
#include "worker/mq.h"

/* {ttl = seconds}, in ms; 0: what the configuration says. */
static uint64_t check_ttl(lua_State *L, int arg)
{
	lua_Number seconds;
	int number;

	if (lua_isnoneornil(L, arg))
		return 0;
	luaL_checktype(L, arg, LUA_TTABLE);
	if (lua_getfield(L, arg, "ttl") == LUA_TNIL)
		return 0;
	seconds = lua_tonumberx(L, -1, &number);
	if (!number || lua_type(L, -1) != LUA_TNUMBER || !(seconds > 0) ||
	    seconds > 1e10)
		luaL_argerror(L, arg,
			      "ttl must be a positive number of "
			      "seconds");
	return seconds < 0.001 ? 1 : (uint64_t)(seconds * 1000);
}

static int on_insert(lua_State *L, const struct answer *a)
{
	struct cursor c = cursor_of(a->result);
	struct slice line;

	if (mq_failed(L, a))
		return 2;
	if (cursor_peek(&c) == CURSOR_ARRAY)
		for (uint32_t n = cursor_array(&c); n > 0 && !c.error; n--) {
			line = cursor_text(&c);
			if (!c.error)
				log_text(lane_of(L), LOG_WARN, line);
		}
	lua_pushboolean(L, 1);
	return 1;
}

static void check_list(lua_State *L, int arg)
{
	if (!lua_isnoneornil(L, arg))
		luaL_checktype(L, arg, LUA_TTABLE);
}

static int cache_insert(lua_State *L)
{
	struct slice mountpoint = mq_text(L, 1), client_id = mq_text(L, 2),
		     username = mq_text(L, 3);
	uint64_t ttl = check_ttl(L, 6);
	struct buf *b;

	lua_settop(L, 5);
	check_list(L, 4);
	check_list(L, 5);
	b = mq_begin(L);
	pack_text(b, mountpoint);
	pack_text(b, client_id);
	pack_text(b, username);
	mq_pack_whole(L, 4);
	mq_pack_whole(L, 5);
	pack_uint(b, ttl);
	return mq_call(L, "cache.insert", 6, on_insert);
}

/* mountpoint, client id, topic, QoS: what both matches begin with. */
static struct buf *begin_match(lua_State *L)
{
	struct slice text[3];
	lua_Integer qos;
	struct buf *b;

	for (int i = 0; i < 3; i++)
		text[i] = mq_text(L, i + 1);
	qos = luaL_checkinteger(L, 4);
	luaL_argcheck(L, qos >= 0 && qos <= 2, 4, "must be 0, 1 or 2");
	b = mq_begin(L);
	for (int i = 0; i < 3; i++)
		pack_text(b, text[i]);
	pack_uint(b, (uint64_t)qos);
	return b;
}

static int cache_match_publish(lua_State *L)
{
	struct slice payload = mq_text(L, 5);
	struct buf *b;

	luaL_checktype(L, 6, LUA_TBOOLEAN);
	b = begin_match(L);
	pack_uint(b, payload.n);
	pack_bool(b, lua_toboolean(L, 6));
	return mq_call(L, "cache.match_publish", 6, mq_give);
}

static int cache_match_subscribe(lua_State *L)
{
	begin_match(L);
	return mq_call(L, "cache.match_subscribe", 4, mq_give);
}

void mq_auth_cache(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"insert", cache_insert},
		{"match_publish", cache_match_publish},
		{"match_subscribe", cache_match_subscribe},
		{NULL, NULL},
	};

	luaL_setfuncs(L, functions, 0);
}
