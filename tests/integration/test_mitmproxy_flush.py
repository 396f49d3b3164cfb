# SPDX-License-Identifier: Apache-2.0
"""The end of a proxy: what is open gets its close, then flush runs."""

import pytest

from lib.fake_pinfold import NO_ANSWER
from lib.proxy import Proxy
from lib.ws import WebSocket


@pytest.fixture
def own_proxy(tmp_path, fake):
    """A proxy that a test may end."""
    fake.observed |= {"connect", "after_response", "close", "ws_close", "flush"}
    fake.start()
    proxy = Proxy(tmp_path / "proxy").start(fake.path)
    proxy.wait_connected()
    yield proxy
    proxy.kill()


def test_flush(own_proxy, fake, origin, tls_origin):
    assert own_proxy.get(origin.url("/x")).status == 200
    ws = WebSocket(own_proxy, origin.url("/ws").replace("http", "ws"))
    tunnel = own_proxy.connection(tls_origin.url())
    assert tunnel.fetch("GET", "/x", host=tls_origin.host).status == 200
    assert own_proxy.stop() == 0
    hooks = fake.hooks_seen()
    assert hooks[-1] == "flush" and hooks.count("flush") == 1
    assert hooks.count("connect") == hooks.count("close") == 3
    assert hooks.count("ws_close") == 1
    event = fake.seen("flush")[0]
    assert event["opts"]["session"] == event["session_id"]
    assert event["session_id"] == fake.seen("connect")[0]["session_id"]
    assert "id" not in event
    ws.abort()
    tunnel.close()


def test_flush_waits_for_its_answer(own_proxy, fake):
    answered = []

    fake.on["flush"] = lambda call: answered.append(call.msgid)
    assert own_proxy.stop() == 0
    assert len(answered) == 1 and answered[0] is not None


def test_flush_without_a_broker(own_proxy, fake):
    fake.stop()
    assert own_proxy.stop() == 0


def test_flush_that_is_never_answered_is_given_up(own_proxy, fake):
    fake.on["flush"] = lambda call: NO_ANSWER
    own_proxy.set(pinfold_flush_timeout_ms=300)
    assert own_proxy.stop() == 0
    assert "flush" in own_proxy.log()
