# SPDX-License-Identifier: Apache-2.0
"""scripts/_annotations.lua says exactly what a worker exports.

Scripts list the globals, functions and fields that they see; the list goes
through kv and is compared with what the annotations declare.
"""

import json
import re

import pytest

from lib.events import full_event
from lib.mqtt_worker import MqttWorker
from lib.pinfold import ROOT, Pinfold
from lib.wait import until

WHOLE = (ROOT / "scripts/_annotations.lua").read_text()
# What only scripts with a table `hooks` have stands at the end.
TEXT, MQTT = re.split(r"^-+ only in scripts with a table `hooks`.*$", WHOLE,
                      flags=re.M)

# What Lua itself has, and shims of older engines: docs/scripts.md names them.
PLAIN_LUA = set("""
    _G _VERSION assert collectgarbage error getmetatable ipairs load next pairs
    pcall print rawequal rawget rawlen rawset require select setmetatable
    tonumber tostring type warn xpcall string table math utf8 coroutine os debug
    unpack loadstring bit32 eprint package
""".split())
# Only in some hooks; in the others they are nil.
ONLY_IN = {"ctx": None, "err": "error", "opts": "flush", "ws": "ws_msg",
           "event": "bus"}
CLASSES = {"Context": "ctx", "Request": "ctx.req", "Response": "ctx.resp",
           "ErrorInfo": "err", "Options": "opts", "WebSocketMessage": "ws",
           "BusEvent": "event"}

SPY = """
local seen = {}
local function look(path, value, depth)
  seen[#seen + 1] = path .. (type(value) == "function" and "()" or "")
  if depth > 0 and type(value) == "table" then
    for key, inner in pairs(value) do
      if type(key) == "string" then
        look(path .. "." .. key, inner, depth - 1)
      end
    end
  end
end
local own = {PLAIN_LUA}
for name, value in pairs(_G) do
  if not own[name] then
    look(name, value, name == "config" and 0 or 2)
  end
end
for _, name in ipairs({"ctx", "err", "opts", "ws", "event", "mut"}) do
  if _G[name] ~= nil then
    look(name, _G[name], 2)
  end
end
kv.set("seen:HOOK", json.encode(seen))
"""
HOOKS = ["connect", "before_request", "before_response", "ws_msg", "error",
         "flush", "bus"]


def spy(hook):
    own = ", ".join(f"{name} = true" for name in sorted(PLAIN_LUA))
    return SPY.replace("PLAIN_LUA", own).replace("HOOK", hook)


@pytest.fixture(scope="module")
def seen():
    """hook -> the set of names that a script sees in it."""
    scripts = {"spy": {hook: spy(hook) for hook in HOOKS},
               "caller": {"ws_close": "bus.emit('spied', {a = 1})",
                          "ws_open": "error('for error.lua')"}}
    settings = {"spy": {"subscribe": ["spied"], "config": {"a": 1}}}
    found = {}
    with Pinfold(scripts=scripts, settings=settings) as pinfold:
        client, control = pinfold.client(), pinfold.control_client()
        for hook in HOOKS + ["ws_close", "ws_open"]:
            if hook not in ("error", "bus"):    # these the broker makes
                client.call(hook, [full_event(hook)])
        for hook in HOOKS:
            value = until(lambda: control.call("kv.get", [f"seen:{hook}"]),
                          what=f"script listed its names in {hook}")
            found[hook] = set(json.loads(value))
    return found


def declared_functions(text=TEXT):
    return {f"{name}()" for name in
            re.findall(r"^function ([\w.]+)\(", text, re.M)}


def declared_globals(text=TEXT):
    return set(re.findall(r"^(\w+) = ", text, re.M))


def declared_fields(name):
    block = re.search(rf"^---@class {name}\n((?:---@field .*\n)+)", TEXT, re.M)
    return set(re.findall(r"---@field (\w+)", block[1]))


def test_globals(seen):
    for hook, names in seen.items():
        exported = {n.split(".")[0].rstrip("()") for n in names}
        absent = {n for n, only in ONLY_IN.items() if only and only != hook}
        if hook in ("flush", "bus"):
            absent.add("ctx")
        assert exported == declared_globals() - PLAIN_LUA - absent, hook


def test_functions(seen):
    exported = {n for names in seen.values() for n in names if n.endswith("()")}
    declared = {n for n in declared_functions()
                if n.rstrip("()") not in PLAIN_LUA}
    assert exported == declared


def fields_below(path, names):
    return {n[len(path) + 1:] for n in names
            if n.startswith(path + ".") and "." not in n[len(path) + 1:]}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_fields(seen, name):
    path = CLASSES[name]
    exported = set()
    for names in seen.values():
        exported |= fields_below(path, names)
    assert exported == declared_fields(name)


# What hook files have and scripts with a table `hooks` do not.
HOOK_FILES = {"ctx", "mut", "err", "opts", "ws", "event"}
# What the script sets, not the worker.
OWN = {"hooks", "num_states", "keep_state"}


@pytest.fixture(scope="module")
def seen_mqtt():
    """The names that a script sees while it loads."""
    source = spy("mqtt").replace('kv.set("seen:mqtt", ', "log.info(")
    with MqttWorker(source, {"config": {"a": 1}}) as worker:
        return set(json.loads(worker.logs[-1][2]))


def test_mqtt_globals(seen_mqtt):
    exported = {n.split(".")[0].rstrip("()") for n in seen_mqtt}
    assert exported == (declared_globals(WHOLE) - PLAIN_LUA - HOOK_FILES - OWN)


def test_mqtt_functions(seen_mqtt):
    exported = {n for n in seen_mqtt if n.endswith("()")}
    declared = {n for n in declared_functions(WHOLE)
                if n.rstrip("()").split(".")[0] not in PLAIN_LUA | HOOK_FILES}
    assert exported == declared


def test_nothing_is_declared_twice():
    names = re.findall(r"^function ([\w.]+)\(|^([\w.]+) = ", WHOLE, re.M)
    assert len(names) == len(set(names))
    assert declared_functions(MQTT) & declared_functions(TEXT) == set()
