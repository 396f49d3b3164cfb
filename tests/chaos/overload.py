#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ten times as many events as can be done, for minutes.

    tests/chaos/overload.py [--rounds 10] [--seconds 60] [--times 10]
                            [--least 0] [--seed N]

Each round first finds what can be done, with few events outstanding, in a tenth
of its seconds, and then sends `times` as many a second, whatever the answers.
The verdict:

    every event answered exactly once, by the script or with `overloaded`,
    a script beside it answers right all the time,
    pinfoldd stays below 256 MiB, and from the second round on does not grow by
    more than 1 MiB a minute (when it lasts for three minutes or more).

Printed, and wrong only below --least: the median share of good answers in what
could be done. And how soon an event is told that there are too many.
"""

import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.pinfold import Pinfold  # noqa: E402
from load import (Load, arguments, busy, code_of, count, finish,  # noqa: E402
                  share, verdict)

WINDOW, CONNECTIONS, BATCH = 32, 4, 64
MAX_RSS, MAX_SLOPE = 256 << 20, 1 << 20     # bytes; bytes a minute
LONG = 180
OK = [["req.set_path", "/ok"]]
SCRIPTS = {"slow": {"before_request": "local x = 0 for i = 1, 400000 do "
                                      "x = x + i end "
                                      'mut.req.set_path("/ok")'},
           "quick": {"close": 'mut.req.set_path("/ok")'}}
SETTINGS = {"slow": {"on_error": "fail", "timeout": "60s"}}


class Asked(Load):
    """As many as `window` outstanding: what can be done."""

    def __init__(self, broker, window=WINDOW):
        super().__init__(broker, window)
        self.codes, self.begun, self.shed = {}, {}, []

    def event(self, n):
        self.begun[n] = time.perf_counter()
        return "before_request", {"id": str(n), "req": {"path": "/"}}

    def took(self, n, hook, error, result):
        begun, code = self.begun.pop(n), code_of(error, result)
        count(self.codes, code)
        if code == "ok" and result["ops"] != OK:
            self.wrong.append(f"{n}: {result!r}")
        if code == "overloaded":
            self.shed.append(time.perf_counter() - begun)


class Paced(Asked):
    """So many a second, whatever the answers."""

    def __init__(self, broker, rate):
        super().__init__(broker)
        self.rate = rate

    def run(self):
        waiting, start = {}, time.monotonic()
        while not self.client.closed and (self.going() or waiting):
            due = (time.monotonic() - start) * self.rate - self.sent
            for _ in range(min(int(due), BATCH) if self.going() else 0):
                self.send(waiting)
            self.client._read(0.002)
            for msgid in list(self.client.answers):
                self.take(msgid, waiting)
        if waiting:
            self.left(len(waiting))


def rss(pid):
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Watch:
    """The broker's memory, and what the script beside says."""

    def __init__(self, broker):
        self.pid, self.samples, self.wrong = broker.pid, [], []
        self.beside = broker.client(timeout=60)

    def look(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.samples.append((time.monotonic(), rss(self.pid)))
            if self.beside.call("close", [{"id": "1"}])["ops"] != OK:
                self.wrong.append("the script beside answered wrong")
            time.sleep(min(0.2, seconds / 20))

    def judge(self, since, out):
        peak = max(size for _, size in self.samples)
        out(f"at most {peak / (1 << 20):.1f} MiB")
        if peak > MAX_RSS:
            self.wrong.append(f"it grew to {peak >> 20} MiB")
        late = [(at, size) for at, size in self.samples if at >= since]
        if late[-1][0] - late[0][0] < LONG:
            return self.wrong
        slope = statistics.linear_regression(*zip(*late)).slope * 60
        out(f"slope {slope / (1 << 20):+.3f} MiB a minute")
        if slope > MAX_SLOPE:
            self.wrong.append(f"it grows by {slope:.0f} bytes a minute")
        return self.wrong


def phase(loads, watch, seconds):
    """Good answers a second; what was wrong is added to `watch`."""
    start = time.monotonic()
    for load in loads:
        load.start()
    watch.look(seconds)
    good = sum(load.codes.get("ok", 0) for load in loads)
    rate = good / (time.monotonic() - start)
    watch.wrong += finish(loads)
    return rate


def run(rounds, seconds, times=10, least=0.0, out=print):
    """The verdict: a list of what was wrong, empty when all is well."""
    codes, shed, ratios, second = {}, [], [], None
    with Pinfold({"log": {"level": "error"}, "hook_timeout": "60s"}, SCRIPTS,
                 SETTINGS) as broker:
        watch = Watch(broker)
        for i in range(rounds):
            can = phase([Asked(broker)], watch, seconds / 10)
            if i == 1:
                second = time.monotonic()
            loads = [Paced(broker, can * times / CONNECTIONS)
                     for _ in range(CONNECTIONS)]
            good = phase(loads, watch, seconds * 9 / 10)
            ratios.append(good / can)
            for load in loads:
                shed += load.shed
                for code, n in load.codes.items():
                    count(codes, code, n)
            out(f"round {i + 1}: {can:.0f} can be done a second, "
                f"{sum(load.sent for load in loads)} sent, {good:.0f} good a "
                f"second, x{ratios[-1]:.2f}; {busy()}")
        shed.sort()
        out(f"answers {codes}; good x{statistics.median(ratios):.2f} of what "
            "can be done")
        if set(codes) != {"ok", "overloaded"}:
            return watch.wrong + [f"codes that should not be: {codes}"]
        out(f"told `overloaded` after {share(shed, 0.5) * 1e3:.2f} ms (p50), "
            f"{share(shed, 0.99) * 1e3:.2f} ms (p99), by this client's clock")
        if broker.control_client().call("status")["running"] != 0:
            watch.wrong.append("events are still running")
        wrong = watch.judge(second or 0, out)
    if statistics.median(ratios) < least:
        wrong.append(f"good answers fell to {statistics.median(ratios):.2f}")
    return wrong


def main():
    args = arguments(rounds=10, seconds=60.0, times=10, least=0.0)
    return verdict("overload", run(args.rounds, args.seconds, args.times,
                                   args.least))


if __name__ == "__main__":
    sys.exit(main())
