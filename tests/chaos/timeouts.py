#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One event in twenty wants to keep the processor for ever.

    tests/chaos/timeouts.py [--seconds 600] [--one-in 20] [--timeout 200]
                            [--most 0] [--seed N]

What they run is corpus A of tests/sandbox. The verdict is set arithmetic on
what the clients sent and received:

    every event answered exactly once,
    every endless one failed, with `timeout` or an error of its own,
    every good one answered right, of the same script and of another. Where the
    machine stood still, which a lone event answered after its grace tells, as
    many good ones may have timed out.

Printed: when a lone endless event is answered, in milliseconds past its time
limit; wrong is one later than its grace by more than --most, if that is not 0.
And the p99.9 of the other script's events beside all this, as a multiple of
that alone. Both as processes of their own see it: not ones that share an
interpreter with the clients of the load.
"""

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.pinfold import Pinfold  # noqa: E402
from lib.rpc import RpcError  # noqa: E402
from load import (Load, Process, arguments, busy, code_of, count,  # noqa: E402
                  finish, share, verdict)
from sandbox.test_corpus_a import SOFT  # noqa: E402

WINDOW, CONNECTIONS = 16, 3
ENDLESS = [text for text in SOFT.values() if "require" not in text]
ANSWER = 'mut.req.set_header("X-R", ctx.req.path)'
MIXED = """
if ctx.req.method == "ENDLESS" then
  assert(load(ctx.req.body, "=endless"))()
end
""" + ANSWER
FORESEEN = {"timeout", "script_error"}


def wanted(path):
    return [["req.set_header", "X-R", path]]


class Mixed(Load):
    def __init__(self, broker, name, dice, one_in):
        super().__init__(broker, WINDOW)
        self.name_, self.dice, self.one_in = name, dice, one_in
        self.endless = set()
        self.codes = {"endless": {}, "good": {}}

    def event(self, n):
        path = f"/{self.name_}/{n}"
        request = {"method": "GET", "path": path, "body": b""}
        if self.dice.randrange(self.one_in) == 0:
            self.endless.add(n)
            request["method"] = "ENDLESS"
            request["body"] = self.dice.choice(ENDLESS).encode()
        return "before_request", {"id": path, "req": request}

    def took(self, n, hook, error, result):
        code = code_of(error, result)
        count(self.codes["endless" if n in self.endless else "good"], code)
        if code == "ok" and result["ops"] != wanted(f"/{self.name_}/{n}"):
            self.wrong.append(f"{n} got {result['ops']!r}")


def ask(client, hook, method=None, body=None):
    """The code of one event's answer."""
    request = {"path": "/1"}
    if method:
        request |= {"method": method, "body": body}
    try:
        result = client.call(hook, [{"id": "1", "req": request}])
    except RpcError as error:
        return error.code
    if result["ops"] != wanted("/1") and not result["errors"]:
        return f"ops {result['ops']!r}"
    return code_of(None, result)


def lone(broker, end, dice):
    """Endless events one after the other, a good one behind each: the seconds
    that each took, and what was wrong."""
    client, took, wrong = broker.client(timeout=60), [], []
    while time.monotonic() < end:
        text = dice.choice(ENDLESS)
        start = time.monotonic()
        code = ask(client, "connect", "ENDLESS", text.encode())
        if code == "timeout":
            took.append(time.monotonic() - start)
        elif code not in FORESEEN:
            wrong.append(f"{text} ended with {code}")
        code = ask(client, "connect", "GET", b"")
        if code != "ok":
            wrong.append(f"a good event behind {text}: {code}")
    return took, wrong


def beside(broker, end):
    """The same of a script that nobody harms."""
    client, took, wrong = broker.client(timeout=60), [], []
    while time.monotonic() < end:
        start = time.perf_counter()
        code = ask(client, "close")
        took.append(time.perf_counter() - start)
        if code != "ok":
            wrong.append(f"the script beside: {code}")
    return took, wrong


def judge(loads, out=print, stood_still=0):
    codes = {"endless": {}, "good": {}}
    for load in loads:
        for kind in codes:
            for code, n in load.codes[kind].items():
                count(codes[kind], code, n)
    sent, wrong = sum(load.sent for load in loads), []
    endless = sum(len(load.endless) for load in loads)
    out(f"{sent} events, {endless} endless: {codes['endless']}; good: "
        f"{codes['good']}")
    if sum(sum(found.values()) for found in codes.values()) != sent:
        wrong.append("sent and answered do not add up")
    failed = {**codes["good"], "ok": 0}
    if failed.pop("timeout", 0) > stood_still or any(failed.values()):
        wrong.append("good events have failed")
    if set(codes["endless"]) - FORESEEN or "timeout" not in codes["endless"]:
        wrong.append("endless events have not timed out")
    return wrong


def grace_of(limit):
    return max(limit / 5, 100)


def after_grace(took, limit):
    """How many lone events were that late."""
    return sum(seconds * 1e3 > limit + grace_of(limit) for seconds in took)


def lateness(took, limit, most, out):
    """Of lone events; `limit` in milliseconds."""
    late, grace = [seconds * 1e3 - limit for seconds in took], grace_of(limit)
    out(f"{len(late)} lone ones, told {share(late, 0.5):.1f} ms (p50), "
        f"{share(late, 0.99):.1f} ms (p99), {late[-1]:.1f} ms (at most) after "
        f"their {limit} ms; {after_grace(took, limit)} after the grace of "
        f"{grace:.0f} ms; {busy()}")
    if most and late[-1] > grace + most:
        return ["one was answered after its grace"]
    return []


def run(seconds, seed, one_in=20, limit=200, most=0.0, out=print):
    """The verdict: a list of what was wrong, empty when all is well."""
    scripts = {"mixed": {"before_request": MIXED}, "lone": {"connect": MIXED},
               "left": {"close": ANSWER}}
    own = {"timeout": f"{limit}ms", "concurrency": 1}
    dice, wrong = random.Random(seed), []
    with Pinfold({"log": {"level": "error"}, "hook_timeout": "60s"}, scripts,
                 {"mixed": {**own, "workers": 2}, "lone": own}) as broker:
        alone = Process(beside, broker, seconds / 10).result(wrong)
        loads = [Mixed(broker, f"c{i}", dice, one_in)
                 for i in range(CONNECTIONS)]
        lone_ones = Process(lone, broker, seconds, dice)
        left = Process(beside, broker, seconds)
        for load in loads:
            load.start()
        crowded, took = left.result(wrong), lone_ones.result(wrong)
        wrong += finish(loads)
        wrong += judge(loads, out, after_grace(took, limit))
        wrong += lateness(took, limit, most, out)
        out(f"the script beside: {len(crowded)} events, p99.9 "
            f"x{share(crowded, 0.999) / share(alone, 0.999):.2f}, p50 "
            f"x{share(crowded, 0.5) / share(alone, 0.5):.2f}; {busy()}")
    return wrong


def main():
    args = arguments(seconds=600.0, one_in=20, timeout=200, most=0.0)
    return verdict("timeouts", run(args.seconds, args.seed, args.one_in,
                                   args.timeout, args.most))


if __name__ == "__main__":
    sys.exit(main())
