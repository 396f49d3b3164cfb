/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain: see the drawing in chain.h. next() is the heart; everything else
 * leads back to it.
 */
#include "broker/chain.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/log.h"
#include "proto/pack.h"

#define TOO_LARGE                                                              \
	"the event and the ops of earlier scripts are over 17 MiB or a "       \
	"quarter of the script's memory"

enum {
	KEEP_EVENTS = 4096,   /* blank events kept for use again */
	KEEP_BYTES = 8 << 10, /* and how large their buffers may stay */
	MAX_OPS_BYTES = 16 << 20,
};

/* ---- events ------------------------------------------------------------ */

static void on_deadline(struct wheel_timer *t);

void chain_init(struct chain_house *house, struct wheel *wheel,
		const struct conf *conf, const struct chain_ops *ops, void *arg)
{
	*house = (struct chain_house){
		.wheel = wheel, .conf = conf, .ops = ops, .arg = arg};
	list_init(&house->spare);
}

static void destroy(struct event *ev)
{
	buf_fini(&ev->bytes);
	buf_fini(&ev->trimmed);
	buf_fini(&ev->ops);
	buf_fini(&ev->pending_ops);
	buf_fini(&ev->extra);
	free(ev->failures);
	free(ev);
}

void chain_fini(struct chain_house *house)
{
	struct list *node;

	while ((node = list_pop(&house->spare)))
		destroy(container_of(node, struct event, node));
	chain_switch(house, NULL);
}

void chain_switch(struct chain_house *house, struct roster *roster)
{
	struct roster *old = house->roster;

	house->roster = roster;
	if (old)
		roster_unref(old, house->ops->gone, house->arg);
}

struct event *event_new(struct chain_house *house)
{
	struct list *node = list_pop(&house->spare);
	struct event *ev;

	if (node) {
		house->nspare--;
		return container_of(node, struct event, node);
	}
	ev = calloc(1, sizeof(*ev));
	if (!ev)
		return NULL;
	ev->house = house;
	list_init(&ev->node);
	list_init(&ev->followers);
	list_init(&ev->waiting);
	buf_init(&ev->ops, MAX_OPS_BYTES);
	wheel_timer_init(&ev->deadline, on_deadline);
	return ev;
}

static void drop_ranges(struct event *ev)
{
	for (int i = 0; i < BODY_COUNT; i++) {
		for (size_t k = 0; k < ev->nranges[i]; k++)
			buf_fini(&ev->ranges[i][k].bytes);
		free(ev->ranges[i]);
		ev->ranges[i] = NULL;
		ev->nranges[i] = 0;
	}
}

static void drop_failures(struct event *ev)
{
	for (size_t i = 0; i < ev->nfailures; i++) {
		free(ev->failures[i].message);
		free(ev->failures[i].traceback);
	}
	ev->nfailures = 0;
}

void event_free(struct event *ev)
{
	struct chain_house *house = ev->house;

	wheel_stop(&ev->deadline);
	list_remove(&ev->node);
	if (ev->roster)
		roster_unref(ev->roster, house->ops->gone, house->arg);
	drop_ranges(ev);
	drop_failures(ev);
	if (house->nspare >= KEEP_EVENTS) {
		destroy(ev);
		return;
	}
	buf_reset(&ev->bytes, KEEP_BYTES);
	buf_reset(&ev->trimmed, KEEP_BYTES);
	buf_reset(&ev->ops, KEEP_BYTES);
	buf_reset(&ev->pending_ops, KEEP_BYTES);
	buf_reset(&ev->extra, KEEP_BYTES);
	ev->roster = NULL;
	ev->only = NULL;
	ev->hook = HOOK_FLUSH;
	ev->bodies_known = ev->finish = ev->erring = false;
	ev->answered = ev->expired = ev->abandoned = ev->notification =
		ev->dry = ev->acl = false;
	ev->at = ev->error_at = 0;
	ev->nops = 0;
	ev->hops = 0;
	ev->client = NULL;
	ev->nblobs = 0;
	ev->map = ev->id = ev->view = ev->trace = (struct slice){0};
	list_push_front(&house->spare, &ev->node);
	house->nspare++;
}

int event_find_bodies(struct event *ev)
{
	if (ev->bodies_known)
		return OK;
	ev->bodies_known = true;
	return event_bodies(ev->map, &ev->bodies);
}

int event_fill(struct event *ev, struct slice msg, struct slice map,
	       struct slice id)
{
	bool http = hook_table[ev->hook].dialect == DIALECT_HTTP;
	size_t limit = ev->house->conf->limits.inline_body;
	int r;

	ev->arrived_ms = uv_now(ev->house->wheel->loop);
	ev->budget_ms = -1;
	buf_add_slice(&ev->bytes, msg);
	if (buf_error(&ev->bytes) < 0)
		return ERR_NOMEM;
	ev->map = slice_of(ev->bytes.p + (map.p - msg.p), map.n);
	if (id.n)
		ev->id = slice_of(ev->bytes.p + (id.p - msg.p), id.n);
	ev->view = ev->map;
	if (map.n <= limit || !http)
		return OK;
	if ((r = event_find_bodies(ev)) < 0)
		return r;
	event_trim(ev->map, &ev->bodies, limit, &ev->trimmed);
	if (buf_error(&ev->trimmed) < 0)
		return ERR_NOMEM;
	ev->view = buf_slice(&ev->trimmed);
	return OK;
}

void event_trace(struct event *ev, struct slice msg, struct slice traceparent)
{
	ev->trace =
		slice_of(ev->bytes.p + (traceparent.p - msg.p), traceparent.n);
}

bool chain_serves(const struct chain_house *house, enum hook hook)
{
	return house->roster && house->roster->nhook[hook] > 0;
}

const struct failure *event_error(const struct event *ev)
{
	for (size_t i = 0; i < ev->nfailures; i++)
		if (ev->failures[i].fails)
			return &ev->failures[i];
	return NULL;
}

/* ---- failures ---------------------------------------------------------- */

static char *copy(struct slice s)
{
	return s.n ? strndup((const char *)s.p, s.n) : NULL;
}

static struct slice cut(struct slice s, size_t max)
{
	return slice_of(s.p, s.n < max ? s.n : max);
}

/* The one line that names script, hook and cause. */
static void log_failure(struct event *ev, struct script *script, enum code code,
			struct slice message)
{
	const struct chain_house *house = ev->house;
	enum hook hook = ev->erring ? HOOK_ERROR : ev->hook;
	struct log_attr attrs[] = {
		{slice_str("script"), slice_str(script->name)},
		{slice_str("hook"), slice_str(hook_table[hook].name)},
		{slice_str("code"), slice_str(code_name(code))},
		{slice_str("id"), cut(ev->id, 128)},
		{slice_str("traceparent"), cut(ev->trace, 128)},
	};

	if (script_may_log(script, uv_now(house->wheel->loop),
			   house->conf->limits.log_lines))
		log_attrs(LOG_WARN, "chain", cut(message, 1024), attrs,
			  ev->trace.n ? 5
			  : ev->id.n  ? 4
				      : 3);
}

static void fail(struct event *ev, struct script *script, enum code code,
		 const struct outcome *outcome)
{
	enum hook hook = ev->erring ? HOOK_ERROR : ev->hook;
	struct failure *grown, *f;

	log_failure(ev, script, code, outcome->message);
	if (!ev->dry && (ev->erring || hook == HOOK_ERROR))
		return; /* told in the log, never to error.lua again */
	/* One failure a script: what follows a passed deadline is no news. */
	if (ev->nfailures && ev->failures[ev->nfailures - 1].script == script)
		return;
	if (ev->nfailures == ev->failures_cap) {
		grown = realloc(ev->failures,
				(ev->failures_cap + 4) * sizeof(*grown));
		if (!grown)
			return;
		ev->failures = grown;
		ev->failures_cap += 4;
	}
	f = &ev->failures[ev->nfailures++];
	*f = (struct failure){
		.script = script,
		.code = code,
		.fails = script_fails(script, hook, code),
		.message = copy(outcome->message),
		.traceback = copy(outcome->traceback),
	};
	/* The next script is asked only where rights are asked for. */
	if (hook_table[hook].dialect == DIALECT_MQTT &&
	    hook_table[hook].decide && !hook_table[hook].auth)
		ev->finish = true;
}

static void fail_text(struct event *ev, struct script *script, enum code code,
		      const char *text)
{
	struct outcome outcome = {.message = slice_str(text)};

	fail(ev, script, code, &outcome);
}

/* ---- the walk ---------------------------------------------------------- */

static void next(struct event *ev);

static struct script *current(const struct event *ev)
{
	if (ev->erring)
		return ev->roster->hook[HOOK_ERROR][ev->at];
	return ev->only ? ev->only : ev->roster->hook[ev->hook][ev->at];
}

const struct script *chain_script(const struct event *ev)
{
	return current(ev);
}

static size_t length(const struct event *ev)
{
	if (ev->erring)
		return ev->roster->nhook[HOOK_ERROR];
	return ev->only ? 1 : ev->roster->nhook[ev->hook];
}

static void answer(struct event *ev)
{
	if (ev->answered)
		return;
	ev->answered = true;
	wheel_stop(&ev->deadline);
	ev->answer(ev);
}

static void step(struct event *ev)
{
	if (ev->run.called)
		ev->house->ops->over(ev->house->arg, ev->run.serial);
	ev->at++;
	next(ev);
}

static void take_ops(struct event *ev, struct slice ops, uint32_t n,
		     bool finish)
{
	if (ev->erring)
		return; /* error.lua changes nothing */
	/* What earlier scripts did stands. */
	if (ev->ops.n + ops.n > MAX_OPS_BYTES) {
		fail_text(ev, current(ev), CODE_TOO_LARGE,
			  "the ops of the chain are over 16 MiB");
		return;
	}
	buf_add_slice(&ev->ops, ops);
	if (buf_error(&ev->ops) < 0) {
		ev->ops.error = OK; /* it still holds what it held */
		fail_text(ev, current(ev), CODE_OVERLOADED, "no memory");
		return;
	}
	ev->nops += n;
	ev->finish = ev->finish || finish;
}

/* Which code an effect ends with that was not committed. */
static enum code effect_code(int error)
{
	switch (error) {
	case ERR_FORMAT:
		return CODE_CRASHED;
	case ERR_DENIED:
		return CODE_DENIED;
	case ERR_RANGE:
		return CODE_TOO_LARGE;
	default:
		return CODE_STORAGE;
	}
}

static void refuse_effects(struct event *ev, const struct outcome *outcome,
			   int error, const char *what)
{
	char text[CHAIN_WHAT + 64];

	snprintf(text, sizeof(text), "%s%s%s",
		 error == ERR_FORMAT ? "the worker sent effects that are none"
				     : err_name(error),
		 *what ? ": " : "", what);
	if (error == ERR_FORMAT && outcome->child)
		child_kill(outcome->child, "protocol");
	fail_text(ev, current(ev), effect_code(error), text);
	step(ev);
}

static void commit(struct event *ev, const struct outcome *outcome)
{
	char what[CHAIN_WHAT] = "";
	int r;

	buf_clear(&ev->pending_ops);
	buf_add_slice(&ev->pending_ops, outcome->ops);
	ev->pending_nops = outcome->nops;
	ev->pending_finish = outcome->finish;
	r = buf_error(&ev->pending_ops);
	if (r == OK)
		r = ev->house->ops->apply(ev->house->arg, ev, current(ev),
					  outcome->effects, what);
	if (r < 0) /* else chain_applied() goes on */
		refuse_effects(ev, outcome, r, what);
}

void chain_applied(struct event *ev, int status)
{
	if (status == OK)
		take_ops(ev, buf_slice(&ev->pending_ops), ev->pending_nops,
			 ev->pending_finish);
	else
		fail_text(ev, current(ev), CODE_STORAGE, err_name(status));
	step(ev);
}

static void count(struct script *script, enum hook hook,
		  const struct outcome *outcome)
{
	struct stats *by_hook = script_hook_stats(script, hook);

	stats_run(&script->stats, outcome->code, outcome->us);
	if (by_hook)
		stats_run(by_hook, outcome->code, outcome->us);
}

static void on_run_done(struct run *run, const struct outcome *outcome)
{
	struct event *ev = run->owner;
	struct script *script = current(ev);

	ev->us = outcome->us;
	if (run->unwanted) {
		step(ev); /* its failure was told when its time was over */
		return;
	}
	if (!ev->dry)
		count(script, run->hook, outcome);
	if (outcome->code != CODE_OK) {
		fail(ev, script, outcome->code, outcome);
		step(ev);
	} else if (outcome->effects.n) {
		commit(ev, outcome);
	} else {
		take_ops(ev, outcome->ops, outcome->nops, outcome->finish);
		step(ev);
	}
}

/* The err that error.lua sees, as a map over the event's own keys. */
static void pack_err(struct event *ev, const struct failure *f)
{
	const char *hook = hook_table[ev->hook].name;
	struct buf msg = {0};

	buf_addf(&msg, "lua plugin '%s/%s' execution error: %s%s%s",
		 f->script->name, hook, f->message ? f->message : "",
		 f->traceback ? "\n" : "", f->traceback ? f->traceback : "");
	buf_clear(&ev->extra);
	pack_map(&ev->extra, 1);
	pack_cstr(&ev->extra, "err");
	pack_map(&ev->extra, 4);
	pack_cstr(&ev->extra, "msg");
	pack_text(&ev->extra, buf_slice(&msg));
	pack_cstr(&ev->extra, "script");
	pack_cstr(&ev->extra, f->script->name);
	pack_cstr(&ev->extra, "hook");
	pack_cstr(&ev->extra, hook);
	pack_cstr(&ev->extra, "code");
	pack_cstr(&ev->extra, code_name(f->code));
	buf_fini(&msg);
}

/* May one more script be started? */
static bool goes_on(const struct event *ev)
{
	if (ev->erring || !hook_table[ev->hook].decide)
		return true;
	/* Of an MQTT hook `finish` says that a script has decided. */
	if (ev->finish && hook_table[ev->hook].dialect == DIALECT_MQTT)
		return false;
	return !ev->abandoned && !ev->answered;
}

static void submit(struct event *ev)
{
	static const struct outcome too_large = {
		.code = CODE_TOO_LARGE,
		.message = {(const uint8_t *)TOO_LARGE, sizeof(TOO_LARGE) - 1},
	};
	struct run *run = &ev->run;

	run->hook = ev->erring ? HOOK_ERROR : ev->hook;
	run->event = ev->view;
	run->ops = buf_slice(&ev->ops);
	run->nops = ev->nops;
	run->extra = buf_slice(&ev->extra);
	run->owner = ev;
	run->done = on_run_done;
	run->begun_us = 0;
	run->serial = ++ev->house->serial;
	run->called = run->unwanted = false;
	if (run_fits(run, current(ev)->conf->memory))
		crew_submit(current(ev)->crew, run);
	else
		on_run_done(run, &too_large);
}

/* Answer, then the error.lua of every script for every failure. */
static void finish(struct event *ev)
{
	answer(ev);
	if (ev->erring)
		ev->error_at++;
	if (!ev->dry && ev->error_at < ev->nfailures &&
	    hook_table[ev->hook].dialect == DIALECT_HTTP &&
	    ev->roster->nhook[HOOK_ERROR] > 0) {
		ev->erring = true;
		ev->at = 0;
		pack_err(ev, &ev->failures[ev->error_at]);
		if (ev->house->tap)
			ev->house->tap(ev->house->tap_arg, ev);
		next(ev);
		return;
	}
	ev->house->running--;
	{
		struct chain_house *house = ev->house;

		ev->done(ev);
		if (house->running == 0 && house->idle)
			house->idle(house->arg);
	}
}

static void next(struct event *ev)
{
	if (ev->at < length(ev) && goes_on(ev))
		submit(ev);
	else
		finish(ev);
}

static void on_deadline(struct wheel_timer *t)
{
	struct event *ev = container_of(t, struct event, deadline);
	struct script *script;
	bool queued, waits;

	if (!ev->roster) { /* it waits for one of the same id */
		ev->expired = true;
		answer(ev);
		return;
	}
	script = current(ev);
	queued = crew_withdraw(script->crew, &ev->run);
	/* In a worker's socket it waits too, and cannot be called back. */
	waits = queued || ev->run.state == RUN_SENT;
	ev->run.unwanted = waits && !queued;
	fail_text(ev, script, waits ? CODE_OVERLOADED : CODE_TIMEOUT,
		  waits ? "the hook's deadline passed in the queue"
			: "the hook's deadline passed");
	answer(ev);
	if (queued)
		step(ev);
}

static void start_clock(struct event *ev)
{
	struct wheel *wheel = ev->house->wheel;
	uint64_t ms = ev->house->conf->hook_timeout_ms;
	uint64_t waited = uv_now(wheel->loop) - ev->arrived_ms;

	if (ev->budget_ms >= 0 && (uint64_t)ev->budget_ms < ms)
		ms = (uint64_t)ev->budget_ms;
	wheel_start(wheel, &ev->deadline, ms > waited ? ms - waited : 1);
}

void chain_wait(struct event *ev)
{
	start_clock(ev);
}

void chain_start(struct event *ev)
{
	struct chain_house *house = ev->house;

	ev->roster = roster_ref(house->roster);
	house->running++;
	if (house->tap)
		house->tap(house->tap_arg, ev);
	if (!ev->answered)
		start_clock(ev);
	next(ev);
}
