/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: every default, every key, files and paths. The mistakes
 * are in test_conf_mistakes.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/conf/conf_check.h"
#include "broker/conf/yaml.h"
#include "proto/unpack.h"
#include "tests/unit/conf_text.h"

Test(conf, defaults)
{
	struct conf *c = good(MIN);
	const struct conf_limits *l = &c->limits;

	cr_assert_str_eq(c->file, "t.yml");
	cr_assert_str_eq(c->listen.path, "/etc/pf/p.sock");
	cr_assert_eq(c->listen.mode, 0660);
	cr_assert_null(c->listen.group);
	cr_assert_eq(c->listen.nuids, 0);
	cr_assert_str_eq(c->control, "/etc/pf/data/control.sock");
	cr_assert_str_eq(c->data_dir, "/etc/pf/data");
	cr_assert_null(c->data_store);
	cr_assert_eq(c->hook_timeout_ms, 10000);
	cr_assert_eq(c->load_timeout_ms, 30000);
	cr_assert_eq(c->shutdown_timeout_ms, 10000);
	cr_assert_eq(c->durable_disk, false);
	cr_assert_eq(c->max_bytes, 10ull << 30);
	cr_assert_eq(c->log_json, false);
	cr_assert_eq(c->log_level, LOG_INFO);
	cr_assert_eq(c->sandbox.strict, false);
	cr_assert_eq(c->sandbox.uid, 0);
	cr_assert_null(c->worker);
	cr_assert_eq(c->plugin_enabled, true);
	cr_assert_eq(c->plugin_priority, 100);
	cr_assert_str_eq(c->script_dir, "/etc/pf/scripts");
	cr_assert_eq(c->nscripts, 0);
	cr_assert_eq(l->max_message, 16 << 20);
	cr_assert_eq(l->max_inflight, 1024);
	cr_assert_eq(l->inline_body, 16 << 10);
	cr_assert_eq(l->max_key, 1 << 10);
	cr_assert_eq(l->max_value, 1 << 20);
	cr_assert_eq(l->max_artifact, 64 << 20);
	cr_assert_eq(l->list_rows, 10000);
	cr_assert_eq(l->list_bytes, 16 << 20);
	cr_assert_eq(l->ops, 10000);
	cr_assert_eq(l->effects, 1000);
	cr_assert_eq(l->effect_bytes, 4 << 20);
	cr_assert_eq(l->bus_events, 100000);
	cr_assert_eq(l->bus_age_ms, 7ull * 24 * 3600 * 1000);
	cr_assert_eq(l->log_lines, 1000);
	conf_free(c);
}

Test(conf, every_top_key)
{
	struct conf *c = good("listen:\n"
			      "  path: /run/x/p.sock\n"
			      "  mode: 0600\n"
			      "  group: proxies\n"
			      "  uids: [0, 33, 4294967294]\n"
			      "control: /run/x/c.sock\n"
			      "data_dir: /var/lib/x\n"
			      "data_store: /usr/bin\n"
			      "hook_timeout: 300ms\n"
			      "load_timeout: 1h\n"
			      "shutdown_timeout: 0s\n"
			      "storage: {durability: disk, max_bytes: 1GiB}\n"
			      "log: {format: json, level: debug}\n"
			      "sandbox: {mode: strict, uid: 60000}\n"
			      "worker: /bin/sh\n");

	cr_assert_str_eq(c->listen.path, "/run/x/p.sock");
	cr_assert_eq(c->listen.mode, 0600);
	cr_assert_str_eq(c->listen.group, "proxies");
	cr_assert_eq(c->listen.nuids, 3);
	cr_assert_eq(c->listen.uids[1], 33);
	cr_assert_eq(c->listen.uids[2], 4294967294u);
	cr_assert_str_eq(c->control, "/run/x/c.sock");
	cr_assert_str_eq(c->data_dir, "/var/lib/x");
	cr_assert_str_eq(c->data_store, "/usr/bin");
	cr_assert_eq(c->hook_timeout_ms, 300);
	cr_assert_eq(c->load_timeout_ms, 3600000);
	cr_assert_eq(c->shutdown_timeout_ms, 0);
	cr_assert(c->durable_disk);
	cr_assert_eq(c->max_bytes, 1 << 30);
	cr_assert(c->log_json);
	cr_assert_eq(c->log_level, LOG_DEBUG);
	cr_assert(c->sandbox.strict);
	cr_assert_eq(c->sandbox.uid, 60000);
	cr_assert_str_eq(c->worker, "/bin/sh");
	conf_free(c);
}

Test(conf, every_limit)
{
	struct conf *c = good(MIN "limits:\n"
				  "  max_message: 2097152\n"
				  "  max_inflight: 7\n"
				  "  inline_body: 0\n"
				  "  max_key: 512\n"
				  "  max_value: 2MiB\n"
				  "  max_artifact: 4GiB\n"
				  "  list_rows: 11\n"
				  "  list_bytes: 1KiB\n"
				  "  ops: 12\n"
				  "  effects: 13\n"
				  "  effect_bytes: 1024B\n"
				  "  bus_events: 14\n"
				  "  bus_age: 2d\n"
				  "  log_lines: 15\n");
	const struct conf_limits *l = &c->limits;

	cr_assert_eq(l->max_message, 2097152);
	cr_assert_eq(l->max_inflight, 7);
	cr_assert_eq(l->inline_body, 0);
	cr_assert_eq(l->max_key, 512);
	cr_assert_eq(l->max_value, 2 << 20);
	cr_assert_eq(l->max_artifact, 4ull << 30);
	cr_assert_eq(l->list_rows, 11);
	cr_assert_eq(l->list_bytes, 1024);
	cr_assert_eq(l->ops, 12);
	cr_assert_eq(l->effects, 13);
	cr_assert_eq(l->effect_bytes, 1024);
	cr_assert_eq(l->bus_events, 14);
	cr_assert_eq(l->bus_age_ms, 2 * 86400000);
	cr_assert_eq(l->log_lines, 15);
	conf_free(c);
}

Test(conf, burro_block_as_it_is)
{
	struct conf *c = good(MIN "luaplugin:\n"
				  "  enabled: true\n"
				  "  priority: 90\n"
				  "  dir: scripts\n"
				  "  scripts:\n"
				  "    metric:\n"
				  "      enabled: true\n"
				  "      priority: 100\n"
				  "    off:\n"
				  "    yes_word: {enabled: yes, priority: -3}\n"
				  "    b: {enabled: on}\n"
				  "    a: {enabled: true}\n");

	cr_assert(c->plugin_enabled);
	cr_assert_eq(c->plugin_priority, 90);
	cr_assert_eq(c->nscripts, 5);
	/* by priority, then by name; absent is off and 0 */
	cr_assert_str_eq(c->scripts[0]->name, "yes_word");
	cr_assert_eq(c->scripts[0]->priority, -3);
	cr_assert(c->scripts[0]->enabled);
	cr_assert_str_eq(c->scripts[1]->name, "a");
	cr_assert_str_eq(c->scripts[2]->name, "b");
	cr_assert(c->scripts[2]->enabled);
	cr_assert_str_eq(c->scripts[3]->name, "off");
	cr_assert_not(c->scripts[3]->enabled);
	cr_assert_eq(c->scripts[3]->priority, 0);
	cr_assert_eq(c->scripts[3]->line, 11);
	cr_assert_str_eq(c->scripts[4]->name, "metric");
	conf_free(c);
}

Test(conf, below_plugins_and_switched_off)
{
	struct conf *c = good(MIN "plugins:\n"
				  "  luaplugin:\n"
				  "    enabled: off\n"
				  "    dir: ''\n"
				  "    scripts: {s: {enabled: true}}\n");

	cr_assert_not(c->plugin_enabled);
	cr_assert_str_eq(c->script_dir, "/etc/pf");
	cr_assert_eq(c->nscripts, 1);
	conf_free(c);
	bad(MIN "luaplugin: {}\nplugins:\n  luaplugin: {}\n",
	    "t.yml:5:3: luaplugin is there twice, expected either at the top "
	    "or below plugins (first at line 3)");
}

Test(conf, script_defaults)
{
	struct conf *c = good(MIN "luaplugin: {scripts: {s: {}}}\n");
	const struct conf_script *s = c->scripts[0];

	cr_assert_eq(s->workers, 1);
	cr_assert_eq(s->concurrency, 1);
	cr_assert_eq(s->timeout_ms, 5000);
	cr_assert_eq(s->memory, 64 << 20);
	for (int i = 0; i < CODE_COUNT; i++)
		cr_assert_eq(s->on_error[i], POLICY_DEFAULT);
	cr_assert_not(s->globals_script);
	cr_assert_not(s->grants.kv_read.given);
	cr_assert_not(s->grants.kv_write.given);
	cr_assert_not(s->grants.bus.given);
	cr_assert_not(s->grants.artifacts.given);
	cr_assert_not(s->grants.data.given);
	cr_assert_not(s->grants.providers.given);
	cr_assert_eq(s->subscribe.n, 0);
	cr_assert_eq(s->config.n, 1);
	cr_assert_eq(s->config.p[0], 0x80);
	conf_free(c);
}

static const char full_script[] =
	MIN "luaplugin:\n"
	    "  scripts:\n"
	    "    s:\n"
	    "      enabled: true\n"
	    "      workers: 2\n"
	    "      concurrency: 16\n"
	    "      timeout: 2m\n"
	    "      memory: 32MiB\n"
	    "      on_error: {timeout: skip, crashed: fail}\n"
	    "      globals: event\n"
	    "      grants:\n"
	    "        kv: {read: [a/, ''], write: []}\n"
	    "        bus: ['m.*', x]\n"
	    "        artifacts: [out/]\n"
	    "        data: [d]\n"
	    "        providers: [http]\n"
	    "      subscribe: ['*', audit.x]\n";

Test(conf, every_script_key)
{
	struct conf *c = good(full_script);
	const struct conf_script *s = c->scripts[0];
	const struct conf_grants *g = &s->grants;

	cr_assert_eq(s->workers, 2);
	cr_assert_eq(s->concurrency, 16);
	cr_assert_eq(s->timeout_ms, 120000);
	cr_assert_eq(s->memory, 32 << 20);
	cr_assert_eq(s->on_error[CODE_TIMEOUT], POLICY_SKIP);
	cr_assert_eq(s->on_error[CODE_CRASHED], POLICY_FAIL);
	cr_assert_eq(s->on_error[CODE_MEMORY], POLICY_DEFAULT);
	cr_assert_eq(g->kv_read.allow.n, 2);
	cr_assert_str_eq(g->kv_read.allow.item[0], "a/");
	cr_assert_str_eq(g->kv_read.allow.item[1], "");
	cr_assert(g->kv_write.given);
	cr_assert_eq(g->kv_write.allow.n, 0);
	cr_assert_str_eq(g->bus.allow.item[0], "m."); /* a prefix */
	cr_assert_str_eq(g->bus.allow.item[1], "x");
	cr_assert_str_eq(g->artifacts.allow.item[0], "out/");
	cr_assert_str_eq(g->data.allow.item[0], "d");
	cr_assert_str_eq(g->providers.allow.item[0], "http");
	cr_assert_eq(s->subscribe.n, 2);
	cr_assert_str_eq(s->subscribe.item[0], "*");
	conf_free(c);
}

Test(conf, one_policy_for_all_causes)
{
	struct conf *c = good(SCRIPT("on_error: skip"));
	const enum conf_policy *p = c->scripts[0]->on_error;
	static const enum code causes[] = {
		CODE_TIMEOUT,	 CODE_SCRIPT_ERROR, CODE_MEMORY, CODE_CRASHED,
		CODE_OVERLOADED, CODE_UNAVAILABLE,  CODE_STORAGE};

	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
		cr_assert_eq(p[causes[i]], POLICY_SKIP);
	cr_assert_eq(p[CODE_DENIED], POLICY_DEFAULT);
	conf_free(c);
}

Test(conf, half_a_kv_grant_closes_the_other_half)
{
	struct conf *c = good(SCRIPT("grants: {kv: {read: [a]}}"));
	const struct conf_grants *g = &c->scripts[0]->grants;

	cr_assert(g->kv_write.given);
	cr_assert_eq(g->kv_write.allow.n, 0);
	cr_assert_eq(g->kv_read.allow.n, 1);
	cr_assert_not(g->bus.given);
	conf_free(c);
}

Test(conf, script_globals_need_one_lane)
{
	struct conf *c = good(SCRIPT("globals: script"));

	cr_assert(c->scripts[0]->globals_script);
	conf_free(c);
	bad(SCRIPT("workers: 2, globals: script"),
	    "t.yml:3:48: globals: 'script', expected event, since script "
	    "needs workers: 1 and concurrency: 1");
	bad(SCRIPT("globals: script, concurrency: 2"),
	    "t.yml:3:36: globals: 'script', expected event, since script "
	    "needs workers: 1 and concurrency: 1");
}

static struct cursor value_of(struct slice map, const char *key)
{
	struct slice found;

	cr_assert(map_find(map, key, &found), "%s", key);
	return cursor_of(found);
}

Test(conf, config_is_typed)
{
	struct conf *c = good(MIN "luaplugin:\n"
				  "  scripts:\n"
				  "    s:\n"
				  "      config:\n"
				  "        n: null\n"
				  "        empty:\n"
				  "        t: True\n"
				  "        f: false\n"
				  "        i: -12\n"
				  "        hex: 0x1F\n"
				  "        octal: 0o17\n"
				  "        zero: 007\n"
				  "        big: 9223372036854775808\n"
				  "        fl: 1.5e3\n"
				  "        inf: -.inf\n"
				  "        word: yes\n"
				  "        quoted: '12'\n"
				  "        tagged: !!str 12\n"
				  "        date: 2026-01-02\n"
				  "        list: [1, [], {}]\n"
				  "        404: seen\n"
				  "        true: seen\n");
	struct slice all = buf_slice(&c->scripts[0]->config);
	struct cursor m = cursor_of(all), v;

	cr_assert_eq(cursor_map(&m), 18);
#define AT(key) (v = value_of(all, key), &v)
	cr_assert(cursor_nil(AT("n")));
	cr_assert(cursor_nil(AT("empty")));
	cr_assert(cursor_bool(AT("t")) && !v.error);
	cr_assert(!cursor_bool(AT("f")) && !v.error);
	cr_assert_eq(cursor_int(AT("i")), -12);
	cr_assert_eq(cursor_int(AT("hex")), 31);
	cr_assert_eq(cursor_int(AT("octal")), 15);
	cr_assert_eq(cursor_int(AT("zero")), 7);
	cr_assert_eq(cursor_peek(AT("big")), CURSOR_FLOAT);
	cr_assert_float_eq(cursor_number(&v), 9223372036854775808.0, 1);
	cr_assert_eq(cursor_peek(AT("fl")), CURSOR_FLOAT);
	cr_assert_float_eq(cursor_number(&v), 1500, 0);
	cr_assert_lt(cursor_number(AT("inf")), -1e308);
	cr_assert(slice_is(cursor_text(AT("word")), "yes"));
	cr_assert(slice_is(cursor_text(AT("quoted")), "12"));
	cr_assert(slice_is(cursor_text(AT("tagged")), "12"));
	cr_assert(slice_is(cursor_text(AT("date")), "2026-01-02"));
	cr_assert_eq(cursor_array(AT("list")), 3);
	cr_assert(slice_is(cursor_text(AT("true")), "seen"));
#undef AT
	for (int i = 0; i < 16 * 2; i++) /* up to the key 404 */
		cursor_skip(&m);
	cr_assert_eq(cursor_int(&m), 404);
	cr_assert_eq(m.error, 0);
	conf_free(c);
}

static char tapped[4096];

static void tap(void *arg, enum log_level level, struct slice line)
{
	size_t have = strlen(tapped);

	(void)arg;
	if (level == LOG_WARN && have + line.n < sizeof(tapped)) {
		memcpy(tapped + have, line.p, line.n);
		tapped[have + line.n] = 0;
	}
}

Test(conf, unknown_keys_of_the_shared_block_are_warned_about)
{
	struct conf *c;

	tapped[0] = 0;
	log_tap(tap, NULL);
	c = good(MIN "plugins:\n"
		     "  policy: {a: 1}\n"
		     "  luaplugin:\n"
		     "    trace: on\n"
		     "    scripts:\n"
		     "      s: {enabled: true, prioritty: 5}\n");
	log_tap(NULL, NULL);
	cr_assert_eq(c->nscripts, 1);
	cr_assert_eq(c->scripts[0]->priority, 0);
	cr_assert_not_null(strstr(tapped, "t.yml:4:3: unknown key 'policy' in "
					  "plugins, expected luaplugin "
					  "(ignored)"));
	cr_assert_not_null(strstr(tapped, "t.yml:6:5: unknown key 'trace' in "
					  "luaplugin, expected one of "
					  "enabled, priority, dir, scripts "
					  "(ignored)"));
	cr_assert_not_null(strstr(tapped, "t.yml:8:26: unknown key "
					  "'prioritty' in a script, "));
	cr_assert_not_null(strstr(tapped, "did you mean 'priority'?"));
	conf_free(c);
}

Test(conf, paths_that_overlap)
{
	char dir[] = "/tmp/pf-conf-XXXXXX", link[64], inside[64], up[64];

	cr_assert(conf_paths_overlap("/nx/a", "/nx/a"));
	cr_assert(conf_paths_overlap("/nx/a", "/nx/a/b"));
	cr_assert(conf_paths_overlap("/nx/a/b/", "/nx/a"));
	cr_assert(conf_paths_overlap("/nx/c/../a/./b", "/nx/a"));
	cr_assert(conf_paths_overlap("/", "/nx/a"));
	cr_assert_not(conf_paths_overlap("/nx/a", "/nx/ab"));
	cr_assert_not(conf_paths_overlap("/nx/a", "/nx/b"));
	cr_assert_not(conf_paths_overlap("/nx/a/../b", "/nx/a"));
	cr_assert_not_null(mkdtemp(dir));
	snprintf(inside, sizeof(inside), "%s/real", dir);
	snprintf(link, sizeof(link), "%s/link", dir);
	snprintf(up, sizeof(up), "%s/link/new", dir);
	cr_assert_eq(mkdir(inside, 0700), 0);
	cr_assert_eq(symlink("real", link), 0);
	cr_assert(conf_paths_overlap(inside, up));
	cr_assert_eq(unlink(link), 0);
	cr_assert_not(conf_paths_overlap(inside, up));
	cr_assert_eq(rmdir(inside), 0);
	cr_assert_eq(rmdir(dir), 0);
}

static void check_load_error(const char *path, int code, const char *part)
{
	struct buf error = {0};
	struct conf *conf;

	cr_assert_eq(conf_load(path, &conf, &error), code);
	cr_assert_null(conf);
	buf_add_byte(&error, 0);
	cr_assert_not_null(strstr((const char *)error.p, part), "%s",
			   (const char *)error.p);
	buf_fini(&error);
}

Test(conf, load_from_a_file)
{
	char dir[] = "/tmp/pf-conf-XXXXXX", path[64], expected[80];
	struct buf error = {0};
	struct conf *conf;
	FILE *f;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/x.yml", dir);
	snprintf(expected, sizeof(expected), "%s/p.sock", dir);
	f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs(MIN, f);
	fclose(f);
	cr_assert_eq(conf_load(path, &conf, &error), 0);
	cr_assert_str_eq(conf->listen.path, expected);
	conf_free(conf);
	cr_assert_eq(chdir(dir), 0); /* a path without a slash */
	cr_assert_eq(conf_load("x.yml", &conf, &error), 0);
	cr_assert_str_eq(conf->listen.path, expected);
	conf_free(conf);
	f = fopen("x.yml", "a");
	cr_assert_not_null(f);
	fputs("worker: []\n", f);
	fclose(f);
	check_load_error("x.yml", ERR_FORMAT,
			 "x.yml:3:9: worker: a list, expected text");
	check_load_error("y.yml", ERR_IO,
			 "y.yml: cannot be read: No such file or directory");
	check_load_error(dir, ERR_IO, "cannot be read: Is a directory");
	check_load_error("/dev/null", ERR_IO,
			 "/dev/null: cannot be read: Invalid argument");
	cr_assert_eq(unlink("x.yml"), 0);
	cr_assert_eq(rmdir(dir), 0);
	conf_free(NULL);
	conf_script_free(NULL);
}
