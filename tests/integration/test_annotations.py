# SPDX-License-Identifier: Apache-2.0
"""scripts/_annotations.lua says exactly what a worker exports.

Scripts list the globals, functions and fields that they see; the list goes
through kv and is compared with what the annotations declare.
"""

import json
import re

import pytest

from lib.events import full_event
from lib.pinfold import ROOT, Pinfold
from lib.wait import until

TEXT = (ROOT / "scripts/_annotations.lua").read_text()

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


def declared_functions():
    return {f"{name}()" for name in
            re.findall(r"^function ([\w.]+)\(", TEXT, re.M)}


def declared_globals():
    return set(re.findall(r"^(\w+) = ", TEXT, re.M))


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
