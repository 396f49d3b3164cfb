/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mq: the libraries of VerneMQ's scripts, one file each: json, log, crypto,
 * kv, bcrypt, auth_cache, vmq_api, obf, and the providers (postgres, mysql,
 * ..., http), which scripts of hook files have too.
 *
 * All of them take VerneMQ's arguments. What has a wrong type raises an
 * ordinary Lua error, "bad argument #2 to 'execute' (...)".
 */
#ifndef PF_WORKER_MQ_H
#define PF_WORKER_MQ_H

#include "worker/lane.h"

/* All libraries of the dialect mqtt, over those of lib_open(). */
void mq_open(struct lane *l);

/* The providers alone: for scripts of either dialect. */
void mq_open_providers(struct lane *l);

/*
 * A call to the broker: mq_begin() gives an empty buf of bounded size for the
 * parameters behind the run id, mq_call() sends it. Between the two no code of
 * the script may run, since it could begin a call of its own: look up all
 * fields of tables before. mq_pack() appends the argument `arg`, a table
 * without entries as an array, and raises when it cannot be sent.
 */
struct buf *mq_begin(lua_State *L);
void mq_pack(lua_State *L, int arg);
void mq_pack_whole(lua_State *L, int arg); /* 2.0 as 2 */
int mq_call(lua_State *L, const char *method, uint32_t nparams, lane_k k);

/*
 * Did the call fail? Refused by a grant, or as a trial has no effects: pushes
 * false and "denied: ...", and says true. Everything else raises: the code
 * badarg as a bad argument, `unavailable` and the like as "CODE: why".
 */
bool mq_failed(lua_State *L, const struct answer *a);

/* Is it that code? */
bool mq_failed_as(const struct answer *a, const char *code);

/* Results for mq_call: the value as it is. */
int mq_give(lua_State *L, const struct answer *a);

/* A string; numbers are none here. */
struct slice mq_text(lua_State *L, int arg);

/* Push the field of the table `arg`, a string; raises when it is none. */
struct slice mq_field(lua_State *L, int arg, const char *key);

/* Raises unless `arg` is a table whose keys are all strings. How many. */
uint32_t mq_check_map(lua_State *L, int arg);

/* Each fills the table on top of the stack. */
void mq_json(lua_State *L);
void mq_log(lua_State *L);
void mq_crypto(lua_State *L);
void mq_kv(lua_State *L);
void mq_bcrypt(lua_State *L);
void mq_auth_cache(lua_State *L);
void mq_vmq_api(lua_State *L);
void mq_obf(lua_State *L);

#endif
