/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: on_message() sorts what arrives; on_hook() makes events of hooks;
 * answer.c writes the longer answers. An event outlives its connection: it
 * holds the client until it has ended.
 */
#include "broker/client.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "broker/answer.h"
#include "broker/client_bound.h"
#include "broker/client_mqtt.h"
#include "broker/client_order.h"
#include "lib/log.h"
#include "proto/pack.h"
#include "proto/unpack.h"

enum { MAX_BACKLOG = 8 << 20, STUCK_MS = 5000, PARTIAL_MS = 10000 };

/* ---- events ------------------------------------------------------------ */

static void maybe_empty(struct client_house *house)
{
	void (*empty)(void *arg) = house->empty;

	if (house->nclients > 0 || !empty)
		return;
	house->empty = NULL;
	empty(house->empty_arg);
}

static void maybe_free(struct client *c)
{
	if (!c->gone || !c->link.closed || c->inflight > 0)
		return;
	map_fini(&c->order);
	list_remove(&c->node);
	c->house->nclients--;
	maybe_empty(c->house);
	free(c);
}

void client_hold(struct client *c)
{
	c->inflight++;
}

void client_release(struct client *c)
{
	c->inflight--;
	if (c->half && c->inflight == 0)
		link_finish(&c->link);
	maybe_free(c);
}

static void on_answer(struct event *ev)
{
	struct client *c = ev->client;

	if (c->gone || ev->notification)
		return;
	answer_event(link_out(&c->link), ev);
	client_bound_answers(c);
}

static void on_done(struct event *ev)
{
	struct client *c = ev->client;

	c->bytes -= ev->bytes.n;
	c->house->bytes -= ev->bytes.n;
	client_leave(c, ev);
	event_free(ev);
	client_release(c);
}

static void refuse_event(struct client *c, const struct rpc *rpc,
			 enum code code, const char *message)
{
	if (rpc->type == RPC_REQUEST)
		client_fail(c, rpc->id, code, message);
	else
		c->house->dropped++;
}

/* The one event of the parameters, checked; why not otherwise. */
static const char *read_event(const struct rpc *rpc, struct slice msg,
			      const struct scan *marks, struct event_head *head,
			      struct slice *map)
{
	struct cursor params = cursor_of(rpc->params);
	uint32_t n = cursor_array(&params);

	if (n < 1)
		return "params is not [event]";
	*map = slice_of(params.p, (size_t)(params.end - params.p));
	if (n > 1)
		*map = cursor_raw(&params);
	if (event_head(*map, msg.p, n > 1 ? NULL : marks, head) < 0)
		return "the event is no map, or a key has the wrong type";
	return NULL;
}

static void make_event(struct client *c, const struct rpc *rpc,
		       struct slice msg, enum hook hook,
		       const struct event_head *head, struct slice map)
{
	struct event *ev = event_new(c->house->chains);
	int r;

	if (!ev) {
		refuse_event(c, rpc, CODE_OVERLOADED, "no memory");
		return;
	}
	ev->hook = hook;
	r = event_fill(ev, msg, map, head->id);
	if (r == OK && rpc->type == RPC_NOTIFICATION && c->lazy) {
		r = event_find_bodies(ev);
		for (int i = 0; r == OK && i < BODY_COUNT; i++)
			if (ev->bodies.body[i].lazy)
				r = ERR_TYPE;
	}
	if (r < 0) {
		event_free(ev);
		refuse_event(c, rpc,
			     r == ERR_NOMEM ? CODE_OVERLOADED : CODE_BAD_EVENT,
			     r == ERR_NOMEM ? "no memory"
					    : "a body is of the wrong type, or "
					      "lazy in a notification");
		return;
	}
	ev->client = c;
	ev->msgid = rpc->id;
	ev->notification = rpc->type == RPC_NOTIFICATION;
	ev->answer = on_answer;
	ev->done = on_done;
	list_push(&c->events, &ev->node);
	c->inflight++;
	c->bytes += ev->bytes.n;
	c->house->bytes += ev->bytes.n;
	ev->budget_ms = head->deadline_ms;
	if (head->traceparent.n)
		event_trace(ev, msg, head->traceparent);
	if (client_enter(c, ev))
		client_start(c, ev);
	else
		chain_wait(ev);
}

/* One event always fits: the bounds are on what gathers. */
static bool too_much(const struct client *c, size_t n)
{
	const struct client_house *house = c->house;

	return c->inflight >= house->conf->limits.max_inflight ||
	       (c->inflight > 0 && c->bytes + n > CLIENT_BYTES) ||
	       (house->bytes > 0 && house->bytes + n > CLIENT_TOTAL_BYTES);
}

static void on_hook(struct client *c, const struct rpc *rpc, struct slice msg,
		    const struct scan *marks, enum hook hook)
{
	struct client_house *house = c->house;
	struct event_head head;
	struct buf key = {0};
	struct slice map;
	const char *wrong;

	if (house->draining) {
		c->owed = true;
		refuse_event(c, rpc, CODE_SHUTTING_DOWN, "pinfold is stopping");
		return;
	}
	if (too_much(c, msg.n)) {
		refuse_event(c, rpc, CODE_OVERLOADED,
			     "too many requests, or bytes of them, in flight");
		return;
	}
	if (hook_table[hook].dialect == DIALECT_MQTT)
		wrong = client_mqtt_read(rpc, &head, &map, &key);
	else
		wrong = read_event(rpc, msg, marks, &head, &map);
	if (!wrong && hook_table[hook].needs_id && head.id.n == 0)
		wrong = "the event has no id";
	if (wrong) {
		log_debug("client", "bad event hook=%s: %s",
			  hook_table[hook].name, wrong);
		refuse_event(c, rpc, CODE_BAD_EVENT, wrong);
		return;
	}
	if (key.n) { /* the ordering key is no part of the message */
		const uint8_t *p = client_mqtt_join(&key, msg, &head);

		map.p = p + (map.p - msg.p);
		msg = key.n ? buf_slice(&key) : msg;
	}
	if (chain_serves(house->chains, hook) ||
	    (house->mqtt && hook_table[hook].dialect == DIALECT_MQTT))
		make_event(c, rpc, msg, hook, &head, map);
	else if (rpc->type == RPC_REQUEST)
		answer_nothing(link_out(&c->link), rpc->id, hook);
	buf_fini(&key);
}

/* ---- messages ---------------------------------------------------------- */

static void on_response(struct client *c, const struct rpc *rpc)
{
	list_each(node, next, &c->questions)
	{
		struct client_question *q =
			container_of(node, struct client_question, node);

		if (q->id != rpc->id)
			continue;
		list_remove(&q->node);
		q->on_answer(q, rpc);
		return;
	}
	/* An answer that came too late is nobody's fault. */
}

static void on_hello(struct client *c, const struct rpc *rpc)
{
	struct slice map = rpc->params, caps;
	struct cursor params = cursor_of(rpc->params);

	if (cursor_array(&params) > 0)
		map = cursor_raw(&params);
	c->hello = true;
	c->lazy = c->mqtt = false;
	if (map_find(map, "caps", &caps)) {
		struct cursor list = cursor_of(caps);

		for (uint32_t n = cursor_array(&list); n > 0 && !list.error;
		     n--) {
			struct slice cap = cursor_text(&list);

			c->lazy = c->lazy || slice_is(cap, "lazy_body");
			c->mqtt = c->mqtt || slice_is(cap, "mqtt");
		}
	}
	if (rpc->type == RPC_REQUEST)
		answer_hello(link_out(&c->link), rpc->id, c);
}

static void on_message(void *arg, struct slice msg, const struct scan *marks)
{
	struct client *c = arg;
	struct rpc rpc;
	enum hook hook;

	if (rpc_decode(msg, &rpc) < 0) {
		client_refuse(c, "not a MessagePack-RPC message");
		return;
	}
	if (rpc.type == RPC_RESPONSE) {
		on_response(c, &rpc);
		return;
	}
	hook = hook_parse(rpc.method);
	/* `flush` on the control socket is a command with other parameters */
	if (hook != HOOK_COUNT && hook_table[hook].wire && !c->control)
		on_hook(c, &rpc, msg, marks, hook);
	else if (slice_is(rpc.method, "hello"))
		on_hello(c, &rpc);
	else if (!c->house->ops->on_other(c->house->arg, c, &rpc) &&
		 rpc.type == RPC_REQUEST)
		client_fail(c, rpc.id, CODE_UNKNOWN_METHOD,
			    "there is no such method here");
}

/* ---- the end ----------------------------------------------------------- */

static void abandon_questions(struct client *c)
{
	struct list *node;

	while ((node = list_pop(&c->questions))) {
		struct client_question *q =
			container_of(node, struct client_question, node);

		q->on_answer(q, NULL);
	}
}

static void abandon_events(struct client *c)
{
	list_each(at, next, &c->events) container_of(at, struct event, node)
		->abandoned = true;
	abandon_questions(c);
}

/* It still gets the answers to what it has sent, and can give none itself. */
static void on_half(struct client *c)
{
	c->half = true;
	c->lazy = false;
	abandon_questions(c);
	if (c->inflight == 0)
		link_finish(&c->link);
}

void client_close(struct client *c)
{
	if (c->gone)
		return;
	c->gone = true;
	client_bound_forget(c);
	c->house->ops->on_gone(c->house->arg, c);
	link_close(&c->link);
	abandon_events(c);
}

static void on_end(void *arg, enum link_end why)
{
	struct client *c = arg;

	switch (why) {
	case LINK_HALF:
		on_half(c);
		break;
	case LINK_EOF:
	case LINK_IO:
		client_close(c);
		break;
	case LINK_STUCK:
		log_warn("client", "cut off: it does not read its answers");
		client_close(c);
		break;
	case LINK_STALLED:
		client_refuse(c, "a message was begun and never ended");
		break;
	case LINK_RANGE:
		client_refuse(c, "a message is too large or nested too deep");
		break;
	case LINK_PROTOCOL:
		client_refuse(c, "not MessagePack");
		break;
	}
}

static void on_closed(void *arg)
{
	maybe_free(arg);
}

void client_refuse(struct client *c, const char *message)
{
	struct buf *out = &c->link.out;

	log_warn("client", "refused: %s", message);
	rpc_notification(out, "error", 1);
	pack_map(out, 2);
	pack_cstr(out, "code");
	pack_cstr(out, code_name(CODE_PROTOCOL));
	pack_cstr(out, "message");
	pack_cstr(out, message);
	client_close(c);
}

void client_fail(struct client *c, uint32_t id, enum code code,
		 const char *message)
{
	answer_failure(link_out(&c->link), id, code, message);
}

/* ---- asking ------------------------------------------------------------ */

void client_ask(struct client *c, struct client_question *q, const char *method,
		uint32_t nparams, struct buf **out)
{
	q->id = ++c->next_question;
	list_init(&q->node);
	list_push(&c->questions, &q->node);
	*out = link_out(&c->link);
	rpc_request(*out, q->id, method, nparams);
}

void client_forget(struct client_question *q)
{
	list_remove(&q->node);
}

/* ---- all of them ------------------------------------------------------- */

/* Connections must leave descriptors to workers and to the store. */
static size_t max_clients(void)
{
	struct rlimit files;
	rlim_t keep = CLIENT_CONTROL + CLIENT_KEEP_FILES;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return CLIENT_MAX;
	if (keep > files.rlim_cur / 2)
		keep = files.rlim_cur / 2;
	return files.rlim_cur - keep < CLIENT_MAX
		       ? (size_t)(files.rlim_cur - keep)
		       : CLIENT_MAX;
}

void client_house_init(struct client_house *house, struct turn *turn,
		       struct wheel *wheel, struct chain_house *chains,
		       const struct conf *conf)
{
	*house = (struct client_house){
		.turn = turn, .wheel = wheel, .chains = chains, .conf = conf};
	house->max = max_clients();
	client_bound_init(house);
	list_init(&house->clients);
}

/* `listen.uids`: the kernel says who is there, not the peer. */
static bool allowed(const struct client *c)
{
	const struct conf_listen *listen = &c->house->conf->listen;
	struct ucred cred;
	socklen_t n = sizeof(cred);
	uv_os_fd_t fd;

	if (c->control || listen->nuids == 0)
		return true;
	if (uv_fileno((const uv_handle_t *)&c->link.pipe, &fd) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
		return false;
	for (size_t i = 0; i < listen->nuids; i++)
		if (listen->uids[i] == cred.uid)
			return true;
	log_warn("client", "refused: uid %u is not in listen.uids",
		 (unsigned)cred.uid);
	return false;
}

static void on_refused(uv_handle_t *handle)
{
	free(handle);
}

/* One too many: accepted and closed, so that it does not wait for ever. */
static int refuse_connection(struct client_house *house, uv_stream_t *listener)
{
	uv_pipe_t *pipe = calloc(1, sizeof(*pipe));

	if (!pipe)
		return ERR_NOMEM;
	must(uv_pipe_init(house->turn->loop, pipe, 0) == 0);
	(void)!uv_accept(listener, (uv_stream_t *)pipe);
	uv_close((uv_handle_t *)pipe, on_refused);
	log_warn("client", "refused: %zu connections are open",
		 house->nclients);
	return OK;
}

int client_accept(struct client_house *house, uv_stream_t *listener,
		  bool control)
{
	static const struct link_ops ops = {on_message, on_end, on_closed};
	struct link_limits limits = {
		.max_message = house->conf->limits.max_message,
		.max_backlog = MAX_BACKLOG,
		.stuck_ms = STUCK_MS,
		.partial_ms = PARTIAL_MS,
		.pool = &house->begun,
	};
	struct client *c;

	if (house->nclients >= house->max + (control ? CLIENT_CONTROL : 0))
		return refuse_connection(house, listener);
	c = calloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	c->house = house;
	c->control = control;
	list_init(&c->events);
	list_init(&c->questions);
	list_init(&c->subscriptions);
	list_init(&c->due);
	list_init(&c->node);
	list_push(&house->clients, &c->node);
	house->nclients++;
	link_init(&c->link, house->turn, house->wheel, &limits);
	c->link.ops = &ops;
	c->link.arg = c;
	if (uv_accept(listener, (uv_stream_t *)&c->link.pipe) < 0 ||
	    !allowed(c) || link_start(&c->link, &ops, c) < 0) {
		client_close(c);
	}
	return OK;
}

void client_tell_hooks(struct client_house *house)
{
	list_each(node, next, &house->clients)
	{
		struct client *c = container_of(node, struct client, node);

		if (c->hello && !c->gone)
			answer_hooks(link_out(&c->link), house->chains);
	}
}

void client_drain(struct client_house *house, const char *reason)
{
	house->draining = true;
	list_each(node, next, &house->clients)
	{
		struct client *c = container_of(node, struct client, node);
		struct buf *out;

		if (c->gone)
			continue;
		c->owed = c->inflight > 0 || link_unread(&c->link);
		out = link_out(&c->link);
		rpc_notification(out, "goaway", 1);
		pack_map(out, 1);
		pack_cstr(out, "reason");
		pack_cstr(out, reason);
	}
}

void client_close_all(struct client_house *house)
{
	list_each(node, next, &house->clients)
		client_close(container_of(node, struct client, node));
}

void client_finish_all(struct client_house *house, void (*empty)(void *arg),
		       void *arg)
{
	house->empty = empty;
	house->empty_arg = arg;
	list_each(node, next, &house->clients)
	{
		struct client *c = container_of(node, struct client, node);

		if (c->owed && !c->control)
			link_part(&c->link);
		else
			link_finish(&c->link);
	}
	maybe_empty(house);
}
