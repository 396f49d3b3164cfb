/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event: a writer for hook events.
 *
 * MessagePack wants to know how much is in a map before it is written. Here
 * every map and list gets the head with a 16-bit count, which is filled in
 * when it is closed.
 */
#include "clients/c/pinfold_client.h"
#include "proto/pack.h"

enum { HEAD_MAP = 0xde, HEAD_LIST = 0xdc };

static void fail(struct pf_event *e, int code)
{
	if (!e->error)
		e->error = code;
}

static void open_one(struct pf_event *e, bool list)
{
	const uint8_t head[3] = {list ? HEAD_LIST : HEAD_MAP, 0, 0};

	if (e->depth == PF_EVENT_DEPTH) {
		fail(e, ERR_RANGE);
		return;
	}
	e->open[e->depth].at = e->out.n;
	e->open[e->depth].n = 0;
	e->open[e->depth].list = list;
	e->depth++;
	buf_add(&e->out, head, sizeof(head));
}

/* Count one more in what is open, and write its key. */
static bool element(struct pf_event *e, const char *key)
{
	if (e->error)
		return false;
	if (e->depth == 0 || e->open[e->depth - 1].list != !key ||
	    e->open[e->depth - 1].n == UINT16_MAX) {
		fail(e, ERR_RANGE);
		return false;
	}
	e->open[e->depth - 1].n++;
	if (key)
		pack_text(&e->out, slice_str(key));
	return true;
}

void pf_event_begin(struct pf_event *e, const char *id)
{
	buf_clear(&e->out);
	e->error = 0;
	e->depth = 0;
	open_one(e, false);
	if (id)
		pf_event_text(e, "id", slice_str(id));
}

void pf_event_fini(struct pf_event *e)
{
	buf_fini(&e->out);
	*e = (struct pf_event){0};
}

void pf_event_map(struct pf_event *e, const char *key)
{
	if (element(e, key))
		open_one(e, false);
}

void pf_event_list(struct pf_event *e, const char *key)
{
	if (element(e, key))
		open_one(e, true);
}

static void close_one(struct pf_event *e)
{
	size_t at;
	uint32_t n;

	e->depth--;
	at = e->open[e->depth].at;
	n = e->open[e->depth].n;
	if (buf_error(&e->out))
		return;
	e->out.p[at + 1] = (uint8_t)(n >> 8);
	e->out.p[at + 2] = (uint8_t)n;
}

void pf_event_end(struct pf_event *e)
{
	if (e->error)
		return;
	if (e->depth <= 1)
		fail(e, ERR_RANGE);
	else
		close_one(e);
}

void pf_event_text(struct pf_event *e, const char *key, struct slice text)
{
	if (element(e, key))
		pack_text(&e->out, text);
}

void pf_event_bytes(struct pf_event *e, const char *key, struct slice bytes)
{
	if (element(e, key))
		pack_bin(&e->out, bytes);
}

void pf_event_int(struct pf_event *e, const char *key, int64_t v)
{
	if (element(e, key))
		pack_int(&e->out, v);
}

void pf_event_bool(struct pf_event *e, const char *key, bool v)
{
	if (element(e, key))
		pack_bool(&e->out, v);
}

void pf_event_lazy(struct pf_event *e, const char *key, uint64_t n)
{
	if (element(e, key))
		pack_lazy(&e->out, n);
}

void pf_event_header(struct pf_event *e, struct slice name, struct slice value)
{
	if (!element(e, NULL))
		return;
	pack_array(&e->out, 2);
	pack_text(&e->out, name);
	pack_text(&e->out, value);
}

int pf_event_finish(struct pf_event *e, struct slice *event)
{
	while (e->depth > 0)
		close_one(e);
	*event = buf_slice(&e->out);
	return e->error ? e->error : buf_error(&e->out);
}
