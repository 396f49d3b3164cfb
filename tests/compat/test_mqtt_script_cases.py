# SPDX-License-Identifier: Apache-2.0
"""One-file scripts as VerneMQ runs them: loading, states, order, what a hook
gets and what it may answer. Over the socket, with a real broker and worker.

More of the same: tests/integration/test_mqtt_wire.py (verdicts and chains),
test_worker_mqtt.py (loading, lanes, state), test_mqtt_reload.py (reload).
"""

import os
import signal

import pytest

from lib.mqtt_eval import AUTH, DECIDE, EVAL, OBSERVE, Asker
from lib.mqtt_scripts import MqttPinfold, publish, register, subscribe
from lib.wait import until


@pytest.fixture(scope="module")
def shared():
    with MqttPinfold({"eval.lua": EVAL}) as p:
        yield p


@pytest.fixture
def ask(shared):
    return Asker(shared)


@pytest.fixture
def start():
    started = []

    def start(*args, **kwargs):
        p = MqttPinfold(*args, **kwargs)
        started.append(p)
        return p.start()

    yield start
    for p in started:
        p.close()


def stored(broker, key):
    value = broker.control_client().call("kv.get", [key, "mqtt"])
    return value if value is None else value.decode()


# --- 1.1 a script

def test_1_1_a_file_is_run_once_for_each_state(start):
    p = start({"a.lua": """
kv.incr("runs")
num_states = 3
local number = __SCRIPT_INSTANCE_ID__
hooks = {auth_on_register = function()
    return {username = number .. " " .. __SCRIPT_INSTANCE_ID__}
end}"""})
    client = p.mqtt()
    assert stored(p, "runs") == "3"
    names = {client.call("auth_on_register", [register(f"c{i}")])
             ["mods"]["username"] for i in range(9)}
    assert names == {"1 1", "2 2", "3 3"}


FILES = {
    "a.lua": """
local found = {require "auth.commons", require "auth/commons",
               require "pkg", require "deep/er/still"}
hooks = {auth_on_register = function(reg)
    if reg.client_id == "late" then return {username = require "late"} end
    return {username = table.concat(found, " ") .. " " .. runs .. " " .. shared()}
end}""",
    "auth/commons.lua": """
runs = (runs or 0) + 1
function shared() return pool end   -- a global that comes later
pool = "pool"
return "commons" """,
    "pkg/init.lua": "return 'init'",
    "deep/er/still.lua": "return require 'auth.commons'",
    "late.lua": "return 'late'",
}


def test_1_1_require_reads_script_dir(start):
    p = start(FILES)
    client = p.mqtt()
    answer = client.call("auth_on_register", [register()])
    assert answer["mods"]["username"] == "commons commons init commons 2 pool"
    answer = client.call("auth_on_register", [register("late")])
    assert answer["mods"]["username"] == "late"


@pytest.mark.parametrize("code, told", [
    ("require 'nothing'", "module 'nothing' not found"),
    ("require 'text'", "module 'text' not found"),          # text.txt
    ("require 'text.txt'", "module 'text.txt' not found"),
    ("require 'clib'", "module 'clib' not found"),          # clib.so
    ("require '../secret'", "not found"), ("require '/etc/passwd'", "not found"),
    ("require 'broken'", "broken.lua:2: "), ("require 'raises'", "raises.lua:2: no"),
])
def test_1_1_only_lua_files_of_script_dir(start, code, told):
    p = start({"a.lua": "hooks = {auth_on_register = function() "
                        f"{code} end}}", "text.txt": "return 1",
               "clib.so": "\x7fELF", "sub/broken.lua": "",
               "../secret.lua": "return 1"})
    p.write_lua("sub/b.lua", "")
    (p.dir / "lua" / "broken.lua").write_text("\nx = = 1")
    (p.dir / "lua" / "raises.lua").write_text("\nerror('no')")
    p.control_client().call("reload")
    answer = p.mqtt().call("auth_on_register", [register()])
    error, = [e for e in answer["errors"] if e["script"] == "a"]
    assert error["code"] == "script_error" and told in error["message"]


def test_1_1_package_path_may_be_written_and_there_is_no_cpath(start):
    p = start({"a.lua": """
package.path = package.path .. ";/usr/share/vernemq/lua/?.lua"
local commons = require "auth/commons"
hooks = {auth_on_register = function()
    return {username = commons .. tostring(package.cpath)
                       .. tostring(package.loadlib)}
end}""", "auth/commons.lua": "return 'commons'"})
    answer = p.mqtt().call("auth_on_register", [register()])
    assert answer["mods"]["username"] == "commonsnilnil"


@pytest.mark.parametrize("library", [
    "mysql", "mysql2", "postgres", "cockroachdb", "mongodb", "redis", "http",
    "json", "bcrypt", "kv", "log", "memcached", "auth_cache", "vmq_api",
    "crypto", "obf"])
def test_1_1_libraries_are_globals(ask, library):
    assert ask.value(f"type({library})") == "table"
    assert ask.value(f"type(_G.{library})") == "table"


def test_1_1_there_is_no_obj_store(ask):
    assert ask.value("type(obj_store)") == "nil"


@pytest.mark.parametrize("name", ["on_message_drop", "on_topic_unsubscribed",
                                  "on_config_change"])
def test_1_1_hooks_that_scripts_do_not_have(start, name):
    p = start({"a.lua": f"hooks = {{{name} = function() kv.set('ran', '1') end,"
                        "auth_on_register = function() return true end}"})
    p.wait_log(rf"no such hook: {name}")
    client = p.mqtt()
    assert set(client.hello(["mqtt"])["hooks"]) == {"auth_on_register"}
    error = client.error(name, [{"mountpoint": "", "client_id": "c"}])
    assert error.code == "unknown_method"
    assert stored(p, "ran") is None


@pytest.mark.parametrize("value", ["print", "next", "obf.decrypt", "5", "'x'", "{}",
                                   "true", "coroutine.create(function() end)"])
def test_1_1_only_lua_functions_are_hooks(start, value):
    p = start({"a.lua": f"hooks = {{auth_on_publish = {value}, "
                        "auth_on_register = function() return true end}"})
    client = p.mqtt()
    assert set(client.hello(["mqtt"])["hooks"]) == {"auth_on_register"}
    assert client.call("auth_on_publish", [publish()]) == {
        "verdict": "next", "reason": "plugin_chain_exhausted", "errors": []}


def test_1_1_hooks_are_those_of_the_first_state_when_it_was_loaded(start):
    p = start({"a.lua": """
num_states = 2
local function yes() return {username = "as loaded"} end
hooks = {auth_on_register = yes, on_register = function()
    hooks.auth_on_register = function() return false end
    hooks.auth_on_publish = function() return false end
    hooks = {}
end}
if __SCRIPT_INSTANCE_ID__ == 2 then hooks.auth_on_publish = yes end"""})
    client = p.mqtt()
    assert set(client.hello(["mqtt"])["hooks"]) == {"auth_on_register",
                                                    "on_register"}
    for i in range(4):
        client.call("on_register", [register()])
        answer = client.call("auth_on_register", [register()])
        assert answer["mods"] == {"username": "as loaded"}
    assert client.call("auth_on_publish", [publish()])["verdict"] == "next"


def test_1_1_reload_reads_settings_again(start):
    """VerneMQ does not."""
    script = """
num_states = %d
keep_state = %s
n = 0
hooks = {auth_on_register = function()
    n = n + 1
    return {username = __SCRIPT_INSTANCE_ID__ .. " " .. n}
end}"""
    p = start({"a.lua": script % (1, "false")})
    client = p.mqtt()

    def names(count):
        return [client.call("auth_on_register", [register()])["mods"]["username"]
                for _ in range(count)]

    assert names(2) == ["1 1", "1 1"]
    p.write_lua("a.lua", script % (2, "true"))
    p.control_client().call("reload")
    assert sorted(names(4)) == ["1 1", "1 2", "2 1", "2 2"]
    p.write_lua("a.lua", script % (1, "true") + "\n")
    p.control_client().call("reload")
    assert names(2) == ["1 1", "1 2"]       # what was kept is lost


# --- 1.2 calls and what they return

NOT_AN_ANSWER = ["", "return", "return nil", "return next", "return 0",
                 "return 1", "return 1.5", "return 'true'", "return ''",
                 "return print", "return function() return true end",
                 "return coroutine.create(print)", "return nil, true",
                 "return next, false", "return table.unpack({})"]


@pytest.mark.parametrize("hook", DECIDE)
def test_1_2_anything_else_is_next(ask, hook):
    expected = {"verdict": "next", "errors": []}
    if hook in AUTH:
        expected["reason"] = "plugin_chain_exhausted"
    for code in NOT_AN_ANSWER:
        assert ask(hook, code) == expected, code


@pytest.mark.parametrize("hook", DECIDE)
def test_1_2_the_first_of_several_values_counts(ask, hook):
    assert ask(hook, "return true, false, 3") == {"verdict": "ok", "errors": []}
    assert ask(hook, "return false, true")["verdict"] == "deny"
    assert ask(hook, "return true")["verdict"] == "ok"      # it still answers


def test_1_2_false_of_on_auth_m5(ask):
    assert ask("on_auth_m5", "return false") == {
        "verdict": "deny", "reason": "invalid_credentials", "errors": []}


@pytest.mark.parametrize("hook", DECIDE)
def test_1_2_an_empty_table(ask, hook):
    answer = ask(hook, "return {}")
    if hook in ("auth_on_subscribe", "on_unsubscribe"):
        assert answer == {"verdict": "ok", "mods": [], "errors": []}
    else:
        assert answer == {"verdict": "deny", "reason": "invalid_modifiers",
                          "errors": []}


@pytest.mark.parametrize("hook", DECIDE)
def test_1_2_an_error_of_each_class(start, hook):
    """Auth: the next script is asked; others: the chain ends."""
    p = start({"a.lua": f"hooks = {{{hook} = function() error('x') end}}",
               "b.lua": f"hooks = {{{hook} = function() return true end}}"})
    answer = p.mqtt().call(hook, [{"mountpoint": "", "client_id": "c"}])
    assert [e["script"] for e in answer["errors"]] == ["a"]
    assert answer["verdict"] == ("ok" if hook in AUTH else "next")


@pytest.mark.parametrize("hook", DECIDE)
def test_1_2_refused_modifiers_end_the_chain(start, hook):
    p = start({"a.lua": f"hooks = {{{hook} = function() return {{x = 1}} end}}",
               "b.lua": f"hooks = {{{hook} = function() return true end}}"})
    answer = p.mqtt().call(hook, [{"mountpoint": "", "client_id": "c"}])
    assert answer == {"verdict": "deny", "reason": "invalid_modifiers",
                      "errors": []}


@pytest.mark.parametrize("code", ["return false", "return {x = 1}", "error('x')",
                                  "error()", "return true, false"])
def test_1_2_every_script_observes(start, code):
    hooks = ", ".join(f"{h} = run" for h in OBSERVE)
    script = """
local function run(t) kv.incr(t.hook) %s end
hooks = {%s}"""
    p = start({f"{name}.lua": script % (code, hooks) for name in "abc"})
    client = p.mqtt()
    for hook in OBSERVE:
        answer = client.call(hook, [{"mountpoint": "", "client_id": "c",
                                     "hook": hook}])
        assert answer["verdict"] == "next"
        assert "mods" not in answer and "reason" not in answer
        failed = [e["script"] for e in answer["errors"]]
        assert failed == (list("abc") if "error" in code else [])
        assert stored(p, hook) == "3"       # incr acts at once


@pytest.mark.parametrize("hook", DECIDE + OBSERVE)
def test_1_2_one_argument_a_table_of_its_own(start, hook):
    p = start({f"{name}.lua": f"""
hooks = {{{hook} = function(...)
    local t = ...
    kv.set("{name}", select("#", ...) .. type(t) .. t.client_id
                     .. tostring(t.mine) .. tostring(t.username))
    t.client_id, t.mine = "changed", true
    return next
end}}""" for name in "ab"})
    p.mqtt().call(hook, [{"mountpoint": "", "client_id": "c", "username": None}])
    assert stored(p, "a") == stored(p, "b") == "1tablecnilnil"


# --- 1.3 order

SEEN = """
hooks = {auth_on_register = function(reg)
    kv.set("seen", (kv.get("seen") or "") .. "%s ")
    return next
end}"""


def seen(p):
    p.mqtt().call("auth_on_register", [register()])
    return stored(p, "seen").split()


def test_1_3_load_order_is_chain_order(start):
    """script_dir by name and not deeper, scripts by name, then auth_... as
    they stand in the configuration."""
    names = ["b", "a", "10", "9", "deep/x", "other/1", "other/2", "other/r",
             "other/h"]
    p = start({f"{n}.lua": SEEN % n.split("/")[-1] for n in names}, {
        "scripts": {"z": {"file": "other/1.lua"}, "aa": {"file": "other/2.lua"}},
        "auth_redis": {"enabled": True, "script": "lua/other/r.lua"},
        "auth_http": {"enabled": True, "url": "http://127.0.0.1:1/",
                      "script": "lua/other/h.lua"},
        "auth_mysql": {"enabled": False}})
    assert seen(p) == ["10", "9", "a", "b", "2", "1", "r", "h"]


def test_1_3_auth_in_the_order_of_the_configuration(start):
    p = start({"x/r.lua": SEEN % "r", "x/h.lua": SEEN % "h"}, {
        "auth_http": {"enabled": True, "url": "http://127.0.0.1:1/",
                      "script": "lua/x/h.lua"},
        "auth_redis": {"enabled": True, "script": "lua/x/r.lua"}})
    assert seen(p) == ["h", "r"]


def test_1_3_a_script_that_crashed_keeps_its_place(start):
    p = start({f"{n}.lua": SEEN % n for n in "abc"})
    control = p.control_client()
    pid, = [w["pid"] for w in control.call("script.show", ["a"])["workers"]]
    os.kill(pid, signal.SIGKILL)
    until(lambda: control.call("script.show", ["a"])["state"] == "ready" and
          control.call("script.show", ["a"])["workers"][0]["pid"] != pid,
          what="the worker is there again")
    assert seen(p) == ["a", "b", "c"]


# --- 1.4 states

def test_1_4_a_state_has_one_call_at_a_time(start):
    p = start({"a.lua": """
num_states = 3
local busy = {}
hooks = {auth_on_register = function()
    if busy[1] then error("two at a time") end
    busy[1] = true
    kv.incr("calls")                    -- waits for the broker
    busy[1] = nil
    return true
end}"""})
    client = p.mqtt()
    sent = [client.send("auth_on_register", [register(f"c{i}")])
            for i in range(200)]
    for msgid in sent:
        assert client.wait(msgid) == {"verdict": "ok", "errors": []}
    assert stored(p, "calls") == "200"


COUNTER = """
n = 0
hooks = {auth_on_register = function()
    n = n + 1
    more = (more or 0) + 1
    return {username = __SCRIPT_INSTANCE_ID__ .. " " .. n .. " " .. more}
end}"""


@pytest.mark.parametrize("mqtt, head, names", [
    ({}, "", ["1 1 1", "1 1 1", "1 1 1", "1 1 1"]),
    ({"num_states": 2}, "", ["1 1 1", "1 1 1", "2 1 1", "2 1 1"]),
    ({"num_states": 2}, "num_states = 1", ["1 1 1", "1 1 1", "1 1 1", "1 1 1"]),
    ({"num_states": 2}, "keep_state = true", ["1 1 1", "1 2 2", "1 3 3", "1 4 4"]),
    ({"keep_state": True, "num_states": 2}, "",
     ["1 1 1", "1 2 2", "1 3 3", "1 4 4"]),
    ({"keep_state": True}, "num_states = 2", ["1 1 1", "1 2 2", "2 1 1", "2 2 2"]),
    ({"keep_state": True, "num_states": 2}, "keep_state = false",
     ["1 1 1", "1 1 1", "2 1 1", "2 1 1"]),
    ({}, "keep_state = true; num_states = 1.6",
     ["1 1 1", "1 2 2", "2 1 1", "2 2 2"]),
])
def test_1_4_states_and_what_they_keep(start, mqtt, head, names):
    p = start({"a.lua": head + COUNTER}, mqtt)
    client = p.mqtt()
    assert sorted(client.call("auth_on_register", [register()])
                  ["mods"]["username"] for _ in range(4)) == names


@pytest.mark.parametrize("head, told", [
    ("num_states = 0", "num_states"), ("num_states = 'two'", "num_states"),
    ("num_states = 0.4", "num_states"), ("keep_state = 'true'", "keep_state"),
    ("keep_state = 0", "keep_state"), ("local = 1", "a.lua:1:"),
    ("error('no')", "a.lua:1: no"), ("x.y = 1", "a.lua:1: attempt to index")])
def test_1_4_a_load_that_fails_says_why(start, head, told):
    p = start({"a.lua": head + "\nhooks = {}"})
    p.wait_log(rf"script=a cannot be loaded.*{told}")


# --- 2 the arguments of hooks

OPTIONS = {"no_local": True, "rap": False, "retain_handling": "dont_send",
           "sub_id": 7}
# 2.3: each property with its type
PROPERTIES = {
    "p_session_expiry_interval": 4294967295, "p_receive_max": 10,
    "p_topic_alias_max": 0, "p_max_packet_size": 268435455,
    "p_message_expiry_interval": 60, "p_will_delay_interval": 5,
    "p_request_response_info": True, "p_request_problem_info": False,
    "p_subscription_id": [1, 268435455],
    "p_content_type": "text/plain", "p_response_topic": "answer/here",
    "p_correlation_data": "17", "p_authentication_method": "PLAIN",
    "p_authentication_data": "data", "p_payload_format_indicator": "utf8",
    "p_user_property": [{"k1": "v1"}, {"k1": "v2"}, {"k2": "v2"}, {"": ""}],
}
CLIENT = {"mountpoint": "mp", "client_id": "c"}
NAMED = {**CLIENT, "username": "user"}
PEER = {**NAMED, "addr": "2001:db8::1", "port": 65535}
LISTENER = {"listener_addr": "local", "listener_port": 0,
            "listener_type": "mqttws"}
CREDENTIALS = {**PEER, **LISTENER, "password": "\u00e4 b"}
MESSAGE = {**NAMED, "qos": 2, "topic": "a//b/", "payload": "", "retain": True}
TOPICS = {**NAMED, "topics": [["a/+", 0], ["#", 2], ["$share/g/x", 1]]}
TOPICS_M5 = {**NAMED, "topics": [["a/+", [0, OPTIONS]], ["#", [2, {}]]]}
FILTERS = {**NAMED, "topics": ["a/+", "#"]}
M5 = {"properties": PROPERTIES}

ARGUMENTS = {
    "auth_on_register": {**CREDENTIALS, "clean_session": False},
    "auth_on_register_m5": {**CREDENTIALS, "clean_start": True, **M5},
    "auth_on_publish": MESSAGE, "auth_on_publish_m5": {**MESSAGE, **M5},
    "auth_on_subscribe": TOPICS, "auth_on_subscribe_m5": {**TOPICS_M5, **M5},
    "on_auth_m5": {**NAMED, **M5},
    "on_unsubscribe": FILTERS, "on_unsubscribe_m5": {**FILTERS, **M5},
    "on_deliver": {**MESSAGE, **M5}, "on_deliver_m5": {**MESSAGE, **M5},
    "on_register": PEER, "on_register_m5": {**PEER, **M5},
    "on_publish": MESSAGE, "on_publish_m5": {**MESSAGE, **M5},
    "on_subscribe": TOPICS, "on_subscribe_m5": {**TOPICS_M5, **M5},
    "on_offline_message": {**MESSAGE, "username": None},
    "on_client_wakeup": CLIENT, "on_client_offline": CLIENT,
    "on_client_gone": CLIENT, "on_session_expired": CLIENT,
}


@pytest.mark.parametrize("hook", ARGUMENTS)
def test_2_arguments_arrive_as_they_were_sent(ask, hook):
    event = ARGUMENTS[hook]
    got = ask.value("t", hook, **event)
    del got["code"]
    want = {k: v for k, v in event.items() if v is not None}
    if "on_subscribe_m5" in hook:
        want["topics"] = [*want["topics"]]      # Lua has one empty table
        got["topics"][1][1][1] = got["topics"][1][1][1] or {}
    assert got == want


def test_2_strings_keep_their_bytes(ask):
    payload = bytes(range(256))
    answer = ask("auth_on_publish", "return {payload = t.payload .. #t.payload}",
                 payload=payload)
    assert answer["mods"]["payload"] == payload + b"256"
    answer = ask("auth_on_register", "return {username = t.password}",
                 password=b"\xff\0\n")
    assert answer["mods"]["username"] == b"\xff\0\n"


def test_2_types(ask):
    assert ask.value("math.type(t.qos) .. type(t.retain) .. type(t.payload)"
                     " .. type(t.mountpoint)", **publish(payload=b"5")) \
        == "integerbooleanstringstring"
    assert ask.value("math.type(t.properties.p_receive_max)"
                     " .. type(t.properties.p_request_problem_info)"
                     " .. math.type(t.properties.p_subscription_id[2])"
                     " .. #t.properties.p_user_property",
                     "auth_on_register_m5", **M5) == "integerbooleaninteger4"


@pytest.mark.parametrize("word", ["utf8", "undefined"])
def test_2_3_the_format_indicator_is_a_word(ask, word):
    assert ask.value("t.properties.p_payload_format_indicator",
                     "auth_on_publish_m5",
                     properties={"p_payload_format_indicator": word}) == word


def test_2_mqtt_5_is_not_asked_of_the_other_twin(start):
    names = [h for h in DECIDE + OBSERVE if f"{h}_m5" in DECIDE + OBSERVE]
    p = start({"a.lua": "local function no() return false end hooks = {"
               + ", ".join(f"{n} = no" for n in names) + "}",
               "b.lua": "hooks = {on_register_m5 = function() end}"})
    client = p.mqtt()
    for name in names:
        answer = client.call(f"{name}_m5", [CLIENT])
        assert answer["verdict"] == "next" and answer["errors"] == []
        if name in DECIDE:
            assert client.call(name, [CLIENT])["verdict"] == "deny"


# --- 2.1 modifiers

BOOLS = (["true", "false"], ["'true'", "0", "{}"])
INTS = (["0", "10", "10.6", "-1"], ["'10'", "true", "{}", "1/0"])
WORDS = (["'x'", "''", r"'\0\xff'"], ["5", "true", "{}", "print"])
TOPIC = (["'a/b'", "'/'"], ["'a/#'", "'+'", "''", "5", "true", r"'a\0'"])
QOS = (["0", "1", "2", "1.7"], ["3", "-1", "128", "'1'", "true"])
ID = (["{mountpoint = 'm', client_id = 'c'}"],
      ["{mountpoint = 'm'}", "{client_id = 'c'}", "{}", "'c'",
       "{mountpoint = 'm', client_id = 5}",
       "{mountpoint = 'm', client_id = 'c', x = 1}"])
USER = (["{{a = 'b'}, {a = 'c'}, {b = ''}}", "{}"],
        ["'x'", "{a = 'b'}", "{{a = 'b', c = 'd'}}", "{{}}", "{{a = 5}}",
         "{'a'}"])
U32 = (["0", "4294967295", "1.4"], ["-1", "4294967296", "'1'", "true"])
FORMAT = (["'utf8'", "'undefined'"], ["'latin1'", "1", "true"])
REASON = (["0", "24", "135"], ["-1", "256", "'0'", "true"])

REGISTER = {
    **dict.fromkeys(["allow_register", "allow_publish", "allow_subscribe",
                     "allow_unsubscribe", "clean_session", "upgrade_qos"], BOOLS),
    **dict.fromkeys(["max_message_size", "max_connection_lifetime",
                     "max_message_rate", "max_inflight_messages",
                     "retry_interval", "max_online_messages",
                     "max_offline_messages", "max_drain_time",
                     "max_msgs_per_drain_step"], INTS),
    **dict.fromkeys(["username", "shared_subscription_policy", "queue_type"],
                    WORDS),
    "subscriber_id": ID,
}
PUBLISH = {"topic": TOPIC, "payload": WORDS, "qos": QOS, "retain": BOOLS,
           "mountpoint": WORDS, "throttle": INTS}
DELIVER = {"topic": TOPIC, "payload": WORDS}
MODIFIERS = {
    "auth_on_register": (REGISTER, {}),
    "auth_on_register_m5": (REGISTER, {"p_user_property": USER,
                                       "p_session_expiry_interval": U32}),
    "auth_on_publish": (PUBLISH, {}),
    "auth_on_publish_m5": (PUBLISH, {
        "p_user_property": USER, "p_message_expiry_interval": U32,
        "p_content_type": WORDS, "p_payload_format_indicator": FORMAT,
        "p_response_topic": WORDS, "p_correlation_data": WORDS,
        "p_will_delay_interval": U32}),
    "on_deliver": (DELIVER, {}),
    "on_deliver_m5": (DELIVER, {
        "p_content_type": WORDS, "p_payload_format_indicator": FORMAT,
        "p_user_property": USER, "p_response_topic": WORDS,
        "p_correlation_data": WORDS}),
    "on_auth_m5": ({"reason_code": REASON}, {
        "p_authentication_method": WORDS, "p_authentication_data": WORDS}),
}
ROUNDED = {"10.6": 11, "1.7": 2, "1.4": 1}


def refused(answer):
    return answer == {"verdict": "deny", "reason": "invalid_modifiers",
                      "errors": []}


@pytest.mark.parametrize("hook, key", [
    (hook, key) for hook, (keys, _) in MODIFIERS.items() for key in keys])
def test_2_1_a_modifier(ask, hook, key):
    good, bad = MODIFIERS[hook][0][key]
    for value in good:
        answer = ask(hook, f"return {{{key} = {value}}}")
        assert answer["verdict"] == "ok", (value, answer)
        assert list(answer["mods"]) == [key]
        if value in ROUNDED:
            assert answer["mods"][key] == ROUNDED[value]
            assert type(answer["mods"][key]) is int
    for value in bad:
        assert refused(ask(hook, f"return {{{key} = {value}}}")), value


@pytest.mark.parametrize("hook, key", [
    (hook, key) for hook, (_, keys) in MODIFIERS.items() for key in keys])
def test_2_1_a_property(ask, hook, key):
    good, bad = MODIFIERS[hook][1][key]
    for value in good:
        answer = ask(hook, f"return {{properties = {{{key} = {value}}}}}")
        assert answer["verdict"] == "ok", (value, answer)
        assert list(answer["mods"]["properties"]) == [key]
    for value in bad:
        assert refused(ask(hook, f"return {{properties = {{{key} = {value}}}}}")
                       ), value


ALL_KEYS = {*REGISTER, *PUBLISH, "reason_code", "topics", "properties",
            "listener_addr", "password", "client_id", "clean_start", "nonsense"}


@pytest.mark.parametrize("hook", MODIFIERS)
def test_2_1_all_other_keys_are_refused(ask, hook):
    keys, properties = MODIFIERS[hook]
    for key in ALL_KEYS - set(keys) - ({"properties"} if properties else set()):
        for value in ("5", "'x'", "true", "{}", "{'x'}"):
            assert refused(ask(hook, f"return {{{key} = {value}}}")), (key, value)
    for key in {*PROPERTIES} - set(properties):
        code = f"return {{properties = {{{key} = 'x'}}}}"
        assert refused(ask(hook, code)), key


@pytest.mark.parametrize("hook", ["auth_on_register", "auth_on_register_m5"])
def test_2_1_a_bare_mountpoint_is_refused(shared, ask, hook):
    assert refused(ask(hook, "return {mountpoint = 'm'}"))
    shared.wait_log(f"{hook}: invalid_modifiers: unknown modifier 'mountpoint'")


@pytest.mark.parametrize("hook", ["auth_on_register", "auth_on_publish"])
def test_2_1_one_bad_modifier_spoils_all(ask, hook):
    good = "max_message_size = 5" if "register" in hook else "qos = 1"
    assert ask(hook, f"return {{{good}}}")["verdict"] == "ok"
    assert refused(ask(hook, f"return {{{good}, nonsense = 1}}"))


ONE = "{'a/b', %s}"


@pytest.mark.parametrize("topics, mods", [
    ("{{'a/b', 1}}", [["a/b", 1]]), ("{{'a/#', 0}, {'+', 2}}", [["a/#", 0], ["+", 2]]),
    ("{{'a', 128}}", [["a", 128]]), ("{{'a', 1.2}}", [["a", 1]]),
    ("{{'$share/g/a', 1}}", [["$share/g/a", 1]]), ("{}", [])])
def test_2_1_topics_of_auth_on_subscribe(ask, topics, mods):
    assert ask("auth_on_subscribe", f"return {topics}")["mods"] == mods
    assert ask("auth_on_subscribe_m5",
               f"return {{topics = {topics}}}")["mods"] == {"topics": mods}


@pytest.mark.parametrize("wish, mod", [
    ("135", 135), ("255", 255), ("{2, {rap = true}}", [2, {"rap": True}]),
    ("{0, {no_local = true, rap = false}}", [0, {"no_local": True, "rap": False}]),
    ("{1, {}}", [1, {}]), ("{1, {retain_handling = 'dont_send'}}",
                           [1, {"retain_handling": "dont_send"}]),
    ("{128, {}}", [128, {}])])
def test_2_1_wishes_of_auth_on_subscribe_m5(ask, wish, mod):
    answer = ask("auth_on_subscribe_m5", f"return {{topics = {{{ONE % wish}}}}}")
    assert answer["mods"] == {"topics": [["a/b", mod]]}


@pytest.mark.parametrize("topics", [
    "{'a/b'}", "{{'a/b'}}", "{{'a/b', 3}}", "{{'a/b', '1'}}", "{{'a#', 1}}",
    "{{'', 1}}", "{{5, 1}}", "{{'a', 1, 2}}", "{{'a', 1}, 'b'}", "{{'a', -1}}",
    "{{'a', 256}}", "{x = 1}", "'a'", "{{'a', true}}", "{[2] = {'a', 1}}"])
def test_2_1_topics_that_are_none(ask, topics):
    if topics[0] == "{":
        assert refused(ask("auth_on_subscribe", f"return {topics}"))
    assert refused(ask("auth_on_subscribe_m5", f"return {{topics = {topics}}}"))


@pytest.mark.parametrize("wish", [
    "{1}", "{1, {x = 1}}", "{1, {rap = 1}}", "{1, {retain_handling = 'x'}}",
    "{3, {}}", "{1, true}", "{1, {}, 1}", "{{}, 1}"])
def test_2_1_wishes_that_are_none(ask, wish):
    assert refused(ask("auth_on_subscribe_m5",
                       f"return {{topics = {{{ONE % wish}}}}}"))


def test_2_1_a_bare_array_is_nothing_for_mqtt_5(ask):
    """It crashes VerneMQ."""
    assert refused(ask("auth_on_subscribe_m5", "return {{'a', 1}}"))
    assert refused(ask("on_unsubscribe_m5", "return {'a'}"))


@pytest.mark.parametrize("topics, mods", [
    ("{'a/b'}", ["a/b"]), ("{'a/#', '+'}", ["a/#", "+"]), ("{}", [])])
def test_2_1_topics_of_on_unsubscribe(ask, topics, mods):
    assert ask("on_unsubscribe", f"return {topics}")["mods"] == mods
    assert ask("on_unsubscribe_m5",
               f"return {{topics = {topics}}}")["mods"] == {"topics": mods}


@pytest.mark.parametrize("topics", ["{{'a', 1}}", "{5}", "{'a#'}", "{''}", "{x = 'a'}",
                                    "{true}"])
def test_2_1_topics_of_on_unsubscribe_that_are_none(ask, topics):
    assert refused(ask("on_unsubscribe", f"return {topics}"))
    assert refused(ask("on_unsubscribe_m5", f"return {{topics = {topics}}}"))


@pytest.mark.parametrize("mods, merged", [
    # User properties: those that the modifier names go, its own follow.
    ("{p_user_property = {{k1 = 'v3'}, {k3 = 'v3'}}}",
     {"p_user_property": [{"k2": "v2"}, {"k1": "v3"}, {"k3": "v3"}],
      "p_response_topic": "old", "p_content_type": "text"}),
    ("{p_user_property = {{k3 = '1'}, {k3 = '2'}}}",
     {"p_user_property": [{"k1": "v1"}, {"k2": "v2"}, {"k1": "v2"}, {"k3": "1"},
                          {"k3": "2"}],
      "p_response_topic": "old", "p_content_type": "text"}),
    # Others: the modifier's win.
    ("{p_response_topic = 'new', p_correlation_data = 'x'}",
     {"p_user_property": [{"k1": "v1"}, {"k2": "v2"}, {"k1": "v2"}],
      "p_response_topic": "new", "p_content_type": "text",
      "p_correlation_data": "x"}),
])
def test_2_1_properties_are_merged(ask, mods, merged):
    answer = ask("auth_on_publish_m5", f"return {{properties = {mods}}}",
                 **publish(properties={
                     "p_user_property": [{"k1": "v1"}, {"k2": "v2"}, {"k1": "v2"}],
                     "p_response_topic": "old", "p_content_type": "text"}))
    assert answer["mods"] == {"properties": merged}


def test_2_1_all_filters_of_a_packet_are_one_call(ask):
    answer = ask("auth_on_subscribe", """
        local list = {}
        for i, one in ipairs(t.topics) do
            list[i] = {one[1], one[1] == "b" and 128 or one[2]}
        end
        return list""", **subscribe(topics=[("a", 0), ("b", 1), ("c", 2)]))
    assert answer["mods"] == [["a", 0], ["b", 128], ["c", 2]]
