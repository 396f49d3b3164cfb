/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event: the few keys that the broker needs, and where the bodies stand. The
 * worker's views of everything else are in worker/ctx.c.
 */
#include "proto/event.h"

#include "proto/pack.h"
#include "proto/proto.h"
#include "proto/unpack.h"

static const char *const bodies[BODY_COUNT] = {
	[BODY_REQ] = "req.body",
	[BODY_RESP] = "resp.body",
	[BODY_WS] = "ws.data",
};

const char *body_name(enum body body)
{
	must(body < BODY_COUNT);
	return bodies[body];
}

enum body body_parse(struct slice name)
{
	int i;

	for (i = 0; i < BODY_COUNT; i++)
		if (slice_is(name, bodies[i]))
			break;
	return (enum body)i;
}

static bool is_text(const struct cursor *c)
{
	enum cursor_type type = cursor_peek(c);

	return type == CURSOR_STR || type == CURSOR_BIN;
}

/* One pair of the event's map: take what the broker wants of it. */
static int head_pair(struct slice key, struct cursor *value,
		     struct event_head *out)
{
	if (slice_is(key, "id"))
		out->id = cursor_text(value);
	else if (slice_is(key, "deadline_ms"))
		out->deadline_ms = cursor_int(value);
	else if (slice_is(key, "traceparent"))
		out->traceparent = cursor_text(value);
	else
		return 0;
	return value->error ? ERR_TYPE : 1;
}

static int head_by_marks(struct slice event, const uint8_t *base,
			 const struct scan *marks, struct event_head *out)
{
	const uint8_t *end = event.p + event.n;

	for (unsigned i = 0; i + 1 < marks->nmarks; i += 2) {
		struct cursor key = {base + marks->mark[i], end, 0};
		struct cursor value = {base + marks->mark[i + 1], end, 0};

		if (!is_text(&key))
			continue;
		if (head_pair(cursor_text(&key), &value, out) < 0)
			return ERR_TYPE;
	}
	return OK;
}

static int head_by_walk(struct slice event, struct event_head *out)
{
	struct cursor c = cursor_of(event);
	uint32_t n;

	for (n = cursor_map(&c); n > 0 && !c.error; n--) {
		bool text = is_text(&c);
		struct cursor key = cursor_of(cursor_raw(&c));
		int r = 0;

		if (text)
			r = head_pair(cursor_text(&key), &c, out);
		if (r < 0)
			return ERR_TYPE;
		if (r == 0)
			cursor_skip(&c);
	}
	return c.error ? ERR_TYPE : OK;
}

int event_head(struct slice event, const uint8_t *base,
	       const struct scan *marks, struct event_head *out)
{
	struct cursor c = cursor_of(event);

	*out = (struct event_head){.deadline_ms = -1};
	if (cursor_peek(&c) != CURSOR_MAP)
		return ERR_TYPE;
	if (marks && !marks->marks_lost)
		return head_by_marks(event, base, marks, out);
	return head_by_walk(event, out);
}

static int find_body(struct slice event, const char *part, const char *key,
		     size_t at, struct event_bodies *out)
{
	struct slice map, value, ext;
	struct cursor c;
	int8_t type;

	if (!map_find(event, part, &map) || !map_find(map, key, &value))
		return OK;
	c = cursor_of(value);
	switch (cursor_peek(&c)) {
	case CURSOR_NIL:
		return OK;
	case CURSOR_STR:
	case CURSOR_BIN:
		out->body[at].value = value;
		out->body[at].inline_ = cursor_text(&c);
		return OK;
	case CURSOR_EXT:
		ext = cursor_ext(&c, &type);
		if (type != PROTO_EXT_LAZY || ext.n != 8)
			return ERR_TYPE;
		out->body[at].value = value;
		out->body[at].lazy = true;
		for (size_t i = 0; i < 8; i++)
			out->body[at].lazy_len =
				out->body[at].lazy_len << 8 | ext.p[i];
		return OK;
	default:
		return ERR_TYPE;
	}
}

int event_bodies(struct slice event, struct event_bodies *out)
{
	int r;

	*out = (struct event_bodies){0};
	if ((r = find_body(event, "req", "body", BODY_REQ, out)) < 0 ||
	    (r = find_body(event, "resp", "body", BODY_RESP, out)) < 0 ||
	    (r = find_body(event, "ws", "data", BODY_WS, out)) < 0)
		return r;
	return OK;
}

/* The bodies in the order in which they stand in the event. */
static size_t in_order(const struct event_bodies *all, size_t limit,
		       size_t order[BODY_COUNT])
{
	size_t n = 0;

	for (size_t i = 0; i < BODY_COUNT; i++) {
		size_t at = n;

		if (all->body[i].inline_.n <= limit)
			continue;
		for (; at > 0 &&
		       all->body[order[at - 1]].value.p > all->body[i].value.p;
		     at--)
			order[at] = order[at - 1];
		order[at] = i;
		n++;
	}
	return n;
}

void event_trim(struct slice event, const struct event_bodies *all,
		size_t limit, struct buf *out)
{
	size_t order[BODY_COUNT], n = in_order(all, limit, order);
	const uint8_t *from = event.p;

	for (size_t i = 0; i < n; i++) {
		struct slice value = all->body[order[i]].value;

		buf_add(out, from, (size_t)(value.p - from));
		pack_lazy(out, all->body[order[i]].inline_.n);
		from = value.p + value.n;
	}
	buf_add(out, from, (size_t)(event.p + event.n - from));
}
