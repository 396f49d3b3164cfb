/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modern: delayed logins, and the events of Mosquitto 2.1 (modern.h). Start at
 * modern_login() for the one, at the table of events for the other.
 */
#include "clients/mosquitto/modern.h"

#if MODERN

#include <stdlib.h>

enum { TICK_MS = 100 }; /* how long what pinfold asks may lie */

struct login {
	struct list node;
	const struct mosquitto *client; /* may be gone: compared only */
	char *client_id;
	uint32_t call;
	int64_t until;
	bool answered;
	enum answer_kind kind;
	struct buf mods, acl;
};

static void login_free(struct login *l)
{
	list_remove(&l->node);
	buf_fini(&l->mods);
	buf_fini(&l->acl);
	free(l->client_id);
	free(l);
}

void modern_fini(struct plugin *p)
{
	struct list *node;

	while ((node = list_first(&p->logins)))
		login_free(container_of(node, struct login, node));
}

int modern_login(struct plugin *p, enum hook hook, struct mosquitto *client)
{
	const char *id = mosquitto_client_id(client);
	struct login *l = id ? calloc(1, sizeof(*l)) : NULL;

	if (!l)
		return MOSQ_ERR_AUTH;
	list_init(&l->node);
	l->client = client;
	l->client_id = strdup(id);
	l->until = wire_now() + p->options.timeout_ms;
	if (!l->client_id || buf_error(&p->table) ||
	    wire_send(&p->wire, hook, buf_slice(&p->table), l, &l->call) < 0) {
		login_free(l);
		return MOSQ_ERR_PLUGIN_DEFER;
	}
	list_push(&p->logins, &l->node);
	return MOSQ_ERR_AUTH_DELAYED;
}

void modern_answer(struct plugin *p, const struct pf_item *item)
{
	struct login *l = item->tag;
	struct buf kept = p->mods;
	struct answer a;

	/* it may come in the middle of another hook, whose answer is there */
	p->mods = (struct buf){0};
	a = plugin_answer(p, item);
	l->answered = true;
	l->kind = a.kind;
	buf_add_slice(&l->mods, a.mods);
	buf_add_slice(&l->acl, a.acl);
	if (buf_error(&l->mods) || buf_error(&l->acl))
		l->kind = ANSWER_FAILED;
	buf_fini(&p->mods);
	p->mods = kept;
}

void modern_lost(struct plugin *p)
{
	list_each(node, next, &p->logins)
	{
		struct login *l = container_of(node, struct login, node);

		if (!l->answered)
			l->kind = ANSWER_FAILED;
		l->answered = true;
	}
}

/* May it come in? Nobody else can be asked any more: `next` is no. */
static bool accepts(struct plugin *p, struct login *l)
{
	struct session dummy = {.client_id = l->client_id};

	return l->answered && l->kind == ANSWER_OK &&
	       modify_login(p, NULL, &dummy, buf_slice(&l->mods));
}

static void complete(struct plugin *p, struct login *l)
{
	bool yes = accepts(p, l);

	list_remove(&l->node);
	if (!l->answered)
		wire_forget(&p->wire, l->call);
	if (yes && l->acl.n)
		plugin_keep_acl(p, buf_slice(&l->acl), false);
	p->completing = yes ? l : NULL;
	mosquitto_complete_basic_auth(l->client_id,
				      yes ? MOSQ_ERR_SUCCESS : MOSQ_ERR_AUTH);
	p->completing = NULL;
	login_free(l);
}

void modern_tick(struct plugin *p, struct mosquitto_evt_tick *ev)
{
	struct list due;
	struct list *node;
	int64_t now = wire_now();

	ev->next_s = 0;
	ev->next_ms = list_empty(&p->logins) ? TICK_MS : 1;
	list_init(&due);
	list_each(it, next, &p->logins)
	{
		struct login *l = container_of(it, struct login, node);

		if (l->answered || now >= l->until) {
			list_remove(it);
			list_push(&due, it);
		}
	}
	while ((node = list_first(&due)))
		complete(p, container_of(node, struct login, node));
}

bool modern_replaces(const struct plugin *p, const struct session *it)
{
	const struct login *l = p->completing;

	return l && it->client != l->client &&
	       strcmp(it->client_id, l->client_id) == 0;
}

struct session *modern_session(struct plugin *p, struct mosquitto *client)
{
	struct login *l = p->completing;
	struct session *it;

	if (!l || l->client != client)
		return session_find(&p->sessions, client);
	p->completing = NULL; /* it has come */
	it = session_begin(&p->sessions, client);
	if (!it)
		return NULL;
	it->known = true;
	it->cached = l->acl.n > 0;
	if (!modify_login(p, client, it, buf_slice(&l->mods)))
		commands_kick(p, it);
	return it;
}

/* ---- events
 * ------------------------------------------------------------------ */

static int on_connect(int event, void *data, void *arg)
{
	const struct mosquitto_evt_connect *ev = data;
	struct plugin *p = arg;
	struct session *it = modern_session(p, ev->client);

	(void)event;
	if (!it) { /* by its certificate */
		it = session_begin(&p->sessions, ev->client);
		if (!it)
			return MOSQ_ERR_SUCCESS;
	}
	plugin_accept(p, it);
	return MOSQ_ERR_SUCCESS;
}

static int on_offline(int event, void *data, void *arg)
{
	const struct mosquitto_evt_client_offline *ev = data;
	struct plugin *p = arg;
	struct session *it = session_find(&p->sessions, ev->client);

	(void)event;
	if (it && it->state == SESSION_NEW && !it->auth_method)
		plugin_accept(p, it);
	if (it && it->state == SESSION_ONLINE)
		plugin_leave(p, it, true);
	return MOSQ_ERR_SUCCESS;
}

/* A filter of an answer in the place of the one asked for: [topic, qos] or
 * [topic, [qos, {rap=, no_local=}]]. */
static bool replace_filter(char **topic, uint8_t *options, struct slice filter)
{
	struct cursor c = cursor_of(filter), at;
	struct slice name, more = {0};
	bool nested;
	uint64_t qos;
	char *copy;

	if (cursor_array(&c) < 2)
		return false;
	name = cursor_text(&c);
	nested = cursor_peek(&c) == CURSOR_ARRAY;
	if (nested && cursor_array(&c) > 1) {
		qos = cursor_uint(&c);
		more = cursor_raw(&c);
	} else {
		qos = cursor_uint(&c);
	}
	if (c.error || qos > 2 || name.n == 0 || name.n > UINT16_MAX ||
	    memchr(name.p, 0, name.n) || !slice_is_utf8(name) ||
	    mosquitto_sub_topic_check2((const char *)name.p, name.n))
		return false;
	copy = mosquitto_malloc(name.n + 1);
	if (!copy)
		return false;
	memcpy(copy, name.p, name.n);
	copy[name.n] = '\0';
	*topic = copy; /* the broker frees the old one */
	*options = (uint8_t)((*options & 0xfc) | qos);
	if (modifier_find(more, "rap", &at))
		*options =
			(uint8_t)((*options & ~8) | (cursor_bool(&at) ? 8 : 0));
	if (modifier_find(more, "no_local", &at))
		*options =
			(uint8_t)((*options & ~4) | (cursor_bool(&at) ? 4 : 0));
	return true;
}

/* Follows an allowed ACL_CHECK, which left the answer's modifiers. */
static int on_subscribe(int event, void *data, void *arg)
{
	struct mosquitto_evt_subscribe *ev = data;
	struct plugin *p = arg;
	struct session *it = session_find(&p->sessions, ev->client);
	enum pending what = p->pending.what;
	struct who who = who_of(ev->client);
	enum hook told = who.m5 ? HOOK_ON_SUBSCRIBE_M5 : HOOK_ON_SUBSCRIBE;
	uint8_t qos;

	(void)event;
	p->pending.what = PENDING_NONE;
	if (what == PENDING_NONE || p->pending.client != ev->client)
		return MOSQ_ERR_SUCCESS;
	if (what == PENDING_MODS &&
	    !replace_filter(&ev->data.topic_filter, &ev->data.options,
			    modify_subscribe_only(p->pending.mods)))
		return MOSQ_ERR_ACL_DENIED; /* 2.1 ends the client */
	qos = ev->data.options & 3;
	if (it)
		filters_add(&it->filters, ev->data.topic_filter, qos,
			    what != PENDING_PASSED);
	if (what != PENDING_PASSED && wire_serves(&p->wire, told)) {
		table_subscribe(p, &who, ev->data.topic_filter, qos,
				ev->data.options);
		plugin_tell(p, told);
	}
	return MOSQ_ERR_SUCCESS;
}

/* Array of one topic, or of MQTT 5 {topics={topic}}. */
static void replace_topic(struct plugin *p, char **topic, struct slice mods)
{
	struct slice name = modify_subscribe_only(mods);
	struct cursor c = cursor_of(name);
	char *copy;

	name = cursor_text(&c);
	if (c.error || name.n == 0 || memchr(name.p, 0, name.n) ||
	    mosquitto_sub_topic_check2((const char *)name.p, name.n)) {
		modifier_ignored(p, "on_unsubscribe");
		return;
	}
	copy = mosquitto_malloc(name.n + 1);
	if (!copy)
		return;
	memcpy(copy, name.p, name.n);
	copy[name.n] = '\0';
	*topic = copy;
}

static int on_unsubscribe(int event, void *data, void *arg)
{
	struct mosquitto_evt_unsubscribe *ev = data;
	struct plugin *p = arg;
	struct session *it = session_find(&p->sessions, ev->client);
	struct who who = who_of(ev->client);
	enum hook hook = who.m5 ? HOOK_ON_UNSUBSCRIBE_M5 : HOOK_ON_UNSUBSCRIBE;
	struct answer a;

	(void)event;
	if (wire_serves(&p->wire, hook) &&
	    !acls_find(&p->acls, who.client_id, wire_now())) {
		table_unsubscribe(p, &who, ev->data.topic_filter);
		a = plugin_ask(p, hook);
		if (a.kind == ANSWER_OK && a.mods.n)
			replace_topic(p, &ev->data.topic_filter, a.mods);
	}
	if (it)
		filters_remove(&it->filters, ev->data.topic_filter);
	return MOSQ_ERR_SUCCESS;
}

static int on_message_out(int event, void *data, void *arg)
{
	struct mosquitto_evt_message *ev = data;
	struct plugin *p = arg;
	struct who who = who_of(ev->client);
	enum hook hook = who.m5 ? HOOK_ON_DELIVER_M5 : HOOK_ON_DELIVER;
	struct message m = {ev->topic, ev->payload, ev->payloadlen,
			    ev->qos,   ev->retain,  ev->properties};
	struct answer a;

	(void)event;
	if (!wire_serves(&p->wire, hook))
		return MOSQ_ERR_SUCCESS;
	table_message(p, hook, &who, &m);
	a = plugin_ask(p, hook);
	if (a.kind == ANSWER_OK && a.mods.n &&
	    !modify_message(p, ev, a.mods, who.m5))
		return MOSQ_ERR_ACL_DENIED;
	return MOSQ_ERR_SUCCESS;
}

int modern_register(struct plugin *p)
{
	static const struct {
		int event;
		MOSQ_FUNC_generic_callback callback;
	} events[] = {
		{MOSQ_EVT_CONNECT, on_connect},
		{MOSQ_EVT_CLIENT_OFFLINE, on_offline},
		{MOSQ_EVT_SUBSCRIBE, on_subscribe},
		{MOSQ_EVT_UNSUBSCRIBE, on_unsubscribe},
		{MOSQ_EVT_MESSAGE_OUT, on_message_out},
	};
	int rc = MOSQ_ERR_SUCCESS;

	(void)mosquitto_plugin_set_info(p->id, "pinfold", PROTO_RELEASE);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]) && !rc; i++)
		rc = mosquitto_callback_register(p->id, events[i].event,
						 events[i].callback, NULL, p);
	return rc;
}

#else
extern int pf_no_modern; /* a translation unit is not empty */
#endif
