# SPDX-License-Identifier: Apache-2.0
"""The addon inside CONNECT: intercepted TLS, tunnels that are refused, HTTP/2."""

import shutil
import socket
import ssl
import subprocess

import pytest

from lib.fake_pinfold import Fail
from lib.origin import HELLO, closed_port, pattern
from lib.wait import until

INNER = ["before_request", "after_request", "before_response", "after_response"]
INTERNAL = b"proxy internal error\n"


@pytest.fixture
def broker(fake, proxy):
    fake.observed |= {"connect", *INNER, "error", "close"}
    fake.start()
    proxy.use(fake.path)
    return fake


def ops(*found, finished=False):
    return lambda call: {"ops": [list(op) for op in found], "finished": finished}


def fail(call):
    raise Fail("script_error", "s1/x.lua:1: boom", script="s1")


def test_hooks_of_a_tunnel(broker, proxy, tls_origin):
    with proxy.connection(tls_origin.url()) as connection:
        for path in ("/a", "/b"):
            answer = connection.fetch("GET", path, host=tls_origin.host)
            assert (answer.status, answer.body) == (200, HELLO)
    outer = broker.wait_seen("close")[0]["id"]
    assert broker.hooks_seen(outer) == ["connect", "close"]
    inner = [event["id"] for event in broker.seen("before_request")]
    assert len({outer, *inner}) == 3
    for flow in inner:
        assert broker.hooks_seen(flow) == INNER
    assert broker.hooks_seen()[-1] == "close"
    event = broker.seen("before_request")[0]["req"]
    assert event["scheme"] == "https" and event["host"] == tls_origin.host
    assert event["url"] == tls_origin.url("/a")
    proxy.wait_idle()


def test_host_in_a_tunnel_is_where_it_goes(broker, proxy, tls_origin):
    with proxy.connection(tls_origin.url()) as connection:
        connection.fetch("GET", "/x", host="innocent.example")
    assert broker.wait_seen("before_request")[0]["req"]["host"] == tls_origin.host


def test_changes_inside_tls(broker, proxy, tls_origin):
    broker.on["before_request"] = ops(
        ("req.set_method", "PUT"), ("req.set_path", "/b"),
        ("req.set_body", "new\0body"), ("req.set_header", "X-A", "1"))
    broker.on["before_response"] = ops(("resp.set_status", 404),
                                       ("resp.set_body", "longer than it was" * 9))
    answer = proxy.fetch("POST", tls_origin.url("/a"), b"old")
    got = tls_origin.last()
    assert (got.method, got.target, got.body) == ("PUT", "/b", b"new\0body")
    assert got.get("content-length") == "8" and got.get("x-a") == "1"
    assert (answer.status, answer.reason) == (404, "Not Found")
    assert answer.body == b"longer than it was" * 9


def test_to_another_host_inside_tls(broker, proxy, origin, tls_origin):
    broker.on["before_request"] = ops(("req.set_url", origin.url("/plain")))
    answer = proxy.get(tls_origin.url("/x"))
    assert answer.status == 200
    assert origin.last().target == "/plain" and not tls_origin.requests


def test_finish_inside_tls_contacts_nobody(broker, proxy, tls_origin):
    """The upstream does not even exist: nothing tried to reach it."""
    broker.on["before_request"] = ops(("resp.set_status", 403),
                                      ("resp.set_body", "Blocked"), finished=True)
    answer = proxy.get(f"https://127.0.0.1:{closed_port()}/block")
    assert (answer.status, answer.body) == (403, b"Blocked")
    assert answer.get("content-length") == "7"
    broker.wait_seen("close")
    assert not broker.seen("error") and not broker.seen("after_request")


def test_failure_inside_tls(broker, proxy, tls_origin):
    broker.on["before_request"] = fail
    answer = proxy.get(tls_origin.url("/x"))
    assert (answer.status, answer.body) == (500, INTERNAL)
    assert not tls_origin.requests


def test_upstream_refuses_inside_tls(broker, proxy):
    answer = proxy.get(f"https://127.0.0.1:{closed_port()}/x")
    assert (answer.status, answer.body) == (502, b"upstream unreachable\n")
    inner = broker.wait_seen("error")[0]
    assert inner["id"] == broker.seen("before_request")[0]["id"]
    assert "Connect call failed" in inner["err"]["msg"]


def test_upstream_certificate_is_refused(broker, proxy, tls_origin):
    proxy.set(ssl_insecure=False)
    try:
        answer = proxy.get(tls_origin.url("/x"))
    finally:
        proxy.set(ssl_insecure=True)
    assert (answer.status, answer.body) == (502, b"upstream unreachable\n")
    assert "ertificate" in broker.wait_seen("error")[0]["err"]["msg"]


def test_client_that_does_not_trust_us(broker, proxy, tls_origin):
    context = ssl.create_default_context()
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as sock:
        sock.sendall(f"CONNECT {tls_origin.host} HTTP/1.1\r\n\r\n".encode())
        assert b" 200 " in sock.recv(4096)
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(sock, server_hostname="127.0.0.1")
    outer = broker.wait_seen("close")[0]["id"]
    assert broker.hooks_seen(outer) == ["connect", "error", "close"]
    assert "TLS" in broker.seen("error")[0]["err"]["msg"]


def connect(proxy, host, more=b""):
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as sock:
        sock.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        found = b""
        while b"\r\n\r\n" not in found:
            piece = sock.recv(4096)
            assert piece, found
            found += piece
        head, body = found.split(b"\r\n\r\n", 1)
        lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n")
                   if line.lower().startswith(b"content-length:")]
        while lengths and len(body) < lengths[0]:
            body += sock.recv(4096)
        return int(head.split()[1]), body


def test_connect_fails(broker, proxy, tls_origin):
    broker.on["connect"] = fail
    assert connect(proxy, tls_origin.host) == (500, INTERNAL)
    broker.wait_seen("close")
    assert broker.hooks_seen() == ["connect", "close"]
    proxy.wait_idle()


def test_connect_is_answered(broker, proxy, tls_origin):
    broker.on["connect"] = ops(("resp.set_status", 407), ("resp.set_body", "who?"),
                               finished=True)
    assert connect(proxy, tls_origin.host) == (407, b"who?")
    broker.wait_seen("close")
    assert broker.hooks_seen() == ["connect", "close"]


def test_connect_is_never_answered_with_an_open_tunnel(broker, proxy, tls_origin):
    broker.on["connect"] = ops(finished=True)
    assert connect(proxy, tls_origin.host)[0] == 403


def test_connect_goes_elsewhere(broker, proxy, tls_origin):
    broker.on["connect"] = ops(("req.set_host", tls_origin.host))
    assert proxy.get(f"https://127.0.0.1:{closed_port()}/x").status == 200
    assert tls_origin.last().target == "/x"


def test_eager_upstream_that_refuses(broker, proxy):
    """With connection_strategy=eager the CONNECT itself gets the 502."""
    proxy.set(connection_strategy="eager")
    try:
        port = closed_port()
        assert connect(proxy, f"127.0.0.1:{port}") == (502, b"upstream unreachable\n")
    finally:
        proxy.set(connection_strategy="lazy")
    broker.wait_seen("close")
    assert broker.hooks_seen() == ["connect", "error", "close"]
    assert str(port) in broker.seen("error")[0]["err"]["msg"]


def test_large_body_inside_tls(broker, proxy, tls_origin):
    found = []
    broker.on["before_response"] = lambda call: found.append(
        call.whole_body("resp.body"))
    assert proxy.get(tls_origin.url("/bytes/1500000")).body == pattern(1500000)
    assert found == [pattern(1500000)]


def test_plain_http_in_a_tunnel(broker, proxy, origin):
    assert proxy.get(origin.url("/x"), tunnel=True).status == 200
    outer = broker.wait_seen("close")[0]["id"]
    assert broker.hooks_seen(outer) == ["connect", "close"]
    inner = broker.seen("before_request")[0]
    assert inner["req"]["url"] == origin.url("/x")
    assert broker.hooks_seen(inner["id"]) == INNER


def test_http2(broker, proxy, tls_origin):
    """A client that speaks HTTP/2 to us; hop-by-hop headers stay outside."""
    curl = shutil.which("curl")
    assert curl, "curl is needed"
    broker.on["before_response"] = ops(("resp.set_header", "X-New", "1"),
                                       ("resp.set_header", "Connection", "close"),
                                       ("resp.set_body", "over h2"))
    command = [curl, "-s", "-i", "--http2", "--max-time", "15", "--noproxy", "",
               "--cacert", str(proxy.dir / "conf" / "mitmproxy-ca-cert.pem"),
               "-x", f"http://127.0.0.1:{proxy.port}"]
    done = subprocess.run([*command, tls_origin.url("/a?x=1")],
                          capture_output=True, timeout=30)
    head, body = done.stdout.split(b"\r\n\r\n")[-2:]
    assert head.startswith(b"HTTP/2 200"), done
    assert b"\r\nx-new: 1" in head and b"connection" not in head
    assert body == b"over h2"
    req = broker.seen("before_request")[0]["req"]
    assert req["proto"] == "HTTP/2.0" and req["path"] == "/a"
    assert req["host"] == tls_origin.host
    broker.on["before_request"] = fail
    done = subprocess.run([*command, tls_origin.url("/a")],
                          capture_output=True, timeout=30)
    assert b"HTTP/2 500" in done.stdout and done.stdout.endswith(INTERNAL)
    until(lambda: len(broker.seen("close")) == 2, what="both tunnels are closed")
