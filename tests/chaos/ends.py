#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""pinfoldd is ended under load, over and over; nobody is left without an answer.

    tests/chaos/ends.py [--times 100] [--seed N]

By SIGTERM and by `shutdown` of the control socket, in turn. The verdict: every
event that was sent is answered, by the script or with shutting_down, before its
connection closes; no connection is reset, and no write fails; the exit code is
0; every event that was answered well has left its mark in the store, no other
one has, and every end has run `flush`.

What a client sends when the broker has already said all is read by nobody: such
events are counted as `unseen`, and must have left no mark.
"""

import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.pinfold import Pinfold  # noqa: E402
from lib.wait import until  # noqa: E402
from load import Load, arguments, code_of, count, verdict  # noqa: E402

WINDOW, CONNECTIONS = 32, 3
OK = [["req.set_path", "/ok"]]
SCRIPTS = {"s": {"before_request": 'kv.incr("n") mut.req.set_path("/ok")',
                 "flush": 'kv.incr("flushed")'}}


class Steady(Load):
    """Sends until it is told that the broker goes."""

    def __init__(self, broker):
        super().__init__(broker, WINDOW)
        self.codes = {}

    def going(self):
        return not self.client.notifications

    def event(self, n):
        return "before_request", {"id": str(n), "req": {"path": "/"}}

    def left(self, n):
        self.codes["unseen"] = n

    def judge(self):
        if self.cut or self.client.reset:
            self.wrong.append("a write failed, or the connection was reset")
        return self.wrong + ["a connection hangs"] * self.is_alive()

    def took(self, n, hook, error, result):
        code = code_of(error, result)
        if code == "ok" and result["ops"] != OK:
            self.wrong.append(f"{n}: {result}")
        count(self.codes, code)


def end(broker, by_signal):
    if by_signal:
        broker.process.send_signal(signal.SIGTERM)
    else:
        broker.control_client().send("shutdown")


def one(broker, dice, by_signal, codes):
    """Start, load, end; what was wrong."""
    broker.start()
    loads = [Steady(broker) for _ in range(CONNECTIONS)]
    for load in loads:
        load.start()
    until(lambda: all(load.codes.get("ok", 0) > 20 or load.wrong
                      for load in loads), 30, "load")
    time.sleep(dice.uniform(0, 0.05))
    end(broker, by_signal)
    status, wrong = broker.wait_exit(), []
    if status != 0:
        wrong.append(f"exit {status}: {broker.log()[-1000:]}")
    for load in loads:
        load.join(30)
        wrong += load.judge()
        for code, n in load.codes.items():
            codes[code] = codes.get(code, 0) + n
    if broker.socket.exists() or broker.control.exists():
        wrong.append("a socket was left behind")
    broker._forget()
    return wrong


def number(control, key):
    return int(control.call("kv.get", [key]) or 0)


def run(times, seed, out=print):
    """The verdict: a list of what was wrong, empty when all is well."""
    dice, codes = random.Random(seed), {}
    broker = Pinfold({"log": {"level": "error"}}, SCRIPTS)
    try:
        for i in range(times):
            wrong = one(broker, dice, i % 2 == 0, codes)
            if wrong:
                return [f"end {i}: {text}" for text in wrong]
        broker.start()
        control = broker.control_client()
        marks, flushed = number(control, "n"), number(control, "flushed")
        out(f"{times} ends, answers {codes}, {marks} marks, "
            f"{flushed} times flushed")
        if set(codes) - {"ok", "shutting_down", "unseen"}:
            wrong.append(f"codes that should not be: {codes}")
        if marks != codes.get("ok", 0):
            wrong.append("answers and marks differ")
        if flushed != times:
            wrong.append("flush has not run once for each end")
        if broker.stop() != 0:
            wrong.append("the last end was not 0")
        return wrong
    finally:
        broker.close()


def main():
    args = arguments(times=100)
    return verdict("ends", run(args.times, args.seed))


if __name__ == "__main__":
    sys.exit(main())
