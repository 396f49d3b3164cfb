/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table: the argument of each hook, key for key as VerneMQ hands it to Lua
 * (PROTOCOL.md 4), as far as Mosquitto tells us. What is nil there is an
 * absent key here.
 */
#include "clients/mosquitto/plugin.h"
#include "clients/mosquitto/properties.h"
#include "proto/pack.h"

struct who who_of(const struct mosquitto *client)
{
	const char *id = mosquitto_client_id(client);
	const char *name = mosquitto_client_username(client);

	return (struct who){
		.client_id = slice_str(id ? id : ""),
		.username = slice_str(name ? name : ""),
		.named = name != NULL,
		.m5 = mosquitto_client_protocol_version(client) == 5,
	};
}

static void pair(struct buf *b, const char *key, struct slice text)
{
	pack_cstr(b, key);
	pack_text(b, text);
}

/* mountpoint, client_id and, if there is one, username; `more` pairs follow */
static struct buf *begin(struct plugin *p, const struct who *who, uint32_t more)
{
	struct buf *b = &p->table;

	buf_reset(b, 64 << 10);
	pack_map(b, 2 + who->named + more);
	pair(b, "mountpoint", slice_str(p->options.mountpoint));
	pair(b, "client_id", who->client_id);
	if (who->named)
		pair(b, "username", who->username);
	return b;
}

static void peer(struct buf *b, const struct mosquitto *client)
{
	const char *addr = mosquitto_client_address(client);

	pair(b, "addr", slice_str(addr ? addr : "undefined"));
	pack_cstr(b, "port"); /* of the peer: Mosquitto does not tell */
	pack_uint(b, 0);
#if MODERN
	pack_cstr(b, "listener_port");
	pack_int(b, mosquitto_client_port(client));
#endif
}

void table_login(struct plugin *p, enum hook hook,
		 const struct mosquitto *client, const char *password)
{
	bool asks = hook_table[hook].auth;
	struct who who = who_of(client);
	uint32_t more = 2 + MODERN + (uint32_t)who.m5;
	struct buf *b;

	if (asks)
		more += password ? 2 : 1;
	b = begin(p, &who, more);

	peer(b, client);
	if (asks) {
		pack_cstr(b, who.m5 ? "clean_start" : "clean_session");
		pack_bool(b, mosquitto_client_clean_session(client));
	}
	if (asks && password)
		pair(b, "password", slice_str(password));
	if (who.m5) {
		pack_cstr(b, "properties");
		pack_map(b, 0); /* Mosquitto shows none of CONNECT's */
	}
}

void table_auth(struct plugin *p, const struct mosquitto *client,
		const char *method, struct slice data)
{
	struct who who = who_of(client);
	struct buf *b = begin(p, &who, 1);

	pack_cstr(b, "properties");
	pack_map(b, 1 + (data.n > 0));
	pair(b, "p_authentication_method", slice_str(method));
	if (data.n)
		pair(b, "p_authentication_data", data);
}

void table_message(struct plugin *p, enum hook hook, const struct who *who,
		   const struct message *m)
{
	bool deliver = hook == HOOK_ON_DELIVER || hook == HOOK_ON_DELIVER_M5;
	bool props = who->m5 || deliver;
	struct who to = *who;
	struct buf *b;

	if (hook == HOOK_ON_OFFLINE_MESSAGE) {
		to.named = false;
		props = false;
	}
	b = begin(p, &to, 4 + props);
	pack_cstr(b, "qos");
	pack_uint(b, m->qos);
	pair(b, "topic", slice_str(m->topic));
	pack_cstr(b, "payload");
	pack_bin(b, slice_of(m->payload, m->payload ? m->n : 0));
	pack_cstr(b, "retain");
	pack_bool(b, m->retain);
	if (props) {
		pack_cstr(b, "properties");
		properties_pack(b, m->properties);
	}
}

/* MQTT 5: {qos, {no_local=, rap=, retain_handling=}} */
static void sub_options(struct buf *b, uint8_t qos, int options)
{
	static const char *const handling[] = {"send_retain", "send_if_new_sub",
					       "dont_send", "dont_send"};

	pack_array(b, 2);
	pack_uint(b, qos);
	pack_map(b, options < 0 ? 0 : 3);
	if (options < 0)
		return;
	pack_cstr(b, "no_local");
	pack_bool(b, options & MQTT_SUB_OPT_NO_LOCAL);
	pack_cstr(b, "rap");
	pack_bool(b, options & MQTT_SUB_OPT_RETAIN_AS_PUBLISHED);
	pack_cstr(b, "retain_handling");
	pack_cstr(b, handling[options >> 4 & 3]);
}

void table_subscribe(struct plugin *p, const struct who *who, const char *topic,
		     uint8_t qos, int options)
{
	struct buf *b = begin(p, who, 1 + who->m5);

	pack_cstr(b, "topics");
	pack_array(b, 1);
	pack_array(b, 2);
	pack_text(b, slice_str(topic));
	if (!who->m5) {
		pack_uint(b, qos);
		return;
	}
	sub_options(b, qos, options);
	pack_cstr(b, "properties");
	pack_map(b, 0);
}

void table_unsubscribe(struct plugin *p, const struct who *who,
		       const char *topic)
{
	struct buf *b = begin(p, who, 1 + who->m5);

	pack_cstr(b, "topics");
	pack_array(b, 1);
	pack_text(b, slice_str(topic));
	if (who->m5) {
		pack_cstr(b, "properties");
		pack_map(b, 0);
	}
}

void table_session(struct plugin *p, struct slice client_id)
{
	struct who who = {.client_id = client_id};

	begin(p, &who, 0);
}

void table_refresh(struct plugin *p, struct slice client_id, unsigned ended)
{
	struct who who = {.client_id = client_id};
	struct buf *b = begin(p, &who, ended > 0);

	if (ended == 0)
		return;
	pack_cstr(b, "ended");
	pack_uint(b, ended);
}
