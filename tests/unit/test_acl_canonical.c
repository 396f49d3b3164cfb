/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a script's lists become, what is told of its mistakes, and bytes that
 * are no access list.
 */
#include <stdlib.h>

#include "tests/unit/acl_make.h"

/* ---- mistakes ---------------------------------------------------------- */

Test(acl_canonical, wrong_keys_are_left_out)
{
	struct acl *a = make(
		"[{'pattern':'a','max_qos':'1','max_payload_size':-1,"
		"'allowed_retain':'no','foo':1},"
		"{'pattern':'b','max_qos':5,'max_payload_size':268435457},"
		"{'pattern':'c','max_qos':1.0},{'pattern':'d','max_qos':1.5}]",
		"[{'pattern':'a','max_payload_size':1,'allowed_retain':true}]");
	struct slice m;

	cr_assert_eq(nwarnings, 9);
	cr_assert(warned("publish rule 1: max_qos is not 0, 1 or 2"));
	cr_assert(warned("publish rule 1: max_payload_size is not 0..268435456"
			 " (left out)"));
	cr_assert(warned("publish rule 1: allowed_retain is no boolean"));
	cr_assert(warned("publish rule 1: unknown key 'foo' (left out)"));
	cr_assert(warned("publish rule 2: max_qos is not 0, 1 or 2"));
	cr_assert(warned("publish rule 4: max_qos is not"));
	cr_assert(!warned("publish rule 3"));
	cr_assert(warned("subscribe rule 1: unknown key 'max_payload_size'"));
	/* the rules stay, with the defaults */
	cr_assert_eq(acl_publish_match(a, slice_str("a"), 2, ACL_MAX_PAYLOAD,
				       true, &m),
		     1);
	cr_assert_eq(acl_publish_match(a, slice_str("b"), 2, 1, true, &m), 1);
	cr_assert_eq(acl_publish_match(a, slice_str("c"), 2, 1, true, &m), 0);
	cr_assert_eq(acl_publish_match(a, slice_str("d"), 2, 1, true, &m), 1);
	cr_assert_eq(subscribe(a, "a"), 1);
	acl_free(a);
}

Test(acl_canonical, wrong_patterns_match_nothing)
{
	struct acl *a = make("[{'pattern':'a/#/b'},{'pattern':5},{},"
			     "{'pattern':''},{'pattern':'ok'}]",
			     NULL);

	cr_assert_eq(nwarnings, 4);
	cr_assert(warned("publish rule 1: no valid pattern 'a/#/b'"));
	cr_assert(warned("publish rule 2: the pattern is no string"));
	cr_assert(warned("publish rule 3: no pattern"));
	cr_assert(warned("publish rule 4: no valid pattern"));
	cr_assert_eq(publish(a, "a/x/b"), 0);
	cr_assert_eq(publish(a, "a"), 0);
	cr_assert_eq(publish(a, "/"), 0);
	cr_assert_eq(publish(a, "ok"), 1);
	acl_free(a);
}

Test(acl_canonical, too_deep_a_pattern)
{
	struct acl_source src = {
		.publish = packed("[{'pattern':'1/2/3/4/5/6/7/8/9/10'},"
				  "{'pattern':'1/2/3/4/5/6/7/8/9/10/11'}]"),
		.max_levels = 10,
	};
	struct acl *a = make_for(&src);

	cr_assert_eq(nwarnings, 1);
	cr_assert(warned("publish rule 2: no valid pattern"));
	cr_assert_eq(publish(a, "1/2/3/4/5/6/7/8/9/10"), 1);
	cr_assert_eq(publish(a, "1/2/3/4/5/6/7/8/9/10/11"), 0);
	acl_free(a);
}

Test(acl_canonical, wrong_modifiers_are_left_out)
{
	struct acl *a = make("[{'pattern':'a','modifiers':{'topic':5}},"
			     "{'pattern':'b','modifiers':{'unknown':1}},"
			     "{'pattern':'c','modifiers':{'topic':'x/#'}},"
			     "{'pattern':'d','modifiers':'text'},"
			     "{'pattern':'e','modifiers':{}},"
			     "{'pattern':'f','modifiers':{'qos':1.7}}]",
			     "[{'pattern':'a','modifiers':{'topic':'x'}},"
			     "{'pattern':'b','modifiers':[['x',2],['y',128]]},"
			     "{'pattern':'c','modifiers':[]}]");
	static const char *const plain[] = {"a", "b", "c", "d", "e"};
	struct slice m;

	cr_assert_eq(nwarnings, 5);
	cr_assert(warned("publish rule 1: modifiers left out: "));
	cr_assert(warned("topic"));
	cr_assert(warned("'unknown'"));
	cr_assert(warned("subscribe rule 1: modifiers left out: "));
	for (size_t i = 0; i < 5; i++) {
		cr_assert_eq(acl_publish_match(a, slice_str(plain[i]), 0, 0,
					       false, &m),
			     1);
		cr_assert_eq(m.n, 0, "%s", plain[i]);
	}
	cr_assert_eq(acl_publish_match(a, slice_str("f"), 0, 0, false, &m), 1);
	cr_assert_str_eq(json(m), "{'qos':2}");
	cr_assert_eq(acl_subscribe_match(a, slice_str("a"), 0, &m), 1);
	cr_assert_eq(m.n, 0);
	cr_assert_eq(acl_subscribe_match(a, slice_str("b"), 0, &m), 1);
	cr_assert_str_eq(json(m), "[['x',2],['y',128]]");
	cr_assert_eq(acl_subscribe_match(a, slice_str("c"), 0, &m), 1);
	cr_assert_eq(m.n, 0);
	acl_free(a);
}

Test(acl_canonical, all_publish_modifiers)
{
	const char *mods = "{'topic':'t','payload':'p','qos':1,'retain':true,"
			   "'mountpoint':'m','throttle':10,'properties':"
			   "{'p_user_property':[{'k':'v'}]}}";
	struct buf list = {0};
	struct slice m;
	struct acl *a;

	buf_addf(&list, "[{'pattern':'a','modifiers':%s}]", mods);
	buf_add_byte(&list, 0);
	a = make((const char *)list.p, NULL);
	cr_assert_eq(nwarnings, 0);
	cr_assert_eq(acl_publish_match(a, slice_str("a"), 0, 0, false, &m), 1);
	cr_assert_str_eq(json(m), mods);
	buf_fini(&list);
	acl_free(a);
}

Test(acl_canonical, too_many_mistakes)
{
	struct buf list = {0};
	struct acl *a;

	buf_addf(&list, "[");
	for (int i = 0; i < 200; i++)
		buf_addf(&list, "%s{'pattern':'a+'}", i ? "," : "");
	buf_addf(&list, "]");
	buf_add_byte(&list, 0);
	a = make((const char *)list.p, NULL);
	cr_assert_eq(nwarnings, 64);
	cr_assert(warned("and more mistakes"));
	buf_fini(&list);
	acl_free(a);
}

static int canonical(const char *list)
{
	struct acl_source src = {.publish = packed(list)};
	struct buf out = {0};
	int r;

	buf_add(&out, "x", 1);
	r = acl_canonical(&src, &out, NULL, NULL);
	if (r < 0)
		cr_assert_eq(out.n, 1);
	buf_fini(&out);
	return r;
}

Test(acl_canonical, no_lists)
{
	struct buf list = {0};

	cr_assert_eq(canonical("'text'"), ERR_TYPE);
	cr_assert_eq(canonical("{'pattern':'a'}"), ERR_TYPE);
	cr_assert_eq(canonical("['a']"), ERR_TYPE);
	cr_assert_eq(canonical("[{'pattern':'a'},5]"), ERR_TYPE);
	cr_assert_eq(canonical("[['a']]"), ERR_TYPE);
	cr_assert_eq(canonical("[{'pattern':null}]"), OK);
	buf_addf(&list, "[{}");
	for (int i = 0; i < ACL_MAX_RULES - 1; i++)
		buf_addf(&list, ",{}");
	buf_addf(&list, "]");
	buf_add_byte(&list, 0);
	cr_assert_eq(canonical((const char *)list.p), OK);
	list.n -= 2;
	buf_addf(&list, ",{}]");
	buf_add_byte(&list, 0);
	cr_assert_eq(canonical((const char *)list.p), ERR_RANGE);
	buf_fini(&list);
}

/* ---- canonical bytes --------------------------------------------------- */

Test(acl_canonical, canonical)
{
	struct acl_source src = {
		.mountpoint = slice_str("m"),
		.client_id = slice_str("c"),
		.username = slice_str("u"),
		.publish = packed("[{'pattern':'%m/%c','max_qos':1}]"),
		.subscribe = packed("[{'pattern':'%u'}]"),
		.ttl_ms = 1500,
	};
	struct acl *a = make_for(&src), *again = NULL;

	cr_assert_str_eq(
		json(acl_bytes(a)),
		"{'mountpoint':'m','client_id':'c','username':'u',"
		"'ttl_ms':1500,'publish':[{'pattern':'m/c','max_qos':1,"
		"'max_payload_size':268435456,'allowed_retain':true}],"
		"'subscribe':[{'pattern':'u','max_qos':2}]}");
	cr_assert(slice_is(acl_mountpoint(a), "m"));
	cr_assert(slice_is(acl_client_id(a), "c"));
	cr_assert(slice_is(acl_username(a), "u"));
	cr_assert_eq(acl_ttl_ms(a), 1500);
	cr_assert_str_eq(json(acl_subscribe(a)),
			 "[{'pattern':'u','max_qos':2}]");
	cr_assert(acl_memory(a) > acl_bytes(a).n);
	cr_assert_eq(acl_new(acl_bytes(a), &again), OK);
	acl_free(again);
	acl_free(a);
	acl_free(NULL);
}

static int new_of(const char *text)
{
	struct acl *a = NULL;
	int r = acl_new(packed(text), &a);

	cr_assert_eq(r < 0, a == NULL);
	acl_free(a);
	return r;
}

Test(acl_canonical, not_canonical)
{
	struct acl *a = NULL;

	cr_assert_eq(new_of("{'publish':[],'subscribe':[]}"), OK);
	cr_assert_eq(new_of("{'publish':[],'subscribe':[],'later':1}"), OK);
	cr_assert_eq(new_of("{'publish':[]}"), ERR_TYPE);
	cr_assert_eq(new_of("[]"), ERR_TYPE);
	cr_assert_eq(new_of("5"), ERR_TYPE);
	cr_assert_eq(new_of("{'publish':{},'subscribe':[]}"), ERR_TYPE);
	cr_assert_eq(new_of("{'publish':[5],'subscribe':[]}"), ERR_TYPE);
	cr_assert_eq(new_of("{'publish':[{'pattern':'a+'}],'subscribe':[]}"),
		     ERR_TYPE);
	cr_assert_eq(new_of("{'publish':[{'max_qos':3}],'subscribe':[]}"),
		     ERR_TYPE);
	cr_assert_eq(new_of("{'publish':[{'max_qos':-1}],'subscribe':[]}"),
		     ERR_TYPE);
	cr_assert_eq(
		new_of("{'publish':[{'modifiers':{'x':1}}],'subscribe':[]}"),
		ERR_TYPE);
	cr_assert_eq(new_of("{'publish':[],'subscribe':[],'ttl_ms':'soon'}"),
		     ERR_TYPE);
	cr_assert_eq(new_of("{'publish':[],'publish':5,'subscribe':[]}"), OK);
	cr_assert_eq(acl_new(slice_of("\x81", 1), &a), ERR_FORMAT);
	cr_assert_eq(acl_new((struct slice){0}, &a), ERR_FORMAT);
	cr_assert_eq(acl_new(slice_of("\x80\x80", 2), &a), ERR_FORMAT);
}
