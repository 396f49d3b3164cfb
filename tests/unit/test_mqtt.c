/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verdicts out of the auth cache: what an entry says to a publish, to several
 * filters at once, to an unsubscribe, and the ends of sessions.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "broker/mqtt.h"
#include "tests/unit/json_value.h"
#include "proto/mods.h"

static uv_loop_t loop;
static struct wheel wheel;
static struct mqtt mqtt;
static struct buf told; /* what the ops were called with, one word each */

static void on_entry(void *arg, const struct acl *entry,
		     const struct event *asker, bool replaced)
{
	cr_assert_eq(arg, &told);
	buf_addf(&told, "entry:%.*s%s%s ", (int)acl_client_id(entry).n,
		 (const char *)acl_client_id(entry).p, asker ? ":asked" : "",
		 replaced ? ":replaced" : "");
}

static void on_drop(void *arg, struct slice mountpoint, struct slice client_id)
{
	cr_assert_eq(arg, &told);
	buf_addf(&told, "drop:%.*s:%.*s ", (int)mountpoint.n,
		 (const char *)mountpoint.p, (int)client_id.n,
		 (const char *)client_id.p);
}

static void on_clear(void *arg)
{
	cr_assert_eq(arg, &told);
	buf_addf(&told, "clear ");
}

static const struct mqtt_ops ops = {on_entry, on_drop, on_clear};

static void setup(void)
{
	cr_assert_eq(uv_loop_init(&loop), 0);
	wheel_init(&wheel, &loop);
	cr_assert_eq(mqtt_init(&mqtt, &wheel, 0), OK);
	mqtt.ops = &ops;
	mqtt.arg = &told;
}

static void teardown(void)
{
	mqtt_fini(&mqtt);
	buf_fini(&told);
	wheel_close(&wheel);
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&loop), 0);
}

TestSuite(mqtt, .init = setup, .fini = teardown);

static const char *tells(void)
{
	const char *text;

	buf_add_byte(&told, 0);
	text = (const char *)told.p;
	buf_clear(&told);
	return text;
}

static void insert_for(struct event *ev, const char *client_id,
		       const char *publish, const char *subscribe)
{
	struct acl_source src = {
		.client_id = slice_str(client_id),
		.username = slice_str("u"),
		.publish = packed(publish),
		.subscribe = packed(subscribe),
	};

	cr_assert_eq(mqtt_insert(&mqtt, ev, &src, NULL, NULL), OK);
}

static void insert(const char *publish, const char *subscribe)
{
	insert_for(NULL, "c", publish, subscribe);
}

/* "next": not answered. Else "ok", "ok MODS" or "deny REASON". */
static const char *ask(enum hook hook, const char *table)
{
	struct buf out = {0}, *text = json_room();
	struct verdict_view v;

	if (!mqtt_answer_cached(&mqtt, hook, packed(table), &out)) {
		cr_assert_eq(out.n, 0);
		return "next";
	}
	cr_assert_eq(verdict_read(buf_slice(&out), hook, &v), OK);
	buf_addf(text, "%s", verdict_name(v.verdict));
	if (v.reason.n)
		buf_addf(text, " %.*s", (int)v.reason.n,
			 (const char *)v.reason.p);
	if (v.mods.n)
		buf_addf(text, " %s", json(v.mods));
	buf_add_byte(text, 0);
	buf_fini(&out);
	return (const char *)text->p;
}

#define PUBLISH(more)                                                          \
	"{'mountpoint':'','client_id':'c','username':'u','qos':1,"             \
	"'payload':'hello','retain':false," more "}"

Test(mqtt, nothing_is_cached)
{
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH, PUBLISH("'topic':'a'")),
			 "next");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_REGISTER, PUBLISH("'topic':'a'")),
			 "next");
	cr_assert_str_eq(ask(HOOK_ON_CLIENT_GONE, "{'client_id':'c'}"), "next");
}

Test(mqtt, publish)
{
	insert("[{'pattern':'a/+','max_payload_size':5},"
	       "{'pattern':'q','max_qos':0},"
	       "{'pattern':'r','allowed_retain':false}]",
	       "null");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH, PUBLISH("'topic':'a/b'")),
			 "ok");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH_M5, PUBLISH("'topic':'a/b'")),
			 "ok");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH, PUBLISH("'topic':'b'")),
			 "deny not_authorized");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH, PUBLISH("'topic':'q'")),
			 "deny not_authorized");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH, PUBLISH("'topic':'r'")),
			 "ok");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH,
			     "{'client_id':'c','topic':'r','retain':true}"),
			 "deny not_authorized");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH,
			     "{'client_id':'c','topic':'a/b',"
			     "'payload':'longer'}"),
			 "deny not_authorized");
	cr_assert_str_eq(
		ask(HOOK_AUTH_ON_PUBLISH, "{'client_id':'d','topic':'a/b'}"),
		"next");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH,
			     "{'mountpoint':'m','client_id':'c',"
			     "'topic':'a/b'}"),
			 "next");
	/* an entry without subscriptions */
	cr_assert_str_eq(ask(HOOK_AUTH_ON_SUBSCRIBE,
			     "{'client_id':'c','topics':[['a',0]]}"),
			 "deny not_authorized");
}

/* What makes no sense is not allowed. */
Test(mqtt, malformed)
{
	insert("[{'pattern':'#'}]", "[{'pattern':'#'}]");
	static const char *const wrong[] = {
		"{'client_id':'c'}",
		"{'client_id':'c','topic':5}",
		"{'client_id':'c','topic':''}",
		"{'client_id':'c','topic':'a/#'}",
		"{'client_id':'c','topic':'a','qos':3}",
		"{'client_id':'c','topic':'a','qos':'1'}",
		"{'client_id':'c','topic':'a','retain':1}",
	};
	static const char *const no_topics[] = {
		"{'client_id':'c'}",
		"{'client_id':'c','topics':5}",
		"{'client_id':'c','topics':[5]}",
		"{'client_id':'c','topics':[['a']]}",
		"{'client_id':'c','topics':[['a',3]]}",
		"{'client_id':'c','topics':[['a',[]]]}",
		"{'client_id':'c','topics':[['a',0],['a/#/b',0]]}",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH, wrong[i]),
				 "deny not_authorized", "%s", wrong[i]);
	for (size_t i = 0; i < sizeof(no_topics) / sizeof(no_topics[0]); i++)
		cr_assert_str_eq(ask(HOOK_AUTH_ON_SUBSCRIBE, no_topics[i]),
				 "deny not_authorized", "%s", no_topics[i]);
}

Test(mqtt, publish_modifiers)
{
	insert("[{'pattern':'m','modifiers':{'topic':'t','qos':2,"
	       "'payload':'p','retain':true,'mountpoint':'x'}}]",
	       "null");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH, PUBLISH("'topic':'m'")),
			 "ok {'topic':'t','qos':2,'payload':'p',"
			 "'retain':true,'mountpoint':'x'}");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH_M5,
			     PUBLISH("'topic':'m','properties':{"
				     "'p_content_type':'text'}")),
			 "ok {'topic':'t','qos':2,'payload':'p',"
			 "'retain':true,'mountpoint':'x'}");
}

/* MQTT 5: the modifier's properties over the message's. MQTT 3 has none. */
Test(mqtt, publish_properties)
{
	insert("[{'pattern':'m','modifiers':{'topic':'t','properties':{"
	       "'p_user_property':[{'k1':'v3'},{'k3':'v3'}],"
	       "'p_content_type':'new'}}},"
	       "{'pattern':'p','modifiers':{'properties':{"
	       "'p_content_type':'new'}}}]",
	       "null");
	cr_assert_str_eq(
		ask(HOOK_AUTH_ON_PUBLISH_M5,
		    PUBLISH("'topic':'m','properties':{"
			    "'p_response_topic':'r','p_content_type':'old',"
			    "'p_user_property':[{'k1':'v1'},{'k2':'v2'},"
			    "{'k1':'v2'},{'k4':'v4'}]}")),
		"ok {'topic':'t','properties':{'p_response_topic':'r',"
		"'p_content_type':'new','p_user_property':[{'k2':'v2'},"
		"{'k4':'v4'},{'k1':'v3'},{'k3':'v3'}]}}");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH_M5, PUBLISH("'topic':'p'")),
			 "ok {'properties':{'p_content_type':'new'}}");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH, PUBLISH("'topic':'m'")),
			 "ok {'topic':'t'}");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH, PUBLISH("'topic':'p'")),
			 "ok");
}

/* nil is absent; what is no property of a publish is left out. */
Test(mqtt, odd_tables)
{
	insert("[{'pattern':'m','modifiers':{'properties':{"
	       "'p_content_type':'new'}}}]",
	       "null");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH_M5,
			     "{'client_id':'c','mountpoint':null,'topic':'m',"
			     "'qos':null,'retain':null,'payload':null,"
			     "'properties':null,'username':null}"),
			 "ok {'properties':{'p_content_type':'new'}}");
	cr_assert_str_eq(
		ask(HOOK_AUTH_ON_PUBLISH_M5,
		    PUBLISH("'topic':'m','properties':{'p_foo':1,"
			    "'p_subscription_id':[1],'p_response_topic':'r',"
			    "'p_correlation_data':5}")),
		"ok {'properties':{'p_response_topic':'r',"
		"'p_content_type':'new'}}");
	cr_assert_str_eq(ask(HOOK_AUTH_ON_PUBLISH_M5,
			     PUBLISH("'topic':'m','properties':[]")),
			 "ok {'properties':{'p_content_type':'new'}}");
}

#define LISTS                                                                  \
	"[{'pattern':'a/+'},{'pattern':'one','max_qos':1},"                    \
	"{'pattern':'m','modifiers':[['x',2],['y',128]]}]"

static const char *topics(enum hook hook, const char *list)
{
	struct buf table = {0};
	const char *text;

	buf_addf(&table, "{'client_id':'c','topics':%s}", list);
	buf_add_byte(&table, 0);
	text = ask(hook, (const char *)table.p);
	buf_fini(&table);
	return text;
}

Test(mqtt, subscribe)
{
	enum hook hook = HOOK_AUTH_ON_SUBSCRIBE;

	insert("null", LISTS);
	cr_assert_str_eq(topics(hook, "[['a/b',2]]"), "ok");
	cr_assert_str_eq(topics(hook, "[['a/b',2],['a/#',0],['one',1]]"), "ok");
	/* one is enough to deny all */
	cr_assert_str_eq(topics(hook, "[['a/b',2],['b',0]]"),
			 "deny not_authorized");
	cr_assert_str_eq(topics(hook, "[['one',2]]"), "deny not_authorized");
	/* what is not modified stays where it is */
	cr_assert_str_eq(topics(hook, "[['m',0]]"), "ok [['x',2],['y',128]]");
	cr_assert_str_eq(topics(hook, "[['a/b',2],['m',0],['one',1]]"),
			 "ok [['a/b',2],['x',2],['y',128],['one',1]]");
	cr_assert_str_eq(topics(hook, "[['m',0],['b',1]]"),
			 "deny not_authorized");
	cr_assert_str_eq(topics(hook, "[]"), "ok");
}

Test(mqtt, subscribe_m5)
{
	enum hook hook = HOOK_AUTH_ON_SUBSCRIBE_M5;

	insert("null", LISTS);
	cr_assert_str_eq(topics(hook, "[['a/b',[2,{'no_local':true}]]]"), "ok");
	cr_assert_str_eq(topics(hook, "[['a/b',1]]"), "ok");
	cr_assert_str_eq(topics(hook, "[['one',[2,{}]]]"),
			 "deny not_authorized");
	cr_assert_str_eq(
		topics(hook, "[['a/b',[2,{'rap':true}]],['m',[0,{}]]]"),
		"ok {'topics':[['a/b',[2,{'rap':true}]],['x',2],['y',128]]}");
}

/* What is kept is what modifiers may have, whatever else was sent. */
Test(mqtt, odd_filters)
{
	insert("null", LISTS);
	cr_assert_str_eq(topics(HOOK_AUTH_ON_SUBSCRIBE_M5,
				"[['a/b',[2,{'foo':1}]],['m',0]]"),
			 "ok {'topics':[['a/b',2],['x',2],['y',128]]}");
	cr_assert_str_eq(topics(HOOK_AUTH_ON_SUBSCRIBE,
				"[['a/b',[2,{'rap':true}]],['m',0]]"),
			 "ok [['a/b',2],['x',2],['y',128]]");
	cr_assert_str_eq(
		topics(HOOK_AUTH_ON_SUBSCRIBE, "[['a/b',1,'more'],['m',0]]"),
		"ok [['a/b',1],['x',2],['y',128]]");
}

/* Neither their number nor what becomes of them is without bound. */
Test(mqtt, very_many_filters)
{
	struct buf list = {0}, rules = {0};

	buf_addf(&rules, "[{'pattern':'a'},{'pattern':'m','modifiers':[");
	for (int i = 0; i < 1000; i++)
		buf_addf(&rules, "%s['some/topic',1]", i ? "," : "");
	buf_addf(&rules, "]}]");
	buf_add_byte(&rules, 0);
	insert("null", (const char *)rules.p);
	for (int i = 0; i < 10000; i++)
		buf_addf(&list, "%s['a',1]", i ? "," : "[");
	buf_addf(&list, "]");
	buf_add_byte(&list, 0);
	cr_assert_str_eq(topics(HOOK_AUTH_ON_SUBSCRIBE, (const char *)list.p),
			 "ok");
	list.n -= 2;
	buf_addf(&list, ",['a',1]]");
	buf_add_byte(&list, 0);
	cr_assert_str_eq(topics(HOOK_AUTH_ON_SUBSCRIBE, (const char *)list.p),
			 "deny not_authorized");
	buf_clear(&list);
	for (int i = 0; i < 1000; i++)
		buf_addf(&list, "%s['m',1]", i ? "," : "[");
	buf_addf(&list, "]");
	buf_add_byte(&list, 0);
	cr_assert_str_eq(topics(HOOK_AUTH_ON_SUBSCRIBE, (const char *)list.p),
			 "deny too_large");
	buf_fini(&list);
	buf_fini(&rules);
}

/* By the subscriptions' rules with QoS 0; without leave it happens as asked. */
Test(mqtt, unsubscribe)
{
	enum hook hook = HOOK_ON_UNSUBSCRIBE;

	insert("[{'pattern':'b'}]", LISTS);
	cr_assert_str_eq(topics(hook, "['a/b','one']"), "ok");
	cr_assert_str_eq(topics(hook, "['a/b','m']"), "ok ['a/b','x','y']");
	cr_assert_str_eq(topics(hook, "['a/b','b']"), "deny error");
	hook = HOOK_ON_UNSUBSCRIBE_M5;
	cr_assert_str_eq(topics(hook, "['a/b']"), "ok");
	cr_assert_str_eq(topics(hook, "['m']"), "ok {'topics':['x','y']}");
	cr_assert_str_eq(topics(hook, "['b']"), "deny error");
}

Test(mqtt, ends_of_sessions)
{
	static const enum hook ends[] = {HOOK_ON_CLIENT_OFFLINE,
					 HOOK_ON_CLIENT_GONE,
					 HOOK_ON_SESSION_EXPIRED};

	for (int i = 0; i < 3; i++) {
		insert("[{'pattern':'a'}]", "null");
		insert("[{'pattern':'b'}]", "null");
		tells();
		cr_assert_str_eq(
			ask(ends[i], "{'mountpoint':'','client_id':'c'}"),
			"next");
		cr_assert_str_eq(tells(), "");
		cr_assert_str_eq(
			ask(HOOK_AUTH_ON_PUBLISH, PUBLISH("'topic':'b'")),
			"ok");
		cr_assert_str_eq(ask(ends[i], "{'client_id':'c'}"), "next");
		cr_assert_str_eq(tells(), "drop::c ");
		cr_assert_str_eq(
			ask(HOOK_AUTH_ON_PUBLISH, PUBLISH("'topic':'b'")),
			"next");
	}
}

/* The answer to a client's own auth_on_register carries its entry. */
Test(mqtt, acl_of_an_event)
{
	struct event ev = {
		.hook = HOOK_AUTH_ON_REGISTER_M5,
		.map = packed("{'mountpoint':'','client_id':'c'}"),
	};

	insert_for(&ev, "other", "[{'pattern':'a'}]", "null");
	cr_assert_eq(mqtt_acl(&mqtt, &ev).n, 0);
	cr_assert_str_eq(tells(), "entry:other ");
	insert_for(&ev, "c", "[{'pattern':'a'}]", "null");
	cr_assert_str_eq(tells(), "entry:c:asked ");
	insert_for(&ev, "c", "[{'pattern':'b'}]", "null");
	cr_assert_str_eq(tells(), "entry:c:asked:replaced ");
	cr_assert_str_eq(
		json(mqtt_acl(&mqtt, &ev)),
		"{'mountpoint':'','client_id':'c','username':'u','ttl_ms':0,"
		"'publish':[{'pattern':'b','max_qos':2,"
		"'max_payload_size':268435456,'allowed_retain':true}],"
		"'subscribe':[]}");
	cr_assert_eq(mqtt_clear(&mqtt), 3);
	cr_assert_str_eq(tells(), "clear ");
	cr_assert_eq(mqtt_acl(&mqtt, &ev).n, 0);
}

/* A copy may be older than this run of pinfoldd. */
Test(mqtt, drops_are_told_in_any_case)
{
	cr_assert_eq(mqtt_clear(&mqtt), 0);
	cr_assert_str_eq(tells(), "clear ");
	cr_assert_eq(mqtt_drop(&mqtt, slice_str("m"), slice_str("c")), 0);
	cr_assert_str_eq(tells(), "drop:m:c ");
	insert("[{'pattern':'a'}]", "null");
	insert("[{'pattern':'a'}]", "null");
	tells();
	cr_assert_eq(mqtt_drop(&mqtt, slice_str(""), slice_str("c")), 2);
	cr_assert_str_eq(tells(), "drop::c ");
}

Test(mqtt, no_acl_where_nobody_waits)
{
	struct event ev = {
		.hook = HOOK_AUTH_ON_PUBLISH,
		.map = packed("{'client_id':'c'}"),
	};

	insert_for(&ev, "c", "[{'pattern':'a'}]", "null");
	cr_assert_str_eq(tells(), "entry:c ");
	ev.hook = HOOK_AUTH_ON_REGISTER;
	ev.answered = true;
	insert_for(&ev, "c", "[{'pattern':'a'}]", "null");
	cr_assert_str_eq(tells(), "entry:c:replaced ");
	cr_assert_eq(mqtt_acl(&mqtt, &ev).n, 0);
}
