/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-file scripts: which sources they have, what their load request says, and
 * what a worker may answer to a run of theirs.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/child_read.h"
#include "broker/script.h"
#include "proto/mods.h"
#include "proto/pack.h"
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

TestSuite(script_file, .init = setup, .fini = teardown);

static void put(const char *name, const char *text)
{
	folder_put(name, slice_str(text));
}

static char *below(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return strdup(path);
}

static struct script *open_file(const char *root, const char *file,
				bool shallow)
{
	struct conf_script *c = calloc(1, sizeof(*c));
	struct script *s;

	c->dialect = DIALECT_MQTT;
	c->name = strdup("demo");
	c->root = below(root);
	c->file = below(file);
	c->shallow = shallow;
	c->workers = 2;
	c->concurrency = 5;
	c->timeout_ms = 1500;
	c->memory = 64 << 20;
	buf_clear(&why);
	if (script_open(c, "/nowhere", 3, &s, &why) == OK)
		return s;
	cr_assert_gt(why.n, 0);
	buf_add_byte(&why, 0);
	conf_script_free(c);
	return NULL;
}

static void has_files(const struct script *s, const char *names)
{
	char all[512] = "";

	for (size_t i = 0; i < s->nfiles; i++) {
		strcat(all, i ? " " : "");
		strcat(all, s->files[i].name);
	}
	cr_assert_str_eq(all, names);
}

Test(script_file, everything_below_script_dir)
{
	struct script *s;

	put("lua/auth/pg.lua", "main");
	put("lua/auth/commons.lua", "");
	put("lua/other.lua", "");
	put("lua/notes.txt", "");
	put("lua/auth/auth_on_register.lua", "");
	s = open_file("lua", "lua/auth/pg.lua", false);
	cr_assert_not_null(s);
	has_files(s, "auth/auth_on_register.lua auth/commons.lua auth/pg.lua "
		     "other.lua");
	cr_assert_str_eq(s->main, "auth/pg.lua");
	cr_assert_eq(s->hooks, 0, "known once it is loaded");
	script_free(s);
}

Test(script_file, a_file_elsewhere_goes_before_one_of_its_name)
{
	struct script *s;

	put("lua/demo.lua", "of script_dir");
	put("lua/mod.lua", "");
	put("else/demo.lua", "its own");
	s = open_file("lua", "else/demo.lua", false);
	cr_assert_not_null(s);
	has_files(s, "demo.lua mod.lua");
	cr_assert(slice_is(buf_slice(&s->files[0].text), "its own"));
	script_free(s);
}

Test(script_file, its_own_folder_is_not_searched_deeper)
{
	struct script *s;

	put("a/demo.lua", "");
	put("a/mod.lua", "");
	put("a/b/not_me.lua", "");
	s = open_file("a", "a/demo.lua", true);
	cr_assert_not_null(s);
	has_files(s, "demo.lua mod.lua");
	script_free(s);
}

Test(script_file, paths_that_climb_are_outside)
{
	struct script *s;

	put("lua/x.lua", "");
	put("demo.lua", "");
	s = open_file("lua", "lua/../demo.lua", false);
	cr_assert_not_null(s);
	cr_assert_str_eq(s->main, "demo.lua");
	has_files(s, "demo.lua x.lua");
	script_free(s);
}

Test(script_file, a_file_that_is_missing)
{
	put("lua/x.lua", "");
	cr_assert_null(open_file("lua", "lua/none.lua", false));
	cr_assert_not_null(strstr((char *)why.p, "none.lua: No such file"));
	cr_assert_null(open_file("nowhere", "nowhere/none.lua", true));
}

Test(script_file, the_same_or_not)
{
	struct script *a, *b;

	put("lua/a.lua", "1");
	put("lua/m.lua", "1");
	a = open_file("lua", "lua/a.lua", false);
	b = open_file("lua", "lua/a.lua", false);
	cr_assert(script_same(a, b));
	script_free(b);
	b = open_file("lua", "lua/m.lua", false);
	cr_assert(!script_same(a, b), "another file of the same folder");
	script_free(b);
	put("lua/m.lua", "2");
	b = open_file("lua", "lua/a.lua", false);
	cr_assert(!script_same(a, b), "a module has changed");
	script_free(a);
	script_free(b);
}

static struct cursor at(const struct buf *map, const char *key)
{
	struct slice value;

	cr_assert(map_find(buf_slice(map), key, &value), "%s", key);
	return cursor_of(value);
}

Test(script_file, load_request)
{
	struct conf conf = {.load_timeout_ms = 4000,
			    .mqtt = {.nulls_nil = true, .keep_state = true}};
	struct buf map = {0};
	struct script *s;
	struct cursor c;

	put("lua/a.lua", "1");
	s = open_file("lua", "lua/a.lua", false);
	script_pack_load(s, &conf, &map);
	c = at(&map, "dialect");
	cr_assert(slice_is(cursor_text(&c), "mqtt"));
	c = at(&map, "main");
	cr_assert(slice_is(cursor_text(&c), "a.lua"));
	c = at(&map, "workers");
	cr_assert_eq(cursor_uint(&c), 2);
	c = at(&map, "num_states");
	cr_assert_eq(cursor_uint(&c), 5);
	c = at(&map, "keep_state");
	cr_assert(cursor_bool(&c));
	c = at(&map, "nulls");
	cr_assert(slice_is(cursor_text(&c), "nil"));
	c = at(&map, "hooks");
	cr_assert_eq(cursor_array(&c), 0);
	c = cursor_of(buf_slice(&map));
	cursor_skip(&c);
	cr_assert(!c.error && c.p == c.end, "one whole map");
	buf_fini(&map);
	script_free(s);
}

Test(script_file, one_that_does_not_load_serves_what_asks_for_rights)
{
	struct script s = {.dialect = DIALECT_MQTT}, web = {0};

	script_deny(&s);
	cr_assert(script_serves(&s, HOOK_AUTH_ON_REGISTER));
	cr_assert(script_serves(&s, HOOK_AUTH_ON_SUBSCRIBE_M5));
	cr_assert(script_serves(&s, HOOK_ON_AUTH_M5));
	cr_assert(!script_serves(&s, HOOK_ON_UNSUBSCRIBE));
	cr_assert(!script_serves(&s, HOOK_ON_REGISTER));
	cr_assert(!script_serves(&s, HOOK_BEFORE_REQUEST));
	script_deny(&web);
	cr_assert_eq(web.hooks, 0);
}

Test(script_file, the_last_hook_has_a_bit)
{
	struct script s = {.hooks = 1ull << HOOK_ON_SESSION_EXPIRED};
	struct script **list = malloc(sizeof(*list));
	struct roster *r;

	cr_assert_lt((int)HOOK_COUNT, 64);
	list[0] = &s;
	cr_assert_eq(roster_new(list, 1, &r), OK);
	for (int i = 0; i < HOOK_COUNT; i++)
		cr_assert_eq(r->nhook[i], i == HOOK_ON_SESSION_EXPIRED);
	s.refs = 2; /* it is not to be freed */
	roster_unref(r, NULL, NULL);
}

/* ---- answers ----------------------------------------------------------- */

static int read_verdict(const struct verdict_view *v, enum hook hook,
			struct outcome *out, struct buf *answer)
{
	struct buf verdict = {0};

	verdict_pack(&verdict, v);
	buf_clear(answer);
	pack_array(answer, 4);
	pack_bin(answer, buf_slice(&verdict));
	pack_uint(answer, 0);
	pack_nil(answer);
	pack_uint(answer, 0);
	buf_fini(&verdict);
	*out = (struct outcome){0};
	return child_read_result(buf_slice(answer), hook, out);
}

Test(script_file, verdicts_of_workers)
{
	static const uint8_t mods[] = {0x81, 0xa1, 'x', 1};
	struct verdict_view ok = {.verdict = VERDICT_OK},
			    next = {.verdict = VERDICT_NEXT},
			    bad = {.verdict = VERDICT_OK,
				   .mods = slice_of(mods, sizeof(mods))};
	struct buf answer = {0};
	struct outcome out;

	cr_assert_eq(read_verdict(&ok, HOOK_AUTH_ON_PUBLISH, &out, &answer),
		     OK);
	cr_assert(out.finish && out.ops.n);
	cr_assert_eq(read_verdict(&next, HOOK_AUTH_ON_PUBLISH, &out, &answer),
		     OK);
	cr_assert(!out.finish && !out.ops.n, "nobody has answered");
	cr_assert_lt(read_verdict(&bad, HOOK_AUTH_ON_PUBLISH, &out, &answer),
		     0);
	cr_assert_eq(read_verdict(&ok, HOOK_ON_PUBLISH, &out, &answer), OK);
	cr_assert(!out.finish && !out.ops.n, "an observer decides nothing");
	buf_fini(&answer);
}
