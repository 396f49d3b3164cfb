/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin: the three functions that Mosquitto looks for, and the tick.
 */
#include "clients/mosquitto/modern.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PUBLIC __attribute__((visibility("default")))

void plugin_log(bool bad, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	mosquitto_log_printf(bad ? MOSQ_LOG_WARNING : MOSQ_LOG_NOTICE,
			     "pinfold: %s", text);
}

/* ---- the wire's callbacks --------------------------------------------------
 */

static void on_request(void *arg, struct pf_client *c,
		       const struct pf_item *item)
{
	commands_request(arg, c, item);
}

void plugin_keep_acl(struct plugin *p, struct slice entry, bool renews)
{
	struct cursor c;

	if (!modifier_find(entry, "mountpoint", &c) ||
	    !slice_is(cursor_text(&c), p->options.mountpoint))
		return;
	if (acls_insert(&p->acls, entry, renews, wire_now()) == 0)
		return;
	plugin_log(true, "an entry of the auth cache is not kept");
	/* nor may an older one answer */
	if (modifier_find(entry, "client_id", &c))
		acls_drop(&p->acls, cursor_text(&c));
}

/* {mountpoint, client_id}, or {all=true} */
static void drop_acl(struct plugin *p, struct slice map)
{
	struct cursor c;

	if (modifier_find(map, "all", &c) && cursor_bool(&c))
		acls_fini(&p->acls);
	else if (modifier_find(map, "mountpoint", &c) &&
		 slice_is(cursor_text(&c), p->options.mountpoint) &&
		 modifier_find(map, "client_id", &c))
		acls_drop(&p->acls, cursor_text(&c));
}

/* Others (goaway, error) are followed by the end of the connection. */
static void on_notification(void *arg, const struct pf_item *item)
{
	if (slice_is(item->method, "acl"))
		plugin_keep_acl(arg, item->params.packed, true);
	else if (slice_is(item->method, "acl.drop"))
		drop_acl(arg, item->params.packed);
}

static void on_answer(void *arg, const struct pf_item *item)
{
#if MODERN
	modern_answer(arg, item);
#else
	(void)arg;
	(void)item;
#endif
}

static void on_lost(void *arg)
{
#if MODERN
	modern_lost(arg);
#else
	(void)arg;
#endif
}

static void on_log(void *arg, bool bad, const char *text)
{
	(void)arg;
	plugin_log(bad, "%s", text);
}

static void on_connected(void *arg, bool same)
{
	struct plugin *p = arg;

	acls_connected(&p->acls, same);
}

static const struct wire_ops wire_ops = {
	.request = on_request,
	.notification = on_notification,
	.answer = on_answer,
	.lost = on_lost,
	.log = on_log,
	.connected = on_connected,
};

/* ---- copies that are older than the connection ------------------------- */

static bool ask_about(void *arg, struct slice client_id, unsigned ended)
{
	struct plugin *p = arg;

	table_refresh(p, client_id, ended);
	return plugin_send(p, "acl.refresh");
}

static void refresh(struct plugin *p)
{
	if (acls_ask(&p->acls, ask_about, p))
		wire_push(&p->wire);
}

/* ---- Mosquitto's
 * ------------------------------------------------------------- */

static int on_tick(int event, void *data, void *arg)
{
	struct plugin *p = arg;

	(void)event;
	(void)data;
	p->ticked = true;
	p->pending.what = PENDING_NONE;
	wire_tick(&p->wire);
	refresh(p);
#if MODERN
	modern_tick(p, data);
#endif
	commands_run(p);
	sessions_sweep(&p->sessions);
	return MOSQ_ERR_SUCCESS;
}

static const struct {
	int event;
	MOSQ_FUNC_generic_callback callback;
} callbacks[] = {
	{MOSQ_EVT_TICK, on_tick},
	{MOSQ_EVT_BASIC_AUTH, on_basic_auth},
	{MOSQ_EVT_EXT_AUTH_START, on_auth_start},
	{MOSQ_EVT_EXT_AUTH_CONTINUE, on_auth_continue},
	{MOSQ_EVT_ACL_CHECK, on_acl_check},
	{MOSQ_EVT_MESSAGE, on_message},
	{MOSQ_EVT_DISCONNECT, on_disconnect},
};

enum { CALLBACKS = sizeof(callbacks) / sizeof(callbacks[0]) };

static int register_all(struct plugin *p)
{
	for (int i = 0; i < CALLBACKS; i++) {
		int rc = mosquitto_callback_register(p->id, callbacks[i].event,
						     callbacks[i].callback,
						     NULL, p);

		if (rc != MOSQ_ERR_SUCCESS)
			return rc;
	}
#if MODERN
	return modern_register(p);
#else
	return MOSQ_ERR_SUCCESS;
#endif
}

static void plugin_free(struct plugin *p)
{
#if MODERN
	modern_fini(p);
#endif
	commands_fini(p);
	wire_fini(&p->wire);
	sessions_fini(&p->sessions);
	acls_fini(&p->acls);
	options_fini(&p->options);
	buf_fini(&p->table);
	buf_fini(&p->mods);
	buf_fini(&p->props);
	free(p);
}

/* False: `why` is a line for the log. */
static bool set_up(struct plugin *p, const struct mosquitto_opt *opts, int n,
		   struct buf *why)
{
	list_init(&p->logins);
	acls_init(&p->acls);
	commands_init(p);
	sessions_init(&p->sessions);
	host_init(&p->host);
	if (p->host.modern != MODERN) {
		/* the events of a session's end are not the same */
		buf_addf(why,
			 "built with the headers of Mosquitto %s, which "
			 "this is not",
			 MODERN ? "2.1" : "2.0");
		return false;
	}
	if (host_per_listener(&p->host, p->id)) {
		buf_addf(why, "per_listener_settings true is not supported: "
			      "set it to false, this plugin is for all "
			      "listeners");
		return false;
	}
	if (options_init(&p->options, opts, n, why) < 0)
		return false;
	if (wire_init(&p->wire, &p->options, &wire_ops, p) < 0)
		return false;
	if (register_all(p) == MOSQ_ERR_SUCCESS)
		return true;
	buf_addf(why, "this Mosquitto lacks an event that is needed");
	return false;
}

PUBLIC int mosquitto_plugin_version(int n, const int *versions)
{
	for (int i = 0; i < n; i++)
		if (versions[i] == 5)
			return 5;
	return -1;
}

PUBLIC int mosquitto_plugin_init(mosquitto_plugin_id_t *id, void **userdata,
				 struct mosquitto_opt *opts, int n)
{
	struct plugin *p = calloc(1, sizeof(*p));
	struct buf why = {0};

	if (!p)
		return MOSQ_ERR_NOMEM;
	p->id = id;
	*userdata = p;
	if (set_up(p, opts, n, &why)) {
		plugin_log(false, "%s %s for %s, Mosquitto %s", PROTO_SERVER,
			   PROTO_RELEASE, p->options.socket,
			   p->host.version[0] ? p->host.version : "(unknown)");
		buf_fini(&why);
		return MOSQ_ERR_SUCCESS;
	}
	mosquitto_log_printf(MOSQ_LOG_ERR, "pinfold: %.*s",
			     why.n ? (int)why.n : 13,
			     why.n ? (const char *)why.p : "out of memory");
	buf_fini(&why);
	*userdata = NULL;
	plugin_free(p);
	return MOSQ_ERR_INVAL;
}

PUBLIC int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *opts,
				    int n)
{
	struct plugin *p = userdata;

	(void)opts;
	(void)n;
	if (!p)
		return MOSQ_ERR_SUCCESS;
	if (p->wire.state != WIRE_DOWN)
		wire_tick(&p->wire); /* what is still to be told */
	for (int i = 0; i < CALLBACKS; i++)
		(void)mosquitto_callback_unregister(
			p->id, callbacks[i].event, callbacks[i].callback, NULL);
	plugin_free(p);
	return MOSQ_ERR_SUCCESS;
}
