/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands: what pinfold asks of this broker: mqtt.disconnect, mqtt.publish,
 * mqtt.reauthorize. They may arrive while Mosquitto waits for a hook's answer,
 * so they are answered at once, from our own table of clients, and carried
 * out at the next tick, when calling Mosquitto is safe.
 */
#include <stdlib.h>

#include "clients/mosquitto/plugin.h"
#include "proto/pack.h"

enum {
	COMMANDS_MOST = 4096,
	COMMANDS_BYTES = 32 << 20,
	ASK_AT_ONCE = 16, /* filters of a reauthorize in one tick */
};

struct command {
	struct list node;
	bool publish;	 /* else reauthorize */
	char *client_id; /* publish: may be NULL */
	char *topic;
	struct buf bytes; /* payload; reauthorize: username */
	uint8_t qos;
	bool retain;
	size_t next; /* reauthorize: the filter to ask about */
};

static void command_free(struct plugin *p, struct command *it)
{
	list_remove(&it->node);
	p->ncommands--;
	p->command_bytes -= it->bytes.n;
	buf_fini(&it->bytes);
	free(it->client_id);
	free(it->topic);
	free(it);
}

void commands_init(struct plugin *p)
{
	list_init(&p->commands);
}

void commands_fini(struct plugin *p)
{
	struct list *node;

	while ((node = list_first(&p->commands)))
		command_free(p, container_of(node, struct command, node));
}

/* ---- requests --------------------------------------------------------------
 */

static struct slice text(struct slice map, const char *key)
{
	struct slice s;
	struct cursor c;

	if (!modifier_find(map, key, &c))
		return slice_of(NULL, 0);
	s = cursor_text(&c);
	return c.error ? slice_of(NULL, 0) : s;
}

/* NULL: no memory, or a NUL within. */
static char *copied(struct slice s)
{
	if (s.n == 0 || memchr(s.p, 0, s.n))
		return s.n ? NULL : strdup("");
	return strndup((const char *)s.p, s.n);
}

static struct session *target(struct plugin *p, struct slice map)
{
	struct session *it =
		session_of_id(&p->sessions, text(map, "client_id"));

	if (!it || !slice_is(text(map, "mountpoint"), p->options.mountpoint))
		return NULL;
	return it;
}

static bool is_online(const struct session *it)
{
	if (it->state == SESSION_NEW)
		return !it->auth_method && !it->waiting;
	return it->state == SESSION_ONLINE;
}

static const char *ask_disconnect(struct plugin *p, struct slice map)
{
	struct session *it = target(p, map);

	/* one that is logging in is not there yet: its predecessor is meant */
	if (it && !is_online(it) && it->state == SESSION_NEW)
		it = session_older(it);
	if (!it || !is_online(it))
		return "not_found";
	commands_kick(p, it);
	return "ok";
}

static struct command *queued(struct plugin *p, struct slice bytes)
{
	struct command *it;

	if (p->ncommands == COMMANDS_MOST ||
	    p->command_bytes + bytes.n > COMMANDS_BYTES)
		return NULL;
	it = calloc(1, sizeof(*it));
	if (!it)
		return NULL;
	list_push(&p->commands, &it->node);
	p->ncommands++;
	buf_add_slice(&it->bytes, bytes);
	p->command_bytes += it->bytes.n;
	return it;
}

/* NULL: there is no room. */
static const char *ask_publish(struct plugin *p, struct slice map)
{
	struct slice topic = text(map, "topic"), id = text(map, "client_id");
	struct session *to = id.n ? session_of_id(&p->sessions, id) : NULL;
	struct command *it;
	struct cursor c;

	if (topic.n == 0 || topic.n > UINT16_MAX ||
	    memchr(topic.p, 0, topic.n) || !slice_is_utf8(topic) ||
	    mosquitto_pub_topic_check2((const char *)topic.p, topic.n))
		return "not_found";
	if (id.n && (!to || !is_online(to)))
		return "not_found";
	it = queued(p, text(map, "payload"));
	if (!it)
		return NULL;
	it->publish = true;
	if (modifier_find(map, "qos", &c))
		it->qos = (uint8_t)cursor_uint(&c) % 3;
	if (modifier_find(map, "retain", &c))
		it->retain = cursor_bool(&c);
	it->topic = copied(topic);
	it->client_id = id.n ? copied(id) : NULL;
	if (it->topic && (it->client_id || !id.n) && !buf_error(&it->bytes))
		return "ok";
	command_free(p, it);
	return NULL;
}

static const char *ask_reauthorize(struct plugin *p, struct slice map)
{
	struct command *it;

	if (!target(p, map))
		return "ok";
	it = queued(p, text(map, "username"));
	if (!it)
		return NULL;
	it->client_id = copied(text(map, "client_id"));
	if (it->client_id && !buf_error(&it->bytes))
		return "ok";
	command_free(p, it);
	return NULL;
}

void commands_request(struct plugin *p, struct pf_client *c,
		      const struct pf_item *item)
{
	struct slice map = item->params.packed;
	const char *word = NULL;
	struct buf b = {0};
	int rc;

	if (slice_is(item->method, "mqtt.disconnect"))
		word = ask_disconnect(p, map);
	else if (slice_is(item->method, "mqtt.publish"))
		word = ask_publish(p, map);
	else if (slice_is(item->method, "mqtt.reauthorize"))
		word = ask_reauthorize(p, map);
	else {
		rc = pf_refuse(c, item->id, CODE_UNKNOWN_METHOD,
			       "not known here");
		(void)rc;
		return;
	}
	if (word) {
		pack_cstr(&b, word);
		rc = pf_answer(c, item->id, buf_slice(&b));
		buf_fini(&b);
	} else {
		rc = pf_refuse(c, item->id, CODE_OVERLOADED,
			       "too many commands wait");
	}
	(void)rc; /* it does not come through: the asker's deadline tells */
}

/* ---- carried out at the tick ------------------------------------------------
 */

void commands_kick(struct plugin *p, struct session *it)
{
	list_remove(&it->kick);
	list_push(&p->sessions.kicks, &it->kick);
}

/* Whoever has the client id now must be the one who was meant. */
static void kick(struct plugin *p, struct session *it)
{
	struct slice id = slice_str(it->client_id);

	if (is_online(it) && session_of_id(&p->sessions, id) == it)
		(void)mosquitto_kick_client_by_clientid(it->client_id, true);
}

static void publish(struct command *it)
{
	int rc = mosquitto_broker_publish_copy(
		it->client_id, it->topic, (int)it->bytes.n,
		it->bytes.n ? (const void *)it->bytes.p : "", it->qos,
		it->retain, NULL);

	if (rc != MOSQ_ERR_SUCCESS)
		plugin_log(true, "a publish of a script failed: %d", rc);
}

/* Ask about some of a session's filters again. True: all are done. */
static bool reauthorize(struct plugin *p, struct command *cmd)
{
	struct session *it =
		session_of_id(&p->sessions, slice_str(cmd->client_id));
	struct who who;

	if (!it || it->state == SESSION_ENDED)
		return true;
	/* not asked of Mosquitto: an offline session's pointer may be dead */
	who = (struct who){
		.client_id = slice_str(it->client_id),
		.username = buf_slice(&cmd->bytes),
		.named = true,
		.m5 = it->version == 5,
	};
	for (int n = 0; n < ASK_AT_ONCE && cmd->next < it->filters.n; n++) {
		const struct filter *f = &it->filters.v[cmd->next];
		struct slice mods;
		bool yes = !f->ours ||
			   subscribe_decide(p, &who, f->topic, f->qos, &mods) ==
				   MOSQ_ERR_SUCCESS;

		filters_revoke(&it->filters, cmd->next++, !yes);
	}
	return cmd->next >= it->filters.n;
}

void commands_run(struct plugin *p)
{
	struct list *node;
	size_t n = p->ncommands; /* those that come meanwhile: next time */

	while ((node = list_first(&p->sessions.kicks))) {
		list_remove(node);
		kick(p, container_of(node, struct session, kick));
	}
	while (n-- > 0 && (node = list_first(&p->commands))) {
		struct command *it = container_of(node, struct command, node);

		if (it->publish) {
			publish(it);
		} else if (!reauthorize(p, it)) {
			list_remove(&it->node);
			list_push(&p->commands, &it->node);
			continue;
		}
		command_free(p, it);
	}
}
