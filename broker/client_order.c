/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_order: the first event of an id stands in the client's map, and the
 * others in its list of followers.
 */
#include "broker/client_order.h"

#include "broker/mqtt.h"

bool client_enter(struct client *c, struct event *ev)
{
	struct event *first;

	if (!ev->id.n)
		return true;
	first = map_get(&c->order, ev->id);
	if (first) {
		list_push(&first->followers, &ev->waiting);
		return false;
	}
	if (map_put(&c->order, ev->id, ev, NULL) < 0)
		ev->id.n = 0; /* no memory: unordered is better than lost */
	return true;
}

/* The auth cache goes before any script. */
static void start_one(struct client *c, struct event *ev)
{
	struct mqtt *mqtt = c->house->mqtt;

	if (mqtt && hook_table[ev->hook].dialect == DIALECT_MQTT &&
	    mqtt_answer_cached(mqtt, ev->hook, ev->map, &ev->ops)) {
		ev->finish = true;
		wheel_stop(&ev->deadline);
		if (!ev->answered)
			ev->answer(ev);
		ev->done(ev);
		return;
	}
	chain_start(ev);
}

/* One that ends at once makes the next one due: that is started from here, not
 * from within, since thousands may wait. */
void client_start(struct client *c, struct event *ev)
{
	struct list *node;

	list_push(&c->due, &ev->waiting);
	if (c->starting)
		return;
	c->starting = true;
	client_hold(c);
	while ((node = list_pop(&c->due)))
		start_one(c, container_of(node, struct event, waiting));
	c->starting = false;
	client_release(c);
}

void client_leave(struct client *c, struct event *ev)
{
	struct list *node;
	struct event *heir;

	if (!ev->id.n)
		return;
	map_del(&c->order, ev->id);
	node = list_pop(&ev->followers);
	if (!node)
		return;
	heir = container_of(node, struct event, waiting);
	list_splice(&heir->followers, &ev->followers);
	if (map_put(&c->order, heir->id, heir, NULL) < 0)
		must(!"a slot was just freed");
	client_start(c, heir);
}
