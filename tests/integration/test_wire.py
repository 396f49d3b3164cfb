# SPDX-License-Identifier: Apache-2.0
"""The wire as any client may use it, well or badly (proto/PROTOCOL.md 1 to 4)."""

import fcntl
import random
import signal
import socket
import struct
import termios
import time

import msgpack
import pytest

from lib.fake_scripts import ECHO, FAKE, HOLD, blocking
from lib.pinfold import Pinfold
from lib.rpc import ConnectionLost, RpcError, lazy, pack
from lib.wait import until

WIDE = {"concurrency": 256}
EMPTY = {"ops": [], "finished": False, "errors": []}


@pytest.fixture(scope="module")
def shared():
    """A broker for tests that leave it as it was."""
    with Pinfold({"worker": FAKE},
                 {"s": {"before_request": HOLD, "close": HOLD}},
                 {"s": WIDE}) as broker:
        yield broker
        assert broker.stop() == 0


def path_of(result):
    return result["ops"][0][1]


def ask(client, id):
    return path_of(client.call("before_request", [{"id": id}]))


# --- hello

def test_hello(shared):
    client = shared.client()
    answer = client.hello()
    assert answer["protocol"] == 1 and answer["server"] == "pinfold"
    assert answer["caps"] == ["lazy_body"]
    assert answer["limits"] == {"max_message": 16 << 20, "max_inflight": 1024,
                                "inline_body": 16 << 10}
    assert set(answer["hooks"]) == {"before_request", "close"}
    assert answer["hooks"]["before_request"]["mode"] == "decide"
    assert answer["hooks"]["close"]["mode"] == "observe"
    assert answer["hooks"]["close"]["reads"] == \
        ["req", "req.body", "resp", "resp.body", "ws"]
    assert ask(client, "1") == "1"


@pytest.mark.parametrize("params, caps", [
    ([], []), ([{}], []), ([{"caps": []}], []), ([{"caps": ["x"]}], []),
    ([{"caps": ["x", b"lazy_body"]}], ["lazy_body"]), ([{"caps": 5}], []),
    (["?"], []), ([{"protocol": 9, "more": {}}, 2], [])])
def test_hello_in_all_shapes(shared, params, caps):
    client = shared.client()
    assert client.call("hello", params)["caps"] == caps
    assert ask(client, "1") == "1"


def test_without_hello(shared):
    assert ask(shared.client(), "1") == "1"


# --- methods and events

def test_unknown_methods(shared):
    client = shared.client()
    for method in ("", "before_reques", "bus", "status", "kv.get", "shutdown",
                   "auth_on_registe", "x" * 5000):
        assert client.error(method, [{"id": "1"}]).code == "unknown_method"
        client.notify(method, [{"id": "1"}])
    assert ask(client, "1") == "1"
    assert client.notifications == []


@pytest.mark.parametrize("params", [
    [], [{}], [{"id": ""}], [{"id": 5}], [{"id": None}], [{"id": ["1"]}], [5],
    ["1"], [["id", "1"]], [None], [{"id": "1", "deadline_ms": "5"}],
    [{"id": "1", "deadline_ms": 1.5}], [{"id": "1", "traceparent": 5}]])
def test_bad_events(shared, params):
    client = shared.client()
    assert client.error("before_request", params).code == "bad_event"
    client.notify("before_request", params)
    assert ask(client, "1") == "1"
    assert client.notifications == []


def test_events_with_more_than_they_need(shared):
    client = shared.client()
    event = {b"id": b"bytes", "unknown": [{}], 5: 6, None: None}
    assert path_of(client.call("before_request", [event])) == "bytes"
    many = {f"k{i}": i for i in range(100)}
    assert path_of(client.call("before_request", [dict(many, id="x")])) == "x"
    assert path_of(client.call("before_request", [{"id": "x"}, 2, {}])) == "x"


def test_hooks_that_nobody_serves(shared):
    client = shared.client()
    for hook in ("connect", "ws_msg", "after_response", "error"):
        assert client.call(hook, [{"id": "1"}]) == EMPTY
    assert client.call("flush", [{}]) == EMPTY
    assert client.error("connect", [{}]).code == "bad_event"


def test_nothing_answers_a_notification(shared):
    client = shared.client()
    for i in range(50):
        client.notify("before_request", [{"id": str(i)}])
        client.notify("connect", [{"id": str(i)}])
        client.notify("hello", [{}])
    assert ask(client, "last") == "last"
    assert client.notifications == [] and client.answers == {}


def test_answers_that_nobody_asked_for(shared):
    client = shared.client()
    for msgid in (0, 1, 2 ** 32 - 1):
        client.send_raw(pack([1, msgid, None, b"x" * 100]))
    assert ask(client, "1") == "1"


# --- order

SHUFFLE = """
import msgpack, random, select
clock, held = 0, []
def run(w, id, p):
    global clock
    clock += 1
    held.append((id, msgpack.unpackb(p[1])["req"]["path"], clock))
    if len(held) < 12 and select.select([3], [], [], 0.002)[0]:
        return
    random.shuffle(held)
    for id, path, begun in held:
        clock += 1
        w.answer(id, [["req.set_path", f"{path} {begun} {clock}"]])
    held.clear()
"""


def test_events_of_one_id_run_one_after_the_other(pinfold):
    broker = pinfold({"worker": FAKE},
                     {"s": {"before_request": SHUFFLE, "close": SHUFFLE}},
                     {"s": {"concurrency": 16}})
    clients = [broker.client(), broker.client()]
    random.seed(7)
    sent = []
    for n in range(800):
        client, id = random.choice(clients), random.choice("abcdefg")
        hook = random.choice(["before_request", "close"])
        msgid = client.send(hook, [{"id": id, "req": {"path": str(n)}}])
        sent.append((client, id, msgid, n))
    ends, overtaken, latest = {}, 0, 0
    for client, id, msgid, n in sent:
        path, begun, end = path_of(client.wait(msgid)).split()
        assert int(path) == n
        assert int(begun) > ends.get((client, id), 0)
        ends[client, id] = int(end)
        overtaken += int(begun) < latest
        latest = max(latest, int(end))
    assert overtaken > 100, "others may overtake"


def test_one_id_on_two_connections_does_not_block(shared):
    first, second = shared.client(), shared.client()
    held = first.send("before_request", [{"id": "hold"}])
    behind = first.send("close", [{"id": "hold"}])
    assert ask(first, "other") == "other"
    also = second.send("before_request", [{"id": "hold"}])
    assert ask(second, "go") == "go"
    assert path_of(first.wait(held)) == path_of(second.wait(also)) == "hold"
    until(lambda: ask(second, "go") and (first.pump(0.01) or
          behind in first.answers), what="the one behind it")


def test_a_thousand_requests_in_one_write(shared):
    client = shared.client()
    data = b"".join(pack([0, n, "before_request", [{"id": f"p{n}"}]])
                    for n in range(1000))
    client.send_raw(data)
    for n in range(1000):
        assert path_of(client.wait(n)) == f"p{n}"


# --- limits

def test_max_inflight(pinfold):
    broker = pinfold({"worker": FAKE, "limits": {"max_inflight": 8}},
                     {"s": {"before_request": HOLD}}, {"s": WIDE})
    client, other = broker.client(), broker.client()
    sent = [client.send("before_request", [{"id": f"hold{n}"}])
            for n in range(12)]
    for msgid in sent[8:]:
        assert client.wait_error(msgid).code == "overloaded"
    assert ask(other, "go") == "go"
    for n, msgid in enumerate(sent[:8]):
        assert path_of(client.wait(msgid)) == f"hold{n}"
    assert ask(client, "again") == "again"


def test_a_full_queue_is_told(pinfold, tmp_path):
    broker = pinfold({"worker": FAKE, "hook_timeout": "60s"},
                     {"s": {"before_request": blocking(tmp_path / "go")}},
                     {"s": {"timeout": "60s"}})
    sent = []
    for client in (broker.client(timeout=30), broker.client(timeout=30)):
        client.send_raw(b"".join(
            pack([0, n, "before_request", [{"id": f"slow{n}"}]])
            for n in range(1000)))
        assert ask_close(client) == EMPTY
        sent += [(client, n) for n in range(1000)]
    (tmp_path / "go").touch()
    good = refused = 0
    for client, n in sent:
        try:
            assert path_of(client.wait(n)) == f"slow{n}"
            good += 1
        except RpcError as error:
            assert error.code == "overloaded" and error.script == "s"
            refused += 1
    assert good == 1 + 64 + 1024 and refused == 2000 - good
    assert ask(client, "again") == "again"


def ask_close(client):
    """A round trip that no script has a part in; its id is far from others."""
    client._next = 10000
    return client.call("close", [{"id": "x"}])


def test_max_message_to_the_byte(pinfold):
    broker = pinfold({"worker": FAKE, "limits": {"max_message": "2MiB"}},
                     {"s": {"before_request": ECHO}})
    client = broker.client()
    assert client.hello()["limits"]["max_message"] == 2 << 20

    def message(size):
        event = {"id": "1", "x": b""}
        with_some = dict(event, x=b"x" * 70000)
        some = len(pack([0, 7, "before_request", [with_some]]))
        event["x"] = b"x" * (70000 + size - some)
        data = pack([0, 7, "before_request", [event]])
        assert len(data) == size
        return data

    client.send_raw(message(2 << 20))
    assert path_of(client.wait(7)) == "1"
    try:
        client.send_raw(message((2 << 20) + 1))
    except BrokenPipeError:
        pass        # refused at its head, before all of it had left
    assert_refused(client)


def nested(depth):
    """A whole request whose deepest array is at that level."""
    value = b"\x91" * (depth - 3) + b"\xc0"
    return (b"\x94\x00\x07" + pack("before_request") + b"\x91\x82" +
            pack("id") + pack("1") + pack("x") + value)


def test_nesting(shared):
    client = shared.client()
    client.send_raw(nested(32))
    assert path_of(client.wait(7)) == "1"
    client.send_raw(nested(33))
    assert_refused(client)


def assert_refused(client):
    """The notification `error`, then the end, and nothing else."""
    client.wait_closed()
    assert [name for name, _ in client.notifications] == ["error"]
    error = client.notifications[0][1][0]
    assert error["code"] == "protocol" and error["message"]


GARBAGE = {
    "never": b"\xc1",
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "a_number": b"\x05",
    "a_map": b"\x80",
    "an_array_of_nothing": b"\x90",
    "no_such_type": pack([3, 1, "before_request", []]),
    "id_is_text": pack([0, "1", "before_request", []]),
    "id_is_negative": pack([0, -1, "before_request", []]),
    "id_is_too_large": pack([0, 2 ** 32, "before_request", []]),
    "params_is_a_map": pack([0, 1, "before_request", {"id": "1"}]),
    "params_is_nil": pack([0, 1, "before_request", None]),
    "three_elements": pack([0, 1, "before_request"]),
    "five_elements": pack([0, 1, "before_request", [], 5]),
    "method_is_a_number": pack([0, 1, 5, []]),
    "four_gib": b"\x94\x00\x01\xdb\xff\xff\xff\xff",
    "many_elements": b"\xdd\xff\xff\xff\xff",
    "many_pairs": b"\xdf\x7f\xff\xff\xff",
    "deep": b"\x91" * 100,
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_ends_that_connection_only(shared, garbage):
    good, bad = shared.client(), shared.client()
    held = good.send("before_request", [{"id": "hold"}])
    before = bad.send("before_request", [{"id": "before"}])
    assert path_of(bad.wait(before)) == "before"
    bad.send_raw(GARBAGE[garbage])
    assert_refused(bad)
    assert ask(good, "go") == "go"
    assert path_of(good.wait(held)) == "hold"


def test_what_was_asked_before_garbage_is_still_begun(shared):
    client = shared.client()
    client.send_raw(pack([0, 1, "connect", [{"id": "1"}]]) + b"\xc1")
    client.wait_closed()
    assert client.answers == {1: [None, EMPTY]}


def rss(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_a_thousand_hostile_connections(shared):
    pieces = [b"\xc1", b"\x94\x00\x01\xc6\x00\xff\x00\x00", b"\x91" * 31,
              pack([0, 1, "before_request", [{"id": "x" * 900}]])[:-1], b"",
              b"\xdd\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n"]
    good = shared.client()
    assert ask(good, "start") == "start"
    control = shared.control_client()
    before, clients = rss(shared.pid), control.call("status")["clients"]
    for wave in range(4):
        socks = []
        for n in range(250):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(shared.socket))
            sock.sendall(pieces[n % len(pieces)])
            socks.append(sock)
            if n % 10 == 0:
                assert ask(good, f"{wave}.{n}") == f"{wave}.{n}"
        for sock in socks:
            sock.close()
    until(lambda: control.call("status")["clients"] <= clients, 10, "all gone")
    assert rss(shared.pid) - before < 100 << 20
    assert shared.process.poll() is None


def send_cut(sock, data, at):
    """Two pieces; the second leaves when the broker has read the first."""
    unread = bytearray(4)
    sock.sendall(data[:at])
    while True:
        fcntl.ioctl(sock, termios.TIOCOUTQ, unread)
        if struct.unpack("i", unread)[0] == 0:
            break
        time.sleep(0)
    sock.sendall(data[at:])


def test_a_message_cut_at_every_byte(shared):
    client = shared.client(hello=True)
    pad = 4096 - len(pack([0, 7, "connect", [{"id": "1", "x": b"x" * 300}]]))
    event = {"id": "1", "x": b"x" * (300 + pad)}
    data = pack([0, 7, "connect", [event]])
    assert len(data) == 4096
    for at in range(1, 4096):
        send_cut(client.sock, data, at)
        assert client.wait(7) == EMPTY, at
    for byte in range(4096):
        client.send_raw(data[byte:byte + 1])
    assert client.wait(7) == EMPTY


# --- the ends of a connection

def test_half_close_gets_what_was_asked(shared):
    client, other = shared.client(), shared.client()
    sent = [client.send("before_request", [{"id": f"hold{n}"}])
            for n in range(3)]
    behind = client.send("close", [{"id": "hold1"}])
    quick = client.send("connect", [{"id": "1"}])
    client.send_raw(pack([0, 99, "connect", [{"id": "cut"}]])[:-1])
    client.sock.shutdown(socket.SHUT_WR)
    assert client.wait(quick) == EMPTY
    assert ask(other, "go") == "go"
    for n, msgid in enumerate(sent):
        assert path_of(client.wait(msgid)) == f"hold{n}"
    assert not client.closed
    until(lambda: ask(other, "go") and (client.pump(0.01) or
          behind in client.answers), what="the last one's answer")
    client.wait_closed()
    assert set(client.answers) == {behind}


def test_half_close_with_nothing_to_answer(shared):
    client = shared.client()
    assert ask(client, "1") == "1"
    client.sock.shutdown(socket.SHUT_WR)
    client.wait_closed()


def test_a_lost_caller(pinfold, tmp_path):
    """The run that is under way commits, a decide hook goes no further."""
    count = "w.answer(id, [], [['kv.set', f'{name} %s', b'1', 0]])"
    first = blocking(tmp_path / "go", after=count % "first")
    second = blocking(tmp_path / "go", after=count % "second")
    broker = pinfold({"worker": FAKE}, {
        "a": {"before_request": first, "close": first},
        "b": {"before_request": second, "close": second}})
    control = broker.control_client()
    client = broker.client()
    client.send("before_request", [{"id": "slow1"}])
    client.send("close", [{"id": "slow2"}])
    until(lambda: control.call("status")["running"] == 2, what="two run")
    client.close()
    control.call("status"), control.call("status")  # it has seen the end
    (tmp_path / "go").touch()
    until(lambda: control.call("status")["running"] == 0, what="all ended")
    assert set(control.call("kv.list")) == {
        b"slow1 first", b"slow2 first", b"slow2 second"}


def test_slow_readers_are_cut_off(pinfold):
    body = "w.answer(id, [['resp.set_body', b'x' * (1 << 20)]])"
    broker = pinfold({"worker": FAKE},
                     {"s": {"before_request": f"def run(w, id, p): {body}"}},
                     {"s": WIDE})
    greedy, idle, good = (broker.client() for _ in range(3))
    for n in range(32):
        greedy.send("before_request", [{"id": str(n)}])
    broker.wait_log(r"cut off: it does not read")
    idle.send("before_request", [{"id": "1"}])
    control = broker.control_client()
    for n in range(40):     # one that reads may have much more than 8 MiB
        assert len(path_of(good.call("before_request", [{"id": "1"}]))) == 1 << 20
    until(lambda: broker.log().count("cut off") == 2, 15, "idle is cut off too")
    assert control.call("status")["clients"] == 2
    with pytest.raises((ConnectionLost, ConnectionError)):
        greedy.pump(0.5)
        greedy.call("connect", [{"id": "1"}])


# --- bodies

READER = """
import hashlib, msgpack
def fetch(w, id, name, size, step):
    data = b""
    while len(data) < size:
        error, piece = w.call("body.get", id, name, len(data),
                              min(step, size - len(data)))
        if error:
            raise LookupError(error["code"])
        data += piece
    return data
def run(w, id, p):
    event = msgpack.unpackb(p[1], strict_map_key=False)
    seen = []
    try:
        for part, key in (("req", "body"), ("resp", "body"), ("ws", "data")):
            value = event.get(part, {}).get(key)
            if isinstance(value, msgpack.ExtType):
                size = int.from_bytes(value.data, "big")
                value = fetch(w, id, part + "." + key, size, STEP)
                seen.append("lazy")
            elif value is not None:
                seen.append("inline")
            if isinstance(value, str):
                value = value.encode()
            if value is not None:
                seen.append(hashlib.sha256(value).hexdigest())
    except LookupError as error:
        w.fail(id, error.args[0], "no body")
        return
    w.answer(id, [["req.set_header", "X-Seen", " ".join(seen)]])
"""


def digest(data):
    import hashlib
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def bodies():
    """Two scripts read every body, in pieces of different sizes."""
    one = READER.replace("STEP", "1 << 20")
    two = READER.replace("STEP", "300_000")
    hooks = ("before_request", "before_response", "ws_msg")
    with Pinfold({"worker": FAKE},
                 {"one": {hook: one for hook in hooks},
                  "two": {hook: two for hook in hooks}},
                 {"one": {"timeout": "1s"}, "two": {"timeout": "1s"}}) as broker:
        yield broker
        assert broker.stop() == 0


def seen(result):
    return [op[2] for op in result["ops"]]


@pytest.mark.parametrize("size", [0, 1, 16 << 10, 1 << 20, (1 << 20) + 1,
                                  2_600_000])
def test_lazy_bodies_are_asked_for_once_per_range(bodies, size):
    client = bodies.client(hello=True)
    content = random.Random(size).randbytes(size)
    msgid = client.send("before_response",
                        [{"id": "1", "resp": {"body": lazy(content)}}],
                        bodies={"resp.body": content})
    expected = f"lazy {digest(content)}"
    assert seen(client.wait(msgid)) == [expected, expected]
    ranges = [(at, min(1 << 20, size - at)) for at in range(0, size, 1 << 20)]
    assert client.requests == [["body.get", [msgid, "resp.body", at, length]]
                               for at, length in ranges]


def test_three_lazy_bodies_and_many_events_at_once(bodies):
    client = bodies.client(hello=True)
    sent = []
    for n in range(30):
        parts = {"req.body": b"q%d" % n * 500, "resp.body": b"p%d" % n * 700,
                 "ws.data": b"w%d" % n * 900}
        event = {"id": str(n), "req": {"body": lazy(parts["req.body"])},
                 "resp": {"body": lazy(parts["resp.body"])},
                 "ws": {"data": lazy(parts["ws.data"])}}
        sent.append((client.send("ws_msg", [event], bodies=parts), parts))
    for msgid, parts in sent:
        text = " ".join(f"lazy {digest(part)}" for part in parts.values())
        assert seen(client.wait(msgid)) == [text, text]
    assert len(client.requests) == 90


@pytest.mark.parametrize("answer", [
    "refuses", "silent", "nil", "number", "short", "long", "goes"])
def test_a_body_that_does_not_come(bodies, answer):
    client = bodies.client(hello=True)
    replies = {"nil": lambda *_: None, "number": lambda *_: 5,
               "short": lambda *_: b"x" * 9, "long": lambda *_: b"x" * 11,
               "silent": lambda *_: time.sleep(1.2)}
    if answer in replies:
        client.handlers["body.get"] = replies[answer]
    if answer == "goes":
        client.send("before_request", [{"id": "1", "req": {"body": lazy(10)}}])
        client.close()
    else:
        error = client.error("before_request",
                             [{"id": "1", "req": {"body": lazy(10)}}])
        assert error.code == "body_unavailable"
        assert len(client.requests) == 1, "the second script asks in vain"
    content = b"still fine" * 3
    msgid = bodies.client(hello=True).send("connect", [{"id": "1"}])
    other = bodies.client(hello=True)
    result = other.call("before_request",
                        [{"id": "1", "req": {"body": content}}])
    assert msgid and seen(result)[0] == f"inline {digest(content)}"


def test_a_body_after_half_close_is_not_waited_for(bodies):
    client = bodies.client(hello=True)
    client.handlers["body.get"] = lambda *_: time.sleep(60)
    msgid = client.send("before_request",
                        [{"id": "1", "req": {"body": lazy(10)}}])
    client.sock.shutdown(socket.SHUT_WR)
    client._serve = lambda *_: None
    assert client.wait_error(msgid).code == "body_unavailable"


def test_lazy_without_having_agreed(bodies):
    client = bodies.client()
    error = client.error("before_request",
                         [{"id": "1", "req": {"body": lazy(10)}}])
    assert error.code == "body_unavailable"
    assert client.requests == []


def test_lazy_in_a_notification(bodies):
    client, control = bodies.client(hello=True), bodies.control_client()
    before = control.call("status")
    events = sum(s["events"] for s in before["scripts"])
    client.notify("before_request", [{"id": "1", "req": {"body": lazy(10)}}])
    assert client.call("connect", [{"id": "1"}]) == EMPTY
    after = control.call("status")
    assert after["dropped"] == before["dropped"] + 1
    assert sum(s["events"] for s in after["scripts"]) == events
    assert client.requests == []


def test_inline_bodies_stay_with_the_broker_when_large(bodies):
    client = bodies.client()
    for size in (0, 1, 16384, 16385, 100_000, 3_000_000):
        for kind in (bytes, str):
            content = b"x" * size
            value = content if kind is bytes else content.decode()
            result = client.call("ws_msg", [{"id": "1", "ws": {"data": value}}])
            how = "lazy" if size > 16384 else "inline"
            expected = f"{how} {digest(content)}"
            assert seen(result) == [expected, expected]
    assert client.requests == []


@pytest.mark.parametrize("body", [
    5, ["x"], msgpack.ExtType(2, b"12345678"), msgpack.ExtType(1, b"1234")])
def test_bodies_of_the_wrong_type(bodies, body):
    client = bodies.client(hello=True)
    event = {"id": "1", "req": {"body": body, "path": "x" * 20000}}
    assert client.error("before_request", [event]).code == "bad_event"


# --- the end of the broker

def test_sigterm_lets_what_runs_end(pinfold, tmp_path):
    big = "w.answer(id, [['resp.set_body', b'x' * (4 << 20)]])"
    broker = pinfold({"worker": FAKE}, {"s": {"before_request": blocking(
        tmp_path / "go", after=big)}})
    client, idle = broker.client(hello=True), broker.client()
    first = client.send("before_request", [{"id": "slow1"}])
    assert client.call("connect", [{"id": "1"}]) == EMPTY
    broker.process.send_signal(signal.SIGTERM)
    assert client.wait_notification("goaway")[0]["reason"]
    assert idle.wait_notification("goaway")
    assert client.error("before_request", [{"id": "2"}]).code == "shutting_down"
    assert client.error("connect", [{"id": "2"}]).code == "shutting_down"
    assert not broker.socket.exists() and not broker.control.exists()
    (tmp_path / "go").touch()
    # Not reading for a while must not lose an answer that is under way.
    until(lambda: broker.wait_log("stopping") and not broker.children(), 10)
    assert len(path_of(client.wait(first))) == 4 << 20
    client.wait_closed()
    assert broker.wait_exit() == 0


def test_a_second_one_on_the_same_sockets_is_refused(pinfold, tmp_path):
    broker = pinfold({"worker": FAKE}, {"s": {"before_request": ECHO}})
    client = broker.client()
    for data in ("data", "other"):
        second = Pinfold({"worker": FAKE, "data_dir": str(broker.dir / data),
                          "listen": str(broker.socket),
                          "control": str(broker.control)},
                         {"s": {"before_request": ECHO}}, dir=tmp_path / data)
        second.spawn()
        assert second.wait_exit() == 69
        assert "ready" not in second.stdout and second.log()
        second.close()
    assert ask(client, "1") == "1"
    assert ask(broker.client(), "1") == "1"


def test_kill_leaves_no_worker_and_nothing_in_the_way(pinfold):
    broker = pinfold({"worker": FAKE}, {"a": {"before_request": ECHO},
                                        "b": {"close": ECHO}})
    for _ in range(3):
        assert ask(broker.client(), "1") == "1"
        workers = broker.children()
        assert len(workers) >= 2
        broker.kill()
        assert broker.socket.exists()
        until(lambda: not any(alive(pid) for pid in workers), 10, "workers end")
        broker.start()
    assert ask(broker.client(), "1") == "1"


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_another_file_in_place_of_the_socket_is_left_alone(tmp_path):
    broker = Pinfold({"worker": FAKE}, {"s": {"before_request": ECHO}},
                     dir=tmp_path)
    broker.socket.write_text("precious")
    broker.spawn()
    assert broker.wait_exit() == 69
    assert broker.socket.read_text() == "precious"
    broker.close()


def test_a_client_is_served_by_hand(shared):
    """Three lines in any language: the client has no library of ours."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(shared.socket))
    sock.sendall(b"\x94\x00\x05\xa7connect\x91\x81\xa2id\xa11")
    assert msgpack.unpackb(sock.recv(1000)) == [1, 5, None, EMPTY]
    sock.close()
