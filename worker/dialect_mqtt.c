/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect_mqtt: one file, run once per lane, whose global `hooks` has the
 * functions. A run calls one of them with a table made of the event, and comes
 * to a verdict. Start at mqtt_load() and run_hook().
 */
#include "worker/dialect_mqtt.h"

#include "worker/convert.h"
#include "worker/dialect.h"
#include "worker/env.h"
#include "worker/lib.h"
#include "worker/libs.h"
#include "worker/mq.h"
#include "worker/verdict.h"

enum { KEEP = 64 << 10, SHOWN = 400 };

static const struct vm_ops vm_ops = {
	.print = dialect_print,
	.source = dialect_source,
	.look = dialect_look,
	.collect = dialect_collect,
};

/* --- a lane --- */

static void open(struct lane *l)
{
	lib_open(l);
	mq_open(l);
}

static int compile(struct lane *l)
{
	const struct source_file *f = l->host->script->main;

	if (vm_compile(&l->vm, buf_slice(&f->text), f->chunkname) < 0) {
		lua_pop(l->vm.L, 1);
		return ERR_FORMAT;
	}
	env_root(&l->vm);
	return OK;
}

/* --- loading --- */

static void push_config(lua_State *L, struct lane *l)
{
	struct cursor c = cursor_of(buf_slice(&l->host->script->config));

	if (c.p == c.end)
		lua_newtable(L);
	else
		convert_push(L, &c);
}

/* Scripts add their folder to package.path; it leads nowhere but to files of
 * script_dir anyway. */
static void push_package(lua_State *L)
{
	lua_createtable(L, 0, 2);
	lua_pushliteral(L, "./?.lua;./?/init.lua");
	lua_setfield(L, -2, "path");
	lua_newtable(L);
	lua_setfield(L, -2, "loaded");
}

static int ran(lua_State *L, int status, lua_KContext k)
{
	(void)L;
	(void)status;
	(void)k;
	return 0;
}

/* The number of the lane, then the main chunk. */
static int run_main(lua_State *L)
{
	slot_get(L, SLOT_BASELINE);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_setfield(L, -2, "__SCRIPT_INSTANCE_ID__");
	push_config(L, lane_of(L));
	lua_setfield(L, -2, "config");
	push_package(L);
	lua_setfield(L, -2, "package");
	env_push_root(L);
	lua_callk(L, 0, 0, 0, ran);
	return 0;
}

int mqtt_load(struct lane *l, uint32_t run_id, unsigned number,
	      uint64_t deadline_ns)
{
	l->run_id = run_id;
	l->run = (struct slice){0};
	l->moved = true;
	l->failed = CODE_OK;
	vm_event_begin(&l->vm, deadline_ns);
	/* The signal may have come before: look at once. */
	if (vm_clock_ns() >= deadline_ns)
		vm_arm(&l->vm);
	lua_pushinteger(l->co, (lua_Integer)number);
	lua_pushcclosure(l->co, run_main, 1);
	/* 0 cannot be: calls wait in place while loading. */
	if (lane_resume(l) == 1) {
		lua_settop(l->co, 0);
		return OK;
	}
	lane_fail(l);
	return ERR_FORMAT;
}

/* Push a global of the script; its type. */
static int push_global(lua_State *L, const char *name)
{
	int type;

	luaL_checkstack(L, 4, NULL);
	env_push_state(L);
	lua_pushstring(L, name);
	type = lua_rawget(L, -2);
	lua_remove(L, -2);
	return type;
}

static int take_num_states(lua_State *L, unsigned most, unsigned *out)
{
	lua_Number n = 0;

	switch (push_global(L, "num_states")) {
	case LUA_TNIL:
		lua_pop(L, 1);
		return OK;
	case LUA_TNUMBER:
		n = lua_tonumber(L, -1) + 0.5;
		break;
	default:
		break;
	}
	lua_pop(L, 1);
	if (!(n >= 1 && n < (lua_Number)most + 1))
		return ERR_FORMAT;
	*out = (unsigned)n;
	return OK;
}

int mqtt_settings(struct lane *l, struct mqtt_settings *out, struct buf *why)
{
	const struct script *s = l->host->script;
	unsigned most = SOURCE_MAX_LANES * s->workers;
	lua_State *L = l->vm.L;
	int type = push_global(L, "keep_state");

	if (type == LUA_TBOOLEAN)
		out->keep_state = lua_toboolean(L, -1);
	lua_pop(L, 1);
	if (type != LUA_TBOOLEAN && type != LUA_TNIL) {
		buf_addf(why, "%s: keep_state must be true or false",
			 s->main->name);
		return ERR_FORMAT;
	}
	if (out->keep_state)
		out->num_states = 1;
	if (take_num_states(L, most, &out->num_states) < 0) {
		buf_addf(why, "%s: num_states must be a number from 1 to %u",
			 s->main->name, most);
		return ERR_FORMAT;
	}
	return OK;
}

/* The hook that a key of `hooks` names. */
static enum hook hook_at(lua_State *L, int key)
{
	struct slice name;
	enum hook h;

	if (lua_type(L, key) != LUA_TSTRING)
		return HOOK_COUNT;
	name.p = (const uint8_t *)lua_tolstring(L, key, &name.n);
	h = hook_parse(name);
	return h != HOOK_COUNT && hook_table[h].dialect == DIALECT_MQTT
		       ? h
		       : HOOK_COUNT;
}

void mqtt_unknown_hooks(struct lane *l, struct buf *out)
{
	lua_State *L = l->vm.L;

	if (push_global(L, "hooks") == LUA_TTABLE) {
		lua_pushnil(L);
		while (lua_next(L, -2)) {
			if (lua_type(L, -2) == LUA_TSTRING &&
			    hook_at(L, -2) == HOOK_COUNT && out->n < SHOWN)
				buf_addf(out, "%s%.64s", out->n ? ", " : "",
					 lua_tostring(L, -2));
			lua_pop(L, 1);
		}
	}
	lua_pop(L, 1);
}

static void take_hooks(struct lane *l)
{
	lua_State *L = l->vm.L;

	if (push_global(L, "hooks") == LUA_TTABLE) {
		lua_pushnil(L);
		while (lua_next(L, -2)) {
			enum hook h = hook_at(L, -2);

			if (h == HOOK_COUNT || !lua_isfunction(L, -1) ||
			    lua_iscfunction(L, -1))
				lua_pop(L, 1);
			else
				l->chunk[h] = luaL_ref(L, LUA_REGISTRYINDEX);
		}
	}
	lua_pop(L, 1);
}

void mqtt_settle(struct lane *l, bool keep)
{
	take_hooks(l);
	if (keep) {
		env_push_state(l->vm.L);
		l->env = luaL_ref(l->vm.L, LUA_REGISTRYINDEX);
	} else {
		env_seal(&l->vm);
	}
	lane_end(l);
	lane_collect(l);
}

/* --- a run --- */

static int took(lua_State *L, int status, lua_KContext k)
{
	(void)status;
	(void)k;
	if (lua_gettop(L) > 0)
		verdict_take(L, 1);
	return 0;
}

/* Within the coroutine, so that an event that is too large for the memory
 * fails its run and not the worker. */
static int run_hook(lua_State *L)
{
	struct lane *l = lane_of(L);
	struct cursor c = cursor_of(l->event);

	if (lua_rawgeti(L, LUA_REGISTRYINDEX, l->chunk[l->hook]) !=
	    LUA_TFUNCTION)
		return luaL_error(L, "hooks.%s is no function in this state",
				  hook_table[l->hook].name);
	convert_push(L, &c);
	lua_callk(L, 1, LUA_MULTRET, 0, took);
	return took(L, LUA_OK, 0);
}

static int begin(struct lane *l, const struct run_bytes *run)
{
	struct cursor c = cursor_of(run->event);

	if (cursor_peek(&c) != CURSOR_MAP ||
	    hook_table[l->hook].dialect != DIALECT_MQTT)
		return ERR_FORMAT;
	l->event = run->event;
	if (l->env == LUA_NOREF)
		env_fresh(&l->vm);
	lua_pushcfunction(l->co, run_hook);
	return OK;
}

static bool more(struct lane *l)
{
	(void)l;
	return false;
}

/* A verdict in the place of ops. */
static int pack(struct lane *l, struct buf *out)
{
	buf_add_slice(out, buf_slice(&l->verdict));
	return 0;
}

static void end(struct lane *l)
{
	buf_reset(&l->verdict, KEEP);
	l->event = (struct slice){0};
}

const struct dialect_ops dialect_mqtt = {
	.vm = &vm_ops,
	.open = open,
	.compile = compile,
	.begin = begin,
	.more = more,
	.pack = pack,
	.end = end,
	.turns = true,
};
