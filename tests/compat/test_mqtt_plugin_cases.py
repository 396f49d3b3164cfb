# SPDX-License-Identifier: Apache-2.0
"""VerneMQ's plugin cases, hook by hook over the socket: made-up peers and
clients, whose id says what scripts/plugin.lua answers."""

from pathlib import Path

import pytest

from lib.mqtt_scripts import MqttPinfold

SCRIPT = Path(__file__).parent / "scripts" / "plugin.lua"

ALLOWED = "allowed-subscriber-id"
NOT_ALLOWED = "not-allowed-subscriber-id"
IGNORED = "ignored-subscriber-id"
CHANGED = "changed-subscriber-id"

OK = {"verdict": "ok", "errors": []}
EXHAUSTED = {"verdict": "next", "reason": "plugin_chain_exhausted", "errors": []}
NEXT = {"verdict": "next", "errors": []}
OPTIONS = {"no_local": False, "rap": False, "retain_handling": "send_retain"}


def deny(reason):
    return {"verdict": "deny", "reason": reason, "errors": []}


def mods(changes):
    return {**OK, "mods": changes}


@pytest.fixture(scope="module")
def broker():
    with MqttPinfold({"plugin.lua": SCRIPT.read_text()}) as p:
        yield p


@pytest.fixture
def ask(broker):
    client = broker.mqtt()
    return lambda hook, event: client.call(hook, [event])


# --- events

def who(client_id):
    return {"mountpoint": "", "client_id": client_id, "username": "test-user"}


def peer(client_id):
    return {**who(client_id), "addr": "192.168.123.123", "port": 12345}


def register(client_id, **more):
    return {**peer(client_id), "password": "test-password",
            "clean_session": True, **more}


def register_m5(client_id, **more):
    event = register(client_id, clean_start=True, properties={}, **more)
    del event["clean_session"]
    return event


def message(client_id, **more):
    return {**who(client_id), "topic": "test/topic", "qos": 1, "retain": False,
            "payload": "hello world", **more}


def subscribe(client_id):
    return {**who(client_id), "topics": [["test/topic", 1], ["test/other", 1]]}


def subscribe_m5(client_id):
    return {**who(client_id), "properties": {},
            "topics": [["test/topic", [1, OPTIONS]]]}


def unsubscribe(client_id, **more):
    return {**who(client_id), "topics": ["test/topic"], **more}


def session(client_id=ALLOWED):
    return {"mountpoint": "", "client_id": client_id}


# --- registering

@pytest.mark.parametrize("hook, event", [
    ("auth_on_register", register), ("auth_on_register_m5", register_m5)])
def test_auth_on_register(ask, hook, event):
    assert ask(hook, event(ALLOWED)) == OK
    assert ask(hook, event(NOT_ALLOWED)) == deny("invalid_credentials")
    assert ask(hook, event(IGNORED)) == EXHAUSTED
    assert ask(hook, event(CHANGED)) == mods({"subscriber_id": {
        "mountpoint": "override-mountpoint", "client_id": "override-client-id"}})
    assert ask(hook, event("changed-username")) == mods(
        {"username": "override-username"})


def test_auth_on_register_change_modifiers(ask):
    assert ask("auth_on_register", register("change-modifiers-id")) == mods(
        {"max_message_size": 1001, "max_connection_lifetime": 4711})


@pytest.mark.parametrize("hook, event", [
    ("auth_on_register", register), ("auth_on_register_m5", register_m5)])
def test_auth_on_register_listener_info(ask, hook, event):
    assert ask(hook, event("listener-info", listener_addr="127.0.0.1",
                           listener_port=1883, listener_type="mqtt")) == OK


@pytest.mark.parametrize("hook, event", [
    ("auth_on_register", register), ("auth_on_register_m5", register_m5)])
def test_auth_on_register_undefined_creds(ask, hook, event):
    assert ask(hook, event("undefined_creds", username=None,
                           password=None)) == OK


def test_on_auth_m5(ask):
    method = {"p_authentication_method": "AUTH_METHOD"}
    event = {**who(ALLOWED), "properties": {
        **method, "p_authentication_data": "AUTH_DATA0"}}
    assert ask("on_auth_m5", event) == mods({"reason_code": 0, "properties": {
        **method, "p_authentication_data": "AUTH_DATA1"}})
    event["properties"]["p_authentication_data"] = "other"
    assert ask("on_auth_m5", event) == deny("invalid_credentials")


# --- publishing

@pytest.mark.parametrize("hook, more", [
    ("auth_on_publish", {}), ("auth_on_publish_m5", {"properties": {}})])
def test_auth_on_publish(ask, hook, more):
    assert ask(hook, message(ALLOWED, **more)) == OK
    assert ask(hook, message(NOT_ALLOWED, **more)) == deny("not_authorized")
    assert ask(hook, message(IGNORED, **more)) == EXHAUSTED
    assert ask(hook, message(CHANGED, **more)) == mods({"topic": "hello/world"})


SENT = {"p_user_property": [{"k1": "v1"}, {"k2": "v2"}, {"k1": "v2"}, {"k4": "v4"}],
        "p_response_topic": "response/topic",
        "p_payload_format_indicator": "utf8"}


def test_auth_on_publish_m5_modify_props(ask):
    """What the modifier names wins; its user properties go behind what is left
    of the message's."""
    assert ask("auth_on_publish_m5", message("modify_props", properties=SENT)) \
        == mods({"properties": {
            "p_user_property": [{"k2": "v2"}, {"k4": "v4"}, {"k1": "v3"},
                                {"k3": "v3"}],
            "p_response_topic": "modified/topic",
            "p_payload_format_indicator": "undefined"}})


@pytest.mark.parametrize("hook, more", [
    ("auth_on_publish", {}), ("auth_on_publish_m5", {"properties": {}})])
@pytest.mark.parametrize("client_id, told", [
    ("invalid_topic_mod", "modifier topic: 5 is no topic"),
    ("unknown_mod", "unknown modifier 'unknown'")])
def test_invalid_modifiers(broker, ask, hook, more, client_id, told):
    assert ask(hook, message(client_id, **more)) == deny("invalid_modifiers")
    broker.wait_log(f"{hook}: invalid_modifiers: {told}")


# --- subscribing

def test_auth_on_subscribe(ask):
    assert ask("auth_on_subscribe", subscribe(ALLOWED)) == OK
    assert ask("auth_on_subscribe", subscribe(NOT_ALLOWED)) == deny(
        "not_authorized")
    assert ask("auth_on_subscribe", subscribe(IGNORED)) == EXHAUSTED
    assert ask("auth_on_subscribe", subscribe(CHANGED)) == mods(
        [["hello/world", 2]])


def test_auth_on_subscribe_m5(ask):
    hook = "auth_on_subscribe_m5"
    assert ask(hook, subscribe_m5(ALLOWED)) == OK
    assert ask(hook, subscribe_m5(NOT_ALLOWED)) == deny("not_authorized")
    assert ask(hook, subscribe_m5(IGNORED)) == EXHAUSTED
    assert ask(hook, subscribe_m5(CHANGED)) == mods(
        {"topics": [["hello/world", [2, {"rap": True}]]]})


def test_on_unsubscribe(ask):
    assert ask("on_unsubscribe", unsubscribe(ALLOWED)) == NEXT
    assert ask("on_unsubscribe", unsubscribe(CHANGED)) == mods(["hello/world"])


def test_on_unsubscribe_m5(ask):
    for client_id in (ALLOWED, CHANGED):
        assert ask("on_unsubscribe_m5", unsubscribe(client_id, properties={})) \
            == mods({"topics": ["hello/world"]})


# --- delivering

def test_on_deliver(ask):
    assert ask("on_deliver", message(ALLOWED)) == OK
    assert ask("on_deliver", message(IGNORED)) == NEXT
    assert ask("on_deliver", message(NOT_ALLOWED)) == deny(
        "lua_script_returned_false")
    assert ask("on_deliver", message(CHANGED)) == mods(
        {"topic": "hello/world", "payload": "changed"})


def test_on_deliver_m5(ask):
    assert ask("on_deliver_m5", message(ALLOWED)) == OK
    answer = ask("on_deliver_m5", message("modify_props", properties=SENT))
    assert answer["verdict"] == "ok"
    properties = answer["mods"]["properties"]
    assert {"k1": "v3"} in properties.pop("p_user_property")
    assert properties == {
        "p_response_topic": "modified/topic", "p_correlation_data": "modified",
        "p_payload_format_indicator": "undefined", "p_content_type": "modified"}


# --- observing

@pytest.mark.parametrize("hook, event", [
    ("on_register", peer(ALLOWED)),
    ("on_register_m5", {**peer(ALLOWED), "properties": {}}),
    ("on_publish", message(ALLOWED)),
    ("on_publish_m5", message(ALLOWED, properties={})),
    ("on_subscribe", subscribe(ALLOWED)),
    ("on_subscribe_m5", subscribe_m5(ALLOWED)),
    ("on_offline_message", {**session(), "topic": "test/topic", "qos": 1,
                            "payload": "hello world", "retain": False}),
    ("on_client_wakeup", session()), ("on_client_offline", session()),
    ("on_client_gone", session()), ("on_session_expired", session())])
def test_observed(ask, hook, event):
    assert ask(hook, event) == NEXT
