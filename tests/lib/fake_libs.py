# SPDX-License-Identifier: Apache-2.0
"""A real worker whose calls of VerneMQ's libraries are answered here: tables of
kv and the auth cache as dicts, bcrypt as something that behaves like it, and
providers by functions of the test.

    worker = LibWorker(source)
    worker.providers["redis", "cmd"] = lambda pool, *args: "v"
"""

import hashlib

from .fake_broker import Refuse, as_bytes
from .mqtt_worker import MqttWorker


def fits(pattern, topic):
    if pattern[:1] == ["#"]:
        return True
    if not pattern or not topic:
        return pattern == topic
    return pattern[0] in ("+", topic[0]) and fits(pattern[1:], topic[1:])


class Libs:
    """The broker's side of the calls; mixed into a worker."""

    def init_libs(self):
        self.tables = {}
        self.cache = {}
        self.pools = {}
        self.providers = {}
        self.mqtt = []              # what the MQTT broker was asked to do
        self.warnings = []          # what auth_cache.insert complains about

    # kv's tables

    def table(self, name):
        if as_bytes(name) not in self.tables:
            raise Refuse("badarg", f"no table '{name}'")
        return self.tables[as_bytes(name)]

    def do_ets_ensure_table(self, name, kind):
        self.tables.setdefault(as_bytes(name), {"type": kind, "rows": {}})
        return True

    def do_ets_insert(self, name, rows):
        table = self.table(name)
        for key, value in rows.items():
            if table["type"] in ("set", "ordered_set"):
                table["rows"][as_bytes(key)] = [value]
            else:
                values = table["rows"].setdefault(as_bytes(key), [])
                if table["type"] == "duplicate_bag" or value not in values:
                    values.append(value)
        return True

    def do_ets_insert_new(self, name, rows):
        if any(as_bytes(key) in self.table(name)["rows"] for key in rows):
            return False
        return self.do_ets_insert(name, rows)

    def do_ets_lookup(self, name, key):
        return self.table(name)["rows"].get(as_bytes(key), [])

    def do_ets_delete(self, name, key):
        self.table(name)["rows"].pop(as_bytes(key), None)
        return True

    def do_ets_delete_all(self, name):
        self.table(name)["rows"].clear()
        return True

    # auth_cache

    def do_cache_insert(self, *entry):
        self.cache[entry[:2]] = entry[2:]
        return self.warnings

    def rule(self, direction, mountpoint, client_id, topic, qos):
        """What the first rule that fits says; the real match is the broker's."""
        entry = self.cache.get((mountpoint, client_id), (None, None, None, 0))
        words = {"%m": mountpoint, "%c": client_id, "%u": entry[0]}
        for rule in entry[direction] or []:
            pattern = [words.get(w, w) for w in rule["pattern"].split("/")]
            if fits(pattern, topic.split("/")) and qos <= rule.get("max_qos", 2):
                return rule.get("modifiers", True)
        return False

    def do_cache_match_publish(self, mountpoint, client_id, topic, qos, *rest):
        if "#" in topic or "+" in topic:
            raise Refuse("badarg", f"'{topic}' is no topic")
        return self.rule(1, mountpoint, client_id, topic, qos)

    def do_cache_match_subscribe(self, mountpoint, client_id, topic, qos):
        return self.rule(2, mountpoint, client_id, topic, qos)

    # vmq_api

    def do_mqtt_disconnect(self, *args):
        self.mqtt.append(("disconnect", *args))
        return "not_found"

    def do_mqtt_reauthorize(self, *args):
        self.mqtt.append(("reauthorize", *args))
        return "ok"

    def do_mqtt_publish(self, message):
        self.mqtt.append(("publish", message))
        return "ok"

    # bcrypt: not its numbers, but its shape

    def do_bcrypt_salt(self):
        return "$2a$12$" + "abcdefghijklmnopqrstuu"

    def do_bcrypt_hash(self, password, salt):
        if len(salt) < 29 or not salt.startswith("$2a$"):
            raise Refuse("badarg", "the salt is none")
        digest = hashlib.sha256(as_bytes(salt[:29]) + as_bytes(password))
        return salt[:29] + digest.hexdigest()[:31]

    # the gateway

    def do_provider_call(self, provider, op, pool, args):
        if op == "ensure_pool":
            self.pools.setdefault((provider, pool), args[0])
            return True
        function = self.providers.get((provider, op))
        if function is None:
            raise Refuse("badarg", f"unknown_pool {pool}")
        return function(pool, *args)


class LibWorker(Libs, MqttWorker):
    def __init__(self, *args, providers=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.init_libs()
        self.providers.update(providers or {})
