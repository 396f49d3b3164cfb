/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed: the bus offers an event; while the script is busy with the one before
 * it, the answer is "not now", and the bus comes back when asked to.
 */
#include "broker/feed.h"

#include <stdlib.h>

#include "lib/log.h"

struct feed {
	struct chain_house *chains;
	struct script *script;
	struct bus_sub *sub;
	bool busy, closed;
};

static void maybe_free(struct feed *f)
{
	if (f->closed && !f->busy)
		free(f);
}

static void on_answer(struct event *ev)
{
	(void)ev; /* nobody waits for it */
}

static void on_done(struct event *ev)
{
	struct feed *f = ev->client;

	event_free(ev);
	f->busy = false;
	if (!f->closed)
		bus_resume(f->sub);
	maybe_free(f);
}

static int on_event(void *arg, const struct bus_event *e)
{
	struct feed *f = arg;
	struct buf map = {0};
	struct event *ev;

	if (f->busy)
		return ERR_FULL;
	bus_pack(&map, e);
	ev = event_new(f->chains);
	if (!ev || buf_error(&map) < 0 ||
	    event_fill(ev, buf_slice(&map), buf_slice(&map),
		       slice_of(NULL, 0)) < 0) {
		log_error("feed", "script=%s seq=%llu lost: no memory",
			  f->script->name, (unsigned long long)e->seq);
		if (ev)
			event_free(ev);
		buf_fini(&map);
		return OK;
	}
	buf_fini(&map);
	ev->hook = HOOK_BUS;
	ev->only = f->script;
	ev->hops = e->hops + 1;
	ev->client = f;
	ev->answer = on_answer;
	ev->done = on_done;
	f->busy = true;
	chain_start(ev);
	return OK;
}

void feed_open(struct chain_house *chains, struct bus *bus,
	       struct script *script)
{
	const struct conf_list *list = &script->conf->subscribe;
	struct bus_filter filter = {.n = list->n,
				    .script = slice_str(script->name)};
	struct slice *names;
	struct feed *f;

	if (!script_serves(script, HOOK_BUS) || list->n == 0)
		return;
	names = calloc(list->n, sizeof(*names));
	f = calloc(1, sizeof(*f));
	if (names && f) {
		for (size_t i = 0; i < list->n; i++)
			names[i] = slice_str(list->item[i]);
		filter.names = names;
		f->chains = chains;
		f->script = script;
	}
	if (!names || !f ||
	    bus_subscribe(bus, &filter, on_event, f, &f->sub) < 0) {
		log_error("feed", "script=%s gets no bus events: no memory",
			  script->name);
		free(f);
		f = NULL;
	}
	free(names);
	script->feed = f;
}

void feed_close(struct script *script)
{
	struct feed *f = script->feed;

	if (!f)
		return;
	script->feed = NULL;
	bus_unsubscribe(f->sub);
	f->closed = true;
	maybe_free(f);
}
