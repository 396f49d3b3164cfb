/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call: the table of questions, and what all of them share. The answers
 * themselves are in call_kv.c, call_artifact.c, call_data.c, call_body.c.
 */
#include "broker/call/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "broker/ets.h"
#include "lib/log.h"
#include "proto/pack.h"

#define OF_SCRIPT "script."

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

int question_badarg(struct question *q, struct slice message)
{
	child_refuse_word(q->child, q->run, q->id, "badarg", message);
	return OK;
}

bool question_granted(struct question *q, enum grant kind, struct slice name)
{
	char text[256];

	if (grants_use(&q->script->grants, kind, name))
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
	l->script = q->script;
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

void later_badarg(struct later *l, struct slice message)
{
	struct run *run = l->call.run;

	if (run)
		child_refuse_word(run->child, run, l->call.id, "badarg",
				  message);
	l->call.run = NULL;
}

void later_end(struct later *l)
{
	must(!l->call.run);
	buf_fini(&l->nowhere);
	free(l);
}

void later_fail(struct later *l, int error)
{
	later_refuse(l, call_code(error), call_message(error));
	later_end(l);
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
	bool mqtt; /* scripts of the MQTT dialect only */
} permits[] = {
	{"kv.get", false, true, false, call_kv_get, false},
	{"kv.incr", false, true, true, call_kv_incr, false},
	{"kv.cas", false, true, true, call_kv_cas, false},
	{"kv.list", false, true, false, call_kv_list, false},
	{"body.get", false, true, false, call_body_get, false},
	{"artifact.stat", false, true, false, call_artifact_stat, false},
	{"artifact.list", false, true, false, call_artifact_list, false},
	{"artifact.read", false, true, false, call_artifact_read, false},
	{"artifact.put", false, true, false, call_artifact_put, false},
	{"data.exists", false, true, false, call_data_exists, false},
	{"data.read", false, true, false, call_data_read, false},
	{"data.list", false, true, false, call_data_list, false},
	{"source.get", true, false, false, source_get, false},
	{"ets.ensure_table", false, true, true, call_ets_ensure_table, true},
	{"ets.insert", false, true, true, call_ets_insert, true},
	{"ets.insert_new", false, true, true, call_ets_insert_new, true},
	{"ets.lookup", false, true, false, call_ets_lookup, true},
	{"ets.delete", false, true, true, call_ets_delete, true},
	{"ets.delete_all", false, true, true, call_ets_delete_all, true},
	{"cache.insert", false, true, true, call_cache_insert, true},
	{"cache.match_publish", false, true, false, call_cache_match_publish,
	 true},
	{"cache.match_subscribe", false, true, false,
	 call_cache_match_subscribe, true},
	{"mqtt.disconnect", false, true, true, call_mqtt_disconnect, true},
	{"mqtt.reauthorize", false, true, true, call_mqtt_reauthorize, true},
	{"mqtt.publish", false, true, true, call_mqtt_publish, true},
	{"provider.call", true, true, false, call_provider, false},
	{"bcrypt.hash", true, true, false, call_bcrypt_hash, false},
	{"bcrypt.salt", true, true, false, call_bcrypt_salt, false},
};

/* Hook files are only compiled then; a one-file script runs. */
static bool may_load(const struct permit *p, const struct script *script)
{
	return p->loading ||
	       (script->dialect == DIALECT_MQTT && p->answer != call_body_get);
}

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
		if (child_loading(run) ? !may_load(p, script) : !p->running)
			return ERR_DENIED;
		if (p->mqtt && script->dialect != DIALECT_MQTT)
			return question_refuse(&q, CODE_DENIED,
					       "denied: only scripts of the "
					       "MQTT dialect");
		if (p->writes && question_event(run) &&
		    question_event(run)->dry)
			return question_refuse(&q, CODE_DENIED,
					       "denied: exec commits "
					       "nothing");
		return p->answer(&q);
	}
	return ERR_DENIED;
}

/* ---- log records ------------------------------------------------------- */

/* Words of the record itself, and what looks like one of those renamed. */
static bool is_ours(struct slice key)
{
	static const char *const names[] = {"time", "level",  "topic",
					    "msg",  "script", "hook"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (slice_is(key, names[i]))
			return true;
	return slice_starts(key, slice_str(OF_SCRIPT));
}

static bool is_among(struct slice key, const struct log_attr *attrs, size_t n)
{
	while (n-- > 0)
		if (slice_eq(attrs[n].key, key))
			return true;
	return false;
}

/* Each key once, none that is ours: those become script.KEY, in `names`. */
static size_t read_attrs(struct cursor *c, struct log_attr *attrs, size_t max,
			 struct buf *names)
{
	size_t room = (size_t)(c->end - c->p) + max * sizeof(OF_SCRIPT);
	uint32_t n = cursor_array(c);
	size_t used = 0;
	uint8_t *start;

	if (buf_reserve(names, room, &start) < 0) /* so that it stays there */
		return 0;
	for (uint32_t i = 0; i + 1 < n && !c->error; i += 2) {
		struct log_attr a;

		a.key = cursor_text(c);
		a.value = cursor_text(c);
		if (c->error || used == max)
			continue;
		if (is_ours(a.key)) {
			start = names->p + names->n;
			buf_add_slice(names, slice_str(OF_SCRIPT));
			buf_add_slice(names, a.key);
			a.key = slice_of(start, a.key.n + strlen(OF_SCRIPT));
		}
		if (!is_among(a.key, attrs, used))
			attrs[used++] = a;
	}
	return used;
}

void call_log(struct call_house *h, struct script *script, struct child *c,
	      const struct rpc *record)
{
	struct cursor params = cursor_of(record->params);
	struct log_attr attrs[MAX_LOG_ATTRS];
	struct buf names = {0};
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
	n = 2 + read_attrs(&params, attrs + 2, MAX_LOG_ATTRS - 2, &names);
	log_attrs((enum log_level)level, "log", msg, attrs, n);
	buf_fini(&names);
}

/* ---- effects ----------------------------------------------------------- */

static void on_applied(void *arg, int status)
{
	chain_applied(arg, status);
}

struct effects_ctx call_effects(const struct call_house *h,
				enum dialect dialect)
{
	const struct conf_limits *l = &h->conf->limits;

	return (struct effects_ctx){h->store,	h->kv[dialect],
				    h->bus,	h->artifacts[dialect],
				    l->effects, l->effect_bytes};
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
	struct effects_ctx ctx = call_effects(h, script->dialect);
	struct effects_run run = run_of(ev, script);

	return effects_examine(&ctx, &run, effects);
}

int call_apply(struct call_house *h, struct event *ev, struct script *script,
	       struct slice effects, char *what)
{
	struct effects_ctx ctx = call_effects(h, script->dialect);
	struct effects_run run = run_of(ev, script);

	run.what = what;
	return effects_apply(&ctx, &run, effects, on_applied, ev);
}

static void on_load_applied(void *arg, int status)
{
	crew_applied(arg, status);
}

int call_apply_load(struct call_house *h, struct crew_load *load,
		    struct script *script, struct slice effects)
{
	struct effects_ctx ctx = call_effects(h, script->dialect);
	struct effects_run run = {
		.script = slice_str(script->name),
		.grants = &script->grants,
		.owner = load->serial,
	};

	return effects_apply(&ctx, &run, effects, on_load_applied, load);
}

void call_over(struct call_house *h, uint64_t serial)
{
	for (int i = 0; i < DIALECT_COUNT; i++)
		artifact_drop_owner(h->artifacts[i], serial);
}

void call_unloaded(struct call_house *h, struct slice script)
{
	if (h->ets)
		ets_forget(h->ets, script);
}

/* ---- life -------------------------------------------------------------- */

static int complain(struct buf *why, const char *what, int error)
{
	buf_addf(why, "%s: %s", what, err_name(error));
	return error == ERR_CORRUPT ? EX_DATAERR : EX_IOERR;
}

/* Account 0 is the store's own. */
static int open_spaces(struct call_house *h, const struct conf_limits *l,
		       enum dialect dialect, struct buf *why)
{
	struct kv_options kv = {.ns = dialect_name(dialect),
				.account = (uint8_t)(1 + dialect),
				.max_key = l->max_key,
				.max_value = l->max_value,
				.list_rows = (uint32_t)l->list_rows,
				.list_bytes = l->list_bytes};
	struct artifact_options art = {.ns = dialect_name(dialect),
				       .account = (uint8_t)(1 + dialect),
				       .max_bytes = l->max_artifact,
				       .list_rows = (uint32_t)l->list_rows};
	int r;

	if ((r = kv_open(&h->kv[dialect], h->store, &kv)) < 0)
		return complain(why, "kv", r);
	if ((r = artifact_open(&h->artifacts[dialect], h->store, &art)) < 0)
		return complain(why, "artifacts", r);
	return 0;
}

int call_open(struct call_house *h, uv_loop_t *loop, struct store *store,
	      const struct conf *conf, struct buf *why)
{
	const struct conf_limits *l = &conf->limits;
	struct bus_options bus = {.max_events = l->bus_events,
				  .max_age_ms = l->bus_age_ms};
	int r;

	*h = (struct call_house){.conf = conf, .store = store};
	if ((r = bus_open(&h->bus, store, &bus)) < 0)
		return complain(why, "bus", r);
	for (int i = 0; i < DIALECT_COUNT; i++)
		if ((r = open_spaces(h, l, (enum dialect)i, why)))
			return r;
	if ((r = ets_new(conf->mqtt.tables_bytes, &h->ets)) < 0)
		return complain(why, "tables", r);
	if (conf->data_store &&
	    data_open(&h->data, loop, conf->data_store) < 0) {
		buf_addf(why, "data_store: %s: %s", conf->data_store,
			 strerror(errno));
		return EX_CONFIG;
	}
	return 0;
}

void call_close(struct call_house *h)
{
	bus_close(h->bus);
	for (int i = 0; i < DIALECT_COUNT; i++) {
		kv_close(h->kv[i]);
		artifact_close(h->artifacts[i]);
	}
	ets_free(h->ets);
	h->ets = NULL;
	if (h->data)
		data_close(h->data);
}
