/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modifiers: what a script answered instead of a plain yes. pinfoldd has
 * checked names and types; here is decided what this Mosquitto can do.
 *
 * Three fates: applied; left aside, because the client then gets no more than
 * the script meant to give (logged once); refused with the client, because
 * going on without would give it more (plugin_opt_unmapped_modifiers). The
 * table of them is in docs/mosquitto.md.
 */
#include <stdlib.h>

#include "clients/mosquitto/plugin.h"

enum apply {
	IGNORED, /* harmless */
	USERNAME,
	SUBSCRIBER,
	REGISTER,  /* allow_register */
	PUBLISH,   /* allow_publish, kept with the session */
	SUBSCRIBE, /* allow_subscribe */
	UNSUBSCRIBE,
	ELSEWHERE, /* of other hooks: only for the log's memory */
};

struct row {
	const char *name;
	enum apply apply;
};

static const struct row rows[] = {
	{"username", USERNAME},
	{"subscriber_id", SUBSCRIBER},
	{"allow_register", REGISTER},
	{"allow_publish", PUBLISH},
	{"allow_subscribe", SUBSCRIBE},
	{"allow_unsubscribe", UNSUBSCRIBE},
	{"clean_session", IGNORED},
	{"upgrade_qos", IGNORED},
	{"max_message_size", IGNORED},
	{"max_connection_lifetime", IGNORED},
	{"max_message_rate", IGNORED},
	{"max_inflight_messages", IGNORED},
	{"retry_interval", IGNORED},
	{"max_online_messages", IGNORED},
	{"max_offline_messages", IGNORED},
	{"max_drain_time", IGNORED},
	{"max_msgs_per_drain_step", IGNORED},
	{"shared_subscription_policy", IGNORED},
	{"queue_type", IGNORED},
	{"properties", IGNORED},
	{"throttle", ELSEWHERE},
	{"qos", ELSEWHERE},
	{"mountpoint", ELSEWHERE},
	{"topics", ELSEWHERE},
	{"topic, payload or retain of a will", ELSEWHERE},
	{"on_deliver", ELSEWHERE},
	{"on_unsubscribe", ELSEWHERE},
	{"p_message_expiry_interval", ELSEWHERE},
	{"p_will_delay_interval", ELSEWHERE},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const struct row *row_of(struct slice name)
{
	for (int i = 0; i < ROWS; i++)
		if (slice_is(name, rows[i].name))
			return &rows[i];
	return NULL;
}

/* Say it the first time only; refusals and the rest apart. */
static void tell(struct plugin *p, const char *name, bool refused)
{
	const struct row *row = row_of(slice_str(name));
	uint64_t bit = (uint64_t)1 << (row ? row - rows : ROWS);

	if (refused)
		bit <<= ROWS + 1;
	if (p->told_mods & bit)
		return;
	p->told_mods |= bit;
	plugin_log(true,
		   "modifier %s: this Mosquitto cannot do that; %s (said once)",
		   name, refused ? "refused" : "ignored");
}

_Static_assert(2 * (ROWS + 1) <= 64, "told_mods has a bit for each");

bool modifier_refused(struct plugin *p, const char *name)
{
	tell(p, name, !p->options.ignore_mods);
	return p->options.ignore_mods;
}

void modifier_ignored(struct plugin *p, const char *name)
{
	tell(p, name, false);
}

bool modifier_find(struct slice mods, const char *name, struct cursor *out)
{
	struct slice raw;

	if (mods.n == 0 || !map_find(mods, name, &raw))
		return false;
	*out = cursor_of(raw);
	return true;
}

/* A copy with a NUL behind it; NULL: it has one within, or no memory. */
static char *text_of(struct cursor *c)
{
	struct slice s = cursor_text(c);

	if (c->error || (s.n && memchr(s.p, 0, s.n)))
		return NULL;
	return s.n ? strndup((const char *)s.p, s.n) : strdup("");
}

static bool set_username(struct mosquitto *client, struct cursor *c)
{
	const char *now = client ? mosquitto_client_username(client) : NULL;
	char *name = text_of(c);
	bool ok = name && name[0];

	if (ok && client && (!now || strcmp(now, name) != 0))
		ok = mosquitto_set_username(client, name) == MOSQ_ERR_SUCCESS;
	free(name);
	return ok;
}

static bool set_client_id(struct plugin *p, struct mosquitto *client,
			  struct cursor *c)
{
#if MODERN
	char *id;
	bool ok;

	if (!client) /* a delayed login is completed under the old one */
		return modifier_refused(p, "subscriber_id");
	id = text_of(c);
	ok = id && mosquitto_set_clientid(client, id) == MOSQ_ERR_SUCCESS;
	free(id);
	return ok;
#else
	(void)client;
	(void)c;
	return modifier_refused(p, "subscriber_id");
#endif
}

static bool set_subscriber(struct plugin *p, struct mosquitto *client,
			   const char *now, struct slice id)
{
	struct cursor c;

	if (!modifier_find(id, "mountpoint", &c))
		return false;
	if (!slice_is(cursor_text(&c), p->options.mountpoint) &&
	    !modifier_refused(p, "subscriber_id"))
		return false;
	if (!modifier_find(id, "client_id", &c))
		return false;
	if (slice_is(cursor_text(&c), now))
		return true;
	(void)modifier_find(id, "client_id", &c);
	return set_client_id(p, client, &c);
}

static bool apply(struct plugin *p, struct mosquitto *client,
		  struct session *it, const struct row *row, struct slice value)
{
	struct cursor c = cursor_of(value);

	switch (row->apply) {
	case USERNAME:
		return set_username(client, &c);
	case SUBSCRIBER:
		return set_subscriber(p, client, it->client_id, value);
	case REGISTER:
		return cursor_bool(&c);
	case PUBLISH:
		it->no_publish = !cursor_bool(&c);
		return true;
	case SUBSCRIBE:
		it->no_subscribe = !cursor_bool(&c);
		return true;
	case UNSUBSCRIBE:
		it->no_unsubscribe = !cursor_bool(&c);
		return true;
	default:
		modifier_ignored(p, row->name);
		return true;
	}
}

bool modify_login(struct plugin *p, struct mosquitto *client,
		  struct session *it, struct slice mods)
{
	struct cursor c = cursor_of(mods);
	uint32_t n = mods.n ? cursor_map(&c) : 0;

	while (n-- > 0 && !c.error) {
		const struct row *row = row_of(cursor_text(&c));
		struct slice value = cursor_raw(&c);

		if (!row || c.error || !apply(p, client, it, row, value))
			return false;
	}
	return !c.error;
}

bool modify_publish_allowed(struct plugin *p, struct slice mods, uint8_t qos,
			    bool fixed)
{
	struct cursor c;

	if (mods.n == 0)
		return true;
	c = cursor_of(mods);
	if (cursor_peek(&c) != CURSOR_MAP)
		return false;
	if (modifier_find(mods, "qos", &c) && cursor_uint(&c) != qos &&
	    !modifier_refused(p, "qos"))
		return false;
	if (modifier_find(mods, "mountpoint", &c) &&
	    !slice_is(cursor_text(&c), p->options.mountpoint) &&
	    !modifier_refused(p, "mountpoint"))
		return false;
	if (modifier_find(mods, "throttle", &c))
		modifier_ignored(p, "throttle");
	if (fixed && (modifier_find(mods, "topic", &c) ||
		      modifier_find(mods, "payload", &c) ||
		      modifier_find(mods, "retain", &c) ||
		      modifier_find(mods, "properties", &c)))
		return modifier_refused(p,
					"topic, payload or retain of a will");
	return true;
}

/* {topic, qos} or {topic, {qos, {...}}}: 1 the same, 0 another, -1 refused */
static int same_filter(struct cursor *c, const char *topic, uint8_t qos)
{
	struct slice name;
	uint64_t given;

	if (cursor_array(c) < 2)
		return -1;
	name = cursor_text(c);
	if (cursor_peek(c) == CURSOR_ARRAY) {
		bool more = cursor_array(c) > 1;

		given = cursor_uint(c);
		if (more && !c->error && cursor_peek(c) == CURSOR_MAP &&
		    cursor_map(c) > 0)
			return given >= 128 ? -1 : 0;
	} else {
		given = cursor_uint(c);
	}
	if (c->error || given >= 128)
		return -1;
	return slice_is(name, topic) && given == qos;
}

struct slice modify_subscribe_only(struct slice mods)
{
	struct cursor c = cursor_of(mods);

	if (mods.n == 0)
		return mods;
	if (cursor_peek(&c) == CURSOR_MAP && !modifier_find(mods, "topics", &c))
		return slice_of(NULL, 0);
	return cursor_array(&c) == 1 ? cursor_raw(&c) : slice_of(NULL, 0);
}

bool modify_subscribe_fit(struct slice mods)
{
	struct cursor c = cursor_of(modify_subscribe_only(mods));

	if (cursor_array(&c) < 2)
		return false;
	cursor_skip(&c);
	if (cursor_peek(&c) == CURSOR_ARRAY && cursor_array(&c) == 0)
		return false;
	return cursor_uint(&c) <= 2 && !c.error;
}

bool modify_subscribe_same(struct plugin *p, struct slice mods, bool m5,
			   const char *topic, uint8_t qos)
{
	struct cursor c = cursor_of(mods);
	int same = 0;

	if (mods.n == 0)
		return true;
	if (cursor_peek(&c) == CURSOR_MAP &&
	    !modifier_find(mods, "topics", &c)) /* {}: of nothing */
		return m5 && cursor_map(&c) == 0;
	if (cursor_array(&c) == 1)
		same = same_filter(&c, topic, qos);
	if (same < 0)
		return false;
	return same || modifier_refused(p, "topics");
}
