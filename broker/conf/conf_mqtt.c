/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_mqtt: the keys of the block `mqtt`, and finding its scripts: what
 * script_dir holds, what was named by a relative path, what is bundled.
 *
 * Not here: settings of a script (conf_script.c), of providers (conf_auth.c).
 */
#include "broker/conf/conf_mqtt.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/conf/conf_script.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/map.h"
#include "proto/pack.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MQTT(m)	 offsetof(struct conf, mqtt.m)

enum { MAX_FOUND = 256, PATH_BYTES = 4096 };

/* ---- keys -------------------------------------------------------------- */

static int read_ttl(struct conf_reader *r, const struct conf_key *key,
		    const struct yaml_node *node, void *field)
{
	uint64_t *ms = field;

	*ms = 0;
	if (node->kind == YAML_SCALAR && slice_is(node->text, "none"))
		return 0;
	return conf_read_duration(r, key, node, ms);
}

static int read_script_dir(struct conf_reader *r, const struct conf_key *key,
			   const struct yaml_node *node, void *field)
{
	struct conf_mqtt *m =
		container_of((char **)field, struct conf_mqtt, script_dir);

	m->script_dir_line = node->line;
	m->script_dir_column = node->column;
	return conf_read_path(r, key, node, field);
}

static const struct conf_key cache_table[] = {
	CONF_KEY("ttl", read_ttl, MQTT(cache_ttl_ms), .min = 1,
		 .max = 365ull * 86400000),
};

static const struct conf_keys cache_keys =
	CONF_KEYS("auth_cache", false, cache_table);

static const struct conf_key mqtt_table[] = {
	CONF_KEY("script_dir", read_script_dir, MQTT(script_dir), .min = 1,
		 .max = 2048),
	CONF_KEY("bundled", conf_read_path, MQTT(bundled), .min = 1,
		 .max = 2048),
	CONF_KEY("nulls", conf_read_either, MQTT(nulls_nil),
		 .words = {"string", "nil"}),
	CONF_KEY("num_states", conf_read_count, MQTT(num_states), .min = 1,
		 .max = 1024),
	CONF_KEY("keep_state", conf_read_bool, MQTT(keep_state)),
	CONF_KEY("scripts", conf_read_mqtt_scripts, 0),
	CONF_KEY("auth_postgres", conf_read_auth, 0),
	CONF_KEY("auth_cockroachdb", conf_read_auth, 0),
	CONF_KEY("auth_mysql", conf_read_auth, 0),
	CONF_KEY("auth_mysql2", conf_read_auth, 0),
	CONF_KEY("auth_mongodb", conf_read_auth, 0),
	CONF_KEY("auth_redis", conf_read_auth, 0),
	CONF_KEY("auth_memcached", conf_read_auth, 0),
	CONF_KEY("auth_http", conf_read_auth, 0),
	CONF_KEY("bcrypt", conf_read_bcrypt, 0),
	CONF_KEY("auth_cache", conf_read_block, 0, .keys = &cache_keys),
	CONF_KEY("tables_bytes", conf_read_size, MQTT(tables_bytes),
		 .min = 1 << 10, .max = 64ull << 30),
};

static const struct conf_keys mqtt_keys = CONF_KEYS("mqtt", false, mqtt_table);

/* `providers` was filled pair by pair; now it gets its head. */
static int close_providers(struct conf_mqtt *m, const struct yaml_node *node)
{
	struct buf all = {0};
	const struct yaml_node *it;
	uint32_t n = 0;
	int rc;

	for (it = node->child; it; it = it->next)
		n += (slice_starts(it->key->text, slice_str("auth_")) &&
		      !slice_is(it->key->text, "auth_cache") &&
		      !conf_is_null(it)) ||
		     (slice_is(it->key->text, "bcrypt") && !conf_is_null(it));
	if (n == 0)
		return 0;
	pack_map(&all, n);
	pack_raw(&all, buf_slice(&m->providers));
	rc = buf_error(&all);
	buf_fini(&m->providers);
	m->providers = all;
	return rc;
}

int conf_check_names(struct conf_reader *r, const struct yaml_node *at,
		     const struct conf *conf)
{
	struct map names = {0};
	int rc = 0;

	for (size_t i = 0; i < conf->nscripts && rc == 0; i++) {
		struct conf_script *b = conf->scripts[i], *a;
		struct slice name = slice_str(b->name);

		a = map_get(&names, name);
		if (a)
			rc = conf_wrong(r, at,
					"two scripts are named %s (lines %u "
					"and %u), expected a name of its own "
					"for each",
					a->name, a->line, b->line);
		else
			rc = map_put(&names, name, b, NULL);
	}
	map_fini(&names);
	return rc;
}

int conf_read_mqtt(struct conf_reader *r, const struct conf_key *key,
		   const struct yaml_node *node, void *field)
{
	struct conf *conf = field;
	int rc;

	(void)key;
	conf->mqtt.given = true;
	rc = conf_read_map(r, &mqtt_keys, node, conf);
	if (rc == 0)
		rc = close_providers(&conf->mqtt, node);
	return rc;
}

void conf_mqtt_fini(struct conf_mqtt *m)
{
	for (size_t i = 0; i < m->secrets.n; i++) {
		explicit_bzero(m->secrets.item[i], strlen(m->secrets.item[i]));
		free(m->secrets.item[i]);
	}
	free(m->secrets.item);
	if (m->providers.n)
		explicit_bzero(m->providers.p, m->providers.n);
	buf_fini(&m->providers);
	free(m->script_dir);
	free(m->bundled);
}

int conf_add_secret(struct conf_mqtt *m, struct slice s)
{
	struct conf_list *list = &m->secrets;

	for (size_t i = 0; i < list->n; i++)
		if (slice_is(s, list->item[i]))
			return 0;
	if (!list->item)
		list->item = calloc(CONF_SECRETS, sizeof(*list->item));
	if (!list->item)
		return ERR_NOMEM;
	if (list->n == CONF_SECRETS)
		return ERR_FULL;
	if (conf_copy(s, &list->item[list->n]) < 0)
		return ERR_NOMEM;
	__atomic_store_n(&list->n, list->n + 1, __ATOMIC_RELEASE);
	return 0;
}

void conf_learn_secrets(struct conf *conf, const struct conf *other)
{
	const struct conf_list *from = &other->mqtt.secrets;

	for (size_t i = 0; i < from->n; i++)
		if (conf_add_secret(&conf->mqtt, slice_str(from->item[i])) < 0)
			log_warn("conf", "too many passwords: a new one is not "
					 "looked for in log lines");
}

/* ---- where scripts are ------------------------------------------------- */

bool conf_script_wanted(const struct conf *conf, const struct conf_script *s)
{
	return s->enabled &&
	       (s->dialect == DIALECT_MQTT || conf->plugin_enabled);
}

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool conf_same_file(const char *a, const char *b)
{
	struct stat x, y;

	if (strcmp(a, b) == 0)
		return true;
	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

struct conf_script *conf_find_file(const struct conf *conf, const char *path)
{
	for (size_t i = 0; i < conf->nscripts; i++) {
		struct conf_script *s = conf->scripts[i];

		if (s && s->file && conf_same_file(s->file, path))
			return s;
	}
	return NULL;
}

static struct conf_script *find_name(const struct conf *conf, struct slice name)
{
	for (size_t i = 0; i < conf->nscripts; i++)
		if (conf->scripts[i] && slice_is(name, conf->scripts[i]->name))
			return conf->scripts[i];
	return NULL;
}

/* The bundled scripts: `mqtt.bundled`, or beside or near the program. */
static void bundled_dir(const struct conf *conf, char out[PATH_BYTES])
{
	static const char *const near[] = {"../scripts", "scripts",
					   "../../scripts",
					   "../share/pinfold/scripts"};
	char program[PATH_BYTES / 2], path[PATH_BYTES];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	char *slash;

	snprintf(out, PATH_BYTES, "%s",
		 conf->mqtt.bundled ? conf->mqtt.bundled
				    : "/usr/share/pinfold/scripts");
	if (conf->mqtt.bundled || n < 0)
		return;
	program[n] = 0;
	slash = strrchr(program, '/');
	if (slash)
		*slash = 0;
	for (size_t i = 0; i < COUNT(near); i++) {
		snprintf(path, sizeof(path), "%s/%s/auth", program, near[i]);
		if (!is_dir(path))
			continue;
		snprintf(out, PATH_BYTES, "%s/%s", program, near[i]);
		return;
	}
}

/* What `require` of a script reads: script_dir, else its own folder. */
static int set_root(const struct conf *conf, struct conf_script *s)
{
	const char *slash = strrchr(s->file, '/');

	must(slash);
	if (conf->mqtt.script_dir)
		return conf_copy(slice_str(conf->mqtt.script_dir), &s->root);
	s->shallow = true;
	return conf_copy(slice_of(s->file, slash == s->file
						   ? 1
						   : (size_t)(slash - s->file)),
			 &s->root);
}

/* auth_X without a script of its own: BUNDLED/auth/X.lua. */
static int place_bundled(const struct conf *conf, struct conf_script *s)
{
	char dir[PATH_BYTES], path[PATH_BYTES + 128];

	bundled_dir(conf, dir);
	snprintf(path, sizeof(path), "%s/auth/%s.lua", dir,
		 s->name + strlen("auth_"));
	if (conf_copy(slice_str(dir), &s->root) < 0)
		return ERR_NOMEM;
	return conf_copy(slice_str(path), &s->file);
}

/* A relative path starts at the file's folder; if nothing is there, then in
 * script_dir. */
static int place_named(struct conf *conf, struct conf_script *s,
		       const char *dir)
{
	size_t n = strlen(dir);
	char path[2 * PATH_BYTES];
	int rc = 0;

	if (conf->mqtt.script_dir && !is_file(s->file) &&
	    strncmp(s->file, dir, n) == 0 && s->file[n] == '/') {
		snprintf(path, sizeof(path), "%s%s", conf->mqtt.script_dir,
			 s->file + n);
		if (is_file(path))
			rc = conf_copy(slice_str(path), &s->file);
	}
	return rc < 0 ? rc : set_root(conf, s);
}

static int add_found(struct conf *conf, const char *base, struct buf *error)
{
	struct slice name = slice_of(base, strlen(base) - 4);
	struct conf_script *s;
	char path[2 * PATH_BYTES];

	snprintf(path, sizeof(path), "%s/%s", conf->mqtt.script_dir, base);
	if (!is_file(path))
		return 0;
	s = conf_find_file(conf, path);
	if (s) { /* `scripts` has settings for it */
		s->origin = CONF_FOUND;
		return 0;
	}
	if (!conf_name_ok(name)) {
		log_warn("conf", "%s: its name cannot be a script's (ignored)",
			 path);
		return 0;
	}
	s = find_name(conf, name);
	if (s) {
		buf_addf(error,
			 "%s:%u:1: two scripts are named %s, this one and %s, "
			 "expected a name of its own for each",
			 conf->file, s->line, s->name, path);
		return ERR_FORMAT;
	}
	s = conf_add_script(conf, DIALECT_MQTT, name);
	if (!s || conf_copy(slice_str(path), &s->file) < 0)
		return ERR_NOMEM;
	s->concurrency = conf->mqtt.num_states;
	s->origin = CONF_FOUND;
	return set_root(conf, s);
}

static int find_all(struct conf *conf, struct buf *error)
{
	DIR *dir = opendir(conf->mqtt.script_dir);
	struct dirent *entry;
	unsigned n = 0;
	int rc = 0;

	if (!dir) {
		buf_addf(error,
			 "%s:%u:%u: script_dir: '%s', expected a folder that "
			 "can be read (%s)",
			 conf->file, conf->mqtt.script_dir_line,
			 conf->mqtt.script_dir_column, conf->mqtt.script_dir,
			 strerror(errno));
		return ERR_FORMAT;
	}
	while (rc == 0 && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);

		if (entry->d_name[0] == '.' || len < 5 ||
		    strcmp(entry->d_name + len - 4, ".lua") != 0)
			continue;
		if (++n > MAX_FOUND) {
			buf_addf(error, "%s: more than %d scripts",
				 conf->mqtt.script_dir, MAX_FOUND);
			rc = ERR_FORMAT;
		} else {
			rc = add_found(conf, entry->d_name, error);
		}
	}
	closedir(dir);
	return rc;
}

int conf_find_scripts(struct conf *conf, const char *dir, struct buf *error)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < conf->nscripts; i++) {
		struct conf_script *s = conf->scripts[i];

		if (s->dialect != DIALECT_MQTT)
			continue;
		rc = s->file ? place_named(conf, s, dir)
			     : place_bundled(conf, s);
	}
	if (rc == 0 && conf->mqtt.script_dir)
		rc = find_all(conf, error);
	conf_order(conf);
	return rc;
}

int conf_add_command(struct conf *conf, const char *path, uint32_t place)
{
	const char *base = strrchr(path, '/');
	size_t n = base ? strlen(base + 1) : 0;
	struct conf_script *s;
	struct slice name;

	if (n < 5 || strcmp(base + 1 + n - 4, ".lua") != 0)
		return ERR_RANGE;
	name = slice_of(base + 1, n - 4);
	if (!conf_name_ok(name))
		return ERR_RANGE;
	if (conf_find_file(conf, path) || find_name(conf, name))
		return ERR_EXISTS;
	s = conf_add_script(conf, DIALECT_MQTT, name);
	if (!s || conf_copy(slice_str(path), &s->file) < 0)
		return ERR_NOMEM;
	s->concurrency = conf->mqtt.num_states;
	s->origin = CONF_COMMAND;
	s->place = place;
	if (set_root(conf, s) < 0)
		return ERR_NOMEM;
	conf_order(conf);
	return 0;
}
