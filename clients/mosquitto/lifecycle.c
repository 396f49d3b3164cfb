/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lifecycle: from login to the end of a session, in VerneMQ's order:
 * auth_on_register, then the old session's on_client_offline or _gone, then
 * on_client_wakeup, on_register. Mosquitto has its own order (sessions.h), so
 * the old session is ended here as soon as its successor is accepted, and the
 * DISCONNECT that comes later is no news.
 */
#include "clients/mosquitto/modern.h"

static void tell_session(struct plugin *p, enum hook hook, const char *id)
{
	if (!wire_serves(&p->wire, hook))
		return;
	table_session(p, slice_str(id));
	plugin_tell(p, hook);
}

void plugin_leave(struct plugin *p, struct session *it, bool durable)
{
	enum hook hook = durable ? HOOK_ON_CLIENT_OFFLINE : HOOK_ON_CLIENT_GONE;
	struct slice id = slice_str(it->client_id);
	enum acls_run run = acls_remove_oldest(&p->acls, id);
	bool told = false;

	table_session(p, id);
	if (wire_serves(&p->wire, hook))
		told = plugin_tell(p, hook);
	else if (run != ACLS_OTHER) /* pinfold's cache has to hear of it */
		told = plugin_send(p, hook_table[hook].name);
	if (!told && (run == ACLS_THIS || (run == ACLS_NONE && it->cached)))
		acls_owe(&p->acls, id);
	list_remove(&it->kick);
	if (durable)
		it->state = SESSION_OFFLINE;
	else
		session_end(&p->sessions, it);
}

/* The old session of a client that is here again. */
static void take_over(struct plugin *p, struct session *it, struct session *old)
{
	bool resumed = !it->clean && !old->clean;

	if (old->state == SESSION_ONLINE)
		plugin_leave(p, old, !old->clean);
	if (resumed && it->filters.n == 0) {
		it->filters = old->filters;
		old->filters = (struct filters){0};
	}
	session_end(&p->sessions, old);
}

void plugin_accept(struct plugin *p, struct session *it)
{
	enum hook hook =
		it->version == 5 ? HOOK_ON_REGISTER_M5 : HOOK_ON_REGISTER;
	struct session *old;

	if (it->state != SESSION_NEW)
		return;
	while ((old = session_older(it)))
		take_over(p, it, old);
	it->state = SESSION_ONLINE;
	it->waiting = false;
	if (it->registered)
		return;
	it->registered = true;
	tell_session(p, HOOK_ON_CLIENT_WAKEUP, it->client_id);
	if (wire_serves(&p->wire, hook)) {
		table_login(p, hook, it->client, NULL);
		plugin_tell(p, hook);
	}
}

/* 2.0 says nothing of it. 2.1 has an event of its own for sessions that stay,
 * but not for one whose client is here again. */
static bool stays(const struct plugin *p, const struct session *it)
{
#if MODERN
	if (!modern_replaces(p, it) && !session_is_past(&p->sessions, it))
		return false;
#else
	(void)p;
#endif
	return !it->clean;
}

int on_disconnect(int event, void *data, void *arg)
{
	const struct mosquitto_evt_disconnect *ev = data;
	struct plugin *p = arg;
	struct session *it = session_find(&p->sessions, ev->client);

	(void)event;
	p->pending.what = PENDING_NONE;
	if (!it)
		return MOSQ_ERR_SUCCESS;
	/* refused, or gone in the middle of its login */
	if (!mosquitto_client_id(ev->client) ||
	    (it->state == SESSION_NEW && (it->auth_method || it->waiting))) {
		session_free(&p->sessions, it);
		return MOSQ_ERR_SUCCESS;
	}
	if (it->state == SESSION_NEW && !MODERN) /* let in by another plugin */
		plugin_accept(p, it);
	if (it->state == SESSION_ONLINE)
		plugin_leave(p, it, stays(p, it));
	return MOSQ_ERR_SUCCESS;
}
