/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload: see the drawing in reload.h. plan_all() decides what is new,
 * on_switch() makes it so.
 */
#include "broker/reload.h"

#include <stdlib.h>

#include "broker/feed.h"
#include "broker/reload_wish.h"
#include "lib/log.h"

struct reload {
	struct broker *broker;
	struct conf *conf; /* the new file; its scripts are taken out of it */
	char *only;
	struct reload_row *row;
	size_t n;
	size_t loading;
	struct buf error;
	struct turn_task task;
	void (*done)(void *arg, const struct reload_result *result);
	void *arg;
};

const char *reload_verdict_name(enum reload_verdict verdict)
{
	static const char *const names[] = {"kept", "loaded", "refused",
					    "removed"};

	return names[verdict];
}

/* ---- the plan ---------------------------------------------------------- */

static struct script *running(const struct broker *b, const char *name)
{
	const struct roster *r = b->chains.roster;

	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->scripts[i]->name, name) == 0)
			return r->scripts[i];
	return NULL;
}

static void refuse(struct reload_row *row, struct slice why)
{
	row->verdict = RELOAD_REFUSED;
	free(row->why);
	row->why = strndup((const char *)why.p, why.n);
	log_error("reload", "script=%s refused, %s: %.*s", row->name,
		  row->old ? "the old generation goes on" : "it is not served",
		  (int)why.n, (const char *)why.p);
}

/* Is it the one that is meant? */
static bool is_only(const struct reload *r, const struct conf_script *c)
{
	if (!r->only)
		return false;
	if (r->only[0] == '/')
		return conf_find_file(r->conf, r->only) == c;
	return strcmp(r->only, c->name) == 0;
}

/* Open the sources; start its workers when anything is new about it. */
static int plan_script(struct reload *r, struct reload_row *row, size_t at)
{
	struct broker *b = r->broker;
	struct conf_script *conf = r->conf->scripts[at];
	bool forced = is_only(r, conf);
	struct buf why = {0};
	struct script *s;
	struct crew *crew;

	if (script_open(conf, r->conf->script_dir, b->generation + 1, &s,
			&why) < 0) {
		refuse(row, buf_slice(&why));
		buf_fini(&why);
		return OK;
	}
	r->conf->scripts[at] = NULL; /* the script owns it */
	if (row->old && !forced && script_same(row->old, s)) {
		row->verdict = RELOAD_KEPT;
		script_free(s);
		return OK;
	}
	if (crew_new(s, b->conf, &b->wheel, &b->crew_ops, b, &crew) < 0) {
		script_free(s);
		return ERR_NOMEM;
	}
	b->generation++;
	row->new_ = s;
	row->verdict = RELOAD_LOADED;
	row->loading = true;
	r->loading++;
	return OK;
}

static int plan_all(struct reload *r)
{
	struct broker *b = r->broker;
	const struct roster *old = b->chains.roster;
	int rc = OK;

	r->row = calloc(r->conf->nscripts + old->n + 1, sizeof(*r->row));
	if (!r->row)
		return ERR_NOMEM;
	for (size_t i = 0; i < r->conf->nscripts && rc == OK; i++) {
		struct conf_script *c = r->conf->scripts[i];
		struct reload_row *row = &r->row[r->n];

		if (!reload_wants(b, r->conf, c))
			continue;
		row->name = strdup(c->name);
		if (!row->name)
			return ERR_NOMEM;
		row->path = c->file ? strdup(c->file) : NULL;
		row->old = running(b, c->name);
		r->n++;
		if (r->only && row->old && !is_only(r, c))
			row->verdict = RELOAD_KEPT;
		else
			rc = plan_script(r, row, i);
	}
	return rc;
}

static char *copy_path(const struct script *s)
{
	return s->conf->file ? strdup(s->conf->file) : NULL;
}

/* Scripts that run and are wanted no more: rows that say so. */
static int plan_removals(struct reload *r)
{
	const struct roster *old = r->broker->chains.roster;
	size_t planned = r->n;

	for (size_t i = 0; i < old->n; i++) {
		size_t k = 0;

		while (k < planned && r->row[k].old != old->scripts[i])
			k++;
		if (k < planned)
			continue;
		r->row[r->n] = (struct reload_row){
			.name = strdup(old->scripts[i]->name),
			.path = copy_path(old->scripts[i]),
			.verdict = RELOAD_REMOVED,
			.old = old->scripts[i]};
		if (!r->row[r->n++].name)
			return ERR_NOMEM;
	}
	return OK;
}

/* ---- the switch -------------------------------------------------------- */

static void discard(struct script *s)
{
	crew_stop(s->crew);
	if (crew_idle(s->crew)) {
		crew_free(s->crew);
		script_free(s);
	} /* else its last worker takes it along (broker.c) */
}

/* Which generation serves that name from now on? NULL: none. */
static struct script *chosen(const struct reload_row *row)
{
	if (row->verdict == RELOAD_REMOVED)
		return NULL;
	return row->verdict == RELOAD_LOADED ? row->new_ : row->old;
}

static int switch_roster(struct reload *r)
{
	struct broker *b = r->broker;
	struct script **all = calloc(r->n + 1, sizeof(*all));
	struct roster *roster;
	size_t n = 0;

	if (!all)
		return ERR_NOMEM;
	for (size_t i = 0; i < r->n; i++)
		if (chosen(&r->row[i]))
			all[n++] = chosen(&r->row[i]);
	if (roster_new(all, n, &roster) < 0) {
		free(all);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < r->n; i++)
		if (r->row[i].old && chosen(&r->row[i]) != r->row[i].old)
			feed_close(r->row[i].old);
	chain_switch(&b->chains, roster);
	for (size_t i = 0; i < r->n; i++)
		if (r->row[i].verdict == RELOAD_LOADED)
			feed_open(&b->chains, b->calls.bus, r->row[i].new_);
	client_tell_hooks(&b->clients);
	return OK;
}

/* One script alone is reloaded with the settings that hold. */
static int configure_gateway(struct reload *r)
{
	if (r->only)
		return OK;
	return gateway_configure(&r->broker->gateway,
				 buf_slice(&r->conf->mqtt.providers));
}

static void free_rows(struct reload *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->row[i].name);
		free(r->row[i].path);
		free(r->row[i].why);
	}
	r->n = 0;
}

static void finish(struct reload *r)
{
	struct reload_result result = {r->row, r->n, buf_slice(&r->error),
				       r->conf};
	struct broker *b = r->broker;

	b->reload = NULL;
	if (r->error.n)
		log_error("reload", "refused, nothing was changed: %.*s",
			  (int)r->error.n, (const char *)r->error.p);
	if (r->done)
		r->done(r->arg, &result);
	free_rows(r);
	free(r->row);
	free(r->only);
	conf_free(r->conf);
	buf_fini(&r->error);
	free(r);
	reload_postponed(b);
}

bool reload_knows(const struct reload_result *result, const char *name)
{
	const struct conf *conf = result->conf;

	for (size_t i = 0; i < result->n; i++)
		if (strcmp(result->row[i].name, name) == 0)
			return true;
	/* Those that are wanted have a row, and are taken out of it. */
	for (size_t i = 0; conf && i < conf->nscripts; i++)
		if (conf->scripts[i] &&
		    strcmp(conf->scripts[i]->name, name) == 0)
			return true;
	return false;
}

static void abandon(struct reload *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->row[i].new_)
			discard(r->row[i].new_);
	free_rows(r);
}

/* At the end of a turn: no crew is on the stack that could be freed. */
static void on_switch(struct turn_task *task)
{
	struct reload *r = container_of(task, struct reload, task);

	if (r->error.n == 0) {
		for (size_t i = 0; i < r->n; i++)
			if (r->row[i].new_ &&
			    r->row[i].verdict == RELOAD_REFUSED) {
				discard(r->row[i].new_);
				r->row[i].new_ = NULL;
			}
		if (switch_roster(r) < 0 || configure_gateway(r) < 0)
			buf_addf(&r->error, "no memory");
	}
	if (r->error.n)
		abandon(r);
	else
		for (size_t i = 0; i < r->n; i++)
			log_info("reload", "script=%s %s", r->row[i].name,
				 reload_verdict_name(r->row[i].verdict));
	finish(r);
}

bool reload_loaded(struct broker *b, struct crew *crew, struct slice why)
{
	struct reload *r = b->reload;

	if (!r)
		return false;
	for (size_t i = 0; i < r->n; i++) {
		struct reload_row *row = &r->row[i];

		if (row->new_ != crew->script || !row->loading)
			continue;
		row->loading = false;
		if (why.n)
			refuse(row, why);
		if (--r->loading == 0)
			turn_later(&b->turn, &r->task);
		return true;
	}
	return false;
}

/* ---- the start --------------------------------------------------------- */

/* What a reload does not take over. */
static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_place(const struct conf *old, const struct conf *new_)
{
	return same_text(old->listen.path, new_->listen.path) &&
	       old->listen.mode == new_->listen.mode &&
	       same_text(old->listen.group, new_->listen.group) &&
	       old->listen.nuids == new_->listen.nuids &&
	       same_text(old->control, new_->control) &&
	       same_text(old->data_dir, new_->data_dir) &&
	       same_text(old->data_store, new_->data_store) &&
	       same_text(old->worker, new_->worker) &&
	       same_text(old->gateway, new_->gateway);
}

static bool same_mqtt(const struct conf_mqtt *old, const struct conf_mqtt *new_)
{
	return old->nulls_nil == new_->nulls_nil &&
	       old->keep_state == new_->keep_state &&
	       old->cache_ttl_ms == new_->cache_ttl_ms &&
	       old->tables_bytes == new_->tables_bytes;
}

static bool same_numbers(const struct conf *old, const struct conf *new_)
{
	return memcmp(&old->limits, &new_->limits, sizeof(old->limits)) == 0 &&
	       old->hook_timeout_ms == new_->hook_timeout_ms &&
	       old->load_timeout_ms == new_->load_timeout_ms &&
	       old->shutdown_timeout_ms == new_->shutdown_timeout_ms &&
	       old->durable_disk == new_->durable_disk &&
	       old->max_bytes == new_->max_bytes &&
	       old->sandbox.strict == new_->sandbox.strict &&
	       old->sandbox.uid == new_->sandbox.uid &&
	       old->log_json == new_->log_json &&
	       old->log_level == new_->log_level;
}

static void warn_fixed(const struct conf *old, const struct conf *new_)
{
	if (!same_place(old, new_) || !same_numbers(old, new_) ||
	    !same_mqtt(&old->mqtt, &new_->mqtt))
		log_warn("reload", "only scripts and their settings change "
				   "now; what else is new in the file needs a "
				   "new start");
}

static int plan(struct reload *r)
{
	int rc = conf_load(r->broker->conf->file, &r->conf, &r->error);

	if (rc < 0)
		return rc == ERR_NOMEM ? rc : OK; /* told by `error` */
	conf_learn_secrets(r->broker->conf, r->conf);
	warn_fixed(r->broker->conf, r->conf);
	rc = reload_add_commands(r->broker, r->conf, &r->error);
	if (rc < 0)
		return r->error.n ? OK : rc;
	if ((rc = plan_all(r)) < 0)
		return rc;
	return plan_removals(r);
}

int reload_start(struct broker *b, const char *only,
		 void (*done)(void *arg, const struct reload_result *result),
		 void *arg)
{
	struct reload *r;

	if (!reload_possible(b))
		return ERR_AGAIN;
	r = calloc(1, sizeof(*r));
	if (!r)
		return ERR_NOMEM;
	r->broker = b;
	r->done = done;
	r->arg = arg;
	r->only = only ? strdup(only) : NULL;
	turn_task_init(&r->task, on_switch);
	b->reload = r;
	if (plan(r) < 0 && r->error.n == 0)
		buf_addf(&r->error, "no memory");
	for (size_t i = 0; r->error.n == 0 && i < r->n; i++)
		if (r->row[i].loading)
			crew_start(r->row[i].new_->crew);
	if (r->loading == 0 || r->error.n)
		turn_later(&b->turn, &r->task);
	return OK;
}

bool reload_possible(const struct broker *b)
{
	return !b->reload && b->phase == BROKER_SERVING;
}

void reload_postponed(struct broker *b)
{
	if (!b->reload_wanted || !reload_possible(b))
		return;
	b->reload_wanted = false;
	if (reload_start(b, NULL, NULL, NULL) < 0)
		log_error("reload", "no memory");
}

void reload_wanted(struct broker *b)
{
	b->reload_wanted = true;
	if (b->reload)
		log_info("reload", "once more, after this one");
	reload_postponed(b);
}

void reload_cancel(struct broker *b)
{
	struct reload *r = b->reload;

	if (!r)
		return;
	turn_forget(&r->task);
	buf_clear(&r->error);
	buf_addf(&r->error, "pinfold is stopping");
	abandon(r);
	finish(r);
}
