/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mqtt_client: one struct ask per question to all MQTT brokers, with a
 * client_question for each of them. The first "ok" answers it; who is slower
 * is waited for all the same, since the questions lie in this memory.
 */
#include "broker/mqtt_client.h"

#include <stdlib.h>

#include "lib/log.h"
#include "proto/pack.h"
#include "proto/unpack.h"

enum { MAX_BACKLOG = 1 << 20 }; /* of notifications that can be done without */

static bool listens(const struct client *c)
{
	return c->hello && c->mqtt && !c->gone && !c->half;
}

/* ---- what they are told ------------------------------------------------ */

static void tell_drop(struct client *c, struct slice mountpoint,
		      struct slice client_id)
{
	struct buf *out = link_out(&c->link);

	rpc_notification(out, "acl.drop", 1);
	pack_map(out, 2);
	pack_cstr(out, "mountpoint");
	pack_text(out, mountpoint);
	pack_cstr(out, "client_id");
	pack_text(out, client_id);
}

/* A ttl begins when the entry arrives, so it is what is left of it. */
static void pack_entry(struct buf *out, const struct acl *entry, uint64_t ttl)
{
	struct cursor c = cursor_of(acl_bytes(entry));
	uint32_t n = cursor_map(&c);

	pack_map(out, n);
	while (n-- > 0) {
		struct slice key = cursor_text(&c);
		struct slice value = cursor_raw(&c);

		pack_text(out, key);
		if (slice_is(key, "ttl_ms"))
			pack_uint(out, ttl);
		else
			pack_raw(out, value);
	}
}

/* It holds a copy for speed only: without one it asks. */
static void tell_entry(struct client *c, const struct acl *entry, uint64_t ttl,
		       bool replaced)
{
	struct buf *out;

	if (c->link.out.n + c->link.sending.n <= MAX_BACKLOG) {
		out = link_out(&c->link);
		rpc_notification(out, "acl", 1);
		pack_entry(out, entry, ttl);
	} else if (replaced) {
		tell_drop(c, acl_mountpoint(entry), acl_client_id(entry));
	}
}

static void on_entry(void *arg, const struct acl *entry,
		     const struct event *asker, bool replaced)
{
	struct mqtt_clients *mc = arg;

	list_each(node, next, &mc->house->clients)
	{
		struct client *c = container_of(node, struct client, node);

		if (!listens(c) || (asker && asker->client == c))
			continue;
		/* The client is the asker's: others have an older copy, or
		 * none and no use for one. */
		if (!asker || replaced)
			tell_entry(c, entry, acl_ttl_ms(entry), replaced);
	}
}

static void on_drop(void *arg, struct slice mountpoint, struct slice client_id)
{
	struct mqtt_clients *mc = arg;

	list_each(node, next, &mc->house->clients)
	{
		struct client *c = container_of(node, struct client, node);

		if (listens(c))
			tell_drop(c, mountpoint, client_id);
	}
}

static void on_clear(void *arg)
{
	struct mqtt_clients *mc = arg;

	list_each(node, next, &mc->house->clients)
	{
		struct client *c = container_of(node, struct client, node);
		struct buf *out;

		if (!listens(c))
			continue;
		out = link_out(&c->link);
		rpc_notification(out, "acl.drop", 1);
		pack_map(out, 1);
		pack_cstr(out, "all");
		pack_bool(out, true);
	}
}

/* ---- what they ask ----------------------------------------------------- */

/* {mountpoint, client_id, ended?} */
struct refresh {
	struct slice mountpoint, client_id;
	uint64_t ended;
};

static bool read_refresh(const struct rpc *rpc, struct refresh *out)
{
	struct cursor params = cursor_of(rpc->params), at;
	struct slice map, mountpoint, client_id, ended;

	*out = (struct refresh){0};
	if (cursor_array(&params) == 0)
		return false;
	map = cursor_raw(&params);
	if (params.error || !map_find(map, "mountpoint", &mountpoint) ||
	    !map_find(map, "client_id", &client_id))
		return false;
	at = cursor_of(mountpoint);
	out->mountpoint = cursor_text(&at);
	if (at.error)
		return false;
	at = cursor_of(client_id);
	out->client_id = cursor_text(&at);
	if (at.error || !map_find(map, "ended", &ended))
		return !at.error;
	at = cursor_of(ended);
	out->ended = cursor_uint(&at);
	return !at.error;
}

bool mqtt_clients_hear(struct mqtt_clients *mc, struct client *c,
		       const struct rpc *rpc)
{
	struct auth_cache_row row;
	struct auth_cache *cache;
	struct refresh r;

	if (!slice_is(rpc->method, "acl.refresh"))
		return false;
	if (!mc->house || !listens(c) || !read_refresh(rpc, &r)) {
		log_debug("mqtt", "acl.refresh ignored: malformed, or its "
				  "client has not the cap mqtt");
		return true;
	}
	cache = mc->mqtt->cache;
	while (r.ended-- > 0 &&
	       auth_cache_remove_oldest(cache, r.mountpoint, r.client_id))
		;
	if (auth_cache_row(cache, r.mountpoint, r.client_id, &row))
		tell_entry(c, row.acl, row.left_ms, true);
	else
		tell_drop(c, r.mountpoint, r.client_id);
	return true;
}

/* ---- what they are asked ----------------------------------------------- */

struct ask {
	struct list node;
	struct mqtt_clients *mc;
	struct wheel_timer timer;
	void (*done)(void *arg, enum mqtt_told told); /* NULL: was called */
	void *arg;
	size_t waiting; /* answers that may still come */
	size_t n;
	struct question {
		struct client_question q;
		struct ask *ask; /* NULL: answered */
	} questions[];
};

static void conclude(struct ask *a, enum mqtt_told told)
{
	void (*done)(void *arg, enum mqtt_told told) = a->done;

	a->done = NULL;
	if (done)
		done(a->arg, told);
}

static void free_ask(struct ask *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->questions[i].ask)
			client_forget(&a->questions[i].q);
	wheel_stop(&a->timer);
	list_remove(&a->node);
	a->mc->nasks--;
	free(a);
}

static void on_time(struct wheel_timer *t)
{
	struct ask *a = container_of(t, struct ask, timer);

	log_warn("mqtt",
		 "%zu of %zu MQTT brokers did not answer a command in %d ms",
		 a->waiting, a->n, MQTT_ASK_MS);
	conclude(a, MQTT_SILENT);
	free_ask(a);
}

static bool says_ok(const struct rpc *answer)
{
	struct cursor c;

	if (!answer || answer->failed)
		return false;
	c = cursor_of(answer->result);
	return slice_is(cursor_text(&c), "ok") && !c.error;
}

static void on_answer(struct client_question *q, const struct rpc *answer)
{
	struct question *mine = container_of(q, struct question, q);
	struct ask *a = mine->ask;

	mine->ask = NULL;
	a->waiting--;
	if (says_ok(answer))
		conclude(a, MQTT_OK);
	if (a->waiting > 0)
		return;
	conclude(a, MQTT_REFUSED);
	free_ask(a);
}

static size_t count(const struct mqtt_clients *mc)
{
	size_t n = 0;

	list_each(node, next, &mc->house->clients) n +=
		listens(container_of(node, struct client, node));
	return n;
}

static void ask_all(struct ask *a, const char *method, struct slice map)
{
	list_each(node, next, &a->mc->house->clients)
	{
		struct client *c = container_of(node, struct client, node);
		struct question *mine = &a->questions[a->n];
		struct buf *out;

		if (!listens(c))
			continue;
		mine->ask = a;
		mine->q.on_answer = on_answer;
		client_ask(c, &mine->q, method, 1, &out);
		pack_raw(out, map);
		a->n++;
		a->waiting++;
	}
}

void mqtt_clients_ask(struct mqtt_clients *mc, const char *method,
		      struct slice map,
		      void (*done)(void *arg, enum mqtt_told told), void *arg)
{
	size_t n = mc->house ? count(mc) : 0;
	struct ask *a;

	if (n == 0) {
		done(arg, MQTT_NONE);
		return;
	}
	a = mc->nasks < MQTT_ASKS
		    ? calloc(1, sizeof(*a) + n * sizeof(a->questions[0]))
		    : NULL;
	if (!a) {
		done(arg, MQTT_BUSY);
		return;
	}
	*a = (struct ask){.mc = mc, .done = done, .arg = arg};
	list_push(&mc->asks, &a->node);
	mc->nasks++;
	wheel_timer_init(&a->timer, on_time);
	wheel_start(mc->house->wheel, &a->timer, MQTT_ASK_MS);
	ask_all(a, method, map);
}

/* ---- life -------------------------------------------------------------- */

void mqtt_clients_open(struct mqtt_clients *mc, struct client_house *house,
		       struct mqtt *mqtt)
{
	static const struct mqtt_ops ops = {on_entry, on_drop, on_clear};

	*mc = (struct mqtt_clients){.house = house, .mqtt = mqtt};
	list_init(&mc->asks);
	mqtt->ops = &ops;
	mqtt->arg = mc;
}

void mqtt_clients_close(struct mqtt_clients *mc)
{
	struct list *node;

	if (!mc->house)
		return;
	while ((node = list_first(&mc->asks))) {
		struct ask *a = container_of(node, struct ask, node);

		conclude(a, MQTT_SILENT);
		free_ask(a);
	}
	mc->house = NULL;
}
