#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Damage to the database is refused by name, or has changed nothing.

    tests/chaos/mutants.py [--mutants 500] [--seed N]

Two databases are made by a real broker, one stopped, one killed. Each mutant
is a copy of one of them with a flipped bit, a file cut short, a zeroed page,
rubbish behind the end, or a file that is missing. pinfoldd must then either
end with 65 and name the file (where RocksDB tells it: not for a blob file, nor
for a log that simply ends too early), or serve every value, artifact
and bus event that was acknowledged, unchanged.
"""

import argparse
import collections
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.pinfold import Pinfold  # noqa: E402
from lib.rpc import RpcError  # noqa: E402

PAGE = 4096
DAMAGED = 65
SCRIPT = """
local n = math.tointeger(ctx.id)
kv.set("k" .. n, string.rep(n .. ",", 100))
if n % 5 == 0 then kv.set("big" .. n % 15, string.rep(n .. ";", 20000)) end
if n % 10 == 0 then artifacts.write("r" .. n % 40, string.rep(n .. ".", 30000)) end
bus.emit("e", n)
"""
CONFIG = {"log": {"level": "warn"}}


def write(broker, numbers):
    client = broker.client(timeout=30)
    sent = [client.send("before_request", [{"id": str(n)}]) for n in numbers]
    for msgid in sent:
        client.wait(msgid, 30)


def contents(broker, least):
    """All that the store holds, `least` bus events at least."""
    control = broker.control_client(timeout=10)
    found = {"kv": control.call("kv.list"), "artifacts": {}, "bus": []}
    for name, size in control.call("artifacts.list"):
        found["artifacts"][name] = control.call("artifacts.read",
                                                [name, 0, 1 << 20])
    control.call("bus.subscribe", [{"names": ["*"], "from": 1}])
    while len(found["bus"]) < least:
        event = control.wait_notification("bus.event", 5)[0]
        found["bus"].append((event["seq"], event["data"]))
    return found


def make(directory, killed):
    """A database with tables, blobs and a log; what it must hold."""
    scripts = {"w": {"before_request": SCRIPT}}
    broker = Pinfold(CONFIG, scripts, dir=directory)
    for start in (1, 101, 201):     # each start makes a table of the log
        broker.start()
        write(broker, range(start, start + 100))
        want = contents(broker, start + 99)
        broker.kill() if killed or start < 201 else broker.stop()
    return want


def targets(directory):
    kinds = collections.defaultdict(list, format=[directory / "data" / "format"])
    for path in sorted((directory / "data" / "db").iterdir()):
        kind = path.suffix if path.suffix in (".sst", ".blob", ".log") \
            else path.name.split("-")[0]
        if kind != "LOCK" and not kind.startswith("LOG"):
            kinds[kind].append(path)
    return kinds


def mutate(directory, dice):
    """One change; what was done, in words, and the file's name."""
    kinds = targets(directory)
    path = dice.choice(kinds[dice.choice(sorted(kinds))])
    size = path.stat().st_size
    how = dice.choice(["flip", "flip", "cut", "zero", "grow", "remove"])
    with open(path, "r+b") as file:
        if how == "flip" and size:
            at, bit = dice.randrange(size), dice.randrange(8)
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << bit]))
            return f"flip bit {bit} of byte {at} of {path.name}", path
        if how == "cut" and size:
            at = dice.randrange(size)
            file.truncate(at)
            return f"cut {path.name} at {at} of {size}", path
        if how == "zero" and size:
            at = dice.randrange(0, size, PAGE)
            file.seek(at)
            file.write(bytes(min(PAGE, size - at)))
            return f"zero {path.name} from {at}", path
        if how == "grow":
            file.seek(size)
            file.write(dice.randbytes(dice.randrange(1, PAGE)))
            return f"rubbish behind {path.name}", path
    path.unlink()
    return f"remove {path.name}", path


def anonymous(path, done):
    if path.name == "CURRENT":      # then it is what it points at
        return True
    return path.suffix == ".blob" or path.suffix == ".log" and "flip" not in done


def attempt(directory, want):
    """Start it on what is there: ("refused" | "intact", "") or what is wrong."""
    broker = Pinfold(CONFIG, dir=directory)
    log = len(broker.log())
    broker.spawn()
    try:
        while "ready" not in broker.stdout and broker.process.poll() is None:
            time.sleep(0.002)
        code = broker.process.poll()
        if code is not None:
            text = broker.log()[log:]
            named = str(directory / "data") in text
            if code == DAMAGED and named:
                return "refused", text
            return "wrong", f"exit {code}, said {text[-600:]!r}"
        try:
            found = contents(broker, len(want["bus"]))
        except (RpcError, TimeoutError, OSError, RuntimeError) as error:
            return "wrong", f"served, but {error!r}: {broker.log()[log:][-600:]}"
        odd = [key for key in want if found[key] != want[key]]
        return ("wrong", f"served, and {odd} differ") if odd else ("intact", "")
    finally:
        broker.kill()


def run(mutants, seed, out=print):
    """The verdict: a list of what was wrong, empty when all is well."""
    dice, wrong, tally = random.Random(seed), [], collections.Counter()
    root = Path(tempfile.mkdtemp(prefix="pf-"))
    try:
        bases = []
        for killed in (False, True):
            bases.append((root / f"base{killed:d}",
                          make(root / f"base{killed:d}", killed)))
        for i in range(mutants):
            base, want = bases[i % 2]
            copy = root / "m"
            shutil.copytree(base, copy,
                            ignore=shutil.ignore_patterns("*.sock", "ballast"))
            done, path = mutate(copy, dice)
            verdict, text = attempt(copy, want)
            tally[verdict] += 1
            if verdict == "wrong":
                wrong.append(f"mutant {i} ({base.name}): {done}: {text}")
            elif verdict == "refused":
                tally["named"] += path.name in text
                if path.name not in text and not anonymous(path, done):
                    wrong.append(f"mutant {i}: {done}: not named: {text}")
            shutil.rmtree(copy)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    out(f"{mutants} mutants: {dict(tally)}")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutants", type=int, default=500)
    parser.add_argument("--seed", type=int,
                        default=int(os.environ.get("SEED", time.time())))
    args = parser.parse_args()
    print(f"SEED={args.seed}", flush=True)
    wrong = run(args.mutants, args.seed)
    for line in wrong:
        print("WRONG:", line[:1500])
    print(f"mutants: {len(wrong)} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
