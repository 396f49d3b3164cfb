/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modifiers of MQTT hooks: which keys each hook has, what each may be, how a
 * mistake is told; and verdicts.
 */
#include "tests/unit/json_value.h"

#include <stdio.h>

#include "proto/mods.h"
#include "proto/pack.h"
#include "proto/unpack.h"

TestSuite(mods, .fini = json_reuse);

static struct buf out, why;

/* Cleaned modifiers as JSON, or "! " and why not. */
static const char *clean_raw(enum hook hook, struct slice in)
{
	static char text[2048];
	int r;

	buf_clear(&out);
	buf_clear(&why);
	r = mods_clean(hook, in, &out, &why);
	buf_add_byte(&why, 0);
	if (r < 0) {
		cr_expect_eq(out.n, 0);
		cr_expect_eq(r, ERR_TYPE);
		snprintf(text, sizeof(text), "! %s", (const char *)why.p);
		return text;
	}
	/* What comes out is believed by the other side. */
	cr_expect_eq(why.n, 1);
	cr_expect_eq(mods_check(hook, buf_slice(&out), NULL), OK);
	return json(buf_slice(&out));
}

static const char *clean(enum hook hook, const char *in)
{
	return clean_raw(hook, packed(in));
}

#define expect(hook, in, want)                                                 \
	do {                                                                   \
		const char *got_ = clean(hook, in);                            \
		cr_expect_str_eq(got_, want, "%s: got %s", in, got_);          \
	} while (0)
#define same(hook, in) expect(hook, in, in)

Test(mods, register_)
{
	same(HOOK_AUTH_ON_REGISTER,
	     "{'allow_register':true,'allow_publish':false,"
	     "'allow_subscribe':true,'allow_unsubscribe':true,"
	     "'clean_session':false,'upgrade_qos':true,'max_message_size':0,"
	     "'max_connection_lifetime':1,'max_message_rate':2,"
	     "'max_inflight_messages':3,'retry_interval':4,"
	     "'max_online_messages':-1,'max_offline_messages':-1,"
	     "'max_drain_time':5,'max_msgs_per_drain_step':6,'username':'',"
	     "'shared_subscription_policy':'random','queue_type':'fifo',"
	     "'subscriber_id':{'mountpoint':'','client_id':'c'}}");
	same(HOOK_AUTH_ON_REGISTER_M5,
	     "{'username':'u','properties':{'p_session_expiry_interval':"
	     "4294967295,'p_user_property':[{'a':'b'},{'a':'b'}]}}");
	expect(HOOK_AUTH_ON_REGISTER, "{}", "! an empty table");
	expect(HOOK_AUTH_ON_REGISTER, "{'mountpoint':'m'}",
	       "! unknown modifier 'mountpoint'");
	expect(HOOK_AUTH_ON_REGISTER, "{'properties':{}}",
	       "! unknown modifier 'properties'");
	expect(HOOK_AUTH_ON_REGISTER_M5, "{'clean_start':true}",
	       "! unknown modifier 'clean_start'");
	expect(HOOK_AUTH_ON_REGISTER, "{'subscriber_id':{'mountpoint':''}}",
	       "! modifier client_id: is missing");
	expect(HOOK_AUTH_ON_REGISTER, "{'subscriber_id':{}}",
	       "! modifier mountpoint: is missing");
	expect(HOOK_AUTH_ON_REGISTER, "{'subscriber_id':'c'}",
	       "! modifier subscriber_id: 'c' is no table of modifiers");
	expect(HOOK_AUTH_ON_REGISTER_M5,
	       "{'properties':{'p_content_type':'x'}}",
	       "! unknown modifier 'p_content_type'");
}

Test(mods, publish)
{
	same(HOOK_AUTH_ON_PUBLISH,
	     "{'topic':'a//b','payload':'','qos':2,'retain':false,"
	     "'mountpoint':'m','throttle':100}");
	same(HOOK_AUTH_ON_PUBLISH_M5,
	     "{'properties':{'p_user_property':[],"
	     "'p_message_expiry_interval':0,'p_content_type':'',"
	     "'p_payload_format_indicator':'undefined','p_response_topic':'r',"
	     "'p_correlation_data':'c','p_will_delay_interval':1}}");
	expect(HOOK_AUTH_ON_PUBLISH_M5, "{'properties':[]}",
	       "{'properties':{}}");
	expect(HOOK_AUTH_ON_PUBLISH, "[]", "! an empty table");
	expect(HOOK_AUTH_ON_PUBLISH, "{'properties':{}}",
	       "! unknown modifier 'properties'");
	expect(HOOK_AUTH_ON_PUBLISH, "{'topic':5}",
	       "! modifier topic: 5 is no topic");
	expect(HOOK_AUTH_ON_PUBLISH, "{'topic':''}",
	       "! modifier topic: '' is no topic");
	expect(HOOK_AUTH_ON_PUBLISH, "{'topic':'a/+'}",
	       "! modifier topic: 'a/+' is no topic");
	expect(HOOK_AUTH_ON_PUBLISH, "{'qos':3}",
	       "! modifier qos: 3 is out of range");
	expect(HOOK_AUTH_ON_PUBLISH, "{'qos':128}",
	       "! modifier qos: 128 is out of range");
	expect(HOOK_AUTH_ON_PUBLISH, "{'qos':-1}",
	       "! modifier qos: -1 is out of range");
	expect(HOOK_AUTH_ON_PUBLISH, "{'retain':1}",
	       "! modifier retain: 1 is neither true nor false");
	expect(HOOK_AUTH_ON_PUBLISH, "{'throttle':'1'}",
	       "! modifier throttle: '1' is no integer");
	expect(HOOK_AUTH_ON_PUBLISH, "{'payload':null}",
	       "! modifier payload: nothing is no string");
	expect(HOOK_AUTH_ON_PUBLISH_M5,
	       "{'properties':{'p_user_property':[{'a':'b','c':'d'}]}}",
	       "! modifier p_user_property: a table is no table of one name "
	       "and its value");
	expect(HOOK_AUTH_ON_PUBLISH_M5,
	       "{'properties':{'p_user_property':[{'a':1}]}}",
	       "! modifier p_user_property: 1 is no string");
	expect(HOOK_AUTH_ON_PUBLISH_M5,
	       "{'properties':{'p_payload_format_indicator':'UTF8'}}",
	       "! modifier p_payload_format_indicator: 'UTF8' is none of the "
	       "words that are known here");
	expect(HOOK_AUTH_ON_PUBLISH_M5,
	       "{'properties':{'p_message_expiry_interval':4294967296}}",
	       "! modifier p_message_expiry_interval: 4294967296 is out of "
	       "range");
}

Test(mods, subscribe)
{
	same(HOOK_AUTH_ON_SUBSCRIBE, "[]");
	same(HOOK_AUTH_ON_SUBSCRIBE, "[['a/+/#',0],['#',1],['+',2],['x',128]]");
	same(HOOK_AUTH_ON_SUBSCRIBE_M5,
	     "{'topics':[['a',0],['b',[1,{'rap':true,'no_local':false,"
	     "'retain_handling':'send_if_new_sub','sub_id':[1,2]}]],"
	     "['c',128],['d',255],['e',[135,{}]]]}");
	same(HOOK_AUTH_ON_SUBSCRIBE_M5, "{'topics':[]}");
	expect(HOOK_AUTH_ON_SUBSCRIBE_M5, "{'topics':[['b',[1,[]]]]}",
	       "{'topics':[['b',[1,{}]]]}");
	expect(HOOK_AUTH_ON_SUBSCRIBE_M5, "{}", "! an empty table");
	expect(HOOK_AUTH_ON_SUBSCRIBE_M5, "[['a',1]]",
	       "! a table with numbers as keys, where names are due");
	expect(HOOK_AUTH_ON_SUBSCRIBE, "{'topics':[]}",
	       "! a table is no array");
	expect(HOOK_AUTH_ON_SUBSCRIBE, "[['a',3]]", "! 3 is out of range");
	expect(HOOK_AUTH_ON_SUBSCRIBE, "[['a',127]]", "! 127 is out of range");
	expect(HOOK_AUTH_ON_SUBSCRIBE, "[['a',256]]", "! 256 is out of range");
	expect(HOOK_AUTH_ON_SUBSCRIBE, "[['a',[1,{}]]]",
	       "! a table is no integer");
	expect(HOOK_AUTH_ON_SUBSCRIBE, "[['a/#/b',1]]",
	       "! 'a/#/b' is no topic filter");
	expect(HOOK_AUTH_ON_SUBSCRIBE, "['a']",
	       "! 'a' is no pair of a topic and a QoS");
	expect(HOOK_AUTH_ON_SUBSCRIBE, "[['a']]",
	       "! a table is no pair of a topic and a QoS");
	expect(HOOK_AUTH_ON_SUBSCRIBE_M5, "{'topics':[['a',[1]]]}",
	       "! modifier topics: a table is no pair of a QoS and options");
	expect(HOOK_AUTH_ON_SUBSCRIBE_M5,
	       "{'topics':[['a',[1,{'retain_handling':'never'}]]]}",
	       "! modifier retain_handling: 'never' is none of the words that "
	       "are known here");
}

Test(mods, others)
{
	same(HOOK_ON_UNSUBSCRIBE, "['a','+/#']");
	same(HOOK_ON_UNSUBSCRIBE, "[]");
	same(HOOK_ON_UNSUBSCRIBE_M5, "{'topics':['a']}");
	same(HOOK_ON_DELIVER, "{'topic':'t','payload':'p'}");
	same(HOOK_ON_DELIVER_M5,
	     "{'properties':{'p_content_type':'c',"
	     "'p_payload_format_indicator':'utf8','p_user_property':[],"
	     "'p_response_topic':'r','p_correlation_data':'d'}}");
	same(HOOK_ON_AUTH_M5,
	     "{'reason_code':24,'properties':{'p_authentication_method':'m',"
	     "'p_authentication_data':'d'}}");
	expect(HOOK_ON_UNSUBSCRIBE, "[5]", "! 5 is no topic filter");
	expect(HOOK_ON_UNSUBSCRIBE, "true", "! true is no array");
	expect(HOOK_ON_UNSUBSCRIBE_M5, "[]", "! an empty table");
	expect(HOOK_ON_DELIVER, "{'qos':0}", "! unknown modifier 'qos'");
	expect(HOOK_ON_DELIVER, "{'properties':{}}",
	       "! unknown modifier 'properties'");
	expect(HOOK_ON_DELIVER_M5,
	       "{'properties':{'p_message_expiry_interval':1}}",
	       "! unknown modifier 'p_message_expiry_interval'");
	expect(HOOK_ON_AUTH_M5, "{'reason_code':256}",
	       "! modifier reason_code: 256 is out of range");
}

Test(mods, hooks_without_modifiers)
{
	for (enum hook h = 0; h < HOOK_COUNT; h++) {
		if (hook_table[h].dialect == DIALECT_MQTT &&
		    hook_table[h].decide)
			continue;
		expect(h, "{'topic':'a'}", "! this hook has no modifiers");
		expect(h, "[]", "! this hook has no modifiers");
	}
}

/* Only where they come from a script. */
Test(mods, floats_are_rounded)
{
	expect(HOOK_AUTH_ON_REGISTER, "{'max_message_size':10.6}",
	       "{'max_message_size':11}");
	expect(HOOK_AUTH_ON_REGISTER, "{'max_message_size':-10.5}",
	       "{'max_message_size':-11}");
	expect(HOOK_AUTH_ON_PUBLISH, "{'qos':1.7}", "{'qos':2}");
	expect(HOOK_AUTH_ON_PUBLISH, "{'qos':2.5}",
	       "! modifier qos: 2.5 is out of range");
	expect(HOOK_AUTH_ON_PUBLISH, "{'throttle':1e300}",
	       "! modifier throttle: 1e+300 is no integer");
	expect(HOOK_AUTH_ON_SUBSCRIBE, "[['a',1.2]]", "[['a',1]]");
	cr_expect_eq(
		mods_check(HOOK_AUTH_ON_PUBLISH, packed("{'qos':1.0}"), NULL),
		ERR_TYPE);
}

static void pair(struct buf *b, const char *key)
{
	pack_map(b, 1);
	pack_cstr(b, key);
}

/* What JSON cannot say. */
Test(mods, raw)
{
	struct buf b = {0};

	pair(&b, "payload");
	pack_bin(&b, slice_str("\xff"));
	cr_expect_eq(mods_check(HOOK_AUTH_ON_PUBLISH, buf_slice(&b), NULL), OK);
	buf_clear(&b);
	pair(&b, "payload");
	pack_str(&b, slice_str("\xff"));
	cr_expect_str_eq(clean_raw(HOOK_AUTH_ON_PUBLISH, buf_slice(&b)),
			 "! modifier payload: '\xff' is no UTF-8");
	buf_clear(&b);
	pack_map(&b, 1);
	pack_bin(&b, slice_str("payload"));
	pack_cstr(&b, "");
	cr_expect_str_eq(clean_raw(HOOK_AUTH_ON_PUBLISH, buf_slice(&b)),
			 "! unknown modifier 'payload'");
	buf_clear(&b);
	pack_map(&b, 2);
	pack_cstr(&b, "qos");
	pack_uint(&b, 0);
	pack_cstr(&b, "qos");
	pack_uint(&b, 1);
	cr_expect_str_eq(clean_raw(HOOK_AUTH_ON_PUBLISH, buf_slice(&b)),
			 "! unknown modifier 'qos'");
	buf_clear(&b);
	pair(&b, "qos");
	cr_expect_str_eq(clean_raw(HOOK_AUTH_ON_PUBLISH, buf_slice(&b)),
			 "! modifier qos: nothing is no integer");
	pack_uint(&b, 1);
	pack_uint(&b, 1);
	cr_expect_str_eq(clean_raw(HOOK_AUTH_ON_PUBLISH, buf_slice(&b)),
			 "! more than one value");
	buf_clear(&b);
	cr_expect_eq(mods_check(HOOK_AUTH_ON_PUBLISH, buf_slice(&b), NULL),
		     ERR_TYPE);
	pair(&b, "throttle");
	pack_uint(&b, UINT64_MAX);
	cr_expect_eq(mods_check(HOOK_AUTH_ON_PUBLISH, buf_slice(&b), NULL),
		     ERR_TYPE);
	buf_fini(&b);
}

Test(mods, a_long_name_is_cut)
{
	char key[200], in[256];
	const char *got;

	memset(key, 'k', sizeof(key));
	key[sizeof(key) - 1] = 0;
	snprintf(in, sizeof(in), "{'%s':1}", key);
	got = clean(HOOK_AUTH_ON_PUBLISH, in);
	cr_expect_lt(strlen(got), 80);
	cr_expect(strstr(got, "kkk..."));
}

Test(mods, what_was_in_the_buf_stays)
{
	struct buf b = {0};

	buf_add(&b, "x", 1);
	cr_expect_lt(mods_clean(HOOK_AUTH_ON_PUBLISH,
				packed("{'qos':1,'topic':2}"), &b, NULL),
		     0);
	cr_expect_eq(b.n, 1);
	cr_expect_eq(
		mods_clean(HOOK_AUTH_ON_PUBLISH, packed("{'qos':1}"), &b, NULL),
		OK);
	cr_expect_str_eq(json(slice_of(b.p + 1, b.n - 1)), "{'qos':1}");
	buf_fini(&b);
}

/* --- verdicts --- */

Test(mods, a_verdict_comes_back)
{
	static const struct {
		enum verdict verdict;
		const char *reason, *mods;
	} cases[] = {
		{VERDICT_NEXT, NULL, NULL},
		{VERDICT_OK, NULL, NULL},
		{VERDICT_OK, NULL, "{'qos':1}"},
		{VERDICT_DENY, "not_authorized", NULL},
		{VERDICT_NEXT, "plugin_chain_exhausted", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct verdict_view v = {.verdict = cases[i].verdict}, got;
		struct buf b = {0};

		if (cases[i].reason)
			v.reason = slice_str(cases[i].reason);
		if (cases[i].mods)
			v.mods = packed(cases[i].mods);
		verdict_pack(&b, &v);
		cr_assert_eq(
			verdict_read(buf_slice(&b), HOOK_AUTH_ON_PUBLISH, &got),
			OK);
		cr_expect_eq(got.verdict, v.verdict);
		cr_expect(slice_eq(got.reason, v.reason));
		cr_expect(slice_eq(got.mods, v.mods));
		buf_fini(&b);
	}
	cr_expect_str_eq(verdict_name(VERDICT_NEXT), "next");
	cr_expect_str_eq(verdict_name(VERDICT_OK), "ok");
	cr_expect_str_eq(verdict_name(VERDICT_DENY), "deny");
}

Test(mods, verdicts_that_are_none)
{
	static const char *const bad[] = {
		"null",
		"[]",
		"[1,null]",
		"[1,null,null,null]",
		"[3,null,null]",
		"[-1,null,null]",
		"['ok',null,null]",
		"[1,5,null]",
		"[1,null,{'qos':5}]",
		"[1,null,{}]",
		"[2,null,{'qos':1}]",
		"[0,null,{'qos':1}]",
		"[1,null,{'foo':1}]",
		"{}",
	};
	struct verdict_view v;
	struct buf b = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_expect_lt(
			verdict_read(packed(bad[i]), HOOK_AUTH_ON_PUBLISH, &v),
			0, "%s", bad[i]);
	cr_expect_lt(verdict_read((struct slice){0}, HOOK_AUTH_ON_PUBLISH, &v),
		     0);
	cr_expect_lt(verdict_read(packed("[1,null,{'topic':'t'}]"),
				  HOOK_ON_PUBLISH, &v),
		     0);
	v = (struct verdict_view){.verdict = VERDICT_OK};
	verdict_pack(&b, &v);
	pack_nil(&b);
	cr_expect_lt(verdict_read(buf_slice(&b), HOOK_AUTH_ON_PUBLISH, &v), 0);
	buf_fini(&b);
}
