/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_kv: kv.get get_base64 set delete list incr cas. Writes are effects and
 * cost no call; reads see them first; incr and cas act at once in the broker.
 */
#include "lib/base64.h"
#include "proto/pack.h"
#include "proto/unpack.h"
#include "worker/convert.h"
#include "worker/lib.h"

static int missing(lua_State *L)
{
	lua_pushnil(L);
	lua_pushliteral(L, "kv: key '");
	lua_pushvalue(L, 1);
	lua_pushliteral(L, "' not found");
	lua_concat(L, 3);
	return 2;
}

static void push_base64(lua_State *L, struct slice s)
{
	luaL_Buffer b;

	base64_encode(s, luaL_buffinitsize(L, &b, base64_size(s.n)));
	luaL_pushresultsize(&b, base64_size(s.n));
}

static int give(lua_State *L, struct slice value, bool base64)
{
	if (base64)
		push_base64(L, value);
	else
		lua_pushlstring(L, value.n ? (const char *)value.p : "",
				value.n);
	return 1;
}

static int got(lua_State *L, const struct answer *a, bool base64)
{
	struct cursor c = cursor_of(a->result);

	if (lane_failed(L, a, LUA_TNIL))
		return 2;
	if (cursor_nil(&c))
		return missing(L);
	return give(L, cursor_text(&c), base64);
}

static int on_get(lua_State *L, const struct answer *a)
{
	return got(L, a, false);
}

static int on_get_base64(lua_State *L, const struct answer *a)
{
	return got(L, a, true);
}

static void push_too_large(lua_State *L, const char *what, size_t n, size_t max)
{
	lua_pushfstring(L,
			"too_large: the %s has %I bytes, at most %I are "
			"allowed",
			what, (LUAI_UACINT)n, (LUAI_UACINT)max);
}

static int refuse(lua_State *L, const char *what, size_t n, size_t max)
{
	lua_pushboolean(L, 0);
	push_too_large(L, what, n, max);
	return 2;
}

/* For what answers nil: a key or prefix that is not worth a message. */
static bool long_key(lua_State *L, struct slice key)
{
	size_t max = lane_of(L)->host->script->max_key;

	if (key.n <= max)
		return false;
	lua_pushnil(L);
	push_too_large(L, "key", key.n, max);
	return true;
}

static int get(lua_State *L, bool base64)
{
	struct lane *l = lane_of(L);
	struct slice key = convert_text(L, 1);
	const struct effect *own;

	if (long_key(L, key))
		return 2;
	own = effects_kv_find(&l->effects, key);
	if (own && own->kind == EFFECT_KV_DELETE)
		return missing(L);
	if (own)
		return give(L, effect_value(&l->effects, own), base64);
	pack_text(lane_call_begin(l, "kv.get", 1), key);
	return lane_call(L, base64 ? on_get_base64 : on_get);
}

static int kv_get(lua_State *L)
{
	return get(L, false);
}

static int kv_get_base64(lua_State *L)
{
	return get(L, true);
}

/* false, "denied: ..." */
static bool denied(lua_State *L, const char *kind, struct slice name)
{
	lua_pushboolean(L, 0);
	if (lib_denied(L, kind, name))
		return true;
	lua_pop(L, 1);
	return false;
}

static int done(lua_State *L)
{
	lua_pushboolean(L, 1);
	return 1;
}

/* The third argument: {ttl = seconds}. In ms; 0: none. */
static uint64_t take_ttl(lua_State *L)
{
	lua_Number seconds;
	int number;

	if (lua_isnoneornil(L, 3))
		return 0;
	luaL_checktype(L, 3, LUA_TTABLE);
	if (lua_getfield(L, 3, "ttl") == LUA_TNIL)
		return 0;
	seconds = lua_tonumberx(L, -1, &number);
	if (!number || !(seconds > 0) || seconds > 1e10)
		luaL_argerror(L, 3,
			      "ttl must be a positive number of "
			      "seconds");
	return seconds < 0.001 ? 1 : (uint64_t)(seconds * 1000);
}

static int kv_set(lua_State *L)
{
	struct lane *l = lane_of(L);
	const struct script *s = l->host->script;
	struct slice key = convert_text(L, 1), value = convert_text(L, 2);
	uint64_t ttl = take_ttl(L);

	if (denied(L, "kv.write", key))
		return 2;
	if (key.n > s->max_key)
		return refuse(L, "key", key.n, s->max_key);
	if (value.n > s->max_value)
		return refuse(L, "value", value.n, s->max_value);
	lane_check_effect(L, effects_kv_set(&l->effects, key, value, ttl));
	return done(L);
}

int lib_kv_delete(lua_State *L)
{
	struct lane *l = lane_of(L);
	struct slice key = convert_text(L, 1);

	if (denied(L, "kv.write", key))
		return 2;
	if (key.n > l->host->script->max_key)
		return refuse(L, "key", key.n, l->host->script->max_key);
	lane_check_effect(L, effects_kv_delete(&l->effects, key));
	return done(L);
}

/* What this run wrote, over the list on top. */
static void merge(lua_State *L, const struct effects *e, struct slice prefix)
{
	for (uint32_t i = 0; i < effects_count(e); i++) {
		const struct effect *one = effects_at(e, i);
		struct slice key = effect_key(e, one), value;

		if (one->kind > EFFECT_KV_DELETE || !slice_starts(key, prefix))
			continue;
		value = effect_value(e, one);
		lua_pushlstring(L, (const char *)key.p, key.n);
		if (one->kind == EFFECT_KV_DELETE)
			lua_pushnil(L);
		else
			lua_pushlstring(L, (const char *)value.p, value.n);
		lua_rawset(L, -3);
	}
}

static int on_list(lua_State *L, const struct answer *a)
{
	struct cursor c = cursor_of(a->result);
	struct slice prefix;

	if (lane_failed(L, a, LUA_TNIL))
		return 2;
	convert_push(L, &c);
	if (!lua_istable(L, -1))
		return luaL_error(L, "kv.list: an answer without sense");
	prefix.p = (const uint8_t *)lua_tolstring(L, 1, &prefix.n);
	merge(L, &lane_of(L)->effects, prefix);
	return 1;
}

static int kv_list(lua_State *L)
{
	struct slice prefix = convert_text(L, 1);

	if (long_key(L, prefix))
		return 2;
	pack_text(lane_call_begin(lane_of(L), "kv.list", 1), prefix);
	return lane_call(L, on_list);
}

/* incr and cas act at once: they cannot see, nor be seen by, a write that is
 * still waiting for the end of the run. */
static bool is_pending(lua_State *L, struct slice key, int fail)
{
	if (!effects_kv_find(&lane_of(L)->effects, key))
		return false;
	if (fail == LUA_TNIL)
		lua_pushnil(L);
	else
		lua_pushboolean(L, 0);
	lua_pushliteral(L, "kv: key '");
	lua_pushvalue(L, 1);
	lua_pushliteral(L, "' has an uncommitted write of the same run");
	lua_concat(L, 3);
	return true;
}

static int on_incr(lua_State *L, const struct answer *a)
{
	struct cursor c = cursor_of(a->result);

	if (lane_failed(L, a, LUA_TNIL))
		return 2;
	lua_pushinteger(L, cursor_int(&c));
	return 1;
}

static int kv_incr(lua_State *L)
{
	struct slice key = convert_text(L, 1);
	lua_Integer by = luaL_optinteger(L, 2, 1);
	struct buf *b;

	if (long_key(L, key) || is_pending(L, key, LUA_TNIL))
		return 2;
	b = lane_call_begin(lane_of(L), "kv.incr", 2);
	pack_text(b, key);
	pack_int(b, by);
	return lane_call(L, on_incr);
}

static int on_cas(lua_State *L, const struct answer *a)
{
	struct cursor c = cursor_of(a->result);

	if (lane_failed(L, a, LUA_TBOOLEAN))
		return 2;
	lua_pushboolean(L, cursor_bool(&c));
	return 1;
}

static int kv_cas(lua_State *L)
{
	struct lane *l = lane_of(L);
	struct slice key = convert_text(L, 1), old = {0}, new;
	bool absent = lua_isnil(L, 2);
	struct buf *b;

	if (!absent)
		old = convert_text(L, 2);
	new = convert_text(L, 3);
	if (key.n > l->host->script->max_key)
		return refuse(L, "key", key.n, l->host->script->max_key);
	if (new.n > l->host->script->max_value)
		return refuse(L, "value", new.n, l->host->script->max_value);
	if (old.n > l->host->script->max_value)
		return refuse(L, "value", old.n, l->host->script->max_value);
	if (is_pending(L, key, LUA_TBOOLEAN))
		return 2;
	b = lane_call_begin(l, "kv.cas", 3);
	pack_text(b, key);
	if (absent)
		pack_nil(b);
	else
		pack_bin(b, old);
	pack_bin(b, new);
	return lane_call(L, on_cas);
}

const luaL_Reg lib_kv[] = {
	{"get", kv_get},   {"get_base64", kv_get_base64},
	{"set", kv_set},   {"delete", lib_kv_delete},
	{"list", kv_list}, {"incr", kv_incr},
	{"cas", kv_cas},   {NULL, NULL},
};
