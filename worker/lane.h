/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane: one Lua state of the script and the run in it.
 *
 *     FREE --begin--> RUNNING --ends--> FREE        (its answer is packed)
 *                      |   ^
 *              a call  v   |  lane_go()
 *                    WAITING --the answer came--> READY
 *
 * A run is what the script's dialect makes of its parameters (dialect.h), in a
 * coroutine of the lane. A call to the broker yields from it when there are
 * other lanes, else it waits in place.
 */
#ifndef PF_WORKER_LANE_H
#define PF_WORKER_LANE_H

#include "lib/list.h"
#include "proto/proto.h"
#include "worker/ctx.h"
#include "worker/effects.h"
#include "worker/mut.h"
#include "worker/source.h"
#include "worker/wire.h"

enum lane_state { LANE_FREE, LANE_RUNNING, LANE_WAITING, LANE_READY };

/* An answer to a call: raw values; live until the lane's next call. */
struct answer {
	bool failed;
	struct slice error, result;
};

/* What to do with an answer: as a lua_CFunction, on the stack of the function
 * that made the call. */
typedef int (*lane_k)(lua_State *L, const struct answer *a);

/* What lanes need of their owner. */
struct lane_host {
	struct wire *wire;
	const struct script *script;
	/* Block until `l` is READY, keeping whatever else arrives for later.
	 * Does not return when the broker is gone. */
	void (*wait)(void *arg, struct lane *l);
	/* Collect the garbage of all lanes that are not running. */
	void (*collect)(void *arg);
	/* The broker is gone: does not return. */
	void (*gone)(void *arg);
	void *arg;
	bool may_yield; /* there are other lanes */
};

/* A read by ranges that may take several calls; see lane_fetch(). */
struct fetch {
	const char *method;
	struct slice name; /* what to read: a name that lives on the Lua */
	uint64_t blob;	   /* stack, or a blob */
	uint64_t total;	   /* bytes there are, when `sized` */
	uint64_t max;	   /* past it: nil and a message */
	bool sized;	   /* else the first answer tells */
	bool wait;
	enum view view; /* of a body: whose field it is */
	struct buf bytes;
	lane_k done;
};

struct dialect_ops;

struct lane {
	struct list node;
	const struct dialect_ops *dialect;
	struct vm vm;
	lua_State *co;
	int co_ref;
	const struct lane_host *host;
	enum lane_state state;
	uint32_t run_id, call_id;
	enum hook hook;
	enum code failed; /* code of the last call that failed, for the end */
	bool moved;	  /* the run's bytes are in `bytes` */
	bool shared_done;
	struct slice run;   /* the run's parameters, where they are now */
	struct slice event; /* mqtt: in them, until the hook has begun */
	struct buf bytes;
	struct buf answer_bytes;
	struct answer answer;
	struct ctx ctx;
	struct mut mut;
	struct effects effects;
	struct fetch fetch;
	struct buf out;	    /* scratch for packing */
	struct buf verdict; /* mqtt: what the run comes to; empty: next */
	int used_kb;	    /* by Lua after the last collection */
	int garbage_kb;	    /* new since then that makes the next one due */
	int env;	    /* reference; the lane's own with kept globals */
	/* References, or LUA_NOREF. http: compiled files; mqtt: the functions
	 * of the table `hooks`, and no `shared`. */
	int chunk[HOOK_COUNT], shared;
};

/* A state with all libraries. 0 or ERR_NOMEM; lane_fini is due either way. */
int lane_init(struct lane *l, const struct lane_host *host) must_check;
void lane_fini(struct lane *l);

/* Does this file compile? ERR_FORMAT, ERR_RANGE: *why gets the message. */
int lane_try(struct lane *l, const struct source_file *f,
	     struct buf *why) must_check;

/* Take the script's chunks in; then the lane can run (mqtt: mqtt_load()).
 * ERR_FORMAT: one does not compile. */
int lane_compile(struct lane *l) must_check;

/*
 * Parameters of `run` (raw array): begin it and go on until it ends (FREE, the
 * answer is packed) or waits. `params` need to live until lane_begin returns;
 * when they are in l->bytes already, the caller has set l->moved.
 * ERR_FORMAT: they make no sense.
 */
int lane_begin(struct lane *l, uint32_t run_id, struct slice params) must_check;

/* READY: go on with the answer. */
void lane_go(struct lane *l);

/* The answer to l->call_id; it is copied. WAITING -> READY. */
void lane_answer(struct lane *l, const struct rpc *msg);

/*
 * Parts of a run, for dialects. lane_resume() goes on with what lies on l->co:
 * 1: it returned; 0: it waits; ERR_FORMAT: it failed, the error is on top of
 * l->co, and lane_fail() is due, which answers and ends the run. lane_end()
 * ends one whose answer is packed.
 */
int lane_resume(struct lane *l) must_check;
void lane_fail(struct lane *l);
void lane_end(struct lane *l);

static inline struct lane *lane_of(lua_State *L)
{
	return (struct lane *)vm_of(L)->arg;
}

/*
 * From a C function of a script's API: begin a call with `nparams` parameters
 * behind the run id, which the caller packs into the returned buf; nothing
 * may raise until lane_call or lane_ask. Then `return lane_call(L, k)`, or
 * lane_ask where L cannot wait otherwise (vm_ops.fill).
 */
struct buf *lane_call_begin(struct lane *l, const char *method,
			    uint32_t nparams);
int lane_call(lua_State *L, lane_k k);
const struct answer *lane_ask(lua_State *L);

/*
 * Read `method [run_id, name | blob, offset, length]` range by range until
 * `total` bytes are there, then call `done` with the last answer (or with the
 * first that failed); the bytes are in l->fetch.bytes. The caller has set the
 * fields of l->fetch and cleared `bytes`. With `wait` it waits in place.
 */
int lane_fetch(lua_State *L, bool wait);

/*
 * When the answer is a failure: push nil or false (`fail`: LUA_TNIL or
 * LUA_TBOOLEAN) and the message, return true. A `timeout` ends the run.
 */
bool lane_failed(lua_State *L, const struct answer *a, int fail);

/* The same, but raised as an error. */
void lane_check(lua_State *L, const struct answer *a);

/* Raise the error of a full effect set (code of effects.h), or return. */
void lane_check_effect(lua_State *L, int code);

/* Has enough garbage gathered? Then lane_collect() before the next run, or
 * sooner where there is time; never while this lane runs. */
bool lane_due(const struct lane *l);
void lane_collect(struct lane *l);

#endif
