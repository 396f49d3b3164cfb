# SPDX-License-Identifier: Apache-2.0
"""Scripts that check VerneMQ's libraries while they load, against the real
broker and gateway: no database, but tables, auth cache, bcrypt and commands."""

import pytest

from lib.mqtt_scripts import MqttPinfold, register

SCRIPTS = {
    "kv": r"""
    assert(kv.ensure_table{name = "t", type = "set"} == true)
    assert(kv.ensure_table{name = "t", type = "set"} == true)
    assert(kv.insert("t", {a = 1, b = "two", f = 1.0}) == true)
    assert(math.type(kv.lookup("t", "f")[1]) == "float")
    assert(kv.insert_new("t", {c = 3, a = 9}) == false)
    assert(#kv.lookup("t", "c") == 0)
    assert(kv.insert_new("t", {c = {d = {1, "x"}}}) == true)
    assert(kv.lookup("t", "c")[1].d[2] == "x")
    assert(kv.insert("t", {["\0\xff"] = "\0\xff"}))
    assert(kv.lookup("t", "\0\xff")[1] == "\0\xff")
    assert(kv.delete("t", "a") == true and #kv.lookup("t", "a") == 0)
    assert(kv.delete("t", "a") == true)
    assert(kv.delete_all("t") == true and #kv.lookup("t", "c") == 0)
    assert(kv.ensure_table{} == true and kv.insert("simple_kv", {x = 1}))
    kv.ensure_table{name = "bag", type = "bag"}
    kv.insert("bag", {k = 1}) kv.insert("bag", {k = 2}) kv.insert("bag", {k = 1})
    assert(#kv.lookup("bag", "k") == 2)
    kv.ensure_table{name = "dup", type = "duplicate_bag"}
    kv.insert("dup", {k = 1}) kv.insert("dup", {k = 1})
    assert(#kv.lookup("dup", "k") == 2)
    for _, f in ipairs{kv.lookup, kv.delete, kv.delete_all} do
      local ok, why = pcall(f, "none", "k")
      assert(not ok and why:find("bad argument", 1, true), why)
    end
    """,
    "bcrypt": r"""
    local salt = bcrypt.gen_salt()
    assert(salt:find("^%$2a%$04%$") and #salt == 29, salt)
    local hash = bcrypt.hashpw("my-password", salt)
    assert(#hash == 60 and bcrypt.hashpw("my-password", hash) == hash)
    assert(bcrypt.hashpw("other", hash) ~= hash)
    local ok, why = pcall(bcrypt.hashpw, "my-password", "no salt")
    assert(not ok and why:find("bad argument to 'hashpw'", 1, true), why)
    """,
    "vmq_api": r"""
    local who = {mountpoint = "", client_id = "nobody"}
    assert(vmq_api.disconnect_by_subscriber_id(who, {do_cleanup = true})
           == "not_found")
    assert(vmq_api.reauthorize_subscriptions("user", who, {}) == "ok")
    assert(vmq_api.publish{topic = "t"} == "not_found")
    """,
    "cache_patterns": r"""
    local function publishes(pattern, topic)
      assert(auth_cache.insert("m", "c", "u", {{pattern = pattern}}, nil) == true)
      return auth_cache.match_publish("m", "c", topic, 0, "", false)
    end
    assert(publishes("a/b", "a/b") and not publishes("a/b", "a/c"))
    assert(publishes("+/b", "x/b") and not publishes("+", "a/b"))
    assert(publishes("c/#", "c") and publishes("c/#", "c/d/e"))
    assert(publishes("#", "anything/at/all") and publishes("a//b", "a//b"))
    assert(publishes("%m/%u/%c", "m/u/c") and not publishes("%m", "%m"))
    assert(publishes("dev-%c", "dev-%c") and not publishes("dev-%c", "dev-c"))
    assert(publishes("#", "$SYS/x"))
    assert(not publishes("a/#/b", "a/x/b"))
    """,
    "cache_filters": r"""
    local function subscribes(pattern, filter)
      auth_cache.insert("m", "c", "u", nil, {{pattern = pattern}})
      return auth_cache.match_subscribe("m", "c", filter, 0)
    end
    assert(subscribes("a/+", "a/+") and subscribes("a/+", "a/#"))
    assert(subscribes("a/#", "a/b/+") and subscribes("#", "#"))
    assert(subscribes("+", "#") and not subscribes("a/b", "#"))
    assert(not subscribes("a/#", "$share/g/a/b"))
    """,
    "cache_rules": r"""
    local function insert(publish, subscribe)
      assert(auth_cache.insert("", "c", "u", publish, subscribe) == true)
    end
    local function match(qos, payload, retain)
      return auth_cache.match_publish("", "c", "a", qos, payload, retain)
    end
    insert{{pattern = "a", max_qos = 1, max_payload_size = 3,
            allowed_retain = false}}
    assert(match(1, "abc", false) == true)
    assert(not match(2, "abc", false) and not match(1, "abcd", false))
    assert(not match(1, "abc", true))
    -- The first that passes, in order.
    insert{{pattern = "a", max_qos = 0, modifiers = {topic = "one"}},
           {pattern = "+", modifiers = {topic = "two", qos = 1.6}}}
    assert(match(0, "", false).topic == "one")
    assert(match(1, "", false).topic == "two")
    -- What is wrong is left out, the rule stays.
    insert{{pattern = "a", max_qos = "1", foo = true, modifiers = {topic = 5}}}
    assert(match(2, "", true) == true)
    insert{{pattern = "a", max_qos = 5}}
    assert(match(2, "", false) == true)
    -- No list: nothing.
    insert(nil, {{pattern = "b", modifiers = {{"c", 2}}}})
    assert(match(0, "", false) == false)
    local mods = auth_cache.match_subscribe("", "c", "b", 2)
    assert(mods[1][1] == "c" and mods[1][2] == 2)
    assert(auth_cache.match_subscribe("", "nobody", "b", 0) == false)
    assert(auth_cache.match_publish("", "nobody", "b", 0, "", false) == false)
    for _, bad in ipairs{"a/#", "a/+", "", "a\0"} do
      local ok, why = pcall(auth_cache.match_publish, "", "c", bad, 0, "", true)
      assert(not ok and why:find("bad argument", 1, true), bad)
    end
    assert(not pcall(auth_cache.match_subscribe, "", "c", "a/#/b", 0))
    assert(not pcall(auth_cache.insert, "", "c", nil, {}, {}))
    assert(not pcall(auth_cache.insert, 1, "c", "u", {}, {}))
    """,
}


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_script_that_checks_itself(name):
    script = SCRIPTS[name] + "hooks = {auth_on_register = function() return true end}"
    with MqttPinfold({f"{name}.lua": script},
                     mqtt={"bcrypt": {"default_log_rounds": 4}}) as pinfold:
        answer = pinfold.mqtt().call("auth_on_register", [register("c")])
        assert answer["verdict"] == "ok", pinfold.log()


def test_tables_are_shared_by_scripts():
    scripts = {
        "a.lua": """kv.ensure_table{name = 't'}
        hooks = {auth_on_register = function(reg)
            kv.insert('t', {[reg.client_id] = {seen = true}}) return next end}""",
        "b.lua": """hooks = {auth_on_register = function(reg)
            return kv.lookup('t', reg.client_id)[1].seen end}"""}
    with MqttPinfold(scripts) as pinfold:
        answer = pinfold.mqtt().call("auth_on_register", [register("c")])
        assert answer["verdict"] == "ok", pinfold.log()


def test_complaints_about_rules_are_in_the_log():
    script = """auth_cache.insert('', 'c', 'u', {{pattern = 'a', foo = 1}}, nil)
    hooks = {auth_on_register = function() return true end}"""
    with MqttPinfold({"a.lua": script}) as pinfold:
        pinfold.wait_log("warn +log .*foo.*script=a")
