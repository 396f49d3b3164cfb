/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call: the table of questions, and what all of them share. The answers
 * themselves are in call_kv.c, call_artifact.c, call_data.c, call_body.c.
 */
#include "broker/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "lib/log.h"
#include "proto/pack.h"

enum { MAX_LOG_ATTRS = 32 };

/* ---- answers ----------------------------------------------------------- */

struct buf *question_answer(struct question *q)
{
	return child_answer(q->child, q->run, q->id);
}

int question_refuse(struct question *q, enum code code, const char *message)
{
	child_refuse(q->child, q->run, q->id, code, message);
	return OK;
}

bool question_granted(struct question *q, enum grant kind, struct slice name)
{
	char text[256];

	if (grants_allow(&q->script->grants, kind, name))
		return true;
	snprintf(text, sizeof(text), "denied: no grant for %s '%.*s'",
		 grant_name(kind), (int)(name.n < 128 ? name.n : 128),
		 (const char *)name.p);
	question_refuse(q, CODE_DENIED, text);
	return false;
}

struct later *later_new(struct question *q)
{
	struct later *l = calloc(1, sizeof(*l));

	if (!l) {
		question_refuse(q, CODE_OVERLOADED, "no memory");
		return NULL;
	}
	child_defer(q->run, &l->call, q->id);
	return l;
}

struct buf *later_answer(struct later *l)
{
	struct run *run = l->call.run;

	if (!run)
		return &l->nowhere;
	l->call.run = NULL;
	return child_answer(run->child, run, l->call.id);
}

void later_refuse(struct later *l, enum code code, const char *message)
{
	struct run *run = l->call.run;

	if (run)
		child_refuse(run->child, run, l->call.id, code, message);
	l->call.run = NULL;
}

void later_end(struct later *l)
{
	must(!l->call.run);
	buf_fini(&l->nowhere);
	free(l);
}

enum code call_code(int error)
{
	switch (error) {
	case ERR_RANGE:
		return CODE_TOO_LARGE;
	case ERR_DENIED:
		return CODE_DENIED;
	case ERR_TIMEOUT:
		return CODE_TIMEOUT;
	default:
		return CODE_STORAGE;
	}
}

const char *call_message(int error)
{
	switch (error) {
	case ERR_RANGE:
		return "too_large: over a limit";
	case ERR_FULL:
		return "storage: no space, or too much is waiting";
	case ERR_CLOSED:
		return "storage: the store is closing";
	case ERR_CORRUPT:
		return "storage: damaged data";
	case ERR_ABSENT:
		return "no such thing";
	default:
		return "storage: the store does not answer";
	}
}

/* ---- loading ----------------------------------------------------------- */

static int source_get(struct question *q)
{
	struct slice name = cursor_text(&q->args);
	const struct script_file *file;

	if (q->args.error)
		return ERR_FORMAT;
	file = script_file(q->script, name);
	if (file)
		pack_bin(question_answer(q), buf_slice(&file->text));
	else
		pack_nil(question_answer(q));
	return OK;
}

/* ---- the table --------------------------------------------------------- */

static const struct permit {
	const char *method;
	bool loading, running; /* when it may be asked */
	bool writes;	       /* at once: not in a trial (event.dry) */
	int (*answer)(struct question *q);
} permits[] = {
	{"kv.get", false, true, false, call_kv_get},
	{"kv.incr", false, true, true, call_kv_incr},
	{"kv.cas", false, true, true, call_kv_cas},
	{"kv.list", false, true, false, call_kv_list},
	{"body.get", false, true, false, call_body_get},
	{"artifact.stat", false, true, false, call_artifact_stat},
	{"artifact.list", false, true, false, call_artifact_list},
	{"artifact.read", false, true, false, call_artifact_read},
	{"artifact.put", false, true, false, call_artifact_put},
	{"data.exists", false, true, false, call_data_exists},
	{"data.read", false, true, false, call_data_read},
	{"data.list", false, true, false, call_data_list},
	{"source.get", true, false, false, source_get},
};

int call_answer(struct call_house *h, struct script *script, struct child *c,
		struct run *run, const struct rpc *rpc)
{
	struct question q = {h,	  script,  c,
			     run, rpc->id, cursor_of(rpc->params)};

	cursor_array(&q.args);
	cursor_skip(&q.args); /* the run's id: child.c has looked */
	for (size_t i = 0; i < sizeof(permits) / sizeof(permits[0]); i++) {
		const struct permit *p = &permits[i];

		if (!slice_is(rpc->method, p->method))
			continue;
		if (run ? !p->running : !p->loading)
			return ERR_DENIED;
		if (p->writes && ((struct event *)run->owner)->dry)
			return question_refuse(&q, CODE_DENIED,
					       "denied: exec commits "
					       "nothing");
		return p->answer(&q);
	}
	return ERR_DENIED;
}

/* ---- log records ------------------------------------------------------- */

static size_t read_attrs(struct cursor *c, struct log_attr *attrs, size_t max)
{
	uint32_t n = cursor_array(c);
	size_t used = 0;

	for (uint32_t i = 0; i + 1 < n && !c->error; i += 2) {
		struct log_attr a;

		a.key = cursor_text(c);
		a.value = cursor_text(c);
		if (!c->error && used < max)
			attrs[used++] = a;
	}
	return used;
}

void call_log(struct call_house *h, struct script *script, struct child *c,
	      const struct rpc *record)
{
	struct cursor params = cursor_of(record->params);
	struct log_attr attrs[MAX_LOG_ATTRS];
	const struct run *run;
	uint64_t level;
	struct slice msg;
	size_t n;

	if (!script_may_log(script, uv_now(c->link.turn->loop),
			    h->conf->limits.log_lines))
		return;
	cursor_array(&params);
	run = child_run(c, (uint32_t)cursor_uint(&params));
	level = cursor_uint(&params);
	msg = cursor_text(&params);
	if (params.error || level > LOG_AUDIT) {
		c->distrusted = true;
		child_kill(c, "protocol");
		return;
	}
	attrs[0] =
		(struct log_attr){slice_str("script"), slice_str(script->name)};
	attrs[1] = (struct log_attr){
		slice_str("hook"),
		slice_str(run ? hook_table[run->hook].name : "load")};
	n = 2 + read_attrs(&params, attrs + 2, MAX_LOG_ATTRS - 2);
	log_attrs((enum log_level)level, "log", msg, attrs, n);
}

/* ---- effects ----------------------------------------------------------- */

static void on_applied(void *arg, int status)
{
	chain_applied(arg, status);
}

struct effects_ctx call_effects(const struct call_house *h)
{
	const struct conf_limits *l = &h->conf->limits;

	return (struct effects_ctx){h->store,	  h->kv,      h->bus,
				    h->artifacts, l->effects, l->effect_bytes};
}

static struct effects_run run_of(const struct event *ev,
				 const struct script *script)
{
	return (struct effects_run){
		.script = slice_str(script->name),
		.grants = &script->grants,
		.owner = ev->run.serial,
		.hops = (uint32_t)ev->hops,
	};
}

int call_examine(struct call_house *h, const struct event *ev,
		 struct script *script, struct slice effects)
{
	struct effects_ctx ctx = call_effects(h);
	struct effects_run run = run_of(ev, script);

	return effects_examine(&ctx, &run, effects);
}

int call_apply(struct call_house *h, struct event *ev, struct script *script,
	       struct slice effects, char *what)
{
	struct effects_ctx ctx = call_effects(h);
	struct effects_run run = run_of(ev, script);

	run.what = what;
	return effects_apply(&ctx, &run, effects, on_applied, ev);
}

void call_over(struct call_house *h, uint64_t serial)
{
	artifact_drop_owner(h->artifacts, serial);
}

/* ---- life -------------------------------------------------------------- */

static int complain(struct buf *why, const char *what, int error)
{
	buf_addf(why, "%s: %s", what, err_name(error));
	return error == ERR_CORRUPT ? EX_DATAERR : EX_IOERR;
}

int call_open(struct call_house *h, uv_loop_t *loop, struct store *store,
	      const struct conf *conf, struct buf *why)
{
	const struct conf_limits *l = &conf->limits;
	struct kv_options kv = {.ns = "http",
				.account = 1,
				.max_key = l->max_key,
				.max_value = l->max_value,
				.list_rows = (uint32_t)l->list_rows,
				.list_bytes = l->list_bytes};
	struct bus_options bus = {.max_events = l->bus_events,
				  .max_age_ms = l->bus_age_ms};
	struct artifact_options art = {.ns = "http",
				       .account = 1,
				       .max_bytes = l->max_artifact,
				       .list_rows = (uint32_t)l->list_rows};
	int r;

	*h = (struct call_house){.conf = conf, .store = store};
	if ((r = kv_open(&h->kv, store, &kv)) < 0)
		return complain(why, "kv", r);
	if ((r = bus_open(&h->bus, store, &bus)) < 0)
		return complain(why, "bus", r);
	if ((r = artifact_open(&h->artifacts, store, &art)) < 0)
		return complain(why, "artifacts", r);
	if (conf->data_store &&
	    (r = data_open(&h->data, loop, conf->data_store)) < 0)
		return complain(why, conf->data_store, r);
	return 0;
}

void call_close(struct call_house *h)
{
	bus_close(h->bus);
	kv_close(h->kv);
	artifact_close(h->artifacts);
	if (h->data)
		data_close(h->data);
}
