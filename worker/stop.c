/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How whatever runs is stopped. There is no standing hook (it would double the
 * cost of every instruction): the signal handler calls vm_arm(), the hook then
 * looks at the clock at the next instruction and stops, disarms, or collects
 * garbage. A stop leaves the coroutine as a whole, by a yield, and then the one
 * that resumed it, so it costs the same however deep pcalls nest, and hooks
 * stay on for what is closed later. Below a C function that cannot be left so
 * it raises, at every instruction, and each pcall there fails in turn. Loops in
 * C poll. The real limit is SIGKILL from outside; nothing here has to be
 * perfect, only prompt.
 */
#include "worker/heap.h"
#include "worker/libs.h"

#include <time.h>

enum {
	MAX_DEPTH = 150,      /* coroutines within coroutines */
	NEAR_NS = 200000000,  /* stay armed when the deadline is this near */
	NEAR_COUNT = 1000,    /* instructions between looks at the clock */
	POLL_STEPS = 1 << 16, /* of work between looks */
#ifdef PINFOLD_SANITIZE
	STACK_BYTES = 4 << 20,
#else
	STACK_BYTES = 1 << 20, /* the worker has 2 MiB */
#endif
};

uint64_t vm_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void on_count(lua_State *L, lua_Debug *ar);

static void arm(lua_State *L)
{
	lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
}

void vm_arm(struct vm *vm)
{
	lua_State *L = vm->running;

	vm->stop_asked = 1;
	if (L)
		arm(L);
}

bool vm_late(const struct vm *vm)
{
	return vm->stopping ||
	       (vm->deadline_ns && vm_clock_ns() >= vm->deadline_ns);
}

static void set_stopping(lua_State *L)
{
	struct vm *vm = vm_of(L);

	vm->stopping = true;
	vm->stop_asked = 1;
	arm(L);
}

static void on_count(lua_State *L, lua_Debug *ar)
{
	struct vm *vm = vm_of(L);
	uint64_t now;

	/* Cleared before the clock is read: a signal that comes later sets it
	 * again and is seen at the end. */
	vm->stop_asked = 0;
	if (vm_late(vm)) {
		set_stopping(L);
		if (lua_isyieldable(L)) {
			lua_yield(L, 0);
			return;
		}
		lua_getinfo(L, "Sl", ar);
		lua_pushfstring(L, "%s:%d: " VM_TIMEOUT_TEXT, ar->short_src,
				ar->currentline);
		lua_error(L);
	}
	if (vm->collect)
		vm_collect(L);
	if (vm->ops->look)
		vm->ops->look(vm->arg);
	now = vm_clock_ns();
	if (vm->deadline_ns && vm->deadline_ns < now + NEAR_NS) {
		vm->stop_asked = 1;
		lua_sethook(L, on_count, LUA_MASKCOUNT, NEAR_COUNT);
		return;
	}
	lua_sethook(L, NULL, 0, 0);
	if (vm->stop_asked)
		arm(L);
}

void vm_timeout(lua_State *L)
{
	set_stopping(L);
	if (lua_isyieldable(L))
		lua_yield(L, 0); /* from a C function: does not return */
	luaL_error(L, VM_TIMEOUT_TEXT);
	__builtin_unreachable();
}

void vm_poll(lua_State *L)
{
	struct vm *vm = vm_of(L);

	if (!vm->stop_asked)
		return;
	if (vm_late(vm))
		vm_timeout(L);
	if (vm->ops->look)
		vm->ops->look(vm->arg);
}

void vm_collect(lua_State *L)
{
	struct vm *vm = vm_of(L);

	vm->collect = false;
	lua_gc(L, LUA_GCCOLLECT);
	if (vm->ops->collect)
		vm->ops->collect(vm->arg);
}

void vm_room(lua_State *L, size_t n)
{
	size_t limit = heap_limit();

	if (!limit || n < limit - heap_used() || heap_used() + n < limit)
		return;
	vm_collect(L);
	if (heap_used() >= limit || n >= limit - heap_used())
		luaL_error(L, "not enough memory");
}

void vm_stack(lua_State *L)
{
	const char *here = __builtin_frame_address(0);
	const char *base = vm_of(L)->stack_base;

	if (base > here && base - here > STACK_BYTES)
		luaL_error(L, "C stack overflow");
}

/* Before and after control goes to another coroutine of this state. */
static lua_State *enter(struct vm *vm, lua_State *co)
{
	lua_State *before = vm->running;

	vm->running = co;
	if (vm->stop_asked)
		arm(co);
	return before;
}

static void leave(struct vm *vm, lua_State *before)
{
	vm->running = before;
	if (vm->stop_asked)
		arm(before);
}

/* What a stop that has left co would have raised in it. */
static void push_late(lua_State *co)
{
	if (!lua_checkstack(co, 8)) {
		lua_pushliteral(co, VM_TIMEOUT_TEXT); /* Lua keeps a reserve */
		return;
	}
	luaL_where(co, 0);
	if (lua_rawlen(co, -1) == 0) { /* in a C function */
		lua_pop(co, 1);
		luaL_where(co, 1);
	}
	lua_pushliteral(co, VM_TIMEOUT_TEXT);
	lua_concat(co, 2);
}

int vm_resume(struct vm *vm, lua_State *co, int nargs, int *nresults)
{
	lua_State *before = enter(vm, co);
	int status;

	vm->stack_base = __builtin_frame_address(0);
	status = lua_resume(co, NULL, nargs, nresults);
	leave(vm, before);
	if (status != LUA_YIELD || !vm->stopping)
		return status;
	push_late(co);
	return LUA_ERRRUN;
}

static void deeper(lua_State *L)
{
	struct vm *vm = vm_of(L);

	vm_poll(L);
	vm_stack(L);
	if (vm->depth >= MAX_DEPTH)
		luaL_error(L, "C stack overflow");
	vm->depth++;
}

int vm_resume_nested(lua_State *L, lua_State *co, int nargs, int *nresults)
{
	struct vm *vm = vm_of(L);
	lua_State *before;
	int status;

	deeper(L);
	before = enter(vm, co);
	status = lua_resume(co, L, nargs, nresults);
	leave(vm, before);
	vm->depth--;
	return status;
}

int vm_close_nested(lua_State *L, lua_State *co)
{
	struct vm *vm = vm_of(L);
	lua_State *before;
	int status;

	deeper(L);
	before = enter(vm, co);
	status = lua_resetthread(co);
	leave(vm, before);
	vm->depth--;
	return status;
}

void work_init(struct work *w, lua_State *L, const char *what, uint64_t limit)
{
	*w = (struct work){.L = L, .what = what, .limit = limit};
	w->check = limit < POLL_STEPS ? limit : POLL_STEPS;
}

void work_check(struct work *w)
{
	if (w->done >= w->limit)
		luaL_error(w->L, "%s: too much work", w->what);
	vm_poll(w->L);
	w->check = w->done + POLL_STEPS;
	if (w->check > w->limit)
		w->check = w->limit;
}
