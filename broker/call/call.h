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
#include "broker/mqtt_client.h"
#include "proto/unpack.h"

struct call_house {
	const struct conf *conf;
	struct store *store;
	/* Each dialect has a space of its own; the bus is one. */
	struct kv *kv[DIALECT_COUNT];
	struct artifacts *artifacts[DIALECT_COUNT];
	struct bus *bus;
	struct data *data; /* NULL: no data_store */
	struct ets *ets;   /* of the MQTT dialect */
	struct mqtt *mqtt;
	struct mqtt_clients *mqtt_clients;
	struct gateway *gateway;
};

/* Opens what calls need on an open store. 0, or an exit status and `why`. */
int call_open(struct call_house *h, uv_loop_t *loop, struct store *store,
	      const struct conf *conf, struct buf *why) must_check;
void call_close(struct call_house *h);

/* Answer a question now or later; ERR_* kills the worker. */
int call_answer(struct call_house *h, struct script *script, struct child *c,
		struct run *run, const struct rpc *rpc) must_check;

/*
 * As call_answer() for a script that is only loaded to see whether it does
 * (check.c): sources are there, data is not. What would change something or
 * open a pool is answered as if it had; what cannot be known is refused, and
 * *refused becomes true.
 */
int call_trial(struct call_house *h, struct script *script, struct child *c,
	       const struct rpc *rpc, bool *refused) must_check;

/* Write a worker's log record. */
void call_log(struct call_house *h, struct script *script, struct child *c,
	      const struct rpc *record);

/* Commit the effects of a run; leads to chain_applied(). See chain.h. */
int call_apply(struct call_house *h, struct event *ev, struct script *script,
	       struct slice effects, char *what) must_check;

/* The same for a loading; leads to crew_applied(). */
int call_apply_load(struct call_house *h, struct crew_load *load,
		    struct script *script, struct slice effects) must_check;

/* Would call_apply() refuse them at once? ERR_* as there. */
int call_examine(struct call_house *h, const struct event *ev,
		 struct script *script, struct slice effects) must_check;

/* Where effects of a script of that dialect go, and how many a run may have.
 */
struct effects_ctx call_effects(const struct call_house *h,
				enum dialect dialect);

/* There is no script of that name any more: its tables go. */
void call_unloaded(struct call_house *h, struct slice script);

/* The run of that serial is over: drop what it put ahead and did not name. */
void call_over(struct call_house *h, uint64_t serial);

/* ---- for call_*.c only ------------------------------------------------- */

/* A question on its way; lives until the handler returns. */
struct question {
	struct call_house *house;
	struct script *script;
	struct child *child;
	struct run *run; /* child_loading(run): while loading */
	uint32_t id;
	struct cursor args; /* behind the run's id */
};

/* An answer that comes later. Freed by later_end(). */
struct later {
	struct call call;
	const struct script *script; /* while call.run is there */
	struct buf nowhere; /* for answers that nobody waits for any more */
};

/* The spaces of the script that asks. */
static inline struct kv *question_kv(const struct question *q)
{
	return q->house->kv[q->script->dialect];
}

static inline struct artifacts *question_artifacts(const struct question *q)
{
	return q->house->artifacts[q->script->dialect];
}

/* The event that a run is for; NULL: it is a loading. */
static inline struct event *question_event(const struct run *run)
{
	return run->owner;
}

/* NULL: no memory, and the question was refused. */
struct later *later_new(struct question *q);

/* The buffer to pack the one value into. */
struct buf *later_answer(struct later *l);
void later_refuse(struct later *l, enum code code, const char *message);
void later_end(struct later *l);
void later_fail(struct later *l, int error); /* ERR_*; ends it */

struct buf *question_answer(struct question *q);
int question_refuse(struct question *q, enum code code, const char *message);

/* The script gets a Lua error with the message. */
int question_badarg(struct question *q, struct slice message);
void later_badarg(struct later *l, struct slice message);

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
int call_ets_ensure_table(struct question *q);
int call_ets_insert(struct question *q);
int call_ets_insert_new(struct question *q);
int call_ets_lookup(struct question *q);
int call_ets_delete(struct question *q);
int call_ets_delete_all(struct question *q);
int call_cache_insert(struct question *q);
int call_cache_match_publish(struct question *q);
int call_cache_match_subscribe(struct question *q);
int call_mqtt_disconnect(struct question *q);
int call_mqtt_reauthorize(struct question *q);
int call_mqtt_publish(struct question *q);
int call_provider(struct question *q);
int call_bcrypt_hash(struct question *q);
int call_bcrypt_salt(struct question *q);

#endif
