#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Lua's own test suite, each file a script: nothing gets out, nobody else
notices.

    tests/chaos/lua_suite.py DIR [--only strings,pm] [--timeout 5]

DIR holds the suite's files, `testes` of a Lua 5.4 source tree. They are not
ours and not here. Each becomes a hook file and gets two events: as it stands,
where the first assertion that needs something scripts do not have ends it; and
with an assert that lets everything pass and stand-ins for io and the like, so
that as much of it runs as can. Programs with sanitizers limit no memory: give
them --only without heavy. The verdict:

    every event answered, with ok, script_error, memory or timeout
        (unavailable: the file does not compile here),
    no worker ended but by its limit of memory, or killed as too late,
    a second script beside it answered right all the time,
    the broker ended with 0.
"""

import argparse
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.pinfold import Pinfold  # noqa: E402
from lib.wait import until  # noqa: E402
from load import Load, code_of, finish, verdict  # noqa: E402

ANSWERED = 60.0
# What the suite expects of whoever runs it; and in the second event, things
# that answer everything with themselves.
SHARED = """
_port, _soft, _nomsg, arg = true, true, true, {}
function Message() end
if ctx.id:find("^on") then
  local meta, it = {}, {}
  local function itself() return it end
  for _, event in ipairs {"call", "index", "add", "sub", "concat", "unm"} do
    meta["__" .. event] = itself
  end
  setmetatable(it, meta)
  io, package, dofile, loadfile, string.dump = it, it, itself, itself, itself
  setmetatable(os, {__index = it})
  setmetatable(debug, {__index = it})
  function assert(...) return ... end
end
"""
MODULES = ("bwcoercion", "tracegc")     # what the suite's files require
BESIDE = 'mut.req.set_path(ctx.req.path .. "/" .. #kv.list(""))'
FINE = {"ok", "script_error", "memory", "timeout"}
MAY_DIE = {("suite", "memory"), ("suite", "timeout")}
ENDED = re.compile(r"worker ended script=(\S+) pid=\d+ cause=(\S+) ")


class Beside(Load):
    def event(self, n):
        return "close", {"id": f"beside{n}", "req": {"path": f"/{n}"}}

    def took(self, n, hook, error, result):
        time.sleep(0.01)
        if code_of(error, result) != "ok" or \
                result["ops"] != [["req.set_path", f"/{n}/0"]]:
            self.wrong.append(f"beside: {n} got {error or result!r}")


def ask(client, hook, event_id):
    """(code, message) of one event."""
    msgid = client.send(hook, [{"id": event_id, "req": {"path": "/"}}])
    try:
        client.wait(msgid, ANSWERED)
    except Exception as error:
        return getattr(error, "code", None) or "unanswered", str(error)
    return "ok", ""


def state_of(control, name):
    for one in control.call("script.list"):
        if one["name"] == name and one["state"] in ("ready", "unavailable"):
            return one["state"]
    return None


def judge(state, answers, deaths):
    """What was wrong: answers as {id: (code, message)}, deaths as (script,
    cause)."""
    fine = FINE | {"unavailable"} if state == "unavailable" else FINE
    return [f"{event_id}: {code}: {message}"
            for event_id, (code, message) in answers.items()
            if code not in fine] + \
        [f"worker ended: {death}" for death in deaths if death not in MAY_DIE]


def run_file(path, timeout, out):
    """What was wrong with that file."""
    suite = {name: path.with_name(name + ".lua").read_bytes()
             for name in MODULES if path.with_name(name + ".lua").exists()}
    suite.update({"before_request": path.read_bytes(), "_shared": SHARED})
    scripts = {"suite": suite, "beside": {"close": BESIDE}}
    settings = {"suite": {"timeout": f"{timeout}s"}}
    config = {"log": {"level": "warn"}, "hook_timeout": "30s"}
    answers = {}
    with Pinfold(config, scripts, settings) as broker:
        beside = Beside(broker, 1)
        beside.start()
        client, control = broker.client(timeout=ANSWERED), broker.control_client()
        state = until(lambda: state_of(control, "suite"), ANSWERED,
                      f"{path.name} is loaded")
        for event_id in ("as it stands", "on and on"):
            answers[event_id] = ask(client, "before_request", event_id)
            code, message = answers[event_id]
            out(f"{path.name:15} {event_id:12} {code:12} {message[:150]}")
        wrong = finish([beside])
        deaths = [found.groups() for found in ENDED.finditer(broker.log())]
    return wrong + judge(state, answers, deaths)


def run(files, timeout, out=print):
    wrong = []
    for path in files:
        try:
            found = run_file(path, timeout, out)
        except (AssertionError, TimeoutError, RuntimeError) as error:
            found = [str(error)]
        wrong += [f"{path.name}: {text}" for text in found]
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--timeout", type=int, default=5)
    args = parser.parse_args()
    only = args.only.split(",") if args.only else None
    files = [path for path in sorted(args.dir.glob("*.lua"))
             if not only or path.stem in only]
    if not files:
        parser.error(f"no Lua files in {args.dir}")
    return verdict("lua_suite", run(files, args.timeout))


if __name__ == "__main__":
    sys.exit(main())
