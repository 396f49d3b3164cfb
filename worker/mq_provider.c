/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The providers: databases and HTTP, reached through the gateway. All have
 * one shape, so they are a table: the name of a function, what its arguments
 * are, and what it calls a NULL. What the arguments mean is the gateway's
 * business. To add one, add rows here and a file in gateway/provider/.
 *
 * Scripts of hook files have these libraries too, with the same arguments and
 * results, so that one page describes them. There NULL is always nil, and the
 * grants allow no provider unless the configuration says so: then a function
 * returns false and "denied: ...", as other refused calls do.
 */
#include "proto/pack.h"
#include "proto/unpack.h"
#include "worker/convert.h"
#include "worker/lib.h"
#include "worker/libs.h"
#include "worker/mq.h"

struct provider;

/*
 * Arguments behind the pool, a letter each: s a string, i an integer, e an
 * integer or 0, m a table with string keys, M one that is not empty, o one
 * that may be left out, d any table, * all the rest as it is.
 */
struct function {
	const char *name, *args;
	bool no_pool; /* the first argument tells all */
	int (*own)(lua_State *L, const struct provider *p);
};

struct provider {
	const char *name, *pool; /* when ensure_pool() names none */
	const char *null;	 /* with the setting `nulls: string` */
	bool quiet;		 /* cannot be reached: false, no error */
	const struct function *ops;
};

static int ensure_pool(lua_State *L, const struct provider *p);
static int http_body(lua_State *L, const struct provider *p);

#define CALL(name, args)                                                       \
	{                                                                      \
		name, args, false, NULL                                        \
	}
#define BARE(name, args)                                                       \
	{                                                                      \
		name, args, true, NULL                                         \
	}
#define OWN(name, own)                                                         \
	{                                                                      \
		name, "", false, own                                           \
	}
#define END                                                                    \
	{                                                                      \
		NULL, NULL, false, NULL                                        \
	}

static const struct function sql[] = {
	OWN("ensure_pool", ensure_pool),
	CALL("execute", "s*"),
	BARE("hash_method", ""),
	END,
};

static const struct function mongodb[] = {
	OWN("ensure_pool", ensure_pool),
	CALL("insert", "sd"),
	CALL("update", "sMM"),
	CALL("delete", "sm"),
	CALL("find", "smo"),
	CALL("find_one", "smo"),
	BARE("next", "s"),
	BARE("take", "si"),
	BARE("close", "s"),
	END,
};

static const struct function redis[] = {
	OWN("ensure_pool", ensure_pool),
	CALL("cmd", "s*"),
	END,
};

static const struct function memcached[] = {
	OWN("ensure_pool", ensure_pool),
	CALL("flush_all", ""),
	CALL("get", "s"),
	CALL("set", "sse"),
	CALL("add", "sse"),
	CALL("replace", "sse"),
	CALL("delete", "s"),
	END,
};

static const struct function http[] = {
	OWN("ensure_pool", ensure_pool),
	CALL("get", "s*"),
	CALL("put", "s*"),
	CALL("post", "s*"),
	CALL("delete", "s*"),
	OWN("body", http_body),
	END,
};

static const struct provider providers[] = {
	{"postgres", "pool_postgres", "null", false, sql},
	{"cockroachdb", "pool_cockroachdb", "null", false, sql},
	{"mysql", "pool_mysql", "undefined", false, sql},
	{"mysql2", "pool_mysql2", "null", true, sql},
	{"mongodb", "pool_mongodb", "undefined", false, mongodb},
	{"redis", "pool_redis", "undefined", true, redis},
	{"memcached", "pool_memcached", "undefined", false, memcached},
	{"http", "pool_http", "undefined", true, http},
};

static const struct provider *this_provider(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(1));
}

static const struct function *this_op(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(2));
}

/* --- answers --- */

/* false and the message; the log keeps what the script may not look at. */
static int unreachable(lua_State *L, const struct answer *a,
		       const struct provider *p)
{
	size_t n;
	const char *line;

	lane_failed(L, a, LUA_TBOOLEAN);
	lua_pushfstring(L, "%s.%s: %s", p->name, this_op(L)->name,
			lua_tostring(L, -1));
	line = lua_tolstring(L, -1, &n);
	log_text(lane_of(L), LOG_WARN, slice_of(line, n));
	lua_pop(L, 1);
	return 2;
}

static int on_answer(lua_State *L, const struct answer *a)
{
	const struct provider *p = this_provider(L);
	struct cursor c = cursor_of(a->result);

	if (p->quiet && mq_failed_as(a, "unavailable"))
		return unreachable(L, a, p);
	if (mq_failed(L, a))
		return 2;
	convert_push_nulls(L, &c,
			   lane_of(L)->host->script->nulls ? p->null : NULL);
	return 1;
}

/* --- arguments --- */

static struct buf *begin(lua_State *L, const char *op)
{
	struct buf *b = mq_begin(L);

	pack_cstr(b, this_provider(L)->name);
	pack_cstr(b, op);
	return b;
}

static int call(lua_State *L)
{
	return mq_call(L, "provider.call", 4, on_answer);
}

/* An empty table would go as an array. */
static void pack_table(lua_State *L, int arg, struct buf *b)
{
	if (mq_check_map(L, arg) > 0)
		mq_pack(L, arg);
	else
		pack_map(b, 0);
}

static void pack_arg(lua_State *L, char kind, int arg, struct buf *b)
{
	switch (kind) {
	case 's':
		pack_text(b, mq_text(L, arg));
		return;
	case 'i':
		pack_int(b, luaL_checkinteger(L, arg));
		return;
	case 'e':
		pack_int(b, luaL_optinteger(L, arg, 0));
		return;
	case 'o':
		if (lua_isnoneornil(L, arg)) {
			pack_nil(b);
			return;
		}
		pack_table(L, arg, b);
		return;
	case 'M':
		luaL_argcheck(L, mq_check_map(L, arg) > 0, arg, "it is empty");
		mq_pack(L, arg);
		return;
	case 'm':
		pack_table(L, arg, b);
		return;
	default:
		luaL_checktype(L, arg, LUA_TTABLE);
		mq_pack(L, arg);
	}
}

/* Those from `arg` on; with a * exactly as many as there are, nils too. */
static void pack_args(lua_State *L, const char *kinds, int arg, struct buf *b)
{
	const char *rest = strchr(kinds, '*');
	size_t fixed = rest ? (size_t)(rest - kinds) : strlen(kinds);
	int last = arg + (int)fixed - 1;

	if (rest && lua_gettop(L) > last)
		last = lua_gettop(L);
	pack_array(b, (uint32_t)(last - arg + 1));
	for (int i = arg; i <= last; i++)
		if ((size_t)(i - arg) < fixed)
			pack_arg(L, kinds[i - arg], i, b);
		else
			mq_pack(L, i);
}

static int call_op(lua_State *L)
{
	const struct function *op = this_op(L);
	struct slice pool = {0};
	struct buf *b;

	if (op->own)
		return op->own(L, this_provider(L));
	if (!op->no_pool)
		pool = mq_text(L, 1);
	b = begin(L, op->name);
	if (op->no_pool)
		pack_nil(b);
	else
		pack_text(b, pool);
	pack_args(L, op->args, op->no_pool ? 1 : 2, b);
	return call(L);
}

/* The pool's name is in its settings. */
static int ensure_pool(lua_State *L, const struct provider *p)
{
	struct slice pool = slice_str(p->pool);
	struct buf *b;

	if (lua_isnoneornil(L, 1)) {
		lua_settop(L, 0);
		lua_newtable(L);
	}
	mq_check_map(L, 1);
	if (lua_getfield(L, 1, "pool_id") != LUA_TNIL)
		pool = mq_field(L, 1, "pool_id");
	b = begin(L, "ensure_pool");
	pack_text(b, pool);
	pack_array(b, 1);
	pack_table(L, 1, b);
	return call(L);
}

/* The reference in an answer of http is the body itself. */
static int http_body(lua_State *L, const struct provider *p)
{
	(void)p;
	mq_text(L, 1);
	lua_settop(L, 1);
	return 1;
}

static void open_provider(lua_State *L, const struct provider *p)
{
	lua_newtable(L);
	for (const struct function *op = p->ops; op->name; op++) {
		lua_pushlightuserdata(L, (void *)(uintptr_t)p);
		lua_pushlightuserdata(L, (void *)(uintptr_t)op);
		lua_pushcclosure(L, call_op, 2);
		lua_setfield(L, -2, op->name);
	}
	guard_library(L, p->name);
}

void mq_open_providers(struct lane *l)
{
	for (size_t i = 0; i < sizeof(providers) / sizeof(*providers); i++)
		open_provider(l->vm.L, &providers[i]);
}
