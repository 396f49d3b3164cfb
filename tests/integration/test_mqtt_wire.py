# SPDX-License-Identifier: Apache-2.0
"""MQTT hooks over the socket: verdicts, chains, order, deadlines, hello."""

import pytest

from lib.mqtt_scripts import MqttPinfold, publish, register, subscribe

VERDICTS = """
local function decide(t)
    if t.client_id == "true" then return true
    elseif t.client_id == "false" then return false
    elseif t.client_id == "nil" then return nil
    elseif t.client_id == "next" then return next
    elseif t.client_id == "text" then return "ok"
    elseif t.client_id == "error" then error("boom")
    elseif t.client_id == "two" then return true, false
    elseif t.client_id == "empty" then return {}
    elseif t.client_id == "unknown" then return {no_such_modifier = 1}
    elseif t.client_id == "cyclic" then
        local c = {}
        c.topic = c
        return c
    elseif t.client_id == "mods" then return MODS
    end
end
hooks = {HOOK = decide}
"""

# hook -> (event, reason of false, a table that is good)
DECIDE = {
    "auth_on_register": (register, "invalid_credentials",
                         '{username = "x", max_message_size = 10.6}'),
    "auth_on_register_m5": (register, "invalid_credentials",
                            '{username = "x"}'),
    "auth_on_publish": (publish, "not_authorized", '{topic = "c/d", qos = 2}'),
    "auth_on_publish_m5": (publish, "not_authorized", '{payload = "x"}'),
    "auth_on_subscribe": (subscribe, "not_authorized", '{{"c/d", 2}}'),
    "auth_on_subscribe_m5": (subscribe, "not_authorized",
                             '{topics = {{"c/d", 2}}}'),
    "on_unsubscribe": (lambda c: {**subscribe(c), "topics": ["a/b"]},
                       "lua_script_returned_false", '{"c/d"}'),
    "on_unsubscribe_m5": (lambda c: {**subscribe(c), "topics": ["a/b"]},
                          "lua_script_returned_false", '{topics = {"c/d"}}'),
    "on_deliver": (publish, "lua_script_returned_false", '{topic = "c/d"}'),
    "on_deliver_m5": (publish, "lua_script_returned_false", '{topic = "c/d"}'),
}
AUTH = {h for h in DECIDE if h.startswith("auth")}


@pytest.mark.parametrize("hook", DECIDE)
def test_every_return_value(hook):
    event, reason, mods = DECIDE[hook]
    script = VERDICTS.replace("HOOK", hook).replace("MODS", mods)
    exhausted = {"verdict": "next", "errors": []}
    if hook in AUTH:
        exhausted["reason"] = "plugin_chain_exhausted"

    with MqttPinfold({"a.lua": script}) as p:
        client = p.mqtt()

        def ask(name):
            return client.call(hook, [event(name)])

        assert ask("true") == {"verdict": "ok", "errors": []}
        assert ask("two") == {"verdict": "ok", "errors": []}
        assert ask("false") == {"verdict": "deny", "reason": reason,
                                "errors": []}
        for name in ("nil", "next", "text"):
            assert ask(name) == exhausted, name
        for name in ("unknown", "cyclic"):
            assert ask(name)["verdict"] == "deny", name
            assert ask(name)["reason"] == "invalid_modifiers"
        p.wait_log(rf"invalid_modifiers.*script=a hook={hook}")
        if hook not in ("auth_on_subscribe", "on_unsubscribe"):     # lists
            p.wait_log(r"no_such_modifier")
        answer = ask("mods")
        assert answer["verdict"] == "ok" and answer["mods"], answer
        failed = ask("error")
        assert failed["verdict"] == "next"
        assert failed.get("reason") == exhausted.get("reason")
        assert [e["code"] for e in failed["errors"]] == ["script_error"]
        error = failed["errors"][0]
        assert error["script"] == "a" and error["hook"] == hook
        assert error["message"].startswith("a.lua:"), error
        assert "boom" in error["message"]


def test_floats_are_rounded_and_modifiers_arrive_whole():
    with MqttPinfold({"a.lua": """
hooks = {auth_on_register = function(reg)
    return {max_message_size = 10.6, username = "x", clean_session = false,
            subscriber_id = {mountpoint = "m", client_id = "c"}}
end}"""}) as p:
        answer = p.mqtt().call("auth_on_register", [register()])
        assert answer["mods"] == {
            "max_message_size": 11, "username": "x", "clean_session": False,
            "subscriber_id": {"mountpoint": "m", "client_id": "c"}}


# --- chains

def script_that(answer, hook="auth_on_register"):
    return f"""
hooks = {{{hook} = function(t)
    kv.set("seen." .. t.client_id, (kv.get("seen." .. t.client_id) or "")
           .. NAME)
    {answer}
end}}"""


def chain(hook="auth_on_register", **answers):
    return {f"{name}.lua": f'NAME = "{name}"' + script_that(answer, hook)
            for name, answer in answers.items()}


def seen(broker, client_id="client"):
    value = broker.control_client().call("kv.get", [f"seen.{client_id}",
                                                    "mqtt"])
    return value.decode()


def test_scripts_run_in_the_order_of_names_until_one_answers():
    files = chain(b="return next", a="return nil", c="return true",
                  d="return false")
    with MqttPinfold(files) as p:
        answer = p.mqtt().call("auth_on_register", [register()])
        assert answer == {"verdict": "ok", "errors": []}
        assert seen(p) == "abc"


def test_deny_ends_the_chain():
    with MqttPinfold(chain(a="return false", b="return true")) as p:
        answer = p.mqtt().call("auth_on_register", [register()])
        assert answer["verdict"] == "deny"
        assert seen(p) == "a"


def test_an_error_asks_the_next_script():
    with MqttPinfold(chain(a="error('x')", b="return true")) as p:
        answer = p.mqtt().call("auth_on_register", [register()])
        assert answer["verdict"] == "ok"
        assert [e["script"] for e in answer["errors"]] == ["a"]
        assert seen(p) == "b", "what the failed one wrote is not there"


def test_an_error_ends_the_chain_where_no_rights_are_asked_for():
    files = chain("on_deliver", a="error('x')", b="return {topic = 'n'}")
    with MqttPinfold(files) as p:
        answer = p.mqtt().call("on_deliver", [publish()])
        assert answer["verdict"] == "next" and "reason" not in answer
        assert [e["script"] for e in answer["errors"]] == ["a"]


def test_observe_hooks_run_every_script_and_answer_nothing():
    files = chain("on_register", a="return false", b="error('x')",
                  c="return {username = 'x'}")
    with MqttPinfold(files) as p:
        answer = p.mqtt().call("on_register", [register()])
        assert answer["verdict"] == "next" and "mods" not in answer
        assert [e["script"] for e in answer["errors"]] == ["b"]
        assert seen(p) == "ac"


def test_notifications_run_without_an_answer():
    with MqttPinfold(chain("on_publish", a="return")) as p:
        client = p.mqtt()
        client.notify("on_publish", [publish("quiet")])
        client.call("on_publish", [publish("quiet")])   # the same client: behind
        assert seen(p, "quiet") == "aa"


def test_priority_goes_before_names():
    files = chain(a="return next", b="return next")
    settings = {"scripts": {"b": {"file": "b.lua", "priority": -1}}}
    with MqttPinfold(files, settings) as p:
        p.mqtt().call("auth_on_register", [register()])
        assert seen(p) == "ba"


def test_on_error_fail_fails_the_hook():
    files = chain(a="error('x')", b="return true")
    settings = {"scripts": {"a": {"file": "a.lua", "on_error": "fail"}}}
    with MqttPinfold(files, settings) as p:
        error = p.mqtt().error("auth_on_register", [register()])
        assert error.code == "script_error" and error.script == "a"


def test_no_script_serves_the_hook():
    with MqttPinfold({"a.lua": "hooks = {}"}) as p:
        client = p.mqtt()
        assert client.call("auth_on_register", [register()]) == {
            "verdict": "next", "reason": "plugin_chain_exhausted",
            "errors": []}
        assert client.call("on_client_gone", [
            {"mountpoint": "", "client_id": "c"}]) == {
                "verdict": "next", "errors": []}


# --- hello, and what events must be

def test_hello_names_the_hooks_that_are_served():
    with MqttPinfold({"a.lua": """
hooks = {auth_on_publish = function() end, on_register = function() end,
         on_message_drop = function() end, on_publish = 5}"""}) as p:
        hello = p.client().hello(["mqtt", "lazy_body", "nonsense"])
        assert sorted(hello["caps"]) == ["lazy_body", "mqtt"]
        assert hello["hooks"] == {
            "auth_on_publish": {"mode": "decide", "reads": ["*"]},
            "on_register": {"mode": "observe", "reads": ["*"]}}
        p.wait_log(r"on_message_drop")


BAD = {
    "no_params": [],
    "no_map": [[1]],
    "no_client_id": [{"mountpoint": ""}],
    "empty_client_id": [register("")],
    "client_id_of_number": [register(client_id=5)],
    "mountpoint_of_list": [register(mountpoint=[])],
    "qos_of_text": [register(qos="1")],
    "retain_of_number": [register(retain=1)],
    "topics_of_text": [register(topics="a/b")],
    "password_of_map": [register(password={})],
    "second_is_no_map": [register(), 5],
    "deadline_of_text": [register(), {"deadline_ms": "soon"}],
    "key_of_number": [{**register(), 1: 2}],
}


@pytest.fixture(scope="module")
def shared():
    with MqttPinfold({"a.lua": """
hooks = {auth_on_register = function(reg)
    if reg.client_id == "echo" then
        return {username = tostring(reg.username) .. "," ..
                tostring(reg.password) .. "," .. tostring(reg.port)}
    end
    return true
end}"""}) as p:
        yield p


@pytest.mark.parametrize("name", BAD)
def test_a_bad_event_is_refused(shared, name):
    client = shared.mqtt()
    assert client.error("auth_on_register", BAD[name]).code == "bad_event"
    assert client.call("auth_on_register", [register()])["verdict"] == "ok"


def test_absent_and_nil_keys_are_nil(shared):
    client = shared.mqtt()
    event = register("echo", username=None)
    del event["password"]
    answer = client.call("auth_on_register", [event])
    assert answer["mods"]["username"] == "nil,nil,12345"


def test_bytes_stay_as_they_are(shared):
    client = shared.mqtt()
    answer = client.call("auth_on_register",
                         [register("echo", password=b"\x00\xff\n")])
    assert answer["mods"]["username"] == b"user,\x00\xff\n,12345"


def test_the_password_is_in_no_log(shared):
    shared.mqtt().call("auth_on_register",
                       [register("echo", password="not-for-the-log")])
    assert "not-for-the-log" not in shared.log()


# --- order and deadlines

ORDER = """
num_states = 4
hooks = {auth_on_publish = function(t)
    kv.cas("no", "matter", "what")      -- gives the turn away
    kv.set(t.mountpoint .. t.client_id,
           (kv.get(t.mountpoint .. t.client_id) or "") .. t.payload)
    return true
end}"""


def test_events_of_one_client_run_in_order():
    with MqttPinfold({"a.lua": ORDER}) as p:
        client = p.mqtt()
        sent = [client.send("auth_on_publish",
                            [publish(f"c{i % 3}", payload=str(i),
                                     mountpoint="m" if i % 2 else "")])
                for i in range(60)]
        for msgid in sent:
            assert client.wait(msgid)["verdict"] == "ok"
        control = p.control_client()
        for mountpoint in ("", "m"):
            for k in range(3):
                want = "".join(str(i) for i in range(60)
                               if i % 3 == k and ("m" if i % 2 else "") ==
                               mountpoint)
                have = control.call("kv.get", [f"{mountpoint}c{k}", "mqtt"])
                assert have.decode() == want


def test_a_deadline_of_the_caller_ends_in_next_with_an_error():
    with MqttPinfold({"a.lua": """
hooks = {auth_on_register = function() while true do end end}"""},
                     {"scripts": {"a": {"file": "a.lua",
                                        "timeout": "400ms"}}}) as p:
        client = p.mqtt()
        answer = client.call("auth_on_register",
                             [register(), {"deadline_ms": 50}])
        assert answer["verdict"] == "next"
        assert [e["code"] for e in answer["errors"]] == ["timeout"]
        answer = client.call("auth_on_register", [register("other")])
        assert answer["verdict"] == "next"
        assert [e["code"] for e in answer["errors"]] == ["timeout"]


@pytest.mark.parametrize("mountpoint", ["", "m"])
def test_the_traceparent_is_in_log_lines(mountpoint):
    with MqttPinfold({"a.lua": """
hooks = {auth_on_register = function() error("boom") end}"""}) as p:
        p.mqtt().call("auth_on_register",
                      [register(mountpoint=mountpoint),
                       {"traceparent": "00-abc-def-01"}])
        p.wait_log(r"boom.* hook=auth_on_register .*traceparent=00-abc-def-01")


def test_record_hides_the_password():
    with MqttPinfold({"a.lua": """
hooks = {auth_on_register = function() return true end}"""}) as p:
        control = p.control_client()
        control.call("record", [{"hook": "auth_on_register"}])
        p.mqtt().call("auth_on_register", [register(password="not shown")])
        event = control.wait_notification("record.event")[0]
        assert event["client_id"] == "client"
        assert event["password"] == "[redacted]"


# --- both dialects

def test_two_dialects_side_by_side_have_spaces_of_their_own():
    with MqttPinfold(
            {"a.lua": """
hooks = {auth_on_register = function(reg)
    kv.set("who", "mqtt")
    return kv.get("http") == nil
end}"""},
            scripts={"web": {"before_request":
                             'kv.set("who", "http") kv.set("http", "1") '
                             'mut.req.set_path("/x")'}}) as p:
        client = p.client()
        result = client.call("before_request", [{"id": "1", "req": {}}])
        assert result["ops"] == [["req.set_path", "/x"]]
        answer = client.call("auth_on_register", [register()])
        assert answer["verdict"] == "ok"
        control = p.control_client()
        assert control.call("kv.get", ["who"]) == b"http"
        assert control.call("kv.get", ["who", "http"]) == b"http"
        assert control.call("kv.get", ["who", "mqtt"]) == b"mqtt"
        assert control.error("kv.get", ["who", "x"]).code == "bad_event"
        hooks = client.hello()["hooks"]
        assert set(hooks) == {"before_request", "auth_on_register"}


def test_a_script_failure_of_mqtt_does_not_run_error_lua():
    with MqttPinfold({"a.lua": """
hooks = {auth_on_register = function() error("x") end}"""},
                     scripts={"web": {"error": 'kv.set("ran", "yes")'}}) as p:
        p.client().call("auth_on_register", [register()])
        assert p.control_client().call("kv.get", ["ran"]) is None
