# SPDX-License-Identifier: Apache-2.0
"""More than can be done, peers that do not read, an end in the middle of it:
every event is answered once, memory stays bounded, nobody else notices.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgpack
import pytest

from lib.pinfold import Pinfold
from lib.rpc import Client, RpcError, pack
from lib.wait import until

ROOT = Path(__file__).resolve().parents[2]
# Memory is measured on the release build: sanitizers keep what is freed.
RELEASE = Path(os.environ.get("PINFOLD_RELEASE", ROOT / "build"))
MAX_GROWTH = 64 << 20
OK = [["req.set_path", "/ok"]]
SCRIPTS = {"slow": {"before_request": 'kv.get("a") local x = 0 '
                                      'for i = 1, 30000 do x = x + i end '
                                      'mut.req.set_path("/ok")'},
           "quick": {"close": 'mut.req.set_path("/ok")'}}


def rss(pid):
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Release(Pinfold):
    """Of the release build, whatever the other tests take."""

    def spawn(self):
        chosen = os.environ.get("PINFOLD_BUILD")
        os.environ["PINFOLD_BUILD"] = str(RELEASE)
        try:
            super().spawn()
        finally:
            if chosen is None:
                del os.environ["PINFOLD_BUILD"]
            else:
                os.environ["PINFOLD_BUILD"] = chosen


def event(i, body=b""):
    return [{"id": str(i), "req": {"path": "/", "body": body}}]


# --- more events than can be done


class Flood(threading.Thread):
    """Sends all it can without waiting for an answer, and counts them."""

    def __init__(self, path, events, body):
        super().__init__(daemon=True)
        self.client = Client(path, timeout=60)
        self.sock = self.client.sock
        self.left, self.body = events, body
        self.codes, self.wrong = {}, []

    def run(self):
        sender = threading.Thread(target=self.send, daemon=True)
        sender.start()
        unpacker = msgpack.Unpacker(raw=False, max_buffer_size=1 << 28)
        waiting = set(range(self.left))
        while waiting:
            data = self.sock.recv(1 << 18)
            if not data:
                self.wrong.append(f"closed, {len(waiting)} unanswered")
                return
            unpacker.feed(data)
            for kind, msgid, error, result in unpacker:
                self.take(waiting, msgid, error, result)
        sender.join(60)

    def take(self, waiting, msgid, error, result):
        if msgid not in waiting:
            self.wrong.append(f"answered twice: {msgid}")
        waiting.discard(msgid)
        code = error["code"] if error else "ok"
        if not error and result["ops"] != OK:
            self.wrong.append(f"{msgid}: {result}")
        self.codes[code] = self.codes.get(code, 0) + 1

    def send(self):
        for i in range(self.left):
            self.sock.sendall(pack([0, i, "before_request",
                                    event(i, self.body)]))


@pytest.mark.parametrize("body", [0, 12000])
def test_ten_times_too_much(body):
    """R8: ten connections, each with three times what it may have in flight;
    ok or overloaded, each once, in bounded memory; a bystander is served."""
    broker = Release({"log": {"level": "error"}}, SCRIPTS,
                     {"slow": {"on_error": "fail", "timeout": "60s"}})
    with broker:
        beside = broker.client(timeout=60)
        assert beside.call("close", event(0))["ops"] == OK
        before = rss(broker.pid)
        floods = [Flood(broker.socket, 3000, bytes(body)) for _ in range(10)]
        for flood in floods:
            flood.start()
        peak, served = before, 0
        while any(flood.is_alive() for flood in floods):
            assert beside.call("close", event(served))["ops"] == OK
            served += 1
            peak = max(peak, rss(broker.pid))
        codes = {}
        for flood in floods:
            assert not flood.wrong, flood.wrong[:3]
            for code, n in flood.codes.items():
                codes[code] = codes.get(code, 0) + n
        assert set(codes) == {"ok", "overloaded"}, codes
        assert sum(codes.values()) == 30000 and codes["ok"] >= 1000
        assert served > 5
        assert peak - before < MAX_GROWTH, (peak - before) >> 20
        # And afterwards all is as before.
        client = broker.client(timeout=60)
        assert client.call("before_request", event(1))["ops"] == OK
        status = broker.control_client().call("status")
        assert status["running"] == 0


# --- peers that do not read


STOPPED = """
import socket, sys, time
sys.path.insert(0, sys.argv[2])
from lib.rpc import pack
one = socket.socket(socket.AF_UNIX)
one.connect(sys.argv[1])
one.settimeout(1)
body = bytes(6000)
try:
    for i in range(3000):
        one.sendall(pack([0, i, "before_request",
                          [{"id": str(i), "req": {"path": "/", "body": body}}]]))
        if i == 50:
            print("sent", flush=True)
except OSError:
    pass
time.sleep(600)
"""


def test_stopped_clients_are_cut_off_and_cost_nothing():
    """R9: eight processes send and are stopped before they read anything."""
    echo = {"echo": {"before_request": "mut.req.set_body(ctx.req.body .. "
                                       "ctx.req.body)"},
            "quick": SCRIPTS["quick"]}
    with Release({"log": {"level": "warn"}}, echo) as broker:
        beside = broker.client(timeout=60)
        before = rss(broker.pid)
        stopped = []
        try:
            for _ in range(8):
                one = subprocess.Popen(
                    [sys.executable, "-c", STOPPED, str(broker.socket),
                     str(ROOT / "tests")], stdout=subprocess.PIPE)
                stopped.append(one)
                one.stdout.readline()
                one.send_signal(signal.SIGSTOP)
            peak = before
            control = broker.control_client(timeout=60)
            end = time.monotonic() + 40
            while control.call("status")["clients"] > 2:
                assert time.monotonic() < end, "they are kept"
                assert beside.call("close", event(1))["ops"] == OK
                peak = max(peak, rss(broker.pid))
                time.sleep(0.02)
            broker.wait_log("it does not read its answers")
            assert peak - before < MAX_GROWTH, (peak - before) >> 20
        finally:
            for one in stopped:
                one.kill()
                one.communicate()


def test_a_byte_at_a_time_is_slow_for_the_slow_only(pinfold):
    """R9: readers of a few bytes get all of their answers."""
    broker = pinfold(scripts=SCRIPTS)
    slow = [Client(broker.socket, timeout=30) for _ in range(10)]
    for one in slow:
        one.send("close", event(1))
    beside = broker.client()
    data = [b""] * len(slow)
    whole = len(pack([1, 1, None, {"ops": OK, "finished": False,
                                   "errors": []}]))
    for _ in range(whole):
        for i, one in enumerate(slow):
            data[i] += one.sock.recv(1)
        assert beside.call("close", event(2))["ops"] == OK
    for one, answer in zip(slow, data):
        assert msgpack.unpackb(answer)[3]["ops"] == OK
        one.close()


def test_a_drip_holds_up_nobody(pinfold):
    """R10: requests that arrive byte by byte, from many at once."""
    broker = pinfold(scripts=SCRIPTS)
    request = pack([0, 7, "close", event("drip")])
    drips = [Client(broker.socket, timeout=30) for _ in range(20)]
    beside = broker.client()
    for at in range(len(request)):
        for one in drips:
            one.sock.sendall(request[at:at + 1])
        assert beside.call("close", event(1))["ops"] == OK
    for one in drips:
        assert one.wait(7)["ops"] == OK
        one.close()


# --- an end under load


class Steady(threading.Thread):
    """Keeps a window outstanding until it is told that the broker goes."""

    def __init__(self, broker):
        super().__init__(daemon=True)
        self.client = broker.client(timeout=30)
        self.codes, self.wrong = {}, []

    def run(self):
        n, waiting = 0, set()
        try:
            while not self.client.notifications or waiting:
                while len(waiting) < 32 and not self.client.notifications:
                    n += 1
                    waiting.add(self.client.send("before_request", event(n)))
                self.client._read(30)
                for msgid in list(self.client.answers):
                    self.take(waiting, msgid)
                if self.client.closed:
                    break
        except OSError as error:
            # It closed between two of our requests: those it never saw.
            self.wrong.append(f"{error!r} with {len(waiting)} unanswered")
        if waiting:
            self.wrong.append(f"{len(waiting)} unanswered at the end")

    def take(self, waiting, msgid):
        error, result = self.client.answers.pop(msgid)
        if msgid not in waiting:
            self.wrong.append(f"answered twice: {msgid}")
        waiting.discard(msgid)
        code = error["code"] if error else "ok"
        if not error and result["ops"] != OK:
            self.wrong.append(f"{msgid}: {result}")
        self.codes[code] = self.codes.get(code, 0) + 1


def test_twenty_ends_under_load(pinfold):
    """R12: SIGTERM: what was sent is answered, by the script or with
    shutting_down, before the connection closes; then exit 0."""
    broker = Pinfold({"log": {"level": "error"}},
                     {"s": {"before_request": 'kv.incr("n") '
                            'mut.req.set_path("/ok")',
                            "flush": 'kv.incr("flushed")'}})
    good = 0
    try:
        for i in range(20):
            broker.start()
            loads = [Steady(broker) for _ in range(3)]
            for load in loads:
                load.start()
            until(lambda: all(load.codes.get("ok", 0) > 20 for load in loads),
                  30, "load")
            broker.process.send_signal(signal.SIGTERM)
            assert broker.wait_exit() == 0, broker.log()
            for load in loads:
                load.join(30)
                assert not load.is_alive()
                assert not load.wrong, load.wrong
                assert set(load.codes) <= {"ok", "shutting_down"}, load.codes
                good += load.codes["ok"]
            assert not broker.socket.exists() and not broker.control.exists()
            broker._forget()
        broker.start()
        control = broker.control_client()
        # Each answered event has left its mark, each end has run `flush`.
        assert int(control.call("kv.get", ["n"])) == good
        assert int(control.call("kv.get", ["flushed"])) == 20
        assert broker.stop() == 0
    finally:
        broker.close()


def test_an_end_with_an_event_that_hangs(pinfold):
    """The drain has its time-out; the event is answered, the exit is 0."""
    broker = pinfold({"shutdown_timeout": "500ms"},
                     {"s": {"before_request": "while true do end"},
                      "quick": SCRIPTS["quick"]},
                     {"s": {"timeout": "60s"}})
    client = broker.client(timeout=30)
    sent = [client.send("before_request", event(i)) for i in range(100)]
    assert client.call("close", event("x"))["ops"] == OK
    broker.process.send_signal(signal.SIGTERM)
    codes = []
    for msgid in sent:
        with pytest.raises(RpcError) as caught:
            client.wait(msgid)
        codes.append(caught.value.code)
    assert set(codes) == {"shutting_down"}
    assert broker.wait_exit() == 0


def test_a_client_that_goes_takes_nothing_with_it(pinfold):
    """Connections that end with events in flight leave nothing behind."""
    broker = pinfold(scripts=SCRIPTS)
    control = broker.control_client()
    for i in range(30):
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(broker.socket))
        one.sendall(b"".join(pack([0, n, "before_request", event(n)])
                             for n in range(20)))
        one.close()
    until(lambda: control.call("status")["clients"] == 1, 30, "all are gone")
    assert control.call("status")["running"] == 0
    assert broker.client().call("before_request", event(1))["ops"] == OK
