/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict: what a hook of the MQTT dialect has returned, as the verdict that
 * goes to the broker (proto/mods.h): true is ok, false a refusal, a table the
 * modifiers, anything else no opinion.
 */
#ifndef PF_WORKER_VERDICT_H
#define PF_WORKER_VERDICT_H

#include "worker/lane.h"

/*
 * The value at `index` is the answer of l->hook: fills l->verdict, which stays
 * empty for no opinion and for hooks that have none. Modifiers that the hook
 * does not allow are a refusal, and a line in the script's log that names the
 * first of them. May raise, or stop, as the run.
 */
void verdict_take(lua_State *L, int index);

#endif
