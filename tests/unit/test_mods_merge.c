/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The properties of a publish after modifiers: who wins, and how user
 * properties are merged.
 */
#include "tests/unit/json_value.h"

#include "proto/mods.h"

TestSuite(mods_merge, .fini = json_reuse);

static struct buf out;

static const char *merge(const char *input, const char *mods)
{
	buf_clear(&out);
	mods_merge_properties(*input ? packed(input) : (struct slice){0},
			      *mods ? packed(mods) : (struct slice){0}, &out);
	cr_assert_eq(buf_error(&out), OK);
	return json(buf_slice(&out));
}

Test(mods_merge, properties_are_merged)
{
	cr_expect_str_eq(merge("", ""), "{}");
	cr_expect_str_eq(merge("{'a':1}", ""), "{'a':1}");
	cr_expect_str_eq(merge("", "{'a':1}"), "{'a':1}");
	cr_expect_str_eq(merge("{'a':1,'b':2}", "{'b':3,'c':4}"),
			 "{'a':1,'b':3,'c':4}");
	cr_expect_str_eq(merge("{'a':1}", "{'a':[]}"), "{'a':[]}");
}

Test(mods_merge, user_properties_are_merged_by_name)
{
	cr_expect_str_eq(
		merge("{'p_user_property':[{'k1':'v1'},{'k2':'v2'},{'k1':'x'},"
		      "{'k4':'v4'}]}",
		      "{'p_user_property':[{'k1':'v3'},{'k3':'v3'}]}"),
		"{'p_user_property':[{'k2':'v2'},{'k4':'v4'},{'k1':'v3'},"
		"{'k3':'v3'}]}");
	cr_expect_str_eq(
		merge("{'p_user_property':[{'a':'1'}],'x':1}", "{'x':2}"),
		"{'x':2,'p_user_property':[{'a':'1'}]}");
	cr_expect_str_eq(merge("{'x':1}", "{'p_user_property':[{'a':'1'},"
					  "{'a':'2'}]}"),
			 "{'x':1,'p_user_property':[{'a':'1'},{'a':'2'}]}");
	cr_expect_str_eq(merge("{'p_user_property':[{'a':'1'}]}",
			       "{'p_user_property':[]}"),
			 "{'p_user_property':[{'a':'1'}]}");
}

/* An event's properties are whatever the client sent. */
Test(mods_merge, properties_of_any_kind)
{
	cr_expect_str_eq(merge("[1]", "{'a':1}"), "{'a':1}");
	cr_expect_str_eq(merge("'x'", "'y'"), "{}");
	cr_expect_str_eq(merge("{'p_user_property':5}",
			       "{'p_user_property':[{'a':'b'}]}"),
			 "{'p_user_property':[{'a':'b'}]}");
	cr_expect_str_eq(merge("{'p_user_property':[5,{},{'a':'c'}]}",
			       "{'p_user_property':[{'a':'b'}]}"),
			 "{'p_user_property':[5,{},{'a':'b'}]}");
}

static const char *merge_publish(const char *event, const char *mods)
{
	struct buf table = {0};
	const char *text;

	buf_add_slice(&table, packed(event));
	buf_clear(&out);
	mods_merge_publish(buf_slice(&table), packed(mods), &out);
	cr_assert_eq(buf_error(&out), OK);
	text = json(buf_slice(&out));
	buf_fini(&table);
	return text;
}

Test(mods_merge, modifiers_of_a_publish)
{
	const char *event = "{'topic':'a','properties':{'a':1,"
			    "'p_user_property':[{'k':'1'},{'l':'1'}]}}";

	cr_expect_str_eq(merge_publish(event, "{'topic':'b','qos':1}"),
			 "{'topic':'b','qos':1}");
	cr_expect_str_eq(
		merge_publish(event, "{'topic':'b','properties':{'b':2,"
				     "'p_user_property':[{'k':'2'}]},'qos':1}"),
		"{'topic':'b','properties':{'a':1,'b':2,"
		"'p_user_property':[{'l':'1'},{'k':'2'}]},'qos':1}");
	cr_expect_str_eq(merge_publish(event, "{'properties':{}}"),
			 "{'properties':{'a':1,'p_user_property':[{'k':'1'},"
			 "{'l':'1'}]}}");
	cr_expect_str_eq(
		merge_publish("{'topic':'a'}", "{'properties':{'b':2}}"),
		"{'properties':{'b':2}}");
	cr_expect_str_eq(
		merge_publish("{'properties':null}", "{'properties':{'b':2}}"),
		"{'properties':{'b':2}}");
}
