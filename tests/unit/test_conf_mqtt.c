/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block `mqtt`: its keys, what becomes of providers' settings and their
 * passwords, which scripts there are and in which order, and the mistakes.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/conf/conf.h"
#include "broker/redact.h"
#include "proto/unpack.h"
#include "tests/unit/folder.h"

#define MIN "listen: p.sock\ndata_dir: data\n"

static void setup(void)
{
	log_setup(LOG_AUDIT, false);
	folder_make();
}

static void teardown(void)
{
	folder_remove();
}

TestSuite(conf_mqtt, .init = setup, .fini = teardown);

static void put(const char *name, const char *text)
{
	folder_put(name, slice_str(text));
}

/* The file pinfold.yaml in dir: NULL, and `why` says why. */
static struct conf *load(const char *text, char why[1024])
{
	struct buf error = {0};
	struct conf *conf;
	char path[128];

	put("pinfold.yaml", text);
	snprintf(path, sizeof(path), "%s/pinfold.yaml", dir);
	if (conf_load(path, &conf, &error) < 0)
		cr_assert_null(conf);
	snprintf(why, 1024, "%.*s", (int)error.n, (const char *)error.p);
	buf_fini(&error);
	return conf;
}

static struct conf *good(const char *text)
{
	char why[1024];
	struct conf *conf = load(text, why);

	cr_assert_not_null(conf, "%s", why);
	return conf;
}

/* The mistake's text ends so; it begins with FILE:. */
static void bad(const char *text, const char *end)
{
	char why[1024];
	size_t n;

	cr_assert_null(load(text, why), "%s", text);
	n = strlen(why);
	cr_assert(n > strlen(end) && strcmp(why + n - strlen(end), end) == 0,
		  "%s\n%s", text, why);
	cr_assert_eq(strncmp(why, dir, strlen(dir)), 0, "%s", why);
}

Test(conf_mqtt, defaults)
{
	struct conf *c = good(MIN);

	cr_assert(!c->mqtt.given);
	cr_assert_null(c->mqtt.script_dir);
	cr_assert(!c->mqtt.nulls_nil);
	cr_assert(!c->mqtt.keep_state);
	cr_assert_eq(c->mqtt.num_states, 1);
	cr_assert_eq(c->mqtt.cache_ttl_ms, 0);
	cr_assert_eq(c->mqtt.tables_bytes, 64 << 20);
	cr_assert_eq(c->mqtt.secrets.n, 0);
	cr_assert_null(c->gateway);
	conf_free(c);
}

Test(conf_mqtt, every_key)
{
	struct conf *c;
	char path[128];

	put("bin/g", "");
	snprintf(path, sizeof(path), "%s/bin/g", dir);
	cr_assert_eq(chmod(path, 0700), 0);
	c = good(MIN "gateway: bin/g\n"
		     "mqtt:\n"
		     "  nulls: nil\n"
		     "  num_states: 7\n"
		     "  keep_state: on\n"
		     "  auth_cache: {ttl: 5m}\n"
		     "  tables_bytes: 1MiB\n"
		     "  bundled: bundle\n"
		     "  bcrypt: {default_log_rounds: 5}\n");
	cr_assert_str_eq(c->gateway, path);
	cr_assert(c->mqtt.given && c->mqtt.nulls_nil && c->mqtt.keep_state);
	cr_assert_eq(c->mqtt.num_states, 7);
	cr_assert_eq(c->mqtt.cache_ttl_ms, 300000);
	cr_assert_eq(c->mqtt.tables_bytes, 1 << 20);
	conf_free(c);
}

static const struct conf_script *find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->nscripts; i++)
		if (strcmp(c->scripts[i]->name, name) == 0)
			return c->scripts[i];
	cr_assert_fail("no script %s", name);
	return NULL;
}

static void in_order(const struct conf *c, const char *names)
{
	char all[256] = "";

	for (size_t i = 0; i < c->nscripts; i++) {
		strcat(all, i ? " " : "");
		strcat(all, c->scripts[i]->name);
	}
	cr_assert_str_eq(all, names);
}

Test(conf_mqtt, order_of_scripts)
{
	struct conf *c;

	put("lua/b.lua", "");
	put("lua/a.lua", "");
	put("lua/sub/not_me.lua", "");
	put("lua/notes.txt", "");
	put("lua/.hidden.lua", "");
	c = good(MIN "mqtt:\n"
		     "  auth_redis: {enabled: true}\n"
		     "  script_dir: lua\n"
		     "  scripts:\n"
		     "    z: {file: sub/z.lua}\n"
		     "    k: {file: k.lua}\n"
		     "    first: {file: f.lua, priority: -1}\n"
		     "  auth_mysql: {enabled: true}\n"
		     "luaplugin: {scripts: {web: {enabled: true}}}\n");
	in_order(c, "web first a b k z auth_redis auth_mysql");
	cr_assert(find(c, "a")->enabled && find(c, "k")->enabled);
	cr_assert_eq(find(c, "a")->dialect, DIALECT_MQTT);
	cr_assert_eq(find(c, "web")->dialect, DIALECT_HTTP);
	cr_assert_eq(find(c, "a")->concurrency, 1);
	conf_free(c);
}

/* A relative path starts at the file, else at script_dir. */
Test(conf_mqtt, paths_of_scripts)
{
	char path[128], root[128];
	struct conf *c;

	put("lua/auth/pg.lua", "");
	put("lua/main.lua", "");
	put("here.lua", "");
	c = good(MIN "mqtt:\n"
		     "  script_dir: lua\n"
		     "  num_states: 3\n"
		     "  scripts:\n"
		     "    pg: {file: auth/pg.lua, concurrency: 9}\n"
		     "    here: {file: here.lua, workers: 2}\n"
		     "    settings: {file: lua/main.lua, enabled: false}\n");
	/* main.lua is in script_dir, and has its settings there */
	in_order(c, "settings here pg");
	snprintf(root, sizeof(root), "%s/lua", dir);
	snprintf(path, sizeof(path), "%s/lua/auth/pg.lua", dir);
	cr_assert_str_eq(find(c, "pg")->file, path);
	cr_assert_str_eq(find(c, "pg")->root, root);
	cr_assert_eq(find(c, "pg")->concurrency, 9);
	snprintf(path, sizeof(path), "%s/here.lua", dir);
	cr_assert_str_eq(find(c, "here")->file, path);
	cr_assert_str_eq(find(c, "here")->root, root);
	cr_assert_eq(find(c, "here")->concurrency, 3);
	cr_assert_eq(find(c, "here")->workers, 2);
	cr_assert(!find(c, "settings")->enabled);
	conf_free(c);
}

Test(conf_mqtt, without_script_dir_its_own_folder)
{
	struct conf *c =
		good(MIN "mqtt: {scripts: {demo: {file: x/demo.lua}}}\n");
	char root[128];

	snprintf(root, sizeof(root), "%s/x", dir);
	cr_assert_str_eq(find(c, "demo")->root, root);
	conf_free(c);
}

Test(conf_mqtt, bundled_scripts)
{
	char path[128];
	struct conf *c =
		good(MIN "mqtt:\n"
			 "  bundled: b\n"
			 "  auth_postgres: {enabled: true}\n"
			 "  auth_mysql: {host: h}\n"
			 "  auth_http: {enabled: true, url: 'http://x/'}\n"
			 "  auth_redis: {enabled: true, script: own.lua}\n");
	struct slice url;

	snprintf(path, sizeof(path), "%s/b/auth/postgres.lua", dir);
	cr_assert_str_eq(find(c, "auth_postgres")->file, path);
	snprintf(path, sizeof(path), "%s/b", dir);
	cr_assert_str_eq(find(c, "auth_postgres")->root, path);
	cr_assert(!find(c, "auth_mysql")->enabled, "settings, but no script");
	snprintf(path, sizeof(path), "%s/own.lua", dir);
	cr_assert_str_eq(find(c, "auth_redis")->file, path);
	cr_assert(map_find(buf_slice(&find(c, "auth_http")->config), "url",
			   &url));
	conf_free(c);
}

static struct slice provider(const struct conf *c, const char *name)
{
	struct slice map;

	cr_assert(map_find(buf_slice(&c->mqtt.providers), name, &map), "%s",
		  name);
	return map;
}

static void has_text(struct slice map, const char *key, const char *value)
{
	struct slice raw;
	struct cursor c;

	cr_assert(map_find(map, key, &raw), "%s", key);
	c = cursor_of(raw);
	cr_assert(slice_is(cursor_text(&c), value), "%s", key);
}

static void has_int(struct slice map, const char *key, int64_t value)
{
	struct slice raw;
	struct cursor c;

	cr_assert(map_find(map, key, &raw), "%s", key);
	c = cursor_of(raw);
	cr_assert_eq(cursor_int(&c), value, "%s", key);
}

Test(conf_mqtt, settings_of_providers)
{
	struct conf *c;
	struct cursor all;
	struct slice pg, raw;

	put("secret", "from a file\nand more\n");
	setenv("PF_TEST_PASSWORD", "from the environment", 1);
	c = good(MIN "mqtt:\n"
		     "  auth_postgres:\n"
		     "    host: db.example\n"
		     "    port: 5433\n"
		     "    user: vmq\n"
		     "    password: 12345\n"
		     "    database: acl\n"
		     "    pool_size: 3\n"
		     "    password_hash_method: bcrypt\n"
		     "    ssl: on\n"
		     "    cafile: ca.pem\n"
		     "    ssl.depth: 2\n"
		     "  auth_mysql: {password_file: secret}\n"
		     "  auth_redis: {password_env: PF_TEST_PASSWORD, "
		     "database: 2}\n"
		     "  auth_memcached:\n"
		     "  bcrypt: {default_log_rounds: 6}\n");
	all = cursor_of(buf_slice(&c->mqtt.providers));
	cr_assert_eq(cursor_map(&all), 4, "empty blocks do not count");
	pg = provider(c, "postgres");
	has_text(pg, "host", "db.example");
	has_int(pg, "port", 5433);
	has_text(pg, "password", "12345");
	has_int(pg, "pool_size", 3);
	has_text(pg, "password_hash_method", "bcrypt");
	has_int(pg, "ssl.depth", 2);
	cr_assert(map_find(pg, "ssl", &raw));
	cr_assert(!map_find(pg, "enabled", &raw));
	cr_assert(map_find(pg, "cafile", &raw));
	has_text(provider(c, "mysql"), "password", "from a file");
	has_text(provider(c, "redis"), "password", "from the environment");
	has_text(provider(c, "redis"), "database", "2");
	has_int(provider(c, "bcrypt"), "rounds", 6);
	cr_assert_eq(c->mqtt.secrets.n, 3);
	conf_free(c);
}

Test(conf_mqtt, known_passwords_are_found_in_any_text)
{
	char *words[] = {"hunter2", "hunter2000", "abc"};
	struct conf_list list = {words, 3};
	struct buf out = {0};

	cr_assert(!redact_known(&list, slice_str("hunter, abc"), &out));
	cr_assert_eq(out.n, 0);
	cr_assert(redact_known(
		&list, slice_str("hunter2: 'xhunter2000y' hunter"), &out));
	buf_add_byte(&out, 0);
	cr_assert_str_eq((const char *)out.p,
			 "[redacted]: 'x[redacted]y' hunter");
	buf_fini(&out);
}

Test(conf_mqtt, scripts_that_a_command_names)
{
	struct conf *c = good(
		MIN "mqtt: {num_states: 4, scripts: {a: {file: a.lua}}}\n");
	char path[128];

	snprintf(path, sizeof(path), "%s/x/b.lua", dir);
	cr_assert_eq(conf_add_command(c, path, 1), OK);
	cr_assert_eq(conf_add_command(c, path, 2), ERR_EXISTS);
	in_order(c, "a b");
	cr_assert_eq(find(c, "b")->concurrency, 4);
	cr_assert_eq(conf_find_file(c, path), find(c, "b"));
	cr_assert_eq(conf_add_command(c, "/x/a.lua", 3), ERR_EXISTS);
	cr_assert_eq(conf_add_command(c, "/x/a.txt", 3), ERR_RANGE);
	cr_assert_eq(conf_add_command(c, "/x/.lua", 3), ERR_RANGE);
	conf_free(c);
}

#define KEYS                                                                   \
	"expected one of script_dir, bundled, nulls, num_states, keep_state, " \
	"scripts, auth_postgres, auth_cockroachdb, auth_mysql, auth_mysql2, "  \
	"auth_mongodb, auth_redis, auth_memcached, auth_http, bcrypt, "        \
	"auth_cache, tables_bytes"

Test(conf_mqtt, mistakes)
{
	put("empty", "\n");
	put("lua/twice.lua", "");
	bad(MIN "mqtt: 5\n", ":3:7: mqtt: '5', expected a map");
	bad(MIN "mqtt: {script_dirs: x}\n",
	    ":3:8: unknown key 'script_dirs' in mqtt, " KEYS
	    "; did you mean 'script_dir'?");
	bad(MIN "mqtt: {nulls: null2}\n",
	    ":3:15: nulls: 'null2', expected string or nil");
	bad(MIN "mqtt: {num_states: 0}\n",
	    ":3:20: num_states: '0', expected a whole number from 1 to 1024");
	bad(MIN "mqtt: {scripts: {a: {enabled: true}}}\n",
	    ":3:18: scripts.a: file is missing, expected the path of a .lua "
	    "file");
	bad(MIN "mqtt: {scripts: {a: {file: a.lua, globals: event}}}\n",
	    ":3:35: unknown key 'globals' in a script of mqtt, expected one "
	    "of file, enabled, priority, workers, concurrency, timeout, "
	    "memory, on_error, grants, config");
	bad(MIN
	    "luaplugin: {scripts: {a: }}\nmqtt: {scripts: {a: {file: x}}}\n",
	    ":4:1: two scripts are named a (lines 3 and 4), expected a name "
	    "of its own for each");
	bad(MIN
	    "mqtt: {scripts: {a: {file: x}}}\nluaplugin: {scripts: {a: }}\n",
	    ":3:1: two scripts are named a (lines 4 and 3), expected a name "
	    "of its own for each");
	bad(MIN "mqtt: {script_dir: lua, scripts: {twice: {file: x}}}\n",
	    "expected a name of its own for each");
	bad(MIN "mqtt: {script_dir: /nowhere}\n",
	    ":3:20: script_dir: '/nowhere', expected a folder that can be "
	    "read (No such file or directory)");
	bad(MIN "mqtt: {auth_postgres: {hosts: x}}\n", "did you mean 'host'?");
	bad(MIN "mqtt: {auth_redis: {ssl: true}}\n",
	    ":3:21: auth_redis has no key ssl");
	bad(MIN "mqtt: {auth_postgres: {port: 70000}}\n",
	    ":3:30: port: '70000', expected a whole number from 1 to 65535");
	bad(MIN "mqtt: {auth_postgres: {password_hash_method: md5}}\n",
	    ":3:46: password_hash_method: 'md5', expected crypt or bcrypt");
	bad(MIN "mqtt: {auth_cache: {ttl: 5}}\n",
	    "expected a duration such as 300ms or 5s, from 1ms to 365d");
	bad(MIN "mqtt: {bcrypt: {default_log_rounds: 3}}\n",
	    "expected a whole number from 4 to 16");
}

/* What a mistake says is printed and logged: never a password. */
Test(conf_mqtt, mistakes_about_passwords)
{
	put("empty", "\n");
	unsetenv("PF_NOT_SET");
	bad(MIN "mqtt: {auth_mysql: {password: [hunter2]}}\n",
	    ":3:31: password: not shown here, expected text");
	bad(MIN "mqtt: {auth_mysql: {password: a, password_env: HOME}}\n",
	    ":3:34: password_env: there is a password already, expected one of "
	    "password, password_file and password_env (first at line 3)");
	bad(MIN "mqtt: {auth_mysql: {password_file: missing}}\n",
	    ":3:36: password_file: 'missing', expected a file that can be read "
	    "(No such file or directory)");
	bad(MIN "mqtt: {auth_mysql: {password_file: empty}}\n",
	    ":3:36: password_file: 'empty', expected a file with a first line "
	    "of 1 to 1024 bytes");
	bad(MIN "mqtt: {auth_mysql: {password_env: PF_NOT_SET}}\n",
	    ":3:35: password_env: 'PF_NOT_SET', expected the name of an "
	    "environment variable that is set");
}
