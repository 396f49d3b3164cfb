/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks_auth: auth_on_register(_m5) from BASIC_AUTH, on_auth_m5 from the two
 * events of extended authentication. Start at on_basic_auth().
 */
#include <stdlib.h>

#include "clients/mosquitto/modern.h"

enum {
	AUTH_SUCCESS = 0, /* MQTT 5 reason codes */
	AUTH_CONTINUE = 24,
};

static enum hook login_hook(const struct mosquitto *client)
{
	return mosquitto_client_protocol_version(client) == 5
		       ? HOOK_AUTH_ON_REGISTER_M5
		       : HOOK_AUTH_ON_REGISTER;
}

int login_decide(struct plugin *p, struct mosquitto *client,
		 const struct answer *a)
{
	int rc = verdict_code(p, a->kind, MOSQ_ERR_AUTH);
	struct session *it;

	if (rc == MOSQ_ERR_AUTH)
		return rc;
	it = session_begin(&p->sessions, client);
	if (!it)
		return MOSQ_ERR_AUTH;
	it->known = true;
	if (rc == MOSQ_ERR_SUCCESS && !modify_login(p, client, it, a->mods)) {
		session_free(&p->sessions, it);
		return MOSQ_ERR_AUTH;
	}
	if (a->acl.n)
		plugin_keep_acl(p, a->acl, false);
	it->cached = a->acl.n > 0;
	if (rc == MOSQ_ERR_SUCCESS && !MODERN)
		plugin_accept(p, it);
	return rc;
}

/* With per_listener_settings Mosquitto 2.0 runs no tick; then half of what is
 * promised here would not hold, so nobody gets in. */
static bool no_tick(struct plugin *p)
{
	if (!p->ticked && !p->told_no_tick) {
		plugin_log(true, "per_listener_settings true is not supported: "
				 "every client is refused");
		p->told_no_tick = true;
	}
	return !p->ticked;
}

int on_basic_auth(int event, void *data, void *arg)
{
	const struct mosquitto_evt_basic_auth *ev = data;
	struct plugin *p = arg;
	enum hook hook = login_hook(ev->client);
	struct answer a = {.kind = ANSWER_NEXT};

	(void)event;
	p->pending.what = PENDING_NONE;
	if (no_tick(p))
		return MOSQ_ERR_AUTH;
	if (wire_serves(&p->wire, hook)) {
		table_login(p, hook, ev->client, ev->password);
#if MODERN
		if (p->options.delayed_auth) {
			int rc = modern_login(p, hook, ev->client);

			if (rc != MOSQ_ERR_PLUGIN_DEFER)
				return rc;
		}
#endif
		a = plugin_ask(p, hook);
	}
	return login_decide(p, ev->client, &a);
}

/* ---- extended authentication --------------------------------------------- */

/* What on_auth_m5 answered: {reason_code=, properties={...}}, or plain yes.
 * -1: neither success nor continue. */
static int reason_of(struct slice mods)
{
	struct cursor c;
	uint64_t code;

	if (!modifier_find(mods, "reason_code", &c))
		return AUTH_SUCCESS;
	code = cursor_uint(&c);
	if (c.error || (code != AUTH_SUCCESS && code != AUTH_CONTINUE))
		return -1;
	return (int)code;
}

/* The broker free()s it. */
static bool give_data(struct mosquitto_evt_extended_auth *ev, struct slice mods)
{
	struct slice properties, data;
	struct cursor c;

	if (mods.n == 0 || !map_find(mods, "properties", &properties) ||
	    !modifier_find(properties, "p_authentication_data", &c))
		return true;
	data = cursor_text(&c);
	if (c.error || data.n > UINT16_MAX)
		return false;
	if (data.n == 0)
		return true;
	ev->data_out = malloc(data.n);
	if (!ev->data_out)
		return false;
	memcpy(ev->data_out, data.p, data.n);
	ev->data_out_len = (uint16_t)data.n;
	return true;
}

/* The exchange is over; rights are decided as for every login. */
static int finish_login(struct plugin *p, struct mosquitto *client)
{
	enum hook hook = HOOK_AUTH_ON_REGISTER_M5;
	struct answer a = {.kind = ANSWER_NEXT};
	int rc;

	if (wire_serves(&p->wire, hook)) {
		table_login(p, hook, client, NULL);
		a = plugin_ask(p, hook);
	}
	rc = login_decide(p, client, &a);
	return rc == MOSQ_ERR_SUCCESS ? rc : MOSQ_ERR_AUTH;
}

/* A step of the exchange; `it` is the session it is for: one that is online
 * authenticates again. */
static int step(struct plugin *p, struct mosquitto_evt_extended_auth *ev,
		struct session *it)
{
	struct answer a;
	int rc, reason;

	table_auth(p, ev->client, it->auth_method,
		   slice_of(ev->data_in, ev->data_in ? ev->data_in_len : 0));
	a = plugin_ask(p, HOOK_ON_AUTH_M5);
	rc = verdict_code(p, a.kind, MOSQ_ERR_AUTH);
	if (rc != MOSQ_ERR_SUCCESS)
		return rc;
	reason = reason_of(a.mods);
	if (reason < 0 || !give_data(ev, a.mods))
		return MOSQ_ERR_AUTH;
	if (reason == AUTH_CONTINUE)
		return MOSQ_ERR_AUTH_CONTINUE;
	if (it->state != SESSION_NEW)
		return MOSQ_ERR_SUCCESS;
	return finish_login(p, ev->client);
}

static void refused(struct plugin *p, const struct mosquitto *client, int rc)
{
	struct session *it = session_find(&p->sessions, client);

	if (it && it->state == SESSION_NEW && rc != MOSQ_ERR_SUCCESS &&
	    rc != MOSQ_ERR_AUTH_CONTINUE)
		session_free(&p->sessions, it);
}

int on_auth_start(int event, void *data, void *arg)
{
	struct mosquitto_evt_extended_auth *ev = data;
	struct plugin *p = arg;
	struct session *it = session_find(&p->sessions, ev->client);
	int rc;

	(void)event;
	p->pending.what = PENDING_NONE;
	if (no_tick(p))
		return MOSQ_ERR_AUTH;
	if (!wire_serves(&p->wire, HOOK_ON_AUTH_M5) || !ev->auth_method)
		return MOSQ_ERR_PLUGIN_DEFER;
	/* a pointer that was an offline session's is a new client's */
	if (!it || it->state != SESSION_ONLINE)
		it = session_begin(&p->sessions, ev->client);
	if (!it)
		return MOSQ_ERR_AUTH;
	free(it->auth_method);
	it->auth_method = strdup(ev->auth_method);
	if (!it->auth_method)
		return MOSQ_ERR_AUTH;
	rc = step(p, ev, it);
	refused(p, ev->client, rc);
	return rc;
}

/* The method is not told here (2.0.11): it is the one of the start. */
int on_auth_continue(int event, void *data, void *arg)
{
	struct mosquitto_evt_extended_auth *ev = data;
	struct plugin *p = arg;
	struct session *it = session_find(&p->sessions, ev->client);
	int rc;

	(void)event;
	p->pending.what = PENDING_NONE;
	if (!it || !it->auth_method)
		return MOSQ_ERR_PLUGIN_DEFER;
	rc = step(p, ev, it);
	refused(p, ev->client, rc);
	return rc == MOSQ_ERR_PLUGIN_DEFER ? MOSQ_ERR_AUTH : rc;
}
