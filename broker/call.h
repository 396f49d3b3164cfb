/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call: the questions that a worker may ask, checked against one table: who
 * may ask what, when, and what its script is granted. A question that is not
 * in the table, or out of turn, ends the worker; one that is not granted is
 * answered `denied`.
 *
 * The worker is known by its socket: no name in a question says whose it is.
 */
#ifndef PF_BROKER_CALL_H
#define PF_BROKER_CALL_H

#include "broker/artifact.h"
#include "broker/bus.h"
#include "broker/chain.h"
#include "broker/data.h"
#include "broker/effects.h"
#include "broker/kv.h"
#include "proto/unpack.h"

struct call_house {
	const struct conf *conf;
	struct store *store;
	struct kv *kv;
	struct bus *bus;
	struct artifacts *artifacts;
	struct data *data; /* NULL: no data_store */
};

/* Opens what calls need on an open store. 0, or an exit status and `why`. */
int call_open(struct call_house *h, uv_loop_t *loop, struct store *store,
	      const struct conf *conf, struct buf *why) must_check;
void call_close(struct call_house *h);

/* Answer a question now or later; ERR_* kills the worker. */
int call_answer(struct call_house *h, struct script *script, struct child *c,
		struct run *run, const struct rpc *rpc) must_check;

/* Write a worker's log record. */
void call_log(struct call_house *h, struct script *script, struct child *c,
	      const struct rpc *record);

/* Commit the effects of a run; leads to chain_applied(). See chain.h. */
int call_apply(struct call_house *h, struct event *ev, struct script *script,
	       struct slice effects, char *what) must_check;

/* Would call_apply() refuse them at once? ERR_* as there. */
int call_examine(struct call_house *h, const struct event *ev,
		 struct script *script, struct slice effects) must_check;

/* Where effects go, and how many a run may have. */
struct effects_ctx call_effects(const struct call_house *h);

/* The run of that serial is over: drop what it put ahead and did not name. */
void call_over(struct call_house *h, uint64_t serial);

/* ---- for call_*.c only ------------------------------------------------- */

/* A question on its way; lives until the handler returns. */
struct question {
	struct call_house *house;
	struct script *script;
	struct child *child;
	struct run *run; /* NULL while loading */
	uint32_t id;
	struct cursor args; /* behind the run's id */
};

/* An answer that comes later. Freed by later_end(). */
struct later {
	struct call call;
	struct buf nowhere; /* for answers that nobody waits for any more */
};

/* The script that a run belongs to. */
static inline const struct script *run_script(const struct run *run)
{
	return chain_script(run->owner);
}

/* NULL: no memory, and the question was refused. */
struct later *later_new(struct question *q);

/* The buffer to pack the one value into. */
struct buf *later_answer(struct later *l);
void later_refuse(struct later *l, enum code code, const char *message);
void later_end(struct later *l);

struct buf *question_answer(struct question *q);
int question_refuse(struct question *q, enum code code, const char *message);

/* For an ERR_* of the store. */
enum code call_code(int error);
const char *call_message(int error);

/* True when the script may; otherwise the question has been refused. */
bool question_granted(struct question *q, enum grant kind, struct slice name);

int call_kv_get(struct question *q);
int call_kv_list(struct question *q);
int call_kv_incr(struct question *q);
int call_kv_cas(struct question *q);
int call_artifact_stat(struct question *q);
int call_artifact_list(struct question *q);
int call_artifact_read(struct question *q);
int call_artifact_put(struct question *q);
int call_data_exists(struct question *q);
int call_data_read(struct question *q);
int call_data_list(struct question *q);
int call_body_get(struct question *q);

#endif
