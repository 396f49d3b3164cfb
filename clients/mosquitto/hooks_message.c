/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks_message: MESSAGE, which follows an allowed ACL_CHECK of a publish: the
 * question about MQTT 5 publishes (their properties show only here), and
 * everything that modifiers change. Start at on_message().
 *
 * Memory: the broker frees a payload that was replaced; a topic and properties
 * only from 2.0.15 on (host.h).
 */
#include "clients/mosquitto/plugin.h"
#include "clients/mosquitto/properties.h"
#include "proto/pack.h"

static bool set_topic(struct plugin *p, struct mosquitto_evt_message *ev,
		      struct slice topic)
{
	char *copy;

	if (topic.n == 0 || topic.n > UINT16_MAX || topic.p[0] == '$' ||
	    memchr(topic.p, 0, topic.n) || !slice_is_utf8(topic) ||
	    mosquitto_pub_topic_check2((const char *)topic.p, topic.n))
		return false;
	copy = mosquitto_malloc(topic.n + 1);
	if (!copy)
		return false;
	memcpy(copy, topic.p, topic.n);
	copy[topic.n] = '\0';
	if (p->host.we_free)
		mosquitto_free(ev->topic);
	ev->topic = copy;
	return true;
}

static bool set_payload(struct mosquitto_evt_message *ev, struct slice payload)
{
	uint8_t *copy;

	if (payload.n > ACL_MAX_PAYLOAD)
		return false;
	/* as the broker has it: with a NUL behind; none for no bytes */
	copy = payload.n ? mosquitto_malloc(payload.n + 1) : NULL;
	if (payload.n && !copy)
		return false;
	if (copy) {
		memcpy(copy, payload.p, payload.n);
		copy[payload.n] = 0;
	}
	ev->payload = copy;
	ev->payloadlen = (uint32_t)payload.n;
	return true;
}

static bool set_properties(struct plugin *p, struct mosquitto_evt_message *ev,
			   struct slice mods)
{
	mosquitto_property *list;
	const char *odd;
	struct buf input = {0};
	int rc = ERR_NOMEM;

	properties_pack(&input, ev->properties);
	buf_clear(&p->props);
	mods_merge_properties(buf_slice(&input), mods, &p->props);
	if (!buf_error(&input) && !buf_error(&p->props))
		rc = properties_build(buf_slice(&p->props), &list, &odd);
	buf_fini(&input);
	if (rc < 0)
		return false;
	if (odd)
		modifier_ignored(p, odd);
	if (p->host.we_free)
		mosquitto_property_free_all(&ev->properties);
	ev->properties = list;
	return true;
}

bool modify_message(struct plugin *p, struct mosquitto_evt_message *ev,
		    struct slice mods, bool m5)
{
	struct slice properties;
	struct cursor c;
	bool retain = ev->retain;

	if (modifier_find(mods, "retain", &c))
		retain = cursor_bool(&c);
	if (modifier_find(mods, "topic", &c) &&
	    !set_topic(p, ev, cursor_text(&c)))
		return false;
	if (modifier_find(mods, "payload", &c) &&
	    !set_payload(ev, cursor_text(&c)))
		return false;
	if (m5 && mods.n && map_find(mods, "properties", &properties) &&
	    !set_properties(p, ev, properties))
		return false;
	ev->retain = retain;
	return true;
}

static struct message message_of(const struct mosquitto_evt_message *ev)
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

/* MQTT 5: all is decided here, so `next` cannot become another's question. */
static bool ask(struct plugin *p, struct mosquitto_evt_message *ev,
		const struct who *who, struct slice *mods)
{
	struct message m = message_of(ev);
	struct answer a;

	table_message(p, HOOK_AUTH_ON_PUBLISH_M5, who, &m);
	a = plugin_ask(p, HOOK_AUTH_ON_PUBLISH_M5);
	*mods = a.mods;
	return a.kind == ANSWER_OK &&
	       modify_publish_allowed(p, a.mods, ev->qos, false);
}

int on_message(int event, void *data, void *arg)
{
	struct mosquitto_evt_message *ev = data;
	struct plugin *p = arg;
	enum pending what = p->pending.what;
	struct slice mods = p->pending.mods;
	struct who who;
	enum hook told;

	(void)event;
	p->pending.what = PENDING_NONE;
	if (what == PENDING_NONE || p->pending.client != ev->client ||
	    p->pending.topic != ev->topic)
		return MOSQ_ERR_SUCCESS; /* a bridge's: never checked */
	who = who_of(ev->client);
	if (what == PENDING_ASK && !ask(p, ev, &who, &mods))
		return MOSQ_ERR_ACL_DENIED;
	if (what != PENDING_PASSED && mods.n &&
	    !modify_message(p, ev, mods, who.m5))
		return MOSQ_ERR_ACL_DENIED;
	told = who.m5 ? HOOK_ON_PUBLISH_M5 : HOOK_ON_PUBLISH;
	if (wire_serves(&p->wire, told)) {
		struct message m = message_of(ev);

		table_message(p, told, &who, &m);
		plugin_tell(p, told);
	}
	return MOSQ_ERR_SUCCESS;
}
