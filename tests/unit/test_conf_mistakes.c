/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: the text of every mistake, with its line and column, and
 * the bounds on what is read at all.
 */
#include <stdio.h>

#include "tests/unit/conf_text.h"

struct mistake {
	const char *text, *error;
};

static void all_bad(const struct mistake *m)
{
	for (; m->text; m++)
		bad(m->text, m->error);
}

Test(conf_mistakes, mistakes_of_yaml)
{
	static const struct mistake list[] = {
		{"", "t.yml:1:1: an empty file, expected at least the keys "
		     "listen and data_dir"},
		{"# nothing\n", "t.yml:1:1: an empty file, expected at least "
				"the keys listen and data_dir"},
		{"~\n", "t.yml:1:1: an empty file, expected at least the keys "
			"listen and data_dir"},
		{"- a\n", "t.yml:1:1: the top level: a list, expected a map"},
		{"word\n", "t.yml:1:1: the top level: 'word', expected a map"},
		{"listen: [\n",
		 "t.yml:2:1: not YAML: did not find expected node content "
		 "(while parsing a flow node that began at line 2)"},
		{"listen: \"x\n",
		 "t.yml:2:1: not YAML: found unexpected end of stream (while "
		 "scanning a quoted scalar that began at line 1)"},
		{"a: 1\n\tb: 2\n",
		 "t.yml:2:1: not YAML: found a tab character that violates "
		 "indentation (while scanning a plain scalar that began at "
		 "line 1)"},
		{"a: \xff\n", "t.yml:1:1: not YAML text: invalid leading UTF-8 "
			      "octet at byte 3, UTF-8 expected"},
		{"listen: a\ncontrol: b\nlisten: c\n",
		 "t.yml:3:1: key 'listen' is there twice, expected once (first "
		 "at line 1)"},
		{"listen: &a x\ncontrol: *a\n",
		 "t.yml:2:10: an alias, expected the value written out"},
		{"listen: a\n--- \nlisten: b\n",
		 "t.yml:2:1: a second document, expected one"},
		{"? [a]\n: b\n", "t.yml:1:3: a key that is a list or a map, "
				 "expected a word"},
		{"listen: !!int 5\n",
		 "t.yml:1:9: a tag, expected a value without one"},
		{"listen: !x [5]\n",
		 "t.yml:1:9: a tag, expected a value without one"},
		{NULL, NULL},
	};

	all_bad(list);
}

Test(conf_mistakes, mistakes_of_the_top_level)
{
	static const struct mistake list[] = {
		{"data_dir: d\n", "t.yml:1:1: listen is missing, expected the "
				  "path of the socket for proxies"},
		{"listen:\ndata_dir: d\n",
		 "t.yml:1:1: listen is missing, expected the path of the "
		 "socket for proxies"},
		{"listen: p\n", "t.yml:1:1: data_dir is missing, expected a "
				"directory for the database"},
		{MIN "lisen: x\n",
		 "t.yml:3:1: unknown key 'lisen' in the top level, expected "
		 "one of control, data_dir, data_store, gateway, hook_timeout, "
		 "limits, listen, load_timeout, log, luaplugin, mqtt, plugins, "
		 "sandbox, shutdown_timeout, storage, worker; did you mean "
		 "'listen'?"},
		{MIN "zzzzzzzz: x\n",
		 "t.yml:3:1: unknown key 'zzzzzzzz' in the top level, expected "
		 "one of control, data_dir, data_store, gateway, hook_timeout, "
		 "limits, listen, load_timeout, log, luaplugin, mqtt, plugins, "
		 "sandbox, shutdown_timeout, storage, worker"},
		{MIN "control: p.sock\n",
		 "t.yml:1:9: listen and control are the same socket, expected "
		 "two paths"},
		{MIN "control: 5\n", "t.yml:3:10: control: '5', expected text "
				     "(in quotes, if it is meant)"},
		{MIN "control: [a]\n",
		 "t.yml:3:10: control: a list, expected text"},
		{MIN "control: ''\n",
		 "t.yml:3:10: control: '', expected a path"},
		{MIN "control: \"a\\0b\"\n",
		 "t.yml:3:10: control: 'a?b', expected text without NUL "
		 "bytes"},
		{MIN "data_store: data/x\n",
		 "t.yml:3:13: data_store overlaps data_dir, expected a "
		 "directory of its own: scripts can read all of it"},
		{MIN "data_store: .\n",
		 "t.yml:3:13: data_store overlaps data_dir, expected a "
		 "directory of its own: scripts can read all of it"},
		{MIN "data_store: /nowhere\n",
		 "t.yml:3:13: data_store: '/nowhere', expected a folder (No "
		 "such file or directory)"},
		{MIN "data_store: /etc/passwd\n",
		 "t.yml:3:13: data_store: '/etc/passwd', expected a folder "
		 "(Not a directory)"},
		{MIN "data_store: \"a\\nb\"\n",
		 "t.yml:3:13: data_store: 'a?b', expected a folder (No such "
		 "file or directory)"},
		{MIN "gateway: nothing\n",
		 "t.yml:3:10: gateway: 'nothing', expected a program "
		 "(No such file or directory)"},
		{MIN "gateway: /usr/bin\n",
		 "t.yml:3:10: gateway: '/usr/bin', expected a program (Is a "
		 "directory)"},
		{MIN "worker: /etc/passwd\n",
		 "t.yml:3:9: worker: '/etc/passwd', expected a program "
		 "(Permission denied)"},
		{MIN "hook_timeout: 5\n",
		 "t.yml:3:15: hook_timeout: '5', expected a duration such as "
		 "300ms or 5s, from 1ms to 1h"},
		{MIN "hook_timeout: 0s\n",
		 "t.yml:3:15: hook_timeout: '0s', expected a duration such as "
		 "300ms or 5s, from 1ms to 1h"},
		{MIN "load_timeout: 61m\n",
		 "t.yml:3:15: load_timeout: '61m', expected a duration such as "
		 "300ms or 5s, from 1ms to 1h"},
		{MIN "shutdown_timeout: soon\n",
		 "t.yml:3:19: shutdown_timeout: 'soon', expected a duration "
		 "such as 300ms or 5s, from 0ms to 1h"},
		{MIN "shutdown_timeout: 99999999999999999999s\n",
		 "t.yml:3:19: shutdown_timeout: '99999999999999999999s', "
		 "expected a duration such as 300ms or 5s, from 0ms to 1h"},
		{MIN "shutdown_timeout: 999999999999999999h\n",
		 "t.yml:3:19: shutdown_timeout: '999999999999999999h', "
		 "expected a duration such as 300ms or 5s, from 0ms to 1h"},
		{MIN "sandbox: none\n",
		 "t.yml:3:10: sandbox: 'none', expected default or strict"},
		{MIN "sandbox: {mode: none}\n",
		 "t.yml:3:17: mode: 'none', expected default or strict"},
		{MIN "sandbox: {uid: 0}\n",
		 "t.yml:3:16: uid: '0', expected a whole number from 1 to "
		 "4294901759"},
		{MIN "worker: {}\n", "t.yml:3:9: worker: a map, expected text"},
		{NULL, NULL},
	};

	all_bad(list);
}

Test(conf_mistakes, mistakes_below_the_top_level)
{
	static const struct mistake list[] = {
		{"listen: {mode: 0600}\ndata_dir: d\n",
		 "t.yml:1:9: listen.path is missing, expected the path of the "
		 "socket for proxies"},
		{"listen: {path: p, mode: 0888}\n",
		 "t.yml:1:25: mode: '0888', expected permissions such as 0660"},
		{"listen: {path: p, mode: 01777}\n",
		 "t.yml:1:25: mode: '01777', expected permissions such as "
		 "0660"},
		{"listen: {path: p, group: []}\n",
		 "t.yml:1:26: group: a list, expected text"},
		{"listen: {path: p, group: ''}\n",
		 "t.yml:1:26: group: '', expected a group"},
		{"listen: {path: p, uids: 5}\n",
		 "t.yml:1:25: uids: '5', expected a list of user ids"},
		{"listen: {path: p, uids: []}\n",
		 "t.yml:1:25: uids: a list, expected a list of user ids"},
		{"listen: {path: p, uids: [0, root]}\n",
		 "t.yml:1:29: uids: 'root', expected a user id (a number)"},
		{"listen: {path: p, uid: [0]}\n",
		 "t.yml:1:19: unknown key 'uid' in listen, expected one of "
		 "path, mode, group, uids; did you mean 'uids'?"},
		{"listen: [p]\n", "t.yml:1:9: listen: a list, expected a map"},
		{"storage: {durability: none}\n",
		 "t.yml:1:23: durability: 'none', expected os or disk"},
		{"storage: {durable: disk}\n",
		 "t.yml:1:11: unknown key 'durable' in storage, expected one "
		 "of durability, max_bytes"},
		{"storage: {max_bytes: 10GB}\n",
		 "t.yml:1:22: max_bytes: '10GB', expected a size such as 16KiB "
		 "or 64MiB, from 1MiB to 1024TiB"},
		{"storage: disk\n",
		 "t.yml:1:10: storage: 'disk', expected a map"},
		{"log: {format: xml}\n",
		 "t.yml:1:15: format: 'xml', expected text or json"},
		{"log: {level: loud}\n",
		 "t.yml:1:14: level: 'loud', expected trace, debug, info, "
		 "warn, error or audit"},
		{"log: {level: {}}\n",
		 "t.yml:1:14: level: a map, expected trace, debug, info, warn, "
		 "error or audit"},
		{"limits: {max_messages: 1}\n",
		 "t.yml:1:10: unknown key 'max_messages' in limits, expected "
		 "one of max_message, max_inflight, inline_body, max_key, "
		 "max_value, max_artifact, list_rows, list_bytes, ops, "
		 "effects, effect_bytes, bus_events, bus_age, log_lines; did "
		 "you mean 'max_message'?"},
		{"limits: {max_message: 17MiB}\n",
		 "t.yml:1:23: max_message: '17MiB', expected a size such as "
		 "16KiB or 64MiB, from 2MiB to 16MiB"},
		{"limits: {ops: many}\n",
		 "t.yml:1:15: ops: 'many', expected a whole number from 1 to "
		 "10000"},
		{"limits: {ops: '5'}\n",
		 "t.yml:1:15: ops: '5', expected a whole number from 1 to "
		 "10000"},
		{"limits: {ops: -1}\n",
		 "t.yml:1:15: ops: '-1', expected a whole number from 1 to "
		 "10000"},
		{"limits: {bus_age: 1ms}\n",
		 "t.yml:1:19: bus_age: '1ms', expected a duration such as "
		 "300ms or 5s, from 1s to 3650d"},
		{NULL, NULL},
	};

	all_bad(list);
}

#define GRANT_KEYS "kv, bus, artifacts, data, providers"

Test(conf_mistakes, mistakes_of_scripts)
{
	static const struct mistake list[] = {
		{MIN "luaplugin: yes\n",
		 "t.yml:3:12: luaplugin: 'yes', expected a map"},
		{MIN "luaplugin: {enabled: maybe}\n",
		 "t.yml:3:22: enabled: 'maybe', expected true or false"},
		{MIN "luaplugin: {enabled: 'true'}\n",
		 "t.yml:3:22: enabled: 'true', expected true or false"},
		{MIN "luaplugin: {scripts: [a]}\n",
		 "t.yml:3:22: scripts: a list, expected a map from name to "
		 "settings"},
		{MIN "luaplugin: {scripts: {a: on}}\n",
		 "t.yml:3:26: a script: 'on', expected a map"},
		{MIN "luaplugin: {scripts: {a/b: {}}}\n",
		 "t.yml:3:23: scripts: 'a/b', expected a name of 1 to 64 bytes "
		 "without '/', '..' and control characters"},
		{MIN "luaplugin: {scripts: {..: {}}}\n",
		 "t.yml:3:23: scripts: '..', expected a name of 1 to 64 bytes "
		 "without '/', '..' and control characters"},
		{MIN "luaplugin: {scripts: {'': {}}}\n",
		 "t.yml:3:23: scripts: '', expected a name of 1 to 64 bytes "
		 "without '/', '..' and control characters"},
		{MIN "luaplugin: {scripts: {\"a\\nb\": {}}}\n",
		 "t.yml:3:23: scripts: 'a?b', expected a name of 1 to 64 bytes "
		 "without '/', '..' and control characters"},
		{SCRIPT("priority: high"),
		 "t.yml:3:37: priority: 'high', expected a whole number"},
		{SCRIPT("workers: 0"),
		 "t.yml:3:36: workers: '0', expected a whole number from 1 to "
		 "64"},
		{SCRIPT("concurrency: 1025"),
		 "t.yml:3:40: concurrency: '1025', expected a whole number "
		 "from 1 to 1024"},
		{SCRIPT("timeout: 5 s"),
		 "t.yml:3:36: timeout: '5 s', expected a duration such as "
		 "300ms or 5s, from 1ms to 1h"},
		{SCRIPT("memory: 64MB"),
		 "t.yml:3:35: memory: '64MB', expected a size such as 16KiB or "
		 "64MiB, from 1MiB to 16GiB"},
		{SCRIPT("on_error: stop"),
		 "t.yml:3:37: on_error: 'stop', expected fail, skip or a map "
		 "from cause to fail or skip"},
		{SCRIPT("on_error: {timeout: stop}"),
		 "t.yml:3:47: timeout: 'stop', expected fail or skip"},
		{SCRIPT("on_error: {timeouts: skip}"),
		 "t.yml:3:38: unknown key 'timeouts' in on_error, expected one "
		 "of timeout, script_error, memory, crashed, overloaded, "
		 "unavailable, storage; did you mean 'timeout'?"},
		{SCRIPT("globals: all"),
		 "t.yml:3:36: globals: 'all', expected event or script"},
		{SCRIPT("grants: []"),
		 "t.yml:3:35: grants: a list, expected a map"},
		{SCRIPT("grants: {kvs: {}}"),
		 "t.yml:3:36: unknown key 'kvs' in grants, expected one "
		 "of " GRANT_KEYS "; did you mean 'kv'?"},
		{SCRIPT("grants: {kv: [a]}"),
		 "t.yml:3:40: grants.kv: a list, expected a map"},
		{SCRIPT("grants: {kv: {read: a}}"),
		 "t.yml:3:47: read: 'a', expected a list of texts"},
		{SCRIPT("grants: {data: [1]}"),
		 "t.yml:3:43: data: '1', expected text (in quotes, if it is "
		 "meant)"},
		{SCRIPT("grants: {data: [a, ~]}"),
		 "t.yml:3:46: data: null, expected text (in quotes, if it is "
		 "meant)"},
		{SCRIPT("grants: {bus: ['a*b']}"),
		 "t.yml:3:42: bus: 'a*b', expected a name, `*` only at its "
		 "end"},
		{SCRIPT("subscribe: ['**']"),
		 "t.yml:3:39: subscribe: '**', expected a name, `*` only at "
		 "its end"},
		{SCRIPT("subscribe: ['']"),
		 "t.yml:3:39: subscribe: '', expected a name, `*` only at its "
		 "end"},
		{SCRIPT("config: [1]"),
		 "t.yml:3:35: config: a list, expected a map"},
		{NULL, NULL},
	};

	all_bad(list);
}

static void nest(struct buf *b, const char *head, unsigned depth,
		 const char *tail)
{
	buf_addf(b, "%s", head);
	for (unsigned i = 0; i < depth; i++)
		buf_add_byte(b, '[');
	for (unsigned i = 0; i < depth; i++)
		buf_add_byte(b, ']');
	buf_addf(b, "%s", tail);
	buf_add_byte(b, 0);
}

Test(conf_mistakes, nesting_is_bounded)
{
	struct buf b = {0};

	nest(&b, MIN "luaplugin: {scripts: {s: {config: {a: ", 29, "}}}}\n");
	conf_free(good((const char *)b.p));
	buf_clear(&b);
	nest(&b, MIN "luaplugin: {scripts: {s: {config: {a: ", 30, "}}}}\n");
	bad((const char *)b.p, "t.yml:3:68: config: nested too deep, expected "
			       "at most 30 levels");
	buf_clear(&b);
	nest(&b, "a: ", 64, "\n");
	bad((const char *)b.p, "t.yml:1:67: nested deeper than 64 levels");
	buf_clear(&b);
	nest(&b, "a: ", 100000, "\n");
	bad((const char *)b.p, "t.yml:1:67: nested deeper than 64 levels");
	buf_fini(&b);
}

Test(conf_mistakes, count_and_size_are_bounded)
{
	struct buf b = {0};
	struct conf *conf;
	struct buf error = {0};

	buf_addf(&b, "a: [");
	for (int i = 0; i < 100000; i++)
		buf_addf(&b, "1,");
	buf_addf(&b, "]\n%c", 0);
	bad((const char *)b.p,
	    "t.yml:1:199999: more than 100000 values in one file");
	buf_clear(&b);
	while (b.n <= 1 << 20)
		buf_addf(&b, "# a comment that says nothing at all\n");
	cr_assert_eq(parse_n(buf_slice(&b), &conf, &error), ERR_FORMAT);
	cr_assert(slice_is(buf_slice(&error), "t.yml:1:1: larger than 1 MiB"));
	buf_fini(&b);
	buf_fini(&error);
}

Test(conf_mistakes, names_and_paths_are_bounded)
{
	char text[400], name[66] = "", path[110] = "";

	memset(name, 'n', 64);
	snprintf(text, sizeof(text), MIN "luaplugin: {scripts: {%s: {}}}\n",
		 name);
	conf_free(good(text));
	name[64] = 'n';
	snprintf(text, sizeof(text), MIN "luaplugin: {scripts: {%s: {}}}\n",
		 name);
	bad(text, "t.yml:3:23: scripts: 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
		  "nnnnnnnnnnnnnnnnnnnnnnn...', expected a name of 1 to 64 "
		  "bytes without '/', '..' and control characters");
	memset(path, 'p', 99); /* "/etc/pf/" in front: 107 */
	snprintf(text, sizeof(text), "listen: %s\ndata_dir: d\n", path);
	conf_free(good(text));
	path[99] = 'p';
	snprintf(text, sizeof(text), "listen: %s\ndata_dir: d\n", path);
	bad(text, "t.yml:1:9: path: a path of 108 bytes once it is absolute, "
		  "expected at most 107");
	snprintf(text, sizeof(text), "listen: l\ndata_dir: %s\n", path);
	bad(text, "t.yml:2:11: data_dir: too long for a socket in it, "
		  "expected the key control as well");
}
