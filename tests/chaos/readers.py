#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two hundred connections ask for much and do not read it.

    tests/chaos/readers.py [--rounds 5] [--readers 200] [--most 0] [--seed N]

Half of them read a byte a second, the others belong to a process that is
stopped while it sends. In each round a client asks a script beside, one event
after the other, first alone and then while they are there. The verdict: that
client gets right answers all the time; each of the others is cut off; pinfoldd
grows by less than MAX_GROWTH, whatever was asked for: 64 MiB of answers may wait
altogether, and the allocator keeps some of what was freed.

Printed, and wrong only above --most: the ratio of that client's p99 beside them
to that without.
"""

import multiprocessing
import os
import signal
import socket
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.pinfold import Pinfold  # noqa: E402
from lib.rpc import pack  # noqa: E402
from load import arguments, busy, share, verdict  # noqa: E402
from overload import OK, rss  # noqa: E402

MAX_GROWTH = 256 << 20
ALONE, PATIENCE, PACE = 3.0, 60.0, 0.1      # seconds
SCRIPTS = {"much": {"before_request":
                    'mut.req.set_body(("x"):rep(400000))'},
           "quick": {"close": 'mut.req.set_path("/ok")'}}
ASK = b"".join(pack([0, i, "before_request", [{"id": str(i), "req": {}}]])
               for i in range(4))


def connect(path, n):
    sockets = []
    for _ in range(n):
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(path))
        one.setblocking(False)
        sockets.append(one)
    return sockets


def ask(sockets):
    """Once each. Those that were cut off, or are told so, go."""
    for one in list(sockets):
        try:
            one.send(ASK)
        except BlockingIOError:
            pass
        except OSError:
            sockets.remove(one)
            one.close()


class Drips(threading.Thread):
    """They go on asking, and read a byte a second."""

    def __init__(self, path, n):
        super().__init__(daemon=True)
        self.sockets, self.end = connect(path, n), threading.Event()

    def run(self):
        second = time.monotonic()
        while not self.end.wait(PACE):
            ask(self.sockets)
            if time.monotonic() - second >= 1:
                second += 1
                for one in self.sockets:
                    try:
                        one.recv(1)
                    except OSError:
                        pass
        for one in self.sockets:
            one.close()


def stopped(path, n):
    """Asks for a while, then nothing: by a signal, as from a terminal."""
    sockets = connect(path, n)
    for _ in range(20):
        ask(sockets)
        time.sleep(PACE)
    os.kill(os.getpid(), signal.SIGSTOP)


class Beside:
    """What the client gets that reads, and how large the broker is."""

    def __init__(self, broker):
        self.client, self.pid = broker.client(timeout=60), broker.pid
        self.wrong, self.peak = [], 0

    def ask_until(self, over):
        took = []
        while not over():
            start = time.perf_counter()
            result = self.client.call("close", [{"id": "1"}])
            took.append(time.perf_counter() - start)
            if result["ops"] != OK or result["errors"]:
                self.wrong.append(f"the one beside got {result}")
            self.peak = max(self.peak, rss(self.pid))
        return sorted(took)


class After:
    """So many seconds from now."""

    def __init__(self, seconds):
        self.at = time.monotonic() + seconds

    def __call__(self):
        return time.monotonic() >= self.at


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


def one(broker, beside, control, readers):
    """The ratio of p99; adds to beside.wrong."""
    alone = beside.ask_until(After(ALONE))
    drips = Drips(broker.socket, readers // 2)
    process = multiprocessing.get_context("fork").Process(
        target=stopped, args=(broker.socket, readers - readers // 2),
        daemon=True)
    process.start()
    drips.start()
    try:
        crowded = beside.ask_until(After(2))    # until the other one stops
        late = After(PATIENCE)
        crowded += beside.ask_until(gone(control, late))
        if late():
            clients = control.call("status")["clients"]
            beside.wrong.append(f"{clients} connections are kept")
    finally:
        drips.end.set()
        drips.join(30)
        process.kill()
        process.join(30)
    return share(sorted(crowded), 0.99) / share(alone, 0.99)


def run(rounds, readers, most=0.0, growth=MAX_GROWTH, out=print):
    """The verdict: a list of what was wrong, empty when all is well."""
    ratios = []
    with Pinfold({"log": {"level": "warn"}}, SCRIPTS) as broker:
        beside = Beside(broker)
        control = broker.control_client(timeout=60)
        beside.ask_until(After(0.2))
        before = rss(broker.pid)
        for i in range(rounds):
            ratios.append(one(broker, beside, control, readers))
            out(f"round {i + 1}: p99 x{ratios[-1]:.2f}, "
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
