# SPDX-License-Identifier: Apache-2.0
"""The auth cache as scripts for VerneMQ know it: what auth_cache.insert takes,
what then matches, who answers, and how long. One script runs what a case is
about, as Lua, in a hook or while it is loaded."""

import json

import pytest

from lib.mqtt_scripts import MqttPinfold, publish, register, subscribe

# `password` of auth_on_register is Lua whose result comes back as JSON: an
# array of what it returned. Every hook that the cache should answer says that
# it was asked.
RUNNER = """
hooks = {
    auth_on_register = function(reg)
        local chunk = assert(load(reg.password))
        local result = table.pack(pcall(chunk, reg))
        if not result[1] then return {username = "error: " .. tostring(result[2])} end
        local values = {}
        for i = 2, result.n do
            values[#values + 1] = result[i] == nil and "nil" or result[i]
        end
        return {username = json.encode(values)}
    end,
    auth_on_publish = function() return {topic = "asked/lua"} end,
    auth_on_subscribe = function() return {{"asked/lua", 0}} end,
    on_unsubscribe = function() return {"asked/lua"} end,
    auth_on_publish_m5 = function() return {topic = "asked/lua"} end,
    auth_on_subscribe_m5 = function() return {topics = {{"asked/lua", 0}}} end,
    on_unsubscribe_m5 = function() return {topics = {"asked/lua"}} end,
}
"""
ASKED = {
    "auth_on_publish": {"topic": "asked/lua"},
    "auth_on_publish_m5": {"topic": "asked/lua"},
    "auth_on_subscribe": [["asked/lua", 0]],
    "auth_on_subscribe_m5": {"topics": [["asked/lua", 0]]},
    "on_unsubscribe": ["asked/lua"],
    "on_unsubscribe_m5": {"topics": ["asked/lua"]},
}


class Runner:
    def __init__(self, broker):
        self.broker = broker
        self.client = broker.mqtt()

    def lua(self, code, **more):
        """What the Lua returned."""
        answer = self.client.call("auth_on_register",
                                  [register("runner", password=code, **more)])
        text = answer["mods"]["username"]
        if text.startswith("error: "):
            raise AssertionError(text)
        values = json.loads(text)
        values = [] if values == {} else values
        return values[0] if len(values) == 1 else values

    def fails(self, code):
        """With what it fails."""
        text = self.client.call("auth_on_register", [register(
            "runner", password=code)])["mods"]["username"]
        assert text.startswith("error: "), text
        return text

    def insert(self, publish="nil", subscribe="nil", client_id="c",
               username="u", mountpoint=""):
        self.lua(f"return auth_cache.insert({json.dumps(mountpoint)}, "
                 f"{json.dumps(client_id)}, {json.dumps(username)}, "
                 f"{publish}, {subscribe})")

    def may_publish(self, topic, qos=0, payload="x", retain=False, client_id="c"):
        return self.lua(
            f"return auth_cache.match_publish('', '{client_id}', '{topic}', "
            f"{qos}, '{payload}', {str(retain).lower()})")

    def may_subscribe(self, topic, qos=0, client_id="c"):
        return self.lua(f"return auth_cache.match_subscribe('', '{client_id}', "
                        f"'{topic}', {qos})")

    def ask(self, hook, event):
        answer = self.client.call(hook, [event])
        assert answer["errors"] == []
        return answer["verdict"], answer.get("mods", answer.get("reason"))

    def gone(self, client_id="c", hook="on_client_gone"):
        self.client.notify(hook, [{"mountpoint": "", "client_id": client_id}])


@pytest.fixture(scope="module")
def runner():
    with MqttPinfold({"runner.lua": RUNNER}) as broker:
        yield Runner(broker)


@pytest.fixture(autouse=True)
def nothing_cached(runner):
    runner.broker.control_client().call("cache.drop", [{"all": True}])
    runner.client.notifications = []


DENIED = ("deny", "not_authorized")
OK = ("ok", None)


# --- insert


def test_insert_gives_true(runner):
    assert runner.lua("return auth_cache.insert('', 'c', 'u', {}, {})") is True
    assert runner.lua("return auth_cache.insert('', 'c', 'u', nil, nil)") is True
    assert runner.lua("return auth_cache.insert('', 'c', 'u')") is True


@pytest.mark.parametrize("args", ["nil, 'c', 'u', {}, {}", "'', nil, 'u', {}, {}",
                                  "'', 'c', nil, {}, {}", "'', {}, 'u', {}, {}",
                                  "'', 'c', true, {}, {}"])
def test_the_first_three_must_be_strings(runner, args):
    runner.fails(f"auth_cache.insert({args})")
    assert runner.lua(f"return pcall(auth_cache.insert, {args})")[0] is False


def test_lists_that_are_none(runner):
    runner.fails("auth_cache.insert('', 'c', 'u', 'text', {})")
    runner.fails("auth_cache.insert('', 'c', 'u', {}, 5)")
    runner.fails("auth_cache.insert('', 'c', 'u', {'text'}, {})")
    assert runner.may_publish("a") is False


@pytest.mark.parametrize("rule, warning", [
    ("{pattern = 'a', max_qos = '1'}", "max_qos is not 0, 1 or 2"),
    ("{pattern = 'a', max_qos = 5}", "max_qos is not 0, 1 or 2"),
    ("{pattern = 'a', foo = 1}", "unknown key 'foo'"),
    ("{pattern = 'a', max_payload_size = 'big'}", "max_payload_size is not"),
    ("{pattern = 'a', allowed_retain = 1}", "allowed_retain is no boolean"),
    ("{pattern = 'a', modifiers = {topic = 5}}", "modifiers left out: .*topic"),
    ("{pattern = 'a', modifiers = {nonsense = 1}}",
     "modifiers left out: .*nonsense"),
    ("{pattern = 'a', modifiers = 'x'}", "modifiers left out"),
])
def test_a_wrong_key_is_warned_about_and_left_out(runner, rule, warning):
    runner.insert("{" + rule + "}")
    runner.broker.wait_log(warning)
    assert runner.may_publish("a", 2, retain=True) is True


def test_a_wrong_pattern_matches_nothing(runner):
    runner.insert("{{pattern = 'a/#/b'}, {pattern = 5}, {}, {pattern = 'ok'}}")
    runner.broker.wait_log("no valid pattern 'a/#/b'")
    for topic in ("a", "a/x/b", "/"):
        assert runner.may_publish(topic) is False
    assert runner.may_publish("ok") is True


def test_no_list_is_no_leave(runner):
    runner.insert("{{pattern = '#'}}", "nil")
    assert runner.may_publish("a") is True
    assert runner.may_subscribe("a") is False
    assert runner.ask("auth_on_subscribe", subscribe("c")) == DENIED
    runner.insert("nil", "{{pattern = '#'}}")
    assert runner.may_publish("a") is False
    assert runner.may_subscribe("a") is True
    assert runner.ask("auth_on_publish", publish("c")) == DENIED


# --- names in patterns


def test_words_are_names(runner):
    runner.insert("{{pattern = '%m/%u/%c/x'}, {pattern = 'dev-%c'}}",
                  "{{pattern = 'in/%u/+'}}", client_id="id", username="me",
                  mountpoint="mp")
    match = "return auth_cache.match_{}('mp', 'id', '{}', 0{})"

    def may(topic):
        return runner.lua(match.format("publish", topic, ", '', false"))

    assert may("mp/me/id/x") is True
    assert may("%m/%u/%c/x") is False
    assert may("dev-id") is False       # whole words only
    assert may("dev-%c") is True
    assert runner.lua(match.format("subscribe", "in/me/+", "")) is True
    assert runner.lua(match.format("subscribe", "in/you/+", "")) is False


def test_a_clients_name_is_no_wildcard(runner):
    """Where it would be one, the pattern matches nothing."""
    for name in ("#", "+", "a/b"):
        runner.insert("{{pattern = 'dev/%c'}}", "{{pattern = 'dev/%c'}}",
                      client_id=name)
        assert runner.may_publish("dev/x", client_id=name) is False
        assert runner.may_subscribe("dev/x", client_id=name) is False
        assert runner.may_subscribe("dev/#", client_id=name) is False


# --- matching


@pytest.mark.parametrize("pattern, topic, matches", [
    ("a/b", "a/b", True), ("a/b", "a/c", False), ("a/b", "a", False),
    ("+/b", "a/b", True), ("a/+", "a/b", True), ("a/+", "a/b/c", False),
    ("+", "a", True), ("+", "a/b", False),
    ("a/#", "a/b", True), ("a/#", "a/b/c", True), ("c/#", "c", True),
    ("#", "a/b/c", True), ("a/#", "b", False),
    ("#", "$SYS/x", True), ("+/x", "$SYS/x", True),
])
def test_topics(runner, pattern, topic, matches):
    runner.insert(f"{{{{pattern = '{pattern}'}}}}")
    assert runner.may_publish(topic) is matches
    verdict = runner.ask("auth_on_publish", publish("c", topic=topic))
    assert verdict == (OK if matches else DENIED)


@pytest.mark.parametrize("pattern, topic, matches", [
    ("a/+", "a/+", True), ("a/+", "a/#", True), ("a/#", "a/b/+", True),
    ("a/b", "a/+", False), ("#", "#", True), ("+", "#", True),
    ("a/#", "#", False), ("a/#", "$share/g/a/b", False),
    ("$share/g/a/#", "$share/g/a/b", True),
])
def test_a_filter_is_matched_as_a_topic(runner, pattern, topic, matches):
    runner.insert("nil", f"{{{{pattern = '{pattern}'}}}}")
    assert runner.may_subscribe(topic) is matches
    verdict = runner.ask("auth_on_subscribe",
                         subscribe("c", topics=[[topic, 0]]))
    assert verdict == (OK if matches else DENIED)


def test_no_topic_is_badarg(runner):
    for topic in ("", "a/+", "#", "a/#"):
        assert runner.lua("return pcall(auth_cache.match_publish, '', 'c', "
                          f"'{topic}', 0, '', false)")[0] is False
    for topic in ("", "a/#/b", "a+"):
        assert runner.lua("return pcall(auth_cache.match_subscribe, '', 'c', "
                          f"'{topic}', 0)")[0] is False


def test_nobody_matches_nothing(runner):
    assert runner.may_publish("a", client_id="unknown") is False
    assert runner.may_subscribe("a", client_id="unknown") is False


def test_bounds_of_a_rule(runner):
    runner.insert("{{pattern = 'q', max_qos = 1}, "
                  "{pattern = 'p', max_payload_size = 3}, "
                  "{pattern = 'r', allowed_retain = false}}",
                  "{{pattern = 'q', max_qos = 1}}")
    assert runner.may_publish("q", 1) is True
    assert runner.may_publish("q", 2) is False
    assert runner.may_publish("p", payload="abc") is True
    assert runner.may_publish("p", payload="abcd") is False
    assert runner.may_publish("r") is True
    assert runner.may_publish("r", retain=True) is False
    assert runner.may_subscribe("q", 1) is True
    assert runner.may_subscribe("q", 2) is False
    assert runner.ask("auth_on_publish",
                      publish("c", topic="p", payload=b"abc")) == OK
    assert runner.ask("auth_on_publish",
                      publish("c", topic="p", payload=b"abcd")) == DENIED


def test_the_first_that_passes_wins(runner):
    runner.insert("{{pattern = 'a/b', max_qos = 0, modifiers = {topic = 'one'}},"
                  " {pattern = 'a/+', modifiers = {topic = 'two'}},"
                  " {pattern = 'a/b'}}",
                  "{{pattern = 'a/b', max_qos = 0, modifiers = {{'one', 1}}},"
                  " {pattern = 'a/b'}}")
    assert runner.may_publish("a/b", 0) == {"topic": "one"}
    assert runner.may_publish("a/b", 1) == {"topic": "two"}
    assert runner.may_subscribe("a/b", 0) == [["one", 1]]
    assert runner.may_subscribe("a/b", 1) is True


# --- modifiers


ALL = ("{topic = 'new/topic', payload = 'new', qos = 2, retain = true, "
       "mountpoint = 'mp', throttle = 10}")


def test_modifiers_of_a_publish(runner):
    runner.insert("{{pattern = 'm', modifiers = " + ALL + "}}")
    want = {"topic": "new/topic", "payload": "new", "qos": 2, "retain": True,
            "mountpoint": "mp", "throttle": 10}
    assert runner.may_publish("m") == want
    assert runner.ask("auth_on_publish", publish("c", topic="m")) == ("ok", want)
    assert runner.ask("auth_on_publish_m5",
                      publish("c", topic="m")) == ("ok", want)


def test_floats_are_rounded(runner):
    runner.insert("{{pattern = 'm', modifiers = {qos = 1.7}}}")
    assert runner.ask("auth_on_publish",
                      publish("c", topic="m")) == ("ok", {"qos": 2})


def test_properties_are_merged(runner):
    """The modifier's properties win; of user properties those that it names
    are dropped, and its own follow."""
    runner.insert("{{pattern = 'm', modifiers = {properties = {"
                  "p_user_property = {{k1 = 'v3'}, {k3 = 'v3'}}, "
                  "p_response_topic = 'new'}}}}")
    event = publish("c", topic="m", properties={
        "p_user_property": [{"k1": "v1"}, {"k2": "v2"}, {"k1": "v2"},
                            {"k4": "v4"}],
        "p_response_topic": "old", "p_correlation_data": "data"})
    assert runner.ask("auth_on_publish_m5", event) == ("ok", {"properties": {
        "p_user_property": [{"k2": "v2"}, {"k4": "v4"}, {"k1": "v3"},
                            {"k3": "v3"}],
        "p_response_topic": "new", "p_correlation_data": "data"}})
    # MQTT 3 knows none
    assert runner.ask("auth_on_publish", publish("c", topic="m")) == OK


def test_what_was_modified_is_not_checked_again(runner):
    runner.insert("{{pattern = 'm', max_qos = 0, modifiers = "
                  "{topic = 'elsewhere', qos = 2}}}")
    assert runner.ask("auth_on_publish", publish("c", topic="m", qos=0)) == (
        "ok", {"topic": "elsewhere", "qos": 2})


def test_modifiers_of_a_subscribe(runner):
    runner.insert("nil", "{{pattern = 'm', modifiers = {{'x', 2}, {'y', 128}}}}")
    assert runner.may_subscribe("m") == [["x", 2], ["y", 128]]
    assert runner.ask("auth_on_subscribe", subscribe("c", topics=[["m", 0]])) == (
        "ok", [["x", 2], ["y", 128]])
    assert runner.ask("auth_on_subscribe_m5",
                      subscribe("c", topics=[["m", [0, {}]]])) == (
        "ok", {"topics": [["x", 2], ["y", 128]]})


def test_several_filters(runner):
    """All must match. Those that are not modified stay as they came, before
    and behind one that is."""
    runner.insert("nil", "{{pattern = 'a/#'}, "
                  "{pattern = 'm', modifiers = {{'x', 1}}}}")

    def ask(*topics):
        return runner.ask("auth_on_subscribe",
                          subscribe("c", topics=[list(t) for t in topics]))

    assert ask(("a/b", 0), ("a/c", 2)) == OK
    assert ask(("a/b", 0), ("b", 0)) == DENIED
    assert ask(("m", 0), ("b", 0)) == DENIED
    assert ask(("a/b", 0), ("m", 0)) == ("ok", [["a/b", 0], ["x", 1]])
    assert ask(("m", 0), ("a/b", 2)) == ("ok", [["x", 1], ["a/b", 2]])
    options = {"no_local": True, "rap": False, "retain_handling": "dont_send"}
    assert runner.ask("auth_on_subscribe_m5", subscribe(
        "c", topics=[["a/b", [1, options]], ["m", [0, {}]]])) == (
        "ok", {"topics": [["a/b", [1, options]], ["x", 1]]})


# --- unsubscribe


def test_unsubscribe(runner):
    """By the rules of subscriptions, with QoS 0; what is not allowed is an
    error, with which the MQTT broker unsubscribes all the same."""
    runner.insert("{{pattern = 'p'}}", "{{pattern = 'a/#', max_qos = 0}, "
                  "{pattern = 'm', modifiers = {{'x', 1}}}}")

    def ask(hook, *topics):
        return runner.ask(hook, subscribe("c", topics=[]) | {
            "topics": list(topics)})

    assert ask("on_unsubscribe", "a/b", "a/c") == OK
    assert ask("on_unsubscribe", "m") == ("ok", ["x"])
    assert ask("on_unsubscribe", "a/b", "m") == ("ok", ["a/b", "x"])
    assert ask("on_unsubscribe", "p") == ("deny", "error")
    assert ask("on_unsubscribe_m5", "a/b") == OK
    assert ask("on_unsubscribe_m5", "a/b", "m") == ("ok",
                                                    {"topics": ["a/b", "x"]})
    assert ask("on_unsubscribe_m5", "p") == ("deny", "error")


# --- who answers


def test_the_cache_answers_before_scripts(runner):
    runner.insert("{{pattern = 'a'}}", "{{pattern = 'a'}}")
    events = {"auth_on_publish": publish, "auth_on_publish_m5": publish,
              "auth_on_subscribe": subscribe, "auth_on_subscribe_m5": subscribe,
              "on_unsubscribe": subscribe, "on_unsubscribe_m5": subscribe}
    for hook, event in events.items():
        table = event("c") if event is publish else event("c", topics=[["x", 0]])
        if "unsubscribe" in hook:
            table["topics"] = ["x"]
        assert runner.ask(hook, table)[0] == "deny", hook
        table["client_id"] = "unknown"
        assert runner.ask(hook, table) == ("ok", ASKED[hook]), hook
        table["client_id"], table["mountpoint"] = "c", "other"
        assert runner.ask(hook, table) == ("ok", ASKED[hook]), hook


def test_the_username_is_for_patterns_only(runner):
    runner.insert("{{pattern = 'a/b'}}", username="one")
    assert runner.ask("auth_on_publish", publish("c", username="two")) == OK


# --- how long


def test_the_newest_answers(runner):
    runner.insert("{{pattern = 'old'}}")
    runner.insert("{{pattern = 'new'}}")
    assert runner.may_publish("new") is True
    assert runner.may_publish("old") is False


@pytest.mark.parametrize("hook", ["on_client_offline", "on_client_gone",
                                  "on_session_expired"])
def test_an_end_takes_the_oldest(runner, hook):
    for topic in ("one", "two", "three"):
        runner.insert(f"{{{{pattern = '{topic}'}}}}")
    for _ in range(2):
        runner.gone(hook=hook)
        assert runner.may_publish("three") is True
    runner.gone(hook=hook)
    assert runner.may_publish("three") is False
    runner.gone(hook=hook)      # nothing is left to take
    assert runner.ask("auth_on_publish", publish("c")) == (
        "ok", ASKED["auth_on_publish"])


def test_no_ttl_unless_it_is_said(runner):
    runner.insert("{{pattern = 'a'}}")
    shown = runner.broker.control_client().call("cache.show")["cached"]
    assert [r["ttl_ms"] for r in shown] == [0]


def test_a_file_may_insert_and_match_while_it_is_loaded():
    script = """
    assert(auth_cache.insert("", "c", "u",
        {{pattern = "a/+/c", max_qos = 1}, {pattern = "%u/x"},
         {pattern = "m", modifiers = {topic = "t"}}},
        {{pattern = "a/#"}, {pattern = "m", modifiers = {{"x", 0}}}}) == true)
    local function pub(...) return auth_cache.match_publish("", "c", ...) end
    local function sub(...) return auth_cache.match_subscribe("", "c", ...) end
    assert(pub("a/b/c", 1, "payload", false) == true)
    assert(pub("a/b/c", 2, "payload", false) == false)
    assert(pub("u/x", 2, "payload", true) == true)
    assert(pub("m", 0, "", false).topic == "t")
    assert(sub("a/+/#", 2) == true)
    assert(sub("b", 0) == false)
    assert(sub("m", 2)[1][1] == "x" and sub("m", 2)[1][2] == 0)
    assert(not pcall(pub, "a/#", 0, "", false))
    assert(not pcall(sub, "a/#/b", 0))
    assert(auth_cache.match_publish("", "other", "a/b/c", 0, "", false) == false)
    hooks = {}
    """
    with MqttPinfold({"a.lua": script}) as broker:
        status = broker.control_client().call("status")
        assert [s["state"] for s in status["scripts"]] == ["ready"]


# --- VerneMQ's own four cases, with made-up peers


SUITE = """
local publish_acl = {
    {pattern = "a/b/c"},
    {pattern = "a/%m/%u/%c/+/+"},
    {pattern = "modifiers", modifiers = {
        topic = "hello/world", payload = "hello", qos = 1, retain = true,
        mountpoint = "override",
        properties = {p_user_property = {{k = "v"}}}}},
}
local subscribe_acl = {
    {pattern = "a/b/c"},
    {pattern = "a/%m/%u/%c/+/+"},
    {pattern = "modifiers", modifiers = {{"hello/world", 2}}},
}
local function on_register(reg)
    if reg.username == "test-user" then
        auth_cache.insert(reg.mountpoint, reg.client_id, reg.username,
                          publish_acl, subscribe_acl)
    end
    return true
end
local function asked() return true end
hooks = {
    auth_on_register = on_register, auth_on_register_m5 = on_register,
    auth_on_publish = asked, auth_on_publish_m5 = asked,
    auth_on_subscribe = asked, auth_on_subscribe_m5 = asked,
}
"""
ID = "allowed-subscriber-id"


@pytest.fixture
def suite():
    with MqttPinfold({"cache.lua": SUITE}) as broker:
        client = broker.mqtt()
        for hook in ("auth_on_register", "auth_on_register_m5"):
            assert client.call(hook, [register(ID, username="test-user")])[
                "verdict"] == "ok"
        yield client


def pub(topic, **more):
    return publish(ID, username="test-user", topic=topic, **more)


def sub(*topics, v5=False):
    return subscribe(ID, username="test-user",
                     topics=[[t, [1, {}] if v5 else 1] for t in topics])


def test_suite_1_what_is_allowed(suite):
    own = f"a//test-user/{ID}/hello/world"
    for hook in ("auth_on_publish", "auth_on_publish_m5"):
        for topic in ("a/b/c", own):
            assert suite.call(hook, [pub(topic)]) == {"verdict": "ok",
                                                      "errors": []}
    for v5, hook in enumerate(("auth_on_subscribe", "auth_on_subscribe_m5")):
        for topic in ("a/b/c", own, f"a//test-user/{ID}/+/world"):
            assert suite.call(hook, [sub(topic, v5=v5)])["verdict"] == "ok"
        assert suite.call(hook, [sub("a/b/c", own, v5=v5)]) == {
            "verdict": "ok", "errors": []}
    mods = suite.call("auth_on_publish", [pub("modifiers")])["mods"]
    want = {"topic": "hello/world", "payload": "hello", "qos": 1,
            "retain": True, "mountpoint": "override"}
    assert mods == want
    mods = suite.call("auth_on_publish_m5", [pub("modifiers", properties={
        "p_user_property": [{"x": "y"}], "p_content_type": "text"})])["mods"]
    assert mods == {**want, "properties": {
        "p_user_property": [{"x": "y"}, {"k": "v"}], "p_content_type": "text"}}
    assert suite.call("auth_on_subscribe", [sub("modifiers")])["mods"] == [
        ["hello/world", 2]]
    assert suite.call("auth_on_subscribe_m5", [sub("modifiers", v5=True)])[
        "mods"] == {"topics": [["hello/world", 2]]}


def test_suite_2_what_is_not(suite):
    for hook in ("auth_on_publish", "auth_on_publish_m5"):
        for topic in ("a/b/c/d", "a/b", "x", f"a//other-user/{ID}/hello/world",
                      "a//test-user/other/hello/world"):
            assert suite.call(hook, [pub(topic)])["verdict"] == "deny"
    for v5, hook in enumerate(("auth_on_subscribe", "auth_on_subscribe_m5")):
        for topics in (["a/b/#"], ["#"], ["a/b/c", "x"],
                       [f"a//other-user/{ID}/hello/world"]):
            assert suite.call(hook, [sub(*topics, v5=v5)]) == {
                "verdict": "deny", "reason": "not_authorized", "errors": []}


def test_suite_3_who_is_unknown_is_asked_about(suite):
    for hook in ("auth_on_publish", "auth_on_publish_m5"):
        event = {**pub("anything"), "client_id": "unknown"}
        assert suite.call(hook, [event])["verdict"] == "ok"
    event = {**sub("anything"), "client_id": "unknown"}
    assert suite.call("auth_on_subscribe", [event])["verdict"] == "ok"


def test_suite_4_entries_go_with_their_sessions():
    with MqttPinfold({"cache.lua": SUITE}) as broker:
        client, control = broker.mqtt(), broker.control_client()
        client.call("auth_on_register", [register(ID, username="test-user")])
        row, = control.call("cache.show")["cached"]
        assert len(row["publish"]) == 3 and len(row["subscribe"]) == 3
        assert row["entries"] == 1
        client.call("on_client_offline", [{"mountpoint": "", "client_id": ID}])
        assert control.call("cache.show")["entries"] == 0
        assert client.call("auth_on_publish", [pub("x")])["verdict"] == "ok"
