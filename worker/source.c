/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source: settings and files of the script. No Lua here and no socket: who
 * asks the broker for the texts is sched.c.
 */
#include "worker/source.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/unpack.h"

static char *copy_text(struct slice s)
{
	char *p = malloc(s.n + 1);

	if (p && s.n)
		memcpy(p, s.p, s.n);
	if (p)
		p[s.n] = '\0';
	return p;
}

static enum hook hook_of(struct slice file)
{
	static const char tail[] = ".lua";
	size_t n = sizeof(tail) - 1;
	enum hook hook;

	if (file.n <= n || memcmp(file.p + file.n - n, tail, n) != 0)
		return HOOK_COUNT;
	hook = hook_parse(slice_of(file.p, file.n - n));
	if (hook != HOOK_COUNT && hook_table[hook].dialect != DIALECT_HTTP)
		return HOOK_COUNT;
	return hook;
}

static int add_file(struct script *s, struct slice name)
{
	struct source_file *f = &s->files[s->nfiles];
	int n;

	if (name.n == 0 || name.n > SOURCE_MAX_NAME ||
	    memchr(name.p, '\0', name.n))
		return ERR_FORMAT;
	s->nfiles++;
	*f = (struct source_file){.hook = HOOK_COUNT};
	buf_init(&f->text, PROTO_MAX_SOURCE);
	f->name = copy_text(name);
	if (s->dialect == DIALECT_MQTT)
		n = asprintf(&f->chunkname, "@%s", f->name);
	else
		n = asprintf(&f->chunkname, "@%s/%s", s->name, f->name);
	if (n < 0)
		f->chunkname = NULL;
	if (!f->name || !f->chunkname)
		return ERR_NOMEM;
	if (s->dialect == DIALECT_MQTT)
		return OK;
	f->hook = hook_of(name);
	if (f->hook != HOOK_COUNT)
		s->hook[f->hook] = f;
	if (slice_is(name, "_shared.lua"))
		s->shared = f;
	return OK;
}

static int take_files(struct script *s, struct slice raw)
{
	struct cursor c = cursor_of(raw);
	uint32_t n = cursor_array(&c);
	int r = OK;

	if (c.error || n > SOURCE_MAX_FILES)
		return ERR_FORMAT;
	s->files = calloc(n ? n : 1, sizeof(*s->files));
	if (!s->files)
		return ERR_NOMEM;
	while (n-- && r == OK)
		r = add_file(s, cursor_text(&c));
	return c.error ? ERR_FORMAT : r;
}

static uint64_t take_uint(struct slice map, const char *key, uint64_t absent)
{
	struct slice raw;
	struct cursor c;
	uint64_t v;

	if (!map_find(map, key, &raw))
		return absent;
	c = cursor_of(raw);
	v = cursor_uint(&c);
	return c.error ? absent : v;
}

/* A map of its own, as it is or inside a bin. */
static void take_map(struct slice params, const char *key, struct buf *out)
{
	struct slice raw;
	struct cursor c;

	if (!map_find(params, key, &raw))
		return;
	c = cursor_of(raw);
	if (cursor_peek(&c) == CURSOR_BIN || cursor_peek(&c) == CURSOR_STR)
		raw = cursor_text(&c);
	c = cursor_of(raw);
	if (cursor_peek(&c) == CURSOR_MAP)
		buf_add_slice(out, raw);
}

static bool take_bool(struct slice map, const char *key)
{
	struct slice raw;
	struct cursor c;

	if (!map_find(map, key, &raw))
		return false;
	c = cursor_of(raw);
	return cursor_bool(&c);
}

static unsigned take_count(struct slice map, const char *key, uint64_t absent)
{
	uint64_t n = take_uint(map, key, absent);

	return n < 1		      ? 1
	       : n > SOURCE_MAX_LANES ? SOURCE_MAX_LANES
				      : (unsigned)n;
}

/* What only scripts of one file have; the files are there. */
static int take_mqtt(struct script *s, struct slice params)
{
	struct slice name = map_text(params, "main");

	s->nulls = !slice_is(map_text(params, "nulls"), "nil");
	s->keep_state = take_bool(params, "keep_state");
	s->keep_globals = false;
	s->workers = take_count(params, "workers", 1);
	s->concurrency = take_count(params, "num_states", s->concurrency);
	for (size_t i = 0; i < s->nfiles && !s->main; i++)
		if (slice_is(name, s->files[i].name))
			s->main = &s->files[i];
	return s->main ? OK : ERR_FORMAT;
}

int script_init(struct script *s, struct slice params)
{
	struct slice name = map_text(params, "script");
	struct slice files;
	int r;

	*s = (struct script){0};
	if (name.n == 0 || name.n > SOURCE_MAX_NAME)
		return ERR_FORMAT;
	s->name = copy_text(name);
	if (!s->name)
		return ERR_NOMEM;
	s->keep_globals = slice_is(map_text(params, "globals"), "script");
	if (slice_is(map_text(params, "dialect"), "mqtt"))
		s->dialect = DIALECT_MQTT;
	s->concurrency = take_count(params, "concurrency", 1);
	if (s->keep_globals)
		s->concurrency = 1;
	s->timeout_ms = take_uint(params, "timeout_ms", 5000);
	s->load_timeout_ms = take_uint(params, "load_timeout_ms", 30000);
	s->memory = take_uint(params, "memory", 64 << 20);
	s->max_body = take_uint(params, "max_body", s->memory / 4);
	s->max_value = take_uint(params, "max_value", PROTO_MAX_VALUE);
	s->max_key = take_uint(params, "max_key", PROTO_MAX_KEY);
	s->max_artifact = take_uint(params, "max_artifact", 64 << 20);
	s->max_ops = take_uint(params, "max_ops", PROTO_MAX_OPS);
	s->max_effects = take_uint(params, "max_effects", PROTO_MAX_EFFECTS);
	s->max_effect_bytes =
		take_uint(params, "max_effect_bytes", PROTO_MAX_EFFECT_BYTES);
	take_map(params, "config", &s->config);
	take_map(params, "grants", &s->grants);
	if (buf_error(&s->config) || buf_error(&s->grants))
		return ERR_NOMEM;
	if (!map_find(params, "files", &files))
		return ERR_FORMAT;
	r = take_files(s, files);
	if (r == OK && s->dialect == DIALECT_MQTT)
		r = take_mqtt(s, params);
	return r;
}

void script_fini(struct script *s)
{
	for (size_t i = 0; i < s->nfiles; i++) {
		free(s->files[i].name);
		free(s->files[i].chunkname);
		buf_fini(&s->files[i].text);
	}
	free(s->files);
	free(s->name);
	buf_fini(&s->config);
	buf_fini(&s->grants);
	*s = (struct script){0};
}

bool script_granted(const struct script *s, const char *kind, struct slice name)
{
	struct slice list;
	struct cursor c;

	if (s->grants.n == 0 || !map_find(buf_slice(&s->grants), kind, &list))
		return true;
	c = cursor_of(list);
	for (uint32_t n = cursor_array(&c); n > 0 && !c.error; n--)
		if (slice_starts(name, cursor_text(&c)))
			return true;
	return false;
}

/* Does `file` stand for `module` with this tail behind it? */
static bool names_module(const char *file, struct slice module,
			 const char *tail)
{
	for (size_t i = 0; i < module.n; i++) {
		char c = (char)module.p[i];

		if (file[i] == '\0' || file[i] != (c == '.' ? '/' : c))
			return false;
	}
	return strcmp(file + module.n, tail) == 0;
}

const struct source_file *script_module(const struct script *s,
					struct slice module)
{
	static const char *const tails[] = {".lua", "/init.lua"};

	for (size_t t = 0; t < 2; t++)
		for (size_t i = 0; i < s->nfiles; i++)
			if (!s->files[i].missing &&
			    names_module(s->files[i].name, module, tails[t]))
				return &s->files[i];
	return NULL;
}
