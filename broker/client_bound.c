/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_bound: see client_bound.h. The sums are kept as things happen; only
 * when one is too large are all clients looked at.
 */
#include "broker/client_bound.h"

/* ---- answers that are not read ----------------------------------------- */

static void note_unread(struct client *c, size_t n)
{
	c->house->unread += n - c->unread;
	c->unread = n;
}

/*
 * Each may have its backlog, all of them only so much: who has most does not
 * read. What one has is noted when it is answered, so the sum may be too high:
 * looked at anew before anybody is cut off.
 */
static void bound_unread(struct client_house *house)
{
	struct client *most = NULL;

	if (house->unread <= CLIENT_UNREAD)
		return;
	list_each(node, next, &house->clients)
	{
		struct client *c = container_of(node, struct client, node);

		note_unread(c, c->gone || c->link.overrun
				       ? 0
				       : link_backlog(&c->link));
		if (!most || c->unread > most->unread)
			most = c;
	}
	if (house->unread > CLIENT_UNREAD)
		link_cut(&most->link);
}

void client_bound_answers(struct client *c)
{
	size_t waits = link_backlog(&c->link);

	if (waits <= CLIENT_UNREAD / CLIENT_MAX)
		return;
	note_unread(c, waits);
	bound_unread(c->house);
}

/* ---- messages that have begun ------------------------------------------ */

static void on_full(void *arg)
{
	struct client_house *house = arg;
	struct client *most = NULL;

	list_each(node, next, &house->clients)
	{
		struct client *c = container_of(node, struct client, node);

		if (!c->gone && (!most || c->link.held > most->link.held))
			most = c;
	}
	if (most && most->link.held > 0)
		client_refuse(most, "too many bytes of requests that have "
				    "begun and not ended");
}

void client_bound_init(struct client_house *house)
{
	house->begun = (struct link_pool){
		.max = CLIENT_BEGUN, .full = on_full, .arg = house};
}

void client_bound_forget(struct client *c)
{
	note_unread(c, 0); /* the link sees to the rest */
}
