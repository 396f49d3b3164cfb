#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One event in a hundred kills the worker that takes it; the others notice
nothing.

    tests/chaos/poison.py [--seconds 600] [--seed N] [--one-in 100] [--same 0]

The verdict is set arithmetic on what the clients sent and received:

    every event answered exactly once,
    every healthy event answered right, whoever died beside it,
    every poisoned event failed with `memory`, once: one death each,
    no failure at all of the script that gets no poison.

With --same N the poisoned events are N, sent again and again. Then each of them
may kill two workers in any minute, and is otherwise `unavailable`.
"""

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.pinfold import Pinfold  # noqa: E402
from load import Load, arguments, code_of, count, finish, verdict  # noqa: E402

WINDOW, CONNECTIONS, MINUTE = 32, 3, 60
ANSWER = 'mut.req.set_header("X-R", ctx.req.path)'
BOMB = """
if ctx.req.method == "BOMB" then
  local t = {} for i = 1, 1e9 do t[i] = {i} end
end
""" + ANSWER


class Poisoned(Load):
    def __init__(self, broker, name, dice, one_in):
        super().__init__(broker, WINDOW)
        self.name_, self.dice, self.one_in = name, dice, one_in
        self.poison = set()
        self.codes = {"poison": {}, "healthy": {}, "left": {}}

    def event(self, n):
        path = f"/{self.name_}/{n}"
        if n % 8 == 0:
            return "close", {"id": path, "req": {"path": path}}
        method = "GET"
        if self.dice.randrange(self.one_in) == 0:
            self.poison.add(n)
            method = "BOMB"
        return "before_request", {"id": path,
                                  "req": {"method": method, "path": path}}

    def took(self, n, hook, error, result):
        kind = "left" if hook == "close" else \
            "poison" if n in self.poison else "healthy"
        code = code_of(error, result)
        if code == "ok" and result["ops"] != [["req.set_header", "X-R",
                                               f"/{self.name_}/{n}"]]:
            self.wrong.append(f"{n} got {result['ops']!r}")
        count(self.codes[kind], code)


class Same(Poisoned):
    """The same few poisons: when did which of them kill?"""

    def __init__(self, broker, name, dice, one_in, same):
        super().__init__(broker, name, dice, one_in)
        self.same = same
        self.which, self.killed = {}, {}

    def event(self, n):
        hook, event = super().event(n)
        if n in self.poison:
            self.which[n] = self.dice.randrange(self.same)
            event["req"]["path"] = f"/poison/{self.which[n]}"
        return hook, event

    def took(self, n, hook, error, result):
        super().took(n, hook, error, result)
        if n in self.which and code_of(error, result) == "memory":
            self.killed.setdefault(self.which[n], []).append(time.monotonic())


def judge_same(loads, deaths, same, out=print):
    poison, healthy, left = (total(loads, kind)
                             for kind in ("poison", "healthy", "left"))
    out(f"{same} poisons sent again and again: {poison}; healthy: {healthy}; "
        f"the other script: {left}; {deaths} deaths")
    wrong = []
    if set(healthy) - {"ok"} or set(left) - {"ok"}:
        wrong.append("healthy events have failed")
    if set(poison) - {"memory", "unavailable"}:
        wrong.append(f"poisoned events ended with {sorted(poison)}")
    if deaths != poison.get("memory", 0):
        wrong.append(f"{deaths} deaths, and not as many failures")
    for which in range(same):
        times = sorted(at for load in loads
                       for at in load.killed.get(which, []))
        if len(times) < 2:
            wrong.append(f"poison {which} has killed {len(times)}")
        # When the answer came, not when the worker died: a second to spare.
        if any(late - early < MINUTE - 1
               for early, late in zip(times, times[2:])):
            wrong.append(f"poison {which} has killed three in a minute")
    return wrong


def total(loads, kind):
    codes = {}
    for load in loads:
        for code, n in load.codes[kind].items():
            codes[code] = codes.get(code, 0) + n
    return codes


def judge(loads, deaths, out=print):
    poison, healthy, left = (total(loads, kind)
                             for kind in ("poison", "healthy", "left"))
    sent = sum(load.sent for load in loads)
    poisoned = sum(len(load.poison) for load in loads)
    out(f"{sent} events, {poisoned} poisoned: {poison}; healthy: {healthy}; "
        f"the other script: {left}; {deaths} deaths")
    wrong = []
    if sum(sum(codes.values()) for codes in (poison, healthy, left)) != sent:
        wrong.append("sent and answered do not add up")
    if set(healthy) - {"ok"} or set(left) - {"ok"}:
        wrong.append("healthy events have failed")
    if poison != {"memory": poisoned}:
        wrong.append("poisoned events have not failed once each with memory")
    if deaths != poisoned:
        wrong.append(f"{deaths} deaths for {poisoned} poisoned events")
    return wrong


def run(seconds, seed, one_in=100, worker=None, same=0, out=print):
    """The verdict: a list of what was wrong, empty when all is well. `worker`:
    a program that has a limit of memory, which one with sanitizers has not."""
    scripts = {"hit": {"before_request": BOMB}, "left": {"close": ANSWER}}
    settings = {"hit": {"memory": "8MiB", "timeout": "10s"}}
    dice = random.Random(seed)
    config = {"log": {"level": "error"}, "hook_timeout": "60s",
              "worker": worker}
    with Pinfold(config, scripts, settings) as broker:
        loads = [Same(broker, f"c{i}", dice, one_in, same) if same else
                 Poisoned(broker, f"c{i}", dice, one_in)
                 for i in range(CONNECTIONS)]
        for load in loads:
            load.start()
        time.sleep(seconds)
        wrong = finish(loads)
        shown = broker.control_client().call("script.show", ["hit"])
        deaths = sum(worker["restarts"] for worker in shown["workers"])
        return wrong + (judge_same(loads, deaths, same, out) if same else
                        judge(loads, deaths, out))


def main():
    args = arguments(seconds=600.0, one_in=100, same=0)
    return verdict("poison", run(args.seconds, args.seed, args.one_in,
                                 same=args.same))


if __name__ == "__main__":
    sys.exit(main())
