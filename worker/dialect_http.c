/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect_http: hook files. A run is _shared.lua and then the hook's chunk, in
 * a fresh environment with ctx and mut, and comes to ops. Start at begin().
 */
#include "worker/dialect.h"
#include "worker/lib.h"

static bool on_fill(lua_State *L, int index)
{
	return ctx_fill(L, index) || mut_fill(L, index);
}

static const struct vm_ops vm_ops = {
	.print = dialect_print,
	.source = dialect_source,
	.look = dialect_look,
	.collect = dialect_collect,
	.fill = on_fill,
};

static void open(struct lane *l)
{
	bool keep = l->host->script->keep_globals;

	lib_open(l);
	ctx_open(l, keep);
	mut_open(l, keep);
}

static void bind(struct lane *l, int chunk)
{
	lua_State *L = l->vm.L;

	if (chunk == LUA_NOREF)
		return;
	lua_rawgeti(L, LUA_REGISTRYINDEX, chunk);
	lua_rawgeti(L, LUA_REGISTRYINDEX, l->env);
	vm_env_set(L, -2);
	lua_pop(L, 1);
}

/* globals: script. One environment for all runs. */
static void make_env(struct lane *l)
{
	vm_env_push(&l->vm, l->vm.L);
	l->env = luaL_ref(l->vm.L, LUA_REGISTRYINDEX);
	bind(l, l->shared);
	for (int h = 0; h < HOOK_COUNT; h++)
		bind(l, l->chunk[h]);
}

static int compile(struct lane *l)
{
	const struct script *s = l->host->script;
	int r = dialect_compile(l, s->shared, &l->shared);

	for (int h = 0; h < HOOK_COUNT && r == OK; h++)
		r = dialect_compile(l, s->hook[h], &l->chunk[h]);
	if (r < 0)
		return r;
	if (s->keep_globals)
		make_env(l);
	return OK;
}

static void push_chunk(struct lane *l, int chunk)
{
	lua_State *co = l->co;

	lua_rawgeti(co, LUA_REGISTRYINDEX, chunk);
	if (l->env == LUA_NOREF) {
		lua_pushvalue(co, 1);
		vm_env_set(co, -2);
	}
}

/* On co lie the environment, the hook's chunk and, first to run, that of
 * _shared.lua. */
static int begin(struct lane *l, const struct run_bytes *run)
{
	lua_State *co = l->co;
	int r;

	if (l->chunk[l->hook] == LUA_NOREF)
		return ERR_FORMAT;
	r = ctx_begin(&l->ctx, run->base, run->event, run->ops, run->extra);
	if (r < 0)
		return r;
	if (l->env == LUA_NOREF)
		vm_env_push(&l->vm, co);
	else
		lua_rawgeti(co, LUA_REGISTRYINDEX, l->env);
	ctx_globals(co, l);
	mut_begin(co, l);
	push_chunk(l, l->chunk[l->hook]);
	l->shared_done = l->shared == LUA_NOREF;
	if (!l->shared_done)
		push_chunk(l, l->shared);
	return OK;
}

static bool more(struct lane *l)
{
	if (l->shared_done)
		return false;
	l->shared_done = true;
	lua_settop(l->co, 2);
	return true;
}

static int pack(struct lane *l, struct buf *out)
{
	return mut_pack(l, out);
}

static void end(struct lane *l)
{
	if (l->env != LUA_NOREF)
		lua_rawgeti(l->vm.L, LUA_REGISTRYINDEX, l->env);
	ctx_end(l->vm.L, l);
	mut_end(l);
}

const struct dialect_ops dialect_http = {
	.vm = &vm_ops,
	.open = open,
	.compile = compile,
	.begin = begin,
	.more = more,
	.pack = pack,
	.end = end,
};
