/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access lists: which topics match, with which rule, and names in patterns.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/acl_make.h"
#include "proto/acl_rule.h"

/* ---- topics and patterns ----------------------------------------------- */

Test(acl, topics)
{
	cr_assert(acl_is_topic(slice_str("a")));
	cr_assert(acl_is_topic(slice_str("/")));
	cr_assert(acl_is_topic(slice_str("$SYS/a")));
	cr_assert(!acl_is_topic(slice_str("")));
	cr_assert(!acl_is_topic((struct slice){0}));
	cr_assert(!acl_is_topic(slice_str("a/+")));
	cr_assert(!acl_is_topic(slice_str("a+")));
	cr_assert(!acl_is_topic(slice_str("#")));
	cr_assert(!acl_is_topic(slice_of("a\0b", 3)));
}

Test(acl, longest_topic)
{
	char *text = malloc(ACL_MAX_TOPIC + 1);

	memset(text, 'x', ACL_MAX_TOPIC + 1);
	cr_assert(acl_is_topic(slice_of(text, ACL_MAX_TOPIC)));
	cr_assert(!acl_is_topic(slice_of(text, ACL_MAX_TOPIC + 1)));
	cr_assert(acl_is_filter(slice_of(text, ACL_MAX_TOPIC), 0));
	cr_assert(!acl_is_filter(slice_of(text, ACL_MAX_TOPIC + 1), 0));
	free(text);
}

Test(acl, filters)
{
	static const char *const good[] = {"a",	  "a/b", "+",	"#",
					   "a/+", "+/a", "a/#", "+/+/#",
					   "/",	  "/#",	 "//",	"$share/g/a"};
	static const char *const bad[] = {"",	"a/#/b", "#/", "a#",   "a+",
					  "+a", "a/+b",	 "##", "a/##", "++"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		cr_assert(acl_is_filter(slice_str(good[i]), 0), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(!acl_is_filter(slice_str(bad[i]), 0), "%s", bad[i]);
	cr_assert(!acl_is_filter(slice_of("a\0", 2), 0));
	cr_assert(acl_is_filter(slice_str("1/2/3"), 3));
	cr_assert(!acl_is_filter(slice_str("1/2/3/4"), 3));
	cr_assert(!acl_is_filter(slice_str("1/2/3/"), 3));
}

/* ---- the match --------------------------------------------------------- */

struct row {
	const char *pattern, *topic;
	bool matches;
};

Test(acl, publish_patterns)
{
	static const struct row rows[] = {
		{"a", "a", true},
		{"a", "b", false},
		{"a", "a/b", false},
		{"a", "aa", false},
		{"a", "a/", false},
		{"aa", "a", false},
		{"a/b", "a", false},
		{"a/b", "a/b", true},
		{"a/b", "ab", false},
		{"a//b", "a//b", true},
		{"a//b", "a/b", false},
		{"/a", "/a", true},
		{"/a", "a", false},
		{"+", "a", true},
		{"+", "a/b", false},
		{"+", "/", false},
		{"+/+", "/", true},
		{"+/+", "a/", true},
		{"a/+", "a/b", true},
		{"a/+", "a/", true},
		{"a/+", "a", false},
		{"a/+", "a/b/c", false},
		{"a/+/c", "a/b/c", true},
		{"a/+/c", "a//c", true},
		{"a/+/c", "a/b/d", false},
		{"#", "a", true},
		{"#", "a/b/c", true},
		{"#", "/", true},
		{"a/#", "a/b", true},
		{"a/#", "a/b/c/d", true},
		{"a/#", "a/", true},
		{"a/#", "b", false},
		{"c/#", "c", true}, /* any rest, none included */
		{"c/#", "cc", false},
		{"a/+/#", "a", false},
		{"a/+/#", "a/b", true},
		{"a/+/#", "a/b/c", true},
		/* no exception for what begins with $ */
		{"#", "$SYS/broker", true},
		{"+/broker", "$SYS/broker", true},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char list[128];
		struct acl *a;

		snprintf(list, sizeof(list), "[{'pattern':'%s'}]",
			 rows[i].pattern);
		a = make(list, NULL);
		cr_assert_eq(publish(a, rows[i].topic), rows[i].matches,
			     "%s ~ %s", rows[i].pattern, rows[i].topic);
		acl_free(a);
	}
}

/* A filter is matched as a topic: its + and # are words like others. */
Test(acl, subscribe_patterns)
{
	static const struct row rows[] = {
		{"a/+", "a/+", true},
		{"a/+", "a/#", true},
		{"a/+", "a/b", true},
		{"a/+", "a/+/c", false},
		{"a/#", "a/b/+", true},
		{"a/#", "a/#", true},
		{"a/b", "a/+", false},
		{"a/b", "a/#", false},
		{"#", "#", true},
		{"+", "#", true},
		{"+", "+", true},
		{"a", "#", false},
		{"a/#", "#", false},
		{"a/#", "$share/g/a/b", false},
		{"$share/g/a/#", "$share/g/a/b", true},
		{"$share/+/a/#", "$share/g/a/b", true},
		{"#", "$share/g/a/b", true},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char list[128];
		struct acl *a;

		snprintf(list, sizeof(list), "[{'pattern':'%s'}]",
			 rows[i].pattern);
		a = make(NULL, list);
		cr_assert_eq(subscribe(a, rows[i].topic), rows[i].matches,
			     "%s ~ %s", rows[i].pattern, rows[i].topic);
		acl_free(a);
	}
}

Test(acl, no_topic)
{
	struct acl *a = make("[{'pattern':'#'}]", "[{'pattern':'#'}]");
	struct slice mods;

	cr_assert_eq(publish(a, ""), ERR_FORMAT);
	cr_assert_eq(publish(a, "a/+"), ERR_FORMAT);
	cr_assert_eq(publish(a, "a/#"), ERR_FORMAT);
	cr_assert_eq(
		acl_publish_match(a, slice_of("a\0", 2), 0, 0, false, &mods),
		ERR_FORMAT);
	cr_assert_eq(subscribe(a, ""), ERR_FORMAT);
	cr_assert_eq(subscribe(a, "a/#/b"), ERR_FORMAT);
	cr_assert_eq(subscribe(a, "a+"), ERR_FORMAT);
	acl_free(a);
}

/* Many levels are no reason to refuse a topic. */
Test(acl, deep_topic)
{
	struct acl *a = make("[{'pattern':'a/#'}]", NULL);
	struct buf topic = {0};

	buf_add_byte(&topic, 'a');
	for (int i = 0; i < 30000; i++)
		buf_add(&topic, "/b", 2);
	buf_add_byte(&topic, 0);
	cr_assert_eq(publish(a, (const char *)topic.p), 1);
	buf_fini(&topic);
	acl_free(a);
}

Test(acl, nothing_given_is_nothing_allowed)
{
	struct acl *a = make(NULL, "[{'pattern':'#'}]");

	cr_assert_eq(publish(a, "a"), 0);
	cr_assert_eq(subscribe(a, "a"), 1);
	cr_assert_str_eq(json(acl_publish(a)), "[]");
	acl_free(a);
	a = make("[]", "null");
	cr_assert_eq(publish(a, "a"), 0);
	cr_assert_eq(subscribe(a, "a"), 0);
	acl_free(a);
	a = make("{}", "{}"); /* a table that is empty */
	cr_assert_eq(publish(a, "a"), 0);
	cr_assert_eq(nwarnings, 0);
	acl_free(a);
}

Test(acl, qos_payload_retain)
{
	struct acl *a = make("[{'pattern':'q/+','max_qos':1},"
			     "{'pattern':'p/+','max_payload_size':5},"
			     "{'pattern':'r/+','allowed_retain':false},"
			     "{'pattern':'d/+'}]",
			     "[{'pattern':'q/+','max_qos':1},"
			     "{'pattern':'d/+'}]");
	struct slice m;

	cr_assert_eq(acl_publish_match(a, slice_str("q/1"), 1, 9, true, &m), 1);
	cr_assert_eq(acl_publish_match(a, slice_str("q/1"), 2, 9, true, &m), 0);
	cr_assert_eq(acl_publish_match(a, slice_str("p/1"), 2, 5, true, &m), 1);
	cr_assert_eq(acl_publish_match(a, slice_str("p/1"), 2, 6, true, &m), 0);
	cr_assert_eq(acl_publish_match(a, slice_str("r/1"), 2, 6, false, &m),
		     1);
	cr_assert_eq(acl_publish_match(a, slice_str("r/1"), 2, 6, true, &m), 0);
	cr_assert_eq(acl_publish_match(a, slice_str("d/1"), 2, ACL_MAX_PAYLOAD,
				       true, &m),
		     1);
	cr_assert_eq(acl_publish_match(a, slice_str("d/1"), 2,
				       (size_t)ACL_MAX_PAYLOAD + 1, true, &m),
		     0);
	cr_assert_eq(acl_subscribe_match(a, slice_str("q/1"), 1, &m), 1);
	cr_assert_eq(acl_subscribe_match(a, slice_str("q/1"), 2, &m), 0);
	cr_assert_eq(acl_subscribe_match(a, slice_str("d/1"), 2, &m), 1);
	acl_free(a);
}

/* The first that passes, not the first whose pattern fits. */
Test(acl, first_rule_wins)
{
	struct acl *a = make("[{'pattern':'a/b','max_qos':0,"
			     "'modifiers':{'topic':'one'}},"
			     "{'pattern':'a/+','modifiers':{'topic':'two'}},"
			     "{'pattern':'#','modifiers':{'topic':'three'}}]",
			     "[{'pattern':'a/b','max_qos':0,"
			     "'modifiers':[['one',1]]},{'pattern':'#'}]");
	struct slice m;

	cr_assert_eq(acl_publish_match(a, slice_str("a/b"), 0, 0, false, &m),
		     1);
	cr_assert_str_eq(json(m), "{'topic':'one'}");
	cr_assert_eq(acl_publish_match(a, slice_str("a/b"), 1, 0, false, &m),
		     1);
	cr_assert_str_eq(json(m), "{'topic':'two'}");
	cr_assert_eq(acl_publish_match(a, slice_str("a"), 1, 0, false, &m), 1);
	cr_assert_str_eq(json(m), "{'topic':'three'}");
	cr_assert_eq(acl_subscribe_match(a, slice_str("a/b"), 0, &m), 1);
	cr_assert_str_eq(json(m), "[['one',1]]");
	cr_assert_eq(acl_subscribe_match(a, slice_str("a/b"), 1, &m), 1);
	cr_assert_eq(m.n, 0);
	acl_free(a);
}

/* ---- names in patterns ------------------------------------------------- */

static struct acl *make_names(const char *mountpoint, const char *client_id,
			      const char *username, const char *list)
{
	struct acl_source src = {
		.mountpoint = slice_str(mountpoint),
		.client_id = slice_str(client_id),
		.username = slice_str(username),
		.publish = packed(list),
	};

	return make_for(&src);
}

Test(acl, names)
{
	struct acl *a = make_names("", "c1", "u1",
				   "[{'pattern':'a/%m/%u/%c/+'},"
				   "{'pattern':'dev-%c/x'},"
				   "{'pattern':'%%c/%C'}]");

	cr_assert_eq(publish(a, "a//u1/c1/hello"), 1);
	cr_assert_eq(publish(a, "a/%m/%u/%c/hello"), 0);
	cr_assert_eq(publish(a, "a//u2/c1/hello"), 0);
	/* only whole words are names */
	cr_assert_eq(publish(a, "dev-%c/x"), 1);
	cr_assert_eq(publish(a, "dev-c1/x"), 0);
	cr_assert_eq(publish(a, "%%c/%C"), 1);
	cr_assert_eq(nwarnings, 0);
	acl_free(a);
	a = make_names("mp", "", "u", "[{'pattern':'%m'},{'pattern':'%c/a'}]");
	cr_assert_eq(publish(a, "mp"), 1);
	cr_assert_eq(publish(a, "/a"), 1);
	acl_free(a);
}

/* A stranger chooses its client id: it is a word, never a wildcard. */
Test(acl, names_are_no_wildcards)
{
	static const char *const ids[] = {"#", "+", "a/b", "a#", "/", "x+y"};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct acl *a = make_names("", ids[i], "u",
					   "[{'pattern':'dev/%c'},"
					   "{'pattern':'ok'}]");

		cr_assert_eq(nwarnings, 1);
		cr_assert(warned("publish rule 1: in pattern 'dev/%c'"));
		cr_assert_eq(publish(a, "dev/x"), 0);
		cr_assert_eq(publish(a, "dev/a/b"), 0);
		cr_assert_eq(publish(a, "dev//"), 0);
		cr_assert_eq(publish(a, "ok"), 1);
		acl_free(a);
	}
}

/* %% in a client id is a name like others: it is put in once. */
Test(acl, names_are_put_in_once)
{
	struct acl *a = make_names("", "%u", "admin", "[{'pattern':'%c/a'}]");

	cr_assert_eq(publish(a, "%u/a"), 1);
	cr_assert_eq(publish(a, "admin/a"), 0);
	acl_free(a);
}

Test(acl, names_that_make_it_too_long)
{
	char *id = malloc(60001);
	struct acl *a;

	memset(id, 'x', 60000);
	id[60000] = 0;
	a = make_names("", id, "u", "[{'pattern':'%c/%c'},{'pattern':'%c'}]");
	cr_assert(warned("publish rule 1: no valid pattern with its names"));
	cr_assert_eq(nwarnings, 1);
	cr_assert_eq(publish(a, id), 1);
	acl_free(a);
	a = make_names("", "c", "", "[{'pattern':'%u'}]");
	cr_assert(warned("no valid pattern with its names"));
	acl_free(a);
	free(id);
}
