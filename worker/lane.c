/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane: a run from its parameters to its packed answer. How a run asks the
 * broker for something is in call.c; which lane runs when, in sched.c. Start
 * at lane_begin() and go_on().
 */
#include "worker/lane.h"

#include <time.h>

#include "proto/pack.h"
#include "proto/unpack.h"
#include "worker/convert.h"
#include "worker/lib.h"

enum {
	KEEP = 64 << 10,
	TRACEBACK_MAX = 8 << 10,
	MESSAGE_MAX = 8 << 10,
	/* Kilobytes of new garbage after which a collection is worth it; all
	 * lanes together leave at most an eighth of the memory uncollected. */
	GARBAGE_KB = 1536,
	LEAST_GARBAGE_KB = 64,
};

/* --- the state of a lane --- */

static void on_print(void *arg, struct slice line)
{
	log_line(arg, line);
}

static bool on_source(void *arg, struct slice module, struct slice *text,
		      const char **chunkname)
{
	struct lane *l = arg;
	const struct source_file *f = script_module(l->host->script, module);

	if (!f)
		return false;
	*text = buf_slice(&f->text);
	*chunkname = f->chunkname;
	return true;
}

static bool on_fill(lua_State *L, int index)
{
	return ctx_fill(L, index) || mut_fill(L, index);
}

static const struct vm_ops vm_ops = {
	.print = on_print,
	.source = on_source,
	.fill = on_fill,
};

int lane_try(struct lane *l, const struct source_file *f, struct buf *why)
{
	lua_State *L = l->vm.L;
	int r = vm_compile(&l->vm, buf_slice(&f->text), f->chunkname);
	const char *text;
	size_t n;

	if (r < 0) {
		text = lua_tolstring(L, -1, &n);
		buf_add(why, text ? text : "", text ? n : 0);
	}
	lua_pop(L, 1);
	return r;
}

static int compile(struct lane *l, const struct source_file *f, int *ref)
{
	*ref = LUA_NOREF;
	if (!f)
		return OK;
	if (vm_compile(&l->vm, buf_slice(&f->text), f->chunkname) < 0) {
		lua_pop(l->vm.L, 1);
		return ERR_FORMAT;
	}
	*ref = luaL_ref(l->vm.L, LUA_REGISTRYINDEX);
	return OK;
}

static void new_thread(struct lane *l)
{
	l->co = lua_newthread(l->vm.L);
	luaL_unref(l->vm.L, LUA_REGISTRYINDEX, l->co_ref);
	l->co_ref = luaL_ref(l->vm.L, LUA_REGISTRYINDEX);
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

int lane_init(struct lane *l, const struct lane_host *host)
{
	bool keep = host->script->keep_globals;
	int r;

	*l = (struct lane){.host = host};
	list_init(&l->node);
	l->co_ref = l->env = LUA_NOREF;
	l->effects.max = host->script->max_effects;
	l->effects.max_bytes = host->script->max_effect_bytes;
	r = vm_open(&l->vm, &vm_ops, l);
	if (r < 0)
		return r;
	lua_gc(l->vm.L, LUA_GCSTOP);
	lib_open(l);
	ctx_open(l, keep);
	mut_open(l, keep);
	return OK;
}

static int garbage_kb(const struct script *s)
{
	uint64_t share = s->memory / 1024 / 8 / s->concurrency;

	if (share < LEAST_GARBAGE_KB)
		return LEAST_GARBAGE_KB;
	return share > GARBAGE_KB ? GARBAGE_KB : (int)share;
}

int lane_compile(struct lane *l)
{
	const struct script *s = l->host->script;
	int r = compile(l, s->shared, &l->shared);

	for (int h = 0; h < HOOK_COUNT && r == OK; h++)
		r = compile(l, s->hook[h], &l->chunk[h]);
	if (r < 0)
		return r;
	if (s->keep_globals)
		make_env(l);
	new_thread(l);
	l->garbage_kb = garbage_kb(s);
	lua_gc(l->vm.L, LUA_GCCOLLECT);
	l->used_kb = lua_gc(l->vm.L, LUA_GCCOUNT);
	return OK;
}

void lane_fini(struct lane *l)
{
	vm_close(&l->vm);
	ctx_close(&l->ctx);
	mut_close(&l->mut);
	effects_fini(&l->effects);
	buf_fini(&l->bytes);
	buf_fini(&l->answer_bytes);
	buf_fini(&l->fetch.bytes);
	buf_fini(&l->out);
	*l = (struct lane){0};
}

void lane_rest(struct lane *l)
{
	int now = lua_gc(l->vm.L, LUA_GCCOUNT);

	if (now - l->used_kb < l->garbage_kb && !l->vm.collect)
		return;
	lua_gc(l->vm.L, LUA_GCCOLLECT);
	l->vm.collect = false;
	l->used_kb = lua_gc(l->vm.L, LUA_GCCOUNT);
}

/* --- the end of a run --- */

static void end_run(struct lane *l)
{
	lua_State *L = l->vm.L;

	vm_event_end(&l->vm, l->env == LUA_NOREF);
	if (l->env != LUA_NOREF)
		lua_rawgeti(L, LUA_REGISTRYINDEX, l->env);
	ctx_end(L, l);
	lua_settop(L, 0);
	mut_end(l);
	effects_clear(&l->effects);
	buf_reset(&l->fetch.bytes, KEEP);
	if (l->moved)
		buf_reset(&l->bytes, KEEP);
	l->moved = false;
	l->state = LANE_FREE;
}

/* Text of a script that goes on the wire, cut at a bound. */
static void pack_cut(struct buf *out, const char *text, size_t n, size_t max)
{
	pack_text(out, slice_of(text, n < max ? n : max));
}

static void answer_failure(struct lane *l, enum code code, const char *message,
			   size_t n, const char *traceback)
{
	struct buf *out = &l->host->wire->out;

	rpc_failure(out, l->run_id);
	pack_map(out, 3);
	pack_cstr(out, "code");
	pack_cstr(out, code_name(code));
	pack_cstr(out, "message");
	pack_cut(out, message, n, MESSAGE_MAX);
	pack_cstr(out, "traceback");
	pack_cut(out, traceback, strlen(traceback), TRACEBACK_MAX);
	rpc_failure_end(out);
}

/*
 * The run failed: the error object is on top of co, whose stack still stands
 * for the traceback. The thread is dropped with whatever it left open: nothing
 * of a failed run goes on.
 */
static void fail_run(struct lane *l)
{
	lua_State *L = l->vm.L, *co = l->co;
	enum code code = CODE_SCRIPT_ERROR;
	const char *message;
	size_t n;

	luaL_checkstack(L, 8, NULL);
	vm_traceback(L, co, NULL, 0);
	lua_xmove(co, L, 1);
	if (l->vm.stopping) {
		code = CODE_TIMEOUT;
		if (lua_type(L, -1) != LUA_TSTRING) {
			lua_pop(L, 1);
			lua_pushliteral(L, VM_TIMEOUT_TEXT);
		}
	} else {
		convert_error(L);
		if (l->failed != CODE_OK)
			code = l->failed;
		if (l->vm.stopping)
			code = CODE_TIMEOUT;
	}
	message = lua_tolstring(L, -1, &n);
	answer_failure(l, code, message, n, lua_tostring(L, -2));
	lua_settop(L, 0);
	new_thread(l);
	end_run(l);
}

static void pack_part(struct buf *out, const struct buf *part, uint32_t n)
{
	if (n)
		pack_bin(out, buf_slice(part));
	else
		pack_nil(out);
	pack_uint(out, n);
}

/* One message must hold what a run comes to. */
static bool too_large(struct lane *l, int nops)
{
	return nops < 0 || (size_t)nops > l->host->script->max_ops ||
	       l->out.n + l->effects.bytes.n > PROTO_MAX_INTERNAL - KEEP;
}

static void finish_run(struct lane *l)
{
	struct buf *out = &l->host->wire->out;
	uint32_t n;
	int nops;

	buf_clear(&l->out);
	nops = mut_pack(l, &l->out);
	if (too_large(l, nops)) {
		lua_pushfstring(l->co,
				"too_large: one run may end with %d ops, and "
				"these and its effects with %d bytes",
				(int)l->host->script->max_ops,
				PROTO_MAX_INTERNAL - KEEP);
		fail_run(l);
		return;
	}
	rpc_result(out, l->run_id);
	pack_array(out, 4);
	pack_part(out, &l->out, (uint32_t)nops);
	n = effects_count(&l->effects);
	if (n) {
		buf_clear(&l->out);
		effects_pack(&l->effects, &l->out);
	}
	pack_part(out, &l->out, n);
	buf_reset(&l->out, KEEP);
	lua_settop(l->co, 0);
	end_run(l);
}

/* --- the middle --- */

/*
 * Run until the run ends or waits. On co lie the environment, the hook's
 * chunk and, first to run, that of _shared.lua.
 */
static void go_on(struct lane *l)
{
	int r, n;

	for (;;) {
		l->state = LANE_RUNNING;
		r = vm_resume(&l->vm, l->co, 0, &n);
		if (r == LUA_YIELD && l->state == LANE_WAITING)
			return;
		if (r == LUA_YIELD) {
			lua_pushliteral(l->co, "attempt to yield from outside "
					       "a coroutine");
			break;
		}
		if (r != LUA_OK)
			break;
		if (l->vm.stopping) {
			lua_pushliteral(l->co, VM_TIMEOUT_TEXT);
			break;
		}
		if (l->shared_done) {
			finish_run(l);
			return;
		}
		l->shared_done = true;
		lua_settop(l->co, 2);
	}
	fail_run(l);
}

void lane_go(struct lane *l)
{
	go_on(l);
}

/* --- the beginning --- */

static void push_chunk(struct lane *l, int chunk)
{
	lua_State *co = l->co;

	lua_rawgeti(co, LUA_REGISTRYINDEX, chunk);
	if (l->env == LUA_NOREF) {
		lua_pushvalue(co, 1);
		vm_env_set(co, -2);
	}
}

static uint64_t deadline(uint64_t timeout_ms)
{
	struct timespec now;

	if (!timeout_ms)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec * 1000 + timeout_ms) * 1000000 +
	       (uint64_t)now.tv_nsec;
}

static void start(struct lane *l)
{
	lua_State *co = l->co;

	vm_event_begin(&l->vm, deadline(l->host->script->timeout_ms));
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
}

/* nil or bytes */
static struct slice take_bytes(struct cursor *c)
{
	return cursor_nil(c) ? (struct slice){0} : cursor_text(c);
}

int lane_begin(struct lane *l, uint32_t run_id, struct slice params)
{
	struct cursor c = cursor_of(params);
	struct slice event, ops, extra;
	uint64_t hook;
	int r;

	if (cursor_array(&c) != 5)
		return ERR_FORMAT;
	hook = cursor_uint(&c);
	event = take_bytes(&c);
	ops = take_bytes(&c);
	cursor_skip(&c);
	extra = take_bytes(&c);
	if (c.error || hook >= HOOK_COUNT || l->chunk[hook] == LUA_NOREF)
		return ERR_FORMAT;
	l->run = params;
	l->run_id = run_id;
	l->hook = (enum hook)hook;
	l->failed = CODE_OK;
	r = ctx_begin(&l->ctx, params.p, event, ops, extra);
	if (r < 0)
		return r;
	start(l);
	go_on(l);
	return OK;
}
