#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A script is reloaded under load, over and over; no event notices.

    tests/chaos/reloads.py [--times 200] [--seed N]

Each version writes its number into two files. Every fourth one is broken; every
tenth is put in place by renaming while the reload already reads. The verdict:
every event is answered, by both files of one version; a broken version is
refused and never answers; a good one answers from then on; nothing is left of
the workers of old versions.
"""

import os
import random
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.pinfold import Pinfold  # noqa: E402
from lib.wait import until  # noqa: E402
from load import Load, arguments, code_of, finish, verdict  # noqa: E402

WINDOW, CONNECTIONS = 32, 2
HOOK = 'mut.req.set_header("X-V", shared .. " {}")'


def version(n):
    return {"_shared.lua": f'shared = "{n}"', "before_request.lua": HOOK.format(n)}


class Asked(Load):
    """Keeps which versions have answered, and the last."""

    def __init__(self, broker):
        super().__init__(broker, WINDOW)
        self.seen, self.last, self.failed = set(), None, []

    def event(self, n):
        return "before_request", {"id": str(n), "req": {"path": "/"}}

    def took(self, n, hook, error, result):
        if code_of(error, result) != "ok" or len(result["ops"]) != 1:
            self.failed.append((n, error, result))
            return
        self.last = tuple(result["ops"][0][2].split())
        self.seen.add(self.last)


def folder(broker):
    return broker.dir / "scripts" / "a"


def write(broker, files):
    for name, text in files.items():
        (folder(broker) / name).write_text(text)


def rename(broker, files, pause):
    """Each file at once, a little later."""
    for name, text in files.items():
        fresh = folder(broker) / (name + ".new")
        fresh.write_text(text)
        time.sleep(pause)
        os.replace(fresh, folder(broker) / name)


def reload(control):
    row, = [row for row in control.call("reload", timeout=60)
            if row["name"] == "a"]
    return row["result"]


def one(broker, control, n, dice):
    """Bring version n; what was wrong, and whether it is the one that is."""
    if n % 4 == 0:
        write(broker, {**version(n), "before_request.lua": "("})
        result = reload(control)
        return ([] if result == "refused" else [f"{n} broken: {result}"]), False
    if n % 10 == 5:
        thread = threading.Thread(target=rename, args=(
            broker, version(n), dice.uniform(0, 0.003)))
        thread.start()
        first = reload(control)     # whatever it has read
        thread.join()
        results = {first, reload(control)}
        wrong = results - {"loaded", "kept", "refused"}
        return [f"{n} renamed: {results}"] * bool(wrong), True
    write(broker, version(n))
    result = reload(control)
    return ([] if result == "loaded" else [f"{n}: {result}"]), True


def judge(seen, times):
    """Answers of one version; of two only where files came one by one."""
    wrong = []
    for shared, hook in seen:
        if shared != hook and int(hook) % 10 != 5 and int(shared) % 10 != 5:
            wrong.append(f"an answer of versions {shared} and {hook}")
    bad = {hook for _, hook in seen if int(hook) % 4 == 0 and hook != "0"}
    if bad:
        wrong.append(f"broken versions have answered: {bad}")
    if len(seen) < times / 2:
        wrong.append(f"only {len(seen)} versions were seen")
    return wrong


def run(times, seed, out=print):
    """The verdict: a list of what was wrong, empty when all is well."""
    dice, wrong = random.Random(seed), []
    with Pinfold({"log": {"level": "error"}}, {"a": version(0)}) as broker:
        control = broker.control_client(timeout=60)
        loads = [Asked(broker) for _ in range(CONNECTIONS)]
        for load in loads:
            load.start()
        for n in range(1, times + 1):
            errors, good = one(broker, control, n, dice)
            wrong += errors
            if good:    # it answers from now on
                until(lambda: all(load.last == (str(n), str(n)) or load.failed
                                  for load in loads), 60, f"version {n} answers")
        until(lambda: len(broker.children()) <= 2, 30, "old workers have ended")
        wrong += finish(loads)
        failed = [f for load in loads for f in load.failed]
        seen = set().union(*(load.seen for load in loads))
        out(f"{times} reloads, {times // 4} broken, "
            f"{sum(load.sent for load in loads)} events, {len(failed)} failed, "
            f"{len(seen)} versions answered")
        return wrong + [f"failed: {f}" for f in failed[:5]] + judge(seen, times)


def main():
    args = arguments(times=200)
    return verdict("reloads", run(args.times, args.seed))


if __name__ == "__main__":
    sys.exit(main())
