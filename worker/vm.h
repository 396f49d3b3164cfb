/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm: one Lua state with the libraries that a script may use, each bounded,
 * and a way to stop whatever runs in it.
 *
 * A lane (lane.h) owns one vm. This room knows nothing of events, hooks or the
 * broker: those come in through struct vm_ops and as libraries of functions.
 *
 * Isolation between events: the script's chunks run with a fresh environment
 * table whose __index is the baseline. The library tables of the baseline
 * (string, table, kv, ...) are copied when first written and put back by
 * vm_event_end(), so nothing that an event writes reaches the next.
 */
#ifndef PF_WORKER_VM_H
#define PF_WORKER_VM_H

#include <lauxlib.h>
#include <lua.h>
#include <signal.h>

#include "lib/err.h"
#include "lib/slice.h"

/* What the vm asks of its owner. `arg` is vm->arg. */
struct vm_ops {
	/* print() and eprint(): one line without its newline. */
	void (*print)(void *arg, struct slice line);

	/* The text of module "a.b" (file a/b.lua of the script's folder) and
	 * the chunk name for errors ("@NAME/a/b.lua"); false when there is
	 * none. Both live as long as the worker. */
	bool (*source)(void *arg, struct slice module, struct slice *text,
		       const char **chunkname);

	/* If the table at `index` is a lazy view (ctx and below), turn it into
	 * an ordinary table, in place, and return true. Called by next, pairs,
	 * ipairs, rawget, rawlen, #, table.*, json.encode before they look. */
	bool (*fill)(lua_State *L, int index);

	/* SIGUSR1 came, and the deadline has not passed: a run takes long.
	 * Called between two instructions, or by a loop in C. */
	void (*look)(void *arg);

	/* Memory is short, and this state has collected: whatever else holds
	 * garbage. */
	void (*collect)(void *arg);
};

struct vm {
	lua_State *L;	    /* the main thread of the state */
	lua_State *running; /* the coroutine that runs now: the hook's aim */
	const struct vm_ops *ops;
	void *arg;
	uint64_t deadline_ns;		  /* CLOCK_MONOTONIC; 0: nothing runs */
	volatile sig_atomic_t stop_asked; /* SIGUSR1 came */
	bool stopping;	/* the deadline has passed: sticky until the
			   run's end, whatever the script catches */
	bool collect;	/* heap: three quarters are used */
	unsigned depth; /* nested resume and close: bounded; 0 means
			   that the run's own thread is running */
	bool dirty;	/* some library table was written */

	/* Private to the libraries. */
	const char *stack_base; /* of the C stack, about */
	uint32_t ids;		/* handed out instead of addresses */
	bool modules;		/* require() has cached for this environment */
	bool handling;		/* inside a message handler of xpcall */
	bool traced;		/* some xpcall of this run kept a traceback */
	bool seeded;		/* the script chose the seed of math.random */
	bool rooted;		/* all chunks share one _ENV (env.h), */
	bool copied;		/* and a fresh one is a copy of the state */
	uint64_t random[4], reseed[4];
};

/* The state, its baseline and libraries. 0 or ERR_NOMEM. */
int vm_open(struct vm *vm, const struct vm_ops *ops, void *arg) must_check;
void vm_close(struct vm *vm); /* accepts a zeroed vm */

/* The vm that a state or coroutine belongs to. Never NULL inside one. */
static inline struct vm *vm_of(lua_State *L)
{
	return *(struct vm **)lua_getextraspace(L);
}

/*
 * Add a library of the owner's ("kv", "log", ...) to the baseline, guarded
 * like the built-in ones. vm_alias gives it a second name.
 */
void vm_library(struct vm *vm, const char *name, const luaL_Reg *functions);
void vm_alias(struct vm *vm, const char *alias, const char *name);

/* Make the value on top of vm->L a plain global of the baseline, and pop it.
 * Nobody guards it: a table must look after its own writes. */
void vm_global(struct vm *vm, const char *name);

/*
 * Compile source text (never bytecode) and push the function on vm->L.
 * ERR_FORMAT: pushes the message ("NAME/file.lua:12: ...") instead;
 * ERR_RANGE likewise for a text over PROTO_MAX_SOURCE or nested too deep.
 */
int vm_compile(struct vm *vm, struct slice text,
	       const char *chunkname) must_check;

/* Push a fresh environment on L: _G and _ENV are itself, the rest is read
 * through to the baseline. So a script may give a global of the baseline
 * another value, but not nil. load and require use the latest one. */
void vm_env_push(struct vm *vm, lua_State *L);

/* Make the table on top of L the environment of the function at `index`
 * (its first upvalue), and pop it. */
void vm_env_set(lua_State *L, int index);

/*
 * Resume the run's own thread (a lua_newthread of vm->L): as lua_resume with
 * vm->running kept right and an earlier vm_arm passed on. A thread that was
 * stopped ends as one with an error does, and must be dropped: its frames still
 * stand.
 */
int vm_resume(struct vm *vm, lua_State *co, int nargs,
	      int *nresults) must_check;

/* May a C function that L called yield to the vm's owner? Not within a
 * coroutine of the script's own, nor across C functions. */
bool vm_can_yield(lua_State *L);

/* Start of a run: deadline (0: none). End: library tables are put back (when
 * `restore`), the stop is forgotten, the hook is off. */
void vm_event_begin(struct vm *vm, uint64_t deadline_ns);
void vm_event_end(struct vm *vm, bool restore);

/* Async-signal-safe: arm the hook of the running coroutine; has its deadline
 * passed? */
void vm_arm(struct vm *vm);
bool vm_late(const struct vm *vm);

/* End this run as timed out from inside a C function that L called (an
 * answer `timeout` came). Never returns. */
__attribute__((noreturn)) void vm_timeout(lua_State *L);

/* As luaL_traceback, but of a very deep stack only the innermost levels: to
 * find its end would take a tenth of a second. */
void vm_traceback(lua_State *L, lua_State *of, const char *text, int level);

/* The text that the stop raises; convert.h turns it into code timeout by
 * vm->stopping, never by text. */
#define VM_TIMEOUT_TEXT "timeout: the script ran past its deadline"

#endif
