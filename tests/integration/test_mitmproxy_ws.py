# SPDX-License-Identifier: Apache-2.0
"""WebSockets through the addon: ws:// and wss://, in a tunnel and without one."""

import time

import msgpack
import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from lib.fake_pinfold import Fail
from lib.origin import pattern
from lib.ws import WebSocket

HTTP = {"connect", "before_request", "after_request", "before_response",
        "after_response", "error", "close"}


@pytest.fixture
def broker(fake, proxy):
    fake.observed |= HTTP | {"ws_open", "ws_msg", "ws_close"}
    fake.start()
    proxy.use(fake.path)
    return fake


def url(origin, path="/ws"):
    return origin.url(path).replace("http", "ws", 1)


@pytest.mark.parametrize("kind", ["ws", "wss", "plain"])
def test_from_open_to_close(broker, proxy, origin, tls_origin, kind):
    where = tls_origin if kind == "wss" else origin
    with WebSocket(proxy, url(where, "/ws/greet"), plain=kind == "plain") as ws:
        assert ws.receive() == "welcome"
        ws.text("hello")
        assert ws.receive() == "echo:hello"
        ws.binary(b"\0\xff")
        assert ws.receive() == b"echo:\0\xff"
        ws.close()
        assert ws.receive() is None
    broker.wait_seen("ws_close")
    flow = broker.seen("ws_open")[0]["id"]
    if kind == "plain":
        broker.wait_seen("close")
    own = ["connect"] if kind == "plain" else []
    end = ["close"] if kind == "plain" else []
    assert broker.hooks_seen(flow) == [
        *own, "before_request", "after_request", "before_response",
        "after_response", "ws_open", *["ws_msg"] * 5, "ws_close", *end]
    messages = [event["ws"] for event in broker.seen("ws_msg")]
    to, back = "client_to_server", "server_to_client"
    assert [(m["direction"], m["opcode"], m["data"]) for m in messages] == [
        (back, 1, b"welcome"), (to, 1, b"hello"), (back, 1, b"echo:hello"),
        (to, 2, b"\0\xff"), (back, 2, b"echo:\0\xff")]
    assert abs(messages[0]["timestamp"] / 1000 - time.time()) < 600
    for hook in ("ws_open", "ws_msg", "ws_close"):
        event = broker.seen(hook)[0]
        assert event["req"]["path"] == "/ws/greet"
        assert "resp" not in event
    proxy.wait_idle()


def test_change_and_drop_both_ways(broker, proxy, origin):
    def handler(call):
        data = call.event["ws"]["data"]
        if b"secret" in data:
            return {"ops": [["ws.set_data", data.replace(b"secret", b"***")]]}
        if b"drop" in data:
            return {"ops": [["ws.drop"]]}

    broker.on["ws_msg"] = handler
    with WebSocket(proxy, url(origin)) as ws:
        ws.text("my secret")
        assert ws.receive() == "echo:my ***"
        ws.text("drop this")
        ws.text("after")
        assert ws.receive() == "echo:after"
        ws.binary(b"a secret")
        assert ws.receive() == b"echo:a ***"
    assert [data for code, data in origin.frames if code in (1, 2)] == [
        b"my ***", b"after", b"a ***"]


def test_drop_of_what_the_server_says(broker, proxy, origin):
    def handler(call):
        if call.event["ws"]["direction"] == "server_to_client":
            if call.event["ws"]["data"] == b"welcome":
                return {"ops": [["ws.drop"]]}

    broker.on["ws_msg"] = handler
    with WebSocket(proxy, url(origin, "/ws/greet")) as ws:
        ws.text("x")
        assert ws.receive() == "echo:x"


def test_fragments_are_one_message(broker, proxy, origin):
    with WebSocket(proxy, url(origin)) as ws:
        ws.text("ab", fin=False)
        ws.more(b"cd")
        assert ws.receive() == "echo:abcd"
    assert broker.seen("ws_msg")[0]["ws"]["data"] == b"abcd"


def test_empty_message(broker, proxy, origin):
    with WebSocket(proxy, url(origin)) as ws:
        ws.text("")
        assert ws.receive() == "echo:"
    assert "data" not in broker.seen("ws_msg")[0]["ws"]


def test_compressed_messages_are_seen_plain(broker, proxy, origin):
    """The origin declines the extension; mitmproxy must not be confused."""
    with WebSocket(proxy, url(origin),
                   extensions=[ClientPerMessageDeflateFactory()]) as ws:
        ws.text("hello")
        assert ws.receive() == "echo:hello"
    assert broker.seen("ws_msg")[0]["ws"]["data"] == b"hello"


def test_large_message_is_fetched(broker, proxy, origin):
    found = []
    broker.on["ws_msg"] = lambda call: found.append(
        (type(call.event["ws"]["data"]), call.whole_body("ws.data")))
    with WebSocket(proxy, url(origin)) as ws:
        ws.binary(pattern(200000))
        assert ws.receive() == b"echo:" + pattern(200000)
    assert found[0] == (msgpack.ExtType, pattern(200000))


def test_failure_that_the_policy_let_pass(broker, proxy, origin):
    broker.on["ws_msg"] = lambda call: {"ops": [], "errors": [
        {"script": "s1", "hook": "ws_msg", "code": "script_error",
         "message": "boom-in-ws"}]}
    with WebSocket(proxy, url(origin)) as ws:
        ws.text("hello")
        assert ws.receive() == "echo:hello"
    assert "boom-in-ws" in proxy.log()


def test_failure_drops_the_message_not_the_socket(broker, proxy, origin):
    def handler(call):
        if call.event["ws"]["data"] == b"bad":
            raise Fail("script_error", "boom")

    broker.on["ws_msg"] = handler
    with WebSocket(proxy, url(origin)) as ws:
        ws.text("bad")
        ws.text("good")
        assert ws.receive() == "echo:good"


def test_close_by_the_server(broker, proxy, origin):
    with WebSocket(proxy, url(origin)) as ws:
        ws.text("bye")
        assert ws.receive() is None
        broker.wait_seen("ws_close")
    proxy.wait_idle()
    assert len(broker.seen("ws_close")) == 1


def test_client_vanishes(broker, proxy, origin):
    ws = WebSocket(proxy, url(origin))
    ws.text("x")
    assert ws.receive() == "echo:x"
    ws.abort()
    broker.wait_seen("ws_close")
    proxy.wait_idle()
    assert len(broker.seen("ws_close")) == 1


def test_frames_that_break_the_rules(broker, proxy, origin):
    """mitmproxy gives up on such a connection; ws_close is due all the same."""
    ws = WebSocket(proxy, url(origin))
    ws.sock.sendall(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
    ws.abort()
    broker.wait_seen("ws_close")
    proxy.wait_idle()
    assert len(broker.seen("ws_close")) == 1


def test_upgrade_is_refused_by_a_script(broker, proxy, origin):
    broker.on["before_response"] = lambda call: {"ops": [
        ["resp.set_status", 403], ["resp.set_body", "no sockets"]]}
    answer = proxy.raw(upgrade(origin))
    assert b" 403 Forbidden\r\n" in answer and answer.endswith(b"no sockets")
    broker.wait_seen("close")
    assert not broker.seen("ws_open")
    proxy.wait_idle()


def test_upgrade_is_answered_by_a_script(broker, proxy, origin):
    broker.on["before_request"] = lambda call: {
        "ops": [["resp.set_status", 403]], "finished": True}
    answer = proxy.raw(upgrade(origin, b"Connection: close, Upgrade\r\n"))
    assert b" 403 Forbidden\r\n" in answer
    assert not origin.requests


@pytest.mark.parametrize("hook", ["after_request", "before_response"])
def test_upgrade_fails(broker, proxy, origin, hook):
    def handler(call):
        raise Fail("script_error", "boom")

    broker.on[hook] = handler
    answer = proxy.raw(upgrade(origin))
    assert b" 500 Internal Server Error\r\n" in answer
    assert answer.endswith(b"\r\n\r\nproxy internal error\n")
    broker.wait_seen("close")
    assert not broker.seen("ws_open")
    proxy.wait_idle()


def upgrade(origin, connection=b"Connection: Upgrade\r\n"):
    return (b"GET " + origin.url("/ws").encode() + b" HTTP/1.1\r\nHost: "
            + origin.host.encode() + b"\r\nUpgrade: websocket\r\n" + connection
            + b"Sec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
