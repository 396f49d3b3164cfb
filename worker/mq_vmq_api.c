/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmq_api: what a script asks of the MQTT broker, through ours: to disconnect
 * a client, to look at its subscriptions again, to publish.
 */
#include "proto/pack.h"
#include "worker/mq.h"

/* {mountpoint = ..., client_id = ...} */
static void check_subscriber(lua_State *L, int arg, struct slice *mountpoint,
			     struct slice *client_id)
{
	*mountpoint = mq_field(L, arg, "mountpoint");
	*client_id = mq_field(L, arg, "client_id");
}

/* A boolean field, false when absent. */
static bool flag(lua_State *L, int arg, const char *key)
{
	int type = lua_getfield(L, arg, key);
	bool set = lua_toboolean(L, -1);

	if (type != LUA_TNIL && type != LUA_TBOOLEAN)
		luaL_argerror(L, arg,
			      lua_pushfstring(L, "%s: boolean expected, got %s",
					      key, lua_typename(L, type)));
	lua_pop(L, 1);
	return set;
}

static int api_disconnect(lua_State *L)
{
	struct slice mountpoint, client_id;
	bool cleanup;
	struct buf *b;

	check_subscriber(L, 1, &mountpoint, &client_id);
	luaL_checktype(L, 2, LUA_TTABLE);
	cleanup = flag(L, 2, "do_cleanup");
	b = mq_begin(L);
	pack_text(b, mountpoint);
	pack_text(b, client_id);
	pack_bool(b, cleanup);
	return mq_call(L, "mqtt.disconnect", 3, mq_give);
}

static int api_reauthorize(lua_State *L)
{
	struct slice username = mq_text(L, 1), mountpoint, client_id;
	struct buf *b;

	check_subscriber(L, 2, &mountpoint, &client_id);
	if (!lua_isnoneornil(L, 3))
		luaL_checktype(L, 3, LUA_TTABLE);
	b = mq_begin(L);
	pack_text(b, username);
	pack_text(b, mountpoint);
	pack_text(b, client_id);
	return mq_call(L, "mqtt.reauthorize", 3, mq_give);
}

/* A string field that may be absent (p is NULL then); stays on the stack. */
static struct slice optional(lua_State *L, const char *key)
{
	if (lua_getfield(L, 1, key) == LUA_TNIL)
		return (struct slice){0};
	lua_pop(L, 1);
	return mq_field(L, 1, key);
}

static uint64_t check_qos(lua_State *L)
{
	lua_Integer qos = 0;
	int whole = 1;

	if (lua_getfield(L, 1, "qos") != LUA_TNIL)
		qos = lua_type(L, -1) == LUA_TNUMBER
			      ? lua_tointegerx(L, -1, &whole)
			      : -1;
	luaL_argcheck(L, whole && qos >= 0 && qos <= 2, 1,
		      "qos: must be 0, 1 or 2");
	lua_pop(L, 1);
	return (uint64_t)qos;
}

static bool has_wildcard(struct slice topic)
{
	return memchr(topic.p, '+', topic.n) || memchr(topic.p, '#', topic.n);
}

/* {topic, payload, qos, retain, client_id}; a client id: only to that one. */
static int api_publish(lua_State *L)
{
	struct slice topic = mq_field(L, 1, "topic"),
		     payload = optional(L, "payload"),
		     client_id = optional(L, "client_id");
	bool retain = flag(L, 1, "retain");
	uint64_t qos = check_qos(L);
	struct buf *b;

	luaL_argcheck(L, topic.n > 0 && topic.n < 65536 && !has_wildcard(topic),
		      1, "topic: not one to publish to");
	/* Not to everybody because of a variable that is empty. */
	luaL_argcheck(L, !client_id.p || client_id.n > 0, 1,
		      "client_id: it is empty");
	b = mq_begin(L);
	pack_map(b, client_id.p ? 5 : 4);
	pack_cstr(b, "topic");
	pack_text(b, topic);
	pack_cstr(b, "payload");
	pack_bin(b, payload);
	pack_cstr(b, "qos");
	pack_uint(b, qos);
	pack_cstr(b, "retain");
	pack_bool(b, retain);
	if (client_id.p) {
		pack_cstr(b, "client_id");
		pack_text(b, client_id);
	}
	return mq_call(L, "mqtt.publish", 1, mq_give);
}

void mq_vmq_api(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"disconnect_by_subscriber_id", api_disconnect},
		{"reauthorize_subscriptions", api_reauthorize},
		{"publish", api_publish},
		{NULL, NULL},
	};

	luaL_setfuncs(L, functions, 0);
}
