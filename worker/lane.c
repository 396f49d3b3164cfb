/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane: a run from its parameters to its packed answer. What is run, and what
 * it comes to, is the dialect's business (dialect.h). How a run asks the
 * broker for something is in call.c; which lane runs when, in sched.c. Start
 * at lane_begin() and go_on().
 */
#include "worker/lane.h"

#include <time.h>

#include "proto/pack.h"
#include "proto/unpack.h"
#include "worker/convert.h"
#include "worker/dialect.h"
#include "worker/heap.h"

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

static void new_thread(struct lane *l)
{
	l->co = lua_newthread(l->vm.L);
	luaL_unref(l->vm.L, LUA_REGISTRYINDEX, l->co_ref);
	l->co_ref = luaL_ref(l->vm.L, LUA_REGISTRYINDEX);
}

static const struct dialect_ops *const dialects[DIALECT_COUNT] = {
	[DIALECT_HTTP] = &dialect_http,
	[DIALECT_MQTT] = &dialect_mqtt,
};

int lane_init(struct lane *l, const struct lane_host *host)
{
	int r;

	*l = (struct lane){.host = host};
	l->dialect = dialects[host->script->dialect];
	list_init(&l->node);
	l->co_ref = l->env = l->shared = LUA_NOREF;
	for (int h = 0; h < HOOK_COUNT; h++)
		l->chunk[h] = LUA_NOREF;
	l->effects.max = host->script->max_effects;
	l->effects.max_bytes = host->script->max_effect_bytes;
	r = vm_open(&l->vm, l->dialect->vm, l);
	if (r < 0)
		return r;
	lua_gc(l->vm.L, LUA_GCSTOP);
	l->dialect->open(l);
	return OK;
}

static int garbage_kb(const struct script *s)
{
	uint64_t share = s->memory / 1024 / 8 / s->concurrency;

	if (share < LEAST_GARBAGE_KB)
		return LEAST_GARBAGE_KB;
	return share > GARBAGE_KB ? GARBAGE_KB : (int)share;
}

/* A state that keeps much takes long to walk: half as much again may gather,
 * as far as a quarter of the room that is left allows it to all lanes. */
static int grown_kb(const struct lane *l)
{
	size_t used = heap_used(), limit = heap_limit(), room = 0;
	int half = l->used_kb / 2;

	if (used < limit)
		room = (limit - used) / 1024 / 4 / l->host->script->concurrency;
	return room < (size_t)half ? (int)room : half;
}

int lane_compile(struct lane *l)
{
	int r = l->dialect->compile(l);

	if (r < 0)
		return r;
	new_thread(l);
	lane_collect(l);
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
	buf_fini(&l->verdict);
	*l = (struct lane){0};
}

bool lane_due(const struct lane *l)
{
	return l->vm.collect ||
	       lua_gc(l->vm.L, LUA_GCCOUNT) - l->used_kb >= l->garbage_kb;
}

void lane_collect(struct lane *l)
{
	lua_gc(l->vm.L, LUA_GCCOLLECT);
	l->vm.collect = false;
	l->used_kb = lua_gc(l->vm.L, LUA_GCCOUNT);
	l->garbage_kb = garbage_kb(l->host->script);
	if (grown_kb(l) > l->garbage_kb)
		l->garbage_kb = grown_kb(l);
}

/* --- the end of a run --- */

void lane_end(struct lane *l)
{
	vm_event_end(&l->vm, l->env == LUA_NOREF);
	l->dialect->end(l);
	lua_settop(l->vm.L, 0);
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
void lane_fail(struct lane *l)
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
	lane_end(l);
}

static void pack_part(struct buf *out, const struct buf *part, uint32_t n)
{
	if (part->n)
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
	nops = l->dialect->pack(l, &l->out);
	if (too_large(l, nops)) {
		lua_pushfstring(l->co,
				"too_large: one run may end with %d ops, and "
				"these and its effects with %d bytes",
				(int)l->host->script->max_ops,
				PROTO_MAX_INTERNAL - KEEP);
		lane_fail(l);
		return;
	}
	rpc_result(out, l->run_id);
	pack_array(out, 4);
	pack_part(out, &l->out, (uint32_t)nops);
	n = effects_count(&l->effects);
	buf_clear(&l->out);
	if (n)
		effects_pack(&l->effects, &l->out);
	pack_part(out, &l->out, n);
	buf_reset(&l->out, KEEP);
	lua_settop(l->co, 0);
	lane_end(l);
}

/* --- the middle --- */

int lane_resume(struct lane *l)
{
	int r, n;

	l->state = LANE_RUNNING;
	r = vm_resume(&l->vm, l->co, 0, &n);
	if (r == LUA_YIELD && l->state == LANE_WAITING)
		return 0;
	if (r == LUA_OK && !l->vm.stopping)
		return 1;
	if (r == LUA_YIELD)
		lua_pushliteral(l->co, "attempt to yield from outside "
				       "a coroutine");
	else if (r == LUA_OK)
		lua_pushliteral(l->co, VM_TIMEOUT_TEXT);
	return ERR_FORMAT;
}

/* Run until the run ends or waits. */
static void go_on(struct lane *l)
{
	int r;

	do
		r = lane_resume(l);
	while (r == 1 && l->dialect->more(l));
	if (r == 1)
		finish_run(l);
	else if (r < 0)
		lane_fail(l);
}

void lane_go(struct lane *l)
{
	go_on(l);
}

/* --- the beginning --- */

static uint64_t deadline(uint64_t timeout_ms)
{
	struct timespec now;

	if (!timeout_ms)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec * 1000 + timeout_ms) * 1000000 +
	       (uint64_t)now.tv_nsec;
}

/* nil or bytes */
static struct slice take_bytes(struct cursor *c)
{
	return cursor_nil(c) ? (struct slice){0} : cursor_text(c);
}

int lane_begin(struct lane *l, uint32_t run_id, struct slice params)
{
	struct cursor c = cursor_of(params);
	struct run_bytes run = {.base = params.p};
	uint64_t hook;
	int r;

	if (cursor_array(&c) != 5)
		return ERR_FORMAT;
	hook = cursor_uint(&c);
	run.event = take_bytes(&c);
	run.ops = take_bytes(&c);
	cursor_skip(&c);
	run.extra = take_bytes(&c);
	if (c.error || hook >= HOOK_COUNT)
		return ERR_FORMAT;
	l->run = params;
	l->run_id = run_id;
	l->hook = (enum hook)hook;
	l->failed = CODE_OK;
	vm_event_begin(&l->vm, deadline(l->host->script->timeout_ms));
	r = l->dialect->begin(l, &run);
	if (r < 0)
		return r;
	go_on(l);
	return OK;
}
