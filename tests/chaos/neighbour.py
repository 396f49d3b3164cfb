#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How much an innocent script feels of a hostile one beside it.

    tests/chaos/neighbour.py [--rounds 10] [--seconds 5] [--most 0] [--seed N]

A client asks the innocent script, one event after the other. In every second
phase another process keeps a window of hostile events outstanding at the script
beside it: loops, memory bombs, garbage, floods of log lines and of questions to
the store. Printed: the ratio of the innocent's p50 and p99 with that neighbour
to those without, each of one pair of phases that follow each other, and the
median of the pairs. Wrong is a wrong answer of the innocent script, and a
median ratio of p99 above --most, if that is not 0: a figure for an idle machine
with a processor to spare.
"""

import multiprocessing
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.pinfold import Pinfold  # noqa: E402
from lib.rpc import Client  # noqa: E402
from load import (Load, arguments, busy, code_of, count, share,  # noqa: E402
                  verdict)

WINDOW = 16
INNOCENT = """
local n = tonumber(kv.get("visits:" .. ctx.id % 64) or "0")
mut.req.set_header("X-R", ctx.id .. " " .. crypto.hash("md5", ctx.id))
"""
HOSTILE = 'assert(load(ctx.req.body, "=hostile"))()'
ATTACKS = [
    "while true do end",
    "local t = {} for i = 1, 1e9 do t[i] = {i} end",
    "local s = 'x' while true do s = s .. s end",
    "while true do pcall(function() while true do end end) end",
    "for i = 1, 1e6 do local t = {{}, {}, {}} end",
    "for i = 1, 1e5 do log.warn(string.rep('x', 1000)) end",
    "for i = 1, 1e5 do kv.get('a') end",
    "for i = 1, 500 do kv.set('h:' .. i, string.rep('x', 8000)) end",
    "string.rep('a', 1e5):find(string.rep('a-', 50) .. 'b')",
    "error(string.rep('x', 1e6))",
]
QUIET = "return"    # now and then it does well, or the breaker keeps it away
FORESEEN = {"ok", "timeout", "memory", "script_error", "too_large", "crashed",
            "overloaded", "unavailable"}


class Hostile(Load):
    def __init__(self, broker, dice):
        super().__init__(broker, WINDOW)
        self.dice, self.codes = dice, {}

    def event(self, n):
        text = self.dice.choice(ATTACKS) if self.dice.random() < 0.6 else QUIET
        return "before_request", {"id": str(n), "req": {"body": text.encode()}}

    def took(self, n, hook, error, result):
        code = code_of(error, result)
        count(self.codes, code)
        if code == "unavailable":
            time.sleep(0.01)


class ByPath:
    """As much of a broker as a Load needs, in another process."""

    def __init__(self, path):
        self.path = path

    def client(self, timeout):
        return Client(self.path, timeout)


def attack(path, seed, started, stop, told):
    load = Hostile(ByPath(path), random.Random(seed))
    load.start()
    started.set()
    stop.wait()
    load.stop()
    load.join(60)
    told.put((load.codes, load.wrong))


class Neighbour:
    """The hostile events, while it lasts."""

    def __init__(self, broker, seed):
        self.started, self.end = multiprocessing.Event(), multiprocessing.Event()
        self.told = multiprocessing.Queue()
        self.process = multiprocessing.Process(
            target=attack, daemon=True,
            args=(str(broker.socket), seed, self.started, self.end, self.told))

    def __enter__(self):
        self.process.start()
        self.started.wait(30)
        return self

    def __exit__(self, *_):
        self.end.set()
        self.codes, self.wrong = self.told.get(timeout=90)
        self.process.join(30)


def phase(client, seconds, wrong):
    """Microseconds of each event of the innocent script, sorted."""
    from hashlib import md5
    took, n, end = [], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        n += 1
        want = [["req.set_header", "X-R",
                 f"{n} {md5(str(n).encode()).hexdigest()}"]]
        start = time.perf_counter()
        result = client.call("close", [{"id": str(n)}])
        took.append((time.perf_counter() - start) * 1e6)
        if result["ops"] != want or result["errors"]:
            wrong.append(f"innocent {n} got {result!r}")
    return sorted(took)


def run(rounds, seconds, seed, most=0.0, worker=None, out=print):
    """The verdict: a list of what was wrong, empty when all is well. `worker`:
    a program that has a limit of memory, which one with sanitizers has not."""
    scripts = {"hostile": {"before_request": HOSTILE},
               "innocent": {"close": INNOCENT}}
    settings = {"hostile": {"timeout": "100ms", "memory": "32MiB",
                            "workers": 1}}
    wrong, ratios, codes = [], [], {}
    config = {"log": {"level": "error"}, "worker": worker}
    with Pinfold(config, scripts, settings) as broker:
        client = broker.client(timeout=60)
        phase(client, min(1, seconds), wrong)
        for i in range(rounds):
            alone = phase(client, seconds, wrong)
            with Neighbour(broker, seed + i) as hostile:
                beside = phase(client, seconds, wrong)
            wrong += hostile.wrong
            for code, n in hostile.codes.items():
                codes[code] = codes.get(code, 0) + n
            ratios.append([share(beside, part) / share(alone, part)
                           for part in (0.5, 0.99)])
            out(f"round {i + 1}: alone {len(alone)} events, beside "
                f"{len(beside)}; p50 x{ratios[-1][0]:.2f}, "
                f"p99 x{ratios[-1][1]:.2f}; {busy()}")
    p50, p99 = (statistics.median(column) for column in zip(*ratios))
    out(f"median of {rounds} rounds: p50 x{p50:.2f}, p99 x{p99:.2f}; "
        f"hostile events: {codes}; {busy()}")
    if set(codes) - FORESEEN or not set(codes) - {"ok"}:
        wrong.append(f"the neighbour was not hostile as foreseen: {codes}")
    if most and p99 > most:
        wrong.append(f"p99 is {p99:.2f} times that without a neighbour")
    return wrong


def main():
    args = arguments(rounds=10, seconds=5.0, most=0.0)
    return verdict("neighbour",
                   run(args.rounds, args.seconds, args.seed, args.most))


if __name__ == "__main__":
    sys.exit(main())
