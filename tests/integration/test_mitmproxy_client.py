# SPDX-License-Identifier: Apache-2.0
"""The addon's connection to the broker, alone in an asyncio program."""

import asyncio
import contextlib
import sys
import threading

import pytest

from lib.fake_pinfold import NO_ANSWER, Fail
from lib.pinfold import ROOT

sys.path.insert(0, str(ROOT / "clients" / "mitmproxy"))

from pinfold_mitm import client as module  # noqa: E402
from pinfold_mitm.client import Answered, Client, Late, Unavailable  # noqa: E402

EVENT = {"id": "1"}


@contextlib.asynccontextmanager
async def connected(fake, wait=True):
    lines = []
    client = Client(fake.path, lambda level, line: lines.append((level, line)))
    client.lines = lines
    client.start()
    try:
        if wait:
            await reach(lambda: client.connected)
        yield client
    finally:
        await client.stop()


async def reach(check, timeout=10.0):
    async with asyncio.timeout(timeout):
        while not check():
            await asyncio.sleep(0.005)


def run(main):
    asyncio.run(asyncio.wait_for(main, 30))


def test_calls_overtake_each_other(fake):
    gate = threading.Event()

    def handler(call):
        if call.event["id"] == "slow":
            gate.wait(10)
        return {"ops": [["id", call.event["id"]]]}

    fake.on["before_request"] = handler

    async def main():
        async with connected(fake) as client:
            slow = asyncio.ensure_future(client.call("before_request", {"id": "slow"}))
            results = await asyncio.gather(*[
                client.call("before_request", {"id": str(n)}) for n in range(200)])
            assert [r["ops"] for r in results] == [[["id", str(n)]]
                                                   for n in range(200)]
            assert not slow.done()
            gate.set()
            assert (await slow)["ops"] == [["id", "slow"]]

    with fake:
        run(main())


def test_errors_and_their_kinds(fake):
    def handler(call):
        raise Fail(call.event["id"], "boom", script="s1")

    fake.on["before_request"] = handler

    async def main():
        async with connected(fake) as client:
            with pytest.raises(Answered) as error:
                await client.call("before_request", {"id": "memory"})
            assert (error.value.code, error.value.script) == ("memory", "s1")
            with pytest.raises(Unavailable):
                await client.call("before_request", {"id": "shutting_down"})

    with fake:
        run(main())


def test_late(fake):
    fake.on["before_request"] = lambda call: NO_ANSWER

    async def main():
        async with connected(fake) as client:
            with pytest.raises(Late):
                await client.call("before_request", EVENT, timeout=0.05)
            assert not client._conn.pending     # nothing is kept of it

    with fake:
        run(main())


def test_more_than_the_broker_takes_wait_for_their_turn(fake, monkeypatch):
    """max_inflight is the broker's to say; so many and no more are in flight."""
    from lib import fake_pinfold
    monkeypatch.setitem(fake_pinfold.LIMITS, "max_inflight", 3)
    lock, state = threading.Lock(), {"now": 0, "most": 0}

    def handler(call):
        with lock:
            state["now"] += 1
            state["most"] = max(state["most"], state["now"])
        threading.Event().wait(0.005)
        with lock:
            state["now"] -= 1

    fake.on["before_request"] = handler

    async def main():
        async with connected(fake) as client:
            await asyncio.gather(*[client.call("before_request", EVENT)
                                   for _ in range(50)])

    with fake:
        run(main())
    assert state["most"] <= 3


def test_callers_are_bounded(fake, monkeypatch):
    monkeypatch.setattr(module, "MAX_CALLS", 5)
    gate = threading.Event()
    fake.on["before_request"] = lambda call: gate.wait(10) and None

    async def main():
        async with connected(fake) as client:
            calls = [asyncio.ensure_future(client.call("before_request", EVENT))
                     for _ in range(5)]
            await asyncio.sleep(0)
            with pytest.raises(Unavailable):
                await client.call("before_request", EVENT)
            gate.set()
            await asyncio.gather(*calls)

    with fake:
        run(main())


def test_what_is_too_large_is_not_sent(fake, monkeypatch):
    from lib import fake_pinfold
    monkeypatch.setitem(fake_pinfold.LIMITS, "max_message", 1000)
    fake.observed |= {"before_request", "close"}

    async def main():
        async with connected(fake) as client:
            with pytest.raises(Answered) as error:
                await client.call("before_request", {"id": "x" * 2000})
            assert error.value.code == "too_large"
            assert not client.notify("close", {"id": "x" * 2000})
            assert client.dropped == 1
            await client.call("before_request", EVENT)

    with fake:
        run(main())
    assert len(fake.seen("before_request")) == 1 and not fake.seen("close")


def test_notifications_without_a_broker_are_counted(fake):
    async def main():
        async with connected(fake, wait=False) as client:
            assert client.notify("close", EVENT) is False
            assert client.dropped == 1

    run(main())


def test_a_broker_that_does_not_read_costs_bounded_memory(fake, monkeypatch):
    """Notifications are dropped above a mark; requests end the connection."""
    monkeypatch.setattr(module, "MAX_UNSENT", 1 << 20)
    monkeypatch.setattr(module, "MAX_STUCK", 4 << 20)
    fake.answer_hello = True

    async def main():
        async with connected(fake) as client:
            peer = fake.peers[0]
            peer._take = lambda message: threading.Event().wait(30)
            conn, big = client._conn, {"id": "1", "x": b"x" * (1 << 18)}
            for _ in range(100):
                client.notify("close", big)
            assert client.dropped > 50 and conn.unsent < 3 << 20
            with pytest.raises((Unavailable, Late)):
                await asyncio.gather(*[client.call("before_request", big, timeout=0.2)
                                       for _ in range(60)])
            assert conn.lost.done() or conn.unsent < 5 << 20

    with fake:
        run(main())


@pytest.mark.parametrize("answer", [
    {"protocol": 2}, {"protocol": 1, "limits": {"max_message": "many"}}, "hi", None,
])
def test_strange_hellos_are_no_connection(fake, answer):
    fake.answer = lambda call: answer

    async def main():
        async with connected(fake, wait=False) as client:
            await reach(lambda: client.lines)
            assert not client.connected
            with pytest.raises(Unavailable):
                await client.call("before_request", EVENT)

    with fake:
        run(main())


def test_goaway_again_and_again_is_no_busy_loop(fake):
    """Every new connection is asked to leave: the pauses remain."""
    answer = fake.answer

    def leave(call):
        if call.hook == "hello":
            threading.Timer(0.01, call.peer.send, ([2, "goaway", [{}]],)).start()
        return answer(call)

    fake.answer = leave

    async def main():
        async with connected(fake):
            await asyncio.sleep(0.3)

    with fake:
        run(main())
    assert 2 <= len(fake.hellos) < 40


def test_stop_sends_what_was_written(fake):
    fake.observed.add("close")

    async def main():
        async with connected(fake) as client:
            for n in range(1000):
                assert client.notify("close", {"id": str(n)})

    with fake:
        run(main())
        fake.wait_seen("close", 1000)
    assert [e["id"] for e in fake.seen("close")] == [str(n) for n in range(1000)]


def test_pauses_grow_and_end():
    for attempt in range(1, 100):
        limit = min(module.BACKOFF_LAST, module.BACKOFF_FIRST * 2 ** attempt)
        pauses = [module.backoff(attempt) for _ in range(50)]
        assert all(limit / 4 <= p <= limit for p in pauses)
        assert len(set(pauses)) > 1
