#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Healthy scripts that never get a pause: each ends as it should, and keeps
nothing.

    tests/chaos/steady.py [--seconds 20] [--only kv_incr] [--memory 16MiB]
                          [--seed N]

One script after the other, each with a broker of its own, makes garbage and
uses one part of the API, on all lanes of one worker and with more events
waiting than it has lanes, so that no lane is ever without work. The verdict:

    every event answered as the script means it,
    the worker that began is there at the end: its memory was enough,
    pinfoldd grows by less than MAX_GROWTH once it is warm (where nothing is
    stored: what RocksDB takes for that is its own affair).
"""

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.events import full_event  # noqa: E402
from lib.mqtt_scripts import MqttPinfold, publish  # noqa: E402
from lib.rpc import lazy  # noqa: E402
from load import Load, arguments, code_of, count, finish, verdict  # noqa: E402
from overload import rss  # noqa: E402

WINDOW, LANES, CONNECTIONS = 64, 16, 2
CLIENTS = 1000
MAX_GROWTH = 16 << 20
BODY = bytes(range(256)) * 256          # 64 KiB: asked for, not sent along
DATA = {"words.txt": "word\n" * 20000}
GARBAGE = "local t = {} for i = 1, 200 do t[i] = {i, tostring(i)} end\n"
STORES, FAILS = "stores", "fails"

# name -> (text, what to expect of it). `n` is a number that changes.
SCRIPTS = {
    "nothing": ("", ""),
    "kv_get": ('kv.get("k" .. n % 100)\n'
               'if n % 10 == 0 then kv.set("k" .. n % 100, t[1][2]) end', STORES),
    "kv_incr": ('assert(kv.incr("n"))', STORES),
    "kv_incr_many": ('assert(kv.incr("n" .. n % 100))', STORES),
    "kv_cas": ('kv.cas("k" .. n % 50, nil, ctx.id)', STORES),
    "kv_list": ('assert(kv.list("k"))\n'
                'if n % 10 == 0 then kv.set("k" .. n % 100, t[1][2]) end', STORES),
    "kv_set": ('assert(kv.set("k" .. n % 100, ctx.id))\n'
               'kv.delete("k" .. (n + 1) % 100)', STORES),
    "ttl": ('assert(kv.set("k" .. n % 100, ctx.id, {ttl = 1}))', STORES),
    "artifacts": ('assert(artifacts.write("a" .. n % 20, ("x"):rep(20000)))\n'
                  'artifacts.read("a" .. (n + 1) % 20)', STORES),
    "artifact_list": ('assert(artifacts.list())', ""),
    "data_store": ('assert(#data_store.read("words.txt") == 100000)', ""),
    "bus": ('bus.emit("n", {n = n, text = ("x"):rep(200)})', STORES),
    "log": ('log.info("line " .. n, {n = tostring(n)})', ""),
    "body": ('assert(#ctx.req.body == 65536)', ""),
    "headers": ('for k, v in pairs(ctx.req.headers) do\n'
                '  mut.req.set_header("x-" .. k, "1")\nend\n'
                'mut.req.set_body(ctx.req.body:rep(2))', ""),
    "json": ('local s = assert(json.encode({a = t, b = ctx.req.path}))\n'
             'assert(json.decode(s).b == ctx.req.path)', ""),
    "crypto": ('crypto.hash("sha256", ("x"):rep(5000)) base64.encode(t[1][2])', ""),
    "coroutines": ('for i = 1, 20 do\n  local co = coroutine.wrap(function()\n'
                   '    kv.get("k") coroutine.yield(i)\n  end)\n  co()\nend', ""),
    "chunks": ('assert(load("local x = " .. n .. " return x"))()', ""),
    "raises": ('error("as it should: " .. n)', FAILS),
    "raises_waiting": ('kv.get("k") error({n})', FAILS),
}

KEPT = "last = (last or 0) + 1 kept = {last, ctx.id}\nassert(kv.incr('n'))"

MQTT = {
    "ets": ('kv.insert("t", {key = "k" .. n % 100, v = t[3]})\n'
            'kv.lookup("t", "k" .. (n + 1) % 100)', ""),
    "cache": ('auth_cache.insert(p.mountpoint, p.client_id, "u", '
              '{{pattern = "a/+"}}, {})\n'
              'auth_cache.match_publish(p.mountpoint, p.client_id, "a/b", 0, '
              '"x", false)', ""),
    "mqtt_json": ('json.decode(json.encode(p))', ""),
    "mqtt_mods": ('return {topic = "c/" .. n, payload = ("y"):rep(500)}', ""),
    "mqtt_fails": ('error("as it should")', FAILS),
}


class Steady(Load):
    def __init__(self, broker, name, mqtt):
        super().__init__(broker, WINDOW)
        self.name_, self.mqtt, self.codes = name, mqtt, {}
        self.client.hello(caps=("mqtt",) if mqtt else ("lazy_body",))

    def event(self, n):
        if self.mqtt:
            client_id = f"{self.name_}.{n % CLIENTS}"
            return "auth_on_publish", publish(client_id, topic="a/b")
        event = full_event("before_request", f"{self.name_}.{n}")
        event["req"]["path"] = f"/{n}"
        if self.name_ == "body":
            event["req"]["body"] = lazy(BODY)
        return "before_request", event

    def send(self, waiting):
        super().send(waiting)
        if self.name_ == "body":
            self.client.bodies[self.client._next] = {"req.body": BODY}

    def take(self, msgid, waiting):
        self.client.bodies.pop(msgid, None)
        super().take(msgid, waiting)

    def took(self, n, hook, error, result):
        count(self.codes, code_of(error, result))


def broker_of(name, text, memory):
    """A broker with that one script."""
    limits = {"memory": memory, "workers": 1, "concurrency": LANES,
              "on_error": "skip"}
    config = {"log": {"level": "warn"}, "limits": {"log_lines": 1}}
    if name in MQTT:
        file = (f'num_states = {LANES}\nkv.ensure_table({{name = "t"}})\n'
                "hooks = {auth_on_publish = function(p)\n"
                f"local n = tonumber(p.client_id:match('%d+'))\n{GARBAGE}{text}\n"
                "end}\n")
        del limits["concurrency"]
        mqtt = {"scripts": {name: {"file": "lua/steady/one.lua", **limits}}}
        return MqttPinfold({"steady/one.lua": file}, mqtt, config)
    if name == "kept":
        limits.update(globals="script", concurrency=1)
    head = f"local n = tonumber(ctx.id:match('%d+$'))\n{GARBAGE}"
    return MqttPinfold(None, None, config, data=DATA, settings={name: limits},
                       scripts={name: {"before_request": head + text}})


def judge(name, wants, codes, deaths, growth):
    wrong = []
    good = "script_error" if wants == FAILS else "ok"
    if set(codes) != {good}:
        wrong.append(f"{name}: {codes}, and not {good} alone")
    if deaths:
        wrong.append(f"{name}: {deaths} workers have ended")
    if wants != STORES and growth > MAX_GROWTH:
        wrong.append(f"{name}: pinfoldd grew by {growth >> 10} KiB")
    return wrong


def run_one(name, text, wants, seconds, memory, out):
    with broker_of(name, text, memory) as broker:
        loads = [Steady(broker, name, name in MQTT) for _ in range(CONNECTIONS)]
        for load in loads:
            load.start()
        time.sleep(seconds / 3)
        warm = rss(broker.pid)
        time.sleep(seconds * 2 / 3)
        growth = rss(broker.pid) - warm
        wrong, codes = finish(loads), {}
        for load in loads:
            for code, n in load.codes.items():
                count(codes, code, n)
        deaths = broker.log().count(" worker ended ")
        out(f"{name:15} {codes}, pinfoldd {growth / (1 << 20):+.1f} MiB")
        if deaths:
            out(broker.log()[-2000:])
    return wrong + judge(name, wants, codes, deaths, growth)


def run(seconds, seed, only="", memory="16MiB", out=print):
    """`seconds` for each. The verdict: a list of what was wrong."""
    wrong = []
    every = {**SCRIPTS, "kept": (KEPT, STORES), **MQTT}
    names = only.split(",") if only else list(every)
    random.Random(seed).shuffle(names)
    for name in names:
        text, wants = every[name]
        wrong += run_one(name, text, wants, seconds, memory, out)
    return wrong


def main():
    args = arguments(seconds=20.0, only="", memory="16MiB")
    return verdict("steady", run(args.seconds, args.seed, args.only, args.memory))


if __name__ == "__main__":
    sys.exit(main())
