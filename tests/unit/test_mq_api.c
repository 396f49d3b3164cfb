/* SPDX-License-Identifier: Apache-2.0 */
/* kv, auth_cache, vmq_api, bcrypt and log of the dialect mqtt. */
#include "tests/lib/mqrun.h"

Test(mq_kv, tables)
{
	pack_bool(answer_with(), true);
	expect_asked("return kv.ensure_table{name = 't', type = 'bag'}",
		     "ets.ensure_table [7 't' 'bag']");
	cr_expect_str_eq(result, "true");
	expect_asked("kv.ensure_table{}",
		     "ets.ensure_table [7 'simple_kv' 'set']");
	expect_asked("kv.ensure_table{name = 'x', type = 'ordered_set'}",
		     "ets.ensure_table [7 'x' 'ordered_set']");
	expect_error("kv.ensure_table{type = 'list'}", "type: must be set, ");
	expect_error("kv.ensure_table{name = 1}", "name: string expected");
	expect_error("kv.ensure_table('x')", "table expected, got string");
}

Test(mq_kv, insert)
{
	pack_bool(answer_with(), true);
	expect_asked("return kv.insert('t', {k = {1, {a = 1.0}}})",
		     "ets.insert [7 't' {'k'=[1 {'a'=1f}]}]");
	cr_expect_str_eq(result, "true");
	expect_asked("kv.insert('t', {k = false})",
		     "ets.insert [7 't' {'k'=false}]");
	pack_bool(answer_with(), false);
	expect_asked("return kv.insert_new('t', {['\\xff'] = 'v'})",
		     "ets.insert_new [7 't' {b'\xff'='v'}]");
	cr_expect_str_eq(result, "false");
	expect_error("kv.insert('t', {})", "it is empty");
	expect_error("kv.insert('t', {'a'})", "its keys must be strings");
	expect_error("kv.insert('t', {[1.5] = 1})", "keys must be strings");
	expect_error("kv.insert('t', 'k', 'v')", "table expected");
	expect_error("kv.insert(1, {k = 1})", "string expected");
	expect_error("kv.insert('t', {k = print})", "functions and threads");
}

Test(mq_kv, lookup)
{
	struct buf *b = answer_with();

	pack_array(b, 2);
	pack_cstr(b, "v");
	pack_double(b, 1);
	expect_asked("local r = kv.lookup('t', 'k') "
		     "return #r .. r[1] .. r[2]",
		     "ets.lookup [7 't' 'k']");
	cr_expect_str_eq(result, "2v1.0");
	expect_error("kv.lookup('t', 1)", "string expected, got number");
	refuse_with("badarg", "no table 't'");
	expect_error("kv.lookup('t', 'k')",
		     "bad argument to 'lookup' (no table 't')");
}

/* With two arguments VerneMQ's, with one ours. */
Test(mq_kv, delete)
{
	pack_bool(answer_with(), true);
	expect_asked("return kv.delete('t', 'k')", "ets.delete [7 't' 'k']");
	expect_asked("return kv.delete_all('t')", "ets.delete_all [7 't']");
	cr_expect_eq(effects_count(&mq_lane.effects), 0);
	expect_asked("return kv.delete('k')", "");
	cr_expect_str_eq(result, "true");
	cr_expect_eq(effects_count(&mq_lane.effects), 1);
	expect_error("kv.delete('t', nil)", "string expected, got nil");
	expect_error("kv.delete()", "string expected, got no value");
	cr_expect_eq(effects_count(&mq_lane.effects), 1);
}

Test(mq_kv, ours_stay)
{
	expect("kv.set('a', 1) return kv.get('a')", "1");
	pack_bin(answer_with(), slice_str("v"));
	expect_asked("return kv.get('b')", "kv.get [7 'b']");
}

Test(mq_auth_cache, insert)
{
	struct buf *b = answer_with();

	pack_array(b, 0);
	expect_asked("return auth_cache.insert('', 'c', 'u', "
		     "{{pattern = 'a/#', max_qos = 2.0}}, nil)",
		     "cache.insert [7 '' 'c' 'u' "
		     "[{'max_qos'=2 'pattern'='a/#'}] nil 0]");
	cr_expect_str_eq(result, "true");
	expect_asked("auth_cache.insert('m', 'c', 'u')",
		     "cache.insert [7 'm' 'c' 'u' nil nil 0]");
	expect_asked("auth_cache.insert('m', 'c', 'u', {}, {}, {ttl = 1.5})",
		     "cache.insert [7 'm' 'c' 'u' [] [] 1500]");
	expect_asked("auth_cache.insert('m', 'c', 'u', nil, "
		     "{{pattern = 'x', modifiers = {{'y', 1}}}}, {})",
		     "cache.insert [7 'm' 'c' 'u' nil "
		     "[{'modifiers'=[['y' 1]] 'pattern'='x'}] 0]");
}

Test(mq_auth_cache, insert_raises)
{
	expect_error("auth_cache.insert(nil, 'c', 'u')",
		     "bad argument #1 to 'insert'");
	expect_error("auth_cache.insert('', 1, 'u')",
		     "bad argument #2 to 'insert'");
	expect_error("auth_cache.insert('', 'c')",
		     "bad argument #3 to 'insert'");
	expect_error("auth_cache.insert('', 'c', 'u', 'x')",
		     "table expected, got string");
	expect_error("auth_cache.insert('', 'c', 'u', {}, true)",
		     "bad argument #5 to 'insert'");
	expect_error("auth_cache.insert('', 'c', 'u', {}, {}, 60)",
		     "bad argument #6 to 'insert'");
	expect_error("auth_cache.insert('', 'c', 'u', {}, {}, {ttl = 0})",
		     "ttl must be a positive number");
	expect_error("auth_cache.insert('', 'c', 'u', {}, {}, {ttl = '9'})",
		     "ttl must be a positive number");
	expect_error("auth_cache.insert('', 'c', 'u', {{pattern = print}})",
		     "bad argument #4 to 'insert'");
}

Test(mq_auth_cache, what_is_wrong_with_rules_is_logged)
{
	struct buf *b = answer_with();

	pack_array(b, 2);
	pack_cstr(b, "unknown key 'foo'");
	pack_cstr(b, "a/#/b is no pattern");
	expect_asked("auth_cache.insert('', 'c', 'u')",
		     "cache.insert [7 '' 'c' 'u' nil nil 0]\n"
		     "log [7 3 'unknown key 'foo'' []]\n"
		     "log [7 3 'a/#/b is no pattern' []]");
}

Test(mq_auth_cache, match)
{
	struct buf *b;

	pack_bool(answer_with(), true);
	expect_asked("return auth_cache.match_publish('', 'c', 'a/b', 1, "
		     "'12345', false)",
		     "cache.match_publish [7 '' 'c' 'a/b' 1 5 false]");
	cr_expect_str_eq(result, "true");
	b = answer_with();
	pack_map(b, 1);
	pack_cstr(b, "topic");
	pack_cstr(b, "x");
	expect_asked("return auth_cache.match_subscribe('', 'c', 'a', 2).topic",
		     "cache.match_subscribe [7 '' 'c' 'a' 2]");
	cr_expect_str_eq(result, "x");
	refuse_with("badarg", "'a/+' is no topic");
	expect_error("auth_cache.match_publish('', 'c', 'a/+', 0, '', true)",
		     "bad argument to 'match_publish' ('a/+' is no topic)");
	expect_error("auth_cache.match_publish('', 'c', 'a', 3, '', true)",
		     "must be 0, 1 or 2");
	expect_error("auth_cache.match_publish('', 'c', 'a', 0, nil, true)",
		     "bad argument #5 to 'match_publish'");
	expect_error("auth_cache.match_publish('', 'c', 'a', 0, '')",
		     "bad argument #6 to 'match_publish'");
	expect_error("auth_cache.match_subscribe('', 'c', 7, 0)",
		     "bad argument #3 to 'match_subscribe'");
}

Test(mq_vmq_api, disconnect)
{
	pack_cstr(answer_with(), "not_found");
	expect_asked("return vmq_api.disconnect_by_subscriber_id("
		     "{mountpoint = '', client_id = 'c'}, {do_cleanup = true})",
		     "mqtt.disconnect [7 '' 'c' true]");
	cr_expect_str_eq(result, "not_found");
	expect_asked("vmq_api.disconnect_by_subscriber_id("
		     "{mountpoint = '', client_id = 'c'}, {})",
		     "mqtt.disconnect [7 '' 'c' false]");
	expect_error("vmq_api.disconnect_by_subscriber_id("
		     "{client_id = 'c'}, {do_cleanup = true})",
		     "mountpoint: string expected, got nil");
	expect_error("vmq_api.disconnect_by_subscriber_id("
		     "{mountpoint = ''}, {do_cleanup = true})",
		     "client_id: string expected");
	expect_error("vmq_api.disconnect_by_subscriber_id("
		     "{mountpoint = '', client_id = 'c'})",
		     "bad argument #2");
	expect_error("vmq_api.disconnect_by_subscriber_id("
		     "{mountpoint = '', client_id = 'c'}, {do_cleanup = 1})",
		     "do_cleanup: boolean expected, got number");
}

Test(mq_vmq_api, reauthorize)
{
	pack_cstr(answer_with(), "ok");
	expect_asked("return vmq_api.reauthorize_subscriptions('u', "
		     "{mountpoint = 'm', client_id = 'c'}, {})",
		     "mqtt.reauthorize [7 'u' 'm' 'c']");
	cr_expect_str_eq(result, "ok");
	expect_error("vmq_api.reauthorize_subscriptions(nil, "
		     "{mountpoint = 'm', client_id = 'c'}, {})",
		     "bad argument #1");
	expect_error("vmq_api.reauthorize_subscriptions('u', {}, {})",
		     "mountpoint: string expected");
}

Test(mq_vmq_api, publish)
{
	pack_cstr(answer_with(), "ok");
	expect_asked("return vmq_api.publish{topic = 'a/b'}",
		     "mqtt.publish [7 {'payload'=b'' 'qos'=0 "
		     "'retain'=false 'topic'='a/b'}]");
	cr_expect_str_eq(result, "ok");
	expect_asked("vmq_api.publish{topic = 't', payload = 'p', qos = 1.0, "
		     "retain = true, client_id = 'c'}",
		     "mqtt.publish [7 {'client_id'='c' 'payload'=b'p' "
		     "'qos'=1 'retain'=true 'topic'='t'}]");
	expect_error("vmq_api.publish{}", "topic: string expected");
	expect_error("vmq_api.publish('t')", "table expected");
	expect_error("vmq_api.publish{topic = ''}", "not one to publish to");
	expect_error("vmq_api.publish{topic = 'a/+'}", "not one to publish");
	expect_error("vmq_api.publish{topic = 'a/#'}", "not one to publish");
	expect_error("vmq_api.publish{topic = 't', qos = 3}", "qos: must be");
	expect_error("vmq_api.publish{topic = 't', qos = '1'}", "qos: must");
	expect_error("vmq_api.publish{topic = 't', payload = 1}",
		     "payload: string expected");
	expect_error("vmq_api.publish{topic = 't', client_id = ''}",
		     "client_id: it is empty");
	expect_error("vmq_api.publish{topic = 't', retain = 1}",
		     "retain: boolean expected");
}

Test(mq_bcrypt, both)
{
	pack_cstr(answer_with(), "$2a$12$x");
	expect_asked("return bcrypt.gen_salt()", "bcrypt.salt [7]");
	cr_expect_str_eq(result, "$2a$12$x");
	expect_asked("return bcrypt.hashpw('p', '$2a$12$y')",
		     "bcrypt.hash [7 'p' '$2a$12$y']");
	refuse_with("badarg", "the salt is none");
	expect_error("bcrypt.hashpw('p', 'x')",
		     "bad argument to 'hashpw' (the salt is none)");
	expect_error("bcrypt.hashpw(nil, 'x')", "bad argument #1");
	expect_error("bcrypt.hashpw('p', nil)", "bad argument #2");
	refuse_with("unavailable", "the gateway is gone");
	expect_error("bcrypt.gen_salt()", "unavailable: the gateway is gone");
}

Test(mq_log, levels)
{
	expect_asked("log.info('a ~p ~~') log.error('b') log.debug('c') "
		     "log.warning('d') log.warn('e') print('f', 1)",
		     "log [7 2 'a ~p ~~' []]\nlog [7 4 'b' []]\n"
		     "log [7 1 'c' []]\nlog [7 3 'd' []]\nlog [7 3 'e' []]\n"
		     "log [7 2 'f\t1' []]");
	expect_asked("log.info('a', {k = 'v'})", "log [7 2 'a' ['k' 'v']]");
	expect("return log.info('x')", "nil");
	expect_error("log.info(1)", "string expected, got number");
	expect_error("log.error(nil)", "string expected, got nil");
	expect_error("log.warning({})", "string expected, got table");
	expect_error("log.debug()", "string expected, got no value");
}
