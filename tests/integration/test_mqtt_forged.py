# SPDX-License-Identifier: Apache-2.0
"""Workers that ask for tables, the auth cache and commands what they may not,
or in a way that makes no sense."""

import pytest

from lib.fake_scripts import FAKE
from lib.mqtt_scripts import MqttPinfold, publish
from lib.pinfold import Pinfold

# Asks what METHOD and PARAMS say; the answer travels as modifiers.
ASKS = """
HOOKS = ["on_deliver"]
def run(w, id, p):
    error, result = w.call(METHOD, id, *PARAMS)
    w.verdict(id, "ok", None, {"payload": repr((error, result))})
"""
GOOD = {
    "ets.ensure_table": ["t", "set"],
    "ets.insert": ["t", {"k": 1}],
    "ets.insert_new": ["t", {"k": 1}],
    "ets.lookup": ["t", "k"],
    "ets.delete": ["t", "k"],
    "ets.delete_all": ["t"],
    "cache.insert": ["", "c", "u", [], None, 0],
    "cache.match_publish": ["", "c", "t", 0, 1, False],
    "cache.match_subscribe": ["", "c", "t", 0],
    "mqtt.disconnect": ["", "c", False],
    "mqtt.reauthorize": ["u", "", "c"],
    "mqtt.publish": [{"topic": "t", "payload": b"x"}],
}


def script(method, params):
    """`params`: a list, or Python for one."""
    text = params if isinstance(params, str) else repr(params)
    return ASKS.replace("METHOD", repr(method)).replace("PARAMS", text)


def mqtt_broker(files):
    return MqttPinfold(files, config={"worker": FAKE})


def ask(method, params):
    with mqtt_broker({"a.lua": script(method, params)}) as broker:
        answer = broker.mqtt().call("on_deliver", [publish()])
        if answer["verdict"] != "ok":
            return answer["errors"][0]["code"]
        return eval(answer["mods"]["payload"])


@pytest.mark.parametrize("method", GOOD)
def test_a_hook_file_may_not_ask(method):
    source = f"""
def run(w, id, p):
    error, result = w.call({method!r}, id, *{GOOD[method]!r})
    w.answer(id, [["req.set_header", "X", error["code"] + error["message"]]])
"""
    with Pinfold({"worker": FAKE}, {"s": {"before_request": source}}) as broker:
        ops = broker.client().call("before_request", [{"id": "1"}])["ops"]
        assert ops[0][2].startswith("denied") and "MQTT" in ops[0][2]
        assert broker.control_client().call("cache.show")["inserts"] == 0


@pytest.mark.parametrize("method", GOOD)
def test_too_few_parameters_end_the_worker(method):
    with mqtt_broker({"a.lua": script(method, GOOD[method][:-1])}) as broker:
        answer = broker.mqtt().call("on_deliver", [publish()])
        assert answer["errors"][0]["code"] == "crashed"
        broker.wait_log(r"worker ended script=a.*protocol")


@pytest.mark.parametrize("method, params", [
    ("ets.ensure_table", [5, "set"]),
    ("ets.insert", [None, {}]),
    ("ets.lookup", ["t", 5]),
    ("cache.insert", ["", "c", None, [], [], 0]),
    ("cache.insert", ["", "c", "u", [], [], -1]),
    ("cache.insert", ["", "c", "u", [], [], "soon"]),
    ("cache.match_publish", ["", "c", "t", -1, 1, False]),
    ("cache.match_publish", ["", "c", "t", 0, -5, False]),
    ("cache.match_publish", ["", "c", "t", 0, 1, 0]),
    ("cache.match_subscribe", ["", "c", 7, 0]),
    ("mqtt.disconnect", ["", "c", "yes"]),
    ("mqtt.reauthorize", ["u", "", {}]),
])
def test_wrong_types_end_the_worker(method, params):
    assert ask(method, params) == "crashed"


@pytest.mark.parametrize("method, params", [
    ("ets.ensure_table", ["t", "heap"]),
    ("ets.ensure_table", ["", "set"]),
    ("ets.ensure_table", ["x" * 2000, "set"]),
    ("ets.insert", ["unknown", {"k": 1}]),
    ("ets.lookup", ["unknown", "k"]),
    ("ets.delete", ["unknown", "k"]),
    ("ets.delete_all", ["unknown"]),
    ("cache.insert", ["", "c", "u", "text", None, 0]),
    ("cache.insert", ["", "c", "u", [1], None, 0]),
    ("cache.insert", "['', 'c', 'u', [{}] * 5000, None, 0]"),
    ("cache.insert", "['', 'x' * 70000, 'u', [], None, 0]"),
    ("cache.insert", "['', 'c', 'u', [{'pattern': 'x' * 60000}] * 30, [], 0]"),
    ("cache.match_publish", ["", "c", "a/#", 0, 1, False]),
    ("cache.match_publish", ["", "c", "a\0b", 0, 1, False]),
    ("cache.match_publish", ["", "c", "x" * 70000, 0, 1, False]),
    ("cache.match_subscribe", ["", "c", "a/#/b", 0]),
    ("mqtt.publish", [5]),
    ("mqtt.publish", [{}]),
    ("mqtt.publish", [{"topic": "a/+"}]),
    ("mqtt.publish", [{"topic": "a", "payload": 5}]),
    ("mqtt.publish", [{"topic": "a", "qos": 3}]),
    ("mqtt.publish", [{"topic": "a", "retain": "no"}]),
    ("mqtt.publish", [{"topic": "a", "client_id": 1}]),
])
def test_mistakes_of_a_script_are_badarg(method, params):
    error, result = ask(method, params)
    assert error["code"] == "badarg" and error["message"], error
    assert result is None


def test_values_too_deep_are_badarg():
    deep = 1
    for _ in range(17):
        deep = [deep]
    source = """
HOOKS = ["on_deliver"]
def load(w, id):
    w.call("ets.ensure_table", id, "t", "set")
def run(w, id, p):
    told = [w.call("ets.insert", id, "t", v)[0] for v in VALUES]
    w.verdict(id, "ok", None, {"payload": repr([t and t["code"] for t in told])})
""".replace("VALUES", repr([{"k": deep[0]}, {"k": deep}, {}, {5: 1}, []]))
    with mqtt_broker({"a.lua": source}) as broker:
        mods = broker.mqtt().call("on_deliver", [publish()])["mods"]
        assert eval(mods["payload"]) == [None] + ["badarg"] * 4


def test_what_the_answers_are():
    assert ask("cache.insert", ["", "c", "u", [], None, 0]) == (None, [])
    error, warnings = ask("cache.insert", ["", "c", "u", [{"x": 1}] * 99, None, 0])
    assert error is None and len(warnings) == 64
    assert "unknown key 'x'" in warnings[0] and "more" in warnings[-1]
    assert ask("cache.match_publish", ["", "c", "t", 3, 1, False]) == (None, False)
    assert ask("mqtt.disconnect", ["", "c", True]) == (None, "not_found")
    assert ask("mqtt.reauthorize", ["u", "", "c"]) == (None, "ok")
    assert ask("mqtt.publish", [{"topic": "t"}]) == (None, "not_found")


def test_an_entry_that_a_worker_forges_is_made_canonical():
    """Bytes of a worker never reach an MQTT broker as they came."""
    source = """
HOOKS = ["auth_on_register"]
def run(w, id, p):
    rule = {"pattern": "a/%c", "max_qos": -1, "max_payload_size": 1e300,
            "allowed_retain": None, "modifiers": {"topic": "#", "x": [[[]]]},
            "evil": 1, 7: 7}
    w.call("cache.insert", id, b"", b"\\xff", "u", [rule], [rule], 2 ** 64 - 1)
    w.verdict(id, "ok")
"""
    with mqtt_broker({"a.lua": source}) as broker:
        client = broker.mqtt()
        acl = client.call("auth_on_register",
                          [{"client_id": b"\xff", "mountpoint": ""}])["acl"]
        assert acl["client_id"] == b"\xff" and acl["ttl_ms"] < 2 ** 62
        assert acl["publish"] == [{
            "pattern": b"a/\xff", "max_qos": 2, "allowed_retain": True,
            "max_payload_size": 268435456}]
        assert acl["subscribe"] == [{"pattern": b"a/\xff", "max_qos": 2}]
