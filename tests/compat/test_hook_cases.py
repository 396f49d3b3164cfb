# SPDX-License-Identifier: Apache-2.0
"""Hook-file behaviour through the socket, one test per numbered case.

The numbers are those of the table of behaviours that this dialect is built to;
the cases that are about a proxy are in test_proxy_cases.py. One broker serves
most of them: its script `eval` runs the chunk that the event's body holds and
tells what it returned as JSON in the op that sets X-R.
"""

import json
import threading

import pytest

from lib.events import full_event
from lib.pinfold import Pinfold
from lib.wait import until

EVAL = """
local f, err = load(ctx.req.body, "=chunk")
if not f then error(err) end
local r = table.pack(pcall(f))
local text, e = json.encode({ok = r[1], n = r.n, first = r[2], second = r[3],
                             third = r[4], text = not r[1] and tostring(r[2]) or nil})
mut.req.set_header("X-R", base64.encode(text or json.encode({ok = false, text = e})))
"""


@pytest.fixture(scope="module")
def bed():
    with Pinfold(scripts={"eval": {"before_request": EVAL}},
                 data={"sub/a.txt": "a", "sub/deep/c.txt": "c",
                       "sub/b.bin": b"\0\1", "top.txt": "top"}) as broker:
        yield broker


@pytest.fixture
def run(bed):
    client = bed.client()

    def call(chunk, event=None):
        """[ok, first, second, text] of the chunk."""
        event = event or full_event("before_request")
        event["req"] = dict(event["req"], body=chunk.encode())
        result = client.call("before_request", [event])
        from base64 import b64decode
        header = [op for op in result["ops"] if op[1:2] == ["X-R"]][0]
        answer = json.loads(b64decode(header[2]))
        call.ops = [op for op in result["ops"] if op is not header]
        call.finished = result["finished"]
        return answer

    yield call
    client.close()


def value(run, chunk, event=None):
    answer = run(chunk, event)
    assert answer["ok"], answer
    return answer.get("first")


def raised(run, chunk, event=None):
    answer = run(chunk, event)
    assert not answer["ok"], answer
    return answer["text"]


def ops_of(run, chunk, event=None):
    assert run(chunk, event)["ok"]
    return run.ops


# --- the context

def test_case_03_connect_has_ids_and_nothing_else(pinfold):
    broker = pinfold(scripts={"s": {"connect": """
        assert(type(ctx.id) == "string" and type(ctx.session_id) == "string")
        assert(ctx.is_finished == false and ctx.req == nil and ctx.resp == nil)
        bus.emit("seen", {id = ctx.id})"""}})
    result = broker.client().call("connect", [{"id": "1", "session_id": "s"}])
    assert result == {"ops": [], "finished": False, "errors": []}


def test_case_05_the_request_as_scripts_see_it(run):
    event = full_event("before_request")
    seen = value(run, """
        local r = ctx.req
        return {r.method, r.path, r.query.q, r.headers["X-Many"],
                r.headers["x-many"] == r.headers["X-Many"],
                r.content_length, r.host, r.scheme, r.remote_addr, r.proto}""",
                 event)
    assert seen[:5] == ["POST", "/a b", ["1", "2"], ["one", "two"], True]
    assert seen[6:] == ["example.test:8080", "http", "192.0.2.1:4711",
                        "HTTP/1.1"]
    event["req"]["headers"] = [["Host", "h"]]
    assert value(run, "return ctx.req.cookies == nil", event) is True


def test_case_06_no_body_is_nil(pinfold):
    broker = pinfold(scripts={"s": {"before_request": """
        mut.req.set_header("X-R", tostring(ctx.req.body) .. ctx.req.content_length)"""}})
    client = broker.client()
    for req in ({"path": "/"}, {"path": "/", "body": b"", "content_length": 0}):
        ops = client.call("before_request", [{"id": "1", "req": req}])["ops"]
        assert ops == [["req.set_header", "X-R", "nil0"]]


def test_case_07_08_response_and_bodies_for_every_script(pinfold):
    look = """mut.resp.add_header("X-R", ctx.req.body .. ctx.resp.body ..
                                  ctx.resp.status_code .. ctx.resp.status)"""
    broker = pinfold(scripts={"a": {"before_response": look,
                                    "after_response": look},
                              "b": {"before_response": look}})
    client = broker.client()
    event = [full_event("before_response")]
    want = ["resp.add_header", "X-R", "hellofine\n200200 OK"]
    # a header with a line feed is refused, so look at the failure's text
    error = client.error("before_response", event)
    assert error.code == "script_error" and "add_header" in error.message
    for name in ("a", "b"):
        broker.write_script(name, "before_response",
                            look.replace("ctx.resp.body", "#ctx.resp.body"))
    broker.control_client().call("reload")
    want[2] = "hello5200200 OK"
    assert client.call("before_response", event)["ops"] == [want, want]


def test_case_09_order_by_priority_and_earlier_ops_are_seen(pinfold):
    broker = pinfold(
        scripts={"late": {"before_request": """
                    mut.req.set_header("X-Late", ctx.req.headers["X-Early"][1])"""},
                 "early": {"before_request": 'mut.req.set_header("x-early", "1")'}},
        settings={"late": {"priority": 200}, "early": {"priority": 5}})
    ops = broker.client().call("before_request", [full_event("before_request")])
    assert ops["ops"] == [["req.set_header", "x-early", "1"],
                          ["req.set_header", "X-Late", "1"]]


def test_case_10_ties_run_in_name_order(pinfold):
    names = ["m", "a", "z", "b"]
    broker = pinfold(scripts={n: {"before_request":
                                  f'mut.req.add_header("X-O", "{n}")'}
                              for n in names},
                     settings={n: {"priority": 7} for n in names})
    ops = broker.client().call("before_request", [full_event("before_request")])
    assert [op[2] for op in ops["ops"]] == sorted(names)


def test_case_11_absent_enabled_is_off_absent_priority_is_0(pinfold):
    mark = 'mut.req.add_header("X-O", "%s")'
    broker = pinfold({"luaplugin": {"scripts": {
        "off": {"enabled": None}, "first": {"priority": None},
        "second": {"priority": 1}}}},
        scripts={n: {"before_request": mark % n}
                 for n in ("off", "second", "first")})
    ops = broker.client().call("before_request", [full_event("before_request")])
    assert [op[2] for op in ops["ops"]] == ["first", "second"]


def test_case_12_finish_does_not_stop_later_scripts(pinfold):
    broker = pinfold(scripts={
        "a": {"before_request": "mut.ctx.set_finish()"},
        "b": {"before_request": """
            mut.req.set_header("X-F", tostring(ctx.is_finished))"""}})
    result = broker.client().call("before_request",
                                  [full_event("before_request")])
    assert result["finished"] is True
    assert ["req.set_header", "X-F", "true"] in result["ops"]


# --- failures

def test_case_13_an_error_fails_the_hook_and_stops_nobody(pinfold):
    error_lua = """bus.emit("err", {msg = err.msg, script = err.script,
                                    hook = err.hook, code = err.code})"""
    broker = pinfold(scripts={
        "s1": {"before_request": """mut.req.set_header("X-A", "1")
                                    error("boom")""", "error": error_lua},
        "s2": {"before_request": """
                 bus.emit("s2", {a = ctx.req.headers["X-A"] == nil})""",
               "error": error_lua}})
    client = broker.client()
    client.call("bus.subscribe", [{"names": ["*"]}])
    error = client.error("before_request", [full_event("before_request")])
    assert (error.code, error.script, error.hook) == \
        ("script_error", "s1", "before_request")
    assert "s1/before_request.lua:2: boom" in error.message
    assert "traceback" in error.traceback
    seen = client.wait_notification("bus.event", where=lambda p:
                                    p[0]["name"] == "s2")[0]
    assert seen["data"] == {"a": True} and seen["from"] == "s2"
    for script in ("s1", "s2"):
        told = client.wait_notification("bus.event", where=lambda p:
                                        p[0]["name"] == "err")[0]
        assert told["from"] == script
        assert "lua plugin 's1/before_request'" in told["data"]["msg"]
        assert "boom" in told["data"]["msg"]
        assert "traceback" in told["data"]["msg"]
        assert told["data"]["script"] == "s1"
        assert told["data"]["hook"] == "before_request"
        assert told["data"]["code"] == "script_error"


def test_case_14_error_lua_that_raises_is_logged_and_not_repeated(pinfold):
    broker = pinfold(scripts={
        "a": {"before_request": "error('one')", "error": "error('two')"},
        "b": {"error": "bus.emit('b')"}})
    client = broker.client()
    client.call("bus.subscribe", [{"names": ["*"]}])
    error = client.error("before_request", [full_event("before_request")])
    assert "one" in error.message
    client.wait_notification("bus.event")
    broker.wait_log(r"two script=a hook=error")
    client.pump(0.2)
    assert not client.notifications
    assert broker.log().count("two") == 1


def test_case_18_globals_live_for_one_event(pinfold):
    count = "N = (N or 0) + 1"
    tell = 'mut.req.set_header("X-N", tostring(N))'
    scripts = {"s": {"_shared": count, "before_request": tell, "close": tell}}
    broker = pinfold(scripts=scripts)
    client = broker.client()
    for hook in ("before_request", "close", "before_request"):
        ops = client.call(hook, [full_event(hook)])["ops"]
        assert ops == [["req.set_header", "X-N", "1"]]
    broker = pinfold(scripts=scripts, settings={"s": {"globals": "script"}})
    client = broker.client()
    for n, hook in enumerate(("before_request", "close", "before_request"), 1):
        ops = client.call(hook, [full_event(hook)])["ops"]
        assert ops == [["req.set_header", "X-N", str(n)]]


def test_case_19_shared_that_raises_is_the_hooks_error(pinfold):
    broker = pinfold(scripts={"s": {"_shared": "error('early')",
                                    "before_request": "bus.emit('ran')"}})
    client = broker.client()
    client.call("bus.subscribe", [{"names": ["*"]}])
    error = client.error("before_request", [full_event("before_request")])
    assert "s/_shared.lua:1: early" in error.message
    client.pump(0.2)
    assert not client.notifications


def test_case_20_scripts_share_kv_and_nothing_else(pinfold):
    broker = pinfold(scripts={
        "a": {"before_request": "G = 1; string.g = 1; kv.set('k', 'v')"},
        "b": {"before_request": """
            mut.req.set_header("X-R", tostring(G) .. tostring(string.g) ..
                                      kv.get("k"))"""}})
    ops = broker.client().call("before_request", [full_event("before_request")])
    assert ops["ops"] == [["req.set_header", "X-R", "nilnilv"]]


def test_case_21_globals_of_an_event_are_its_own(pinfold):
    broker = pinfold(scripts={"s": {
        "error": "seen = err.msg",
        "close": "assert(err == nil and opts == nil and ws == nil)",
        "flush": """
            assert(ctx == nil, "ctx in flush")
            bus.emit("flush", opts.session)"""}})
    client = broker.client()
    client.call("bus.subscribe", [{"names": ["*"]}])
    client.call("error", [full_event("error")])
    assert client.call("close", [full_event("close")])["errors"] == []
    assert client.call("flush", [full_event("flush")])["errors"] == []
    assert client.wait_notification("bus.event")[0]["data"]
    broker.control_client().call("flush", ["night"])
    assert client.wait_notification("bus.event")[0]["data"] == "night"


def test_case_22_ctx_is_a_copy_and_old_mut_is_dead(pinfold):
    broker = pinfold(scripts={"s": {"before_request": """
        if not KEEP then
            KEEP, OLD = mut, ctx
            ctx.req.path = "/changed"
        else
            KEEP.req.set_header("X-Old", "1")
            mut.req.set_header("X-Ok", tostring(pcall(function() return OLD.id end)))
        end"""}}, settings={"s": {"globals": "script"}})
    client = broker.client()
    assert client.call("before_request",
                       [full_event("before_request")])["ops"] == []
    assert client.call("before_request",
                       [full_event("before_request")])["ops"] == \
        [["req.set_header", "X-Ok", "false"]]


# --- mutations

def test_case_23_set_path(run):
    assert ops_of(run, 'mut.req.set_path("/new path?z=1")') == \
        [["req.set_path", "/new path?z=1"]]


def test_case_24_url_beats_path_and_is_checked_at_the_call(run):
    ops = ops_of(run, 'mut.req.set_url("http://h2:1/U") mut.req.set_path("/P")')
    assert ["req.set_url", "http://h2:1/U"] in ops
    assert not [op for op in ops if op[0] == "req.set_path"]
    assert "set_url" in raised(run, 'mut.req.set_url("http://[::1")')


def test_case_25_26_method_and_body(run):
    ops = ops_of(run, 'mut.req.set_method("PUT") mut.req.set_body("new\\0body")')
    assert ops == [["req.set_method", "PUT"], ["req.set_body", "new\0body"]]


def test_case_27_headers_set_del_add(run):
    assert ops_of(run, 'mut.req.set_header("X","1") mut.req.set_header("X","2")') \
        == [["req.set_header", "X", "2"]]
    ops = ops_of(run, 'mut.req.set_header("X-B","1") mut.req.del_header("X-B")')
    assert ops == [["req.del_header", "X-B"]]
    ops = ops_of(run, 'mut.req.add_header("X-C","1") mut.req.add_header("X-C","2")')
    assert ops == [["req.add_header", "X-C", "1"], ["req.add_header", "X-C", "2"]]


def test_case_28_add_appends(run):
    assert ops_of(run, 'mut.req.add_header("X-Many","three")') == \
        [["req.add_header", "X-Many", "three"]]


def test_case_30_line_breaks_raise_at_the_call(run):
    for call in ('mut.req.set_header("X", "a\\r\\nB: c")',
                 'mut.req.add_header("X", "a\\nb")',
                 'mut.resp.set_header("X", "a\\rb")',
                 'mut.req.set_header("X Y", "a")',
                 'mut.req.set_header("", "a")'):
        assert "header" in raised(run, call), call


def test_case_31_32_cookies_are_folded_into_the_header(run):
    event = full_event("before_request")
    event["req"]["headers"] = [["Cookie", 'a=1; b="q q"; c=3; d=4']]
    assert value(run, "local b = ctx.req.cookies[2] "
                 "return {b.name, b.value, b.quoted}", event) == \
        ["b", "q q", True]
    ops = ops_of(run, """mut.req.set_cookie{name="b", value="2 x,y"}
        mut.req.set_cookie{name="a", value="new"} mut.req.del_cookie("c")""", event)
    assert ops == [["req.set_header", "Cookie", 'b="2 x,y"; a=new; d=4']]
    ops = ops_of(run, """mut.req.set_cookie{name="z", value="1"}
        mut.req.del_cookie("z") mut.req.set_cookie{name="z", value="3"}""", event)
    assert ops[0][2].split("; ").count("z=3") == 1 and "z=1" not in ops[0][2]


def test_case_34_status_is_checked(run):
    for bad in ("0", "99", "1000", '"x"', "nil", "{}"):
        assert "set_status" in raised(run, f"mut.resp.set_status({bad})"), bad
    assert ops_of(run, "mut.resp.set_status(204.9)") == \
        [["resp.set_status", 204]]


def test_case_35_a_response_that_is_there_is_seen(run):
    event = full_event("before_request")
    event["resp"] = {"status_code": 403, "headers": []}
    event["is_finished"] = True
    assert value(run, "mut.resp.set_status(451) "
                 "return {ctx.resp.status_code, ctx.is_finished}", event) == \
        [403, True]
    assert run.ops == [["resp.set_status", 451]]


# --- the libraries

def test_case_36_kv(run):
    got = run('return kv.get("nope")')
    assert got.get("first") is None
    assert got["second"] == "kv: key 'nope' not found"
    assert value(run, 'return kv.delete("nope")') is True
    assert value(run, 'return kv.set("u:1", "v\\0\\255")') is True
    assert value(run, 'return {kv.get("u:1") == "v\\0\\255", '
                 'kv.get_base64("u:1")}') == [True, "dgD/"]
    value(run, 'kv.set("u:2", 10/2) kv.set("t:1", "x")')
    assert value(run, 'local l = kv.list("u:") return {l["u:2"], l["t:1"] == nil}') \
        == ["5", True]
    assert "bad argument #2" in raised(run, 'kv.set("a", {})')
    assert "bad argument #1" in raised(run, 'kv.list()')
    assert value(run, 'return kv.list("zz:")') == []
    assert value(run, 'return kv.set("", "")') is True
    assert value(run, 'return kv.get("")') == ""


def test_kv_beyond(run):
    assert value(run, 'return {kv.incr("n"), kv.incr("n", 4), kv.get("n")}') == \
        [1, 5, "5"]
    assert value(run, 'return {kv.cas("c", nil, "1"), kv.cas("c", nil, "2"), '
                 'kv.cas("c", "1", "3"), kv.get("c")}') == [True, False, True, "3"]
    assert value(run, 'kv.set("own", "1") local v, e = kv.incr("own") '
                 'return v == nil and e ~= nil') is True
    value(run, 'kv.set("t", "1", {ttl = 0.2})')
    assert value(run, 'return kv.get("t")') == "1"
    until(lambda: value(run, 'return kv.get("t") == nil'), 5, "the key expires")


def test_effects_of_a_failed_run_never_happened(pinfold):
    broker = pinfold(scripts={"s": {"before_request": """
        kv.set("a", "1"); bus.emit("e"); artifacts.write("f", "x")
        assert(kv.get("a") == "1" and artifacts.read("f") == "x")
        if ctx.req.path == "/bad" then error("no") end"""}})
    client, control = broker.client(), broker.control_client()
    client.call("bus.subscribe", [{"names": ["*"]}])
    client.error("before_request", [{"id": "1", "req": {"path": "/bad"}}])
    assert control.call("kv.get", ["a"]) is None
    assert control.call("artifacts.list") == []
    client.call("before_request", [{"id": "1", "req": {"path": "/good"}}])
    assert control.call("kv.get", ["a"]) == b"1"
    assert control.call("artifacts.list") == [["f", 1]]
    client.wait_notification("bus.event")
    assert not client.notifications


def test_case_37_json(run):
    assert value(run, 'return json.encode({b=1,a={1,2,3},c="x"})') == \
        '{"a":[1,2,3],"b":1,"c":"x"}'
    assert value(run, "return json.encode({})") == "[]"
    assert value(run, "return json.encode({1,nil,3})") == '{"1":1,"3":3}'
    assert value(run, 'return json.encode("<a>")') == '"\\u003ca\\u003e"'
    got = run("return json.encode(0/0)")
    assert got.get("first") is None and "NaN" in got["second"]
    got = run('return json.decode("null")')
    assert got["ok"] and (got.get("first"), got.get("second")) == (None, None)
    assert run('return json.decode("")')["second"] == \
        "unexpected end of JSON input"
    assert value(run, 'return json.decode("[1,null,3]")[3]') == 3


def test_case_38_a_cycle_is_an_error(run):
    got = run("local t = {} t.t = t return json.encode(t)")
    assert got["ok"] and got.get("first") is None and got["second"]


def test_case_39_base64(run):
    got = run('return base64.decode("YQ=")')
    assert got.get("first") is None
    assert got["second"] == "illegal base64 data at input byte 3"
    assert value(run, """
        local all = {}
        for i = 0, 255 do all[#all + 1] = string.char(i) end
        local s = table.concat(all)
        return base64.decode(base64.encode(s)) == s""") is True


def test_case_40_41_artifacts(run):
    assert value(run, 'return artifacts.write("../../../../esc.txt", "e")') is True
    assert value(run, 'return artifacts.read("esc.txt")') == "e"
    value(run, 'artifacts.write("d/x", "1") artifacts.write("d/y", "2")')
    got = run('return artifacts.rename("d/x", "d/y")')
    assert got["first"] is False and "d/y" in got["second"]
    assert run('return artifacts.rename("zz", "d/z")')["first"] is False
    assert value(run, 'return artifacts.exists("d")') is True
    got = run('return artifacts.delete("nope")')
    assert got["first"] is False and got["second"]
    assert value(run, 'return artifacts.rename("d/x", "d/z")') is True
    names = value(run, "return artifacts.list()")
    assert names == ["d/y", "d/z", "esc.txt"]
    assert value(run, 'local all = "" for _, n in ipairs(artifacts.list()) do '
                 'all = all .. artifacts.read(n) end return all') == "21e"
    got = run('return artifacts.read("nope")')
    assert got.get("first") is None and got["second"]


def test_large_artifacts_are_whole(run):
    size = (3 << 20) + 17
    assert value(run, f'return artifacts.write("big", ("x"):rep({size}))') is True
    assert value(run, 'return #artifacts.read("big")') == size


def test_case_42_data_store(run):
    for name in ("data_store", "data"):
        assert value(run, f'return {name}.read("top.txt")') == "top"
        assert value(run, f'return {name}.exists("sub")') is True
        assert value(run, f'return {name}.exists("nope")') is False
        assert value(run, f'return {name}.list("sub", {{".txt"}})') == \
            ["sub/a.txt", "sub/deep/c.txt"]
        assert value(run, f'return {name}.list("nope")') == []
        assert value(run, f'return #{name}.list("sub")') == 3
        for climb in ("../..", "/", "../../../../etc"):
            names = value(run, f'return {name}.list("{climb}")')
            assert all(n.startswith(("sub/", "top.txt")) for n in names)
        got = run(f'return {name}.read("../pinfold.yaml")')
        assert got.get("first") is None and got["second"]


def test_case_43_time(run):
    assert value(run, """return time.date():match(
        "^%d%d%d%d_%d%d_%d%d_%d%d_%d%d_%d%d$") ~= nil""") is True
    assert value(run, 'return time.date("%F"):match("^%d%d%d%d%-%d%d%-%d%d$") ~= nil')
    assert value(run, 'return time.date("Jan 2")') == "Jan 2"
    assert value(run, 'return math.type(time.unix())') == "integer"


def test_case_44_log(pinfold):
    broker = pinfold({"log": {"level": "error"}}, scripts={"s": {"close": """
        assert(select("#", log.info("quiet", {a = 1})) == 0)
        log.audit("loud", {a = 1, b = 1.5, c = true})
        assert(not pcall(log.info, "m", "str"))"""}})
    result = broker.client().call("close", [full_event("close")])
    assert result["errors"] == []
    line = broker.wait_log(r"audit.*loud.*")[0]
    assert "a=1" in line and "b=1.5" in line and "script=s" in line
    assert "quiet" not in broker.log()


def test_case_45_ws_message(pinfold):
    broker = pinfold(scripts={"s": {"ws_msg": """
        bus.emit("ws", {ws.direction, ws.opcode, ws.opcode_name,
                        ws.data or "nil", ws.text or "nil", ws.timestamp})
        if ws.text == "drop" then mut.ws.drop() end
        if ws.text == "raise" then error("x") end
        if ws.text == "secret" then mut.ws.set_data("***") end"""}})
    client = broker.client()
    client.call("bus.subscribe", [{"names": ["*"]}])

    def message(opcode, data):
        event = full_event("ws_msg")
        event["ws"] = dict(event["ws"], opcode=opcode, data=data)
        result = client.call("ws_msg", [event])
        if data != b"raise":
            told = client.wait_notification("bus.event")[0]["data"]
            return result, told
        return result, None

    assert message(1, b"hello")[1][:5] == \
        ["client_to_server", 1, "text", "hello", "hello"]
    assert message(2, b"\0")[1][2:5] == ["binary", "\0", "nil"]
    assert message(1, b"")[1][3:5] == ["nil", "nil"]
    for opcode, name in ((0, "continuation"), (8, "close"), (9, "ping"),
                         (10, "pong"), (5, "unknown")):
        assert message(opcode, b"x")[1][2] == name
    assert message(1, b"drop")[0]["ops"] == [["ws.drop"]]
    assert message(1, b"secret")[0]["ops"] == [["ws.set_data", "***"]]
    result = message(1, b"raise")[0]
    assert result["ops"] == [] and result["errors"][0]["code"] == "script_error"


def test_case_47_bus(pinfold):
    broker = pinfold(scripts={"s": {"close": """
        local data = {a = 1}
        assert(bus.emit("e", data) == nil)
        data.a = 2
        assert(bus.emit("bare") == nil)"""}})
    client = broker.client()
    client.call("bus.subscribe", [{"names": ["*"]}])
    assert client.call("close", [full_event("close")])["errors"] == []
    first = client.wait_notification("bus.event")[0]
    second = client.wait_notification("bus.event")[0]
    assert (first["name"], first["from"], first["data"]) == ("e", "s", {"a": 1})
    assert (second["name"], second["data"]) == ("bare", None)
    assert second["seq"] > first["seq"]


def test_bus_lua_gets_what_it_subscribes_to(pinfold):
    broker = pinfold(scripts={
        "source": {"close": 'bus.emit("a.x", {n = 1}) bus.emit("b", 2)'},
        "sink": {"bus": """
            kv.set("seen:" .. event.name, json.encode({event.from, event.data,
                                                       math.type(event.seq)}))
            bus.emit("a.echo", event.data)"""}},
        settings={"sink": {"subscribe": ["a.*"]}})
    client, control = broker.client(), broker.control_client()
    client.call("close", [full_event("close")])
    until(lambda: control.call("kv.get", ["seen:a.x"]), 5, "bus.lua ran")
    assert json.loads(control.call("kv.get", ["seen:a.x"])) == \
        ["source", {"n": 1}, "integer"]
    client.pump(0.2)
    assert control.call("kv.get", ["seen:b"]) is None
    assert control.call("kv.get", ["seen:a.echo"]) is None, "its own event"


def test_chains_of_bus_events_end(pinfold):
    echo = 'bus.emit("%s", nil) kv.incr("n")'
    broker = pinfold(scripts={"a": {"close": 'bus.emit("to-b")',
                                    "bus": echo % "to-b"},
                              "b": {"bus": echo % "to-a"}},
                     settings={"a": {"subscribe": ["to-a"]},
                               "b": {"subscribe": ["to-b"]}})
    client, control = broker.client(), broker.control_client()
    client.call("close", [full_event("close")])
    until(lambda: control.call("kv.get", ["n"]) == b"8", 5, "eight hops",)
    client.pump(0.3)
    assert control.call("kv.get", ["n"]) == b"8"


def test_case_48_return_values_are_ignored(pinfold):
    broker = pinfold(scripts={"s": {"before_request": 'return nil, "err"'}})
    result = broker.client().call("before_request",
                                  [full_event("before_request")])
    assert result == {"ops": [], "finished": False, "errors": []}


# --- together

@pytest.mark.parametrize("concurrency", [1, 16])
def test_case_50_parallel_requests_keep_apart(pinfold, concurrency):
    broker = pinfold(scripts={"s": {"before_request": """
        kv.incr("n")
        mut.req.set_header("X-P", ctx.req.path)"""}},
        settings={"s": {"concurrency": concurrency}})

    wrong = []

    def load(worker):
        client = broker.client()
        sent = {client.send("before_request", [{
            "id": f"{worker}.{i}", "req": {"path": f"/{worker}/{i}"}}]):
            f"/{worker}/{i}" for i in range(200)}
        for msgid, path in sent.items():
            ops = client.wait(msgid)["ops"]
            if ops != [["req.set_header", "X-P", path]]:
                wrong.append((path, ops))

    threads = [threading.Thread(target=load, args=(w,)) for w in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert broker.control_client().call("kv.get", ["n"]) == b"800"


def test_case_51_an_endless_loop_is_cut_off(pinfold):
    broker = pinfold(
        scripts={"loop": {"before_request": """
                    if ctx.req.path == "/loop" then
                        while true do pcall(function() while true do end end) end
                    end"""},
                 "good": {"close": ""}},
        settings={"loop": {"timeout": "300ms"}})
    client = broker.client()
    pid = broker.control_client().call("status")["scripts"]
    loop = client.send("before_request", [{"id": "1", "req": {"path": "/loop"}}])
    assert client.call("close", [full_event("close", "2")])["errors"] == []
    error = client.wait_error(loop)
    assert error.code == "timeout" and error.script == "loop"
    assert client.call("before_request",
                       [{"id": "1", "req": {"path": "/"}}])["ops"] == []
    after = broker.control_client().call("status")["scripts"]
    assert pid[0]["workers"][0]["pid"] == after[0]["workers"][0]["pid"], \
        "a Lua loop is stopped, not killed"


def test_case_52_a_syntax_error_is_told_and_others_go_on(pinfold):
    broker = pinfold(scripts={"bad": {"before_request": "\n\nlocal = 1"},
                              "good": {"before_request": "", "close": ""}})
    broker.wait_log(r"script=bad.*bad/before_request.lua:3:")
    client = broker.client()
    error = client.error("before_request", [full_event("before_request")])
    assert error.code == "unavailable" and error.script == "bad"
    assert client.call("close", [full_event("close")])["errors"] == []


def test_what_is_not_granted_is_refused_at_the_call(pinfold):
    broker = pinfold(
        scripts={"s": {"close": """
            local function says(...)
                local r = table.pack(...)
                local text = tostring(r[r.n])
                assert(not r[1] or r.n == 1, "something was returned")
                assert(text:find("^denied: "), text)
            end
            says(kv.get("other")) says(kv.set("other", "1"))
            says(kv.delete("other")) says(kv.incr("other"))
            says(kv.cas("other", nil, "1")) says(kv.list(""))
            says(bus.emit("loud")) says(artifacts.write("x", "1"))
            says(artifacts.read("x")) says(data_store.read("secret"))
            assert(kv.set("own:a", "1") and kv.get("own:a") == "1")
            assert(bus.emit("own.e") == nil)
            assert(artifacts.write("own/x", "1"))"""}},
        settings={"s": {"grants": {
            "kv": {"read": ["own:"], "write": ["own:"]}, "bus": ["own."],
            "artifacts": ["own/"], "data": []}}},
        data={"secret": "s"})
    result = broker.client().call("close", [full_event("close")])
    assert result["errors"] == []
    assert broker.control_client().call("kv.get", ["own:a"]) == b"1"


def test_limits_of_a_run_are_settings(pinfold):
    broker = pinfold({"limits": {"ops": 2, "effects": 3, "max_artifact": 4}},
                     scripts={"s": {"close": """
        for i = 1, 3 do kv.set("k" .. i, "v") end
        local ok, text = pcall(kv.set, "k4", "v")
        assert(not ok and text:find("too_large"), text)
        local ok, text = artifacts.write("a", "12345")
        assert(ok == false and text:find("too_large"), text)""",
                                    "before_request": """
        for i = 1, 3 do mut.req.add_header("X", i) end"""}})
    client = broker.client()
    assert client.call("close", [full_event("close")])["errors"] == []
    error = client.error("before_request", [full_event("before_request")])
    assert error.code == "script_error" and "too_large" in error.message


def test_an_artifact_that_is_not_granted_cannot_be_read_by_number(pinfold):
    from pathlib import Path
    fake = Path(__file__).resolve().parents[1] / "lib" / "fake_worker.py"
    thief = """
def run(w, id, p):
    error, stat = w.call("artifact.stat", id, "mine")
    if stat is None:
        _, blob = w.call("artifact.put", id, None, b"m")
        w.answer(id, [], [["artifact.write", "mine", blob, 1]])
        return
    good = w.call("artifact.read", id, stat[1], 0, 9)
    bad = w.call("artifact.read", id, stat[1] + 1, 0, 9)
    w.answer(id, [["req.set_path", "/%s/%s" % (good[1].decode(),
                                               bad[0]["code"])]])
"""
    broker = pinfold({"worker": str(fake)}, {"t": {"before_request": thief}},
                     {"t": {"grants": {"artifacts": ["mine"]}}})
    client = broker.client()
    event = [full_event("before_request")]
    assert client.call("before_request", event)["ops"] == []
    assert client.call("before_request", event)["ops"] == \
        [["req.set_path", "/m/denied"]]


def test_a_run_may_use_its_effects_to_the_last_byte(pinfold):
    """The worker and the broker count alike: a full run commits."""
    script = """
        local left = %d
        for i = 1, %d do
            local value = ("v"):rep(math.min(left - 4, 1 << 20))
            if #value == 0 then break end
            assert(kv.set(("%%04d"):format(i), value))
            left = left - 4 - #value
        end
        assert(not pcall(kv.set, "x", ("v"):rep(1 << 20)))"""
    broker = pinfold(scripts={"s": {"close": script % (4 << 20, 1000)}})
    assert broker.client().call("close", [full_event("close")])["errors"] == []
    many = "for i = 1, 3000 do kv.set('k' .. i, 'v') end"
    broker = pinfold({"limits": {"effects": 3000}},
                     scripts={"s": {"close": many}})
    assert broker.client().call("close", [full_event("close")])["errors"] == []
    assert len(broker.control_client().call("kv.list", ["k"])) == 3000
