/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin: everything that clients may say beside hooks and hello: bus.subscribe
 * on both sockets, and the tools' methods on the control socket
 * (PROTOCOL.md 6, one table in admin.c).
 */
#ifndef PF_BROKER_ADMIN_H
#define PF_BROKER_ADMIN_H

#include "broker/broker.h"
#include "proto/unpack.h"

/* Become the clients' on_other. */
void admin_open(struct broker *b);
void admin_close(struct broker *b);

/*
 * For the events of exec (ev->dry), in place of call_apply(): look at what
 * the run would have done, then chain_applied(). Errors as call_apply().
 */
int admin_exec_apply(struct broker *b, struct event *ev, struct script *script,
		     struct slice effects) must_check;

/* A log record of a worker: keep it when it is of a run of exec. */
void admin_exec_log(struct broker *b, const struct child *c,
		    const struct rpc *record);

/* ---- for admin_*.c only ------------------------------------------------ */

struct admin_call {
	struct broker *broker;
	struct client *client;
	uint32_t id;
	struct cursor args; /* the params, behind their head */
	uint32_t nargs;
};

/* An answer that comes later; holds the client. */
struct admin_later {
	struct client *client;
	uint32_t id;
	void *arg;
	struct broker *broker;
	enum dialect dialect; /* of the space that is meant */
};

struct buf *admin_answer(struct admin_call *a);
void admin_refuse(struct admin_call *a, enum code code, const char *message);

/* The parameter at `at` (from 0, the next one to read): "http", the default,
 * or "mqtt", whose space is meant. False: refused. */
bool admin_dialect(struct admin_call *a, uint32_t at, enum dialect *out);

struct admin_later *admin_later(struct admin_call *a); /* NULL: refused */
void admin_later_refuse(struct admin_later *l, enum code code,
			const char *message);

/* The client's buffer with the envelope, or one to throw away (`none`). */
struct buf *admin_later_answer(struct admin_later *l, struct buf *none);
void admin_later_end(struct admin_later *l);

void admin_kv_get(struct admin_call *a);
void admin_kv_set(struct admin_call *a);
void admin_kv_delete(struct admin_call *a);
void admin_kv_list(struct admin_call *a);
void admin_kv_incr(struct admin_call *a);
void admin_artifacts_list(struct admin_call *a);
void admin_artifacts_read(struct admin_call *a);
void admin_status(struct admin_call *a);
void admin_script_list(struct admin_call *a);
void admin_reload(struct admin_call *a);
void admin_script_show(struct admin_call *a);
void admin_script_reload(struct admin_call *a);
void admin_script_restart(struct admin_call *a);
void admin_script_load(struct admin_call *a);
void admin_script_unload(struct admin_call *a);
void admin_script_enable(struct admin_call *a);
void admin_script_disable(struct admin_call *a);
/* Of one-file scripts, by path: is the next parameter one? */
bool admin_is_path(const struct admin_call *a);
void admin_path_load(struct admin_call *a);
void admin_path_unload(struct admin_call *a);
void admin_path_reload(struct admin_call *a);
void admin_path_show(struct admin_call *a);
void admin_pack_script(struct buf *out, const struct script *s);
/* {name, result, why?} of one script in a reload. */
struct reload_row;
void admin_pack_row(struct buf *out, const struct reload_row *row);
/* What a reload ends with that has changed nothing. */
enum code admin_reload_code(const struct broker *b);
/* False: refused, since none can begin now. */
bool admin_may_reload(struct admin_call *a);
void admin_bus_subscribe(struct admin_call *a);
void admin_log_subscribe(struct admin_call *a);
void admin_artifacts_write(struct admin_call *a);
void admin_artifacts_delete(struct admin_call *a);
void admin_backup(struct admin_call *a);
void admin_exec(struct admin_call *a);
void admin_script_grants(struct admin_call *a);
void admin_record(struct admin_call *a);
void admin_cache_show(struct admin_call *a);
void admin_cache_drop(struct admin_call *a);

/* The script of that name in the current roster; NULL: refused. */
struct script *admin_find_script(struct admin_call *a, struct slice name);

/* The connection ends: its subscriptions too. */
void admin_forget(struct client *c);
void admin_record_forget(struct broker *b, const struct client *c);

#endif
