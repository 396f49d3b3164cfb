# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/scripts-mqtt.md run, in a real worker. What they ask of
databases is answered here, as the page says that databases answer."""

import re

import pytest

from lib.examples import examples, with_checks
from lib.fake_broker import Refuse
from lib.fake_libs import LibWorker
from lib.mqtt_worker import HOOKS
from lib.pinfold import ROOT

PAGE = (ROOT / "docs/scripts-mqtt.md").read_text()
EXAMPLES = examples(PAGE)
COMMON = {"mountpoint": "", "client_id": "c1", "username": "ann"}
REGISTER = {**COMMON, "addr": "192.0.2.1", "port": 4711, "password": "secret"}
PUBLISH = {**COMMON, "topic": "a/b", "payload": b"\0pay", "qos": 1, "retain": False}
AUTH = {**COMMON, "properties": {"p_authentication_method": "x",
                                 "p_authentication_data": "right"}}
EVENTS = {
    "auth_on_register": {**REGISTER, "clean_session": True},
    "auth_on_register_m5": {**REGISTER, "clean_start": True, "properties": {}},
    "auth_on_publish": PUBLISH, "auth_on_publish_m5": {**PUBLISH, "properties": {}},
    "auth_on_subscribe": {**COMMON, "topics": [["public/x", 1], ["b", 0]]},
    "auth_on_subscribe_m5": {**COMMON, "properties": {}, "topics": [
        ["a", [1, {"no_local": False, "rap": False}]]]},
    "on_auth_m5": AUTH, "on_unsubscribe": {**COMMON, "topics": ["a"]},
    "on_deliver": {**PUBLISH, "properties": {}}, "on_register": REGISTER,
    "on_publish": PUBLISH, "on_client_gone": COMMON,
}
# Which answers the hooks of the examples come to.
VERDICTS = {"auth_on_register": {"ok", "next"}}


def rows(pool, sql, *args):
    if pool in ("nobody", "gone"):
        raise Refuse("badarg" if pool == "nobody" else "unavailable", "why")
    if "users" in sql and sql.startswith("SELECT"):
        return [{"name": args[0]}]
    if sql.startswith("SELECT NULL"):
        return [{"nothing": None, "f": 1.5}]
    if sql.startswith("SELECT 1"):
        return [{"one": 1}]
    if sql.startswith("SELECT *"):
        return [{"id": args[0], "name": "one"}]
    if sql.startswith("CREATE"):
        return []
    return args != (99,)


class Redis:
    def __init__(self):
        self.values = {}

    def cmd(self, pool, command, *args):
        words = command.split(" ") + list(args)
        if words[0] == "SET":
            self.values[words[1]] = words[2]
            return True
        if words[0] == "get":
            return self.values.get(words[1])
        if words[0] == "incr":
            return "1"
        return False


class Memcached:
    def __init__(self):
        self.values = {}

    def get(self, pool, key):
        return self.values.get(key, False)

    def put(self, pool, key, value, expire):
        self.values[key] = value
        return value

    def add(self, pool, key, value, expire):
        return key not in self.values and self.put(pool, key, value, expire)

    def delete(self, pool, key):
        return self.values.pop(key, None) is not None


def mongodb():
    docs = iter([{"name": "ann"}])
    return {
        "insert": lambda pool, c, doc: {**doc, "_id": "vmq-objid\x001234567890a"},
        "find_one": lambda pool, c, selector, options:
            "_id" in selector and {"name": "ann"},
        "update": lambda *a: True, "delete": lambda *a: True,
        "find": lambda *a: "mongo-cursor-1", "next": lambda *a: next(docs, False),
        "take": lambda *a: False, "close": lambda *a: True}


def http(status, ref=b""):
    def answer(pool, url, *rest):
        if "down" in url:
            return False
        return {"status": status, "headers": {}, "ref": ref}
    return answer


def providers():
    redis, memcached = Redis(), Memcached()
    methods = {"postgres": "crypt", "cockroachdb": "sha256",
               "mysql": "PASSWORD(?)", "mysql2": "SHA2(?, 256)"}
    found = {("redis", "cmd"): redis.cmd, ("memcached", "get"): memcached.get,
             ("memcached", "set"): memcached.put,
             ("memcached", "replace"): memcached.put,
             ("memcached", "add"): memcached.add,
             ("memcached", "delete"): memcached.delete,
             ("memcached", "flush_all"): lambda pool: True,
             ("http", "post"): http(200, b'{"ok":true}'), ("http", "put"): http(204),
             ("http", "get"): http(404), ("http", "delete"): http(204)}
    for name, method in methods.items():
        found[name, "execute"] = rows
        found[name, "hash_method"] = lambda pool, method=method: method
    found.update({("mongodb", op): f for op, f in mongodb().items()})
    return found


def worker(text):
    return LibWorker(text, files={"lib/words.lua": ""}, providers=providers())


def test_there_are_examples():
    words = [word for word, _ in EXAMPLES]
    assert set(words) == {"script", "load"}
    assert words.count("script") >= 3 and words.count("load") >= 18
    assert sum(text.count("-->") for _, text in EXAMPLES) >= 90


@pytest.mark.parametrize("word, text", EXAMPLES, ids=[
    f"{n}-{word}" for n, (word, _) in enumerate(EXAMPLES)])
def test_example(word, text):
    if word == "load":
        with worker(with_checks(text)) as w:
            assert w.loaded["hooks"] == []
        return
    with worker(text) as w:
        assert w.hooks
        for hook in w.hooks:
            allowed = VERDICTS.get(hook, {"ok"} if HOOKS.index(hook) < 11
                                   else {"next"})
            verdict = w.end_hook(w.begin_hook(hook, EVENTS[hook]))
            assert verdict.verdict in allowed, (hook, verdict.answer, w.logs)


def test_every_hook_is_on_the_page():
    for hook in HOOKS:
        assert re.search(rf"^\| .*\b{hook}\b", PAGE, re.M), hook


def test_modifiers_are_those_of_the_tables():
    """Every modifier that is checked is named on the page."""
    source = (ROOT / "proto/mods.c").read_text()
    names = set(re.findall(r'^\t\{"(\w+)", MODS_', source, re.M))
    assert len(names) >= 30
    missing = {name for name in names if not re.search(rf"\b{name}\b", PAGE)}
    assert missing == set()
