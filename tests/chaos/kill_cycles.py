#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The whole broker is killed while it writes; nothing acknowledged may be lost.

    tests/chaos/kill_cycles.py [--cycles 1000] [--seconds S] [--seed N]
                               [--durability os|disk]

It ends after that many cycles, half of them with each durability. S seconds
(20 for each cycle) are a deadline: what it cuts short has failed.

Each cycle starts pinfoldd on the directory of the last one, keeps a window of
events outstanding, gives it SIGKILL after a few milliseconds (now and then
while it still starts), starts it again and compares all that it holds with a
model. Event number N makes two scripts write:

    first   kv "a:SLOT" and "b:SLOT" (SLOT = N % 512), a bus event, every 16th
            an artifact: one atomic batch; kv.incr "count", which acts at once
    second  kv "c:SLOT", another batch

One worker with one lane begins events in order, so what is there after a kill
must be exactly the events up to some number, at least the last that the client
saw answered: not one less, not one more, not half of one.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.pinfold import Pinfold, running  # noqa: E402
from lib.rpc import RpcError  # noqa: E402
from lib.wait import until  # noqa: E402

SLOTS, ARTIFACTS, ARTIFACT_EVERY, WINDOW = 512, 8, 16, 64
PATIENCE = 20       # seconds for a cycle, which takes less than one
FIRST = """
local n = math.tointeger(ctx.id)
local value = n .. ":" .. string.rep("v", n % 300)
kv.incr("count")
kv.set("a:" .. n % 512, value)
bus.emit("cycle", {n = n})
if n % 16 == 0 then
  artifacts.write("r/" .. n // 16 % 8, string.rep(n .. " ", 2000))
end
kv.set("b:" .. n % 512, value)
"""
SECOND = 'local n = math.tointeger(ctx.id) kv.set("c:" .. n % 512, tostring(n))'


class Model:
    """What the store must hold once the events up to some number are in."""

    def __init__(self):
        self.first, self.second, self.artifacts = {}, {}, {}
        self.last = 0           # number that was sent last
        self.committed = 0      # how many are in
        self.seq = 0            # of the last bus event seen

    def commit(self, numbers):
        for n in numbers:
            self.committed += 1
            self.first[n % SLOTS] = n
            if n % ARTIFACT_EVERY == 0:
                self.artifacts[n // ARTIFACT_EVERY % ARTIFACTS] = n

    def commit_second(self, numbers):
        for n in numbers:
            self.second[n % SLOTS] = n

    def rows(self):
        rows = {}
        for slot, n in self.first.items():
            value = f"{n}:" + "v" * (n % 300)
            rows[f"a:{slot}"] = rows[f"b:{slot}"] = value
        for slot, n in self.second.items():
            rows[f"c:{slot}"] = str(n)
        return rows


def life(broker, model, seconds):
    """Load it and kill it; the numbers that were answered, in order."""
    client = broker.client(timeout=30)
    waiting, answered = {}, []
    end = None
    while end is None or time.monotonic() < end:
        while len(waiting) < WINDOW:
            model.last += 1
            msgid = client.send("before_request", [{"id": str(model.last)}])
            waiting[msgid] = model.last
        client._read(30 if end is None else max(0.0005, end - time.monotonic()))
        take(client, waiting, answered)
        if client.closed:
            raise AssertionError("it ended by itself\n" + broker.log()[-2000:])
        if answered and end is None:
            end = time.monotonic() + seconds
    workers = list(broker.children())
    broker.process.kill()
    while not client.closed:    # what it had written before it died counts
        client._read(10)
        take(client, waiting, answered)
    broker.kill()
    return answered, workers


def take(client, waiting, answered):
    for msgid in list(client.answers):
        error, _ = client.answers.pop(msgid)
        if error is not None:
            raise AssertionError(f"{waiting[msgid]}: {error}")
        answered.append(waiting.pop(msgid))


def highest(rows, prefix, floor):
    numbers = [int(value.split(":")[0]) for key, value in rows.items()
               if key.startswith(prefix)]
    return max(numbers, default=floor)


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def bus_events(client, model, until_n):
    """The numbers of all events after the last one seen, up to `until_n`."""
    client.call("bus.subscribe", [{"names": ["cycle"], "from": model.seq + 1}])
    numbers = []
    while not numbers or numbers[-1] < until_n:
        event = client.wait_notification("bus.event", 30)[0]
        if event["seq"] <= model.seq:
            raise AssertionError(f"bus numbers do not rise: {event} "
                                 f"after {model.seq}")
        model.seq = event["seq"]
        numbers.append(event["data"]["n"])
    return numbers


def check_artifacts(control, model, wrong):
    listed = {row[0] for row in control.call("artifacts.list")}
    if listed != {f"r/{i}" for i in model.artifacts}:
        wrong.append(f"artifacts listed: {sorted(listed)}")
        return
    for i, n in model.artifacts.items():
        content = text(control.call("artifacts.read",
                                    [f"r/{i}", 0, 1 << 20])[0])
        if content != f"{n} " * 2000:
            wrong.append(f"artifact r/{i} is not that of {n}: {content[:40]}")


def verify(broker, model, start, answered):
    """Compare; a list of what is wrong. `start`: first number of the life."""
    control, wrong = broker.control_client(), []
    rows = {text(k): text(v) for k, v in control.call("kv.list").items()}
    count = int(rows.pop("count", "0"))
    first = highest(rows, "a:", start - 1)
    second = highest(rows, "c:", start - 1)
    least = answered[-1] if answered else start - 1
    if answered != list(range(start, start + len(answered))):
        wrong.append(f"answered out of order: {answered[:20]}")
    if not (least <= second <= first <= model.last):
        wrong.append(f"answered {least}, but first script is at {first} and "
                     f"the second at {second}, {model.last} were sent")
    lived = range(start, first + 1)
    model.commit(lived)
    model.commit_second(range(start, second + 1))
    if rows != model.rows():
        want = model.rows()
        odd = [k for k in set(rows) | set(want) if rows.get(k) != want.get(k)]
        wrong.append(f"{len(odd)} keys differ: " + ", ".join(
            f"{k}={str(rows.get(k))[:20]} not {str(want.get(k))[:20]}"
            for k in sorted(odd)[:5]))
    if not model.committed <= count <= model.last:
        wrong.append(f"count is {count}, {model.committed} are in")
    if lived:
        numbers = bus_events(control, model, first)
        if numbers != list(lived):
            wrong.append(f"bus has {numbers[:5]}...{numbers[-5:]}, not {lived}")
    check_artifacts(control, model, wrong)
    return wrong


def gone(pids):
    return not any(running(pid) for pid in pids)


def one_cycle(broker, model, dice):
    start = model.last + 1
    if dice.random() < 0.15:    # killed while it starts
        broker.spawn()
        time.sleep(dice.uniform(0, 0.06))
        broker.kill()
    broker.start()
    answered, workers = life(broker, model, dice.uniform(0.0005, 0.04))
    until(lambda: gone(workers), 10, f"workers {workers} end with the broker")
    broker.start()
    wrong = verify(broker, model, start, answered)
    broker.kill()
    return wrong, len(answered)


def run(cycles, seconds, seed, durability="os", out=print):
    """The verdict: a list of what was wrong, empty when all is well. `seconds`
    is no length but a deadline; None: PATIENCE for each cycle."""
    dice, model = random.Random(seed), Model()
    scripts = {"first": {"before_request": FIRST},
               "second": {"before_request": SECOND}}
    config = {"log": {"level": "warn"}, "storage": {"durability": durability}}
    if seconds is None:
        seconds = cycles * PATIENCE
    end = time.monotonic() + seconds
    done = acknowledged = 0
    broker = Pinfold(config, scripts)
    try:
        while done < cycles and time.monotonic() < end:
            try:
                wrong, n = one_cycle(broker, model, dice)
            except (AssertionError, RuntimeError, TimeoutError,
                    RpcError) as error:
                wrong, n = [str(error)], 0
            done += 1
            acknowledged += n
            if wrong:
                return [f"cycle {done}: {text}" for text in wrong]
    finally:
        broker.kill()
        broker.close()
    out(f"{durability}: {done} of {cycles} cycles, {acknowledged} events "
        f"acknowledged, {model.committed} found, {model.last} sent")
    if done < cycles:
        return [f"{durability}: only {done} of {cycles} cycles within "
                f"{seconds:g} s"]
    return [] if acknowledged > done else ["hardly anything was acknowledged"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--durability", choices=["os", "disk"])
    parser.add_argument("--seed", type=int,
                        default=int(os.environ.get("SEED", time.time())))
    args = parser.parse_args()
    print(f"SEED={args.seed}", flush=True)
    wrong = []
    kinds = [args.durability] if args.durability else ["os", "disk"]
    for i, kind in enumerate(kinds):
        cycles = (args.cycles + len(kinds) - 1 - i) // len(kinds)
        seconds = args.seconds and args.seconds / len(kinds)
        wrong += run(cycles, seconds, args.seed, kind)
    for line in wrong[:20]:
        print("WRONG:", line[:2000])
    print("kill cycles: " + ("failed" if wrong else "nothing was lost"))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
