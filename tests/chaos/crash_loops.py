#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Fifty scripts whose workers only die.

    tests/chaos/crash_loops.py [--seconds 180] [--scripts 50] [--seed N]

Of three kinds: dead while loading, dead at each event, and dead a second after
each start, with good answers before. Events come all the time. The verdict:

    every event answered exactly once,
    of the first two kinds, which never do well, at most 20 workers are started
    a minute for each script, and `status` says broken in the end,
    of the third, at most one a second,
    pinfoldd itself takes less than 5 % of one processor,
    a script beside answers right all the time.

Printed, too: what all the workers take, and the p99 of the script beside.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.mqtt_scripts import MqttPinfold  # noqa: E402
from lib.rpc import RpcError  # noqa: E402
from load import arguments, busy, count, share, verdict  # noqa: E402

PAUSE = 0.2                     # seconds between events of each kind
MAX_STARTS, MAX_SHARE = 20, 0.05
TICK = os.sysconf("SC_CLK_TCK")
BOMB = "local t = {} for i = 1, 1e9 do t[i] = {i} end "
OK = [["req.set_path", "/ok"]]
KINDS = {
    "event": ("before_request", BOMB),
    "second": ("ws_msg", "began = began or os.time() "
                         f"if os.time() - began > 1 then {BOMB} end"),
}
BESIDE = {"close": 'mut.req.set_path("/ok")'}
SMALL = {"memory": "8MiB", "timeout": "20s"}


def broker_of(scripts, worker):
    """A third of each kind, and one beside."""
    files = {f"load_{i}.lua": BOMB for i in range(scripts // 3)}
    hooks = {f"{kind}_{i}": {hook: text}
             for kind, (hook, text) in KINDS.items()
             for i in range((scripts - scripts // 3) // 2)}
    settings = {name: {**SMALL, "on_error": "skip"} for name in hooks}
    for name in settings:
        if name.startswith("second"):
            settings[name]["globals"] = "script"
    mqtt = {"scripts": {name[:-4]: {"file": name, **SMALL} for name in files}}
    return MqttPinfold(files, mqtt, {"log": {"level": "warn"},
                                     "hook_timeout": "60s", "worker": worker},
                       scripts={**hooks, "beside": BESIDE}, settings=settings)


def used(pid):
    """Seconds of processor: its own, and of those it has buried."""
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return [(int(stat[at]) + int(stat[at + 1])) / TICK for at in (11, 13)]


class Asking:
    """An event of each kind now and then, and one beside."""

    def __init__(self, broker):
        self.client, self.beside = (broker.client(timeout=60)
                                    for _ in range(2))
        self.waiting, self.codes, self.took = set(), {}, []
        self.wrong = []

    def step(self, n):
        for hook, _ in KINDS.values():
            event = {"id": f"{hook}{n}", "req": {"path": f"/{n}"}}
            self.waiting.add(self.client.send(hook, [event]))
        start = time.perf_counter()
        result = self.beside.call("close", [{"id": str(n)}])
        self.took.append(time.perf_counter() - start)
        if result["ops"] != OK or result["errors"]:
            self.wrong.append(f"the one beside got {result}")
        self.client.pump(PAUSE)
        self.take()

    def take(self):
        for msgid in list(self.client.answers):
            error, result = self.client.answers.pop(msgid)
            if msgid not in self.waiting:
                self.wrong.append(f"answered twice: {msgid}")
            self.waiting.discard(msgid)
            for failed in [error] if error else result["errors"]:
                count(self.codes, failed["code"])

    def finish(self):
        try:
            while self.waiting:
                self.client.answers[min(self.waiting)] = [
                    None, self.client.wait(min(self.waiting), 60)]
                self.take()
        except (TimeoutError, RpcError) as error:
            self.wrong.append(f"not answered: {error}")


def judge(rows, log, minutes, out):
    """Deaths are in the log: `status` has the workers that live."""
    wrong, most = [], {}
    for row in rows:
        kind = row["name"].split("_")[0]
        if kind == "beside":
            continue
        starts = log.count(f"child worker ended script={row['name']} ") + 1
        most[kind] = max(most.get(kind, 0), starts)
        limit = 60 if kind == "second" else MAX_STARTS
        if starts > limit * max(1, minutes) + 1:
            wrong.append(f"{row['name']}: {starts} starts")
        if kind != "second" and row["state"] != "broken":
            wrong.append(f"{row['name']} is {row['state']}")
    out(f"most starts of one script in {minutes:.1f} minutes: {most}")
    return wrong


def run(seconds, scripts=50, worker=None, out=print):
    """The verdict: a list of what was wrong, empty when all is well. `worker`:
    a program that has a limit of memory, which one with sanitizers has not."""
    with broker_of(scripts, worker) as broker:
        asking, start = Asking(broker), time.monotonic()
        own, theirs = used(broker.pid)
        n = 0
        while time.monotonic() - start < seconds:
            n += 1
            asking.step(n)
        asking.finish()
        took = time.monotonic() - start
        own, theirs = (now - before for now, before in
                       zip(used(broker.pid), (own, theirs)))
        rows = broker.control_client().call("status")["scripts"]
        wrong = asking.wrong + judge(rows, broker.log(), took / 60, out)
        out(f"{2 * n} events in {took:.0f} s, failures {asking.codes}; pinfoldd "
            f"{own / took:.1%} of a processor, workers {theirs / took:.1%}; "
            f"beside p99 {share(sorted(asking.took), 0.99) * 1e3:.1f} ms; "
            f"{busy()}")
    if own / took > MAX_SHARE:
        wrong.append(f"pinfoldd takes {own / took:.1%} of a processor")
    return wrong


def main():
    args = arguments(seconds=180.0, scripts=50)
    return verdict("crash loops", run(args.seconds, args.scripts))


if __name__ == "__main__":
    sys.exit(main())
