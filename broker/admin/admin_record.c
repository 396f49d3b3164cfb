/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_record: record, copies of the next events of a hook for a tool. The
 * chains' tap is set only while somebody records.
 */
#include <stdlib.h>

#include "broker/admin/admin.h"
#include "broker/redact.h"
#include "proto/pack.h"

enum {
	MAX_COUNT = 10000,
	MAX_RECORDERS = 16,
	MAX_EVENT = 4 << 20, /* larger ones are counted as missed */
	BACKLOG = 1 << 20,
};

static const char usage[] =
	"record [{hook, count (1 to 10000), script, secrets}]";

struct recorder {
	struct list node; /* of the broker */
	struct client *client;
	enum hook hook;
	bool secrets;
	uint64_t left, missed;
	char script[CONF_NAME_MAX + 1]; /* empty: of any */
};

static void drop(struct broker *b, struct recorder *r)
{
	list_remove(&r->node);
	free(r);
	b->nrecorders--;
	if (list_empty(&b->recorders))
		b->chains.tap = NULL;
}

static bool wants(const struct recorder *r, const struct event *ev,
		  enum hook hook)
{
	const struct roster *all = ev->roster;

	if (r->hook != hook)
		return false;
	if (!*r->script)
		return true;
	if (ev->only)
		return strcmp(ev->only->name, r->script) == 0;
	for (size_t i = 0; i < all->nhook[hook]; i++)
		if (strcmp(all->hook[hook][i]->name, r->script) == 0)
			return true;
	return false;
}

/* record.event [event, {left_out: [names of bodies]}]; false: missed. */
static bool write_event(struct recorder *r, const struct event *ev)
{
	struct slice extra = buf_slice(&ev->extra);
	struct redacted copy = {0};
	struct buf *out;
	bool sent = false;

	if (ev->map.n > MAX_EVENT || link_backlog(&r->client->link) > BACKLOG)
		return false;
	if (!ev->erring)
		extra.n = 0;
	redact_event(ev->map, extra, r->secrets, &copy);
	if (!buf_error(&copy.event) && !buf_error(&copy.left_out)) {
		out = link_out(&r->client->link);
		rpc_notification(out, "record.event", 2);
		pack_raw(out, buf_slice(&copy.event));
		pack_map(out, 1);
		pack_cstr(out, "left_out");
		pack_array(out, copy.nleft_out);
		pack_raw(out, buf_slice(&copy.left_out));
		sent = true;
	}
	redacted_fini(&copy);
	return sent;
}

static void end(struct broker *b, struct recorder *r)
{
	struct buf *out = link_out(&r->client->link);

	rpc_notification(out, "record.end", 1);
	pack_map(out, 1);
	pack_cstr(out, "missed");
	pack_uint(out, r->missed);
	drop(b, r);
}

static void on_tap(void *arg, struct event *ev)
{
	struct broker *b = arg;
	enum hook hook = ev->erring ? HOOK_ERROR : ev->hook;

	if (ev->dry)
		return;
	list_each(node, next, &b->recorders)
	{
		struct recorder *r = container_of(node, struct recorder, node);

		if (r->client->gone || !wants(r, ev, hook))
			continue;
		if (!write_event(r, ev))
			r->missed++;
		else if (--r->left == 0)
			end(b, r);
	}
}

/* 0, or ERR_TYPE. */
static int read_options(struct slice map, struct recorder *r)
{
	struct slice name = map_text(map, "script"), raw;
	struct cursor c = {0};

	r->left = 1;
	r->hook = hook_parse(map_text(map, "hook"));
	if (map_find(map, "count", &raw)) {
		c = cursor_of(raw);
		r->left = cursor_uint(&c);
	}
	if (!c.error && map_find(map, "secrets", &raw)) {
		c = cursor_of(raw);
		r->secrets = cursor_bool(&c);
	}
	if (name.n > CONF_NAME_MAX || (name.n && memchr(name.p, 0, name.n)))
		return ERR_TYPE;
	if (name.n)
		memcpy(r->script, name.p, name.n);
	return c.error || r->hook == HOOK_COUNT || r->left < 1 ||
			       r->left > MAX_COUNT
		       ? ERR_TYPE
		       : OK;
}

/* Is there anything to come? A proxy does not send what nobody serves. */
static bool served(struct admin_call *a, const struct recorder *r)
{
	struct script *s;

	if (*r->script) {
		s = admin_find_script(a, slice_str(r->script));
		if (s && !script_serves(s, r->hook))
			admin_refuse(a, CODE_UNAVAILABLE,
				     "that script has no such hook");
		return s && script_serves(s, r->hook);
	}
	if (!chain_serves(&a->broker->chains, r->hook)) {
		admin_refuse(a, CODE_UNAVAILABLE,
			     "no enabled script has this hook, so proxies do "
			     "not send it");
		return false;
	}
	return true;
}

void admin_record(struct admin_call *a)
{
	struct broker *b = a->broker;
	struct slice map = {0};
	struct recorder *r;

	if (a->nargs > 0)
		map = cursor_raw(&a->args);
	r = b->nrecorders < MAX_RECORDERS ? calloc(1, sizeof(*r)) : NULL;
	if (!r) {
		admin_refuse(a, CODE_OVERLOADED, "too many recordings");
		return;
	}
	if (a->args.error || read_options(map, r) < 0) {
		admin_refuse(a, CODE_BAD_EVENT, usage);
		free(r);
		return;
	}
	if (!served(a, r)) {
		free(r);
		return;
	}
	r->client = a->client;
	list_push(&b->recorders, &r->node);
	b->nrecorders++;
	b->chains.tap = on_tap;
	b->chains.tap_arg = b;
	pack_bool(admin_answer(a), true);
}

void admin_record_forget(struct broker *b, const struct client *c)
{
	list_each(node, next, &b->recorders)
	{
		struct recorder *r = container_of(node, struct recorder, node);

		if (r->client == c)
			drop(b, r);
	}
}
