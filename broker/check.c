/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: a small broker that only loads. Start at check_run(); on_loaded()
 * collects the verdicts, and the last one ends the loop.
 */
#include "broker/check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "broker/broker.h"

struct verdict {
	struct script *script; /* NULL: its folder cannot be read */
	char *name;
	char *error; /* NULL: it loads */
	char *note;  /* NULL, or why that could not be told to the end */
	bool told, refused;
};

struct check {
	struct turn turn;
	struct wheel wheel;
	struct nursery nursery;
	struct call_house calls;
	struct conf *conf;
	struct verdict *verdict;
	size_t n, loading;
	char *sandbox;	  /* why no worker can be had, or NULL */
	uv_async_t alive; /* nothing else keeps the loop waiting */
	bool ending;
};

/* ---- the end ----------------------------------------------------------- */

static void close_handles(struct check *k)
{
	wheel_close(&k->wheel);
	turn_close(&k->turn);
	uv_close((uv_handle_t *)&k->alive, NULL);
}

static void on_no_children(void *arg)
{
	struct check *k = arg;

	nursery_close(&k->nursery);
	close_handles(k);
}

static void end(struct check *k)
{
	if (k->ending)
		return;
	k->ending = true;
	for (size_t i = 0; i < k->n; i++)
		if (k->verdict[i].script && k->verdict[i].script->crew)
			crew_stop(k->verdict[i].script->crew);
	nursery_stop(&k->nursery, on_no_children, k);
}

/* ---- what crews tell --------------------------------------------------- */

static struct verdict *verdict_of(struct check *k, const struct script *s)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->verdict[i].script == s)
			return &k->verdict[i];
	must(!"every crew has a verdict");
	return NULL;
}

static void on_loaded(void *arg, struct crew *crew, struct slice why)
{
	struct check *k = arg;
	struct verdict *v = verdict_of(k, crew->script);

	if (v->told)
		return;
	v->told = true;
	if (why.n && v->refused) /* it had asked for what a trial lacks */
		v->note = strndup((const char *)why.p, why.n);
	else if (why.n)
		v->error = strndup((const char *)why.p, why.n);
	if (--k->loading == 0)
		end(k);
}

static int on_call(void *arg, struct crew *crew, struct child *c,
		   struct run *run, const struct rpc *question)
{
	struct check *k = arg;

	if (!child_loading(run))
		return ERR_DENIED;
	return call_trial(&k->calls, crew->script, c, question,
			  &verdict_of(k, crew->script)->refused);
}

static void on_log(void *arg, struct crew *crew, struct child *c,
		   const struct rpc *record)
{
	struct check *k = arg;

	call_log(&k->calls, crew->script, c, record);
}

static struct child *on_spawn(void *arg, struct crew *crew)
{
	struct check *k = arg;

	return nursery_take(&k->nursery, crew->script->conf->memory);
}

static void on_dead(void *arg, struct crew *crew, struct child *c)
{
	struct check *k = arg;

	(void)crew;
	nursery_bury(&k->nursery, c);
}

static void on_over(void *arg, uint64_t serial)
{
	(void)arg, (void)serial; /* nothing is put ahead in a trial */
}

static const struct crew_ops crew_ops = {
	.on_call = on_call,
	.on_log = on_log,
	.on_loaded = on_loaded,
	.on_over = on_over,
	.spawn = on_spawn,
	.on_dead = on_dead,
};

/* A first worker has locked itself, or could not. */
static void on_tried(void *arg, const char *why)
{
	struct check *k = arg;

	if (why) {
		k->sandbox = strdup(why);
		end(k);
		return;
	}
	for (size_t i = 0; i < k->n && !k->ending; i++)
		if (k->verdict[i].script)
			crew_start(k->verdict[i].script->crew);
}

/* ---- the start --------------------------------------------------------- */

static int open_script(struct check *k, size_t at)
{
	struct conf_script *conf = k->conf->scripts[at];
	struct verdict *v = &k->verdict[k->n];
	struct buf why = {0};
	struct crew *crew;
	int r;

	v->name = strdup(conf->name);
	if (!v->name)
		return ERR_NOMEM;
	k->n++;
	conf->workers = 1; /* all would say the same */
	r = script_open(conf, k->conf->script_dir, 1, &v->script, &why);
	if (r < 0) {
		v->script = NULL;
		v->error = strndup(why.n ? (const char *)why.p : "?",
				   why.n ? why.n : 1);
		buf_fini(&why);
		return v->error ? OK : ERR_NOMEM;
	}
	k->conf->scripts[at] = NULL; /* the script owns it */
	k->loading++;
	return crew_new(v->script, k->conf, &k->wheel, &crew_ops, k, &crew);
}

static int open_scripts(struct check *k)
{
	int r = OK;

	k->verdict = calloc(k->conf->nscripts + 1, sizeof(*k->verdict));
	if (!k->verdict)
		return ERR_NOMEM;
	for (size_t i = 0; i < k->conf->nscripts && r == OK; i++)
		if (conf_script_wanted(k->conf, k->conf->scripts[i]))
			r = open_script(k, i);
	return r;
}

/* 0 and a loop that has run, or an exit status and `why`. */
static int load_all(struct check *k, struct buf *why)
{
	struct child_house house = {
		.turn = &k->turn,
		.wheel = &k->wheel,
		.strict = k->conf->sandbox.strict,
	};
	struct nursery_options options = {
		.worker = broker_worker_path(k->conf),
		.memory = (size_t)64 << 20,
		.uid_base = (unsigned)k->conf->sandbox.uid,
	};
	uv_loop_t loop;
	int status = 0;

	must(uv_loop_init(&loop) == 0);
	must(uv_async_init(&loop, &k->alive, NULL) == 0);
	wheel_init(&k->wheel, &loop);
	k->calls.conf = k->conf;
	if (turn_init(&k->turn, &loop) < 0)
		return EX_OSERR; /* the loop goes with the process */
	if (!options.worker) {
		status = EX_OSERR;
		close_handles(k);
	} else if (nursery_init(&k->nursery, &house, &options, why) < 0) {
		status = EX_CONFIG;
		close_handles(k);
	} else {
		nursery_warm(&k->nursery, on_tried, k);
		if (open_scripts(k) < 0)
			status = EX_OSERR;
		if (k->loading == 0 || status)
			end(k);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	turn_fini(&k->turn);
	free((char *)(uintptr_t)options.worker);
	return status;
}

/* ---- the report -------------------------------------------------------- */

static void add_json(struct buf *out, const char *text)
{
	struct slice s = slice_str(text);
	bool utf8 = slice_is_utf8(s);

	buf_add_byte(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
			buf_addf(out, "\\u%04x", c);
		else
			buf_add_byte(out, c);
	}
	buf_add_byte(out, '"');
}

static void add_hooks(struct buf *out, const struct script *s, bool json)
{
	bool first = true;

	for (int hook = 0; hook < HOOK_COUNT; hook++) {
		if (!script_serves(s, (enum hook)hook))
			continue;
		if (json && !first)
			buf_add_byte(out, ',');
		if (json)
			add_json(out, hook_table[hook].name);
		else
			buf_addf(out, " %s", hook_table[hook].name);
		first = false;
	}
	if (first && !json)
		buf_addf(out, " none");
}

static void add_script(struct buf *out, const struct verdict *v, bool json)
{
	if (!json && v->note) {
		buf_addf(out, "%s: ok as far as a trial can tell: %s\n",
			 v->name, v->note);
	} else if (!json && v->error) {
		buf_addf(out, "%s: %s\n", v->name, v->error);
	} else if (!json) {
		buf_addf(out, "%s: ok, hooks:", v->name);
		add_hooks(out, v->script, false);
		buf_add_byte(out, '\n');
	} else {
		buf_addf(out, "{\"name\":");
		add_json(out, v->name);
		buf_addf(out, ",\"ok\":%s,\"%s\":", v->error ? "false" : "true",
			 v->error ? "error" : "hooks");
		if (v->error)
			add_json(out, v->error);
		buf_add(out, "[", !v->error);
		if (!v->error)
			add_hooks(out, v->script, true);
		buf_addf(out, v->error ? "" : "]");
		if (v->note) {
			buf_addf(out, ",\"note\":");
			add_json(out, v->note);
		}
		buf_addf(out, "}");
	}
}

static void print_scripts(const struct check *k, bool ok)
{
	struct buf out = {0};

	if (k->n == 0)
		buf_addf(&out, "no scripts are enabled\n");
	for (size_t i = 0; i < k->n; i++)
		add_script(&out, &k->verdict[i], false);
	buf_addf(&out, "%s: %s\n", k->conf->file,
		 ok ? "ok" : "a script does not load");
	fwrite(out.p, 1, out.n, stdout);
	buf_fini(&out);
}

/* `error` may be NULL; k without a conf when the file itself is wrong. */
static void print_json(const struct check *k, const char *error, bool ok)
{
	struct buf out = {0};

	buf_addf(&out, "{\"ok\":%s,\"error\":", ok ? "true" : "false");
	if (error)
		add_json(&out, error);
	else
		buf_addf(&out, "null");
	buf_addf(&out, ",\"scripts\":[");
	for (size_t i = 0; i < k->n; i++) {
		buf_add(&out, ",", i > 0);
		add_script(&out, &k->verdict[i], true);
	}
	buf_addf(&out, "]}\n");
	fwrite(out.p, 1, out.n, stdout);
	buf_fini(&out);
}

static int report(const struct check *k, struct buf *why, int status, bool json)
{
	bool ok = true;

	for (size_t i = 0; i < k->n; i++)
		ok = ok && !k->verdict[i].error;
	if (!status && k->sandbox) {
		buf_addf(why, BROKER_NO_SANDBOX, k->sandbox);
		status = EX_UNAVAILABLE;
	}
	if (!status && !ok)
		status = EX_CONFIG;
	buf_add_byte(why, 0);
	if (json)
		print_json(k, why->n > 1 ? (const char *)why->p : NULL,
			   status == 0);
	else if (why->n > 1)
		fprintf(stderr, "%s\n", (const char *)why->p);
	else
		print_scripts(k, ok);
	return status;
}

static void fini(struct check *k)
{
	for (size_t i = 0; i < k->n; i++) {
		struct verdict *v = &k->verdict[i];

		if (v->script) {
			crew_free(v->script->crew);
			script_free(v->script);
		}
		free(v->name);
		free(v->error);
		free(v->note);
	}
	free(k->verdict);
	free(k->sandbox);
	conf_free(k->conf);
}

int check_run(const char *file, bool json)
{
	struct check *k = calloc(1, sizeof(*k)); /* the wheel is large */
	struct buf why = {0};
	int status = 0;

	if (!k)
		return EX_OSERR;
	signal(SIGPIPE, SIG_IGN);
	if (conf_load(file, &k->conf, &why) < 0)
		status = EX_CONFIG;
	else
		status = load_all(k, &why);
	status = report(k, &why, status, json);
	buf_fini(&why);
	fini(k);
	free(k);
	return status;
}
