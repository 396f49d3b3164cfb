# SPDX-License-Identifier: Apache-2.0
"""What must flow flows: no test here waits for a time. A response is shown to be
streamed by reading its beginning while the origin still holds back the rest."""

import http.client

import pytest

from lib.fake_pinfold import Fail
from lib.origin import HELLO, pattern
from lib.wait import until

SIZE = 4 << 20


@pytest.fixture
def serve(fake, proxy):
    """serve(hook, ...): a connected fake that serves those hooks."""
    def start(*hooks, **options):
        fake.observed |= set(hooks)
        fake.start()
        proxy.use(fake.path, **options)
        return fake
    return start


def first_event(response):
    line = response.readline()
    assert response.readline() == b"\n"
    return line


def check_sse(proxy, origin):
    """Events arrive one by one; returns the response's head."""
    with proxy.connection() as connection:
        response = connection.request("GET", origin.url("/sse"))
        assert first_event(response) == b"data: 1\n"
        for number in (b"2", b"3"):
            origin.release()
            assert first_event(response) == b"data: " + number + b"\n"
        origin.release(False)
        assert response.read() == b""
        return response


@pytest.mark.parametrize("hooks", [
    (), ("before_request",), ("before_response",), ("after_response",),
    ("before_request", "after_request", "before_response", "after_response")])
def test_sse(serve, proxy, origin, hooks):
    broker = serve(*hooks, "close")
    assert check_sse(proxy, origin).status == 200
    broker.wait_seen("close")
    assert broker.hooks_seen() == [*hooks, "close"]
    for event in broker.seen("before_response"):
        assert event["resp"]["status_code"] == 200 and "body" not in event["resp"]


def test_sse_inside_tls(serve, proxy, tls_origin):
    serve("before_response")
    with proxy.connection(tls_origin.url()) as connection:
        response = connection.request("GET", "/sse", host=tls_origin.host)
        assert first_event(response) == b"data: 1\n"
        tls_origin.release(False)
        response.read()


def test_head_of_a_stream_can_be_changed(serve, proxy, origin):
    broker = serve()
    broker.on["before_response"] = lambda call: {"ops": [
        ["resp.set_status", 206], ["resp.set_header", "X-New", "1"]]}
    broker.push_hooks()
    proxy.use(broker.path)
    response = check_sse(proxy, origin)
    assert response.status == 206 and response.getheader("x-new") == "1"


def test_body_of_a_stream_can_be_replaced(serve, proxy, origin):
    broker = serve()
    broker.on["before_response"] = lambda call: {"ops": [
        ["resp.set_status", 403], ["resp.set_body", "no streams"]]}
    broker.push_hooks()
    proxy.use(broker.path)
    answer = proxy.get(origin.url("/sse"))
    assert (answer.status, answer.body) == (403, b"no streams")
    assert answer.all("content-length") == ["10"]
    assert not answer.all("transfer-encoding")


@pytest.mark.parametrize("hook", ["after_request", "before_response"])
def test_failure_before_a_stream(serve, proxy, origin, hook):
    def handler(call):
        raise Fail("script_error", "boom")

    broker = serve("close")
    broker.on[hook] = handler
    broker.push_hooks()
    proxy.use(broker.path)
    answer = proxy.get(origin.url("/sse"))
    assert (answer.status, answer.body) == (500, b"proxy internal error\n")


@pytest.mark.parametrize("hooks", [
    (), ("connect", "before_request", "after_request", "error", "close")])
def test_downloads_that_nobody_reads(serve, proxy, origin, hooks):
    serve(*hooks)
    with proxy.connection() as connection:
        response = connection.request("GET", origin.url(f"/halves/{SIZE}"))
        assert response.read(SIZE // 2) == pattern(SIZE)[:SIZE // 2]
        origin.release()
        assert response.read() == pattern(SIZE)[SIZE // 2:]


def test_downloads_whose_head_alone_is_read(serve, proxy, origin, fake):
    fake.reads["before_response"] = ["req", "resp"]
    fake.on["before_response"] = lambda call: {"ops": [
        ["resp.set_header", "X-New", "1"]]}
    serve()
    with proxy.connection() as connection:
        response = connection.request("GET", origin.url(f"/halves/{SIZE}"))
        assert response.getheader("x-new") == "1"
        assert response.read(1000) == pattern(1000)
        origin.release()
        assert len(response.read()) == SIZE - 1000


@pytest.mark.parametrize("hook", ["before_response", "after_response"])
def test_downloads_that_somebody_reads_are_whole(serve, proxy, origin, fake, hook):
    found = []
    fake.on[hook] = lambda call: found.append(call.whole_body("resp.body"))
    serve("close")
    origin.release()
    assert proxy.get(origin.url("/halves/300000")).body == pattern(300000)
    fake.wait_seen("close")
    proxy.wait_idle()
    until(lambda: found, what="the body was read")
    assert found == [pattern(300000)]


def test_streaming_can_be_turned_off(serve, proxy, origin):
    """For other addons that want whole bodies."""
    serve(pinfold_stream=False)
    origin.release()
    assert proxy.get(origin.url("/halves/300000")).body == pattern(300000)


@pytest.mark.parametrize("path", ["/chunked", "/bytes/300000"])
def test_mitmproxy_streams_large_bodies(serve, proxy, origin, path):
    """stream_large_bodies hands responses on: then the head is all there is."""
    broker = serve("before_response", "after_response", stream_large_bodies="1k")
    answer = proxy.get(origin.url(path))
    assert answer.status == 200 and len(answer.body) in (11, 300000)
    assert "body" not in broker.wait_seen("before_response")[0]["resp"]
    broker.wait_seen("after_response")


UPLOADS = [
    [("Content-Length", "100000")],
    [("Transfer-Encoding", "chunked")],
]


def upload(proxy, origin, headers):
    body = pattern(100000)
    if headers[0][0] == "Transfer-Encoding":
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return proxy.fetch("POST", origin.url("/up"), body, headers)


@pytest.mark.parametrize("headers", UPLOADS)
def test_streamed_uploads_are_asked_about_first(serve, proxy, origin, headers):
    broker = serve(stream_large_bodies="1k")
    broker.on["before_request"] = lambda call: {"ops": [
        ["req.set_header", "X-New", "1"]]}
    broker.push_hooks()
    proxy.use(broker.path, stream_large_bodies="1k")
    assert upload(proxy, origin, headers).status == 200
    assert origin.last().body == pattern(100000)
    assert origin.last().get("x-new") == "1"
    assert "body" not in broker.seen("before_request")[0]["req"]


@pytest.mark.parametrize("headers", UPLOADS)
def test_streamed_uploads_can_be_replaced(serve, proxy, origin, headers):
    broker = serve(stream_large_bodies="1k")
    broker.on["before_request"] = lambda call: {"ops": [["req.set_body", "short"]]}
    broker.push_hooks()
    proxy.use(broker.path, stream_large_bodies="1k")
    assert upload(proxy, origin, headers).status == 200
    assert origin.last().body == b"short"


@pytest.mark.parametrize("headers", UPLOADS)
@pytest.mark.parametrize("code", [None, "script_error"])
def test_streamed_uploads_that_may_not_pass_are_cut_off(serve, proxy, origin,
                                                        headers, code):
    """mitmproxy cannot answer an upload that it streams: nothing goes on."""
    def handler(call):
        if code:
            raise Fail(code, "boom")
        return {"ops": [["resp.set_status", 413]], "finished": True}

    broker = serve("close", stream_large_bodies="1k")
    broker.on["before_request"] = handler
    broker.push_hooks()
    proxy.use(broker.path, stream_large_bodies="1k")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        upload(proxy, origin, headers)
    broker.wait_seen("close")
    assert not origin.requests


def test_failure_after_a_streamed_upload(serve, proxy, origin):
    def handler(call):
        raise Fail("script_error", "boom")

    broker = serve()
    broker.on["before_response"] = handler
    broker.push_hooks()
    proxy.use(broker.path, stream_large_bodies="1k")
    answer = upload(proxy, origin, UPLOADS[0])
    assert (answer.status, answer.body) == (500, b"proxy internal error\n")
    assert origin.last().body == pattern(100000)


def test_nothing_is_served_nothing_is_touched(serve, proxy, origin):
    broker = serve()
    assert proxy.get(origin.url("/x")).body == HELLO
    proxy.wait_idle()
    assert broker.hooks_seen() == []
