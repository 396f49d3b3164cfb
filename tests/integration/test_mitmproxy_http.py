# SPDX-License-Identifier: Apache-2.0
"""The addon in a real mitmproxy, plain HTTP, with a fake broker: which hook is
asked when and with what, and what becomes of its answers."""

import threading

import msgpack
import pytest

from lib.fake_pinfold import Fail
from lib.origin import HELLO, closed_port, pattern
from lib.wait import until

ORDER = ["connect", "before_request", "after_request", "before_response",
         "after_response", "close"]
INTERNAL = b"proxy internal error\n"


@pytest.fixture
def broker(fake, proxy):
    """A fake that serves every HTTP hook, with the proxy connected to it."""
    fake.observed |= {*ORDER, "error"}
    fake.start()
    proxy.use(fake.path)
    return fake


def ops(*found, finished=False):
    return lambda call: {"ops": [list(op) for op in found], "finished": finished}


def fail(code="script_error"):
    def handler(call):
        raise Fail(code, "s1/x.lua:1: boom", script="s1")
    return handler


def the_flow(broker):
    """Hooks of the one flow there was, after its close."""
    ids = {event["id"] for event in broker.wait_seen("close")}
    assert len(ids) == 1
    return broker.hooks_seen(ids.pop())


# --- events

def test_order_of_hooks(broker, proxy, origin):
    answer = proxy.get(origin.url("/x"))
    assert (answer.status, answer.body) == (200, HELLO)
    assert the_flow(broker) == ORDER


def test_connect_has_no_request(broker, proxy, origin):
    proxy.get(origin.url("/x"))
    event = broker.wait_seen("connect")[0]
    assert event["is_finished"] is False
    assert event["session_id"]
    assert "req" not in event and "resp" not in event


def test_request_as_the_scripts_see_it(broker, proxy, origin):
    proxy.fetch("POST", origin.url("/p%20x/%7e?q=1&q=2"), b"hello",
                [("X-Two", "a"), ("Cookie", "a=1"), ("X-Two", "b")])
    req = broker.wait_seen("before_request")[0]["req"]
    assert req["method"] == "POST"
    assert req["path"] == "/p x/~"
    assert req["url"] == origin.url("/p%20x/%7e?q=1&q=2")
    assert req["host"] == origin.host
    assert req["scheme"] == "http"
    assert req["proto"] == "HTTP/1.1"
    assert req["remote_addr"].startswith("127.0.0.1:")
    assert req["body"] == b"hello" and req["content_length"] == 5
    assert [h for h in req["headers"] if h[0] != "Content-Length"] == [
        ["X-Two", "a"], ["Cookie", "a=1"], ["X-Two", "b"]]
    assert 0 < broker.seen("before_request")[0]["deadline_ms"] <= 5000


def test_no_body(broker, proxy, origin):
    proxy.get(origin.url("/x"))
    req = broker.wait_seen("before_request")[0]["req"]
    assert "body" not in req and req["content_length"] == 0


def test_bytes_that_are_not_text(broker, proxy, origin):
    proxy.get(origin.url("/%ff?x"), [("X-Raw", b"\xfe\xff")])
    req = broker.wait_seen("before_request")[0]["req"]
    assert req["path"] == b"/\xff"
    assert ["X-Raw", b"\xfe\xff"] in req["headers"]


def test_host_is_where_it_goes_not_what_the_header_says(broker, proxy, origin):
    proxy.get(origin.url("/x"), [("Host", "innocent.example")])
    req = broker.wait_seen("before_request")[0]["req"]
    assert req["host"] == origin.host
    assert ["Host", "innocent.example"] in req["headers"]


def test_response_as_the_scripts_see_it(broker, proxy, origin):
    proxy.fetch("POST", origin.url("/cookies"), b"hello")
    head = broker.wait_seen("after_request")[0]
    assert head["req"]["body"] == b"hello"
    assert head["resp"]["status_code"] == 200 and "body" not in head["resp"]
    proxy.get(origin.url("/gzip"))
    resp = broker.wait_seen("before_response", 2)[1]["resp"]
    assert resp["status"] == "200 OK" and resp["proto"] == "HTTP/1.1"
    assert ["Content-Encoding", "gzip"] in resp["headers"]
    assert resp["body"][:2] == b"\x1f\x8b"
    assert resp["content_length"] == len(resp["body"])
    after = broker.wait_seen("after_response", 2)[1]
    assert after["resp"]["body"] == resp["body"]
    first = broker.seen("after_response")[0]
    assert first["req"]["body"] == b"hello"
    assert broker.wait_seen("close", 2)[1]["resp"]["status_code"] == 200


def test_traceparent(broker, proxy, origin):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    proxy.get(origin.url("/x"), [("traceparent", trace)])
    assert broker.wait_seen("before_request")[0]["traceparent"] == trace


def test_hooks_that_nobody_serves_are_not_sent(fake, proxy, origin):
    fake.on["before_response"] = ops(("resp.set_header", "X-Seen", "1"))
    with fake:
        proxy.use(fake.path)
        assert proxy.get(origin.url("/x")).get("x-seen") == "1"
        proxy.wait_idle()
    assert fake.hooks_seen() == ["before_response"]


def test_reads_decide_what_is_sent(fake, proxy, origin):
    fake.on["before_request"] = ops()
    fake.on["before_response"] = ops()
    fake.reads.update(before_request=["req"], before_response=["resp"])
    with fake:
        proxy.use(fake.path)
        proxy.fetch("POST", origin.url("/x"), b"hello")
        assert "body" not in fake.wait_seen("before_request")[0]["req"]
        event = fake.wait_seen("before_response")[0]
        assert "req" not in event and "body" not in event["resp"]


def test_one_connection_many_requests(broker, proxy, origin):
    with proxy.connection() as connection:
        for _ in range(3):
            assert connection.fetch("GET", origin.url("/x")).status == 200
    events = broker.wait_seen("close", 3)
    assert len({event["id"] for event in events}) == 3
    assert len({event["session_id"] for event in events}) == 1
    proxy.wait_idle()


def test_many_at_once(broker, proxy, origin):
    """Answers overtake each other; each finds its own request."""
    def handler(call):
        path = call.event["req"]["path"]
        return {"ops": [["req.set_header", "X-Path", path]]}

    broker.on["before_request"] = handler
    results = {}

    def one(number):
        answer = proxy.get(origin.url(f"/n/{number}"))
        results[number] = answer.status

    threads = [threading.Thread(target=one, args=(n,)) for n in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == {n: 200 for n in range(100)}
    assert len(origin.requests) == 100
    assert all(r.get("x-path") == r.target for r in origin.requests)
    broker.wait_seen("close", 100)
    assert len({event["id"] for event in broker.seen("close")}) == 100
    proxy.wait_idle()


# --- changing requests

def test_request_ops(broker, proxy, origin):
    broker.on["before_request"] = ops(
        ("req.set_method", "PUT"), ("req.set_path", "/new path?z=1"),
        ("req.set_body", b"new\0body"), ("req.set_header", "x-cli", "set"),
        ("req.add_header", "X-Many", "3"), ("req.del_header", "x-gone"))
    proxy.fetch("POST", origin.url("/x?a=1"), b"old", [
        ("X-Cli", "1"), ("X-Many", "1"), ("X-Many", "2"), ("X-Gone", "1"),
        ("Content-Encoding", "gzip")])
    got = origin.last()
    assert (got.method, got.target) == ("PUT", "/new%20path%3Fz=1?a=1")
    assert got.body == b"new\0body" and got.get("content-length") == "8"
    assert got.all("x-cli") == ["set"]
    assert got.all("x-many") == ["1", "2", "3"]
    assert not got.all("x-gone") and not got.all("content-encoding")


def test_body_replaces_a_chunked_one(broker, proxy, origin):
    broker.on["before_request"] = ops(("req.set_body", "short"))
    proxy.fetch("POST", origin.url("/x"), b"3\r\nold\r\n0\r\n\r\n",
                [("Transfer-Encoding", "chunked")])
    got = origin.last()
    assert got.body == b"short" and got.all("content-length") == ["5"]
    assert not got.all("transfer-encoding")


def test_scripts_cannot_lie_about_lengths(broker, proxy, origin):
    broker.on["before_request"] = ops(
        ("req.set_header", "Content-Length", "1"),
        ("req.set_header", "Transfer-Encoding", "chunked"))
    broker.on["before_response"] = ops(
        ("resp.set_header", "Content-Length", "3"))
    answer = proxy.fetch("POST", origin.url("/x"), b"hello")
    got = origin.last()
    assert got.body == b"hello" and got.all("content-length") == ["5"]
    assert not got.all("transfer-encoding")
    assert answer.body == HELLO


@pytest.mark.parametrize("op", [
    lambda o: [("req.set_host", o.host)],
    lambda o: [("req.set_url", o.url("/U?b=2"))],
])
def test_to_another_host(broker, proxy, origin, op):
    broker.on["before_request"] = ops(*op(origin))
    answer = proxy.get(f"http://127.0.0.1:{closed_port()}/U?b=2")
    assert answer.status == 200
    assert origin.last().target == "/U?b=2"
    assert origin.last().get("host") == origin.host


def test_connect_changes_the_request_too(broker, proxy, origin):
    broker.on["connect"] = ops(("req.set_header", "X-Connect", "1"))
    proxy.get(origin.url("/x"))
    assert origin.last().get("x-connect") == "1"


def test_query(broker, proxy, origin):
    broker.on["before_request"] = ops(("req.set_query", "b=2&c=%20x y"))
    proxy.get(origin.url("/x?a=1"))
    assert origin.last().target == "/x?b=2&c=%20x%20y"


@pytest.mark.parametrize("op", [
    ("req.set_url", "http://[::1"), ("req.set_url", "/relative"),
    ("req.set_scheme", "gopher"), ("req.set_method", "NOT VALID"),
    ("req.set_host", "a b/c"), ("req.set_path",),
])
def test_what_makes_no_request_is_not_sent(broker, proxy, origin, op):
    broker.on["before_request"] = ops(op)
    answer = proxy.get(origin.url("/x"))
    assert (answer.status, answer.body) == (500, INTERNAL)
    assert not origin.requests
    assert the_flow(broker) == ["connect", "before_request", "error", "close"]
    assert "scripts" in broker.seen("error")[0]["err"]["msg"]


# --- answers of scripts

def test_finish(broker, proxy, origin):
    broker.on["before_request"] = ops(
        ("resp.set_status", 403), ("resp.set_body", "Blocked"),
        ("resp.set_header", "X-Why", "lua"), ("ctx.set_finish",), finished=True)
    answer = proxy.get(origin.url("/block"))
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert answer.body == b"Blocked" and answer.all("content-length") == ["7"]
    assert answer.get("x-why") == "lua"
    assert not origin.requests
    assert the_flow(broker) == ["connect", "before_request", "before_response",
                                "after_response", "close"]
    for hook in ("before_response", "after_response", "close"):
        event = broker.seen(hook)[0]
        assert event["is_finished"] is True
        assert event["resp"]["status_code"] == 403
    assert broker.seen("before_response")[0]["resp"]["body"] == b"Blocked"


def test_finish_alone_is_an_empty_200(broker, proxy, origin):
    broker.on["before_request"] = ops(finished=True)
    answer = proxy.get(origin.url("/x"))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.get("content-length") == "0"
    assert not origin.requests


def test_finish_of_head_has_no_body(broker, proxy, origin):
    broker.on["before_request"] = ops(("resp.set_body", "four"), finished=True)
    with proxy.connection() as connection:
        answer = connection.fetch("HEAD", origin.url("/x"))
        assert (answer.body, answer.get("content-length")) == (b"", "4")
        broker.on["before_request"] = ops()
        assert connection.fetch("GET", origin.url("/x")).body == HELLO


def test_finish_in_connect(broker, proxy, origin):
    """before_request still runs and may change the answer (case 35)."""
    broker.on["connect"] = ops(("resp.set_status", 403), finished=True)
    broker.on["before_request"] = ops(("resp.set_status", 451),
                                      ("resp.set_body", "law"))
    answer = proxy.get(origin.url("/x"))
    assert (answer.status, answer.body) == (451, b"law")
    event = broker.seen("before_request")[0]
    assert event["is_finished"] is True
    assert event["resp"]["status_code"] == 403
    assert not origin.requests


def test_finish_of_a_post_reads_its_body(broker, proxy, origin):
    broker.on["connect"] = ops(("resp.set_status", 403), finished=True)
    with proxy.connection() as connection:
        assert connection.fetch("POST", origin.url("/x"), b"x" * 99999).status == 403
        assert connection.fetch("POST", origin.url("/x"), b"y").status == 403


# --- changing responses

@pytest.mark.parametrize("path", ["/x", "/chunked", "/gzip"])
@pytest.mark.parametrize("body", [b"no", b"a much longer body than there was"])
def test_response_body(broker, proxy, origin, path, body):
    broker.on["before_response"] = ops(("resp.set_status", 404),
                                       ("resp.set_body", body))
    with proxy.connection() as connection:
        for _ in range(2):
            answer = connection.fetch("GET", origin.url(path))
            assert (answer.status, answer.reason) == (404, "Not Found")
            assert answer.body == body
            assert answer.all("content-length") == [str(len(body))]
            assert not answer.all("transfer-encoding")
            assert not answer.all("content-encoding")


def test_response_headers(broker, proxy, origin):
    broker.on["before_response"] = ops(
        ("resp.add_header", "Set-Cookie", "c=3"), ("resp.set_header", "x-new", "1"),
        ("resp.del_header", "server"))
    answer = proxy.get(origin.url("/cookies"))
    assert answer.all("set-cookie") == ["a=1", "b=2; Path=/", "c=3"]
    assert answer.get("x-new") == "1" and not answer.all("server")


def test_head_keeps_its_length(broker, proxy, origin):
    broker.on["before_response"] = ops(("resp.set_header", "X-New", "1"))
    answer = proxy.fetch("HEAD", origin.url("/bytes/1000"))
    assert answer.get("content-length") == "1000" and answer.get("x-new") == "1"


def test_status_without_a_body(broker, proxy, origin):
    broker.on["before_response"] = ops(("resp.set_status", 204))
    with proxy.connection() as connection:
        answer = connection.fetch("GET", origin.url("/x"))
        assert (answer.status, answer.body) == (204, b"")
        assert not answer.all("content-length")
        broker.on["before_response"] = ops(("resp.set_status", 200))
        answer = connection.fetch("GET", origin.url("/status/204"))
        assert (answer.status, answer.get("content-length")) == (200, "0")


def test_after_request_changes_the_head(broker, proxy, origin):
    broker.on["after_request"] = ops(("resp.set_header", "X-Head", "1"))
    assert proxy.get(origin.url("/x")).get("x-head") == "1"
    resp = broker.wait_seen("before_response")[0]["resp"]
    assert ["X-Head", "1"] in resp["headers"]


def test_what_comes_later_sees_what_was_changed(broker, proxy, origin):
    broker.on["before_request"] = ops(("req.set_header", "X-A", "1"))
    broker.on["before_response"] = ops(("resp.set_body", "zz"))
    proxy.get(origin.url("/x"))
    event = broker.wait_seen("after_response")[0]
    assert ["X-A", "1"] in event["req"]["headers"]
    assert event["resp"]["body"] == b"zz"


# --- failures of hooks

def test_connect_fails(broker, proxy, origin):
    broker.on["connect"] = fail()
    answer = proxy.get(origin.url("/x"))
    assert (answer.status, answer.body) == (500, INTERNAL)
    assert the_flow(broker) == ["connect", "close"]
    assert not origin.requests


@pytest.mark.parametrize("code", ["script_error", "timeout", "overloaded"])
def test_before_request_fails(broker, proxy, origin, code):
    broker.on["before_request"] = fail(code)
    answer = proxy.get(origin.url("/x"))
    assert (answer.status, answer.body) == (500, INTERNAL)
    assert the_flow(broker) == ["connect", "before_request", "close"]
    assert not origin.requests


@pytest.mark.parametrize("hook", ["after_request", "before_response"])
@pytest.mark.parametrize("path", ["/x", "/chunked", "/bytes/100000", "/status/204"])
def test_response_hook_fails(broker, proxy, origin, hook, path):
    broker.on[hook] = fail()
    with proxy.connection() as connection:
        for _ in range(2):
            answer = connection.fetch("GET", origin.url(path))
            assert (answer.status, answer.body) == (500, INTERNAL)
    broker.wait_seen("close", 2)
    assert not broker.seen("after_response")


def test_failure_answers_head_without_body(broker, proxy, origin):
    broker.on["before_response"] = fail()
    with proxy.connection() as connection:
        for _ in range(2):
            answer = connection.fetch("HEAD", origin.url("/x"))
            assert (answer.status, answer.body) == (500, b"")


def test_failures_that_the_policy_let_pass(broker, proxy, origin):
    broker.on["before_request"] = lambda call: {
        "ops": [["req.set_header", "X-B", "1"]], "finished": False,
        "errors": [{"script": "s1", "hook": "before_request",
                    "code": "script_error", "message": "boom-in-s1"}]}
    assert proxy.get(origin.url("/x")).status == 200
    assert origin.last().get("x-b") == "1"
    assert "boom-in-s1" in proxy.log()


@pytest.mark.parametrize("result", [
    "text", [1], {"ops": "x"}, {"ops": [1]}, {"ops": [[]]},
    {"ops": [["req.set_header", "only-a-name"]]},
])
def test_answers_that_make_no_sense(broker, proxy, origin, result):
    broker.on["before_request"] = lambda call: result
    answer = proxy.get(origin.url("/x"))
    assert (answer.status, answer.body) == (500, INTERNAL)
    assert not origin.requests


# --- failures of the proxy

def test_upstream_refuses(broker, proxy, origin):
    port = closed_port()
    answer = proxy.get(f"http://127.0.0.1:{port}/x")
    assert (answer.status, answer.body) == (502, b"upstream unreachable\n")
    assert the_flow(broker) == ["connect", "before_request", "error", "close"]
    event = broker.seen("error")[0]
    assert f"127.0.0.1:{port}" in event["err"]["msg"]
    assert "Connect call failed" in event["err"]["msg"]
    assert "resp" not in event and event["req"]["path"] == "/x"


def test_upstream_hangs_up(broker, proxy, origin):
    answer = proxy.get(origin.url("/drop"))
    assert (answer.status, answer.body) == (502, b"upstream failed\n")
    assert the_flow(broker) == ["connect", "before_request", "error", "close"]


# --- large bodies

def test_large_bodies_are_fetched_when_read(broker, proxy, origin):
    sent, found = pattern(3 << 20), {}

    def request(call):
        found["req"] = call.whole_body("req.body")

    def response(call):
        found["part"] = call.body("resp.body", 1000, 10)
        found["resp"] = call.whole_body("resp.body")
        found["req again"] = call.whole_body("req.body")

    broker.on["before_request"] = request
    broker.on["before_response"] = response
    answer = proxy.fetch("POST", origin.url("/bytes/2500000"), sent)
    assert answer.body == pattern(2500000)
    assert found["req"] == found["req again"] == origin.last().body == sent
    assert found["resp"] == pattern(2500000)
    assert found["part"] == pattern(1010)[1000:]
    event = broker.seen("before_request")[0]
    assert isinstance(event["req"]["body"], msgpack.ExtType)
    assert event["req"]["content_length"] == len(sent)


def test_large_bodies_stay_where_they_are(broker, proxy, origin):
    """Nobody reads them: the event holds their length alone."""
    proxy.fetch("POST", origin.url("/bytes/17000"), pattern(16385))
    assert broker.wait_seen("before_request")[0]["req"]["body"] == \
        msgpack.ExtType(1, (16385).to_bytes(8, "big"))
    assert broker.wait_seen("before_response")[0]["resp"]["body"] == \
        msgpack.ExtType(1, (17000).to_bytes(8, "big"))
    proxy.fetch("POST", origin.url("/x"), pattern(16384))
    assert broker.wait_seen("before_request", 2)[1]["req"]["body"] == pattern(16384)


def test_large_bodies_after_the_response(broker, proxy, origin):
    """Only a request can have a body that is fetched, so it is sent as one."""
    found = []
    broker.on["after_response"] = lambda call: found.append(
        (call.msgid is not None, call.whole_body("resp.body")))
    proxy.get(origin.url("/bytes/200000"))
    broker.wait_seen("after_response")
    broker.wait_seen("close")
    proxy.wait_idle()
    until(lambda: found, what="after_response has read the body")
    assert found == [(True, pattern(200000))]


def test_after_response_is_a_notification(broker, proxy, origin):
    proxy.get(origin.url("/x"))
    broker.wait_seen("close")
    kinds = {call.hook: call.msgid for call in broker.calls}
    assert kinds["after_response"] is None and kinds["close"] is None
    assert kinds["connect"] is not None


def test_body_is_gone_with_the_answer(broker, proxy, origin):
    kept = []

    def handler(call):
        kept.append(call)

    broker.on["before_request"] = handler
    proxy.fetch("POST", origin.url("/x"), pattern(20000))
    with pytest.raises(Fail) as failure:
        kept[0].body("req.body")
    assert failure.value.error["code"] == "body_unavailable"


@pytest.mark.parametrize("params", [
    ["req.body", 20001, 1], ["req.body", -1, 5], ["resp.body", 0, 1],
    ["other", 0, 1], ["req.body", 0, -1],
])
def test_ranges_that_are_not_there(broker, proxy, origin, params):
    found = []

    def handler(call):
        try:
            found.append(call.body(*params))
        except Fail as failure:
            found.append(failure.error["code"])

    broker.on["before_request"] = handler
    assert proxy.fetch("POST", origin.url("/x"), pattern(20000)).status == 200
    assert found == ["body_unavailable"]


def test_broker_that_cannot_ask_gets_bodies_inline(fake, proxy, origin):
    fake.caps = []
    fake.observed |= {"before_request"}
    with fake:
        proxy.use(fake.path)
        proxy.fetch("POST", origin.url("/x"), pattern(100000))
        assert fake.wait_seen("before_request")[0]["req"]["body"] == pattern(100000)
