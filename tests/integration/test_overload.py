# SPDX-License-Identifier: Apache-2.0
"""More than can be done, peers that do not read, an end in the middle of it:
every event is answered once, memory stays bounded, nobody else notices.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgpack
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "chaos"))

import ends  # noqa: E402
from lib.fake_scripts import FAKE  # noqa: E402
from lib.pinfold import Pinfold, running  # noqa: E402
from lib.rpc import Client, pack  # noqa: E402
from lib.wait import until  # noqa: E402

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


def connect_all(path, n):
    socks = []
    for _ in range(n):
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(path))
        one.settimeout(30)
        socks.append(one)
    return socks


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


def test_what_is_begun_and_not_ended_is_bounded():
    """Forty connections begin with 15 MiB each and never end them: all but
    some are cut off, those with most of it, and nobody else."""
    begun = pack([0, 1, "close", [{"id": "1", "x": bytes(15 << 20)}]])[:-1]
    with Release({"log": {"level": "warn"}},
                 {"quick": SCRIPTS["quick"]}) as broker:
        small, beside = broker.client(timeout=60), broker.client(timeout=60)
        request = pack([0, 7, "close", event("small")])
        small.send_raw(request[:-1])
        before = rss(broker.pid)
        socks = connect_all(broker.socket, 40)
        for one in socks:
            with contextlib.suppress(OSError):      # it is cut off
                one.sendall(begun)
            assert beside.call("close", event(1))["ops"] == OK
            assert rss(broker.pid) - before < (256 << 20) + MAX_GROWTH
        status = broker.control_client(timeout=60).call("status")
        assert 16 <= status["clients"] - 3 <= 17
        small.send_raw(request[-1:])
        assert small.wait(7)["ops"] == OK
        assert broker.log().count("begun and not ended") >= 23
        for one in socks:
            one.close()


# --- more than a worker can hold


@pytest.mark.parametrize("memory, header, body", [
    ("64MiB", 15, 3),       # over what broker and worker exchange
    ("64MiB", 10, 15),
    ("16MiB", 8, 0),        # over a quarter of the script's memory
    ("16MiB", 1, 5),
])
def test_what_a_worker_cannot_hold_is_too_large_for_it(memory, header, body):
    """An event and what earlier scripts did to it: that script fails with it,
    its worker lives, and the next event is served."""
    scripts = {"first": {"before_request": 'mut.req.set_body('
                         '("x"):rep(tonumber(ctx.req.path)))'},
               "second": {"before_request": 'mut.req.set_path("/second")'}}
    settings = {"first": {"memory": "128MiB"}, "second": {"memory": memory}}
    with Release({"log": {"level": "warn"}}, scripts, settings) as broker:
        client, control = broker.client(timeout=30), broker.control_client()
        pids = set(broker.children())
        event = [{"id": "1", "req": {
            "path": str(body << 20), "headers": [["X", "y" * (header << 20)]]}}]
        error = client.error("before_request", event)
        assert error.code == "too_large", error
        assert "a quarter of the script's memory" in error.message
        event[0]["req"] = {"path": "1"}
        result = client.call("before_request", event)
        assert result["errors"] == [] and len(result["ops"]) == 2
        assert set(broker.children()) == pids
        shown = control.call("script.show", ["second"])
        assert shown["errors"] == {"too_large": 1}


# --- an end under load


def test_twenty_ends_under_load():
    """R12; `make soak` has a hundred."""
    assert ends.run(times=20, seed=20261122) == []


def read_to_the_end(sock):
    """All messages up to the end, which must be a close and no reset."""
    unpacker = msgpack.Unpacker(raw=False)
    while data := sock.recv(1 << 18):
        unpacker.feed(data)
    return list(unpacker)


def test_who_still_sends_at_the_end_misses_no_answer(pinfold):
    """R12: many a client reads no more once a write of its own has failed. So
    the broker first ends its own side only, and none fails."""
    broker = pinfold(scripts=SCRIPTS)
    client, control = broker.client(timeout=30), broker.control_client()
    sent = [client.send("close", event(i)) for i in range(100)]
    until(lambda: control.call("script.show", ["quick"])["events"] == 100, 30,
          "all are answered, and none is read")
    broker.process.send_signal(signal.SIGTERM)
    ended = select.poll()
    ended.register(client.sock, select.POLLRDHUP)
    while not ended.poll(10):
        sent.append(client.send("close", event("more")))
    for _ in range(20):
        client.send("close", event("late"))
    answers = [m for m in read_to_the_end(client.sock) if m[0] == 1]
    assert [m[1] for m in answers] == sent[:len(answers)]
    assert len(answers) >= len(sent) - 1, "one may have crossed the end"
    assert all(m[3]["ops"] == OK for m in answers[:100])
    assert {m[2]["code"] for m in answers if m[2]} <= {"shutting_down"}
    client.close()
    assert broker.wait_exit() == 0


def test_nobody_has_to_wait_for_who_was_told_all(pinfold):
    """The broker does not outlive the patience of one that stays and is owed
    nothing: it closes, and that is the end that this client sees."""
    broker = pinfold(scripts=SCRIPTS)
    client = broker.client(timeout=30)
    assert client.call("close", event(1))["ops"] == OK
    broker.process.send_signal(signal.SIGTERM)
    assert broker.wait_exit() == 0
    assert [m[1] for m in read_to_the_end(client.sock)] == ["goaway"]


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
    codes = [client.wait_error(msgid).code for msgid in sent]
    assert set(codes) == {"shutting_down"}
    assert broker.wait_exit() == 0


def test_a_second_signal_ends_the_wait(pinfold):
    broker = pinfold({"shutdown_timeout": "60s", "hook_timeout": "60s"},
                     {"s": {"before_request": "while true do end"}},
                     {"s": {"timeout": "60s"}})
    client, control = broker.client(timeout=30), broker.control_client()
    sent = client.send("before_request", event(1))
    until(lambda: control.call("status")["running"] == 1, 30, "it runs")
    broker.process.send_signal(signal.SIGINT)
    assert client.wait_notification("goaway")
    assert not client.answers and broker.process.poll() is None
    broker.process.send_signal(signal.SIGTERM)
    assert client.wait_error(sent).code == "shutting_down"
    assert broker.wait_exit() == 0


def test_an_end_before_it_serves(tmp_path):
    """A worker that loads for ever holds up no end."""
    broker = Pinfold({"worker": FAKE}, {"s": {
        "close": f"open({str(tmp_path / 'loading')!r}, 'w').close()\n"
                 "import time\ntime.sleep(600)"}})
    broker.spawn()
    until((tmp_path / "loading").exists, 30, "it loads")
    workers = list(broker.children())
    broker.process.send_signal(signal.SIGTERM)
    assert broker.wait_exit() == 0
    assert broker.stdout == [] and not broker.socket.exists()
    assert workers and not any(map(running, workers))
    broker.close()


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
