/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf: the keys of the top level, the defaults, and the file.
 *
 * Not here: scripts (conf_script.c), single values (conf_read.c), rules
 * between keys (conf_check.c). Start at top_table.
 */
#include "broker/conf/conf.h"

#include <stdlib.h>

#include "broker/conf/conf_check.h"
#include "broker/conf/conf_mqtt.h"
#include "broker/conf/conf_script.h"

#define DAY	   86400000ull
#define CONF(m)	   offsetof(struct conf, m)
#define LISTEN(m)  offsetof(struct conf_listen, m)
#define LIMIT(m)   offsetof(struct conf_limits, m)
#define SANDBOX(m) offsetof(struct conf_sandbox, m)

/* Octal however it is written: 0660, "660", 0o660. */
static int read_mode(struct conf_reader *r, const struct conf_key *key,
		     const struct yaml_node *node, void *field)
{
	struct slice s = node->text;
	uint32_t mode = 0, *out = field;
	size_t at = slice_starts(s, slice_str("0o")) ? 2 : 0;
	bool ok = node->kind == YAML_SCALAR && s.n > at && s.n < 8;

	for (; ok && at < s.n; at++) {
		ok = s.p[at] >= '0' && s.p[at] <= '7';
		mode = mode << 3 | (uint32_t)(s.p[at] - '0');
	}
	if (!ok || mode > 0777)
		return conf_unexpected(r, key->name, node,
				       "permissions such as 0660");
	*out = mode;
	return 0;
}

static int read_group(struct conf_reader *r, const struct conf_key *key,
		      const struct yaml_node *node, void *field)
{
	struct slice s = node->text;
	int rc = 0;

	if (node->kind != YAML_SCALAR || yaml_core(node).type != YAML_INT)
		rc = conf_text(r, key->name, node, &s);
	if (rc == 0 && s.n == 0)
		rc = conf_unexpected(r, key->name, node, "a group");
	return rc < 0 ? rc : conf_copy(s, field);
}

static int read_uids(struct conf_reader *r, const struct conf_key *key,
		     const struct yaml_node *node, void *field)
{
	struct conf_listen *listen = field;
	const struct yaml_node *it;

	if (node->kind != YAML_LIST || node->n == 0)
		return conf_unexpected(r, key->name, node,
				       "a list of user ids");
	listen->uids = calloc(node->n, sizeof(*listen->uids));
	if (!listen->uids)
		return ERR_NOMEM;
	for (it = node->child; it; it = it->next) {
		struct yaml_value v = yaml_core(it);

		if (v.type != YAML_INT || v.i < 0 || v.i >= UINT32_MAX)
			return conf_unexpected(r, key->name, it,
					       "a user id (a number)");
		listen->uids[listen->nuids++] = (uint32_t)v.i;
	}
	return 0;
}

static const struct conf_key listen_table[] = {
	CONF_KEY("path", conf_read_path, LISTEN(path), .min = 1,
		 .max = CONF_SOCKET_MAX),
	CONF_KEY("mode", read_mode, LISTEN(mode)),
	CONF_KEY("group", read_group, LISTEN(group)),
	CONF_KEY("uids", read_uids, 0),
};

static const struct conf_keys listen_keys =
	CONF_KEYS("listen", false, listen_table);

static int read_listen(struct conf_reader *r, const struct conf_key *key,
		       const struct yaml_node *node, void *field)
{
	struct conf_listen *listen = field;
	int rc;

	(void)key;
	if (node->kind == YAML_SCALAR)
		return conf_read_path(r, &listen_table[0], node, &listen->path);
	rc = conf_read_map(r, &listen_keys, node, listen);
	if (rc == 0 && !listen->path)
		rc = conf_wrong(r, node,
				"listen.path is missing, expected "
				"the path of the socket for proxies");
	return rc;
}

static const struct conf_key storage_table[] = {
	CONF_KEY("durability", conf_read_either, CONF(durable_disk),
		 .words = {"os", "disk"}),
	CONF_KEY("max_bytes", conf_read_size, CONF(max_bytes), .min = 1 << 20,
		 .max = 1024ull << 40),
};

static const struct conf_keys storage_keys =
	CONF_KEYS("storage", false, storage_table);

static int read_level(struct conf_reader *r, const struct conf_key *key,
		      const struct yaml_node *node, void *field)
{
	enum log_level *out = field;
	int level = node->kind == YAML_SCALAR ? log_level_parse(node->text)
					      : ERR_TYPE;

	if (level < 0)
		return conf_unexpected(r, key->name, node,
				       "trace, debug, info, warn, error or "
				       "audit");
	*out = (enum log_level)level;
	return 0;
}

static const struct conf_key log_table[] = {
	CONF_KEY("format", conf_read_either, CONF(log_json),
		 .words = {"text", "json"}),
	CONF_KEY("level", read_level, CONF(log_level)),
};

static const struct conf_keys log_keys = CONF_KEYS("log", false, log_table);

/* The upper bounds are what one message can carry, or what the fixed limits
 * of proto/proto.h allow. */
static const struct conf_key limits_table[] = {
	CONF_KEY("max_message", conf_read_size, LIMIT(max_message),
		 .min = 2 << 20, .max = PROTO_MAX_MESSAGE),
	CONF_KEY("max_inflight", conf_read_count, LIMIT(max_inflight), .min = 1,
		 .max = 65536),
	CONF_KEY("inline_body", conf_read_size, LIMIT(inline_body),
		 .max = PROTO_MAX_MESSAGE),
	CONF_KEY("max_key", conf_read_size, LIMIT(max_key), .min = 1,
		 .max = PROTO_MAX_KEY),
	CONF_KEY("max_value", conf_read_size, LIMIT(max_value), .min = 1,
		 .max = 8 << 20),
	CONF_KEY("max_artifact", conf_read_size, LIMIT(max_artifact), .min = 1,
		 .max = 4ull << 30),
	CONF_KEY("list_rows", conf_read_count, LIMIT(list_rows), .min = 1,
		 .max = 1000000),
	CONF_KEY("list_bytes", conf_read_size, LIMIT(list_bytes),
		 .min = 1 << 10, .max = PROTO_MAX_MESSAGE),
	CONF_KEY("ops", conf_read_count, LIMIT(ops), .min = 1,
		 .max = PROTO_MAX_OPS),
	CONF_KEY("effects", conf_read_count, LIMIT(effects), .min = 1,
		 .max = 100000),
	CONF_KEY("effect_bytes", conf_read_size, LIMIT(effect_bytes),
		 .min = 1 << 10, .max = PROTO_MAX_MESSAGE),
	CONF_KEY("bus_events", conf_read_count, LIMIT(bus_events), .min = 1,
		 .max = 100000000),
	CONF_KEY("bus_age", conf_read_duration, LIMIT(bus_age_ms), .min = 1000,
		 .max = 3650 * DAY),
	CONF_KEY("log_lines", conf_read_count, LIMIT(log_lines), .min = 1,
		 .max = 1000000),
};

static const struct conf_keys limits_keys =
	CONF_KEYS("limits", false, limits_table);

static const struct conf_key sandbox_table[] = {
	CONF_KEY("mode", conf_read_either, SANDBOX(strict),
		 .words = {"default", "strict"}),
	CONF_KEY("uid", conf_read_count, SANDBOX(uid), .min = 1,
		 .max = UINT32_MAX - 65536),
};

static const struct conf_keys sandbox_keys =
	CONF_KEYS("sandbox", false, sandbox_table);

static int read_sandbox(struct conf_reader *r, const struct conf_key *key,
			const struct yaml_node *node, void *field)
{
	struct conf_sandbox *sandbox = field;
	struct conf_key mode = sandbox_table[0];

	if (node->kind == YAML_MAP)
		return conf_read_map(r, &sandbox_keys, node, sandbox);
	mode.name = key->name;
	return conf_read_either(r, &mode, node, &sandbox->strict);
}

static const struct conf_key top_table[] = {
	CONF_KEY("control", conf_read_path, CONF(control), .min = 1,
		 .max = CONF_SOCKET_MAX),
	CONF_KEY("data_dir", conf_read_path, CONF(data_dir), .min = 1,
		 .max = 2048),
	CONF_KEY("data_store", conf_read_path, CONF(data_store), .min = 1,
		 .max = 2048),
	CONF_KEY("gateway", conf_read_path, CONF(gateway), .min = 1,
		 .max = 2048),
	CONF_KEY("hook_timeout", conf_read_duration, CONF(hook_timeout_ms),
		 .min = 1, .max = 3600000),
	CONF_KEY("limits", conf_read_block, CONF(limits), .keys = &limits_keys),
	CONF_KEY("listen", read_listen, CONF(listen)),
	CONF_KEY("load_timeout", conf_read_duration, CONF(load_timeout_ms),
		 .min = 1, .max = 3600000),
	CONF_KEY("log", conf_read_block, 0, .keys = &log_keys),
	CONF_KEY("luaplugin", conf_read_plugin, 0),
	CONF_KEY("mqtt", conf_read_mqtt, 0),
	CONF_KEY("plugins", conf_read_plugins, 0),
	CONF_KEY("sandbox", read_sandbox, CONF(sandbox)),
	CONF_KEY("shutdown_timeout", conf_read_duration,
		 CONF(shutdown_timeout_ms), .max = 3600000),
	CONF_KEY("storage", conf_read_block, 0, .keys = &storage_keys),
	CONF_KEY("worker", conf_read_path, CONF(worker), .min = 1, .max = 2048),
};

static const struct conf_keys top_keys =
	CONF_KEYS("the top level", false, top_table);

static int defaults(struct conf *conf, const char *file, const char *dir)
{
	struct buf scripts = {0};
	int rc;

	*conf = (struct conf){
		.listen = {.mode = 0660},
		.hook_timeout_ms = 10000,
		.load_timeout_ms = 30000,
		.shutdown_timeout_ms = 10000,
		.max_bytes = 10ull << 30,
		.log_level = LOG_INFO,
		.limits =
			{
				.max_message = PROTO_MAX_MESSAGE,
				.max_inflight = PROTO_MAX_INFLIGHT,
				.inline_body = PROTO_INLINE_BODY,
				.max_key = PROTO_MAX_KEY,
				.max_value = PROTO_MAX_VALUE,
				.max_artifact = 64 << 20,
				.list_rows = 10000,
				.list_bytes = 16 << 20,
				.ops = PROTO_MAX_OPS,
				.effects = PROTO_MAX_EFFECTS,
				.effect_bytes = PROTO_MAX_EFFECT_BYTES,
				.bus_events = 100000,
				.bus_age_ms = 7 * DAY,
				.log_lines = 1000,
			},
		.plugin_enabled = true,
		.plugin_priority = 100,
		.mqtt = {.num_states = 1, .tables_bytes = 64 << 20},
	};
	buf_addf(&scripts, "%s/scripts", dir);
	rc = buf_error(&scripts)
		     ? ERR_NOMEM
		     : conf_copy(buf_slice(&scripts), &conf->script_dir);
	buf_fini(&scripts);
	return rc < 0 ? rc : conf_copy(slice_str(file), &conf->file);
}

static int read_root(struct conf_reader *r, const struct yaml_node *root,
		     struct conf *conf)
{
	static const struct yaml_node start = {.line = 1, .column = 1};
	int rc;

	if (!root || conf_is_null(root))
		return conf_wrong(r, &start,
				  "an empty file, expected at least the keys "
				  "listen and data_dir");
	rc = conf_read_map(r, &top_keys, root, conf);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < conf->nscripts; i++)
		if (conf->scripts[i]->concurrency == 0)
			conf->scripts[i]->concurrency = conf->mqtt.num_states;
	conf_order(conf);
	if (conf->mqtt.given)
		rc = conf_check_names(r, yaml_tree_get(root, "mqtt")->key,
				      conf);
	return rc < 0 ? rc : conf_check(r, root, conf);
}

int conf_parse(const char *file, const char *dir, struct slice text,
	       struct conf **out, struct buf *error)
{
	struct conf_reader r = {.file = file, .dir = dir, .error = error};
	struct yaml_mistake mistake = {0};
	struct yaml_tree tree;
	struct conf *conf;
	int rc;

	*out = NULL;
	conf = calloc(1, sizeof(*conf));
	rc = conf ? defaults(conf, file, dir) : ERR_NOMEM;
	if (rc == 0) {
		rc = yaml_tree_read(text, &tree, &mistake);
		if (rc == ERR_FORMAT)
			buf_addf(error, "%s:%u:%u: %.*s", file, mistake.line,
				 mistake.column, (int)mistake.what.n,
				 (const char *)mistake.what.p);
		if (rc == 0)
			rc = read_root(&r, tree.root, conf);
		buf_fini(&mistake.what);
		yaml_tree_fini(&tree);
	}
	if (rc == ERR_NOMEM)
		buf_addf(error, "%s: out of memory", file);
	if (rc < 0)
		conf_free(conf);
	else
		*out = conf;
	return rc;
}
