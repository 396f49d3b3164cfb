/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect_mqtt: loading one lane with a script of one file. Which lanes there
 * are is loader.c's business.
 */
#ifndef PF_WORKER_DIALECT_MQTT_H
#define PF_WORKER_DIALECT_MQTT_H

#include "worker/lane.h"

/*
 * Run the script's main chunk in a lane that lane_compile() has prepared, as
 * the run `run_id`; calls wait in place. `number`: __SCRIPT_INSTANCE_ID__. OK:
 * it has returned, mqtt_settle() is due, and its effects are in l->effects.
 * ERR_FORMAT: it failed, and that was answered.
 */
int mqtt_load(struct lane *l, uint32_t run_id, unsigned number,
	      uint64_t deadline_ns) must_check;

/* What its globals say about the script. */
struct mqtt_settings {
	unsigned num_states;
	bool keep_state;
};

/* Defaults are in *out. ERR_FORMAT: `why` says which is wrong. */
int mqtt_settings(struct lane *l, struct mqtt_settings *out,
		  struct buf *why) must_check;

/* Names in `hooks` that are no hooks, as a list for people. */
void mqtt_unknown_hooks(struct lane *l, struct buf *out);

/* The load is over: take its hooks in. `keep`: one environment for all runs. */
void mqtt_settle(struct lane *l, bool keep);

#endif
