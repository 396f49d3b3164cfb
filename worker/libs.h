/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libs: what the files behind vm.h share: where the registry keeps what, the
 * guard around library tables, loops that can be stopped, and the libraries.
 */
#ifndef PF_WORKER_LIBS_H
#define PF_WORKER_LIBS_H

#include "worker/vm.h"

/* Places in the registry: lua_rawgetp(L, LUA_REGISTRYINDEX, slot_key(...)). */
enum slot {
	SLOT_BASELINE, /* what every environment reads through to */
	SLOT_ENV_META, /* the metatable of all environments */
	SLOT_ENV,      /* the latest environment: load and require use it */
	SLOT_MODULES,  /* of that environment: name -> what require gave */
	SLOT_CHUNKS,   /* name -> compiled module */
	SLOT_LIBS,     /* name -> metatable of the library's guard */
	SLOT_ALIASES,  /* alias -> name */
	SLOT_IDS,      /* object -> number, weak keys */
	SLOT_TRACE,    /* the traceback of the error that xpcall handles */
	SLOT_ROOT,     /* env.h: the function whose _ENV all chunks share, */
	SLOT_STATE,    /* its environment after load, */
	SLOT_LOADED,   /* and what was required until then */
	SLOT_COUNT
};
int slot_get(lua_State *L, enum slot slot);  /* pushes; the type */
void slot_set(lua_State *L, enum slot slot); /* pops */

/* guard.c: scripts see a library as an empty table whose metatable leads to
 * the real one; a write first copies the real content in. */

/* Take the table on top of L as the library `name`. */
void guard_library(lua_State *L, const char *name);
void guard_alias(lua_State *L, const char *alias, const char *name);

/* Is the value at index a guard or an environment, still untouched? */
bool guard_is(lua_State *L, int index);

/* Make it ordinary: content copied in, metatable gone. False if it is none. */
bool guard_fill(lua_State *L, int index);

/* Make the environments' metatable a guard over the baseline. */
void guard_environments(lua_State *L);

/* Push a metatable of guards over the table at index. */
void guard_meta(lua_State *L, int index);

/* What the table at `from` has, or reads through to as a guard, and the one at
 * `to` has not. */
void guard_copy(lua_State *L, int from, int to);

/* Libraries that were written: that is from now on what they are. */
void guard_adopt(lua_State *L);

/* Fresh guards for all libraries. */
void guard_restore(lua_State *L);

/* guard_fill, then vm_ops.fill: before anything looks at a table raw. */
void vm_fill(lua_State *L, int index);

/* env.c: bind the chunk on top to the environment of the day. */
void env_bind(lua_State *L);

/* chunk.c */

/* As vm_compile, on any thread: pushes the function or the message. */
int chunk_load(lua_State *L, struct slice text, const char *name) must_check;

/* stop.c */

/* Raises when the run is late. For loops in C that may last. */
void vm_poll(lua_State *L);

/* Collect garbage now: the heap had asked for it. */
void vm_collect(lua_State *L);

/* Raises unless n more bytes will fit; collects first if they do not. */
void vm_room(lua_State *L, size_t n);

/* Raises when the C stack is nearly used up. */
void vm_stack(lua_State *L);

/* lua_resume or lua_resetthread of a coroutine of the script's own. */
int vm_resume_nested(lua_State *L, lua_State *co, int nargs, int *nresults);
int vm_close_nested(lua_State *L, lua_State *co);

uint64_t vm_clock_ns(void);

/*
 * A budget of steps for a loop in C. Past it the script gets an error that it
 * can catch: "WHAT: too much work". Every 64 Ki steps the stop is looked for.
 */
struct work {
	lua_State *L;
	const char *what;
	uint64_t done, check, limit;
};
void work_init(struct work *w, lua_State *L, const char *what, uint64_t limit);
void work_check(struct work *w);
static inline void work_add(struct work *w, uint64_t n)
{
	w->done += n;
	if (w->done >= w->check)
		work_check(w);
}

/* lib_base.c */

/* As luaL_tolstring, with small numbers in the place of addresses. */
const char *vm_tostring(lua_State *L, int index, size_t *n);

/* Push the number that stands for the object's address in this run. */
uint32_t vm_id(lua_State *L, int index);

/* Each pushes its table, or (base, protect, chunk) fills the one on top. */
void open_base(lua_State *L);
void open_protect(lua_State *L);
void open_chunk(lua_State *L);
void open_compat(lua_State *L); /* after the libraries it adds to */
void open_string(lua_State *L);
void open_format(lua_State *L); /* string.format into the one on top */
void open_table(lua_State *L);
void open_sort(lua_State *L); /* table.sort into the one on top */
void open_coroutine(lua_State *L);
void open_math(lua_State *L);
void open_bit32(lua_State *L);
void open_os(lua_State *L);
void open_debug(lua_State *L);
void open_json(lua_State *L);
void open_base64(lua_State *L);
void open_time(lua_State *L);
void open_crypto(lua_State *L);

/* lib_table.c: `unpack`, also a global. */
int table_unpack(lua_State *L);

/* json_decode.c: json.decode */
int json_decode(lua_State *L);

/* lib_math.c: a seed from the kernel; and back to our own numbers when the
 * script has chosen a seed. */
void random_open(struct vm *vm);
void random_restore(struct vm *vm);

#endif
