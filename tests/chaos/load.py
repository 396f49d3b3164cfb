# SPDX-License-Identifier: Apache-2.0
"""Events in flight and the book about them, for the drills of this folder."""

import argparse
import multiprocessing
import os
import threading
import time


class Load(threading.Thread):
    """One connection that keeps `window` events outstanding.

    A drill says what is sent, event(n) -> (hook, map), and what to make of an
    answer, took(n, hook, error, result). Told here, in `wrong`: an answer that
    came twice or unasked, an event without one.
    """

    def __init__(self, broker, window):
        super().__init__(daemon=True)
        self.client = broker.client(timeout=30)
        self.window = window
        self.halt = threading.Event()
        self.cut = False        # the other side closed while we were sending
        self.sent = 0
        self.wrong = []

    def event(self, n):
        raise NotImplementedError

    def took(self, n, hook, error, result):
        raise NotImplementedError

    def stop(self):
        """No more events; `join` then waits for the answers."""
        self.halt.set()

    def going(self):
        return not self.halt.is_set()

    def left(self, n):
        """The connection ended, and so many events had no answer."""
        self.wrong.append(f"{n} events without an answer")

    def run(self):
        waiting = {}
        while not self.client.closed and (self.going() or waiting):
            while (self.going() and not self.cut and
                   len(waiting) < self.window):
                self.send(waiting)
            self.client._read(30)
            for msgid in list(self.client.answers):
                self.take(msgid, waiting)
        if waiting:
            self.left(len(waiting))

    def send(self, waiting):
        self.sent += 1
        hook, event = self.event(self.sent)
        try:
            msgid = self.client.send(hook, [event])
        except OSError:     # what was answered before is still to be read
            self.cut = True
            msgid = self.client._next
        waiting[msgid] = self.sent, hook

    def take(self, msgid, waiting):
        error, result = self.client.answers.pop(msgid)
        if msgid not in waiting:
            self.wrong.append(f"answered twice or unasked: {msgid}")
            return
        self.took(*waiting.pop(msgid), error, result)


class Process:
    """see(broker, end, ...) in a process of its own, for some seconds: what it
    returns is a list of seconds and one of what was wrong."""

    def __init__(self, see, broker, seconds, *args):
        context = multiprocessing.get_context("fork")
        end = time.monotonic() + seconds
        self._told, answer = context.Pipe(False)
        self._process = context.Process(
            target=lambda: answer.send(see(broker, end, *args)), daemon=True)
        self._process.start()
        answer.close()      # so that its death is the end of this

    def result(self, wrong):
        """Its seconds, sorted; at most 20 of its wrongs are added to `wrong`."""
        took, found = self._told.recv()
        self._process.kill()
        self._process.join(30)
        wrong += found[:20]
        return sorted(took)


def finish(loads):
    """Stop all of them; what they found wrong."""
    for load in loads:
        load.stop()
    for load in loads:
        load.join(60)
    wrong = [text for load in loads for text in load.wrong]
    return wrong + ["a connection hangs" for load in loads if load.is_alive()]


def count(into, key, n=1):
    into[key] = into.get(key, 0) + n


def share(values, part):
    """Of sorted values, the one that this part of them does not exceed."""
    return values[min(len(values) - 1, int(len(values) * part))]


def busy():
    """How much else the machine had to do: a figure of time is worth that."""
    return "load average {:.1f} on {} processors".format(os.getloadavg()[0],
                                                         os.cpu_count())


def code_of(error, result):
    """`ok`, or the code of the failure."""
    if error is not None:
        return error.get("code")
    return result["errors"][0]["code"] if result["errors"] else "ok"


def arguments(**defaults):
    """Options of a drill from its defaults, and --seed (or SEED)."""
    parser = argparse.ArgumentParser()
    for name, value in defaults.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(value), default=value)
    parser.add_argument("--seed", type=int,
                        default=int(os.environ.get("SEED", time.time())))
    args = parser.parse_args()
    print(f"SEED={args.seed}", flush=True)
    return args


def verdict(name, wrong):
    """Print it; the exit code."""
    for text in wrong[:20]:
        print("WRONG:", text[:2000])
    print(f"{name}: " + ("failed" if wrong else "all as it should be"))
    return bool(wrong)
