# SPDX-License-Identifier: Apache-2.0
"""Hook-file behaviour through a real proxy: mitmproxy, the broker, its workers.

The numbers are those of the table of behaviours that this dialect is built to.
Cases without a proxy in them are in the other files of this folder.

What scripts saw is told by themselves: `bus.emit("saw", {...})`, which commits
with the run; a script that raises logs to kv from its error.lua instead.
"""

import threading

import pytest

from lib.origin import HELLO, closed_port, pattern
from lib.wait import until
from lib.ws import WebSocket

INTERNAL = (500, b"proxy internal error\n")
CLOSE = 'bus.emit("close", {id = ctx.id, resp = ctx.resp and ctx.resp.status_code})'
ERROR = 'bus.emit("error", {msg = err.msg, resp = ctx.resp})'


class Bed:
    """A broker with scripts, the proxy connected to it, the bus listened to."""

    def __init__(self, broker, proxy):
        self.broker = broker
        self.proxy = proxy
        self.events = []
        self._bus = broker.client()
        self._bus.call("bus.subscribe", [{"names": ["*"], "from": "new"}])
        proxy.use(broker.socket)
        self.get = proxy.get
        self.fetch = proxy.fetch

    def wait(self, name, count=1, timeout=10.0):
        """Data of the first `count` bus events of that name, in order."""
        def enough():
            self._bus.pump(0.02)
            self.events += [p[0] for m, p in self._bus.notifications
                            if m == "bus.event"]
            self._bus.notifications.clear()
            return len(self.seen(name)) >= count

        until(enough, timeout, f"{count} x {name} on the bus, have "
              f"{self.events}\n{self.broker.log()}")
        return self.seen(name)

    def seen(self, name):
        return [event["data"] for event in self.events if event["name"] == name]

    def never(self, name):
        """After everything else has ended, there was none of that name."""
        self.proxy.wait_idle()
        self._bus.pump(0.1)
        self.wait("", 0)
        return not self.seen(name)


@pytest.fixture
def bed(pinfold, proxy):
    """bed(scripts, settings, config) -> Bed"""
    return lambda scripts, settings=None, config=None: Bed(
        pinfold(config, scripts, settings), proxy)


def got(answer):
    return answer.status, answer.body


BLOCK = """
if ctx.req.path == "/block" then
    mut.resp.set_status(403)
    mut.resp.set_body("Blocked by Lua plugin")
    mut.ctx.set_finish()
end
"""


def blocker():
    saw = 'bus.emit("%s", {status = ctx.resp.status_code, fin = ctx.is_finished})'
    return {"block": {"before_request": BLOCK, **{
        hook: saw % hook for hook in ("before_response", "after_response")}}}


@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
def test_case_01_finish_answers(bed, origin, tls_origin, tls):
    scripts = blocker()
    scripts["block"]["close"] = CLOSE
    bed = bed(scripts)
    where = tls_origin if tls else origin
    answer = bed.get(where.url("/block"))
    assert got(answer) == (403, b"Blocked by Lua plugin")
    assert answer.reason == "Forbidden"
    assert answer.all("content-length") == [str(len("Blocked by Lua plugin"))]
    assert not where.requests
    for hook in ("before_response", "after_response"):
        assert bed.wait(hook) == [{"status": 403, "fin": True}]
    close = bed.wait("close")
    assert len(close) == 1
    if not tls:                     # a tunnel's close has no response of its own
        assert close[0]["resp"] == 403


@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
def test_case_02_others_pass(bed, origin, tls_origin, tls):
    bed = bed(blocker())
    where = tls_origin if tls else origin
    assert got(bed.get(where.url("/other"))) == (200, HELLO)
    assert where.last().target == "/other"


def test_case_03_04_connect_has_id_and_no_request(bed, origin):
    saw = """
    bus.emit("saw", {id = type(ctx.id), session = type(ctx.session_id),
        fin = ctx.is_finished, req = ctx.req == nil, resp = ctx.resp == nil})
    """
    bed = bed({"s1": {"connect": saw}, "s2": {"connect": saw}})
    assert bed.get(origin.url("/x")).status == 200
    assert bed.wait("saw", 2) == [{"id": "string", "session": "string",
                                   "fin": False, "req": True, "resp": True}] * 2


REQUEST = """
local r = ctx.req
bus.emit("saw", {method = r.method, path = r.path, q = r.query.q, body = r.body,
    no_body = r.body == nil, length = r.content_length, cookies = r.cookies == nil,
    headers = r.headers["X-Cli"], host = r.host, scheme = r.scheme,
    host_header = r.headers["Host"] == nil, url = r.url})
"""


@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
def test_case_05_request_is_seen(bed, origin, tls_origin, tls):
    where = tls_origin if tls else origin
    bed = bed({"s1": {"before_request": REQUEST}})
    bed.fetch("POST", where.url("/p?q=1&q=2"), b"hello", [("x-cli", "v")])
    assert bed.wait("saw") == [{
        "method": "POST", "path": "/p", "q": ["1", "2"], "body": "hello",
        "no_body": False, "length": 5, "cookies": True, "headers": ["v"],
        "host": where.host, "scheme": where.scheme, "host_header": True,
        "url": where.url("/p?q=1&q=2")}]


def test_case_06_no_body(bed, origin):
    bed = bed({"s1": {"before_request": REQUEST}})
    bed.get(origin.url("/p"))
    saw = bed.wait("saw")[0]
    assert saw["no_body"] is True and saw["length"] == 0


@pytest.mark.parametrize("size", [5, 100000])
def test_case_07_bodies_are_still_there_afterwards(bed, origin, size):
    saw = """
    local resp = ctx.resp
    bus.emit("%s", {n = #ctx.req.body, last = ctx.req.body:sub(-5),
                    resp = resp and resp.body and #resp.body})
    """
    bed = bed({"s1": {hook: saw % hook
                      for hook in ("after_request", "after_response")}})
    bed.fetch("POST", origin.url(f"/bytes/{size}"), pattern(size))
    last = pattern(size)[-5:].decode()
    request = bed.wait("after_request")[0]
    assert (request["n"], request["last"]) == (size, last)
    assert bed.wait("after_response") == [{"n": size, "last": last, "resp": size}]


def test_case_08_response_is_seen_by_every_script(bed, origin):
    saw = """
    bus.emit("saw", {status = ctx.resp.status_code, body = ctx.resp.body,
                     text = ctx.resp.status})
    """
    bed = bed({"s1": {"before_response": saw}, "s2": {"before_response": saw}})
    bed.get(origin.url("/x"))
    assert bed.wait("saw", 2) == [
        {"status": 200, "body": HELLO.decode(), "text": "200 OK"}] * 2


def test_case_09_priority_and_what_went_before(bed, origin):
    first = 'bus.emit("saw", {n = 1}); mut.req.set_header("X-First", "1")'
    second = 'bus.emit("saw", {n = 2, first = ctx.req.headers["X-First"]})'
    bed = bed({"late": {"before_request": second},
               "early": {"before_request": first}},
              {"late": {"priority": 200}, "early": {"priority": 5}})
    bed.get(origin.url("/x"))
    assert bed.wait("saw", 2) == [{"n": 1}, {"n": 2, "first": ["1"]}]
    assert origin.last().get("x-first") == "1"


def test_case_12_finish_stops_no_script(bed, origin):
    bed = bed({
        "s1": {"before_request": "mut.ctx.set_finish()"},
        "s2": {"before_request": 'bus.emit("saw", {fin = ctx.is_finished})'}})
    assert got(bed.get(origin.url("/x"))) == (200, b"")
    assert bed.wait("saw") == [{"fin": True}]
    assert not origin.requests


@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
def test_case_13_before_request_raises(bed, origin, tls_origin, tls):
    bed = bed({
        "s1": {"before_request": 'mut.req.set_header("X-A", "1") error("boom")',
               "error": ERROR, "close": CLOSE},
        "s2": {"before_request":
               'bus.emit("saw", {a = ctx.req.headers["X-A"] == nil})',
               "error": ERROR}})
    where = tls_origin if tls else origin
    assert got(bed.get(where.url("/x"))) == INTERNAL
    assert not where.requests
    assert bed.wait("saw") == [{"a": True}]
    errors = bed.wait("error", 2)
    assert len(errors) == 2
    for error in errors:
        assert "s1/before_request" in error["msg"] and "boom" in error["msg"]
        assert "traceback" in error["msg"]
    bed.wait("close")


@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
def test_case_15_connect_raises(bed, origin, tls_origin, tls):
    bed = bed({"s1": {"connect": 'error("c")', "close": CLOSE,
                      "before_request": 'bus.emit("saw")'}})
    if tls:
        with pytest.raises(OSError, match="500"):
            bed.get(tls_origin.url("/x"))
    else:
        assert got(bed.get(origin.url("/x"))) == INTERNAL
    bed.wait("close")
    assert bed.never("saw")
    assert not origin.requests and not tls_origin.requests


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_case_16_upstream_refuses(bed, scheme):
    bed = bed({"s1": {"error":
                      'bus.emit("error", {msg = err.msg, none = ctx.resp == nil})'}})
    port = closed_port()
    answer = bed.get(f"{scheme}://127.0.0.1:{port}/x")
    assert got(answer) == (502, b"upstream unreachable\n")
    error = bed.wait("error")[0]
    assert error["none"] is True
    assert str(port) in error["msg"] and "Connect call failed" in error["msg"]


def test_case_17_raise_after_the_response(bed, origin):
    bed = bed({"s1": {"after_response": 'error("late")', "error": ERROR}})
    answer = bed.get(origin.url("/chunked"))
    assert got(answer) == (200, b"onetwothree")
    assert "late" in bed.wait("error")[0]["msg"]


def test_case_23_path_is_escaped_and_query_kept(bed, origin):
    bed = bed({"s1": {"before_request": 'mut.req.set_path("/new path?z=1")'}})
    bed.get(origin.url("/x?a=1"))
    assert origin.last().target == "/new%20path%3Fz=1?a=1"


def test_case_24_url_wins(bed, origin):
    script = f"""
    if ctx.req.path == "/bad" then
        mut.req.set_url("http://[::1")
    else
        mut.req.set_url("http://{origin.host}/U")
        mut.req.set_path("/P")
    end
    """
    bed = bed({"s1": {"before_request": script}})
    assert bed.get(f"http://127.0.0.1:{closed_port()}/x").status == 200
    assert origin.last().target == "/U" and origin.last().get("host") == origin.host
    assert got(bed.get(origin.url("/bad"))) == INTERNAL
    assert len(origin.requests) == 1


CHANGE = """
mut.req.set_method("PUT")
mut.req.set_body("new\\0body")
mut.req.set_url(ctx.req.scheme .. "://" .. ctx.req.host .. "/elsewhere?x=1")
"""


@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
def test_case_25_26_method_body_url(bed, origin, tls_origin, tls):
    bed = bed({"s1": {"before_request": CHANGE}})
    where = tls_origin if tls else origin
    assert bed.fetch("POST", where.url("/x"), b"a longer old body").status == 200
    last = where.last()
    assert (last.method, last.target) == ("PUT", "/elsewhere?x=1")
    assert last.body == b"new\0body"
    assert last.all("content-length") == ["8"]
    assert not last.all("transfer-encoding")


def test_case_27_28_29_headers(bed, origin):
    bed = bed({"s1": {"before_request": """
        mut.req.set_header("X-Set", "1") mut.req.set_header("X-Set", "2")
        mut.req.set_header("X-Gone", "1") mut.req.del_header("X-Gone")
        mut.req.add_header("X-New", "1") mut.req.add_header("X-New", "2")
        mut.req.add_header("X-Many", "added")
        mut.req.set_header("x-cli", "one")
    """}})
    bed.get(origin.url("/x"), [("X-Many", "m1"), ("X-Many", "m2"), ("X-Cli", "0")])
    last = origin.last()
    assert last.all("x-set") == ["2"]
    assert last.all("x-gone") == []
    assert last.all("x-new") == ["1", "2"]
    assert last.all("x-many") == ["m1", "m2", "added"]
    assert last.all("x-cli") == ["one"]


def test_case_30_no_line_breaks_in_headers(bed, origin):
    bed = bed({"s1": {"before_request":
                      'mut.req.set_header("X-A", "a\\r\\nX-Injected: 1")'}})
    assert got(bed.get(origin.url("/x"))) == INTERNAL
    assert not origin.requests


def test_case_31_cookies(bed, origin):
    bed = bed({"s1": {"before_request": """
        local found = {}
        for _, c in ipairs(ctx.req.cookies) do
            found[c.name] = {value = c.value, quoted = c.quoted}
        end
        bus.emit("saw", found)
        mut.req.set_cookie{name = "b", value = "2 x,y"}
        mut.req.set_cookie{name = "a", value = "new"}
        mut.req.del_cookie("c")
    """}})
    bed.get(origin.url("/x"), [("Cookie", 'a=1; b="q q"; c=3; d=4')])
    assert origin.last().all("cookie") == ['b="2 x,y"; a=new; d=4']
    assert bed.wait("saw")[0]["b"] == {"value": "q q", "quoted": True}


@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
@pytest.mark.parametrize("body", ["no", "much longer than what was there " * 9],
                         ids=["shorter", "longer"])
def test_case_33_status_and_body(bed, origin, tls_origin, tls, body):
    bed = bed({"s1": {"before_response":
                      f'mut.resp.set_status(404) mut.resp.set_body("{body}")'}})
    answer = bed.get((tls_origin if tls else origin).url("/x"))
    assert got(answer) == (404, body.encode())
    assert answer.reason == "Not Found"
    assert answer.all("content-length") == [str(len(body))]


WS = """
local w = ws
bus.emit("msg", {dir = w.direction, opcode = w.opcode, name = w.opcode_name,
    data = w.data and base64.encode(w.data), text = w.text,
    ms = w.timestamp > 1600000000000, path = ctx.req.path})
if w.text == "raise" then error("in ws_msg") end
if w.text == "secret" then mut.ws.set_data("***") end
if w.text == "drop" then mut.ws.drop() end
"""


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_case_45_46_websocket(bed, proxy, origin, tls_origin, tls):
    """mitmproxy joins fragments and shows whole messages, no control frames."""
    bed = bed({"s1": {"ws_open": 'bus.emit("open", {path = ctx.req.path})',
                      "ws_msg": WS, "ws_close": 'bus.emit("closed")',
                      "error": ERROR}})
    where = tls_origin if tls else origin
    url = where.url("/ws/greet").replace("http", "ws", 1)
    with WebSocket(proxy, url) as ws:
        assert ws.receive() == "welcome"
        ws.binary(b"\0\xff")
        assert ws.receive() == b"echo:\0\xff"
        ws.text("")
        assert ws.receive() == "echo:"
        ws.text("ab", fin=False)
        ws.more(b"cd")
        assert ws.receive() == "echo:abcd"
        ws.text("raise")
        assert ws.receive() == "echo:raise"
        ws.text("secret")
        assert ws.receive() == "echo:***"
        ws.text("drop")
        ws.text("end")
        assert ws.receive() == "echo:end"
        ws.close()
        assert ws.receive() is None
    assert bed.wait("open") == [{"path": "/ws/greet"}]
    bed.wait("closed")
    messages = bed.wait("msg", 12)
    assert all(m["ms"] and m["path"] == "/ws/greet" for m in messages)
    assert messages[0] == {
        "dir": "server_to_client", "opcode": 1, "name": "text", "text": "welcome",
        "data": "d2VsY29tZQ==", "ms": True, "path": "/ws/greet"}
    assert messages[1]["dir"] == "client_to_server"
    assert (messages[1]["opcode"], messages[1]["name"]) == (2, "binary")
    assert messages[1]["data"] == "AP8=" and "text" not in messages[1]
    assert "data" not in messages[3] and "text" not in messages[3]
    assert messages[5]["text"] == "abcd"
    assert "in ws_msg" in bed.wait("error")[0]["msg"]
    proxy.wait_idle()
    assert len(bed.wait("closed")) == 1


def test_case_46_websocket_that_breaks_off(bed, proxy, origin):
    bed = bed({"s1": {"ws_close": 'bus.emit("closed") error("in ws_close")',
                      "error": ERROR}})
    ws = WebSocket(proxy, origin.url("/ws").replace("http", "ws", 1))
    ws.abort()
    assert "in ws_close" in bed.wait("error")[0]["msg"]
    proxy.wait_idle()
    assert len(bed.seen("error")) == 1


@pytest.mark.parametrize("hook", [None, "before_response"])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
def test_case_49_events_stream(bed, proxy, origin, tls_origin, hook, tls):
    hook = hook or "before_request"
    bed = bed({"s1": {hook: f'bus.emit("saw", {{hook = "{hook}"}})'}})
    where = tls_origin if tls else origin
    with proxy.connection(where.url()) as connection:
        target = "/sse" if tls else where.url("/sse")
        response = connection.request("GET", target, host=where.host)
        for number in (b"1", b"2", b"3"):
            assert response.readline() == b"data: " + number + b"\n"
            assert response.readline() == b"\n"
            where.release()
        where.release(False)
        while response.readline():
            pass
    assert bed.wait("saw") == [{"hook": hook}]


@pytest.mark.parametrize("lanes", [1, 8])
def test_case_50_many_in_parallel(bed, proxy, origin, lanes):
    bed = bed({"s1": {"before_request": """
        mut.req.set_header("X-Path", ctx.req.path)
        mut.req.set_header("X-Id", ctx.id)
        kv.incr("requests")
    """, "before_response": """
        mut.resp.set_header("X-Count", tostring(kv.incr("responses")))
    """}}, {"s1": {"concurrency": lanes}})
    answers = []

    def one(number):
        with proxy.connection() as connection:
            for step in range(5):
                answers.append(connection.fetch(
                    "GET", origin.url(f"/n/{number}/{step}")))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [a.status for a in answers] == [200] * 150
    assert len(origin.requests) == 150
    assert all(r.get("x-path") == r.target for r in origin.requests)
    assert len({r.get("x-id") for r in origin.requests}) == 150
    counts = sorted(int(a.get("x-count")) for a in answers)
    assert counts == list(range(1, 151))
