#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make bench`: pinfold beside other systems that run Lua behind a socket.

Absolute figures of a shared machine drift from minute to minute, so every
system is measured for under a second in turn, over several rounds, and what
counts is the median of the rounds' ratios. One load client (load.c) does the
same for all. docs/performance.md says what the rows mean.

  bench.py [--record] [--rounds N] [--only pinfold]
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from systems import (Broker, Raw, Redis, RpcError, Tarantool, build_dir, cpu_seconds,
                     memory_mib, pin)

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "tests/bench/results"
EVENT = 1026
DEPTH = 64
MS = 600
WARM_MS = 120
START_COPIES = 41
BIG_BODY = 16_000_000
ALL_CPUS = os.sched_getaffinity(0)
CLIENT_CPU, SERVER_CPU = {min(ALL_CPUS)}, {max(ALL_CPUS)}


class Row:
    """One system doing one job; a list of what each round gave."""

    def __init__(self, label, system, job):
        self.label, self.system, self.job = label, system, job
        self.p50, self.p99, self.rate = [], [], []
        self.cpu, self.events = {}, 0


def load(system, job, **options):
    argv = [build_dir() / "load", f"peer={system.peer}",
            f"socket={system.socket}", f"what={system.what(job)}"]
    argv += [f"{key}={value}" for key, value in options.items()]
    result = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, timeout=60)
    if result.returncode:
        sys.exit(f"bench: {' '.join(map(str, argv))} failed")
    return result.stdout


def check(row):
    """Every system must give the right answers before it is measured."""
    seen = load(row.system, row.job, once=1)
    blocked = load(row.system, row.job, once=1, path="/block/4711")
    number = b"403" if row.system.peer == "redis" else b"\xcd\x01\x93"
    if b"x-seen" not in seen or b"GET" not in seen or number not in blocked:
        sys.exit(f"bench: {row.label}: wrong answers {seen!r} {blocked!r}")


def one_outstanding(row):
    """Client on one processor, all of the system on another."""
    pin(row.system.pids(), SERVER_CPU)
    os.sched_setaffinity(0, CLIENT_CPU)
    try:
        result = json.loads(load(row.system, row.job, depth=1, ms=MS,
                                 warm_ms=WARM_MS))
    finally:
        os.sched_setaffinity(0, ALL_CPUS)
        pin(row.system.pids(), ALL_CPUS)
    row.p50.append(result["p50_us"])
    row.p99.append(result["p99_us"])


def many_outstanding(row):
    before = {pid: cpu_seconds(pid) for pid in row.system.pids()}
    result = json.loads(load(row.system, row.job, depth=DEPTH, ms=MS,
                             warm_ms=WARM_MS))
    row.rate.append(result["events"] / result["seconds"])
    row.events += result["all_events"]
    for pid, start in before.items():
        used = [b - a for a, b in zip(start, cpu_seconds(pid))]
        total = row.cpu.setdefault(pid, [0.0, 0.0])
        row.cpu[pid] = [t + u for t, u in zip(total, used)]


def ratio(mine, other):
    """Median of the rounds' ratios; None when either was not measured."""
    if not mine or not other:
        return None
    return statistics.median(m / o for m, o in zip(mine, other))


def number(value, form):
    return "" if value is None else format(value, form)


def median(values):
    return statistics.median(values) if values else None


def table(rows, raw, reference):
    """The rows as Markdown. Ratios: p50 to the raw hops, rate to pinfold's."""
    yield ("| system | job | p50 µs, 1 out | p99 µs | x raw "
           "| events/s, 64 out | pinfold is |")
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        mine = reference.get(row.job)
        times = ratio(mine.rate, row.rate) if mine and mine is not row else None
        yield (f"| {row.label} | {row.job} | {number(median(row.p50), '.1f')} "
               f"| {number(median(row.p99), '.1f')} "
               f"| {number(ratio(row.p50, raw.p50), '.2f')} "
               f"| {number(median(row.rate), ',.0f')} "
               f"| {number(times, '.2f')}{'x' if times else ''} |")


def cpu_lines(row):
    """Processor time an event of broker and worker, in the rounds at 64."""
    broker = row.system.pinfold.pid
    for name, pids in (("broker", [broker]),
                       ("worker", [p for p in row.cpu if p != broker])):
        user = sum(row.cpu[p][0] for p in pids) / row.events * 1e6
        kernel = sum(row.cpu[p][1] for p in pids) / row.events * 1e6
        yield (f"| {row.job}: {name} CPU an event | user {user:.2f} µs, "
               f"kernel {kernel:.2f} µs |")


def memory_lines(row):
    broker = row.system.pinfold.pid
    workers = [memory_mib(p) for p in row.system.workers()]
    yield (f"| {row.job}: private memory | broker {memory_mib(broker):.1f} MiB, "
           f"workers {', '.join(f'{m:.1f}' for m in sorted(workers))} MiB |")


def start_lines(folder):
    """Time to `ready`: many scripts against one."""
    times = {}
    for copies in (1, START_COPIES):
        broker = Broker(folder / f"start{copies}", "job1", copies)
        times[copies] = broker.start_seconds
        broker.stop()
    each = (times[START_COPIES] - times[1]) / (START_COPIES - 1)
    yield (f"| start to `ready`, 1 script / {START_COPIES} scripts "
           f"| {times[1] * 1e3:.0f} ms / {times[START_COPIES] * 1e3:.0f} ms: "
           f"{each * 1e3:.2f} ms a script |")


def crash_lines(row):
    """A worker killed under no load: time to the next event's answer."""
    client = row.system.pinfold.client()
    event = {"req": {"method": "GET", "path": "/"}}
    times = []
    for n in range(5):
        client.call("before_request", [dict(event, id=f"warm{n}")])
        busy = max(row.system.workers(), key=lambda p: sum(cpu_seconds(p)))
        os.kill(busy, 9)
        started = time.monotonic()
        for attempt in range(1000):
            try:
                client.call("before_request", [dict(event, id=f"{n}.{attempt}")])
                break
            except RpcError:
                time.sleep(0.0002)
        times.append(time.monotonic() - started)
        load(row.system, row.job, depth=DEPTH, ms=50, warm_ms=0)
    yield (f"| worker killed to the next answer, median of {len(times)} "
           f"| {statistics.median(times) * 1e3:.2f} ms |")


def body_lines(folder):
    """What a body that nobody reads costs with five scripts instead of one."""
    one = Broker(folder / "body1", "job1", 1)
    five = Broker(folder / "body5", "job1", 5)
    times = {}
    for _ in range(3):
        for copies, system in ((1, one), (5, five)):
            for body in (0, BIG_BODY):
                result = json.loads(load(system, "job1", depth=1, ms=500,
                                         warm_ms=50, body=body))
                times.setdefault((copies, body), []).append(result["p50_us"])
    one.stop()
    five.stop()
    small = (median(times[5, 0]) - median(times[1, 0])) / 4
    big = (median(times[5, BIG_BODY]) - median(times[1, BIG_BODY])) / 4
    yield (f"| event with an untouched body of 16 MB, 1 script / 5 scripts "
           f"| {median(times[1, BIG_BODY]):.0f} / "
           f"{median(times[5, BIG_BODY]):.0f} µs |")
    yield (f"| each script more, without / with that body "
           f"| {small:.0f} / {big:.0f} µs |")


def machine():
    cpu = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always",
                             "--dirty"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True).stdout.strip()
    return (f"{date.today()}, commit {commit or 'unknown'}, {len(ALL_CPUS)} x "
            f"{cpu}, Linux {platform.release()}, load average at the start "
            f"{os.getloadavg()[0]:.2f}")


def start_systems(folder, systems, only):
    """All rows; the systems are stopped by the caller."""
    def add(system):
        systems.append(system)
        return system

    rows = [Row("raw hops", add(Raw(folder / "raw", EVENT)), "")]
    if only != "pinfold":
        redis = add(Redis(folder / "redis", "no"))
        aof = add(Redis(folder / "aof", "yes"))
        plain = add(Tarantool(folder / "tarantool", "none"))
        wal = add(Tarantool(folder / "wal", "write"))
        rows += [Row("Redis EVALSHA", redis, "job1"),
                 Row("Redis EVALSHA", redis, "job1h"),
                 Row("Redis EVALSHA, AOF everysec", aof, "job2"),
                 Row("Tarantool CALL", plain, "job1"),
                 Row("Tarantool CALL", plain, "job1h"),
                 Row("Tarantool CALL", plain, "job2"),
                 Row("Tarantool CALL, WAL", wal, "job2")]
    for job in "job1", "job1h", "job2":
        rows.append(Row("pinfold", add(Broker(folder / job, job)), job))
    return rows


def run(folder, systems, options):
    rows = start_systems(folder, systems, options.only)
    for row in rows[1:]:
        check(row)
    for n in range(options.rounds):
        print(f"round {n + 1} of {options.rounds}", file=sys.stderr)
        for row in rows:
            if row.job in ("", "job1"):
                one_outstanding(row)
        for row in rows:
            many_outstanding(row)
    mine = {row.job: row for row in rows if row.system.peer == "pinfold"}
    lines = [*table(rows, rows[0], mine), "", "| pinfold | |", "|---|---|"]
    for row in mine.values():
        lines += [*cpu_lines(row), *memory_lines(row)]
    lines += [*crash_lines(mine["job1"]), *start_lines(folder),
              *body_lines(folder)]
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["pinfold"])
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pf-bench-"))
    where = machine()
    systems = []
    try:
        lines = [where, "", *run(folder, systems, options)]
    finally:
        for system in systems:
            system.stop()
        shutil.rmtree(folder, ignore_errors=True)
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.record:
        RESULTS.mkdir(exist_ok=True)
        name = where.split(",")[1].split()[-1]
        (RESULTS / f"{date.today()}-{name}.md").write_text(
            "# `make bench`\n\n" + text)


if __name__ == "__main__":
    main()
