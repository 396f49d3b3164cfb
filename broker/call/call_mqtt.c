/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_mqtt: mqtt.* of workers (vmq_api in Lua): commands to the MQTT brokers
 * that are connected. The question is answered when one of them has said "ok"
 * or all have spoken; they answer also while they wait for a hook themselves.
 */
#include "broker/call/call.h"
#include "broker/mqtt_client.h"
#include "proto/acl_rule.h"
#include "proto/pack.h"

static int badarg(struct question *q, const char *text)
{
	return question_badarg(q, slice_str(text));
}

static void on_told(void *arg, enum mqtt_told told)
{
	struct later *l = arg;

	if (told == MQTT_BUSY)
		later_refuse(l, CODE_OVERLOADED,
			     "overloaded: too many commands to MQTT brokers "
			     "are under way");
	else
		pack_cstr(later_answer(l),
			  told == MQTT_OK ? "ok" : "not_found");
	later_end(l);
}

/* It is "ok" whether anybody had such a client or not. */
static void on_reauthorized(void *arg, enum mqtt_told told)
{
	on_told(arg, told == MQTT_BUSY ? told : MQTT_OK);
}

static int ask(struct question *q, const char *method, const struct buf *map,
	       void (*done)(void *arg, enum mqtt_told told))
{
	struct later *l;

	if (buf_error(map) < 0)
		return question_refuse(q, CODE_OVERLOADED, "no memory");
	if ((l = later_new(q)))
		mqtt_clients_ask(q->house->mqtt_clients, method, buf_slice(map),
				 done, l);
	return OK;
}

static void pack_pair(struct buf *out, const char *key, struct slice text)
{
	pack_cstr(out, key);
	pack_text(out, text);
}

int call_mqtt_disconnect(struct question *q)
{
	struct slice mountpoint = cursor_text(&q->args);
	struct slice client_id = cursor_text(&q->args);
	bool cleanup = cursor_bool(&q->args);
	struct buf map = {0};
	int r;

	if (q->args.error)
		return ERR_FORMAT;
	pack_map(&map, 3);
	pack_pair(&map, "mountpoint", mountpoint);
	pack_pair(&map, "client_id", client_id);
	pack_cstr(&map, "do_cleanup");
	pack_bool(&map, cleanup);
	r = ask(q, "mqtt.disconnect", &map, on_told);
	buf_fini(&map);
	return r;
}

int call_mqtt_reauthorize(struct question *q)
{
	struct slice username = cursor_text(&q->args);
	struct slice mountpoint = cursor_text(&q->args);
	struct slice client_id = cursor_text(&q->args);
	struct buf map = {0};
	int r;

	if (q->args.error)
		return ERR_FORMAT;
	pack_map(&map, 3);
	pack_pair(&map, "username", username);
	pack_pair(&map, "mountpoint", mountpoint);
	pack_pair(&map, "client_id", client_id);
	r = ask(q, "mqtt.reauthorize", &map, on_reauthorized);
	buf_fini(&map);
	return r;
}

/* ---- publish ----------------------------------------------------------- */

struct message {
	struct slice topic, payload, client_id;
	bool to_client; /* client_id was given */
	uint64_t qos;
	bool retain;
};

/* NULL, or what is wrong with it. */
static const char *read_message(struct slice map, struct message *m)
{
	struct slice raw;
	struct cursor c;

	*m = (struct message){0};
	c = cursor_of(map_find(map, "topic", &raw) ? raw : (struct slice){0});
	m->topic = cursor_text(&c);
	if (c.error || !acl_is_topic(m->topic))
		return "publish: topic is no topic";
	if (map_find(map, "payload", &raw)) {
		c = cursor_of(raw);
		m->payload = cursor_text(&c);
		if (c.error)
			return "publish: payload is no string";
	}
	if (map_find(map, "qos", &raw)) {
		c = cursor_of(raw);
		m->qos = cursor_uint(&c);
		if (c.error || m->qos > 2)
			return "publish: qos is not 0, 1 or 2";
	}
	if (map_find(map, "retain", &raw)) {
		c = cursor_of(raw);
		m->retain = cursor_bool(&c);
		if (c.error)
			return "publish: retain is no boolean";
	}
	if (map_find(map, "client_id", &raw)) {
		c = cursor_of(raw);
		m->to_client = !cursor_nil(&c);
		if (m->to_client)
			m->client_id = cursor_text(&c);
		if (c.error)
			return "publish: client_id is no string";
	}
	return NULL;
}

int call_mqtt_publish(struct question *q)
{
	struct slice raw = cursor_raw(&q->args);
	struct buf map = {0};
	struct message m;
	const char *wrong;
	int r;

	if (q->args.error)
		return ERR_FORMAT;
	wrong = read_message(raw, &m);
	if (wrong)
		return badarg(q, wrong);
	pack_map(&map, 4 + m.to_client);
	pack_pair(&map, "topic", m.topic);
	pack_cstr(&map, "payload");
	pack_bin(&map, m.payload);
	pack_cstr(&map, "qos");
	pack_uint(&map, m.qos);
	pack_cstr(&map, "retain");
	pack_bool(&map, m.retain);
	if (m.to_client)
		pack_pair(&map, "client_id", m.client_id);
	r = ask(q, "mqtt.publish", &map, on_told);
	buf_fini(&map);
	return r;
}
