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

import argparse
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.pinfold import Pinfold  # noqa: E402

CONCURRENCY = 4
WINDOW = 64
ALLOWED = {"crashed", "timeout"}
ANSWER = 'mut.req.set_header("X-R", ctx.req.path)'


class Load(threading.Thread):
    """One connection with WINDOW events outstanding."""

    def __init__(self, broker, name, stop):
        super().__init__(daemon=True)
        self.client = broker.client(timeout=30)
        self.name_ = name
        self.halt = stop
        self.sent = 0
        self.good = {"before_request": 0, "close": 0}
        self.failed = {"before_request": {}, "close": {}}
        self.wrong = []

    def send(self):
        self.sent += 1
        hook = "close" if self.sent % 8 == 0 else "before_request"
        path = f"/{self.name_}/{self.sent}"
        msgid = self.client.send(hook, [{"id": path, "req": {"path": path}}])
        return msgid, (hook, path)

    def run(self):
        waiting = dict(self.send() for _ in range(WINDOW))
        while waiting:
            self.client._read(30)
            for msgid in [m for m in self.client.answers]:
                self.take(msgid, waiting)
                if not self.halt.is_set():
                    waiting.update([self.send()])
            if self.client.closed:
                self.wrong.append(f"{len(waiting)} events without an answer")
                return

    def take(self, msgid, waiting):
        error, result = self.client.answers.pop(msgid)
        if msgid not in waiting:
            self.wrong.append(f"answered twice or unasked: {msgid}")
            return
        hook, path = waiting.pop(msgid)
        if error is not None:
            code = error.get("code")
            self.failed[hook][code] = self.failed[hook].get(code, 0) + 1
        elif result["errors"]:
            code = result["errors"][0]["code"]
            self.failed[hook][code] = self.failed[hook].get(code, 0) + 1
        elif result["ops"] != [["req.set_header", "X-R", path]]:
            self.wrong.append(f"{path} got {result['ops']!r}")
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
        stop = threading.Event()
        loads = [Load(broker, f"c{i}", stop) for i in range(3)]
        for load in loads:
            load.start()
        harmed = harm(broker.control_client(), rng, seconds, rate)
        stop.set()
        for load in loads:
            load.join(60)
        wrong = [text for load in loads for text in load.wrong]
        wrong += ["a connection hangs" for load in loads if load.is_alive()]
        return wrong + judge(loads, harmed, out)


def judge(loads, harmed, out):
    wrong, failures = [], {}
    for load in loads:
        for code, n in load.failed["before_request"].items():
            failures[code] = failures.get(code, 0) + n
        if load.failed["close"]:
            wrong.append(f"the script left alone failed: {load.failed['close']}")
    sent = sum(load.sent for load in loads)
    good = sum(sum(load.good.values()) for load in loads)
    out(f"{sent} events, {good} good, {harmed} workers harmed, "
        f"failures {failures}")
    if good + sum(failures.values()) + sum(
            sum(load.failed["close"].values()) for load in loads) != sent:
        wrong.append("sent and answered do not add up")
    if sum(failures.values()) > harmed * CONCURRENCY:
        wrong.append(f"more than {CONCURRENCY} failures a harmed worker")
    if set(failures) - ALLOWED:
        wrong.append(f"codes that should not be: {set(failures) - ALLOWED}")
    if not harmed or not good:
        wrong.append("nothing was tried")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--seed", type=int,
                        default=int(os.environ.get("SEED", time.time())))
    args = parser.parse_args()
    print(f"SEED={args.seed}", flush=True)
    wrong = run(args.seconds, args.seed, args.rate)
    for text in wrong[:20]:
        print("WRONG:", text)
    print("chaos: " + ("failed" if wrong else "all as it should be"))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
