/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: state, questions, notifications. The socket itself is in wire_io.c.
 *
 * Start at wire_ask(). A pinfoldd that hangs must not cost every client of
 * Mosquitto its timeout: after SILENT_MOST deadlines in a row without a byte
 * the connection is given up, and until a new one has said hello every
 * question is "unavailable" at once.
 */
#include "clients/mosquitto/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "clients/mosquitto/wire_io.h"
#include "proto/pack.h"

enum {
	BACKOFF_LEAST = 100,
	BACKOFF_MOST = 1000,
	SILENT_MOST = 3,
	SAY_EVERY = 60000, /* ms between reports of what was dropped */
};

int64_t wire_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int wire_init(struct wire *w, const struct options *o,
	      const struct wire_ops *ops, void *arg)
{
	*w = (struct wire){
		.options = o,
		.ops = ops,
		.arg = arg,
		.fd = -1,
		.backoff_ms = BACKOFF_LEAST,
		.chunk = malloc(WIRE_CHUNK),
	};
	return w->chunk ? 0 : ERR_NOMEM;
}

void wire_fini(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	pf_free(w->client);
	free(w->chunk);
	buf_fini(&w->args);
	*w = (struct wire){.fd = -1};
}

bool wire_serves(const struct wire *w, enum hook hook)
{
	return !w->hooks_known || (w->hooks >> hook & 1);
}

void wire_down(struct wire *w, const char *why, int error)
{
	bool was = w->state != WIRE_DOWN;
	char text[160];

	snprintf(text, sizeof(text), "%s%s%s", why, error ? ": " : "",
		 error ? strerror(error) : "");
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	pf_free(w->client);
	w->client = NULL;
	w->state = WIRE_DOWN;
	w->retry_at = wire_now() + w->backoff_ms;
	w->backoff_ms *= 2;
	if (w->backoff_ms > BACKOFF_MOST)
		w->backoff_ms = BACKOFF_MOST;
	if (!w->told_down)
		w->ops->log(w->arg, true, text);
	w->told_down = true;
	if (was)
		w->ops->lost(w->arg);
}

/* One attempt, if it is time for one. */
static void try_connect(struct wire *w)
{
	const struct pf_hello hello = {
		.client = "mosquitto-pinfold",
		.version = PROTO_RELEASE,
		.mqtt = true,
	};
	/* questions find room when notifications do not */
	const struct pf_options o = {
		.max_output = w->options->queue + 2 * PROTO_MAX_MESSAGE,
	};
	int64_t now = wire_now();

	if (w->state != WIRE_DOWN || now < w->retry_at)
		return;
	w->fd = wire_connect(w->options->socket, w->options->timeout_ms);
	w->client = w->fd < 0 ? NULL : pf_new(&o);
	if (!w->client || pf_hello(w->client, &hello, NULL, &w->hello_id) < 0) {
		wire_down(w, "no connection to pinfoldd",
			  w->fd < 0 ? errno : ENOMEM);
		return;
	}
	w->state = WIRE_HELLO;
	w->hello_until = now + w->options->timeout_ms;
	wire_flush(w);
}

static void learn_hooks(struct wire *w, struct slice map)
{
	struct cursor c = cursor_of(map);
	uint32_t n = cursor_map(&c);
	uint64_t hooks = 0;

	while (n-- > 0 && !c.error) {
		enum hook hook = hook_parse(cursor_text(&c));

		cursor_skip(&c);
		if (hook < HOOK_COUNT)
			hooks |= (uint64_t)1 << hook;
	}
	if (c.error)
		return;
	w->hooks = hooks;
	w->hooks_known = true;
}

/* Is it the run that we knew? Remember it. */
static bool learn_session(struct wire *w, struct slice hello)
{
	struct slice raw, name = {0};
	struct cursor c;
	bool same;

	if (map_find(hello, "session", &raw)) {
		c = cursor_of(raw);
		name = cursor_text(&c);
	}
	same = name.n > 0 && slice_is(name, w->session);
	if (name.n >= WIRE_SESSION)
		name.n = 0;
	if (name.n > 0)
		memcpy(w->session, name.p, name.n);
	w->session[name.n] = '\0';
	return same;
}

static void on_hello(struct wire *w, const struct pf_item *item)
{
	struct slice hooks;

	if (item->kind != PF_RESULT ||
	    !map_find(item->result, "hooks", &hooks)) {
		wire_down(w, "pinfoldd does not know hello", 0);
		return;
	}
	learn_hooks(w, hooks);
	w->ops->connected(w->arg, learn_session(w, item->result));
	w->state = WIRE_UP;
	w->backoff_ms = BACKOFF_LEAST;
	w->silent = 0;
	if (w->told_down)
		w->ops->log(w->arg, false, "connected to pinfoldd again");
	w->told_down = false;
}

static void on_notification(struct wire *w, const struct pf_item *item)
{
	if (slice_is(item->method, "hooks") && item->params.n > 0)
		learn_hooks(w, item->params.packed);
	else
		w->ops->notification(w->arg, item);
}

/* 1: it is the answer to `wanted`. */
static int take(struct wire *w, struct pf_item *item, const uint32_t *wanted)
{
	switch (item->kind) {
	case PF_REQUEST:
		w->ops->request(w->arg, w->client, item);
		return 0;
	case PF_NOTIFICATION:
		on_notification(w, item);
		return 0;
	default:
		if (w->state == WIRE_HELLO && item->id == w->hello_id)
			on_hello(w, item);
		else if (wanted && item->id == *wanted)
			return 1;
		else if (item->tag)
			w->ops->answer(w->arg, item);
		return 0;
	}
}

int wire_serve(struct wire *w, const uint32_t *wanted, struct pf_item *out)
{
	int rc;

	while (w->state != WIRE_DOWN) {
		rc = pf_next(w->client, out);
		if (rc < 0) {
			wire_down(w, "pinfoldd broke the protocol", 0);
			break;
		}
		if (rc == 0)
			return 0;
		if (take(w, out, wanted) == 1)
			return 1;
	}
	return ERR_CLOSED;
}

/* Until the answer to `wanted` (NULL: to hello) is there. */
static int wait_for(struct wire *w, const uint32_t *wanted, int64_t until,
		    struct pf_item *out)
{
	for (;;) {
		int rc = wire_serve(w, wanted, out);
		int64_t left;

		if (rc != 0)
			return rc < 0 ? rc : 0;
		if (!wanted && w->state == WIRE_UP)
			return 0;
		wire_flush(w);
		left = until - wire_now();
		if (left <= 0)
			return ERR_TIMEOUT;
		rc = wire_wait(w, (int)left);
		if (rc < 0)
			return rc;
	}
}

bool wire_ready(struct wire *w)
{
	struct pf_item item;

	/* a pinfoldd that hung before has to say hello before we wait */
	if (w->state == WIRE_HELLO && w->silent >= SILENT_MOST)
		return false;
	try_connect(w);
	if (w->state == WIRE_HELLO && w->silent < SILENT_MOST &&
	    wait_for(w, NULL, w->hello_until, &item) == ERR_TIMEOUT) {
		w->silent = SILENT_MOST;
		wire_down(w, "pinfoldd does not answer", 0);
	}
	return w->state == WIRE_UP;
}

static int pack_call(struct wire *w, enum hook hook, struct slice table,
		     void *tag, uint32_t *id)
{
	struct buf *b = &w->args;

	buf_reset(b, WIRE_CHUNK);
	pack_raw(b, table);
	pack_map(b, 1);
	pack_cstr(b, "deadline_ms");
	/* so that what pinfoldd says of a late script comes in time */
	pack_uint(b, (uint64_t)w->options->timeout_ms * 9 / 10);
	if (buf_error(b))
		return ERR_NOMEM;
	return pf_call(w->client, hook_table[hook].name,
		       pf_args(2, buf_slice(b)), tag, id);
}

int wire_ask(struct wire *w, enum hook hook, struct slice table,
	     struct pf_item *out)
{
	int64_t until = wire_now() + w->options->timeout_ms;
	uint32_t id;
	int rc;

	if (!wire_ready(w))
		return ERR_CLOSED;
	rc = pack_call(w, hook, table, NULL, &id);
	if (rc < 0)
		return rc;
	rc = wait_for(w, &id, until, out);
	if (rc == 0)
		w->silent = 0;
	if (rc != ERR_TIMEOUT)
		return rc;
	pf_forget(w->client, id);
	if (++w->silent >= SILENT_MOST)
		wire_down(w, "pinfoldd does not answer", 0);
	return rc;
}

int wire_send(struct wire *w, enum hook hook, struct slice table, void *tag,
	      uint32_t *id)
{
	int rc;

	must(tag);
	if (!wire_ready(w))
		return ERR_CLOSED;
	rc = pack_call(w, hook, table, tag, id);
	if (rc == 0)
		wire_flush(w);
	return rc;
}

void wire_forget(struct wire *w, uint32_t id)
{
	if (w->client)
		pf_forget(w->client, id);
}

bool wire_notify(struct wire *w, enum hook hook, struct slice table)
{
	struct slice out;

	out = w->client ? pf_output(w->client) : slice_of(NULL, 0);
	if (!w->client || out.n + table.n > w->options->queue ||
	    pf_notify(w->client, hook_table[hook].name, pf_args(1, table)) <
		    0) {
		w->dropped++;
		return false;
	}
	if (out.n > WIRE_CHUNK)
		wire_flush(w);
	return true;
}

bool wire_tell(struct wire *w, const char *method, struct slice map)
{
	struct slice out;

	if (w->state != WIRE_UP)
		return false;
	out = pf_output(w->client);
	/* half of the room is for hooks */
	if (out.n > 0 && out.n + map.n > w->options->queue / 2)
		return false;
	return pf_notify(w->client, method, pf_args(1, map)) == 0;
}

void wire_push(struct wire *w)
{
	if (w->state != WIRE_DOWN)
		wire_flush(w);
}

static void report_dropped(struct wire *w)
{
	char text[96];
	int64_t now;

	if (w->dropped == w->said)
		return;
	now = wire_now();
	if (now < w->say_at)
		return;
	snprintf(text, sizeof(text),
		 "%llu notifications were dropped, %llu in all",
		 (unsigned long long)(w->dropped - w->said),
		 (unsigned long long)w->dropped);
	w->ops->log(w->arg, true, text);
	w->said = w->dropped;
	w->say_at = now + SAY_EVERY;
}

/* Under load there is a tick for each packet: once a millisecond will do. */
void wire_tick(struct wire *w)
{
	int64_t now = wire_now();
	struct pf_item item;

	try_connect(w);
	if (w->state != WIRE_DOWN)
		wire_flush(w);
	while (w->state != WIRE_DOWN && now != w->looked_at &&
	       wire_wait(w, 0) > 0)
		if (wire_serve(w, NULL, &item) < 0)
			break;
	w->looked_at = now;
	if (w->state != WIRE_DOWN)
		wire_flush(w);
	if (w->state == WIRE_HELLO && now > w->hello_until)
		wire_down(w, "pinfoldd does not answer", 0);
	report_dropped(w);
}
