/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_exec: exec, one hook of one script on an event from a tool, through
 * the real worker, so that the answer is what a proxy would get. The event is
 * a dry one (chain.h): its effects are checked and told, never committed.
 */
#include <stdlib.h>

#include "broker/admin/admin.h"
#include "broker/answer.h"
#include "lib/log.h"
#include "proto/pack.h"

enum { MAX_LOG_BYTES = 1 << 20, MAX_LOGS = 1000 };

static const char usage[] = "exec [{script, hook, event, config?}]";

struct exec {
	struct list node; /* of the broker */
	struct broker *broker;
	struct admin_later *later;
	struct event *ev;
	struct turn_task applied;
	struct buf effects, logs; /* packed arrays, one behind the other */
	uint32_t neffects, nlogs;
};

/* ---- what the run does ------------------------------------------------- */

static void on_applied(struct turn_task *task)
{
	chain_applied(container_of(task, struct exec, applied)->ev, OK);
}

static void add_effect(struct exec *x, const struct effect_view *e,
		       struct slice raw)
{
	x->neffects++;
	if (e->effect != EFFECT_ARTIFACT_WRITE) {
		pack_raw(&x->effects, raw);
		return;
	}
	pack_array(&x->effects, 3); /* the blob's number says nothing */
	pack_cstr(&x->effects, effect_name(e->effect));
	pack_text(&x->effects, e->name);
	pack_uint(&x->effects, e->size);
}

int admin_exec_apply(struct broker *b, struct event *ev, struct script *script,
		     struct slice effects)
{
	struct exec *x = ev->client;
	struct effect_view e;
	size_t at = 0, from = 0;
	int r = call_examine(&b->calls, ev, script, effects);

	while (r >= 0 && (r = effects_next(effects, &at, &e)) > 0) {
		add_effect(x, &e, slice_of(effects.p + from, at - from));
		from = at;
	}
	if (r == OK)
		r = buf_error(&x->effects);
	if (r == OK)
		turn_later(&b->turn, &x->applied);
	return r;
}

/* [level, message, {key: value}] */
static void add_log(struct exec *x, struct cursor *c)
{
	uint64_t level = cursor_uint(c);
	struct slice message = cursor_text(c);
	uint32_t n = cursor_array(c) / 2;

	if (c->error || level > LOG_AUDIT || x->nlogs >= MAX_LOGS ||
	    x->logs.n > MAX_LOG_BYTES)
		return;
	x->nlogs++;
	pack_array(&x->logs, 3);
	pack_cstr(&x->logs, log_level_name((enum log_level)level));
	pack_text(&x->logs, message);
	pack_map(&x->logs, n);
	while (n-- > 0) {
		pack_text(&x->logs, cursor_text(c));
		pack_text(&x->logs, cursor_text(c));
	}
}

void admin_exec_log(struct broker *b, const struct child *c,
		    const struct rpc *record)
{
	struct cursor params = cursor_of(record->params);
	uint64_t id;

	cursor_array(&params);
	id = cursor_uint(&params);
	list_each(node, next, &b->execs)
	{
		struct exec *x = container_of(node, struct exec, node);

		if (x->ev->run.child != c || x->ev->run.id != id)
			continue;
		add_log(x, &params);
		return;
	}
}

/* ---- the answer -------------------------------------------------------- */

static void pack_pair(struct buf *out, const char *key, const char *text)
{
	pack_cstr(out, key);
	pack_text(out, slice_str(text));
}

static void pack_error(struct buf *out, const struct event *ev)
{
	const struct failure *f = ev->failures;

	pack_cstr(out, "error");
	if (ev->nfailures == 0) {
		pack_nil(out);
		return;
	}
	pack_map(out, 4 + (f->traceback != NULL));
	pack_pair(out, "code", code_name(f->code));
	pack_pair(out, "message", f->message ? f->message : "");
	pack_pair(out, "script", f->script->name);
	pack_pair(out, "hook", hook_table[ev->hook].name);
	if (f->traceback)
		pack_pair(out, "traceback", f->traceback);
}

static void pack_sequence(struct buf *out, const char *key, uint32_t n,
			  const struct buf *items)
{
	pack_cstr(out, key);
	pack_array(out, n);
	pack_raw(out, buf_slice(items));
}

static void on_answer(struct event *ev)
{
	struct exec *x = ev->client;
	struct buf none = {0}, *out;

	if (buf_error(&x->effects) < 0 || buf_error(&x->logs) < 0) {
		admin_later_refuse(x->later, CODE_OVERLOADED, "no memory");
		return;
	}
	if (ev->ops.n + x->effects.n + x->logs.n > PROTO_MAX_MESSAGE / 2) {
		admin_later_refuse(x->later, CODE_TOO_LARGE,
				   "ops and effects are over 8 MiB");
		return;
	}
	out = admin_later_answer(x->later, &none);
	if (hook_table[ev->hook].dialect == DIALECT_MQTT) {
		static const struct buf nothing;

		pack_map(out, 6 + answer_verdict_pairs(ev));
		answer_verdict(out, ev);
		pack_sequence(out, "ops", 0, &nothing);
	} else {
		pack_map(out, 6);
		pack_sequence(out, "ops", ev->nops, &ev->ops);
	}
	pack_cstr(out, "finished");
	pack_bool(out,
		  ev->finish && hook_table[ev->hook].dialect == DIALECT_HTTP);
	pack_sequence(out, "effects", x->neffects, &x->effects);
	pack_sequence(out, "logs", x->nlogs, &x->logs);
	pack_error(out, ev);
	pack_cstr(out, "us");
	pack_uint(out, ev->us);
	buf_fini(&none);
}

static void exec_free(struct exec *x)
{
	list_remove(&x->node);
	turn_forget(&x->applied);
	if (x->ev)
		event_free(x->ev);
	if (x->later)
		admin_later_end(x->later);
	buf_fini(&x->effects);
	buf_fini(&x->logs);
	free(x);
}

static void on_done(struct event *ev)
{
	exec_free(ev->client);
}

/* ---- the question ------------------------------------------------------ */

static struct exec *exec_new(struct admin_call *a)
{
	struct exec *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	list_init(&x->node);
	turn_task_init(&x->applied, on_applied);
	x->broker = a->broker;
	x->ev = event_new(&a->broker->chains);
	x->later = x->ev ? admin_later(a) : NULL;
	if (x->later)
		return x;
	exec_free(x);
	return NULL;
}

/* NULL, or what is wrong with the event. */
static const char *fill(struct exec *x, struct slice map, enum hook hook)
{
	struct event *ev = x->ev;
	struct event_head head;

	ev->hook = hook;
	if (event_head(map, map.p, NULL, &head) < 0 ||
	    event_fill(ev, map, map, slice_of(NULL, 0)) < 0 ||
	    event_find_bodies(ev) < 0)
		return "the event is no map, or a key has the wrong type";
	for (int i = 0; i < BODY_COUNT; i++)
		if (ev->bodies.body[i].lazy)
			return "a body of this event is not in it";
	ev->dry = true;
	ev->us = 0;
	ev->client = x;
	ev->answer = on_answer;
	ev->done = on_done;
	return NULL;
}

/* The keys of `config`, a map or empty, lie over the script's own for this
 * run: the worker finds them beside the event. */
static const char *lend(struct exec *x, struct slice config)
{
	struct cursor c = cursor_of(config);

	if (config.n == 0 || cursor_peek(&c) == CURSOR_NIL)
		return NULL;
	if (cursor_peek(&c) != CURSOR_MAP)
		return "config is no map";
	if (hook_table[x->ev->hook].dialect == DIALECT_MQTT)
		return "config is for hook files: a script of the MQTT "
		       "dialect has read its own when it was loaded";
	pack_map(&x->ev->extra, 1);
	pack_cstr(&x->ev->extra, "config");
	pack_raw(&x->ev->extra, config);
	return buf_error(&x->ev->extra) < 0 ? "no memory" : NULL;
}

static void start(struct admin_call *a, struct script *script, enum hook hook,
		  struct slice map)
{
	struct slice event = {0}, config = {0};
	struct exec *x = exec_new(a);
	const char *wrong;

	if (!x) {
		admin_refuse(a, CODE_OVERLOADED, "no memory");
		return;
	}
	(void)map_find(map, "event", &event);
	(void)map_find(map, "config", &config);
	wrong = fill(x, event, hook);
	if (!wrong)
		wrong = lend(x, config);
	if (wrong) {
		admin_later_refuse(x->later, CODE_BAD_EVENT, wrong);
		exec_free(x);
		return;
	}
	x->ev->only = script;
	list_push(&a->broker->execs, &x->node);
	chain_start(x->ev);
}

static void no_hook(struct admin_call *a, const struct script *script)
{
	struct buf text = {0};

	buf_addf(&text, "script %s has no such hook, it has:", script->name);
	for (int hook = 0; hook < HOOK_COUNT; hook++)
		if (script_serves(script, (enum hook)hook))
			buf_addf(&text, " %s", hook_table[hook].name);
	buf_add_byte(&text, 0);
	admin_refuse(a, CODE_BAD_EVENT,
		     buf_error(&text) ? "no such hook" : (const char *)text.p);
	buf_fini(&text);
}

void admin_exec(struct admin_call *a)
{
	struct slice map = {0}, event;
	struct script *script;
	enum hook hook;

	if (a->nargs > 0)
		map = cursor_raw(&a->args);
	if (a->args.error || !map_find(map, "event", &event)) {
		admin_refuse(a, CODE_BAD_EVENT, usage);
		return;
	}
	if (a->broker->phase != BROKER_SERVING) {
		admin_refuse(a, CODE_SHUTTING_DOWN, "pinfold is stopping");
		return;
	}
	script = admin_find_script(a, map_text(map, "script"));
	if (!script)
		return;
	hook = hook_parse(map_text(map, "hook"));
	if (hook == HOOK_COUNT || !script_serves(script, hook))
		no_hook(a, script);
	else
		start(a, script, hook, map);
}
