# SPDX-License-Identifier: Apache-2.0
"""Scripts' ops on mitmproxy's messages, without a proxy around them."""

import sys

import pytest
from mitmproxy import http

from lib.pinfold import ROOT

sys.path.insert(0, str(ROOT / "clients" / "mitmproxy"))

from pinfold_mitm import ops  # noqa: E402


def request(url="http://h1:8080/x?a=1", **kwargs):
    made = http.Request.make("GET", url, **kwargs)
    made.headers["Host"] = "h1:8080"
    return made


def changed(*found, **kwargs):
    made = request(**kwargs)
    ops.change_request(made, [list(op) for op in found])
    return made


@pytest.mark.parametrize("op, url, host", [
    ([("req.set_host", "h2")], "http://h2/x?a=1", "h2"),
    ([("req.set_host", "h2:81")], "http://h2:81/x?a=1", "h2:81"),
    # mitmproxy prints IPv6 without brackets, but knows host and port apart
    ([("req.set_host", "[::1]:81")], "http://::1:81/x?a=1", "[::1]:81"),
    ([("req.set_host", b"h2:80")], "http://h2/x?a=1", "h2"),
    ([("req.set_scheme", "https")], "https://h1:8080/x?a=1", "h1:8080"),
    ([("req.set_host", "h2"), ("req.set_scheme", "https")],
     "https://h2/x?a=1", "h2"),
    ([("req.set_path", "rel")], "http://h1:8080/rel?a=1", "h1:8080"),
    ([("req.set_path", "/a b%?#ü")],
     "http://h1:8080/a%20b%25%3F%23%C3%BC?a=1", "h1:8080"),
    ([("req.set_path", b"/\xff")], "http://h1:8080/%FF?a=1", "h1:8080"),
    ([("req.set_query", "")], "http://h1:8080/x", "h1:8080"),
    ([("req.set_query", "q=#ü&r=\r\n")],
     "http://h1:8080/x?q=%23%C3%BC&r=%0D%0A", "h1:8080"),
    ([("req.set_url", "HTTPS://user:pw@H2/p q?x=1#frag")],
     "https://h2/p%20q?x=1", "h2"),
    ([("req.set_url", "http://h2")], "http://h2/", "h2"),
    ([("req.set_url", "http://h2/a%2Fb")], "http://h2/a%2Fb", "h2"),
])
def test_where_it_goes(op, url, host):
    made = changed(*op)
    assert made.url == url
    assert made.headers["Host"] == host


@pytest.mark.parametrize("op", [
    ("req.set_url", "http://[::1"), ("req.set_url", "ftp://h/"),
    ("req.set_url", "/x"), ("req.set_url", "http://"), ("req.set_url", ""),
    ("req.set_url", "http://h:99999/"), ("req.set_url", "http://h:x/"),
    ("req.set_url", b"http://\xff/"), ("req.set_url", "http://a b/"),
    ("req.set_host", ""), ("req.set_host", "a/b"), ("req.set_host", "a b"),
    ("req.set_host", "a\r\nX: 1"), ("req.set_host", "user@h"),
    ("req.set_host", "h:"), ("req.set_host", "h:0x"), ("req.set_host", "h\0"),
    ("req.set_scheme", ""), ("req.set_scheme", "ws"),
    ("req.set_method", ""), ("req.set_method", "A B"),
    ("req.set_method", "CONNECT"), ("req.set_method", "GET\r\n"),
])
def test_what_cannot_be_sent(op):
    if op == ("req.set_host", "h:"):
        assert changed(op).host == "h"          # an empty port is allowed
        return
    with pytest.raises(ops.BadOp):
        changed(op)


def test_headers_keep_their_order_and_ignore_case():
    made = request()
    made.headers.fields = ((b"Host", b"h1:8080"), (b"X-A", b"1"), (b"X-B", b"1"),
                           (b"x-a", b"2"))
    ops.change_request(made, [["req.set_header", "x-A", b"\xff"],
                              ["req.add_header", "X-B", "2"],
                              ["req.del_header", "X-NONE"]])
    assert made.headers.fields == ((b"Host", b"h1:8080"), (b"X-A", b"\xff"),
                                   (b"X-B", b"1"), (b"X-B", b"2"))


def test_host_by_hand_beats_the_target():
    made = changed(("req.set_host", "h2"), ("req.set_header", "Host", "vhost"))
    assert made.host == "h2" and made.headers["Host"] == "vhost"


def test_http2_headers():
    made = request()
    made.http_version = "HTTP/2.0"
    ops.change_request(made, [["req.set_header", "X-New", "1"],
                              ["req.set_header", "Connection", "close"],
                              ["req.add_header", "Transfer-Encoding", "chunked"]])
    assert made.headers["x-new"] == "1"
    assert (b"x-new", b"1") in made.headers.fields
    assert "connection" not in made.headers
    assert "transfer-encoding" not in made.headers


def test_connect_can_only_go_elsewhere():
    made = http.Request.make("CONNECT", "http://h1:443/")
    ops.change_connect(made, [["req.set_host", "h2"], ["req.set_method", "GET"],
                              ["req.set_path", "/x"]])
    assert (made.method, made.host, made.port) == ("CONNECT", "h2", 443)


@pytest.mark.parametrize("method, status, content, length", [
    ("GET", 200, b"new", "3"), ("HEAD", 200, b"", "3"), ("GET", 204, b"", None),
    ("GET", 304, b"", None), ("GET", 404, b"new", "3")])
def test_bodies_of_responses(method, status, content, length):
    made = http.Response.make(200, b"old", {"Content-Encoding": "identity",
                                            "Transfer-Encoding": "chunked"})
    ops.change_response(made, [["resp.set_status", status],
                               ["resp.set_body", "new"]], method)
    assert made.raw_content == content
    assert made.headers.get("content-length") == length
    assert "transfer-encoding" not in made.headers
    assert "content-encoding" not in made.headers


def test_unknown_status_has_no_reason():
    made = http.Response.make(200, b"")
    ops.change_response(made, [["resp.set_status", 799]], "GET")
    assert (made.status_code, made.reason) == (799, "")


def test_ops_of_the_other_side_are_passed_over():
    made = http.Response.make(200, b"old")
    ops.change_response(made, [["req.set_body", "x"], ["ctx.set_finish"],
                               ["ws.drop"], ["later.invention", 1]], "GET")
    assert made.raw_content == b"old"


def test_instead_of_a_stream():
    stream = ops.Instead(b"all of it")
    assert [stream(b"a"), stream(b"b"), stream(b"")] == [b"all of it", [], []]
