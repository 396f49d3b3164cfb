/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks_acl: ACL_CHECK, that is auth_on_publish, auth_on_subscribe,
 * on_unsubscribe and on_deliver. Start at on_acl_check().
 *
 * A publish is asked about here, and what the answer changes is left for the
 * MESSAGE event that follows at once (p->pending). Wills and $CONTROL have no
 * MESSAGE: all is decided here. On 2.0 only MESSAGE shows the properties of
 * MQTT 5, so those publishes are asked about there, unless there is any doubt
 * that it will come (publish_is_late).
 */
#include <stdlib.h>

#include "clients/mosquitto/modern.h"

/* The broker's own: a check, and whom it is about. */
struct check {
	const struct mosquitto_evt_acl_check *ev;
	struct session *it; /* NULL: its login did not come by here */
	struct who who;
	bool fixed; /* a will or $CONTROL: nothing can be rewritten */
};

static struct message message_of(const struct mosquitto_evt_acl_check *ev)
{
	return (struct message){
		.topic = ev->topic,
		.payload = ev->payload,
		.n = ev->payloadlen,
		.qos = ev->qos,
		.retain = ev->retain,
		.properties = ev->properties,
	};
}

static const struct acl *cached(struct plugin *p, const struct who *who)
{
	return acls_find(&p->acls, who->client_id, wire_now());
}

/* ---- publish ---------------------------------------------------------------
 */

static bool is_control(const char *topic)
{
	return strncmp(topic, "$CONTROL/", 9) == 0;
}

/* May MESSAGE be trusted to come? */
static bool publish_is_late(const struct plugin *p, const struct check *c)
{
	bool known, stopping = host_stopping(&p->host, &known);

	return !MODERN && c->who.m5 && p->options.late_publish_m5 && c->it &&
	       c->it->known && known && !stopping && !c->fixed;
}

static bool is_past(const struct plugin *p, const struct session *it)
{
#if MODERN
	if (modern_replaces(p, it))
		return true;
#endif
	return session_is_past(&p->sessions, it);
}

static int publish_refused(struct plugin *p, const struct check *c)
{
	if (p->options.kick && c->it && c->it->version == 4 && !c->fixed)
		commands_kick(p, c->it);
	return MOSQ_ERR_ACL_DENIED;
}

static int publish_allowed(struct plugin *p, const struct check *c,
			   struct slice mods)
{
	enum hook hook = c->who.m5 ? HOOK_ON_PUBLISH_M5 : HOOK_ON_PUBLISH;

	if (!modify_publish_allowed(p, mods, c->ev->qos, c->fixed))
		return publish_refused(p, c);
	if (!c->fixed) {
		p->pending.what = mods.n ? PENDING_MODS : PENDING_PASSED;
		p->pending.mods = mods;
	} else if (wire_serves(&p->wire, hook)) {
		struct message m = message_of(c->ev);

		table_message(p, hook, &c->who, &m);
		plugin_tell(p, hook);
	}
	return MOSQ_ERR_SUCCESS;
}

static int publish_ask(struct plugin *p, const struct check *c, enum hook hook)
{
	struct message m = message_of(c->ev);
	struct answer a;
	int rc;

	table_message(p, hook, &c->who, &m);
	a = plugin_ask(p, hook);
	rc = verdict_code(p, a.kind, MOSQ_ERR_ACL_DENIED);
	if (rc == MOSQ_ERR_SUCCESS)
		return publish_allowed(p, c, a.mods);
	if (rc == MOSQ_ERR_ACL_DENIED)
		return publish_refused(p, c);
	p->pending.what = PENDING_PASSED;
	return rc;
}

/* In pinfold's cache a pattern's wildcard covers every level, but nobody who
 * wrote "#" meant to hand out the administration of the broker. */
static bool by_wildcard(struct plugin *p, const struct acl *acl,
			const struct mosquitto_evt_acl_check *ev)
{
	struct slice topic = slice_str(ev->topic), mods;

	buf_clear(&p->props);
	buf_add_slice(&p->props, topic);
	if (buf_error(&p->props))
		return true;
	p->props.p[0] = '\1'; /* a first level that no pattern names */
	return acl_publish_match(acl, buf_slice(&p->props), ev->qos,
				 ev->payloadlen, ev->retain, &mods) != 0;
}

static int publish(struct plugin *p, struct check *c)
{
	enum hook hook =
		c->who.m5 ? HOOK_AUTH_ON_PUBLISH_M5 : HOOK_AUTH_ON_PUBLISH;
	const struct mosquitto_evt_acl_check *ev = c->ev;
	const struct acl *acl;
	struct slice mods;
	bool known;

	c->fixed = is_control(ev->topic) || host_stopping(&p->host, &known) ||
		   (c->it && is_past(p, c->it));
	p->pending.client = ev->client;
	p->pending.topic = ev->topic;
	if (c->it && c->it->no_publish)
		return publish_refused(p, c);
	acl = cached(p, &c->who);
	if (acl) {
		if (acl_publish_match(acl, slice_str(ev->topic), ev->qos,
				      ev->payloadlen, ev->retain, &mods) != 1 ||
		    (is_control(ev->topic) && by_wildcard(p, acl, ev)))
			return publish_refused(p, c);
		return publish_allowed(p, c, mods);
	}
	if (!wire_serves(&p->wire, hook)) {
		p->pending.what = PENDING_PASSED;
		return MOSQ_ERR_PLUGIN_DEFER;
	}
	if (publish_is_late(p, c) && wire_ready(&p->wire)) {
		p->pending.what = PENDING_ASK;
		return MOSQ_ERR_SUCCESS;
	}
	return publish_ask(p, c, hook);
}

/* ---- subscribe, unsubscribe -------------------------------------------------
 */

int subscribe_decide(struct plugin *p, const struct who *who, const char *topic,
		     uint8_t qos, struct slice *mods)
{
	enum hook hook =
		who->m5 ? HOOK_AUTH_ON_SUBSCRIBE_M5 : HOOK_AUTH_ON_SUBSCRIBE;
	const struct acl *acl = cached(p, who);
	struct answer a = {.kind = ANSWER_NEXT};
	int rc;

	*mods = slice_of(NULL, 0);
	if (acl)
		a.kind = acl_subscribe_match(acl, slice_str(topic), qos,
					     &a.mods) == 1
				 ? ANSWER_OK
				 : ANSWER_DENY;
	if (!acl && wire_serves(&p->wire, hook)) {
		table_subscribe(p, who, topic, qos, -1);
		a = plugin_ask(p, hook);
	}
	rc = verdict_code(p, a.kind, MOSQ_ERR_ACL_DENIED);
	if (rc == MOSQ_ERR_SUCCESS) {
		if (MODERN && modify_subscribe_only(a.mods).n &&
		    modify_subscribe_fit(a.mods))
			*mods = a.mods;
		else if (!modify_subscribe_same(p, a.mods, who->m5, topic, qos))
			rc = MOSQ_ERR_ACL_DENIED;
	}
	return rc;
}

static int subscribe(struct plugin *p, struct check *c)
{
	enum hook told = c->who.m5 ? HOOK_ON_SUBSCRIBE_M5 : HOOK_ON_SUBSCRIBE;
	const struct mosquitto_evt_acl_check *ev = c->ev;
	int rc = MOSQ_ERR_ACL_DENIED;
	struct slice mods;

	if (!c->it) { /* let in without asking us: by its certificate */
		c->it = session_begin(&p->sessions, ev->client);
		if (!c->it)
			return MOSQ_ERR_ACL_DENIED;
		c->it->registered = true;
		plugin_accept(p, c->it);
	}
	if (!c->it->no_subscribe)
		rc = subscribe_decide(p, &c->who, ev->topic, ev->qos, &mods);
	if (rc == MOSQ_ERR_ACL_DENIED)
		return rc;
	if (MODERN) { /* the rest follows in SUBSCRIBE */
		p->pending.client = ev->client;
		p->pending.mods = mods;
		p->pending.what = rc	   ? PENDING_PASSED
				  : mods.n ? PENDING_MODS
					   : PENDING_ASK;
		return rc;
	}
	filters_add(&c->it->filters, ev->topic, ev->qos,
		    rc == MOSQ_ERR_SUCCESS);
	if (rc == MOSQ_ERR_SUCCESS && wire_serves(&p->wire, told)) {
		table_subscribe(p, &c->who, ev->topic, ev->qos, -1);
		plugin_tell(p, told);
	}
	return rc;
}

/* The answer cannot keep a client from unsubscribing; another topic in its
 * place is beyond 2.0. */
static int unsubscribe(struct plugin *p, struct check *c)
{
	enum hook hook =
		c->who.m5 ? HOOK_ON_UNSUBSCRIBE_M5 : HOOK_ON_UNSUBSCRIBE;
	struct answer a;

	if (c->it && c->it->no_unsubscribe)
		return MOSQ_ERR_ACL_DENIED;
	if (wire_serves(&p->wire, hook) && !cached(p, &c->who) && !MODERN) {
		table_unsubscribe(p, &c->who, c->ev->topic);
		a = plugin_ask(p, hook);
		if (a.kind == ANSWER_OK && a.mods.n)
			modifier_ignored(p, "on_unsubscribe");
	}
	if (c->it && !MODERN)
		filters_remove(&c->it->filters, c->ev->topic);
	return MOSQ_ERR_SUCCESS;
}

/* ---- read: on_deliver, on_offline_message
 * ------------------------------------ */

/* A changed message goes to that client alone, in place of the one that is
 * refused here: the broker cannot change what it is about to send. */
static int deliver_changed(struct plugin *p, const struct check *c,
			   struct slice mods)
{
	struct slice payload = slice_of(c->ev->payload, c->ev->payloadlen);
	struct slice topic = slice_str(c->ev->topic);
	uint8_t qos = c->ev->qos, most = 0;
	struct cursor at;
	char *name;

	if (modifier_find(mods, "properties", &at))
		modifier_ignored(p, "on_deliver");
	if (modifier_find(mods, "topic", &at))
		topic = cursor_text(&at);
	if (modifier_find(mods, "payload", &at))
		payload = cursor_text(&at);
	if (c->it && filters_match(&c->it->filters, c->ev->topic, &most) &&
	    most < qos)
		qos = most;
	if (topic.n == 0 || topic.n > UINT16_MAX ||
	    mosquitto_pub_topic_check2((const char *)topic.p, topic.n))
		return MOSQ_ERR_ACL_DENIED;
	name = strndup((const char *)topic.p, topic.n);
	if (name)
		(void)mosquitto_broker_publish_copy(
			mosquitto_client_id(c->ev->client), name,
			(int)payload.n,
			payload.n ? (const void *)payload.p : "", qos, false,
			NULL);
	free(name);
	return MOSQ_ERR_ACL_DENIED;
}

static int deliver(struct plugin *p, struct check *c)
{
	enum hook hook = c->who.m5 ? HOOK_ON_DELIVER_M5 : HOOK_ON_DELIVER;
	struct message m = message_of(c->ev);
	struct cursor at;
	struct answer a;

	if (c->it && c->it->state == SESSION_OFFLINE) {
		hook = HOOK_ON_OFFLINE_MESSAGE;
		if (m.qos > 0 && wire_serves(&p->wire, hook)) {
			table_message(p, hook, &c->who, &m);
			plugin_tell(p, hook);
		}
		return MOSQ_ERR_SUCCESS;
	}
	if (MODERN || !wire_serves(&p->wire, hook))
		return MOSQ_ERR_SUCCESS;
	table_message(p, hook, &c->who, &m);
	a = plugin_ask(p, hook);
	if (a.kind == ANSWER_OK && (modifier_find(a.mods, "topic", &at) ||
				    modifier_find(a.mods, "payload", &at)))
		return deliver_changed(p, c, a.mods);
	return MOSQ_ERR_SUCCESS;
}

/* Who decides on subscriptions decides on what they deliver. */
static int read_right(struct plugin *p, const struct check *c)
{
	enum hook hook =
		c->who.m5 ? HOOK_AUTH_ON_SUBSCRIBE_M5 : HOOK_AUTH_ON_SUBSCRIBE;
	const struct filters *f = c->it ? &c->it->filters : NULL;
	const char *topic = c->ev->topic;
	bool ours = wire_serves(&p->wire, hook) || cached(p, &c->who);
	uint8_t qos;

	if (!f || (f->nrevoked == 0 && f->nothers == 0))
		return ours ? MOSQ_ERR_SUCCESS : MOSQ_ERR_PLUGIN_DEFER;
	if (filters_match(f, topic, &qos))
		return MOSQ_ERR_SUCCESS;
	if (f->nrevoked && filters_revoked(f, topic))
		return f->nothers ? MOSQ_ERR_PLUGIN_DEFER : MOSQ_ERR_ACL_DENIED;
	return f->nothers ? MOSQ_ERR_PLUGIN_DEFER : MOSQ_ERR_SUCCESS;
}

static int read_check(struct plugin *p, struct check *c)
{
	int rc = read_right(p, c);

	return rc == MOSQ_ERR_ACL_DENIED	      ? rc
	       : deliver(p, c) == MOSQ_ERR_ACL_DENIED ? MOSQ_ERR_ACL_DENIED
						      : rc;
}

static struct session *check_session(struct plugin *p, struct mosquitto *client)
{
#if MODERN
	return modern_session(p, client);
#else
	return session_find(&p->sessions, client);
#endif
}

int on_acl_check(int event, void *data, void *arg)
{
	const struct mosquitto_evt_acl_check *ev = data;
	struct plugin *p = arg;
	struct check c = {
		.ev = ev,
		.it = check_session(p, ev->client),
		.who = who_of(ev->client),
	};

	(void)event;
	p->pending.what = PENDING_NONE;
	/* a login that another plugin decided has gone well */
	if (c.it && c.it->state == SESSION_NEW && !MODERN)
		plugin_accept(p, c.it);
	switch (ev->access) {
	case MOSQ_ACL_WRITE:
		return publish(p, &c);
	case MOSQ_ACL_SUBSCRIBE:
		return subscribe(p, &c);
	case MOSQ_ACL_UNSUBSCRIBE:
		return unsubscribe(p, &c);
	case MOSQ_ACL_READ:
		return read_check(p, &c);
	default:
		return MOSQ_ERR_PLUGIN_DEFER;
	}
}
