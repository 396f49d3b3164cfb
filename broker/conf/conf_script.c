/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_script: the tables of the `luaplugin` block, of a script's settings
 * and of what is nested in them, and the checks between settings.
 *
 * Not here: how single values are read (conf_read.c). Start at the tables in
 * the lower half of the file.
 */
#include "broker/conf/conf_script.h"

#include <stdlib.h>

static int read_grant(struct conf_reader *r, const struct conf_key *key,
		      const struct yaml_node *node, void *field)
{
	struct conf_grant *grant = field;

	grant->given = true;
	return conf_read_list(r, key, node, &grant->allow);
}

/* Names where only a last `*` is special: anywhere else it is a mistake that
 * would silently match nothing. */
static int check_patterns(struct conf_reader *r, const struct conf_key *key,
			  const struct yaml_node *node)
{
	const struct yaml_node *it;

	for (it = node->child; it; it = it->next) {
		struct slice s = it->text;
		const void *star = s.n ? memchr(s.p, '*', s.n) : NULL;

		if (s.n == 0 || (star && star != s.p + s.n - 1))
			return conf_unexpected(r, key->name, it,
					       "a name, `*` only at its end");
	}
	return 0;
}

static int read_patterns(struct conf_reader *r, const struct conf_key *key,
			 const struct yaml_node *node, void *field)
{
	int rc = conf_read_list(r, key, node, field);

	return rc < 0 ? rc : check_patterns(r, key, node);
}

/* Grants are prefixes; for names of the bus that may be written with `*`. */
static int read_bus_grant(struct conf_reader *r, const struct conf_key *key,
			  const struct yaml_node *node, void *field)
{
	struct conf_grant *grant = field;
	int rc = read_grant(r, key, node, field);

	if (rc == 0)
		rc = check_patterns(r, key, node);
	for (size_t i = 0; rc == 0 && i < grant->allow.n; i++) {
		char *star = strchr(grant->allow.item[i], '*');

		if (star)
			*star = 0;
	}
	return rc;
}

static const struct conf_key kv_table[] = {
	CONF_KEY("read", read_grant, offsetof(struct conf_grants, kv_read)),
	CONF_KEY("write", read_grant, offsetof(struct conf_grants, kv_write)),
};

static const struct conf_keys kv_keys = CONF_KEYS("grants.kv", false, kv_table);

static int read_kv(struct conf_reader *r, const struct conf_key *key,
		   const struct yaml_node *node, void *field)
{
	struct conf_grants *grants = field;

	(void)key;
	grants->kv_read.given = grants->kv_write.given = true;
	return conf_read_map(r, &kv_keys, node, grants);
}

static const struct conf_key grants_table[] = {
	CONF_KEY("kv", read_kv, 0),
	CONF_KEY("bus", read_bus_grant, offsetof(struct conf_grants, bus)),
	CONF_KEY("artifacts", read_grant,
		 offsetof(struct conf_grants, artifacts)),
	CONF_KEY("data", read_grant, offsetof(struct conf_grants, data)),
	CONF_KEY("providers", read_grant,
		 offsetof(struct conf_grants, providers)),
};

static const struct conf_keys grants_keys =
	CONF_KEYS("grants", false, grants_table);

static int read_policy(struct conf_reader *r, const struct conf_key *key,
		       const struct yaml_node *node, void *field)
{
	enum conf_policy *out = field;

	if (node->kind == YAML_SCALAR && slice_is(node->text, "fail"))
		*out = POLICY_FAIL;
	else if (node->kind == YAML_SCALAR && slice_is(node->text, "skip"))
		*out = POLICY_SKIP;
	else
		return conf_unexpected(r, key->name, node,
				       key->max ? "fail, skip or a map from "
						  "cause to fail or skip"
						: "fail or skip");
	return 0;
}

#define CAUSE(name, code)                                                      \
	CONF_KEY(name, read_policy, (code) * sizeof(enum conf_policy))

static const struct conf_key cause_table[] = {
	CAUSE("timeout", CODE_TIMEOUT),
	CAUSE("script_error", CODE_SCRIPT_ERROR),
	CAUSE("memory", CODE_MEMORY),
	CAUSE("crashed", CODE_CRASHED),
	CAUSE("overloaded", CODE_OVERLOADED),
	CAUSE("unavailable", CODE_UNAVAILABLE),
	CAUSE("storage", CODE_STORAGE),
};

static const struct conf_keys cause_keys =
	CONF_KEYS("on_error", false, cause_table);

static int read_on_error(struct conf_reader *r, const struct conf_key *key,
			 const struct yaml_node *node, void *field)
{
	enum conf_policy *by_cause = field, all;
	int rc;

	if (node->kind == YAML_MAP)
		return conf_read_map(r, &cause_keys, node, by_cause);
	rc = read_policy(r, key, node, &all);
	for (size_t i = 0; rc == 0 && i < cause_keys.n; i++)
		by_cause[cause_table[i].offset / sizeof(all)] = all;
	return rc;
}

int conf_read_config(struct conf_reader *r, const struct conf_key *key,
		     const struct yaml_node *node, void *field)
{
	struct buf *out = field;

	if (node->kind != YAML_MAP)
		return conf_unexpected(r, key->name, node, "a map");
	buf_clear(out);
	return conf_pack(r, node, out);
}

#define AT(member) offsetof(struct conf_script, member)

/* What both dialects have. */
#define COMMON_KEYS                                                            \
	CONF_KEY("enabled", conf_read_bool, AT(enabled)),                      \
		CONF_KEY("priority", conf_read_int, AT(priority)),             \
		CONF_KEY("workers", conf_read_count, AT(workers), .min = 1,    \
			 .max = 64),                                           \
		CONF_KEY("concurrency", conf_read_count, AT(concurrency),      \
			 .min = 1, .max = 1024),                               \
		CONF_KEY("timeout", conf_read_duration, AT(timeout_ms),        \
			 .min = 1, .max = 3600000),                            \
		CONF_KEY("memory", conf_read_size, AT(memory), .min = 1 << 20, \
			 .max = 16ull << 30),                                  \
		CONF_KEY("on_error", read_on_error, AT(on_error), .max = 1)

static const struct conf_key script_table[] = {
	COMMON_KEYS,
	CONF_KEY("globals", conf_read_either, AT(globals_script),
		 .words = {"event", "script"}),
	CONF_KEY("grants", conf_read_block, AT(grants), .keys = &grants_keys),
	CONF_KEY("subscribe", read_patterns, AT(subscribe)),
	CONF_KEY("config", conf_read_config, AT(config)),
};

static const struct conf_keys script_keys =
	CONF_KEYS("a script", true, script_table);

static const struct conf_key mqtt_table[] = {
	CONF_KEY("file", conf_read_path, AT(file), .min = 1, .max = 2048),
	COMMON_KEYS,
	CONF_KEY("grants", conf_read_block, AT(grants), .keys = &grants_keys),
	CONF_KEY("config", conf_read_config, AT(config)),
};

static const struct conf_keys mqtt_keys =
	CONF_KEYS("a script of mqtt", false, mqtt_table);

#undef AT

static struct conf_script *script_new(enum dialect dialect, struct slice name)
{
	struct conf_script *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->dialect = dialect;
	s->enabled = dialect == DIALECT_MQTT;
	s->workers = 1;
	s->concurrency = dialect == DIALECT_HTTP;
	s->timeout_ms = 5000;
	s->memory = 64 << 20;
	buf_add_byte(&s->config, 0x80); /* an empty map */
	if (buf_error(&s->config) || conf_copy(name, &s->name) < 0) {
		conf_script_free(s);
		return NULL;
	}
	return s;
}

struct conf_script *conf_add_script(struct conf *conf, enum dialect dialect,
				    struct slice name)
{
	struct conf_script **grown, *s;

	grown = realloc(conf->scripts,
			(conf->nscripts + 1) * sizeof(struct conf_script *));
	if (!grown)
		return NULL;
	conf->scripts = grown;
	s = script_new(dialect, name);
	if (s)
		grown[conf->nscripts++] = s;
	return s;
}

bool conf_name_ok(struct slice name)
{
	size_t i;

	if (name.n == 0 || name.n > CONF_NAME_MAX || slice_is(name, ".") ||
	    !slice_is_utf8(name))
		return false;
	for (i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];

		if (c == '/' || c < 0x20 || c == 0x7f)
			return false;
		if (c == '.' && i + 1 < name.n && name.p[i + 1] == '.')
			return false;
	}
	return true;
}

static int check_script(struct conf_reader *r, const struct conf_script *s,
			const struct yaml_node *node)
{
	const struct yaml_node *at = yaml_tree_get(node, "globals");

	if (!at || !s->globals_script ||
	    (s->workers == 1 && s->concurrency == 1))
		return 0;
	return conf_unexpected(r, "globals", at,
			       "event, since script needs workers: 1 and "
			       "concurrency: 1");
}

static int read_script(struct conf_reader *r, struct conf *conf,
		       enum dialect dialect, const struct yaml_node *node)
{
	struct conf_script *s;
	int rc;

	if (!conf_name_ok(node->key->text))
		return conf_unexpected(r, "scripts", node->key,
				       "a name of 1 to 64 bytes without '/', "
				       "'..' and control characters");
	s = conf_add_script(conf, dialect, node->key->text);
	if (!s)
		return ERR_NOMEM;
	s->line = node->key->line;
	s->origin = CONF_NAMED;
	if (dialect == DIALECT_MQTT) {
		rc = conf_is_null(node) ? 0
					: conf_read_map(r, &mqtt_keys, node, s);
		if (rc == 0 && !s->file)
			rc = conf_wrong(r, node->key,
					"scripts.%s: file is missing, "
					"expected the path of a .lua file",
					s->name);
		return rc;
	}
	if (conf_is_null(node))
		return 0;
	rc = conf_read_map(r, &script_keys, node, s);
	return rc < 0 ? rc : check_script(r, s, node);
}

static int order(const void *pa, const void *pb)
{
	const struct conf_script *a = *(struct conf_script *const *)pa;
	const struct conf_script *b = *(struct conf_script *const *)pb;

	if (a->dialect != b->dialect)
		return a->dialect < b->dialect ? -1 : 1;
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	if (a->origin != b->origin)
		return a->origin < b->origin ? -1 : 1;
	if (a->place != b->place)
		return a->place < b->place ? -1 : 1;
	return strcmp(a->name, b->name);
}

void conf_order(struct conf *conf)
{
	if (conf->nscripts)
		qsort(conf->scripts, conf->nscripts, sizeof(*conf->scripts),
		      order);
}

static int read_scripts(struct conf_reader *r, const struct conf_key *key,
			const struct yaml_node *node, struct conf *conf,
			enum dialect dialect)
{
	const struct yaml_node *it;
	int rc = 0;

	if (node->kind != YAML_MAP)
		return conf_unexpected(r, key->name, node,
				       "a map from name to settings");
	for (it = node->child; it && rc == 0; it = it->next)
		rc = read_script(r, conf, dialect, it);
	return rc;
}

static int read_plugin_scripts(struct conf_reader *r,
			       const struct conf_key *key,
			       const struct yaml_node *node, void *field)
{
	return read_scripts(r, key, node, field, DIALECT_HTTP);
}

int conf_read_mqtt_scripts(struct conf_reader *r, const struct conf_key *key,
			   const struct yaml_node *node, void *field)
{
	return read_scripts(r, key, node, field, DIALECT_MQTT);
}

static const struct conf_key plugin_table[] = {
	CONF_KEY("enabled", conf_read_bool,
		 offsetof(struct conf, plugin_enabled)),
	CONF_KEY("priority", conf_read_int,
		 offsetof(struct conf, plugin_priority)),
	CONF_KEY("dir", conf_read_path, offsetof(struct conf, script_dir),
		 .min = 0, .max = 4096),
	CONF_KEY("scripts", read_plugin_scripts, 0),
};

static const struct conf_keys plugin_keys =
	CONF_KEYS("luaplugin", true, plugin_table);

int conf_read_plugin(struct conf_reader *r, const struct conf_key *key,
		     const struct yaml_node *node, void *field)
{
	if (r->plugin)
		return conf_wrong(r, node->key,
				  "%s is there twice, expected either at the "
				  "top or below plugins (first at line %u)",
				  key->name, r->plugin->line);
	r->plugin = node->key;
	return conf_read_map(r, &plugin_keys, node, field);
}

static const struct conf_key plugins_table[] = {
	CONF_KEY("luaplugin", conf_read_plugin, 0),
};

static const struct conf_keys plugins_keys =
	CONF_KEYS("plugins", true, plugins_table);

int conf_read_plugins(struct conf_reader *r, const struct conf_key *key,
		      const struct yaml_node *node, void *field)
{
	(void)key;
	return conf_read_map(r, &plugins_keys, node, field);
}
