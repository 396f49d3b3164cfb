/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mq: what the libraries of mq.h share, and how they come into a lane. Start
 * at mq_open().
 */
#include "worker/mq.h"

#include "proto/pack.h"
#include "proto/unpack.h"
#include "worker/convert.h"
#include "worker/lib.h"
#include "worker/libs.h"

/* What a call may send: as much as a run's answer. */
enum { MAX_PARAMS = PROTO_MAX_INTERNAL - (64 << 10) };

void mq_open(struct lane *l)
{
	static const struct {
		const char *name;
		void (*fill)(lua_State *L);
	} libraries[] = {
		{"json", mq_json},	 {"log", mq_log},
		{"crypto", mq_crypto},	 {"kv", mq_kv},
		{"bcrypt", mq_bcrypt},	 {"auth_cache", mq_auth_cache},
		{"vmq_api", mq_vmq_api}, {"obf", mq_obf},
	};
	lua_State *L = l->vm.L;

	for (size_t i = 0; i < sizeof(libraries) / sizeof(*libraries); i++) {
		lua_newtable(L);
		libraries[i].fill(L);
		guard_library(L, libraries[i].name);
	}
}

struct buf *mq_begin(lua_State *L)
{
	struct buf *b = &lane_of(L)->out;

	/* A maximum that an error leaves behind is that of the run's end. */
	b->max = MAX_PARAMS;
	buf_clear(b);
	return b;
}

static void check_packed(lua_State *L, int arg, const char *why)
{
	if (!why)
		return;
	buf_clear(&lane_of(L)->out);
	luaL_argerror(L, arg, why);
}

void mq_pack(lua_State *L, int arg)
{
	check_packed(L, arg, convert_pack_exact(L, arg, &lane_of(L)->out));
}

void mq_pack_whole(lua_State *L, int arg)
{
	check_packed(L, arg, convert_pack(L, arg, &lane_of(L)->out));
}

int mq_call(lua_State *L, const char *method, uint32_t nparams, lane_k k)
{
	struct lane *l = lane_of(L);

	l->out.max = 0;
	if (buf_error(&l->out)) {
		buf_clear(&l->out);
		return luaL_error(L,
				  "too_large: %s: the arguments have more "
				  "than %d bytes",
				  method, MAX_PARAMS);
	}
	pack_raw(lane_call_begin(l, method, nparams), buf_slice(&l->out));
	buf_clear(&l->out);
	return lane_call(L, k);
}

static struct slice error_text(const struct answer *a, const char *key)
{
	struct slice raw;
	struct cursor c;

	if (!map_find(a->error, key, &raw))
		return (struct slice){0};
	c = cursor_of(raw);
	return cursor_text(&c);
}

bool mq_failed_as(const struct answer *a, const char *code)
{
	return a->failed && slice_is(error_text(a, "code"), code);
}

/* Push the name in `library` of the function below; false: it is not there. */
static bool push_name_in(lua_State *L, int library, int function)
{
	lua_pushnil(L);
	while (lua_next(L, library)) {
		if (lua_rawequal(L, -1, function)) {
			lua_pop(L, 1);
			return true;
		}
		lua_pop(L, 1);
	}
	return false;
}

/* Push the name of the running function (and more below it): the one that the
 * script called it by, or, called by pcall, that in its library. */
static void push_name(lua_State *L)
{
	lua_Debug ar;
	int function;

	lua_getstack(L, 0, &ar);
	lua_getinfo(L, "nf", &ar);
	function = lua_gettop(L);
	if (ar.name) {
		lua_pushstring(L, ar.name);
		return;
	}
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_pushnil(L);
	while (lua_next(L, function + 1)) {
		if (lua_istable(L, -1) &&
		    push_name_in(L, lua_gettop(L), function))
			return;
		lua_pop(L, 1);
	}
	lua_pushliteral(L, "?");
}

/* As luaL_argerror words it, though no argument can be named. */
static void raise_badarg(lua_State *L, const struct answer *a)
{
	struct slice why = error_text(a, "message");
	int name;

	push_name(L);
	name = lua_gettop(L);
	luaL_where(L, 1);
	lua_pushliteral(L, "bad argument to '");
	lua_pushvalue(L, name);
	lua_pushliteral(L, "' (");
	lua_pushlstring(L, (const char *)why.p, why.n);
	lua_pushliteral(L, ")");
	lua_concat(L, 6);
	lua_error(L);
}

bool mq_failed(lua_State *L, const struct answer *a)
{
	if (!a->failed)
		return false;
	luaL_checkstack(L, 16, NULL);
	if (mq_failed_as(a, "badarg"))
		raise_badarg(L, a);
	if (mq_failed_as(a, "denied"))
		return lane_failed(L, a, LUA_TBOOLEAN);
	lane_check(L, a);
	return true;
}

int mq_give(lua_State *L, const struct answer *a)
{
	struct cursor c = cursor_of(a->result);

	if (mq_failed(L, a))
		return 2;
	convert_push(L, &c);
	return 1;
}

struct slice mq_text(lua_State *L, int arg)
{
	size_t n;
	const char *s;

	luaL_checktype(L, arg, LUA_TSTRING);
	s = lua_tolstring(L, arg, &n);
	return slice_of(s, n);
}

struct slice mq_field(lua_State *L, int arg, const char *key)
{
	size_t n;
	const char *s;

	luaL_checktype(L, arg, LUA_TTABLE);
	if (lua_getfield(L, arg, key) != LUA_TSTRING)
		luaL_argerror(L, arg,
			      lua_pushfstring(L, "%s: string expected, got %s",
					      key, luaL_typename(L, -1)));
	s = lua_tolstring(L, -1, &n);
	return slice_of(s, n);
}

uint32_t mq_check_map(lua_State *L, int arg)
{
	uint32_t n = 0;

	luaL_checktype(L, arg, LUA_TTABLE);
	vm_fill(L, arg);
	lua_pushnil(L);
	while (lua_next(L, arg)) {
		lua_pop(L, 1);
		if (lua_type(L, -1) != LUA_TSTRING)
			luaL_argerror(L, arg, "its keys must be strings");
		if (++n % 65536 == 0)
			vm_poll(L);
	}
	return n;
}
