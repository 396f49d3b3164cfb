/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script: what its settings say, and rosters. Its files are read in
 * script_read.c; crew.c runs what this file describes.
 */
#include "broker/script.h"

#include <stdlib.h>

#include "broker/script_read.h"
#include "lib/log.h"
#include "proto/pack.h"

/* The lists of the configuration as slices: grants.h works on those. */
static int read_grants(struct script *s, const struct conf_grants *conf)
{
	const struct conf_grant *from[GRANT_COUNT] = {
		[GRANT_KV_READ] = &conf->kv_read,
		[GRANT_KV_WRITE] = &conf->kv_write,
		[GRANT_BUS] = &conf->bus,
		[GRANT_ARTIFACTS] = &conf->artifacts,
		[GRANT_DATA] = &conf->data,
		[GRANT_PROVIDERS] = &conf->providers,
	};
	struct slice *at;
	size_t n = 1;

	for (int i = 0; i < GRANT_COUNT; i++)
		n += from[i]->allow.n;
	s->grants.learn = &s->learn;
	at = s->grant_prefixes = calloc(n, sizeof(*at));
	if (!at)
		return ERR_NOMEM;
	for (int i = 0; i < GRANT_COUNT; i++) {
		s->grants.list[i].limited = from[i]->given;
		s->grants.list[i].prefix = at;
		s->grants.list[i].n = from[i]->allow.n;
		for (size_t k = 0; k < from[i]->allow.n; k++)
			*at++ = slice_str(from[i]->allow.item[k]);
	}
	/* Hook files reach no server that they were not given. */
	if (s->dialect == DIALECT_HTTP)
		s->grants.list[GRANT_PROVIDERS].limited = true;
	return OK;
}

int script_open(struct conf_script *conf, const char *dir, uint64_t generation,
		struct script **out, struct buf *why)
{
	struct script *s = calloc(1, sizeof(*s));
	int rc;

	*out = NULL;
	if (!s)
		return ERR_NOMEM;
	s->name = conf->name;
	s->dialect = conf->dialect;
	s->generation = generation;
	rc = read_grants(s, &conf->grants);
	if (rc == OK && conf->dialect == DIALECT_MQTT)
		rc = script_read_file(s, conf, why);
	else if (rc == OK)
		rc = script_read_folder(s, dir, why);
	if (rc < 0) {
		script_free(s);
		return rc;
	}
	s->conf = conf;
	*out = s;
	return OK;
}

void script_free(struct script *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nfiles; i++) {
		free(s->files[i].name);
		buf_fini(&s->files[i].text);
	}
	free(s->files);
	free(s->grant_prefixes);
	learn_fini(&s->learn);
	quarantine_fini(&s->quarantine);
	free(s->why);
	free(s->main);
	for (int i = 0; i < HOOK_COUNT; i++)
		free(s->hook_stats[i]);
	conf_script_free(s->conf);
	free(s);
}

struct stats *script_hook_stats(struct script *s, enum hook hook)
{
	if (s->dialect == DIALECT_HTTP)
		return NULL;
	if (!s->hook_stats[hook])
		s->hook_stats[hook] = calloc(1, sizeof(struct stats));
	return s->hook_stats[hook];
}

void script_deny(struct script *s)
{
	for (int i = 0; i < HOOK_COUNT; i++)
		if (hook_table[i].dialect == s->dialect && hook_table[i].auth)
			s->hooks |= 1ull << i;
}

bool script_same(const struct script *a, const struct script *b)
{
	if (a->nfiles != b->nfiles || !conf_script_same(a->conf, b->conf))
		return false;
	for (size_t i = 0; i < a->nfiles; i++)
		if (strcmp(a->files[i].name, b->files[i].name) != 0 ||
		    !slice_eq(buf_slice(&a->files[i].text),
			      buf_slice(&b->files[i].text)))
			return false;
	return a->state != SCRIPT_UNAVAILABLE;
}

const struct script_file *script_file(const struct script *s, struct slice name)
{
	for (size_t i = 0; i < s->nfiles; i++)
		if (slice_is(name, s->files[i].name))
			return &s->files[i];
	return NULL;
}

/* ---- settings ---------------------------------------------------------- */

static void pack_pair(struct buf *out, const char *key, uint64_t value)
{
	pack_cstr(out, key);
	pack_uint(out, value);
}

static void pack_names(const struct script *s, struct buf *out)
{
	pack_cstr(out, "files");
	pack_array(out, (uint32_t)s->nfiles);
	for (size_t i = 0; i < s->nfiles; i++)
		pack_cstr(out, s->files[i].name);
	pack_cstr(out, "hooks");
	pack_array(out, s->dialect == DIALECT_MQTT
				? 0
				: (uint32_t)__builtin_popcountll(s->hooks));
	if (s->dialect == DIALECT_MQTT)
		return; /* it says so itself, once it is loaded */
	for (uint32_t hook = 0; hook < HOOK_COUNT; hook++)
		if (s->hooks >> hook & 1)
			pack_uint(out, hook);
}

/* So that a refused write is told at the call; the broker checks again. */
static void pack_grants(const struct script *s, struct buf *out)
{
	uint32_t n = 0;

	for (int i = 0; i < GRANT_COUNT; i++)
		n += s->grants.list[i].limited;
	pack_cstr(out, "grants");
	pack_map(out, n);
	for (int i = 0; i < GRANT_COUNT; i++) {
		const struct grant_list *list = &s->grants.list[i];

		if (!list->limited)
			continue;
		pack_cstr(out, grant_name((enum grant)i));
		grant_pack(list, out);
	}
}

/* What only a one-file script needs to know. */
static void pack_mqtt(const struct script *s, const struct conf *conf,
		      struct buf *out)
{
	pack_cstr(out, "main");
	pack_text(out, slice_str(s->main));
	pack_pair(out, "workers", s->conf->workers);
	pack_pair(out, "num_states", s->conf->concurrency);
	pack_cstr(out, "keep_state");
	pack_bool(out, conf->mqtt.keep_state);
	pack_cstr(out, "nulls");
	pack_cstr(out, conf->mqtt.nulls_nil ? "nil" : "string");
}

void script_pack_load(const struct script *s, const struct conf *conf,
		      struct buf *out)
{
	const struct conf_script *c = s->conf;
	uint64_t body = c->memory / 4;
	bool mqtt = s->dialect == DIALECT_MQTT;

	pack_map(out, mqtt ? 23 : 18);
	pack_cstr(out, "script");
	pack_cstr(out, s->name);
	pack_cstr(out, "dialect");
	pack_cstr(out, dialect_name(s->dialect));
	if (mqtt)
		pack_mqtt(s, conf, out);
	pack_cstr(out, "globals");
	pack_cstr(out, c->globals_script ? "script" : "event");
	pack_pair(out, "concurrency", c->concurrency);
	pack_pair(out, "timeout_ms", c->timeout_ms);
	pack_pair(out, "load_timeout_ms", conf->load_timeout_ms);
	pack_pair(out, "memory", c->memory);
	pack_names(s, out);
	pack_grants(s, out);
	pack_cstr(out, "config");
	if (c->config.n) {
		pack_bin(out, buf_slice(&c->config));
	} else {
		static const uint8_t empty = 0x80;

		pack_bin(out, slice_of(&empty, 1));
	}
	pack_pair(out, "max_body", body);
	pack_pair(out, "max_value", conf->limits.max_value);
	pack_pair(out, "max_key", conf->limits.max_key);
	pack_pair(out, "max_artifact", conf->limits.max_artifact);
	pack_pair(out, "max_ops", conf->limits.ops);
	pack_pair(out, "max_effects", conf->limits.effects);
	pack_pair(out, "max_effect_bytes", conf->limits.effect_bytes);
}

bool script_fails(const struct script *s, enum hook hook, enum code code)
{
	switch (s->conf->on_error[code]) {
	case POLICY_FAIL:
		return hook_table[hook].decide;
	case POLICY_SKIP:
		return false;
	default:
		return hook_table[hook].fail;
	}
}

bool script_may_log(struct script *s, uint64_t now_ms, uint64_t limit)
{
	uint64_t second = now_ms / 1000;

	if (second != s->log_second) {
		if (s->log_lost)
			log_warn("script",
				 "%s: %llu log lines over %llu a "
				 "second were dropped",
				 s->name, (unsigned long long)s->log_lost,
				 (unsigned long long)limit);
		s->log_second = second;
		s->log_lines = s->log_lost = 0;
	}
	if (s->log_lines < limit) {
		s->log_lines++;
		return true;
	}
	s->log_lost++;
	return false;
}

/* ---- roster ------------------------------------------------------------ */

static int fill_hook(struct roster *r, enum hook hook)
{
	r->hook[hook] = calloc(r->n ? r->n : 1, sizeof(struct script *));
	if (!r->hook[hook])
		return ERR_NOMEM;
	for (size_t i = 0; i < r->n; i++)
		if (script_serves(r->scripts[i], hook))
			r->hook[hook][r->nhook[hook]++] = r->scripts[i];
	return OK;
}

static void roster_free(struct roster *r)
{
	for (int hook = 0; hook < HOOK_COUNT; hook++)
		free(r->hook[hook]);
	free(r->scripts);
	free(r);
}

int roster_new(struct script **scripts, size_t n, struct roster **out)
{
	struct roster *r = calloc(1, sizeof(*r));

	*out = NULL;
	if (!r)
		return ERR_NOMEM;
	r->scripts = scripts;
	r->n = n;
	r->refs = 1;
	for (int hook = 0; hook < HOOK_COUNT; hook++)
		if (fill_hook(r, (enum hook)hook) < 0) {
			r->scripts = NULL;
			roster_free(r);
			return ERR_NOMEM;
		}
	for (size_t i = 0; i < n; i++)
		scripts[i]->refs++;
	*out = r;
	return OK;
}

struct roster *roster_ref(struct roster *r)
{
	r->refs++;
	return r;
}

void roster_unref(struct roster *r, void (*gone)(void *arg, struct script *s),
		  void *arg)
{
	if (--r->refs > 0)
		return;
	for (size_t i = 0; i < r->n; i++)
		if (--r->scripts[i]->refs == 0)
			gone(arg, r->scripts[i]);
	roster_free(r);
}
