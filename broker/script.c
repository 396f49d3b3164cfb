/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script: reading a folder of hook files, and what its settings say. No
 * processes here: crew.c runs what this file describes.
 */
#include "broker/script.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "proto/pack.h"

enum { MAX_NESTING = 8 };

/* ---- reading ----------------------------------------------------------- */

struct reader {
	struct script *script;
	size_t bytes;
	struct buf *why;
};

static int complain(struct reader *r, const char *name, const char *what)
{
	buf_addf(r->why, "%s/%s: %s", r->script->name, name, what);
	return ERR_IO;
}

static int read_text(struct reader *r, int fd, struct script_file *file)
{
	uint8_t *room;
	ssize_t n;

	/* One byte more than may be, to see that there is more. */
	buf_init(&file->text, PROTO_MAX_SOURCE + 1);
	do {
		size_t left = file->text.max - file->text.n;

		if (left == 0)
			return complain(r, file->name, "longer than 256 KiB");
		if (buf_reserve(&file->text, left < 4096 ? left : 4096, &room) <
		    0)
			return ERR_NOMEM;
		n = read(fd, room, file->text.cap - file->text.n);
		if (n < 0)
			return complain(r, file->name, strerror(errno));
		buf_commit(&file->text, (size_t)n);
	} while (n > 0);
	r->bytes += file->text.n;
	if (r->bytes > SCRIPT_MAX_BYTES)
		return complain(r, file->name,
				"all files together are over 4 MiB");
	return OK;
}

static int add_file(struct reader *r, int dir, const char *base,
		    const char *name)
{
	struct script *s = r->script;
	struct script_file *grown;
	int fd, rc;

	if (s->nfiles == SCRIPT_MAX_FILES)
		return complain(r, name, "more than 256 files");
	grown = realloc(s->files, (s->nfiles + 1) * sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	s->files = grown;
	s->files[s->nfiles] = (struct script_file){.name = strdup(name)};
	if (!s->files[s->nfiles].name)
		return ERR_NOMEM;
	s->nfiles++;
	fd = openat(dir, base, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return complain(r, name, strerror(errno));
	rc = read_text(r, fd, &s->files[s->nfiles - 1]);
	close(fd);
	return rc;
}

static void note_hook(struct reader *r, const char *path, const char *base)
{
	size_t n = strlen(base) - 4;
	enum hook hook = hook_parse(slice_of(base, n));

	if (hook == HOOK_COUNT)
		return;
	if (path == base)
		r->script->hooks |= 1u << hook;
	else
		log_warn("script",
			 "%s/%s has a hook's name but is not at the "
			 "top of the folder: it is not a hook",
			 r->script->name, path);
}

static int read_dir(struct reader *r, int dir, const char *prefix, int depth);

static int read_entry(struct reader *r, int dir, const char *prefix,
		      const char *base, int depth)
{
	char path[512];
	size_t n = strlen(base);
	struct stat st;
	int sub;

	if (base[0] == '.')
		return OK;
	if (snprintf(path, sizeof(path), "%s%s", prefix, base) >=
	    (int)sizeof(path) - 1)
		return complain(r, base, "its path is too long");
	if (fstatat(dir, base, &st, 0) < 0)
		return complain(r, path, strerror(errno));
	if (S_ISREG(st.st_mode)) {
		if (n < 5 || strcmp(base + n - 4, ".lua") != 0)
			return OK;
		note_hook(r, *prefix ? path : base, base);
		return add_file(r, dir, base, path);
	}
	if (!S_ISDIR(st.st_mode) || depth == MAX_NESTING)
		return OK;
	sub = openat(dir, base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sub < 0)
		return complain(r, path, strerror(errno));
	strcat(path, "/");
	return read_dir(r, sub, path, depth + 1);
}

/* Takes `dir`. */
static int read_dir(struct reader *r, int dir, const char *prefix, int depth)
{
	DIR *stream = fdopendir(dir);
	struct dirent *entry;
	int rc = OK;

	if (!stream) {
		close(dir);
		return complain(r, prefix, strerror(errno));
	}
	while (rc == OK && (entry = readdir(stream)))
		rc = read_entry(r, dirfd(stream), prefix, entry->d_name, depth);
	closedir(stream);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	const struct script_file *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int read_all(struct script *s, const char *dir, struct buf *why)
{
	struct reader r = {.script = s, .why = why};
	char path[4096];
	int fd, rc;

	if (snprintf(path, sizeof(path), "%s/%s", dir, s->name) >=
	    (int)sizeof(path))
		return complain(&r, "", "its path is too long");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		buf_addf(why, "%s: %s", path, strerror(errno));
		return ERR_IO;
	}
	rc = read_dir(&r, fd, "", 0);
	if (rc < 0)
		return rc;
	if (s->nfiles)
		qsort(s->files, s->nfiles, sizeof(*s->files), by_name);
	if (!s->hooks)
		log_warn("script", "%s has no hook file: it will never run",
			 s->name);
	return OK;
}

/* The lists of the configuration as slices: grants.h works on those. */
static int read_grants(struct script *s, const struct conf_grants *conf)
{
	const struct conf_grant *from[GRANT_COUNT] = {
		[GRANT_KV_READ] = &conf->kv_read,
		[GRANT_KV_WRITE] = &conf->kv_write,
		[GRANT_BUS] = &conf->bus,
		[GRANT_ARTIFACTS] = &conf->artifacts,
		[GRANT_DATA] = &conf->data,
	};
	struct slice *at;
	size_t n = 1;

	for (int i = 0; i < GRANT_COUNT; i++)
		n += from[i]->allow.n;
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
	s->generation = generation;
	rc = read_grants(s, &conf->grants);
	if (rc == OK)
		rc = read_all(s, dir, why);
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
	free(s->why);
	conf_script_free(s->conf);
	free(s);
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
	pack_array(out, (uint32_t)__builtin_popcount(s->hooks));
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
		pack_array(out, (uint32_t)list->n);
		for (size_t k = 0; k < list->n; k++)
			pack_text(out, list->prefix[k]);
	}
}

void script_pack_load(const struct script *s, const struct conf *conf,
		      struct buf *out)
{
	const struct conf_script *c = s->conf;
	uint64_t body = c->memory / 4;

	pack_map(out, 18);
	pack_cstr(out, "script");
	pack_cstr(out, s->name);
	pack_cstr(out, "dialect");
	pack_cstr(out, "http");
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
