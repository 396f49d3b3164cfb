/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a script's folder: which files count, the limits to the byte, what
 * its settings say; and rosters, which own nothing but count.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/script.h"
#include "proto/scan.h"
#include "proto/unpack.h"
#include "tests/unit/folder.h"

static struct buf why;

static void setup(void)
{
	log_setup(LOG_AUDIT, false);
	folder_make();
}

static void teardown(void)
{
	buf_fini(&why);
	folder_remove();
}

TestSuite(script, .init = setup, .fini = teardown);

static void put(const char *name, size_t size)
{
	char *text = malloc(size + 1);

	memset(text, '-', size);
	folder_put(name, slice_of(text, size));
	free(text);
}

static struct conf_script *settings(const char *name)
{
	struct conf_script *c = calloc(1, sizeof(*c));

	c->name = strdup(name);
	c->enabled = true;
	c->workers = 1;
	c->concurrency = 3;
	c->timeout_ms = 1500;
	c->memory = 64 << 20;
	return c;
}

static struct script *open_script(const char *name)
{
	struct conf_script *conf = settings(name);
	struct script *s;

	buf_clear(&why);
	if (script_open(conf, dir, 7, &s, &why) == OK) {
		cr_assert_eq(why.n, 0);
		cr_assert_eq(s->conf, conf);
		return s;
	}
	cr_assert_null(s);
	cr_assert_gt(why.n, 0, "a failure says why");
	buf_add_byte(&why, 0);
	conf_script_free(conf);
	return NULL;
}

static bool why_has(const char *text)
{
	return strstr((const char *)why.p, text) != NULL;
}

Test(script, files_of_a_folder)
{
	struct script *s;

	put("s/before_request.lua", 10);
	put("s/close.lua", 0);
	put("s/bus.lua", 1);
	put("s/_shared.lua", 20);
	put("s/sub/deep/mod.lua", 30);
	put("s/sub/error.lua", 5); /* a hook's name, but not at the top */
	put("s/README.md", 9);
	put("s/connect.lua.bak", 9);
	put("s/.hidden.lua", 9);
	put("s/.git/flush.lua", 9);
	put("s/lua", 9);
	put("other/ws_msg.lua", 9);
	s = open_script("s");
	cr_assert_not_null(s);
	cr_assert_eq(s->nfiles, 6);
	cr_assert_str_eq(s->files[0].name, "_shared.lua");
	cr_assert_str_eq(s->files[4].name, "sub/deep/mod.lua");
	cr_assert_str_eq(s->files[5].name, "sub/error.lua");
	cr_assert_eq(s->hooks, 1u << HOOK_BEFORE_REQUEST | 1u << HOOK_CLOSE |
				       1u << HOOK_BUS);
	cr_assert(script_serves(s, HOOK_CLOSE));
	cr_assert(!script_serves(s, HOOK_ERROR));
	cr_assert_eq(script_file(s, slice_str("sub/deep/mod.lua"))->text.n, 30);
	cr_assert_eq(script_file(s, slice_str("close.lua"))->text.n, 0);
	cr_assert_null(script_file(s, slice_str("mod.lua")));
	cr_assert_null(script_file(s, slice_str("../other/ws_msg.lua")));
	cr_assert_eq(s->generation, 7);
	cr_assert_eq(s->state, SCRIPT_LOADING);
	script_free(s);
}

Test(script, content_is_read_to_the_byte)
{
	static const size_t sizes[] = {
		1,	4095,	4096,	4097,	8192,	65536,		 131071,
		131072, 131073, 258000, 258050, 262143, PROTO_MAX_SOURCE};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct script *s;

		put("s/close.lua", sizes[i]);
		s = open_script("s");
		cr_assert_not_null(s, "%zu bytes: %s", sizes[i], why.p);
		cr_assert_eq(s->files[0].text.n, sizes[i]);
		cr_assert_eq(s->files[0].text.p[sizes[i] - 1], '-');
		script_free(s);
	}
	put("s/close.lua", PROTO_MAX_SOURCE + 1);
	cr_assert_null(open_script("s"));
	cr_assert(why_has("s/close.lua: longer than 256 KiB"), "%s", why.p);
}

Test(script, all_files_together)
{
	struct script *s;
	char name[32];

	for (int i = 0; i < SCRIPT_MAX_BYTES / PROTO_MAX_SOURCE; i++) {
		snprintf(name, sizeof(name), "s/m%02d.lua", i);
		put(name, PROTO_MAX_SOURCE);
	}
	s = open_script("s");
	cr_assert_not_null(s, "%s", why.p);
	script_free(s);
	put("s/zz.lua", 1);
	cr_assert_null(open_script("s"));
	cr_assert(why_has("4 MiB"), "%s", why.p);
}

Test(script, number_of_files)
{
	struct script *s;
	char name[32];

	for (int i = 0; i < SCRIPT_MAX_FILES; i++) {
		snprintf(name, sizeof(name), "s/m%03d.lua", i);
		put(name, 1);
	}
	s = open_script("s");
	cr_assert_not_null(s);
	cr_assert_eq(s->nfiles, SCRIPT_MAX_FILES);
	script_free(s);
	put("s/one_more.lua", 1);
	cr_assert_null(open_script("s"));
	cr_assert(why_has("256 files"), "%s", why.p);
}

Test(script, links_that_lead_around_end)
{
	char path[256], target[256];
	struct script *s;

	put("s/close.lua", 1);
	snprintf(path, sizeof(path), "%s/s/around", dir);
	cr_assert_eq(symlink(".", path), 0);
	s = open_script("s");
	cr_assert_not_null(s);
	cr_assert_lt(s->nfiles, 20);
	script_free(s);
	/* What is neither file nor folder is passed over, not waited for. */
	snprintf(path, sizeof(path), "%s/s/pipe.lua", dir);
	cr_assert_eq(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/s/around", dir);
	cr_assert_eq(unlink(path), 0);
	s = open_script("s");
	cr_assert_not_null(s);
	cr_assert_eq(s->nfiles, 1);
	script_free(s);
	snprintf(path, sizeof(path), "%s/s/gone.lua", dir);
	snprintf(target, sizeof(target), "%s/nowhere", dir);
	cr_assert_eq(symlink(target, path), 0);
	cr_assert_null(open_script("s"));
	cr_assert(why_has("s/gone.lua: No such file"), "%s", why.p);
}

Test(script, folders_that_are_none)
{
	struct script *s;
	char path[256];

	cr_assert_null(open_script("missing"));
	cr_assert(why_has("missing: No such file"), "%s", why.p);
	put("file", 1);
	cr_assert_null(open_script("file"));
	cr_assert(why_has("Not a directory"), "%s", why.p);
	snprintf(path, sizeof(path), "%s/empty", dir);
	cr_assert_eq(mkdir(path, 0755), 0);
	s = open_script("empty");
	cr_assert_not_null(s, "only a warning");
	cr_assert_eq(s->hooks, 0);
	script_free(s);
}

static uint64_t number(struct slice map, const char *key)
{
	struct slice value;
	struct cursor c;
	uint64_t v;

	cr_assert(map_find(map, key, &value), "%s", key);
	c = cursor_of(value);
	v = cursor_uint(&c);
	cr_assert_eq(c.error, OK);
	return v;
}

Test(script, load_request)
{
	struct conf conf = {.load_timeout_ms = 30000,
			    .limits = {.max_value = 99, .max_key = 11}};
	struct buf b = {0};
	struct slice value;
	struct script *s;
	struct cursor c;

	put("s/connect.lua", 1);
	put("s/ws_msg.lua", 1);
	put("s/x/y.lua", 1);
	s = open_script("s");
	script_pack_load(s, &conf, &b);
	cr_assert(scan_whole(buf_slice(&b), 1 << 20));
	cr_assert_eq(number(buf_slice(&b), "concurrency"), 3);
	cr_assert_eq(number(buf_slice(&b), "timeout_ms"), 1500);
	cr_assert_eq(number(buf_slice(&b), "load_timeout_ms"), 30000);
	cr_assert_eq(number(buf_slice(&b), "max_body"), 16 << 20);
	cr_assert_eq(number(buf_slice(&b), "max_value"), 99);
	cr_assert_eq(number(buf_slice(&b), "max_key"), 11);
	cr_assert(map_find(buf_slice(&b), "files", &value));
	c = cursor_of(value);
	cr_assert_eq(cursor_array(&c), 3);
	cr_assert(slice_is(cursor_text(&c), "connect.lua"));
	cr_assert(map_find(buf_slice(&b), "hooks", &value));
	c = cursor_of(value);
	cr_assert_eq(cursor_array(&c), 2);
	cr_assert_eq(cursor_uint(&c), HOOK_CONNECT);
	cr_assert_eq(cursor_uint(&c), HOOK_WS_MSG);
	cr_assert(map_find(buf_slice(&b), "config", &value));
	c = cursor_of(value);
	cr_assert(slice_is(cursor_text(&c), "\x80"));
	buf_fini(&b);
	script_free(s);
}

Test(script, grants_are_what_the_configuration_says)
{
	struct conf_script *conf = settings("s");
	struct script *s;

	put("s/close.lua", 1);
	conf->grants.kv_read.given = true;
	conf->grants.kv_read.allow.item = calloc(2, sizeof(char *));
	conf->grants.kv_read.allow.item[0] = strdup("a/");
	conf->grants.kv_read.allow.item[1] = strdup("b");
	conf->grants.kv_read.allow.n = 2;
	conf->grants.bus.given = true; /* and empty: nothing */
	cr_assert_eq(script_open(conf, dir, 1, &s, &why), OK);
	cr_assert(grants_allow(&s->grants, GRANT_KV_READ, slice_str("a/x")));
	cr_assert(grants_allow(&s->grants, GRANT_KV_READ, slice_str("bcd")));
	cr_assert(!grants_allow(&s->grants, GRANT_KV_READ, slice_str("a")));
	cr_assert(!grants_allow(&s->grants, GRANT_BUS, slice_str("x")));
	cr_assert(grants_allow(&s->grants, GRANT_DATA, slice_str("x")));
	script_free(s);
}

Test(script, policy)
{
	struct conf_script conf = {0};
	struct script s = {.conf = &conf};

	cr_assert(script_fails(&s, HOOK_BEFORE_REQUEST, CODE_TIMEOUT));
	cr_assert(!script_fails(&s, HOOK_WS_MSG, CODE_TIMEOUT));
	cr_assert(!script_fails(&s, HOOK_CLOSE, CODE_TIMEOUT));
	conf.on_error[CODE_TIMEOUT] = POLICY_SKIP;
	cr_assert(!script_fails(&s, HOOK_BEFORE_REQUEST, CODE_TIMEOUT));
	cr_assert(script_fails(&s, HOOK_BEFORE_REQUEST, CODE_CRASHED));
	conf.on_error[CODE_TIMEOUT] = POLICY_FAIL;
	cr_assert(script_fails(&s, HOOK_WS_MSG, CODE_TIMEOUT));
	cr_assert(!script_fails(&s, HOOK_CLOSE, CODE_TIMEOUT),
		  "an observe hook never fails its caller");
}

Test(script, log_allowance)
{
	struct script s = {.name = "s"};

	for (int i = 0; i < 5; i++)
		cr_assert_eq(script_may_log(&s, 10500, 3), i < 3);
	cr_assert_eq(s.log_lost, 2);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(script_may_log(&s, 11000, 3), i < 3);
}

/* ---- rosters ----------------------------------------------------------- */

static unsigned gone;

static void on_gone(void *arg, struct script *s)
{
	(void)arg;
	cr_assert_eq(s->refs, 0);
	gone++;
}

static struct script **list_of(struct script *all, size_t n)
{
	struct script **list = calloc(n, sizeof(*list));

	for (size_t i = 0; i < n; i++)
		list[i] = &all[i];
	return list;
}

Test(script, roster_by_hook_in_order)
{
	struct script all[3] = {{.hooks = 1u << HOOK_CLOSE | 1u << HOOK_BUS},
				{.hooks = 1u << HOOK_ERROR},
				{.hooks = 1u << HOOK_CLOSE}};
	struct roster *r;

	cr_assert_eq(roster_new(list_of(all, 3), 3, &r), OK);
	cr_assert_eq(r->nhook[HOOK_CLOSE], 2);
	cr_assert_eq(r->hook[HOOK_CLOSE][0], &all[0]);
	cr_assert_eq(r->hook[HOOK_CLOSE][1], &all[2]);
	cr_assert_eq(r->nhook[HOOK_ERROR], 1);
	cr_assert_eq(r->nhook[HOOK_FLUSH], 0);
	roster_unref(r, on_gone, NULL);
	cr_assert_eq(gone, 3);
}

Test(script, a_script_goes_with_the_last_roster_that_lists_it)
{
	struct script all[3] = {0};
	struct roster *old, *new;

	cr_assert_eq(roster_new(list_of(all, 2), 2, &old), OK);
	cr_assert_eq(roster_new(list_of(all + 1, 2), 2, &new), OK);
	cr_assert_eq(all[1].refs, 2);
	cr_assert_eq(roster_ref(old), old); /* an event in flight */
	roster_unref(old, on_gone, NULL);
	cr_assert_eq(gone, 0);
	roster_unref(old, on_gone, NULL);
	cr_assert_eq(gone, 1);
	cr_assert_eq(all[1].refs, 1);
	roster_unref(new, on_gone, NULL);
	cr_assert_eq(gone, 3);
}

Test(script, an_empty_roster)
{
	struct roster *r;

	cr_assert_eq(roster_new(list_of(NULL, 0), 0, &r), OK);
	cr_assert_eq(r->nhook[HOOK_CLOSE], 0);
	roster_unref(r, on_gone, NULL);
	cr_assert_eq(gone, 0);
}
