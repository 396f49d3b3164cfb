/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_body: bodies that were too large to send along. Those that came inline
 * are answered from the event; those that the proxy keeps are asked for in
 * ranges, each at most once, and kept for the rest of the chain.
 */
#include <stdlib.h>

#include "broker/call/call.h"
#include "broker/client.h"
#include "proto/pack.h"

/* One range on its way from the proxy. */
struct fetch {
	struct client_question question;
	struct wheel_timer timer;
	struct later *later;
	struct event *ev; /* NULL: it has ended meanwhile */
	enum body body;
	size_t at;	       /* of the range */
	size_t offset, length; /* of what was asked, inside the range */
};

static struct slice part(struct slice all, uint64_t offset, uint64_t length)
{
	if (offset >= all.n)
		return slice_of(NULL, 0);
	if (length > all.n - offset)
		length = all.n - offset;
	return slice_of(all.p + offset, (size_t)length);
}

static size_t range_length(const struct event *ev, enum body body, size_t at)
{
	uint64_t left = ev->bodies.body[body].lazy_len - at * PROTO_RANGE;

	return left < PROTO_RANGE ? (size_t)left : PROTO_RANGE;
}

static void fetch_end(struct fetch *f)
{
	wheel_stop(&f->timer);
	later_end(f->later);
	free(f);
}

/* Nobody asks for that range again. */
static void unavailable(struct fetch *f, const char *why)
{
	if (f->later->call.run)
		f->ev->ranges[f->body][f->at].refused = true;
	later_refuse(f->later, CODE_BODY_UNAVAILABLE, why);
	fetch_end(f);
}

/* The event is alive as long as somebody waits for its body. */
static void on_answer(struct client_question *q, const struct rpc *answer)
{
	struct fetch *f = container_of(q, struct fetch, question);
	struct body_range *range;
	struct slice bytes;
	struct cursor c;

	if (!f->later->call.run) {
		fetch_end(f);
		return;
	}
	if (!answer || answer->failed) {
		unavailable(f, answer ? "the proxy does not have the body"
				      : "the proxy is gone");
		return;
	}
	c = cursor_of(answer->result);
	bytes = cursor_text(&c);
	range = &f->ev->ranges[f->body][f->at];
	if (c.error || bytes.n != range_length(f->ev, f->body, f->at)) {
		unavailable(f, "the proxy's answer is not the range's bytes");
		return;
	}
	buf_clear(&range->bytes);
	buf_add_slice(&range->bytes, bytes);
	range->have = buf_error(&range->bytes) == OK;
	pack_bin(later_answer(f->later), part(bytes, f->offset, f->length));
	fetch_end(f);
}

static void on_timer(struct wheel_timer *t)
{
	struct fetch *f = container_of(t, struct fetch, timer);

	client_forget(&f->question);
	unavailable(f, "the proxy did not send the body in time");
}

static int fetch(struct question *q, struct event *ev, struct fetch *f)
{
	struct client *client = ev->client;
	uint64_t ms = q->script->conf->timeout_ms * 3 / 4;
	struct buf *out;

	client_ask(client, &f->question, "body.get", 4, &out);
	pack_uint(out, ev->msgid);
	pack_cstr(out, body_name(f->body));
	pack_uint(out, (uint64_t)f->at * PROTO_RANGE);
	pack_uint(out, range_length(ev, f->body, f->at));
	wheel_timer_init(&f->timer, on_timer);
	wheel_start(client->house->wheel, &f->timer, ms ? ms : 1);
	return OK;
}

/* Room for all ranges of a body, made when it is first asked for. */
static int make_ranges(struct event *ev, enum body body, uint64_t len)
{
	size_t n = (size_t)((len + PROTO_RANGE - 1) / PROTO_RANGE);

	if (ev->ranges[body])
		return OK;
	ev->ranges[body] = calloc(n, sizeof(struct body_range));
	if (!ev->ranges[body])
		return ERR_NOMEM;
	ev->nranges[body] = n;
	return OK;
}

static int from_proxy(struct question *q, struct event *ev, enum body body,
		      uint64_t offset, uint64_t length)
{
	uint64_t len = ev->bodies.body[body].lazy_len;
	struct client *client = ev->client;
	size_t at = (size_t)(offset / PROTO_RANGE);
	uint64_t inside = offset % PROTO_RANGE;
	struct fetch *f;

	if (offset >= len) {
		pack_bin(question_answer(q), slice_of(NULL, 0));
		return OK;
	}
	/* Nobody may make us keep more than the script can take. */
	if (len > q->script->conf->memory)
		return question_refuse(q, CODE_TOO_LARGE,
				       "too_large: the body is larger than "
				       "the script's memory");
	if (make_ranges(ev, body, len) < 0)
		return question_refuse(q, CODE_OVERLOADED, "no memory");
	if (ev->ranges[body][at].have) {
		pack_bin(question_answer(q),
			 part(buf_slice(&ev->ranges[body][at].bytes), inside,
			      length));
		return OK;
	}
	if (client->gone || !client->lazy || ev->answered ||
	    ev->ranges[body][at].refused)
		return question_refuse(q, CODE_BODY_UNAVAILABLE,
				       "the proxy no longer has the body");
	f = calloc(1, sizeof(*f));
	if (!f || !(f->later = later_new(q))) {
		free(f);
		return f ? OK
			 : question_refuse(q, CODE_OVERLOADED, "no memory");
	}
	f->question.on_answer = on_answer;
	f->ev = ev;
	f->body = body;
	f->at = at;
	f->offset = (size_t)inside;
	f->length = (size_t)length;
	return fetch(q, ev, f);
}

int call_body_get(struct question *q)
{
	enum body body = body_parse(cursor_text(&q->args));
	uint64_t offset = cursor_uint(&q->args);
	uint64_t length = cursor_uint(&q->args);
	struct event *ev;

	if (q->args.error || body == BODY_COUNT || length > PROTO_RANGE ||
	    !q->run)
		return ERR_FORMAT;
	ev = q->run->owner;
	if (event_find_bodies(ev) < 0)
		return question_refuse(q, CODE_BODY_UNAVAILABLE,
				       "the body is of the wrong type");
	if (ev->bodies.body[body].lazy)
		return from_proxy(q, ev, body, offset, length);
	pack_bin(question_answer(q),
		 part(ev->bodies.body[body].inline_, offset, length));
	return OK;
}
