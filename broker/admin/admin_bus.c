/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_bus: subscriptions of clients, to the bus and to the log.
 */
#include <stdlib.h>

#include "broker/admin/admin.h"
#include "lib/log.h"
#include "proto/pack.h"

enum { MAX_NAMES = 64, MAX_SUBSCRIPTIONS = 16, BACKLOG = 1 << 20 };

struct subscription {
	struct list node; /* of the client */
	struct client *client;
	struct bus_sub *sub;
	struct wheel_timer again;
};

static void on_again(struct wheel_timer *t)
{
	bus_resume(container_of(t, struct subscription, again)->sub);
}

/* A client that reads slowly is offered the same event a little later. */
static int on_event(void *arg, const struct bus_event *e)
{
	struct subscription *s = arg;
	struct link *link = &s->client->link;
	struct buf *out;

	if (link_backlog(link) > BACKLOG) {
		wheel_start(link->wheel, &s->again, 20);
		return ERR_FULL;
	}
	out = link_out(link);
	rpc_notification(out, "bus.event", 1);
	bus_pack(out, e);
	return OK;
}

/* {names=[...], from="new"|seq}; both may be absent. */
static int read_filter(struct slice map, struct slice names[MAX_NAMES],
		       struct bus_filter *filter)
{
	struct slice value;
	struct cursor c;
	uint32_t n;

	names[0] = slice_str("*");
	*filter = (struct bus_filter){.names = names, .n = 1};
	if (map_find(map, "names", &value)) {
		c = cursor_of(value);
		n = cursor_array(&c);
		if (n > MAX_NAMES)
			return ERR_RANGE;
		for (uint32_t i = 0; i < n; i++)
			names[i] = cursor_text(&c);
		filter->n = n;
		if (c.error)
			return ERR_TYPE;
	}
	if (map_find(map, "from", &value)) {
		c = cursor_of(value);
		if (cursor_peek(&c) == CURSOR_INT) {
			/* numbers begin with 1; 0 is everything kept */
			filter->from = cursor_uint(&c);
			filter->from += filter->from == 0;
		} else if (!slice_is(cursor_text(&c), "new"))
			return ERR_TYPE;
		return c.error;
	}
	return OK;
}

static size_t count(const struct list *head)
{
	size_t n = 0;

	list_each(node, next, (struct list *)(uintptr_t)head) n++;
	return n;
}

void admin_bus_subscribe(struct admin_call *a)
{
	struct slice map = {0}, names[MAX_NAMES];
	struct bus_filter filter;
	struct subscription *s;

	if (a->nargs > 0)
		map = cursor_raw(&a->args);
	if (read_filter(map, names, &filter) < 0) {
		admin_refuse(a, CODE_BAD_EVENT,
			     "bus.subscribe [{names=[...], from=\"new\"|seq}]");
		return;
	}
	s = count(&a->client->subscriptions) < MAX_SUBSCRIPTIONS
		    ? calloc(1, sizeof(*s))
		    : NULL;
	if (!s || bus_subscribe(a->broker->calls.bus, &filter, on_event, s,
				&s->sub) < 0) {
		free(s);
		admin_refuse(a, CODE_OVERLOADED, "too many subscriptions");
		return;
	}
	s->client = a->client;
	wheel_timer_init(&s->again, on_again);
	list_push(&a->client->subscriptions, &s->node);
	pack_bool(admin_answer(a), true);
}

/* ---- the log ----------------------------------------------------------- */

struct log_tap {
	enum log_level least;
	char script[CONF_NAME_MAX + 1]; /* empty: all lines */
};

static bool is_end(uint8_t c)
{
	return c <= ' ' || c == '"' || c == ',' || c == '}';
}

/* Has the line that key with that value, in either format of the log? */
static bool has(struct slice line, const char *key, const char *value)
{
	size_t n = strlen(key), m = strlen(value), k;

	for (size_t i = 1; i + n + m + 1 < line.n; i++) {
		if (memcmp(line.p + i, key, n) != 0 || line.p[i - 1] == '.')
			continue;
		k = i + n;
		if (line.p[k] == '"' && line.p[k + 1] == ':')
			k += 2;
		else if (line.p[k] == '=')
			k += 1;
		else
			continue;
		k += k < line.n && line.p[k] == '"';
		if (k + m < line.n && memcmp(line.p + k, value, m) == 0 &&
		    is_end(line.p[k + m]))
			return true;
	}
	return false;
}

/* Every line goes to every client that asked; a slow one misses some. */
static void on_line(void *arg, enum log_level level, struct slice line)
{
	struct broker *b = arg;

	list_each(node, next, &b->clients.clients)
	{
		struct client *c = container_of(node, struct client, node);
		struct log_tap *tap = c->tap;
		struct buf *out;

		if (!tap || c->gone || level < tap->least ||
		    link_backlog(&c->link) > BACKLOG)
			continue;
		if (*tap->script && !has(line, "script", tap->script))
			continue;
		out = link_out(&c->link);
		rpc_notification(out, "log", 1);
		pack_text(out, slice_of(line.p, line.n - 1));
	}
}

static int read_script(struct slice value, char out[CONF_NAME_MAX + 1])
{
	struct cursor c = cursor_of(value);
	struct slice name = cursor_text(&c);

	if (c.error || name.n > CONF_NAME_MAX ||
	    (name.n && memchr(name.p, 0, name.n)))
		return ERR_TYPE;
	if (name.n)
		memcpy(out, name.p, name.n);
	return OK;
}

void admin_log_subscribe(struct admin_call *a)
{
	struct slice map = {0}, value;
	struct log_tap *tap = calloc(1, sizeof(*tap));
	int level = LOG_INFO;

	if (a->nargs > 0)
		map = cursor_raw(&a->args);
	if (map_find(map, "level", &value)) {
		struct cursor c = cursor_of(value);

		level = log_level_parse(cursor_text(&c));
	}
	if (tap && map_find(map, "script", &value) &&
	    read_script(value, tap->script) < 0)
		level = ERR_TYPE;
	if (!tap || level < 0) {
		free(tap);
		admin_refuse(a, tap ? CODE_BAD_EVENT : CODE_OVERLOADED,
			     "log.subscribe [{level, script}]");
		return;
	}
	free(a->client->tap);
	tap->least = (enum log_level)level;
	a->client->tap = tap;
	log_tap(on_line, a->broker);
	pack_bool(admin_answer(a), true);
}

void admin_forget(struct client *c)
{
	struct list *node;

	while ((node = list_pop(&c->subscriptions))) {
		struct subscription *s =
			container_of(node, struct subscription, node);

		wheel_stop(&s->again);
		bus_unsubscribe(s->sub);
		free(s);
	}
	free(c->tap);
	c->tap = NULL;
}
