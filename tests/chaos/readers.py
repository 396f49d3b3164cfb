#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two hundred connections ask for much and do not read it.

    tests/chaos/readers.py [--rounds 5] [--readers 200] [--most 0] [--seed N]

Half of them read a byte a second, the others belong to a process that is
stopped while it sends. A client beside asks a script, one event after the
other: alone, beside as many that ask for the same and read it, and beside
these. The verdict: that client gets right answers all the time; each of those
that do not read is cut off; pinfoldd grows by less than MAX_GROWTH, whatever
was asked for: 64 MiB of answers may wait altogether, and the allocator keeps
some of what was freed.

Printed, and wrong only above --most: the ratio of that client's p99 beside
those that do not read to that beside those that do; and both to that alone,
which tell what the work itself costs on this machine.
"""

import multiprocessing
import os
import select
import signal
import socket
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.pinfold import Pinfold  # noqa: E402
from lib.rpc import pack  # noqa: E402
from load import arguments, busy, share, verdict  # noqa: E402
from overload import OK, rss  # noqa: E402

MAX_GROWTH = 256 << 20
PHASE, PATIENCE, ROUND = 4.0, 60.0, 0.1     # seconds; ROUND: each asks once
STOPS = 2.0                                 # seconds, then it is stopped
SCRIPTS = {"much": {"before_request":
                    'mut.req.set_body(("x"):rep(20000))'},
           "quick": {"close": 'mut.req.set_path("/ok")'}}
ASK = pack([0, 1, "before_request", [{"id": "1", "req": {}}]])


class After:
    """So many seconds from now."""

    def __init__(self, seconds):
        self.at = time.monotonic() + seconds

    def __call__(self):
        return time.monotonic() >= self.at


def connect(path, n):
    sockets = []
    for _ in range(n):
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(path))
        one.setblocking(False)
        sockets.append(one)
    return sockets


def ask(one):
    """False: it was cut off, and knows now."""
    try:
        one.send(ASK)
    except BlockingIOError:
        pass
    except OSError:
        one.close()
        return False
    return True


def read(one, n):
    try:
        one.recv(n)
    except OSError:
        pass


def crowd(path, n, manner, end):
    """Of n connections each asks once a ROUND, evenly spread, and `reads` what
    it gets, or `drips` (a byte a second), or `stops` with all its process."""
    sockets, stops, rounds = connect(path, n), After(STOPS), 0
    come = select.epoll()
    if manner == "reads":
        for one in sockets:
            come.register(one, select.EPOLLIN)
    by_fd = {one.fileno(): one for one in sockets}
    while sockets and not end.is_set():
        start = time.monotonic()
        for i, one in enumerate(list(sockets)):
            if not ask(one):
                sockets.remove(one)
            elif manner == "drips" and rounds % int(1 / ROUND) == 0:
                read(one, 1)
            at = start + (i + 1) * ROUND / n
            while (left := at - time.monotonic()) > 0:
                for fd, _ in come.poll(left):
                    read(by_fd[fd], 1 << 20)
        rounds += 1
        if manner == "stops" and stops():
            os.kill(os.getpid(), signal.SIGSTOP)


class Crowd:
    """Some of each manner, each manner in a process of its own."""

    def __init__(self, broker, n, manners):
        context = multiprocessing.get_context("fork")
        self.end = context.Event()
        self.processes = [
            context.Process(target=crowd, daemon=True,
                            args=(broker.socket, n // len(manners), manner,
                                  self.end))
            for manner in manners]

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        for process in self.processes:
            process.kill()
            process.join(30)


class Beside:
    """What the client gets that reads, and how large the broker is."""

    def __init__(self, broker):
        self.client, self.pid = broker.client(timeout=60), broker.pid
        self.wrong, self.peak = [], 0

    def ask_until(self, over):
        """Seconds of each event."""
        took = []
        while not over():
            start = time.perf_counter()
            result = self.client.call("close", [{"id": "1"}])
            took.append(time.perf_counter() - start)
            if result["ops"] != OK or result["errors"]:
                self.wrong.append(f"the one beside got {result}")
            self.peak = max(self.peak, rss(self.pid))
        return took


def gone(control, late):
    """All but the two that read have been cut off."""
    next_look = After(0)

    def over():
        nonlocal next_look
        if late() or not next_look():
            return late()
        next_look = After(0.1)
        return control.call("status")["clients"] <= 2

    return over


def one(broker, beside, control, n):
    """p99 alone, beside readers, beside the others; adds to beside.wrong."""
    took = [beside.ask_until(After(PHASE))]
    with Crowd(broker, n, ["reads", "reads"]):
        took.append(beside.ask_until(After(PHASE)))
    with Crowd(broker, n, ["drips", "stops"]):
        crowded = beside.ask_until(After(STOPS))
        late = After(PATIENCE)
        took.append(crowded + beside.ask_until(gone(control, late)))
        if late():
            clients = control.call("status")["clients"]
            beside.wrong.append(f"{clients} connections are kept")
    return [share(sorted(phase), 0.99) for phase in took]


def run(rounds, readers, most=0.0, growth=MAX_GROWTH, out=print):
    """The verdict: a list of what was wrong, empty when all is well."""
    ratios = []
    with Pinfold({"log": {"level": "warn"}}, SCRIPTS) as broker:
        beside = Beside(broker)
        control = broker.control_client(timeout=60)
        beside.ask_until(After(0.2))
        before = rss(broker.pid)
        for i in range(rounds):
            alone, reading, unread = one(broker, beside, control, readers)
            ratios.append(unread / reading)
            out(f"round {i + 1}: p99 x{ratios[-1]:.2f} (alone {alone * 1e6:.0f} "
                f"us, beside readers x{reading / alone:.2f}, beside these "
                f"x{unread / alone:.2f}), "
                f"{(beside.peak - before) / (1 << 20):.0f} MiB more at most; "
                f"{busy()}")
        cut = broker.log().count("it does not read its answers")
        out(f"{rounds} rounds of {readers}, {cut} cut off, p99 "
            f"x{statistics.median(ratios):.2f} (median)")
        wrong = beside.wrong
        if beside.peak - before > growth:
            wrong.append(f"it grew by {(beside.peak - before) >> 20} MiB")
        if cut < rounds * readers:
            wrong.append(f"only {cut} were cut off")
    if most and statistics.median(ratios) > most:
        wrong.append("the others have made it slower")
    return wrong


def main():
    args = arguments(rounds=5, readers=200, most=0.0)
    return verdict("readers", run(args.rounds, args.readers, args.most))


if __name__ == "__main__":
    sys.exit(main())
