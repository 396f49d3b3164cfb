/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child: one worker process. Messages from it start at on_message(), its
 * deadlines at on_run_timer(), its end at settle().
 */
#include "broker/child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/child_end.h"
#include "broker/child_read.h"
#include "broker/child_watch.h"
#include "lib/log.h"
#include "proto/pack.h"
#include "proto/unpack.h"

enum {
	LOAD_ID = 1,
	SLOT_BITS = 12,
	READY_MS = 10000,
	SOFT_REPEAT_MS = 20,
	MIN_GRACE_MS = 100,
	MAX_LOAD_MS = 10000, /* more gives a load no more grace */
};

/* ---- runs -------------------------------------------------------------- */

struct run *child_run(struct child *c, uint32_t id)
{
	uint32_t at = id & ((1u << SLOT_BITS) - 1);

	if (at >= CHILD_SLOTS || !c->slots[at].run ||
	    c->slots[at].run->id != id)
		return NULL;
	return c->slots[at].run;
}

static void begin(struct child *c, struct run *run)
{
	run->state = RUN_BEGUN;
	run->begun_us = c->link.turn->now_us;
	c->nbegun++;
	if (c->timeout_ms)
		wheel_start(c->link.wheel, &run->timer, c->timeout_ms);
}

/* The next sent run becomes one of the oldest `concurrency`. */
static void begin_next(struct child *c)
{
	struct list *node = c->sent.next;

	for (unsigned i = 0; i < c->nbegun; i++)
		node = node->next;
	if (node != &c->sent)
		begin(c, container_of(node, struct run, node));
}

static void detach(struct child *c, struct run *run)
{
	uint32_t at = run->id & ((1u << SLOT_BITS) - 1);

	wheel_stop(&run->timer);
	if (run->call)
		run->call->run = NULL;
	run->call = NULL;
	c->slots[at].run = NULL;
	c->free_slots[c->nfree++] = at;
	list_remove(&run->node);
	c->nsent--;
	if (run->state == RUN_BEGUN)
		c->nbegun--;
	run->state = RUN_IDLE;
	run->child = NULL;
}

static void finish(struct child *c, struct run *run, struct outcome *outcome)
{
	outcome->us = run->begun_us ? c->link.turn->now_us - run->begun_us : 0;
	detach(c, run);
	run->done(run, outcome);
}

static void fail_run(struct child *c, struct run *run, enum code code,
		     const char *message)
{
	struct outcome outcome = {.code = code, .message = slice_str(message)};

	finish(c, run, &outcome);
}

bool child_has_room(const struct child *c, unsigned ahead)
{
	if (c->state != CHILD_SERVING || c->nfree == 0)
		return false;
	return c->nsent == 0 ||
	       (c->nsent < c->concurrency + ahead &&
		c->link.out.n + c->link.sending.n < CHILD_BYTES);
}

/* ---- deadlines --------------------------------------------------------- */

static uint64_t grace_ms(const struct child *c)
{
	uint64_t grace = c->timeout_ms / 5;

	return grace > MIN_GRACE_MS ? grace : MIN_GRACE_MS;
}

/*
 * A begun run is late. First its outstanding call fails with `timeout`, or
 * the worker is told to look (and told again, since its own clock for this
 * lane started a little later). False when the grace is over.
 */
static bool press(struct child *c, struct run *run)
{
	uint64_t now = uv_now(c->link.turn->loop);

	if (!run->late) {
		run->late = true;
		run->late_ms = now;
	}
	if (now - run->late_ms >= grace_ms(c))
		return false;
	if (run->call)
		child_refuse(c, run, run->call->id, CODE_TIMEOUT,
			     "past its deadline");
	else
		kill(c->pid, SIGUSR1);
	return true;
}

static void on_run_timer(struct wheel_timer *t)
{
	struct run *run = container_of(t, struct run, timer);
	struct child *c = run->child;

	if (c->state == CHILD_DYING)
		return;
	if (!press(c, run)) {
		c->culprit = run;
		child_kill(c, "timeout");
		return;
	}
	wheel_start(c->link.wheel, &run->timer, SOFT_REPEAT_MS);
}

static void on_child_timer(struct wheel_timer *t)
{
	struct child *c = container_of(t, struct child, timer);

	if (c->state != CHILD_LOADING)
		child_kill(c, "start_timeout");
	else if (press(c, &c->load))
		wheel_start(c->link.wheel, &c->timer, SOFT_REPEAT_MS);
	else
		child_kill(c, "load_timeout");
}

void child_send(struct child *c, struct run *run)
{
	struct buf *out = link_out(&c->link);
	uint32_t at = c->free_slots[--c->nfree];
	struct child_slot *slot = &c->slots[at];

	slot->seq = slot->seq % ((1u << (32 - SLOT_BITS)) - 1) + 1;
	slot->run = run;
	run->id = slot->seq << SLOT_BITS | at;
	run->child = c;
	run->state = RUN_SENT;
	run->called = run->late = false;
	wheel_timer_init(&run->timer, on_run_timer);
	run->tries++;
	rpc_request(out, run->id, "run", 5);
	pack_uint(out, run->hook);
	pack_bin(out, run->event);
	if (run->nops)
		pack_bin(out, run->ops);
	else
		pack_nil(out);
	pack_uint(out, run->nops);
	if (run->extra.n)
		pack_bin(out, run->extra);
	else
		pack_nil(out);
	list_push(&c->sent, &run->node);
	c->nsent++;
	child_watch(c);
	if (c->nbegun < c->concurrency)
		begin(c, run);
}

/* ---- what the worker says ---------------------------------------------- */

static int on_run_answer(struct child *c, const struct rpc *rpc)
{
	struct run *run = child_run(c, rpc->id);
	struct outcome outcome = {.child = c};

	if (!run || run->state != RUN_BEGUN || run->call)
		return ERR_FORMAT;
	if (run == c->culprit)
		return OK; /* its grace was over before it answered */
	if ((rpc->failed
		     ? child_read_error(rpc->error, &outcome)
		     : child_read_result(rpc->result, run->hook, &outcome)) < 0)
		return ERR_FORMAT;
	if (outcome.code == CODE_OK)
		c->answers++;
	finish(c, run, &outcome);
	begin_next(c);
	if (c->state == CHILD_SERVING)
		c->ops->on_room(c, c->arg);
	return OK;
}

/* Nothing is asked about it any more; who still answers answers nobody. */
static void end_load(struct child *c)
{
	wheel_stop(&c->timer);
	if (c->load.call)
		c->load.call->run = NULL;
	c->load.call = NULL;
	c->load.state = RUN_IDLE;
}

static int on_load_answer(struct child *c, const struct rpc *rpc)
{
	if (c->load.state != RUN_BEGUN || c->load.call)
		return ERR_FORMAT;
	end_load(c);
	return c->ops->on_loaded(
		c, c->arg, rpc->failed ? rpc->error : rpc->result, rpc->failed);
}

static int on_question(struct child *c, const struct rpc *rpc)
{
	struct cursor params = cursor_of(rpc->params);
	uint32_t run_id;
	struct run *run;

	if (cursor_array(&params) < 1)
		return ERR_FORMAT;
	run_id = (uint32_t)cursor_uint(&params);
	if (params.error)
		return ERR_FORMAT;
	run = c->state == CHILD_LOADING && run_id == LOAD_ID
		      ? &c->load
		      : child_run(c, run_id);
	if (!run || run->state != RUN_BEGUN || run->call)
		return ERR_FORMAT;
	run->called = true;
	if (run->late || run->unwanted) {
		child_refuse(c, run, rpc->id, CODE_TIMEOUT,
			     "past its deadline");
		return OK;
	}
	return c->ops->on_call(c, c->arg, run, rpc);
}

/* [layer, errno]: the mandatory layer for which it is about to end. */
static int on_failed(struct child *c, struct cursor *params)
{
	struct slice layer;
	int error;

	cursor_array(params);
	layer = cursor_text(params);
	error = (int)cursor_int(params);
	if (params->error || layer.n >= LAYERS_NAME)
		return ERR_FORMAT;
	snprintf(c->failed, sizeof(c->failed), "sandbox:%.*s", (int)layer.n,
		 (const char *)layer.p);
	log_error("child", "sandbox: this layer does not hold: %.*s (%s)",
		  (int)layer.n, (const char *)layer.p, strerror(error));
	return OK;
}

/* [run_id]: so it is with this one, or 0: with none. */
static int on_running(struct child *c, struct cursor *params)
{
	const struct run *run;
	uint64_t id;

	cursor_array(params);
	id = cursor_uint(params);
	if (params->error || id > UINT32_MAX || c->state < CHILD_LOADING)
		return ERR_FORMAT;
	run = child_run(c, (uint32_t)id);
	if (id && (!run || run->state != RUN_BEGUN))
		return ERR_FORMAT;
	c->running = (uint32_t)id;
	return OK;
}

static int on_notification(struct child *c, const struct rpc *rpc)
{
	struct cursor params = cursor_of(rpc->params);

	if (slice_is(rpc->method, "failed") && c->state == CHILD_STARTING)
		return on_failed(c, &params);
	if (slice_is(rpc->method, "running"))
		return on_running(c, &params);
	if (slice_is(rpc->method, "log")) {
		c->ops->on_log(c, c->arg, rpc);
		return OK;
	}
	if (!slice_is(rpc->method, "ready") || c->state != CHILD_STARTING ||
	    cursor_array(&params) < 1)
		return ERR_FORMAT;
	layers_read(slice_of(params.p, (size_t)(params.end - params.p)),
		    "sandbox", c->held, &c->nheld);
	layers_read(slice_of(params.p, (size_t)(params.end - params.p)),
		    "missing", c->missing, &c->nmissing);
	wheel_stop(&c->timer);
	if (c->strict && c->nmissing > 0) {
		log_error("child",
			  "sandbox: strict, and this layer does not hold: %s",
			  c->missing[0]);
		child_kill(c, "sandbox");
		return OK;
	}
	c->state = CHILD_SPARE;
	c->ops->on_ready(c, c->arg);
	return OK;
}

static void on_message(void *arg, struct slice msg, const struct scan *marks)
{
	struct child *c = arg;
	struct rpc rpc;
	int r;

	(void)marks;
	if (c->distrusted)
		return;
	c->heard_ms = uv_now(c->link.turn->loop);
	r = rpc_decode(msg, &rpc);
	if (r == OK && rpc.type == RPC_REQUEST)
		r = c->state == CHILD_DYING ? OK : on_question(c, &rpc);
	else if (r == OK && rpc.type == RPC_NOTIFICATION)
		r = on_notification(c, &rpc);
	else if (r == OK && rpc.id == LOAD_ID && c->state == CHILD_LOADING)
		r = on_load_answer(c, &rpc);
	else if (r == OK)
		r = on_run_answer(c, &rpc);
	if (r < 0) {
		c->distrusted = true;
		child_kill(c, "protocol");
	}
}

/* ---- answers to its calls ---------------------------------------------- */

struct buf *child_answer(struct child *c, struct run *run, uint32_t id)
{
	struct buf *out = link_out(&c->link);

	if (run)
		run->call = NULL;
	rpc_result(out, id);
	return out;
}

void child_refuse(struct child *c, struct run *run, uint32_t id, enum code code,
		  const char *message)
{
	child_refuse_word(c, run, id, code_name(code), slice_str(message));
}

void child_refuse_word(struct child *c, struct run *run, uint32_t id,
		       const char *code, struct slice message)
{
	struct buf *out = link_out(&c->link);

	if (run == &c->load &&
	    (strcmp(code, "unavailable") == 0 || strcmp(code, "timeout") == 0))
		c->starved = true;
	if (run && run->call) {
		run->call->run = NULL;
		run->call = NULL;
	}
	rpc_failure(out, id);
	pack_map(out, 2);
	pack_cstr(out, "code");
	pack_cstr(out, code);
	pack_cstr(out, "message");
	pack_text(out, message);
	rpc_failure_end(out);
}

void child_defer(struct run *run, struct call *call, uint32_t id)
{
	must(!run->call);
	*call = (struct call){run, id};
	run->call = call;
}

/* ---- the end ----------------------------------------------------------- */

/* Which runs can have had an effect? Those fail; the others go on elsewhere
 * (PROTOCOL.md 5). */
static void end_runs(struct child *c, const struct child_death *death)
{
	struct list handed_back;
	unsigned oldest = 0;

	list_init(&handed_back);
	list_each(node, next, &c->sent)
	{
		struct run *run = container_of(node, struct run, node);

		if (oldest++ < c->concurrency || run->called || run->unwanted) {
			fail_run(c, run,
				 run == c->culprit ? CODE_TIMEOUT : death->code,
				 run == c->culprit
					 ? "the script ran past its deadline "
					   "and was killed"
					 : "the script's worker ended");
			continue;
		}
		detach(c, run);
		list_push(&handed_back, &run->node);
	}
	/* From the last to the first: each goes to the front of the queue. */
	while (!list_empty(&handed_back)) {
		struct run *run =
			container_of(handed_back.prev, struct run, node);

		list_remove(&run->node);
		c->ops->on_return(c, c->arg, run);
	}
}

static void settle(struct child *c)
{
	struct child_death death;
	struct run *culprit;

	if (!c->ended || !c->reaped || !c->link_closed)
		return;
	child_end_read(c, &death);
	culprit = child_end_culprit(c, &death);
	if (culprit)
		c->ops->on_culprit(c, c->arg, culprit);
	end_runs(c, &death);
	c->ops->on_dead(c, c->arg, &death);
}

static void on_end(void *arg, enum link_end why)
{
	struct child *c = arg;

	if (why != LINK_EOF && !c->cause)
		c->cause = why == LINK_STUCK ? "stuck" : "protocol";
	c->state = CHILD_DYING;
	c->ended = true;
	end_load(c);
	if (!c->reaped)
		kill(c->pid, SIGKILL); /* a closed socket is an end */
	link_close(&c->link);
}

static void on_closed(void *arg)
{
	struct child *c = arg;

	c->link_closed = true;
	settle(c);
}

void child_kill(struct child *c, const char *cause)
{
	if (!c->cause)
		c->cause = cause;
	c->state = CHILD_DYING;
	wheel_stop(&c->timer);
	if (c->reaped)
		return;
	child_watch_release(c);
	kill(c->pid, SIGKILL);
}

void child_reap(struct child *c)
{
	if (c->reaped || waitpid(c->pid, &c->status, WNOHANG) != c->pid)
		return;
	c->reaped = true;
	settle(c);
}

/* ---- life -------------------------------------------------------------- */

static const struct link_ops link_ops = {on_message, on_end, on_closed};

struct child *child_new(const struct child_house *house, pid_t pid, int fd,
			const struct child_ops *ops, void *arg)
{
	static const struct link_limits limits = {
		.max_message = PROTO_MAX_INTERNAL,
		.max_backlog = (size_t)256 << 20,
	};
	struct child *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	list_init(&c->node);
	list_init(&c->sent);
	c->ops = ops;
	c->arg = arg;
	c->pid = pid;
	c->strict = house->strict;
	c->affinity = house->affinity;
	for (unsigned i = 0; i < CHILD_SLOTS; i++)
		c->free_slots[c->nfree++] = CHILD_SLOTS - 1 - i;
	wheel_timer_init(&c->timer, on_child_timer);
	child_watch_init(c);
	link_init(&c->link, house->turn, house->wheel, &limits);
	/* From here on the link must be closed: its end is the child's. */
	must(link_open_fd(&c->link, fd) == OK);
	must(link_start(&c->link, &link_ops, c) == OK);
	wheel_start(house->wheel, &c->timer, READY_MS);
	return c;
}

void child_free(struct child *c)
{
	must(c->link_closed && c->reaped);
	wheel_stop(&c->watch);
	end_load(c);
	if (c->kept)
		*c->kept = NULL;
	list_remove(&c->node);
	free(c);
}

void child_adopt(struct child *c, const struct child_ops *ops, void *arg)
{
	c->ops = ops;
	c->arg = arg;
}

void child_load(struct child *c, struct slice params, uint32_t nparams,
		uint64_t load_timeout_ms)
{
	struct buf *out = link_out(&c->link);

	must(c->state == CHILD_SPARE);
	c->state = CHILD_LOADING;
	c->timeout_ms =
		load_timeout_ms < MAX_LOAD_MS ? load_timeout_ms : MAX_LOAD_MS;
	/* No two that live have this serial, and no run of an event has. */
	c->load = (struct run){.state = RUN_BEGUN,
			       .child = c,
			       .id = LOAD_ID,
			       .hook = HOOK_COUNT,
			       .serial = (uint64_t)1 << 63 |
					 (uint64_t)(unsigned)c->pid,
			       .begun_us = c->link.turn->now_us};
	list_init(&c->load.node);
	rpc_request(out, LOAD_ID, "load", nparams);
	pack_raw(out, params);
	wheel_start(c->link.wheel, &c->timer, load_timeout_ms);
	child_watch(c);
}

void child_serve(struct child *c, unsigned concurrency, uint64_t timeout_ms)
{
	must(c->state == CHILD_LOADING);
	c->state = CHILD_SERVING;
	c->concurrency = concurrency;
	c->timeout_ms = timeout_ms;
}
