# SPDX-License-Identifier: Apache-2.0
"""Mosquitto with the plugin, and a pinfold whose answers are Python functions:
what each hook is told, and what its answers do (docs/mosquitto.md)."""

import os
import ssl
import tempfile

import pytest

from lib import certs
from lib.fake_mqtt import FakeMqtt, deny, entry, nobody, ok, rule, sub_rule
from lib.mosquitto import Mosquitto
from lib.mqtt import (AUTH_DATA, AUTH_METHOD, CONTENT_TYPE, CORRELATION, EXPIRY, FORMAT,
                      RESPONSE_TOPIC, SESSION_EXPIRY, USER, WILL_DELAY, Closed)
from lib.wait import until

PEER = {"addr": "127.0.0.1", "port": 0}


@pytest.fixture
def fake():
    directory = tempfile.mkdtemp(prefix="pf-")
    fake = FakeMqtt(os.path.join(directory, "pinfold.sock"))
    fake.on["auth_on_register"] = fake.on["auth_on_register_m5"] = lambda call: ok()
    for hook in ("publish", "subscribe"):
        fake.on[f"auth_on_{hook}"] = fake.on[f"auth_on_{hook}_m5"] = lambda call: ok()
    yield fake
    fake.stop()
    os.rmdir(directory)


@pytest.fixture
def start(fake):
    """start(...): a Mosquitto for `fake`, both started."""
    started = []

    def run(options=None, **kwargs):
        fake.start()
        broker = Mosquitto(fake.path, options, **kwargs)
        started.append(broker)
        return broker.start()

    yield run
    for broker in started:
        broker.close()


def told(fake, hook, count=1):
    return fake.wait_seen(hook, count)[-1]


# ---- what hooks are told ---------------------------------------------------------

def test_hello_says_what_it_is(fake, start):
    start()
    until(lambda: fake.hellos, what="hello")
    assert fake.hellos[0]["client"] == "mosquitto-pinfold"
    assert fake.hellos[0]["caps"] == ["mqtt"]


def test_login_table(fake, start):
    broker = start()
    broker.connected("c1", username="u", password=b"p", clean=False)
    assert told(fake, "auth_on_register") == {
        **PEER, "mountpoint": "", "client_id": "c1", "username": "u", "password": "p",
        "clean_session": False}


def test_login_table_without_credentials(fake, start):
    start().connected("c1")
    assert told(fake, "auth_on_register") == {
        **PEER, "mountpoint": "", "client_id": "c1", "clean_session": True}


def test_login_table_of_mqtt5(fake, start):
    start({"mountpoint": "mp"}).connected("c1", version=5, username="u")
    assert told(fake, "auth_on_register_m5") == {
        **PEER, "mountpoint": "mp", "client_id": "c1", "username": "u",
        "clean_start": True, "properties": {}}


@pytest.mark.parametrize("password", [b"\xff\xfe\x80", b"\x01\x1f", "pä".encode(), b"x" * 65535])
def test_password_of_any_bytes(fake, start, password):
    start().connected("c1", username="u", password=password)
    seen = told(fake, "auth_on_register")["password"]
    assert (seen if isinstance(seen, bytes) else seen.encode()) == password


def test_password_ends_at_a_nul(fake, start):
    """Mosquitto hands out C strings: nothing behind a NUL ever arrives."""
    start().connected("c1", username="u", password=b"ab\0cd")
    assert told(fake, "auth_on_register")["password"] == "ab"


def test_publish_table(fake, start):
    broker = start()
    client = broker.connected("c1", username="u")
    assert client.publish("a/b", b"\x00\xff", qos=2, retain=True) == 0
    assert told(fake, "auth_on_publish") == {
        "mountpoint": "", "client_id": "c1", "username": "u", "qos": 2, "topic": "a/b",
        "payload": b"\x00\xff", "retain": True}


def test_publish_table_of_mqtt5_with_properties(fake, start):
    client = start().connected("c1", version=5)
    client.publish("a", b"x", 1, properties=[
        (FORMAT, 1), (CONTENT_TYPE, "text"), (RESPONSE_TOPIC, "r"),
        (CORRELATION, b"\xff"), (USER, ("k", "1")), (USER, ("k", "2")), (USER, ("j", ""))])
    assert told(fake, "auth_on_publish_m5") == {
        "mountpoint": "", "client_id": "c1", "qos": 1, "topic": "a", "payload": b"x",
        "retain": False, "properties": {
            "p_payload_format_indicator": "utf8", "p_content_type": "text",
            "p_response_topic": "r", "p_correlation_data": b"\xff",
            "p_user_property": [{"k": "1"}, {"k": "2"}, {"j": ""}]}}
    assert fake.seen("auth_on_publish") == []


def test_subscribe_and_unsubscribe_tables(fake, start):
    fake.on["on_unsubscribe"] = lambda call: ok()
    client = start().connected("c1")
    assert client.subscribe([("a/+", 1), ("$share/g/b", 2)]) == [1, 2]
    base = {"mountpoint": "", "client_id": "c1"}
    assert fake.wait_seen("auth_on_subscribe", 2) == [
        {**base, "topics": [["a/+", 1]]}, {**base, "topics": [["$share/g/b", 2]]}]
    client.unsubscribe(["a/+"])
    assert told(fake, "on_unsubscribe") == {**base, "topics": ["a/+"]}


def test_subscribe_tables_of_mqtt5(fake, start):
    fake.on["on_unsubscribe_m5"] = lambda call: ok()
    client = start().connected("c1", version=5)
    assert client.subscribe([("a", 1)]) == [1]
    base = {"mountpoint": "", "client_id": "c1", "properties": {}}
    assert told(fake, "auth_on_subscribe_m5") == {**base, "topics": [["a", [1, {}]]]}
    assert client.unsubscribe(["a"]) == [0]
    assert told(fake, "on_unsubscribe_m5") == {**base, "topics": ["a"]}


def test_a_connection_from_end_to_end(fake, start):
    """The order of VerneMQ: auth, wakeup, register, ..., gone."""
    fake.observed |= {"on_register", "on_client_wakeup", "on_client_gone", "on_subscribe",
                      "on_publish"}
    broker = start()
    with broker.connected("c1", username="u") as client:
        client.subscribe([("a", 1)])
        client.publish("a", b"x", 1)
    told(fake, "on_client_gone")
    assert fake.hooks_seen() == [
        "auth_on_register", "on_client_wakeup", "on_register", "auth_on_subscribe",
        "on_subscribe", "auth_on_publish", "on_publish", "on_client_gone"]
    base = {"mountpoint": "", "client_id": "c1"}
    assert fake.seen("on_client_wakeup") == fake.seen("on_client_gone") == [base]
    assert fake.seen("on_register") == [{**base, **PEER, "username": "u"}]
    assert fake.seen("on_subscribe") == [{**base, "username": "u", "topics": [["a", 1]]}]
    assert fake.seen("on_publish") == [{**base, "username": "u", "qos": 1, "topic": "a",
                                        "payload": b"x", "retain": False}]


def test_hooks_that_nobody_serves_are_not_sent(fake, start):
    fake.on = {"auth_on_register": lambda call: ok()}
    broker = start(lines=["acl_file {}".format(os.devnull)])
    broker.connected("c1").publish("a", b"x", 1)
    broker.connected("c2").disconnect()
    assert set(fake.hooks_seen()) == {"auth_on_register"}


def test_hooks_that_are_served_later(fake, start):
    broker = start()
    client = broker.connected("c1")
    fake.observed.add("on_publish")
    fake.push_hooks()

    def seen():
        client.publish("a", b"x", 1)
        return fake.seen("on_publish")

    until(seen, what="on_publish")


# ---- verdicts of a login -----------------------------------------------------------

@pytest.mark.parametrize("version,code", [(3, 5), (4, 5), (5, 0x87)])
def test_login_denied(fake, start, version, code):
    fake.on["auth_on_register"] = fake.on["auth_on_register_m5"] = lambda call: deny()
    fake.observed |= {"on_register", "on_client_gone"}
    client = start().client("c1", version=version)
    assert client.connect().code == code
    client.wait_closed()
    assert fake.hooks_seen() == ["auth_on_register_m5" if version == 5 else "auth_on_register"]


def test_next_goes_to_the_next_plugin(fake, start):
    fake.on["auth_on_register"] = lambda call: nobody()
    broker = start()
    assert broker.client("c1").connect().code == 0           # allow_anonymous
    assert broker.client("c2", username="u").connect().code == 5


def test_next_with_errors_is_no(fake, start):
    fake.on["auth_on_register"] = lambda call: nobody("script_error")
    assert start().client("c1").connect().code == 5


def test_next_then_register_once_it_is_certain(fake, start):
    fake.on["auth_on_register"] = lambda call: nobody()
    fake.observed |= {"on_register", "on_client_gone"}
    broker = start()
    broker.client("refused", username="u").connect()
    with broker.connected("c1") as client:
        client.publish("a")
        client.ping()
    told(fake, "on_client_gone")
    assert [e["client_id"] for e in fake.seen("on_register")] == ["c1"]
    assert [e["client_id"] for e in fake.seen("on_client_gone")] == ["c1"]


def test_username_is_changed(fake, start):
    fake.on["auth_on_register"] = lambda call: ok({"username": "other"})
    broker = start()
    broker.connected("c1", username="u").publish("a", b"x", 1)
    assert told(fake, "auth_on_publish")["username"] == "other"


@pytest.mark.parametrize("mods", [
    {"subscriber_id": {"mountpoint": "", "client_id": "other"}},
    {"subscriber_id": {"mountpoint": "mp", "client_id": "c1"}},
    {"allow_register": False}, {"username": ""}, {"username": "a\0b"}, {"unknown": 1}])
def test_login_refused_for_its_modifiers(fake, start, mods):
    fake.on["auth_on_register"] = lambda call: ok(mods)
    broker = start()
    assert broker.client("c1").connect().code == 5
    if "subscriber_id" in mods:
        broker.wait_log("pinfold: modifier subscriber_id: .*refused")


def test_subscriber_id_of_its_own(fake, start):
    fake.on["auth_on_register"] = lambda call: ok(
        {"subscriber_id": {"mountpoint": "", "client_id": "c1"}})
    start().connected("c1")


def test_subscriber_id_may_be_ignored(fake, start):
    fake.on["auth_on_register"] = lambda call: ok(
        {"subscriber_id": {"mountpoint": "", "client_id": "other"}})
    broker = start({"unmapped_modifiers": "ignore"})
    broker.connected("c1")
    broker.wait_log("pinfold: modifier subscriber_id: .*ignored")


def test_harmless_modifiers_are_said_once(fake, start):
    fake.on["auth_on_register"] = lambda call: ok({"max_message_size": 10, "upgrade_qos": True})
    broker = start()
    broker.connected("c1")
    broker.connected("c2")
    assert broker.log().count("modifier max_message_size") == 1
    assert broker.log().count("modifier upgrade_qos") == 1


def test_a_session_may_be_narrowed(fake, start):
    fake.on["auth_on_register"] = lambda call: ok({"allow_publish": False,
                                                   "allow_subscribe": False})
    broker = start()
    client = broker.connected("c1")
    assert client.subscribe([("a", 0)]) == [0x80]
    client.publish("a", b"x", 1)
    assert fake.seen("auth_on_publish") == fake.seen("auth_on_subscribe") == []


# ---- verdicts of a publish -----------------------------------------------------------

@pytest.mark.parametrize("verdict", [deny(), nobody("timeout")])
@pytest.mark.parametrize("version,code", [(4, 0), (5, 0x87)])
def test_publish_denied(fake, start, version, code, verdict):
    broker = start()
    listener = broker.connected("l")
    listener.subscribe([("#", 2)])
    fake.on["auth_on_publish"] = fake.on["auth_on_publish_m5"] = lambda call: verdict
    fake.observed.add("on_publish")
    client = broker.connected("c1", version=version)
    assert client.publish("a", b"x", 1) == code
    assert client.publish("a", b"x", 2) == code
    client.publish("a", b"x", 0)
    listener.nothing(through=client)
    assert fake.seen("on_publish") == []


def test_publish_nobody_answered_is_denied_by_mosquitto(fake, start):
    fake.on["auth_on_publish"] = lambda call: nobody()
    broker = start()
    listener = broker.connected("l")
    listener.subscribe([("#", 2)])
    client = broker.connected("c1")
    client.publish("a", b"x", 1)
    listener.nothing(through=client)


def test_publish_nobody_answered_is_for_the_acl_file(fake, start, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite open\n")
    acl.chmod(0o600)
    fake.on["auth_on_publish"] = lambda call: nobody()
    broker = start(lines=[f"acl_file {acl}"])
    listener = broker.connected("l")
    listener.subscribe([("#", 2)])
    client = broker.connected("c1")
    client.publish("closed", b"x", 1)
    client.publish("open", b"x", 1)
    assert listener.message().topic == "open"
    listener.nothing(through=client)


def test_denied_publish_may_end_the_client(fake, start):
    fake.on["auth_on_publish"] = lambda call: deny()
    broker = start({"disconnect_on_denied_publish": "true"})
    client = broker.connected("c1")
    client.send_publish("a", b"x", 1)
    client.wait_closed()
    old = broker.connected("c2", version=3)           # as in VerneMQ, not with 3.1
    assert old.publish("a", b"x", 1) == 0


@pytest.mark.parametrize("version", [4, 5])
def test_publish_is_rewritten(fake, start, version):
    fake.on["auth_on_publish"] = fake.on["auth_on_publish_m5"] = lambda call: ok(
        {"topic": "new/topic", "payload": b"\x00" * 3, "retain": True})
    fake.observed |= {"on_publish", "on_publish_m5"}
    broker = start()
    client = broker.connected("c1", version=version)
    for _ in range(100):                              # memory: seen by a sanitizer
        client.publish("a", b"x", 1)
    listener = broker.connected("l")
    listener.subscribe([("#", 2)])
    message = listener.message()
    assert message[:4] == ("new/topic", b"\x00" * 3, 1, True)
    seen = told(fake, "on_publish_m5" if version == 5 else "on_publish", 100)
    assert (seen["topic"], seen["payload"], seen["retain"]) == ("new/topic", b"\0\0\0", True)


def test_publish_with_an_empty_payload(fake, start):
    fake.on["auth_on_publish"] = lambda call: ok({"payload": b""})
    broker = start()
    client = broker.connected("c1")
    client.subscribe([("a", 1)])
    client.publish("a", b"x", 1)
    assert client.message().payload == b""
    fake.on["auth_on_publish"] = lambda call: ok({"payload": b"full"})
    client.publish("a", b"", 1)
    assert client.message().payload == b"full"


def test_publish_of_a_long_topic(fake, start):
    topic = "t" * 65535
    broker = start()
    client = broker.connected("c1")
    client.subscribe([("#", 1)])
    client.publish(topic, b"x", 1)
    assert client.message().topic == topic
    assert told(fake, "auth_on_publish")["topic"] == topic
    fake.on["auth_on_publish"] = lambda call: ok({"topic": "/" + topic[1:]})
    client.publish("a", b"x", 1)
    assert client.message().topic == "/" + topic[1:]


@pytest.mark.parametrize("mods", [
    {"topic": "a/#"}, {"topic": ""}, {"topic": "a\0b"}, {"topic": b"\xff"},
    {"topic": "x" * 65536}, {"topic": "$SYS/x"}, {"qos": 0}, {"mountpoint": "other"},
    {"properties": {"p_content_type": "a\0b"}}, {"properties": {"p_nothing": 1}}])
def test_publish_with_impossible_modifiers(fake, start, mods):
    fake.on["auth_on_publish_m5"] = lambda call: ok(mods)
    broker = start()
    listener = broker.connected("l")
    listener.subscribe([("#", 1)])
    client = broker.connected("c1", version=5)
    assert client.publish("a", b"x", 1) == 0x87
    listener.nothing(through=client)


def test_publish_with_modifiers_that_change_nothing(fake, start):
    fake.on["auth_on_publish"] = lambda call: ok({"qos": 1, "mountpoint": "", "throttle": 5})
    broker = start()
    client = broker.connected("c1")
    client.subscribe([("a", 1)])
    client.publish("a", b"x", 1)
    assert client.message().payload == b"x"
    broker.wait_log("modifier throttle: .*ignored")


def test_properties_are_merged(fake, start):
    fake.on["auth_on_publish_m5"] = lambda call: ok({"properties": {
        "p_content_type": "new", "p_user_property": [{"k1": "v1"}, {"k3": "v3"}]}})
    broker = start()
    client = broker.connected("c1", version=5)
    client.subscribe([("a", 1)])
    for _ in range(20):
        client.publish("a", b"x", 1, properties=[
            (FORMAT, 1), (CONTENT_TYPE, "old"), (USER, ("k1", "a")), (USER, ("k2", "b")),
            (USER, ("k1", "c")), (CORRELATION, b"\x01")])
        message = client.message()
        assert sorted(p for p in message.properties if p[0] != USER) == [
            (FORMAT, 1), (CONTENT_TYPE, "new"), (CORRELATION, b"\x01")]
        assert [p[1] for p in message.properties if p[0] == USER] == [
            ("k2", "b"), ("k1", "v1"), ("k3", "v3")]


def test_expiry_is_left_to_mosquitto(fake, start):
    fake.on["auth_on_publish_m5"] = lambda call: ok(
        {"properties": {"p_message_expiry_interval": 5, "p_content_type": "t"}})
    broker = start()
    client = broker.connected("c1", version=5)
    client.subscribe([("a", 1)])
    client.publish("a", b"x", 1, properties=[(EXPIRY, 100)])
    properties = dict(client.message().properties)
    assert properties[CONTENT_TYPE] == "t" and 98 <= properties[EXPIRY] <= 100
    broker.wait_log("modifier p_message_expiry_interval: .*ignored")


def test_retained_messages(fake, start):
    broker = start()
    broker.connected("c1").publish("a/b", b"kept", 1, retain=True)
    client = broker.connected("c2")
    client.subscribe([("a/#", 1)])
    assert client.message()[:4] == ("a/b", b"kept", 1, True)


def test_control_is_decided_in_the_check(fake, start):
    seen = []
    fake.on["auth_on_publish_m5"] = lambda call: (seen.append(call.event["topic"]), deny())[1]
    client = start().connected("c1", version=5)
    assert client.publish("$CONTROL/dynamic-security/v1", b"{}", 1) == 0x87
    assert seen == ["$CONTROL/dynamic-security/v1"]


# ---- wills -------------------------------------------------------------------------

@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("way", ["drop", "takeover", "stop"])
def test_wills_are_asked_about(fake, start, version, way):
    """By a lost connection, by a successor, and when Mosquitto itself stops."""
    name = "auth_on_publish_m5" if version == 5 else "auth_on_publish"
    fake.on[name] = lambda call: ok() if call.event["topic"] == "good" else deny()
    broker = start()
    listener = broker.connected("l")
    listener.subscribe([("#", 1)])
    for topic in ("bad", "good"):
        broker.connected(topic, version=version, will={"topic": topic, "payload": b"w",
                                                       "qos": 1})
    if way == "stop":
        broker.process.terminate()
        broker.process.wait(20)
        assert sorted(e["topic"] for e in fake.seen(name)) == ["bad", "good"]
        return
    for topic in ("bad", "good"):
        old = broker.clients[1 if topic == "bad" else 2]
        if way == "drop":
            old.drop()
        else:
            broker.connected(topic, version=version)
    assert listener.message()[:3] == ("good", b"w", 1)
    listener.nothing()
    assert {e["topic"] for e in fake.seen(name)} == {"bad", "good"}


def test_a_will_cannot_be_rewritten(fake, start):
    fake.on["auth_on_publish"] = lambda call: ok({"topic": "other"})
    broker = start()
    listener = broker.connected("l")
    listener.subscribe([("#", 1)])
    broker.connected("c1", will={"topic": "w", "payload": b"w"}).drop()
    broker.wait_log("modifier topic, payload or retain of a will: .*refused")
    listener.nothing()


def test_a_delayed_will_cannot_be_rewritten(fake, start):
    """It is sent long after its client was told as gone."""
    fake.on["auth_on_publish_m5"] = lambda call: (
        ok() if call.event["topic"] == "good" else ok({"topic": "other"}))
    broker = start()
    listener = broker.connected("l")
    listener.subscribe([("#", 1)])
    for topic in ("bad", "good"):
        broker.connected(topic, version=5, will={
            "topic": topic, "payload": b"w", "properties": [(WILL_DELAY, 1)]}).drop()
    assert listener.message().topic == "good"
    broker.wait_log("modifier topic, payload or retain of a will: .*refused")
    listener.nothing()


def test_no_will_after_a_proper_end(fake, start):
    broker = start()
    broker.connected("c1", will={"topic": "w"}).disconnect()
    broker.connected("c2").ping()
    assert fake.seen("auth_on_publish") == []


# ---- verdicts of a subscribe ---------------------------------------------------------

@pytest.mark.parametrize("version,code", [(4, 0x80), (5, 0x87)])
def test_subscribe_denied_filter_by_filter(fake, start, version, code):
    def decide(call):
        return deny() if call.event["topics"][0][0].startswith("no") else ok()

    fake.on["auth_on_subscribe"] = fake.on["auth_on_subscribe_m5"] = decide
    fake.observed |= {"on_subscribe", "on_subscribe_m5"}
    broker = start()
    client = broker.connected("c1", version=version)
    assert client.subscribe([("yes", 1), ("no/#", 1), ("also", 2)]) == [1, code, 2]
    hook = "on_subscribe_m5" if version == 5 else "on_subscribe"
    fake.wait_seen(hook, 2)
    assert [e["topics"][0][0] for e in fake.seen(hook)] == ["yes", "also"]
    client.publish("no/x", b"x", 1)
    client.nothing()


@pytest.mark.parametrize("mods,codes", [
    ([["a", 1]], [1]), ([], [0x80]), ([["a", 0]], [0x80]), ([["b", 1]], [0x80]),
    ([["a", 128]], [0x80]), ([["a", 1], ["b", 1]], [0x80])])
def test_subscribe_cannot_be_rewritten(fake, start, mods, codes):
    fake.on["auth_on_subscribe"] = lambda call: ok(mods)
    assert start().connected("c1").subscribe([("a", 1)]) == codes


@pytest.mark.parametrize("mods,codes", [
    ({"topics": [["a", 1]]}, [1]), ({"topics": [["a", [1, {}]]]}, [1]), ({}, [1]),
    ({"topics": [["a", [1, {"rap": True}]]]}, [0x87]), ({"topics": [["a", 0x87]]}, [0x87])])
def test_subscribe_mods_of_mqtt5(fake, start, mods, codes):
    fake.on["auth_on_subscribe_m5"] = lambda call: ok(mods)
    assert start().connected("c1", version=5).subscribe([("a", 1)]) == codes


def test_unsubscribe_cannot_be_denied(fake, start):
    fake.on["on_unsubscribe"] = lambda call: deny()
    broker = start()
    client = broker.connected("c1")
    client.subscribe([("a", 1)])
    client.unsubscribe(["a"])
    client.publish("a", b"x", 1)
    client.nothing()


def test_unsubscribe_mods_are_left_aside(fake, start):
    fake.on["on_unsubscribe"] = lambda call: ok(["other"])
    broker = start()
    client = broker.connected("c1")
    client.subscribe([("a", 1)])
    client.unsubscribe(["a"])
    broker.wait_log("modifier on_unsubscribe: .*ignored")


# ---- deliver, offline ------------------------------------------------------------------

def test_deliver_table_and_rewriting(fake, start):
    fake.on["on_deliver"] = lambda call: (
        ok({"payload": b"for " + call.event["client_id"].encode(), "topic": "d"})
        if call.event["client_id"] == "c1" else ok())
    broker = start()
    first, second = broker.connected("c1"), broker.connected("c2")
    first.subscribe([("a", 1)])
    second.subscribe([("a", 1)])
    second.publish("a", b"x", 2)
    assert first.message()[:3] == ("d", b"for c1", 1)
    assert second.message()[:3] == ("a", b"x", 1)
    events = {e["client_id"]: e for e in fake.seen("on_deliver")}
    assert events["c2"] == {"mountpoint": "", "client_id": "c2", "qos": 2, "topic": "a",
                            "payload": b"x", "retain": False, "properties": {}}


@pytest.mark.parametrize("verdict", [deny(), nobody(), nobody("script_error"), ok({})])
def test_deliver_cannot_hold_back(fake, start, verdict):
    fake.on["on_deliver"] = lambda call: verdict
    client = start().connected("c1")
    client.subscribe([("a", 1)])
    client.publish("a", b"x", 1)
    assert client.message().payload == b"x"


def test_durable_session(fake, start):
    fake.observed |= {"on_client_wakeup", "on_register", "on_client_offline",
                      "on_client_gone", "on_offline_message"}
    broker = start()
    client = broker.connected("c1", clean=False)
    client.subscribe([("a", 1)])
    client.disconnect()
    told(fake, "on_client_offline")
    other = broker.connected("c2")
    other.publish("a", b"1", 1)
    other.publish("a", b"0", 0)
    again = broker.client("c1", clean=False)
    assert again.connect().present
    assert again.message()[:3] == ("a", b"1", 1)
    again.disconnect()
    fake.wait_seen("on_client_offline", 2)
    assert fake.seen("on_offline_message") == [
        {"mountpoint": "", "client_id": "c1", "qos": 1, "topic": "a", "payload": b"1",
         "retain": False}]
    # Mosquitto tells the end of the first connection twice
    assert fake.seen("on_client_gone") == []
    assert len(fake.seen("on_client_offline")) == 2


def test_takeover(fake, start):
    """Mosquitto tells the end of the old session after the new one's login, and by
    then calls it clean."""
    fake.observed |= {"on_register", "on_client_wakeup", "on_client_offline",
                      "on_client_gone"}
    broker = start()
    broker.connected("c1", clean=False)
    broker.connected("c1", clean=False)
    broker.connected("c1", clean=True)
    broker.connected("c1", clean=True)
    fake.wait_seen("on_register", 4)
    login = ["auth_on_register"]
    new = ["on_client_wakeup", "on_register"]
    assert fake.hooks_seen() == (login + new + login + ["on_client_offline"] + new
                                 + login + ["on_client_offline"] + new
                                 + login + ["on_client_gone"] + new)


def test_many_logins_over_the_same_memory(fake, start):
    fake.observed |= {"on_register", "on_client_gone"}
    fake.on["auth_on_register"] = lambda call: (
        deny() if call.event["client_id"].startswith("bad") else ok())
    broker = start()
    for i in range(100):
        broker.client(f"bad{i}").connect()
        broker.connected(f"good{i % 7}").disconnect()
    fake.wait_seen("on_client_gone", 100)
    assert len(fake.seen("on_register")) == len(fake.seen("on_client_gone")) == 100


# ---- extended authentication ------------------------------------------------------------

def test_extended_authentication(fake, start):
    def on_auth(call):
        data = call.event["properties"].get("p_authentication_data")
        if data == "hello":
            return ok({"reason_code": 24, "properties": {
                "p_authentication_method": "M", "p_authentication_data": "challenge"}})
        return ok({"reason_code": 0 if data == "answer" else 135, "properties": {
            "p_authentication_method": "M", "p_authentication_data": "welcome"}})

    fake.on["on_auth_m5"] = on_auth
    fake.observed |= {"on_register_m5", "on_client_gone"}
    broker = start()

    def login(name, reply):
        return broker.client(name, version=5, username="u",
                             properties=[(AUTH_METHOD, "M"), (AUTH_DATA, "hello")],
                             on_auth=lambda code, props: [(AUTH_METHOD, "M"),
                                                          (AUTH_DATA, reply)])

    client = login("c1", "answer")
    connack = client.connect()
    assert connack.code == 0 and (AUTH_DATA, b"welcome") in connack.properties
    assert client.auths[0] == (24, [(AUTH_METHOD, "M"), (AUTH_DATA, b"challenge")])
    assert fake.seen("on_auth_m5")[1] == {
        "mountpoint": "", "client_id": "c1", "username": "u", "properties": {
            "p_authentication_method": "M", "p_authentication_data": "answer"}}
    assert told(fake, "auth_on_register_m5")["client_id"] == "c1"
    assert login("c2", "wrong").connect().code == 0x87
    assert len(fake.seen("auth_on_register_m5")) == 1
    # once more on the same connection: no second login
    client.on_auth = None
    client.auth(25, [(AUTH_METHOD, "M"), (AUTH_DATA, "answer")])
    client.wait(lambda: len(client.auths) == 2, "AUTH")
    assert client.auths[1][0] == 0
    client.disconnect()
    told(fake, "on_client_gone")
    assert [e["client_id"] for e in fake.seen("on_register_m5")] == ["c1"]
    assert [e["client_id"] for e in fake.seen("on_client_gone")] == ["c1"]


def test_extended_authentication_needs_the_login_too(fake, start):
    fake.on["on_auth_m5"] = lambda call: ok()
    fake.on["auth_on_register_m5"] = lambda call: nobody()
    client = start().client("c1", version=5, properties=[(AUTH_METHOD, "M")])
    assert client.connect().code == 0x87


def test_extended_authentication_that_nobody_serves(fake, start):
    client = start().client("c1", version=5, properties=[(AUTH_METHOD, "M")])
    assert client.connect().code == 0x8c


def test_gone_in_the_middle_of_its_login(fake, start):
    fake.on["on_auth_m5"] = lambda call: ok({"reason_code": 24, "properties": {}})
    fake.observed |= {"on_register", "on_client_gone", "on_client_offline"}
    broker = start()
    old = broker.connected("c1")
    new = broker.client("c1", version=5, properties=[(AUTH_METHOD, "M")])
    new.send_connect()
    new.wait(lambda: new.auths, "AUTH")
    old.publish("a", b"x", 1)                # still there
    new.drop()
    broker.connected("c2").ping()
    assert fake.seen("on_client_gone") == fake.seen("on_client_offline") == []


# ---- the auth cache -----------------------------------------------------------------------

def cached(fake, client_id="c1", **lists):
    """A login that puts an entry into the cache."""
    fake.on["auth_on_register"] = fake.on["auth_on_register_m5"] = lambda call: (
        ok(acl=entry(call.event["client_id"], **lists))
        if call.event["client_id"] == client_id else ok())


@pytest.mark.parametrize("version", [4, 5])
def test_cached_rights_cost_no_message(fake, start, version):
    cached(fake, publish=[rule("a/+"), rule("one", max_qos=1), rule("small", max_payload_size=2),
                          rule("flat", allowed_retain=False)],
           subscribe=[sub_rule("a/#")])
    broker = start()
    listener = broker.connected("l")
    listener.subscribe([("#", 2)])
    client = broker.connected("c1", version=version)
    denied = 0x87 if version == 5 else 0
    bad = 0x87 if version == 5 else 0x80
    assert client.subscribe([("a/b", 1), ("a/#", 0), ("b", 1), ("$share/g/a", 1)]) == [
        1, 0, bad, bad]
    client.unsubscribe(["a/b", "a/#"])
    fake.clear()
    assert client.publish("a/b", b"1", 1) == 0
    for topic, qos, payload, retain in [("a/b/c", 1, b"", False), ("one", 2, b"", False),
                                        ("small", 1, b"123", False), ("flat", 1, b"", True)]:
        assert client.publish(topic, payload, qos, retain) == denied
    for topic, qos, payload in [("one", 1, b"2"), ("small", 1, b"12"), ("flat", 1, b"3")]:
        assert client.publish(topic, payload, qos) == 0
    assert [listener.message().payload for _ in range(4)] == [b"1", b"2", b"12", b"3"]
    listener.nothing(through=client)
    assert fake.hooks_seen() == []


@pytest.mark.parametrize("pattern,code", [("#", 0x87), ("+/x/v1", 0x87), ("$CONTROL/#", 0),
                                          ("$CONTROL/x/v1", 0)])
def test_cached_control_has_to_be_named(fake, start, pattern, code):
    cached(fake, publish=[rule(pattern)])
    client = start().connected("c1", version=5)
    assert client.publish("$CONTROL/x/v1", b"{}", 1) == code


def test_cached_modifiers(fake, start):
    cached(fake, publish=[rule("a", modifiers={"topic": "b", "payload": "p", "properties": {
        "p_user_property": [{"k": "new"}]}})],
        subscribe=[sub_rule("a", modifiers=[["a", 1]]), sub_rule("c", modifiers=[["a", 1]])])
    broker = start()
    listener = broker.connected("l", version=5)
    listener.subscribe([("#", 2)])
    client = broker.connected("c1", version=5)
    client.publish("a", b"x", 1, properties=[(USER, ("k", "old")), (USER, ("j", "1"))])
    message = listener.message()
    assert message[:2] == ("b", b"p")
    assert [p[1] for p in message.properties] == [("j", "1"), ("k", "new")]
    assert client.subscribe([("a", 1), ("c", 1)]) == [1, 0x87]
    assert fake.seen("auth_on_publish_m5") == []


def test_entries_come_and_go_with_sessions(fake, start):
    """A successor is authorised before the old session ends: the oldest goes."""
    cached(fake, publish=[rule("a")])
    broker = start()
    broker.connected("c1")
    client = broker.connected("c1")
    fake.wait_seen("on_client_gone")         # not served, but told because of the cache
    client.publish("a", b"x", 1)
    client.publish("b", b"x", 1)
    assert fake.seen("auth_on_publish") == []
    client.disconnect()
    fake.wait_seen("on_client_gone", 2)
    fake.on["auth_on_register"] = lambda call: ok()
    broker.connected("c1").publish("a", b"x", 1)
    assert len(fake.seen("auth_on_publish")) == 1


@pytest.mark.parametrize("drop", [{"mountpoint": "", "client_id": "c1"}, {"all": True}])
def test_entries_that_pinfold_sends(fake, start, drop):
    broker = start()
    client = broker.connected("c1")
    client.publish("a", b"x", 1)
    assert len(fake.seen("auth_on_publish")) == 1

    def asked():
        before = len(fake.seen("auth_on_publish"))
        client.publish("a", b"x", 1)
        return len(fake.seen("auth_on_publish")) > before

    fake.notify("acl", [entry("c1", publish=[rule("a")])])
    until(lambda: not asked(), what="the entry")
    fake.notify("acl.drop", [drop])
    until(asked, what="the entry to be dropped")


def test_entries_of_another_mountpoint_are_not_ours(fake, start):
    fake.on["auth_on_register"] = lambda call: ok(acl=entry("c1", mountpoint="mp",
                                                            publish=[rule("#")]))
    client = start().connected("c1")
    client.publish("a", b"x", 1)
    assert len(fake.seen("auth_on_publish")) == 1


def test_entries_expire(fake, start):
    fake.on["auth_on_register"] = lambda call: ok(
        acl=entry("c1", publish=[rule("a")], ttl_ms=100))
    client = start().connected("c1")

    def asked():
        client.publish("a", b"x", 1)
        return fake.seen("auth_on_publish")

    until(asked, what="the entry to expire")


@pytest.mark.parametrize("acl", [1, [], {"client_id": 5}, {"publish": "x", "client_id": "c1"}])
def test_nonsense_as_an_entry(fake, start, acl):
    fake.on["auth_on_register"] = lambda call: ok(acl=acl)
    client = start().connected("c1")
    client.publish("a", b"x", 1)
    client.ping()


@pytest.mark.parametrize("version", [4, 5])
def test_let_in_by_certificate(fake, start, tmp_path, version):
    """Mosquitto asks nobody about such a login; all else is checked."""
    cert, key = certs.make(tmp_path)
    fake.observed |= {"on_register", "on_register_m5", "on_client_gone"}
    fake.on["auth_on_publish"] = fake.on["auth_on_publish_m5"] = lambda call: (
        deny() if call.event["topic"] == "bad" else ok({"topic": "new"}))
    broker = start(listener=[f"cafile {cert}", f"certfile {cert}", f"keyfile {key}",
                             "require_certificate true", "use_identity_as_username true"])
    context = ssl.create_default_context(cafile=str(cert))
    context.load_cert_chain(cert, key)
    client = broker.connected("c1", version=version, tls=context)
    assert client.subscribe([("#", 1)]) == [1]
    client.publish("bad", b"x", 1)
    client.publish("a", b"y", 1)
    assert client.message()[:2] == ("new", b"y")
    hook = "auth_on_publish_m5" if version == 5 else "auth_on_publish"
    assert fake.seen(hook)[0]["username"] == "localhost"
    assert fake.ask("mqtt.disconnect", {"mountpoint": "", "client_id": "c1"}) == "ok"
    client.wait_closed()
    told(fake, "on_client_gone")
    assert fake.seen("auth_on_register") == fake.seen("on_register") == []


def test_session_expiry_of_mqtt5_is_assumed(fake, start):
    fake.observed |= {"on_client_offline", "on_client_gone"}
    broker = start()
    broker.connected("c1", version=5, clean=False,
                     properties=[(SESSION_EXPIRY, 60)]).disconnect()
    told(fake, "on_client_offline")
    broker.connected("c2", version=5).disconnect()
    told(fake, "on_client_gone")


def test_closed_is_what_a_client_sees(fake, start):
    broker = start()
    client = broker.connected("c1", version=5)
    assert fake.ask("mqtt.disconnect", {"mountpoint": "", "client_id": "c1"}) == "ok"
    with pytest.raises(Closed):
        while True:
            client.ping()
