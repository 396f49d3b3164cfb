#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Workers are killed and stopped under load; nothing may be lost or doubled.

    tests/chaos/chaos.py [--seconds 60] [--seed N] [--rate 10] [--most 0]

Several connections keep a window of events of eight scripts outstanding while,
`rate` times a second, a random worker of seven of them gets SIGKILL or SIGSTOP
(a stopped one is found by its run's deadline). The verdict is set arithmetic on
what the clients themselves sent and received:

    every event answered exactly once, none with another event's answer,
    at most `concurrency` failures for each worker that was harmed,
    no failure at all of the script whose workers are left alone.

Printed, and wrong only above --most: the p99 of that script's events, as a
process of its own sees it, as a multiple of that under the same load before the
first worker was harmed. SEED printed at the start repeats the schedule.
"""

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import load  # noqa: E402
from lib.pinfold import Pinfold  # noqa: E402
from timeouts import beside  # noqa: E402

HIT = ["before_request", "after_request", "before_response", "connect",
       "after_response", "ws_msg"]
CONCURRENCY = 4
WINDOW = 64
ALLOWED = {"crashed", "timeout"}
ANSWER = 'mut.req.set_header("X-R", ctx.req.path)'
SCRIPTS = {f"hit_{hook}": {hook: ANSWER} for hook in HIT}
SCRIPTS["hit_ws_msg"] = {"ws_msg": "mut.ws.set_data(ctx.req.path)"}
SCRIPTS["hit_again"] = {"connect": 'mut.req.set_header("X-S", ctx.req.path)'}
SCRIPTS["left"] = {"close": ANSWER}


def wanted(hook, path):
    if hook == "ws_msg":
        return [["ws.set_data", path]]
    again = [["req.set_header", "X-S", path]] if hook == "connect" else []
    return [["req.set_header", "X-R", path]] + again


class Load(load.Load):
    """Seven events in eight for the scripts whose workers are harmed."""

    def __init__(self, broker, name, hooks=("before_request",)):
        super().__init__(broker, WINDOW)
        self.name_, self.hooks = name, hooks
        self.good = {hook: 0 for hook in [*hooks, "close"]}
        self.failed = {hook: {} for hook in [*hooks, "close"]}

    def event(self, n):
        path = f"/{self.name_}/{n}"
        hook = self.hooks[n % 8 % len(self.hooks)] if n % 8 else "close"
        return hook, {"id": path, "req": {"path": path}}

    def took(self, n, hook, error, result):
        code = load.code_of(error, result)
        if code != "ok":
            load.count(self.failed[hook], code)
        elif result["ops"] != wanted(hook, f"/{self.name_}/{n}"):
            self.wrong.append(f"{n} got {result['ops']!r}")
        else:
            self.good[hook] += 1


def workers(control):
    """Of all scripts but the one that is left alone."""
    return [w["pid"] for s in control.call("status")["scripts"]
            if s["name"] != "left" for w in s["workers"]]


def harm(control, rng, seconds, rate, harmed):
    """Kill and stop workers; which ones is added to `harmed`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pids = workers(control)
        if pids:
            pid = rng.choice(pids)
            signum = signal.SIGKILL if rng.random() < 0.8 else signal.SIGSTOP
            try:
                os.kill(pid, signum)
                harmed.add(pid)
            except ProcessLookupError:
                pass
        time.sleep(rng.uniform(0.5, 1.5) / rate)


def run(seconds, seed, rate, most=0.0, out=print):
    """The verdict: a list of what was wrong, empty when all is well."""
    harmed, wrong = set(), []
    settings = {name: {"concurrency": CONCURRENCY, "workers": 2,
                       "timeout": "400ms"} for name in SCRIPTS}
    with Pinfold({"log": {"level": "error"}}, SCRIPTS, settings) as broker:
        loads = [Load(broker, f"c{i}", HIT) for i in range(3)]
        harms = threading.Thread(target=harm, daemon=True, args=(
            broker.control_client(timeout=60), random.Random(seed), seconds,
            rate, harmed))
        for one in loads:
            one.start()
        calm = load.Process(beside, broker, seconds / 5).result(wrong)
        harms.start()
        harsh = load.Process(beside, broker, seconds).result(wrong)
        harms.join(60)
        wrong += load.finish(loads) + judge(loads, len(harmed), out)
    ratio = load.share(harsh, 0.99) / load.share(calm, 0.99)
    out(f"the script left alone: {len(harsh)} events of a client beside, p99 "
        f"x{ratio:.2f} of that before; {load.busy()}")
    if most and ratio > most:
        wrong.append("the script left alone got slower")
    return wrong


def judge(loads, harmed, out):
    wrong, failures, left = [], {}, {}
    for one in loads:
        for hook, codes in one.failed.items():
            for code, n in codes.items():
                load.count(left if hook == "close" else failures, code, n)
    if left:
        wrong.append(f"the script left alone failed: {left}")
    sent = sum(one.sent for one in loads)
    good = sum(sum(one.good.values()) for one in loads)
    out(f"{sent} events, {good} good, {harmed} workers harmed, "
        f"failures {failures}")
    if good + sum(failures.values()) + sum(left.values()) != sent:
        wrong.append("sent and answered do not add up")
    if sum(failures.values()) > harmed * CONCURRENCY:
        wrong.append(f"more than {CONCURRENCY} failures a harmed worker")
    if set(failures) - ALLOWED:
        wrong.append(f"codes that should not be: {set(failures) - ALLOWED}")
    if not harmed or not good:
        wrong.append("nothing was tried")
    return wrong


def main():
    args = load.arguments(seconds=60.0, rate=10.0, most=0.0)
    return load.verdict("chaos", run(args.seconds, args.seed, args.rate,
                                     args.most))


if __name__ == "__main__":
    sys.exit(main())
