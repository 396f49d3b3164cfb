# SPDX-License-Identifier: Apache-2.0
"""Scripts that check themselves while they load, as VerneMQ's acceptance tests
do, with a broker, its gateway and private servers. A script is in order when
every assert held, and its hook then lets a client in."""

import contextlib
import json
from collections import Counter
from pathlib import Path

import pytest

from lib import mongo, servers
from lib.gateway import free_port, memcached_server, redis_server
from lib.mqtt_scripts import MqttPinfold, publish, register, subscribe

SCRIPTS = Path(__file__).parent / "scripts"
USER = {"user": "vmq_test_user", "password": "vmq_test_password",
        "database": "vmq_test_database"}


def text(name, **words):
    """The script, with @WORD@ replaced."""
    source = (SCRIPTS / f"{name}.lua").read_text()
    for word, value in words.items():
        source = source.replace(f"@{word.upper()}@", str(value))
    return source


def as_lua(settings):
    """The inside of a table."""
    return ", ".join(f"{k} = {json.dumps(v)}" for k, v in settings.items())


@contextlib.contextmanager
def loaded(name, config=None, **words):
    """A broker whose script has been loaded without an error."""
    with MqttPinfold({f"{name}.lua": text(name, **words)}, {
            "bcrypt": {"default_log_rounds": 4}, **(config or {})}) as p:
        script = p.control_client().call("script.show", [name])
        assert script["state"] == "ready", p.log()
        yield p


def lets_in(p):
    answer = p.mqtt().call("auth_on_register", [register("a client")], timeout=20)
    assert answer == {"verdict": "ok", "errors": []}, p.log()


def owned(server):
    """With the names that VerneMQ's tests use."""
    for key, value in USER.items():
        setattr(server, key, value)
    return server


# --- without a server

@pytest.mark.parametrize("name", ["json_test", "ets_test", "bcrypt_test",
                                  "vmq_api_test", "crypto_test"])
def test_script(name):
    with loaded(name) as p:
        lets_in(p)


def test_log():
    with loaded("log_test", {}) as p:
        lets_in(p)
        for line in (r"info +log +an info, ~p ~s ~~ %d ",
                     "error +log +an error, ~p ", "warn +log +a warning, ~n ",
                     "info +log +registered: a client "):
            p.wait_log(line + ".*script=log_test")


def test_cache():
    with loaded("cache_test") as p:
        client = p.mqtt()
        event = publish("client", topic="a/b/c")
        assert client.call("auth_on_publish", [event])["mods"] == {
            "topic": "asked/lua"}
        client.call("auth_on_register", [register()])
        assert client.call("auth_on_publish", [event]) == {"verdict": "ok",
                                                           "errors": []}
        answer = client.call("auth_on_subscribe", [subscribe(topics=[("b", 0)])])
        assert answer["verdict"] == "deny"


def test_balance():
    """All states have as many calls as the others, while many wait."""
    settings = {"scripts": {"balance": {"file": "balance.lua",
                                        "memory": "256MiB"}}}
    with loaded("balance", settings) as p:
        client = p.mqtt()
        client.timeout = 60
        calls, window, got = 10000, 1000, Counter()
        sent = []
        for i in range(calls + window):
            if i < calls:
                sent.append(client.send("auth_on_register", [register(f"c{i}")]))
            if i >= window:
                got[client.wait(sent[i - window])["mods"]["username"]] += 1
        assert len(got) == 100
        expected = calls / 100
        assert sum((n - expected) ** 2 / expected for n in got.values()) < 13


# --- with one

def test_http(origin):
    words = {"url": origin.url("").rstrip("/"),
             "dead": f"http://127.0.0.1:{free_port()}"}
    with loaded("http_test", **words) as p:
        posted, = [r for r in origin.requests if r.target == "/posted"]
        assert posted.method == "POST" and posted.get("X-Own") == "1"
        assert posted.get("Content-Type") == "application/json"
        assert json.loads(posted.body) == {"user": "u", "list": [1, 2]}
        lets_in(p)
        put, = [r for r in origin.requests if r.target == "/put"]
        assert put.method == "PUT" and put.body == b"client=a+client"


def test_postgres():
    with owned(servers.postgres()) as server:
        with loaded("postgres_test", settings=as_lua(server.settings())) as p:
            lets_in(p)


def test_mysql():
    with owned(servers.mariadb()) as server:
        with loaded("mysql_test", settings=as_lua(server.settings())) as p:
            lets_in(p)


def test_redis(tmp_path):
    with redis_server(tmp_path) as server:
        with loaded("redis_test", port=server.port) as p:
            lets_in(p)


def test_memcached():
    with memcached_server() as server:
        with loaded("memcached_test", port=server.port) as p:
            lets_in(p)


@contextlib.contextmanager
def mongodb(where="admin"):
    """Its settings; the user belongs to the database `where`."""
    with owned(mongo.mongodb(auth=where)) as server:
        yield as_lua(server.settings())


def test_mongodb():
    with mongodb() as settings:
        with loaded("mongodb_test", settings=settings) as p:
            lets_in(p)


def test_mongodb_auth_source():
    with mongodb("core") as settings:
        with loaded("mongodb_auth_source_test", settings=settings) as p:
            lets_in(p)


# --- with one that is not there

@pytest.mark.parametrize("name", ["postgres_error_test", "mongodb_error_test"])
def test_error(name):
    with loaded(name, port=free_port()) as p:
        answer = p.mqtt().call("auth_on_register", [register()], timeout=20)
        assert answer["verdict"] == "next"
        assert answer["reason"] == "plugin_chain_exhausted"
        error, = answer["errors"]
        assert error["code"] == "script_error"
        assert error["message"].startswith(f"{name}.lua:"), error
        assert "unavailable" in error["message"], error


def test_auth_hooks_offline_db():
    """Behind a script that answers `next`: nobody lets the client in."""
    client_id = "ignored-subscriber-id"
    peer = {"username": "test-user", "addr": "192.168.123.123", "port": 12345,
            "password": "test-password"}
    message = {"username": "test-user", "topic": "test/topic",
               "payload": "hello world"}
    topics = [["test/topic", 1], ["test/other", 1]]
    options = {"no_local": False, "rap": False, "retain_handling": "send_retain"}
    events = {
        "auth_on_register": register(client_id, **peer),
        "auth_on_register_m5": register(client_id, **peer, clean_start=True,
                                        properties={}),
        "auth_on_publish": publish(client_id, **message),
        "auth_on_publish_m5": publish(client_id, **message, properties={}),
        "auth_on_subscribe": subscribe(client_id, topics, username="test-user"),
        "auth_on_subscribe_m5": subscribe(
            client_id, [["test/topic", [1, options]]], username="test-user",
            properties={}),
        "on_auth_m5": {"mountpoint": "", "client_id": client_id,
                       "username": "test-user", "properties": {
                           "p_authentication_method": "AUTH_METHOD"}},
    }
    files = {"plugin.lua": text("plugin"),
             "z.lua": text("auth_hooks_offline_db_test", port=free_port())}
    with MqttPinfold(files) as p:
        client = p.mqtt()
        for hook, event in events.items():
            answer = client.call(hook, [event], timeout=20)
            assert answer["verdict"] == "next", hook
            assert answer["reason"] == "plugin_chain_exhausted"
            assert [(e["script"], e["code"]) for e in answer["errors"]] == [
                ("z", "script_error")], answer
