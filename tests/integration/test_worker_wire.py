# SPDX-License-Identifier: Apache-2.0
"""pinfold-worker alone, locked in as always, driven over its socket by hand."""

import os
import signal
import time
from pathlib import Path

import pytest

from lib.fake_broker import HOOKS, Refuse, RunError, WorkerProcess, pack, sequence

RELEASE = Path(os.environ.get("PINFOLD_RELEASE",
                              Path(__file__).resolve().parents[2] / "build"))
EVENT = {
    "id": "7", "session_id": "s", "is_finished": False,
    "req": {
        "proto": "HTTP/1.1", "host": "h:81", "scheme": "http", "method": "POST",
        "path": "/p q", "url": "http://h:81/p%20q?q=1&q=2&flag&e=a%20b+c",
        "remote_addr": "192.0.2.1:5",
        "headers": [["Host", "h:81"], ["x-cli", "one"], ["X-Cli", "two"],
                    ["Cookie", 'a=1; b="q q"; c=3; d=4'], ["Accept", "*/*"]],
        "body": b"he\0llo", "content_length": 6,
    },
}
RESPONSE = {
    "status_code": 200, "proto": "HTTP/1.1", "body": b"fine",
    "headers": {"Content-Type": "text/plain",
                "Set-Cookie": ["id=7; Path=/; Max-Age=60; Secure; HttpOnly",
                               "z=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"]},
}


def worker(source, hook="before_request", settings=None, **files):
    return WorkerProcess({hook: source, **files}, settings)


def show(expression, event=EVENT, hook="before_request", ops=(), extra=None,
         settings=None):
    """What an expression is in a hook, as text."""
    source = f"log.info(tostring({expression}))"
    with worker(source, hook, settings) as w:
        w.run(hook, event, ops, extra)
        return w.logs[-1][2]


def ops_of(source, event=EVENT, hook="before_request", earlier=()):
    with worker(source, hook) as w:
        return w.run(hook, event, earlier).ops


def error_of(source, event=EVENT, hook="before_request"):
    with worker(source, hook) as w:
        with pytest.raises(RunError) as e:
            w.run(hook, event)
        # The lane is as good as new.
        with pytest.raises(RunError):
            w.run(hook, event)
        return e.value


# --- start, load, end ---


def test_ready_names_the_layers():
    with worker("") as w:
        w.run("before_request")
        assert "seccomp" in w.ready["sandbox"]
        assert set(w.ready) == {"sandbox", "missing"}


def test_load_asks_for_each_source_and_names_the_hooks():
    with worker("", _shared="", close="", **{"sub/mod": ""}) as w:
        assert w.loaded == {"hooks": [HOOKS.index("before_request"),
                                      HOOKS.index("close")]}
        asked = [p[1] for m, p in w.calls if m == "source.get"]
        assert sorted(asked) == ["_shared.lua", "before_request.lua", "close.lua",
                                 "sub/mod.lua"]


def test_a_closed_socket_ends_it_well():
    w = worker("")
    with w:
        pass
    assert w.status == 0


@pytest.mark.parametrize("hook, file", [("before_request", "before_request"),
                                        ("", "lib/x")])
def test_load_refuses_what_does_not_compile(hook, file):
    with WorkerProcess({file: "local x = 1\nlocal = 2", "close": ""},
                       load=False) as w:
        with pytest.raises(RunError) as e:
            w.load()
        assert e.value.code == "script_error"
        assert e.value.error["hook"] == hook
        assert e.value.message.startswith(f"test/{file}.lua:2: ")
        # The broker may try again with better ones.
        w.files[file + ".lua"] = ""
        w.load()
        w.run("close", EVENT)


@pytest.mark.parametrize("garbage", [
    b"\xc1", b"\x00", pack([0, 1, "run"]), pack([0, 1, "nonsense", []]),
    pack([0, 1, "run", [2, b"", None, 0]]),
    pack([0, 1, "run", [99, b"\x80", None, 0, None]]),
    pack([0, 1, "run", [2, b"\x01", None, 0, None]]),
    pack([0, 1, "run", [2, b"\x80", b"\x01", 1, None]]),
    pack([0, 1, "load", [{}]])])
def test_bytes_without_sense_end_it(garbage):
    w = worker("")
    with w:
        w.sock.sendall(garbage)
        with pytest.raises((EOFError, ConnectionResetError)):
            w.wait(12345)
    assert w.status == 79


# --- ctx ---


@pytest.mark.parametrize("expression, text", [
    ("ctx.id", "7"), ("ctx.session_id", "s"), ("ctx.is_finished", "false"),
    ("ctx.resp", "nil"), ("type(ctx) .. type(ctx.req)", "tabletable"),
    ("ctx.nonsense", "nil"), ("ctx.req.nonsense", "nil"), ("ctx.req.status", "nil"),
    ("ctx[1]", "nil"), ("ctx.req == ctx.req", "true"),
    ("ctx.req.method", "POST"), ("ctx.req.path", "/p q"), ("ctx.req.host", "h:81"),
    ("ctx.req.scheme", "http"), ("ctx.req.proto", "HTTP/1.1"),
    ("ctx.req.remote_addr", "192.0.2.1:5"), ("#ctx.req.body", "6"),
    ("ctx.req.body", "he\0llo"), ("ctx.req.content_length", "6"),
    ("math.type(ctx.req.content_length)", "integer"),
    ("ctx.req.query.q[1] .. ctx.req.query.q[2]", "12"),
    ("#ctx.req.query.flag .. ctx.req.query.flag[1]", "1"),
    ("ctx.req.query.e[1]", "a b c"), ("ctx.req.query.none", "nil"),
    ("#ctx.req.headers['X-Cli']", "2"), ("ctx.req.headers['x-CLI'][2]", "two"),
    ("ctx.req.headers['X-Cli'] == ctx.req.headers['x-cli']", "true"),
    ("ctx.req.headers.accept[1]", "*/*"), ("ctx.req.headers['No']", "nil"),
    ("#ctx.req.cookies", "4"), ("ctx.req.cookies[2].value", "q q"),
    ("ctx.req.cookies[2].quoted", "true"), ("ctx.req.cookies[1].quoted", "false"),
    ("ctx.req.cookies[1].expires", "-62135596800000"),
])
def test_ctx(expression, text):
    assert show(expression) == text


@pytest.mark.parametrize("expression, text", [
    ("ctx.req.body", "nil"), ("ctx.req.content_length", "0"),
    ("ctx.req.cookies", "nil"), ("next(ctx.req.headers)", "nil"),
    ("next(ctx.req.query)", "nil"), ("ctx.req.remote_addr == ''", "true"),
    ("ctx.session_id == ''", "true")])
def test_ctx_of_a_bare_event(expression, text):
    assert show(expression, {"id": "1", "req": {}}) == text


@pytest.mark.parametrize("expression, text", [
    ("ctx.req.path", "/a b"), ("ctx.req.host", "x:1"), ("ctx.req.scheme", "https"),
    ("ctx.req.query.k[1]", "v")])
def test_parts_are_derived_from_the_url(expression, text):
    event = {"id": "1", "req": {"url": "https://x:1/a%20b?k=v#frag"}}
    assert show(expression, event) == text


def test_no_req_no_resp():
    assert show("tostring(ctx.req) .. tostring(ctx.resp)", {"id": "1"}) == "nilnil"


@pytest.mark.parametrize("expression, text", [
    ("ctx.resp.status", "200 OK"), ("ctx.resp.status_code", "200"),
    ("ctx.resp.body", "fine"), ("ctx.resp.content_length", "4"),
    ("ctx.resp.headers['Content-Type'][1]", "text/plain"),
    ("#ctx.resp.cookies", "2"), ("ctx.resp.cookies[1].max_age", "60"),
    ("ctx.resp.cookies[1].secure", "true"), ("ctx.resp.cookies[1].path", "/"),
    ("ctx.resp.cookies[2].expires", "1792567680000"),
    ("ctx.resp.cookies[2].name", "z")])
def test_resp(expression, text):
    event = {**EVENT, "resp": RESPONSE}
    assert show(expression, event, "before_response") == text


def test_pairs_sees_ordinary_tables():
    keys = "(function(t) local k = {} for n in pairs(t) do k[#k + 1] = n end " \
           "table.sort(k) return table.concat(k, ' ') end)"
    assert show(f"{keys}(ctx)") == "id is_finished req session_id"
    assert show(f"{keys}(ctx.req)") == (
        "body content_length cookies headers host method path proto query "
        "remote_addr scheme url")
    assert show(f"{keys}(ctx.req.headers)") == "Accept Cookie Host X-Cli"
    assert show("(function() local h = ctx.req.headers; next(h); "
                "return h['x-cli'][1] end)()") == "one"
    assert show("json.encode(ctx.req.headers.accept)") == '["*/*"]'
    assert show('json.encode(ctx):find(\'"path":"/p q"\', 1, true) ~= nil') == "true"


@pytest.mark.parametrize("source, text", [
    ("ctx.req.path = '/c'", "/c"), ("ctx.req.path = nil", "nil"),
    ("local _ = ctx.req.path, ctx.req.path; ctx.req.path = nil", "nil"),
    ("rawset(ctx.req, 'path', '/r')", "/r")])
def test_writing_to_ctx_changes_only_the_table(source, text):
    source += "; log.info(tostring(ctx.req.path))"
    with worker(source) as w:
        assert w.run("before_request", EVENT).ops == []
        assert w.logs[-1][2] == text
        w.run("before_request", EVENT)
        assert w.logs[-1][2] == text


@pytest.mark.parametrize("op, expression, text", [
    (["req.set_header", "x-cli", "new"], "#ctx.req.headers['X-Cli']", "1"),
    (["req.add_header", "X-Cli", "new"], "ctx.req.headers['X-Cli'][3]", "new"),
    (["req.del_header", "x-cli"], "ctx.req.headers['X-Cli']", "nil"),
    (["req.set_method", "PUT"], "ctx.req.method", "PUT"),
    (["req.set_path", "/a b?"], "ctx.req.url",
     "http://h:81/a%20b%3F?q=1&q=2&flag&e=a%20b+c"),
    (["req.set_path", "/n"], "ctx.req.path", "/n"),
    (["req.set_host", "other"], "ctx.req.url",
     "http://other/p%20q?q=1&q=2&flag&e=a%20b+c"),
    (["req.set_query", "z=9"], "ctx.req.query.z[1]", "9"),
    (["req.set_query", ""], "ctx.req.url", "http://h:81/p%20q"),
    (["req.set_url", "https://n:2/x?y=1"], "ctx.req.host .. ctx.req.scheme .. "
     "ctx.req.path .. ctx.req.query.y[1]", "n:2https/x1"),
    (["req.set_body", "newer body"], "ctx.req.body .. ctx.req.content_length",
     "newer body10"),
    (["req.set_body", ""], "ctx.req.body", "nil"),
    (["req.set_header", "Cookie", "n=1"], "#ctx.req.cookies", "1"),
    (["ctx.set_finish"], "ctx.is_finished", "true"),
    (["resp.set_status", 404], "ctx.resp.status .. ctx.resp.status_code",
     "404 Not Found404"),
    (["resp.set_status", 799], "ctx.resp.status", "799"),
    (["resp.set_body", "b"], "ctx.resp.body", "b"),
    (["resp.add_header", "X", "1"], "ctx.resp.headers.X[1]", "1")])
def test_ops_of_earlier_scripts_are_visible(op, expression, text):
    assert show(expression, ops=[op]) == text


# --- bodies ---


def big_event():
    length = 2_500_000
    body = bytes(range(256)) * (length // 256)
    import msgpack
    lazy = msgpack.ExtType(1, len(body).to_bytes(8, "big"))
    return {"id": "1", "req": {"body": lazy, "method": "GET"}}, body


def test_a_lazy_body_comes_by_ranges_when_touched():
    event, body = big_event()
    source = "log.info(crypto.hash('sha256', ctx.req.body)); local _ = ctx.req.body"
    with worker(source) as w:
        w.bodies["req.body"] = body
        w.run("before_request", event)
        import hashlib
        assert w.logs[-1][2] == hashlib.sha256(body).hexdigest()
        gets = [p[1:] for m, p in w.calls if m == "body.get"]
        assert gets == [["req.body", 0, 1 << 20], ["req.body", 1 << 20, 1 << 20],
                        ["req.body", 2 << 20, len(body) - (2 << 20)]]


def test_a_lazy_body_that_nobody_reads_is_not_asked_for():
    event, _ = big_event()
    with worker("log.info(ctx.req.content_length)") as w:
        w.run("before_request", event)
        assert w.logs[-1][2] == "2499840"
        assert [m for m, _ in w.calls if m == "body.get"] == []


def test_pairs_fetches_a_lazy_body():
    event, body = big_event()
    with worker("local n = 0; for k, v in pairs(ctx.req) do "
                "if k == 'body' then n = #v end end; log.info(n)") as w:
        w.bodies["req.body"] = body
        w.run("before_request", event)
        assert w.logs[-1][2] == str(len(body))


def test_a_body_past_the_limit_is_a_catchable_error():
    event, _ = big_event()
    assert "too_large: req.body has 2499840 bytes" in show(
        "select(2, pcall(function() return ctx.req.body end))", event,
        settings={"max_body": 1000})


def test_a_body_that_cannot_be_had():
    event, _ = big_event()

    def refuse(*_):
        raise Refuse("body_unavailable", "the proxy did not answer")

    with worker("pcall(function() return ctx.req.body end) "
                "if ctx.req.method == 'GET' then return ctx.req.body end") as w:
        w.on["body.get"] = refuse
        with pytest.raises(RunError) as e:
            w.run("before_request", event)
        assert e.value.code == "body_unavailable"


# --- mut ---


@pytest.mark.parametrize("source, ops", [
    ("mut.req.set_header('a', 'b')", [["req.set_header", "a", "b"]]),
    ("mut.req.set_header('a', 10/2)", [["req.set_header", "a", "5"]]),
    ("mut.req.set_header('a', 1.5)", [["req.set_header", "a", "1.5"]]),
    ("mut.req.set_header('a', '1') mut.req.set_header('A', '2')",
     [["req.set_header", "A", "2"]]),
    ("mut.req.set_header('a', '1') mut.req.del_header('A')",
     [["req.del_header", "A"]]),
    ("mut.req.del_header('a') mut.req.add_header('a', '1')",
     [["req.del_header", "a"], ["req.add_header", "a", "1"]]),
    ("mut.req.add_header('a', '1') mut.req.add_header('a', '2')",
     [["req.add_header", "a", "1"], ["req.add_header", "a", "2"]]),
    ("mut.req.add_header('a', '1') mut.req.set_header('a', '2') "
     "mut.req.add_header('a', '3')",
     [["req.set_header", "a", "2"], ["req.add_header", "a", "3"]]),
    ("mut.req.set_body('x') mut.req.set_path('rel') mut.req.set_host('h')",
     [["req.set_host", "h"], ["req.set_path", "/rel"], ["req.set_body", "x"]]),
    ("mut.req.set_path('/a') mut.req.set_path('/new path?z=1')",
     [["req.set_path", "/new path?z=1"]]),
    ("mut.req.set_url('http://h2:1/U') mut.req.set_path('/P') "
     "mut.req.set_host('x') mut.req.set_method('PUT')",
     [["req.set_method", "PUT"], ["req.set_url", "http://h2:1/U"]]),
    ("mut.req.set_query('?a=1&b=2')", [["req.set_query", "a=1&b=2"]]),
    ("mut.req.set_body('new\\0body')", [["req.set_body", "new\0body"]]),
    ("mut.req.set_body('\\255')", [["req.set_body", b"\xff"]]),
    ("mut.req.set_header('Host', 'x')", []),
    ("mut.resp.set_status(204.9)", [["resp.set_status", 204]]),
    ("mut.resp.set_status('404')", [["resp.set_status", 404]]),
    ("mut.resp.set_body('b') mut.resp.set_status(403) mut.ctx.set_finish()",
     [["resp.set_status", 403], ["resp.set_body", "b"], ["ctx.set_finish"]]),
    ("mut.ws.set_data('x') mut.ws.drop()", []),
    ("mut.req.set_cookie{name='b', value='2 x,y'} "
     "mut.req.set_cookie{name='a', value='new'} mut.req.del_cookie('c')",
     [["req.set_header", "Cookie", 'b="2 x,y"; a=new; d=4']]),
    ("mut.req.set_cookie{name='z', value=1} mut.req.del_cookie('z') "
     "mut.req.set_cookie{name='z', value=3} for _, n in ipairs{'a','b','c','d'} do "
     "mut.req.del_cookie(n) end", [["req.set_header", "Cookie", "z=3"]]),
    ("for _, n in ipairs{'a','b','c','d'} do mut.req.del_cookie(n) end",
     [["req.del_header", "Cookie"]]),
    ("mut.req.set_header('Cookie', 'x=1; y=2') mut.req.set_cookie{name='y', "
     "value='3'}", [["req.set_header", "Cookie", "y=3; x=1"]]),
    ("mut.req.set_cookie{value='noname'} mut.req.set_header('Cookie', '')",
     [["req.set_header", "Cookie", "=noname"]]),
    ("local m = mut.req; m.set_path = nil; rawset(mut, 'x', 1)", []),
])
def test_mut(source, ops):
    with worker(source) as w:
        for _ in range(2):
            assert w.run("before_request", EVENT).ops == ops


def test_a_cookie_that_was_not_there_is_not_deleted():
    assert ops_of("mut.req.del_cookie('x')", {"id": "1", "req": {}}) == []


@pytest.mark.parametrize("source, ops", [
    ("mut.resp.set_cookie{name='n', value='v', path='/', secure=true, "
     "http_only=true, max_age=5, same_site='Lax', expires=0}",
     [["resp.add_header", "Set-Cookie", "n=v; Path=/; Expires=Thu, 01 Jan 1970 "
       "00:00:00 GMT; Max-Age=5; HttpOnly; Secure; SameSite=Lax"]]),
    ("mut.resp.set_cookie{name='id', value='8'}",
     [["resp.del_header", "Set-Cookie"],
      ["resp.add_header", "Set-Cookie", RESPONSE["headers"]["Set-Cookie"][1]],
      ["resp.add_header", "Set-Cookie", "id=8"]]),
    ("mut.resp.del_cookie('id') mut.resp.del_cookie('z')",
     [["resp.del_header", "Set-Cookie"]]),
    ("mut.resp.del_cookie('none')", [])])
def test_resp_cookies(source, ops):
    assert ops_of(source, {**EVENT, "resp": RESPONSE}, "before_response") == ops


@pytest.mark.parametrize("source, message", [
    ("mut.req.set_header('a')", "bad argument #2 to 'set_header' (string expected, "
     "got no value)"),
    ("mut.req.set_header('a', nil)", "bad argument #2 to 'set_header' (string "
     "expected, got nil)"),
    ("mut.req.set_header('a', {})", "string expected, got table"),
    ("mut.req.set_header('a b', 'x')", "not a header name"),
    ("mut.req.set_header('a', 'x\\r\\nb: c')", "CR, LF or NUL"),
    ("mut.resp.add_header('a', '\\n')", "CR, LF or NUL"),
    ("mut.req.set_cookie('x')", "table expected, got string"),
    ("mut.req.set_cookie{name='a', value='\\r\\n'}", "CR, LF or NUL"),
    ("mut.req.set_url('http://[::1')", "not an absolute URL"),
    ("mut.req.set_url('/rel')", "not an absolute URL"),
    ("mut.req.set_host('a b')", "not a host"),
    ("mut.req.set_method('GE T')", "not a method name"),
    ("mut.req.set_query('a b')", "not a query"),
    ("mut.resp.set_status(0)", "status must be 100 to 999"),
    ("mut.resp.set_status(99.9)", "status must be 100 to 999"),
    ("mut.resp.set_status(1000)", "status must be 100 to 999"),
    ("mut.resp.set_status('x')", "number expected, got string"),
    ("mut.resp.set_status(0/0)", "status must be 100 to 999"),
    ("for i = 1, 10001 do mut.req.add_header('a' .. i, '') end", "too_large"),
    ("for i = 1, 40 do mut.req.add_header('a', ('x'):rep(1 << 19)) end",
     "too_large")])
def test_mut_raises_at_the_call(source, message):
    error = error_of(source)
    assert error.code == "script_error"
    assert error.message.startswith("test/before_request.lua:1: ")
    assert message in error.message


# --- errors ---


@pytest.mark.parametrize("source, message", [
    ("\nerror('boom')", "test/before_request.lua:2: boom"),
    ("error('bare', 0)", "bare"),
    ("error({code = 1})", "(error object is a table value)"),
    ("error(setmetatable({}, {__tostring = function() return 'mine' end}))", "mine"),
    ("error(setmetatable({}, {__tostring = function() error('x') end}))",
     "(error object is a table value)"),
    ("error()", "(error object is a nil value)"), ("error(5)", "5"),
    ("coroutine.yield()", "attempt to yield from outside a coroutine"),
    ("local a = nil; a.b = 1", "test/before_request.lua:1: attempt to index a nil "
     "value (local 'a')")])
def test_errors(source, message):
    error = error_of(source)
    assert error.code == "script_error"
    assert message in error.message
    assert error.traceback.startswith("stack traceback:")
    assert len(error.traceback) <= 8192


def test_a_failed_run_has_no_ops_and_no_effects_and_the_next_one_is_clean():
    source = "mut.req.set_path('/x') kv.set('a', '1') " \
             "if ctx.req.method == 'BAD' then error('boom') end"
    with worker(source) as w:
        with pytest.raises(RunError):
            w.run("before_request", {"id": "1", "req": {"method": "BAD"}})
        outcome = w.run("before_request", {"id": "2", "req": {"method": "GET"}})
        assert outcome.ops == [["req.set_path", "/x"]]
        assert outcome.effects == [["kv.set", "a", b"1", 0]]


def test_a_loop_is_stopped_by_the_signal():
    with worker("if ctx.id == '1' then while true do pcall(error) end end",
                settings={"timeout_ms": 300}) as w:
        msgid = w.begin("before_request", {"id": "1"})
        import time
        while msgid not in w.answers:
            time.sleep(0.02)
            w.process.send_signal(signal.SIGUSR1)
            w.sock.settimeout(0.02)
            try:
                w.step()
            except (TimeoutError, BlockingIOError):
                pass
        w.sock.settimeout(20)
        with pytest.raises(RunError) as e:
            w.wait(msgid)
        assert e.value.code == "timeout"
        w.run("before_request", {"id": "2"})


def test_a_signal_before_the_deadline_changes_nothing():
    source = "local n = 0 for i = 1, 3e6 do n = n + 1 end log.info(n)"
    with worker(source) as w:
        msgid = w.begin("before_request", {"id": "1"})
        w.process.send_signal(signal.SIGUSR1)
        w.end(msgid)
        w.process.send_signal(signal.SIGUSR1)
        w.run("before_request", {"id": "2"})
        assert w.logs[-1][2] == "3000000"


@pytest.mark.parametrize("lanes", [1, 4])
def test_a_call_that_timed_out_ends_the_run(lanes):
    def refuse(*_):
        raise Refuse("timeout", "too late")

    with worker("for i = 1, 10 do pcall(kv.get, 'k') end log.info('survived') "
                "while true do pcall(kv.get, 'k') end",
                settings={"concurrency": lanes}) as w:
        w.on["kv.get"] = refuse
        with pytest.raises(RunError) as e:
            w.run("before_request")
        assert e.value.code == "timeout"
        assert w.logs == []


def test_garbage_is_collected_between_and_within_runs():
    source = "for i = 1, 200 do local s = ('x'):rep(100000) .. i end"
    with worker(source, settings={"memory": 16 << 20}) as w:
        for _ in range(20):
            w.run("before_request")


# --- which run is running ---


def last_words(source, lanes, *paths):
    """Events until the end; what the worker says at last, and which id the
    first of them had."""
    w = worker(source, settings={"concurrency": lanes, "memory": 8 << 20})
    with w:
        w.on["kv.get"] = lambda _: None
        ids = [w.begin("before_request", {"id": path, "req": {"path": path}})
               for path in paths]
        with pytest.raises((EOFError, ConnectionResetError)):
            w.wait(12345)
    assert w.status == 77
    return w.running, ids


FILL = """local path = ctx.req.path
if path == "good" then return end
if path == "wait" then
  local t = {} for i = 1, 60000 do t[i] = {} end kv.get("a") return #t
end
if path == "little" then kv.get("a") end
local t = {} for i = 1, 1e9 do t[i] = {i} end"""


def test_it_names_the_run_that_filled_its_memory(monkeypatch):
    monkeypatch.setenv("PINFOLD_BUILD", str(RELEASE))
    for lanes in (1, 4):
        running, ids = last_words(FILL, lanes, "good", "bomb", "good")
        assert running == [ids[1]]
        running, ids = last_words(FILL, lanes, "little")
        assert running == [ids[0]]


def test_it_names_none_when_it_is_not_sure(monkeypatch):
    """One that waits has most of the memory, which another one then fills."""
    monkeypatch.setenv("PINFOLD_BUILD", str(RELEASE))
    running, _ = last_words(FILL, 4, "wait", "bomb")
    assert running == [0]


def test_it_names_the_run_that_is_late():
    with worker("kv.get('a') while true do end",
                settings={"timeout_ms": 50}) as w:
        late = w.begin("before_request", EVENT)
        w.step()                # it has begun, and asked
        time.sleep(0.06)
        w.process.send_signal(signal.SIGUSR1)
        with pytest.raises(RunError) as e:
            w.end(late)
        assert e.value.code == "timeout" and w.running == [late]


# --- environments ---


def test_each_event_starts_fresh():
    source = "n = (n or 0) + 1 log.info(n) string.x = ctx config.y = 1 mut.z = 1 " \
             "mut.req.set_path = nil log.info(tostring(config.a.b))"
    with worker("assert(not string.x and not config.y and not mut.z "
                "and mut.req.set_path) " + source,
                settings={"config": {"a": {"b": 5}}}) as w:
        for _ in range(3):
            w.run("before_request")
        assert [log[2] for log in w.logs] == ["1", "5"] * 3


def test_shared_runs_first_in_the_same_environment():
    with worker("log.info(helper())", _shared="function helper() return ctx.id end "
                "mut.req.set_header('s', '1')") as w:
        assert w.run("before_request", EVENT).ops == [["req.set_header", "s", "1"]]
        assert w.logs[-1][2] == "7"


def test_shared_that_raises_fails_the_hook():
    with worker("log.info('ran')", _shared="error('no')") as w:
        with pytest.raises(RunError) as e:
            w.run("before_request")
        assert e.value.message == "test/_shared.lua:1: no"
        assert w.logs == []


def test_globals_script_keeps_globals_but_not_the_event():
    source = """
        n = (n or 0) + 1
        if n == 2 then
            log.info(tostring(pcall(function() return KEEP.id end)))
            log.info(tostring(pcall(function() return KEEPREQ.path end)))
            log.info(tostring(pcall(next, KEEP)))
            KEEPMUT.req.set_path('/dead')
        end
        KEEP, KEEPREQ, KEEPMUT = ctx, ctx.req, mut
        local _ = ctx.req.path, ctx.id
        mut.req.set_header('n', n)
    """
    with worker(source, settings={"globals": "script"},
                close="log.info(tostring(n) .. tostring(ctx ~= nil))") as w:
        assert w.run("before_request", EVENT).ops == [["req.set_header", "n", "1"]]
        assert w.run("before_request", EVENT).ops == [["req.set_header", "n", "2"]]
        assert [log[2] for log in w.logs] == ["false"] * 3
        w.run("close", EVENT)
        assert w.logs[-1][2] == "2true"


def test_require_finds_files_of_the_script():
    with worker("log.info(require('sub.mod').f())",
                **{"sub/mod": "return {f = function() return 'here' end}"}) as w:
        w.run("before_request")
        assert w.logs[-1][2] == "here"


# --- hooks with globals of their own ---


@pytest.mark.parametrize("hook, event, extra, expression, text", [
    ("error", EVENT, {"err": {"msg": "m", "script": "s", "hook": "h", "code": "c"}},
     "err.msg .. err.script .. err.hook .. err.code .. ctx.id", "mshc7"),
    ("error", {**EVENT, "err": {"msg": "dial"}}, None, "err.msg", "dial"),
    ("flush", {}, {"opts": {"session": "u"}},
     "opts.session .. tostring(ctx) .. tostring(err)", "unilnil"),
    ("bus", {"seq": 4, "time": 9, "name": "e", "from": "f", "data": {"a": [1, 2]},
             "hops": 1}, None,
     "event.seq .. event.name .. event.from .. event.data.a[2] .. "
     "tostring(event.hops) .. tostring(ctx)", "4ef2nilnil"),
    ("before_request", EVENT, None, "tostring(err) .. tostring(opts) .. "
     "tostring(ws) .. tostring(event)", "nilnilnilnil")])
def test_globals_of_hooks(hook, event, extra, expression, text):
    assert show(expression, event, hook, extra=extra) == text


MESSAGE = {"direction": "client_to_server", "opcode": 1, "data": b"hi",
           "timestamp": 1700000000123}


@pytest.mark.parametrize("change, expression, text", [
    ({}, "ws.direction .. ws.opcode .. ws.opcode_name .. ws.data .. ws.text",
     "client_to_server1texthihi"),
    ({}, "ws.timestamp", "1700000000123"),
    ({"opcode": 2}, "ws.opcode_name .. tostring(ws.text) .. ws.data", "binarynilhi"),
    ({"data": b""}, "tostring(ws.data) .. tostring(ws.text)", "nilnil"),
    ({"opcode": 9}, "ws.opcode_name", "ping"),
    ({"opcode": 5}, "ws.opcode_name", "unknown")])
def test_ws(change, expression, text):
    event = {"id": "1", "ws": {**MESSAGE, **change}}
    assert show(expression, event, "ws_msg") == text


def test_ws_mutations():
    event = {"id": "1", "ws": MESSAGE}
    assert ops_of("mut.ws.set_data('x' .. ws.data)", event, "ws_msg") == [
        ["ws.set_data", "xhi"]]
    assert ops_of("mut.ws.set_data('x') mut.ws.drop()", event, "ws_msg") == [
        ["ws.drop"]]
    assert ops_of("mut.req.set_path('/x')", event, "ws_msg") == []
    assert show("ws.text", event, "ws_msg", ops=[["ws.set_data", "new"]]) == "new"


# --- log ---


def test_log():
    source = "log.warn('m', {b = 1.5, a = 2.0, [1] = true}) log.audit(7) print('p', 1)"
    with worker(source) as w:
        w.run("before_request")
        run = w.logs[0][0]
        assert w.logs == [[run, 3, "m", ["1", "true", "a", "2", "b", "1.5"]],
                          [run, 5, "7", []], [run, 2, "p\t1", []]]


def test_log_raises_for_a_wrong_type():
    assert "table expected, got string" in error_of("log.info('m', 'str')").message


def test_log_gives_nothing():
    assert show("select('#', log.info('x'))") == "0"


# --- kv ---


def kv_run(source, **kv):
    with worker(source) as w:
        w.kv = {k.encode(): v for k, v in kv.items()}
        outcome = w.run("before_request")
        return [log[2] for log in w.logs], outcome.effects


SHOW = "local function show(...) log.info(json.encode({n = select('#', ...), ...})) end "


@pytest.mark.parametrize("source, out, effects", [
    ("show(kv.get('nope'))", '{"2":"kv: key \'nope\' not found","n":2}', []),
    ("show(kv.get('a'))", '{"1":"1","n":1}', []),
    ("kv.set('a', 10/2) show(kv.get('a'))", '{"1":"5","n":1}',
     [["kv.set", "a", b"5", 0]]),
    ("kv.delete('a') show(kv.get('a'))", '{"2":"kv: key \'a\' not found","n":2}',
     [["kv.delete", "a"]]),
    ("show(kv.delete('zz'))", '{"1":true,"n":1}', [["kv.delete", "zz"]]),
    ("show(kv.set('t', 'x', {ttl = 1.5}))", '{"1":true,"n":1}',
     [["kv.set", "t", b"x", 1500]]),
    ("for i = 1, 5000 do kv.set('n', i) end show(kv.get('n'))",
     '{"1":"5000","n":1}', [["kv.set", "n", b"5000", 0]]),
    ("kv.set('u:2', 'y') kv.delete('u:1') show(kv.list('u:'))",
     '{"1":{"u:2":"y","u:3":"z"},"n":1}',
     [["kv.set", "u:2", b"y", 0], ["kv.delete", "u:1"]]),
    ("show(kv.list('none'))", '{"1":[],"n":1}', []),
    ("show(kv.incr('a'), kv.incr('a', 5))", '{"1":2,"2":7,"n":2}', []),
    ("kv.set('a', '9') show(kv.incr('a'))", '{"2":"kv: key \'a\' has an uncommitted '
     'write of the same run","n":2}', [["kv.set", "a", b"9", 0]]),
    ("show(kv.cas('a', '1', '2'), kv.cas('a', '1', '3'), kv.cas('b', nil, 'n'))",
     '{"1":true,"2":false,"3":true,"n":3}', []),
    ("kv.set('v', 'v\\0\\255') show(kv.get_base64('v'))", '{"1":"dgD/","n":1}',
     [["kv.set", "v", b"v\x00\xff", 0]]),
    ("show(kv.set(('k'):rep(1025), ''))",
     '{"1":false,"2":"too_large: the key has 1025 bytes, at most 1024 are allowed",'
     '"n":2}', []),
])
def test_kv(source, out, effects):
    kv = {"a": b"1", "u:1": b"x", "u:3": b"z"}
    assert kv_run(SHOW + source, **kv) == ([out], effects)


@pytest.mark.parametrize("source, message", [
    ("kv.set('a', nil)", "string expected, got nil"),
    ("kv.set('a', {})", "string expected, got table"),
    ("kv.list()", "string expected, got no value"),
    ("kv.set('a', 'b', {ttl = -1})", "ttl must be"),
    ("for i = 1, 1001 do kv.set('k' .. i, '') end", "too_large"),
    ("for i = 1, 6 do kv.set('k' .. i, ('x'):rep(1 << 20)) end", "too_large")])
def test_kv_raises(source, message):
    assert message in error_of(source).message


def test_a_refused_call_gives_nil_and_the_reason():
    def refuse(*_):
        raise Refuse("denied", "kv read of 'a'")

    with worker(SHOW + "show(kv.get('a')) show(kv.cas('a', nil, '1'))") as w:
        w.on["kv.get"] = w.on["kv.cas"] = refuse
        w.run("before_request")
        assert [log[2] for log in w.logs] == [
            '{"2":"denied: kv read of \'a\'","n":2}',
            '{"1":false,"2":"denied: kv read of \'a\'","n":2}']


# --- bus ---


def test_bus():
    source = SHOW + "show(bus.emit('e', {a = 1, l = {1, 2.0, 'x'}, f = 1.5, e = {}})) " \
        "bus.emit('n') bus.emit('h', ctx.req.headers) show(bus.emit('x', print)) " \
        "local t = {} t.t = t show(bus.emit('c', t))"
    with worker(source) as w:
        effects = w.run("before_request", EVENT).effects
        assert effects[:2] == [
            ["bus.emit", "e", {"a": 1, "l": [1, 2, "x"], "f": 1.5, "e": []}],
            ["bus.emit", "n", None]]
        assert effects[2][2]["X-Cli"] == ["one", "two"]
        assert len(effects) == 3
        assert [log[2] for log in w.logs] == [
            '{"n":0}',
            '{"1":"bus: the data cannot be sent: functions and threads cannot be '
            'sent","n":1}',
            '{"1":"bus: the data cannot be sent: nested too deep (16 levels)","n":1}']


# --- artifacts ---


@pytest.mark.parametrize("source, out", [
    ("show(artifacts.read('a.txt'))", '{"1":"A","n":1}'),
    ("show(artifacts.read('/../d/../a.txt'))", '{"1":"A","n":1}'),
    ("show(artifacts.read('zz'))",
     '{"2":"open zz: no such file or directory","n":2}'),
    ("show(artifacts.exists('d'), artifacts.exists('d/b'), artifacts.exists('x'))",
     '{"1":true,"2":true,"3":false,"n":3}'),
    ("artifacts.write('../../esc.txt', 'E') show(artifacts.read('esc.txt'))",
     '{"1":"E","n":1}'),
    ("show(artifacts.write('', 'x'))", '{"1":false,"2":"open : is a directory","n":2}'),
    ("show(artifacts.write('d', 'x'))",
     '{"1":false,"2":"open d: is a directory","n":2}'),
    ("show(artifacts.delete('zz'))",
     '{"1":false,"2":"remove zz: no such file or directory","n":2}'),
    ("show(artifacts.delete('a.txt'), artifacts.exists('a.txt'))",
     '{"1":true,"2":false,"n":2}'),
    ("show(artifacts.rename('zz', 'y'))",
     '{"1":false,"2":"artifacts: oldpath \'zz\', doesn\'t exist","n":2}'),
    ("show(artifacts.rename('a.txt', 'd/b'))",
     '{"1":false,"2":"artifacts: newpath \'d/b\' already in use","n":2}'),
    ("artifacts.rename('a.txt', 'n') show(artifacts.read('n'), "
     "artifacts.exists('a.txt'))", '{"1":"A","2":false,"n":2}'),
    ("show(artifacts.rename('d', 'e'))",
     '{"1":false,"2":"artifacts: oldpath \'d\' is a directory","n":2}'),
    ("artifacts.write('d/c', 'C') artifacts.rename('d/c', 'e/c') "
     "artifacts.delete('a.txt') show(artifacts.list())",
     '{"1":["d/b","e/c"],"n":1}'),
    ("show(artifacts.list())", '{"1":["a.txt","d/b"],"n":1}'),
    ("artifacts.write('w', 10/2) show(artifacts.read('w'))", '{"1":"5","n":1}'),
    ("artifacts.write('e', '') show(artifacts.read('e'))", '{"1":"","n":1}'),
])
def test_artifacts(source, out):
    with worker(SHOW + source) as w:
        w.put_artifact("a.txt", b"A")
        w.put_artifact("d/b", b"B")
        w.run("before_request")
        assert [log[2] for log in w.logs] == [out]


def test_artifact_effects_and_chunks():
    source = "artifacts.write('big', ('x'):rep(2500000)) artifacts.rename('big', 'b') " \
             "artifacts.write('gone', '1') artifacts.delete('gone') " \
             "log.info(#artifacts.read('b'))"
    with worker(source) as w:
        effects = w.run("before_request").effects
        assert effects == [["artifact.write", "big", 1, 2500000],
                           ["artifact.rename", "big", "b"],
                           ["artifact.write", "gone", 2, 1],
                           ["artifact.delete", "gone"]]
        assert w.blobs[1] == b"x" * 2500000
        assert w.logs[-1][2] == "2500000"


# --- data_store ---


@pytest.mark.parametrize("source, out", [
    ("show(data_store.exists('sub/a.txt'), data.exists('nope'))",
     '{"1":true,"2":false,"n":2}'),
    ("show(data.read('/sub/../top'))", '{"1":"T","n":1}'),
    ("show(data.read('nope'))",
     '{"2":"unavailable: open nope: no such file or directory","n":2}'),
    ("show(data.list('sub', {'.txt'}))", '{"1":["sub/a.txt","sub/deep/c.txt"],"n":1}'),
    ("show(data.list('sub', {}))",
     '{"1":["sub/a.txt","sub/b.md","sub/deep/c.txt"],"n":1}'),
    ("show(data.list('../..', {'top'}))", '{"1":["top"],"n":1}'),
    ("show(data.list('none'))", '{"1":[],"n":1}'),
    ("show(#data.read('large'))", '{"1":2500000,"n":1}')])
def test_data_store(source, out):
    with worker(SHOW + source) as w:
        w.data = {"sub/a.txt": b"a", "sub/b.md": b"b", "sub/deep/c.txt": b"c",
                  "top": b"T", "large": b"l" * 2500000}
        w.run("before_request")
        assert [log[2] for log in w.logs] == [out]


@pytest.mark.parametrize("read", ["data.read('f')", "artifacts.read('f')"])
def test_what_is_too_large_to_read_is_refused(read):
    with worker(SHOW + f"show({read})", settings={"max_body": 2_000_000}) as w:
        w.data["f"] = b"x" * 2_500_000
        w.put_artifact("f", b"x" * 2_500_000)
        w.run("before_request")
        assert '"2":"too_large: 2500000 bytes' in w.logs[0][2]


def test_data_list_wants_a_table():
    assert "table expected, got string" in error_of("data.list('', '.txt')").message


# --- lanes ---


def test_lanes_take_turns_and_answers_may_overtake():
    source = "local v = kv.get(ctx.id) mut.req.set_header('v', v .. ctx.req.path)"
    with worker(source, settings={"concurrency": 3}) as w:
        runs = [w.begin("before_request", {"id": str(i), "req": {"path": f"/{i}"}})
                for i in range(5)]
        calls, done = {}, {}

        def until(n_calls, n_done):
            while len(calls) < n_calls or len(done) < n_done:
                message = w.read()
                if message[0] == 0:
                    run, key = message[3]
                    assert run == runs[int(key)]
                    calls[int(key)] = message[1]
                else:
                    done[runs.index(message[1])] = sequence(message[3][0])[0][2]

        until(3, 0)
        assert sorted(calls) == [0, 1, 2]
        w.send([1, calls[2], None, b"two"])     # the third is answered first:
        until(4, 1)                             # then the fourth begins
        assert 3 in calls and done == {2: "two/2"}
        w.send([1, calls[0], None, b"zero"], [1, calls[3], None, b"three"])
        until(5, 3)
        w.send([1, calls[4], None, b"four"], [1, calls[1], None, b"one"])
        until(5, 5)
        assert done == {0: "zero/0", 1: "one/1", 2: "two/2", 3: "three/3",
                        4: "four/4"}


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("wrap", [
    "kv.get('k')", "coroutine.wrap(function() return kv.get('k') end)()",
    "(('x'):gsub('x', function() return kv.get('k') end))",
    "select(2, pcall(kv.get, 'k'))",
    "setmetatable({}, {__index = function() return (kv.get('k')) end}).x"])
def test_calls_from_anywhere_while_others_arrive(lanes, wrap):
    source = f"mut.req.set_header('v', {wrap} .. ctx.req.path)"
    with worker(source, settings={"concurrency": lanes}) as w:
        w.kv = {b"k": b"value"}
        runs = [w.begin("before_request", {"id": str(i), "req": {"path": f"/{i}"}})
                for i in range(20)]
        for i, run in enumerate(runs):
            assert w.end(run).ops == [["req.set_header", "v", f"value/{i}"]]


def test_many_events_in_one_write():
    with worker("mut.req.set_header('p', ctx.req.path)") as w:
        first = w.next_id
        w.next_id += 1000
        w.send(*[[0, first + i, "run", w.run_params(
            "before_request", {"id": "1", "req": {"path": f"/{i}"}})]
            for i in range(1000)])
        for i in range(1000):
            assert w.end(first + i).ops == [["req.set_header", "p", f"/{i}"]]


def test_a_large_event_and_its_neighbours():
    body = os.urandom(3_000_000)
    with worker("mut.req.set_header('n', #(ctx.req.body or ''))") as w:
        runs = [w.begin("before_request", {"id": "1", "req": {"body": b}})
                for b in (b"", body, b"abc", body[:70000])]
        lengths = [w.end(r).ops[0][2] for r in runs]
        assert lengths == ["0", "3000000", "3", "70000"]


def test_a_sequence_of_ops_is_packed_one_behind_the_other():
    with worker("mut.req.set_path('/a') mut.req.set_body('b')") as w:
        ops, n, effects, m = w.wait(w.begin("before_request", EVENT))
        assert sequence(ops) == [["req.set_path", "/a"], ["req.set_body", "b"]]
        assert (n, effects, m) == (2, None, 0)
