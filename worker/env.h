/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env: the environment of a script whose functions outlive its runs.
 *
 * All its chunks, the main one and whatever require and load bring, share one
 * _ENV, that of the root. So one assignment gives all of its functions another
 * environment: env_fresh() before each run, over the state that env_seal()
 * found after load. What a run writes to globals is gone with it; a table or
 * an upvalue that it writes to is not.
 */
#ifndef PF_WORKER_ENV_H
#define PF_WORKER_ENV_H

#include "worker/vm.h"

/* The function on top of vm->L is the root: pop it, give it an environment,
 * and bind every chunk that is loaded from now on to it. */
void env_root(struct vm *vm);

/* Push the root; its environment after load. */
void env_push_root(lua_State *L);
void env_push_state(lua_State *L);

/* What is there now is what every fresh environment begins with: globals,
 * modules, and what was written to library tables. */
void env_seal(struct vm *vm);
void env_fresh(struct vm *vm);

#endif
