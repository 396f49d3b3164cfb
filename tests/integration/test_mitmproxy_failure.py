# SPDX-License-Identifier: Apache-2.0
"""The addon when the broker is gone, late, confused, or comes back."""

import threading

import pytest

from lib.fake_pinfold import NO_ANSWER
from lib.origin import HELLO, pattern
from lib.wait import until

INTERNAL = b"proxy internal error\n"


@pytest.fixture
def broker(fake, proxy):
    fake.observed |= {"before_request", "close"}
    fake.start()
    proxy.use(fake.path)
    return fake


def outcome(answer, policy):
    expected = (200, HELLO) if policy == "pass" else (500, INTERNAL)
    assert (answer.status, answer.body) == expected


def wait_lost(proxy):
    until(lambda: not proxy.state()["connected"], what="the loss is noticed")


@pytest.mark.parametrize("policy", ["fail", "pass"])
def test_no_broker(broker, proxy, origin, policy):
    proxy.set(pinfold_on_unavailable=policy)
    broker.stop()
    wait_lost(proxy)
    outcome(proxy.get(origin.url("/x")), policy)
    assert len(origin.requests) == (policy == "pass")


def test_the_log_is_bounded(broker, proxy, origin):
    """A dead broker fails every flow; not every one needs a line."""
    broker.on["before_request"] = lambda call: {"ops": [], "errors": [
        {"script": "s1", "code": "script_error", "message": "noise"}] * 1000}
    before = proxy.log().count("noise")
    assert proxy.get(origin.url("/x")).status == 200
    assert proxy.log().count("noise") - before <= 200


@pytest.mark.parametrize("policy", ["fail", "pass"])
def test_never_a_broker(proxy, origin, tmp_path, policy):
    """Before anybody said which hooks are served, all of them are due."""
    proxy.set(pinfold_on_unavailable=policy,
              pinfold_socket=str(tmp_path / "nobody.sock"))
    outcome(proxy.get(origin.url("/x")), policy)


@pytest.mark.parametrize("policy", ["fail", "pass"])
def test_broker_dies_while_it_is_asked(broker, proxy, origin, policy):
    proxy.set(pinfold_on_unavailable=policy)

    def handler(call):
        broker.stop()
        return NO_ANSWER

    broker.on["before_request"] = handler
    outcome(proxy.get(origin.url("/x")), policy)


def test_shutting_down_counts_as_unavailable(broker, proxy, origin):
    from lib.fake_pinfold import Fail

    def handler(call):
        raise Fail("shutting_down", "soon gone")

    proxy.set(pinfold_on_unavailable="pass")
    broker.on["before_request"] = handler
    outcome(proxy.get(origin.url("/x")), "pass")


@pytest.mark.parametrize("policy", ["fail", "pass"])
def test_no_answer_in_time(broker, proxy, origin, policy):
    proxy.set(pinfold_on_timeout=policy, pinfold_timeout_ms=200)
    broker.on["before_request"] = lambda call: NO_ANSWER
    outcome(proxy.get(origin.url("/x")), policy)
    assert 0 < broker.seen("before_request")[0]["deadline_ms"] <= 200


def test_an_answer_that_comes_too_late_changes_nothing(broker, proxy, origin):
    proxy.set(pinfold_timeout_ms=100)
    gate, done = threading.Event(), threading.Event()

    def handler(call):
        gate.wait(10)
        done.set()
        return {"ops": [["req.set_header", "X-Late", "1"]]}

    broker.on["before_request"] = handler
    assert proxy.get(origin.url("/x")).status == 500
    del broker.on["before_request"]
    gate.set()
    assert done.wait(10)
    assert proxy.get(origin.url("/x")).status == 200
    assert not origin.last().get("x-late")


def test_one_slow_answer_holds_nobody_else(broker, proxy, origin):
    gate = threading.Event()

    def handler(call):
        if call.event["req"]["path"] == "/slow":
            gate.wait(10)

    broker.on["before_request"] = handler
    slow = []
    thread = threading.Thread(
        target=lambda: slow.append(proxy.get(origin.url("/slow"))))
    thread.start()
    broker.wait_seen("before_request")
    assert proxy.get(origin.url("/quick")).status == 200
    assert not slow
    gate.set()
    thread.join(15)
    assert slow[0].status == 200


def test_reconnects(broker, proxy, origin):
    broker.stop()
    wait_lost(proxy)
    assert proxy.get(origin.url("/x")).status == 500
    broker.start()
    proxy.wait_connected()
    assert proxy.get(origin.url("/x")).status == 200
    assert len(broker.hellos) == 2


def test_a_restart_in_between_fails_nobody(broker, proxy, origin):
    """A young loss is waited for: the next connection serves the request."""
    for _ in range(5):
        broker.drop()
        assert proxy.get(origin.url("/x")).status == 200


@pytest.mark.parametrize("data", [
    b"\xc1", b"\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x93\x05\x01\xc0",
    b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\x94\x01\x01\xc0",
    b"\x91" * 5000, b"\x94\x01\x01\xc0\xa1\xff",
])
def test_garbage_costs_one_connection(broker, proxy, origin, data):
    assert proxy.get(origin.url("/x")).status == 200
    hellos = len(broker.hellos)
    broker.garbage(data)
    if data[:1] not in (b"\xdd", b"\xdb") and len(data) != 4:
        until(lambda: len(broker.hellos) > hellos, what="a new connection")
    else:                   # a beginning of something: only the rest would tell
        broker.drop()
        until(lambda: len(broker.hellos) > hellos, what="a new connection")
    proxy.wait_connected()
    assert proxy.get(origin.url("/x")).status == 200


def test_answers_to_nobody_are_ignored(broker, proxy, origin):
    for peer in broker.peers:
        peer.send([1, 123456, None, {"ops": [["req.set_header", "X", "1"]]}])
        peer.send([0, 7, "body.get", [99, "req.body", 0, 10]])
        peer.send([0, 8, "what.is.this", []])
        peer.send([2, "unknown", []])
    assert proxy.get(origin.url("/x")).status == 200
    assert len(broker.hellos) == 1


def test_goaway(broker, proxy, origin):
    """What is in flight is finished on the old connection, the rest on a new."""
    gate = threading.Event()

    def handler(call):
        if call.event["req"]["path"] == "/old":
            gate.wait(10)

    broker.on["before_request"] = handler
    old = []
    thread = threading.Thread(
        target=lambda: old.append(proxy.get(origin.url("/old"))))
    thread.start()
    broker.wait_seen("before_request")
    broker.notify("goaway", [{"reason": "reload"}])
    until(lambda: len(broker.hellos) == 2, what="a new connection")
    proxy.wait_connected()
    assert proxy.get(origin.url("/new")).status == 200
    calls = [c for c in broker.calls if c.hook == "before_request"]
    assert calls[0].peer is not calls[1].peer
    gate.set()
    thread.join(15)
    assert old[0].status == 200


def test_hooks_follow_the_broker(broker, proxy, origin):
    proxy.get(origin.url("/x"))
    assert not broker.seen("connect")
    broker.observed |= {"connect"}
    broker.observed -= {"before_request"}
    broker.push_hooks()
    until(lambda: "connect" in proxy.state()["hooks"], what="hooks are known")
    broker.clear()
    proxy.get(origin.url("/y"))
    broker.wait_seen("connect")
    assert not broker.seen("before_request")


def test_hooks_of_nobody_need_no_broker(broker, proxy, origin):
    """The last word was that no script is there: then nothing can fail."""
    broker.observed.clear()
    broker.push_hooks()
    until(lambda: proxy.state()["hooks"] == [], what="hooks are known")
    broker.stop()
    wait_lost(proxy)
    assert proxy.get(origin.url("/x")).status == 200


def test_broker_without_hello(fake, proxy, origin):
    """Version 1 and inline bodies."""
    from lib.fake_pinfold import Fail
    answer = fake.answer

    def no_hello(call):
        if call.hook == "hello":
            fake.hellos.append(call.event)
            raise Fail("unknown_method", "hello")
        return answer(call)

    fake.answer = no_hello
    fake.start()
    proxy.use(fake.path)
    assert proxy.fetch("POST", origin.url("/x"), pattern(50000)).status == 200
    assert fake.seen("before_request")[0]["req"]["body"] == pattern(50000)


def test_clients_that_leave_are_forgotten(broker, proxy, origin):
    gate = threading.Event()
    broker.on["before_request"] = lambda call: gate.wait(10) and None
    connection = proxy.connection()
    connection.http.putrequest("GET", origin.url("/x"))
    connection.http.endheaders()
    broker.wait_seen("before_request")
    connection.close()
    broker.wait_seen("close")
    gate.set()
    proxy.wait_idle()
    until(lambda: proxy.state()["kept"] == 0, what="nothing is kept")


def test_nobody_waits_long_for_a_dead_broker(broker, proxy, origin):
    """However long a hook may take: only a young loss is waited for."""
    proxy.set(pinfold_timeout_ms=600000)
    broker.stop()
    wait_lost(proxy)
    for _ in range(5):
        assert proxy.get(origin.url("/x")).status == 500
