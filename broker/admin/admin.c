/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin: the table of methods, and the few that need no file of their own.
 */
#include "broker/admin/admin.h"

#include <stdlib.h>

#include "broker/answer.h"
#include "lib/log.h"
#include "proto/pack.h"

/* ---- answers ----------------------------------------------------------- */

struct buf *admin_answer(struct admin_call *a)
{
	struct buf *out = link_out(&a->client->link);

	rpc_result(out, a->id);
	return out;
}

void admin_refuse(struct admin_call *a, enum code code, const char *message)
{
	client_fail(a->client, a->id, code, message);
}

bool admin_dialect(struct admin_call *a, uint32_t at, enum dialect *out)
{
	struct slice name;

	*out = DIALECT_HTTP;
	if (a->nargs <= at || cursor_nil(&a->args))
		return true;
	name = cursor_text(&a->args);
	for (int i = 0; i < DIALECT_COUNT && !a->args.error; i++)
		if (slice_is(name, dialect_name((enum dialect)i))) {
			*out = (enum dialect)i;
			return true;
		}
	admin_refuse(a, CODE_BAD_EVENT, "the space is \"http\" or \"mqtt\"");
	return false;
}

struct admin_later *admin_later(struct admin_call *a)
{
	struct admin_later *l = calloc(1, sizeof(*l));

	if (!l) {
		admin_refuse(a, CODE_OVERLOADED, "no memory");
		return NULL;
	}
	*l = (struct admin_later){
		.client = a->client, .id = a->id, .broker = a->broker};
	client_hold(a->client);
	return l;
}

struct buf *admin_later_answer(struct admin_later *l, struct buf *none)
{
	struct buf *out = l->client->gone ? none : link_out(&l->client->link);

	rpc_result(out, l->id);
	return out;
}

void admin_later_refuse(struct admin_later *l, enum code code,
			const char *message)
{
	if (!l->client->gone)
		client_fail(l->client, l->id, code, message);
}

void admin_later_end(struct admin_later *l)
{
	client_release(l->client);
	free(l);
}

/* ---- small methods ----------------------------------------------------- */

static void on_flushed(struct broker_flush *f)
{
	struct admin_later *l = f->arg;
	struct buf none = {0};

	pack_bool(admin_later_answer(l, &none), true);
	buf_fini(&none);
	admin_later_end(l);
	free(f);
}

static void flush(struct admin_call *a)
{
	struct slice session = slice_str(a->broker->session);
	struct broker_flush *f;
	struct admin_later *l;

	if (a->nargs > 0 && !cursor_nil(&a->args))
		session = cursor_text(&a->args);
	if (a->args.error) {
		admin_refuse(a, CODE_BAD_EVENT, "flush [session|nil]");
		return;
	}
	f = calloc(1, sizeof(*f));
	l = f ? admin_later(a) : NULL;
	if (!l) {
		free(f);
		return;
	}
	*f = (struct broker_flush){
		.broker = a->broker, .done = on_flushed, .arg = l};
	broker_flush(f, session);
}

static void shutdown_(struct admin_call *a)
{
	pack_bool(admin_answer(a), true);
	broker_stop(a->broker);
}

/* ---- the table --------------------------------------------------------- */

static const struct method {
	const char *name;
	bool anywhere; /* else on the control socket only */
	void (*answer)(struct admin_call *a);
} methods[] = {
	{"bus.subscribe", true, admin_bus_subscribe},
	{"status", false, admin_status},
	{"script.list", false, admin_script_list},
	{"script.show", false, admin_script_show},
	{"script.grants", false, admin_script_grants},
	{"script.reload", false, admin_script_reload},
	{"script.restart", false, admin_script_restart},
	{"script.enable", false, admin_script_enable},
	{"script.disable", false, admin_script_disable},
	{"script.load", false, admin_script_load},
	{"script.unload", false, admin_script_unload},
	{"reload", false, admin_reload},
	{"kv.get", false, admin_kv_get},
	{"kv.set", false, admin_kv_set},
	{"kv.delete", false, admin_kv_delete},
	{"kv.list", false, admin_kv_list},
	{"kv.incr", false, admin_kv_incr},
	{"artifacts.list", false, admin_artifacts_list},
	{"artifacts.read", false, admin_artifacts_read},
	{"log.subscribe", false, admin_log_subscribe},
	{"artifacts.write", false, admin_artifacts_write},
	{"artifacts.delete", false, admin_artifacts_delete},
	{"exec", false, admin_exec},
	{"record", false, admin_record},
	{"backup", false, admin_backup},
	{"cache.show", false, admin_cache_show},
	{"cache.drop", false, admin_cache_drop},
	{"flush", false, flush},
	{"shutdown", false, shutdown_},
};

static bool on_other(void *arg, struct client *c, const struct rpc *rpc)
{
	struct admin_call a = {.broker = arg,
			       .client = c,
			       .id = rpc->id,
			       .args = cursor_of(rpc->params)};

	if (rpc->type != RPC_REQUEST)
		return mqtt_clients_hear(&a.broker->mqtt_clients, c, rpc);
	a.nargs = cursor_array(&a.args);
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (!slice_is(rpc->method, methods[i].name) ||
		    (!methods[i].anywhere && !c->control))
			continue;
		methods[i].answer(&a);
		return true;
	}
	return false;
}

static void on_gone(void *arg, struct client *c)
{
	admin_record_forget(arg, c);
	admin_forget(c);
}

static const struct client_ops ops = {on_other, on_gone};

void admin_open(struct broker *b)
{
	b->clients.ops = &ops;
	b->clients.arg = b;
}

void admin_close(struct broker *b)
{
	(void)b;
	log_tap(NULL, NULL);
}
