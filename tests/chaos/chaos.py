#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Workers are killed and stopped under load; nothing may be lost or doubled.

    tests/chaos/chaos.py [--seconds 60] [--seed N] [--rate 10]

Several connections keep a window of events outstanding while, `rate` times a
second, a random worker gets SIGKILL or SIGSTOP (a stopped one is found by its
run's deadline). The verdict is set arithmetic on what the clients themselves
sent and received:

    every event answered exactly once, none with another event's answer,
    at most `concurrency` failures for each worker that was harmed,
    no failure at all of the script whose workers are left alone.

SEED printed at the start repeats the schedule.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import load  # noqa: E402
from lib.pinfold import Pinfold  # noqa: E402

CONCURRENCY = 4
WINDOW = 64
ALLOWED = {"crashed", "timeout"}
ANSWER = 'mut.req.set_header("X-R", ctx.req.path)'


class Load(load.Load):
    """Seven events in eight for the script whose workers are harmed."""

    def __init__(self, broker, name):
        super().__init__(broker, WINDOW)
        self.name_ = name
        self.good = {"before_request": 0, "close": 0}
        self.failed = {"before_request": {}, "close": {}}

    def event(self, n):
        path = f"/{self.name_}/{n}"
        return ("close" if n % 8 == 0 else "before_request",
                {"id": path, "req": {"path": path}})

    def took(self, n, hook, error, result):
        code = load.code_of(error, result)
        if code != "ok":
            load.count(self.failed[hook], code)
        elif result["ops"] != [["req.set_header", "X-R",
                                f"/{self.name_}/{n}"]]:
            self.wrong.append(f"{n} got {result['ops']!r}")
        else:
            self.good[hook] += 1


def workers(control, name):
    return [w["pid"] for s in control.call("status")["scripts"]
            if s["name"] == name for w in s["workers"]]


def harm(control, rng, seconds, rate):
    """Kill and stop workers of `hit`; how many were harmed."""
    harmed = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pids = workers(control, "hit")
        if pids:
            pid = rng.choice(pids)
            signum = signal.SIGKILL if rng.random() < 0.8 else signal.SIGSTOP
            try:
                os.kill(pid, signum)
                harmed.add(pid)
            except ProcessLookupError:
                pass
        time.sleep(rng.uniform(0.5, 1.5) / rate)
    return len(harmed)


def run(seconds, seed, rate, out=print):
    """The verdict: a list of what was wrong, empty when all is well."""
    rng = random.Random(seed)
    scripts = {"hit": {"before_request": ANSWER}, "left": {"close": ANSWER}}
    settings = {"hit": {"concurrency": CONCURRENCY, "workers": 2,
                        "timeout": "400ms"},
                "left": {"concurrency": CONCURRENCY}}
    with Pinfold({"log": {"level": "error"}}, scripts, settings) as broker:
        loads = [Load(broker, f"c{i}") for i in range(3)]
        for one in loads:
            one.start()
        harmed = harm(broker.control_client(), rng, seconds, rate)
        return load.finish(loads) + judge(loads, harmed, out)


def judge(loads, harmed, out):
    wrong, failures = [], {}
    for one in loads:
        for code, n in one.failed["before_request"].items():
            failures[code] = failures.get(code, 0) + n
        if one.failed["close"]:
            wrong.append(f"the script left alone failed: {one.failed['close']}")
    sent = sum(one.sent for one in loads)
    good = sum(sum(one.good.values()) for one in loads)
    out(f"{sent} events, {good} good, {harmed} workers harmed, "
        f"failures {failures}")
    if good + sum(failures.values()) + sum(
            sum(one.failed["close"].values()) for one in loads) != sent:
        wrong.append("sent and answered do not add up")
    if sum(failures.values()) > harmed * CONCURRENCY:
        wrong.append(f"more than {CONCURRENCY} failures a harmed worker")
    if set(failures) - ALLOWED:
        wrong.append(f"codes that should not be: {set(failures) - ALLOWED}")
    if not harmed or not good:
        wrong.append("nothing was tried")
    return wrong


def main():
    args = load.arguments(seconds=60.0, rate=10.0)
    return load.verdict("chaos", run(args.seconds, args.seed, args.rate))


if __name__ == "__main__":
    sys.exit(main())
