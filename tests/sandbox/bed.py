# SPDX-License-Identifier: Apache-2.0
"""Hostile scripts through the real path: client, broker, locked worker.

    bed.attack("while true do end").soft()
    bed.attack("return 1 + 1").value("2")

One broker with several scripts. `attack` runs the chunk that an event's body
holds; `bystander` is asked by a thread all the time and must never answer
wrong or late. An outcome is told from the answer and from the worker's fate:

    value(x)   ran through and returned that
    raises(t)  an ordinary Lua error with that text in it
    soft()     code timeout, and the worker that was late is still there
    late()     code timeout; whether the worker survived is open
    hard()     code timeout, and the worker was replaced
    oom()      code memory, and the worker ended with 77
    dead()     the worker ended, with that code

The limits of a script are those of the released worker: the programs are taken
from $PINFOLD_BUILD_RELEASE, by default build/ of the checkout.
"""

import os
import re
import threading
from base64 import b64decode
from pathlib import Path

from lib.pinfold import ROOT, Pinfold
from lib.rpc import RpcError
from lib.wait import until

TIMEOUT_MS = 300
ANSWERED = 30.0     # far above any deadline: was it answered at all?
TRIES = 3           # a busy machine may miss the grace, a hole always does

ATTACK = """
local set, encode, text = mut.req.set_header, base64.encode, tostring
local f, why = load(ctx.req.body, "=probe")
if not f then error(why, 0) end
local r = f()
if r ~= nil then set("X-R", encode(text(r))) end
"""
BYSTANDER = """
mut.req.set_path("/" .. crypto.hash("md5", ctx.id) .. (kv.get("quiet") or ""))
seen = (seen or 0) + 1
mut.req.set_header("X-Seen", seen)
"""
MODULE = "local m = {} secret = secret or 0 return m\n"
SCRIPTS = {
    "bystander": {"close": BYSTANDER},
    "attack": {"before_request": ATTACK, "lib/state": MODULE,
               "lib/a": "return require 'lib.b'", "lib/b": "return require 'lib.a'",
               "lib/late": "while true do end",
               "lib/raises": "error(setmetatable({}, {__tostring = function() "
                             "while true do end end}))"},
    "keeper": {"before_response": ATTACK},
    "lanes": {"after_request": ATTACK, "lib/state": MODULE},
    "slow": {"connect": ATTACK, "lib/a": "return require 'lib.b'",
             "lib/b": "return require 'lib.a'"},
}
SETTINGS = {
    "attack": {"timeout": f"{TIMEOUT_MS}ms", "memory": "32MiB"},
    "keeper": {"timeout": f"{TIMEOUT_MS}ms", "memory": "32MiB",
               "globals": "script"},
    "lanes": {"timeout": f"{TIMEOUT_MS}ms", "memory": "32MiB",
              "concurrency": 4},
    "slow": {"timeout": "30s"},
}
HOOK = {"attack": "before_request", "keeper": "before_response",
        "lanes": "after_request", "slow": "connect"}


def release_build():
    return Path(os.environ.get("PINFOLD_BUILD_RELEASE", ROOT / "build"))


class Outcome:
    def __init__(self, bed, script, answer, before, after):
        self.bed, self.script = bed, script
        self.before, self.after = before, after
        self.ops, self.code, self.message, self.traceback = [], None, None, None
        if isinstance(answer, RpcError):
            self.code, self.message = answer.code, answer.message
            self.traceback = answer.traceback
        else:
            self.ops = answer["ops"]
        self.again = None

    def __repr__(self):
        fate = "same worker" if self.same else "worker replaced"
        ops = repr(self.ops)[:300]
        return f"<{self.code or 'ok'} {self.message or ops}, {fate}>"

    @property
    def same(self):
        return self.before == self.after

    @property
    def returned(self):
        for op in self.ops:
            if op[:2] == ["req.set_header", "X-R"]:
                return b64decode(op[2]).decode(errors="replace")
        return None

    def value(self, want):
        assert self.code is None and self.returned == str(want), (self,
                                                                  self.returned)
        assert self.same, self
        return self

    def fine(self):
        """It ran through, whatever it returned."""
        assert self.code is None and self.same, self
        return self

    def raises(self, text):
        assert self.code == "script_error" and text in self.message, self
        assert self.same, self
        return self

    def soft(self):
        outcome = self
        for _ in range(TRIES - 1):
            if outcome.code != "timeout" or outcome.same:
                break
            outcome = self.again()
        assert outcome.code == "timeout" and outcome.same, outcome
        return outcome

    def late(self):
        assert self.code == "timeout", self
        return self

    def hard(self):
        assert self.code == "timeout" and not self.same, self
        return self

    def oom(self):
        assert self.code == "memory" and not self.same, self
        assert self.bed.exits(self.before) == {("exit", 77)}, self.bed.log()
        return self

    def dead(self, how, number):
        assert not self.same, self
        assert self.bed.exits(self.before) == {(how, number)}, self
        return self

    def contained(self):
        """Lua's own bug, or an OOM, or an error: but an answer, and no crash
        of a kind that is not foreseen."""
        assert self.code in (None, "script_error", "memory", "timeout"), self
        return self


class Bystander(threading.Thread):
    """Asks the same broker all the time; every answer must be right."""

    def __init__(self, broker):
        super().__init__(daemon=True)
        self.client = broker.client(timeout=ANSWERED)
        self.stop = threading.Event()
        self.answered, self.wrong = 0, []

    def run(self):
        from hashlib import md5
        while not self.stop.wait(0.01):
            name = str(self.answered)
            want = "/" + md5(name.encode()).hexdigest()
            try:
                ops = self.client.call("close", [{"id": name}])["ops"]
                if ops != [["req.set_path", want],
                           ["req.set_header", "X-Seen", "1"]]:
                    self.wrong.append(ops)
            except Exception as error:
                self.wrong.append(error)
                return
            self.answered += 1


class Bed:
    def __init__(self):
        before = os.environ.get("PINFOLD_BUILD")
        os.environ["PINFOLD_BUILD"] = str(release_build())
        self.broker = Pinfold(scripts=SCRIPTS, settings=SETTINGS,
                              data={"a.txt": "a", "b.txt": "b"})
        try:
            self.broker.start()
        finally:
            if before is None:
                del os.environ["PINFOLD_BUILD"]
            else:
                os.environ["PINFOLD_BUILD"] = before
        self.client = self.broker.client(timeout=ANSWERED)
        self.control = self.broker.control_client(timeout=ANSWERED)
        self.bystander = Bystander(self.broker)
        self.bystander.start()
        self.events = 0

    def close(self):
        self.bystander.stop.set()
        self.bystander.join(ANSWERED)
        self.broker.close()

    def log(self):
        return self.broker.log()[-4000:]

    def workers(self, script="attack"):
        """The pids of its workers, once they serve."""
        def ready():
            for one in self.control.call("script.list"):
                if one["name"] == script and one["state"] == "ready":
                    return tuple(w["pid"] for w in one["workers"])
            return None
        return until(ready, ANSWERED, f"{script} serves")

    def exits(self, pids):
        """How those workers ended, as the log tells: {("exit", 77)}."""
        return {(how, int(n)) for pid in pids for how, n in re.findall(
            rf"worker ended script=\S+ pid={pid} cause=\S+ (exit|signal)=(\d+)",
            self.broker.log())}

    def event(self, source, script, more):
        self.events += 1
        event = {"id": str(self.events), "session_id": "s",
                 "req": {"method": "GET", "path": "/", "body": source.encode(),
                         **more}}
        if script == "keeper":
            event["resp"] = {"status_code": 200}
        return event

    def send(self, source, script="attack", **more):
        """The answer, or the RpcError."""
        try:
            return self.client.call(HOOK[script],
                                    [self.event(source, script, more)])
        except RpcError as error:
            return error

    def good(self, script="attack"):
        """The next event is served as if nothing had been."""
        answer = self.send("return 'fine'", script)
        assert not isinstance(answer, RpcError), answer
        assert answer["ops"] == [["req.set_header", "X-R", "ZmluZQ=="]], answer

    def attack(self, source, script="attack", **more):
        """Run it, look at what became of the worker, and whether others and
        the next event are as they should be."""
        before, seen = self.workers(script), self.bystander.answered
        answer = self.send(source, script, **more)
        self.good(script)
        outcome = Outcome(self, script, answer, before, self.workers(script))
        outcome.again = lambda: self.attack(source, script, **more)
        self.others_are_well(seen)
        return outcome

    def others_are_well(self, seen):
        assert self.broker.process.poll() is None, self.log()
        until(lambda: self.bystander.wrong or self.bystander.answered > seen,
              ANSWERED, "the bystander is answered")
        assert not self.bystander.wrong, self.bystander.wrong

    # The broker itself.

    def fds(self):
        return len(os.listdir(f"/proc/{self.broker.pid}/fd"))

    def rss(self):
        status = Path(f"/proc/{self.broker.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10

    def often(self, source, times, script):
        for _ in range(times):
            self.send(source, script)
            self.good(script)
        self.workers(script)

    def repeat(self, source, times=1000, growth=64 << 10, script="attack"):
        """Often; then nothing has gathered in the broker. What gathers does so
        every time: the best of some tries counts."""
        self.often(source, min(times, 300), script)
        fds, seen = self.fds(), self.bystander.answered
        grown = []
        while len(grown) < TRIES and (not grown or grown[-1] > growth):
            before = self.rss()
            self.often(source, times, script)
            grown.append(self.rss() - before)
        self.others_are_well(seen)
        until(lambda: self.fds() <= fds, ANSWERED, "descriptors are closed")
        assert min(grown) <= growth, grown
