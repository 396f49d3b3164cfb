# SPDX-License-Identifier: Apache-2.0
"""pinfold-worker with a script of one file (MQTT's dialect), driven by hand:
how it is loaded, what it keeps, and what its hooks' results become."""

import signal

import pytest

from lib.fake_broker import TIMEOUT, Refuse, RunError, WorkerProcess
from lib.mqtt_worker import HOOKS, MqttWorker

AUTH = [h for h in HOOKS if h.startswith("auth_on") or h == "on_auth_m5"]
DECIDE = AUTH + ["on_unsubscribe", "on_unsubscribe_m5", "on_deliver", "on_deliver_m5"]
OBSERVE = [h for h in HOOKS if h not in DECIDE]


def script(body, hook="on_publish", before=""):
    return f"{before}\nhooks = {{{hook} = function(m)\n{body}\nend}}"


def say(*bodies, before="", settings=None, files=None, hook="on_publish", **event):
    """What print says in run after run."""
    with MqttWorker(script(bodies[0], hook, before), settings,
                    files=files) as w:
        del w.logs[:]
        for _ in range(3):
            w.hook(hook, **event)
        return [line[2] for line in w.logs]


def verdict(result, hook="auth_on_publish", **event):
    with MqttWorker(script(f"return {result}", hook)) as w:
        return w.hook(hook, **event).answer


def load_error(source, settings=None, files=None):
    with MqttWorker(source, settings, load=False, files=files) as w:
        with pytest.raises(RunError) as e:
            w.load()
        # A better one may follow.
        w.files[w.settings["main"]] = script("return true", "auth_on_publish")
        w.load()
        assert w.hook("auth_on_publish").verdict == "ok"
        return e.value


# --- loading ---


def test_load_names_the_hooks_and_lanes():
    source = """
        local function f() end
        hooks = {auth_on_register = f, on_client_gone = f, on_message_drop = f,
                 on_publish = print, on_subscribe = 'f', flush = f, [1] = f}
    """
    with MqttWorker(source) as w:
        assert w.hooks == {"auth_on_register", "on_client_gone"}
        assert w.loaded["lanes"] == 1 and w.loaded["effects"] == []
        (line,) = w.logs
        assert line[:2] == [1, 3]
        assert line[2].startswith("hooks: no such hook: ")
        assert {"flush", "on_message_drop"} == set(line[2][21:].split(", "))


@pytest.mark.parametrize("source", ["", "hooks = nil", "hooks = 5", "hooks = {}"])
def test_a_script_without_hooks(source):
    with MqttWorker(source) as w:
        assert w.hooks == set() and w.loaded["lanes"] == 1


def test_all_files_are_fetched_and_only_the_main_one_must_compile():
    files = {"broken.lua": "x = = 1", "auth/empty.lua": ""}
    with MqttWorker(script(""), files=files) as w:
        asked = sorted(p[1] for m, p in w.calls if m == "source.get")
        assert asked == ["auth/empty.lua", "broken.lua", "test.lua"]
        assert {p[0] for m, p in w.calls} == {1}


def test_a_file_that_cannot_be_had_is_missed_when_it_is_required():
    def get(name):
        if name == "test.lua":
            return w.files[name]
        raise Refuse("too_large", "too large")

    w = MqttWorker("print(pcall(require, 'big'))", load=False, files={"big.lua": ""})
    w.on["source.get"] = get
    with w:
        w.load()
        assert "module 'big' not found" in w.logs[0][2]


@pytest.mark.parametrize("source, message", [
    ("local x = 1\nlocal = 2", "auth/x.lua:2: "),
    ("\n\nerror('boom')", "auth/x.lua:3: boom"),
    ("local t = nil\nreturn t.x", "auth/x.lua:2: attempt to index a nil value"),
    ("require 'auth.commons'", "auth/commons.lua:2: commons"),
    ("require 'auth/commons'", "auth/commons.lua:2: commons"),
    ("require 'auth/broken'", "auth/broken.lua:1: "),
    ("require 'auth/none'", "auth/x.lua:1: module 'auth/none' not found"),
    ("num_states = 0", "auth/x.lua: num_states must be a number from 1"),
    ("num_states = -1", "auth/x.lua: num_states must be a number from 1"),
    ("num_states = 0.4", "auth/x.lua: num_states must be a number from 1"),
    ("num_states = 0/0", "auth/x.lua: num_states must be a number from 1"),
    ("num_states = 1e300", "auth/x.lua: num_states must be a number from 1"),
    ("num_states = 1025", "auth/x.lua: num_states must be a number from 1"),
    ("num_states = '2'", "auth/x.lua: num_states must be a number from 1"),
    ("num_states = {}", "auth/x.lua: num_states must be a number from 1"),
    ("keep_state = 1", "auth/x.lua: keep_state must be true or false"),
    ("coroutine.yield()", "auth/x.lua:1: attempt to yield from outside a coroutine"),
])
def test_load_errors(source, message):
    error = load_error(source, {"main": "auth/x.lua"},
                       {"auth/commons.lua": "\nerror('commons')",
                        "auth/broken.lua": "x = = 1"})
    assert error.code == "script_error"
    assert error.message.startswith(message)


def test_a_load_error_has_a_traceback():
    error = load_error("local function f() error('boom') end\nf()")
    assert "test.lua:1: in upvalue 'f'" in error.traceback or \
        "test.lua:1: in local 'f'" in error.traceback


def test_an_error_in_a_later_lane_fails_the_load():
    error = load_error("num_states = 3\n"
                       "if __SCRIPT_INSTANCE_ID__ == 3 then error('third') end")
    assert error.message == "test.lua:2: third"


@pytest.mark.parametrize("params", [
    [{}], [], [{"script": "x", "dialect": "mqtt", "files": []}, 0],
    [{"script": "x", "dialect": "mqtt", "files": ["a.lua"], "main": "b.lua"}, 0],
    [{"script": "x", "dialect": "mqtt", "files": ["a.lua"], "main": "a.lua"}, -1],
])
def test_parameters_without_sense_end_it(params):
    w = MqttWorker("", load=False)
    with w:
        with pytest.raises((EOFError, ConnectionResetError)):
            w.wait(w.request("load", params))
    assert w.status == 79


@pytest.mark.parametrize("params", [
    [2, b"\x80", None, 0, None], [99, b"\x80", None, 0, None],
    [25, b"\x90", None, 0, None], [25, b"", None, 0, None], [25]])
def test_runs_without_sense_end_it(params):
    w = MqttWorker(script("", "on_publish"))
    with w:
        with pytest.raises((EOFError, ConnectionResetError)):
            w.wait(w.request("run", params))
    assert w.status == 79


def test_a_hook_that_the_script_lacks_fails():
    with MqttWorker(script("")) as w:
        with pytest.raises(RunError):
            w.hook("auth_on_register")


def test_hook_files_with_names_of_this_dialect_are_none():
    with WorkerProcess({"before_request": "", "on_publish": ""}) as w:
        assert w.loaded == {"hooks": [2]}


# --- states ---


@pytest.mark.parametrize("source, settings, lanes", [
    ("", {}, 1), ("", {"num_states": 3}, 3), ("num_states = 2", {"num_states": 3}, 2),
    ("num_states = 2.4", {}, 2), ("num_states = 2.5", {}, 3),
    ("num_states = 0.5", {}, 1),
    ("keep_state = true", {"num_states": 3}, 1), ("", {"keep_state": True}, 1),
    ("num_states = 4; keep_state = true", {}, 4),
    ("keep_state = false", {"keep_state": True, "num_states": 3}, 3),
    ("num_states = 10", {"workers": 3}, 4), ("num_states = 2", {"workers": 3}, 1),
    ("num_states = 1024", {"workers": 128}, 8),
])
def test_lanes(source, settings, lanes):
    with MqttWorker(source, settings) as w:
        assert w.loaded["lanes"] == lanes


@pytest.mark.parametrize("workers, index, ids", [
    (1, 0, [1, 2, 3, 4]), (2, 0, [1, 3]), (2, 1, [2, 4]), (4, 3, [4])])
def test_every_lane_has_a_number_and_they_take_turns(workers, index, ids):
    source = script("print(__SCRIPT_INSTANCE_ID__)",
                    before="num_states = 4; print(__SCRIPT_INSTANCE_ID__)")
    with MqttWorker(source, {"workers": workers}, index=index) as w:
        assert [line[2] for line in w.logs] == [str(i) for i in ids]
        del w.logs[:]
        for _ in range(8):
            w.hook("on_publish")
        assert [line[2] for line in w.logs] == [str(i) for i in ids] * (
            8 // len(ids))


def test_lanes_run_while_others_wait_for_a_call():
    with MqttWorker(script("print(kv.get(m.topic)); print(m.topic)",
                           before="num_states = 2")) as w:
        gets = []
        w.on["kv.get"] = lambda key: gets.append(key) or b"value"
        first = w.begin_hook("on_publish", {"topic": "1"})
        second = w.begin_hook("on_publish", {"topic": "2"})
        w.end_hook(second)
        w.end_hook(first)
        assert gets == ["1", "2"]
        assert [line[2] for line in w.logs] == ["value", "1", "value", "2"]


# --- keep_state = false ---


@pytest.mark.parametrize("before, body, lines", [
    # Each run starts from the state after load.
    ("n = 0", "n = n + 1; print(n)", ["1"] * 3),
    ("", "n = (n or 0) + 1; print(n)", ["1"] * 3),
    ("n = 5", "n = nil; print(n)", ["nil"] * 3),
    ("n = 5", "n = 6; n = nil; print(n)", ["nil"] * 3),
    ("n = 5", "_G.n = 6; print(n, _G.n); _ENV.n = 7; print(n)",
     ["6\t6", "7"] * 3),
    ("n = 5", "rawset(_G, 'n', rawget(_G, 'n') + 1); print(n)", ["6"] * 3),
    ("n = 5", "print(n, x); x = 1", ["5\tnil"] * 3),
    # All of it is seen by pairs, with and without writes.
    ("n = 5", "local t = {} for k in pairs(_G) do t[k] = true end "
     "print(t.n, t.print, t.string, t.hooks)", ["true\ttrue\ttrue\ttrue"] * 3),
    ("n = 5", "n = 1; local c = 0 for k in pairs(_G) do c = c + 1 end print(c > 30)",
     ["true"] * 3),
    # Functions, and theirs, see the run's globals.
    ("local function g() x = (x or 0) + 1 end "
     "function f() return function() g(); g(); return x end end",
     "print(f()(), x)", ["2\t2"] * 3),
    # The state may have been looked at, or given a metatable, at load.
    ("n = 0; for k in pairs(_G) do end", "n = n + 1; print(n, type(kv.get))",
     ["1\tfunction"] * 3),
    ("n = 0; rawget(_G, 'x')", "n = n + 1; string.y = (string.y or 0) + 1 "
     "print(n, string.y)", ["1\t1"] * 3),
    ("setmetatable(_G, {__index = function(t, k) return k .. '!' end})",
     "print(n); n = 1; print(n, type(print))", ["n!", "1\tfunction"] * 3),
    ("setmetatable(_G, {__newindex = function(t, k, v) "
     "rawset(t, k, k == 'n' and v * 2 or v) end})",
     "n = 2; print(n)", ["4"] * 3),
    # Library tables: what load wrote stays, what a run writes does not.
    ("function string.twice(s) return s .. s end",
     "string.thrice = 3; print(string.twice('a'), ('b'):twice(), string.thrice)",
     ["aa\tbb\t3"] * 3),
    ("function string.twice(s) return s .. s end",
     "print(string.thrice); string.thrice = 3; string.twice = nil",
     ["nil"] * 3),
    ("string.n = 1", "string.n = string.n + 1; print(string.n)", ["2"] * 3),
    ("table.n = 1; local t = table", "print(table.n, t.n, table.insert == t.insert)",
     ["1\t1\ttrue"] * 3),
    ("", "print(string.n, math.n); string.n, math.n = 1, 2", ["nil\tnil"] * 3),
    ("local log = log", "log.info('x')", ["x"] * 3),
    # load and require share the environment of the day.
    ("f = load('x = (x or 0) + 1; return x')", "print(f(), f(), x)",
     ["1\t2\t2"] * 3),
    ("", "print(load('x = 1; return x')(), x, load('return y', '', 't', {y = 2})())",
     ["1\t1\t2"] * 3),
    ("local c = require 'commons'; pool = 'p'",
     "print(c.pool(), c.set(), x, c.own)", ["p\tset\tset\tnil"] * 3),
    ("local c = require 'commons'", "print(require 'commons' == c, loaded)",
     ["true\t1"] * 3),
    ("", "print(loaded); local c = require 'commons' "
     "print(loaded, require 'commons' == c); c.set(); print(x)",
     ["nil", "1\ttrue", "set"] * 3),
    ("require 'commons'; c2 = require 'auth/second'", "print(c2.f(), second)",
     ["1\t1"] * 3),
])
def test_without_keep_state(before, body, lines):
    files = {"commons.lua": "loaded = (loaded or 0) + 1\n"
             "return {pool = function() return pool end,"
             " set = function() x = 'set' return x end}",
             "auth/second.lua": "second = loaded; return {f = function() "
             "return loaded end}"}
    assert say(body, before=before, files=files) == [
        line for i in range(3)
        for line in lines[i * (len(lines) // 3):(i + 1) * (len(lines) // 3)]]


def test_a_failed_run_leaves_nothing():
    source = script("n = n + 1; string.n = 1; if m.bad then error('bad') end "
                    "print(n, string.n, m.bad)", before="n = 0")
    with MqttWorker(source) as w:
        with pytest.raises(RunError) as e:
            w.hook("on_publish", bad=True)
        assert e.value.code == "script_error"
        assert e.value.message == "test.lua:3: bad"
        assert "test.lua:3: in function <test.lua:2>" in e.value.traceback
        w.hook("on_publish")
        assert w.logs[-1][2] == "1\t1\tnil"


def test_lanes_share_nothing():
    source = script("n = n + 1; t[1] = t[1] + 1; print(n, t[1])",
                    before="num_states = 2; keep_state = true; n = 0; t = {0}")
    with MqttWorker(source) as w:
        for _ in range(4):
            w.hook("on_publish")
        assert [line[2] for line in w.logs] == ["1\t1", "1\t1", "2\t2", "2\t2"]


# --- keep_state = true ---


@pytest.mark.parametrize("before, body, lines", [
    ("n = 0", "n = n + 1; print(n)", ["1", "2", "3"]),
    ("", "n = (n or 0) + 1; print(n)", ["1", "2", "3"]),
    ("n = 0", "print(n); n = nil", ["0", "nil", "nil"]),
    ("", "string.n = (string.n or 0) + 1; print(string.n, ('').n)",
     ["1\t1", "2\t2", "3\t3"]),
    ("", "require 'commons'; print(loaded)", ["1", "1", "1"]),
    ("", "for k in pairs(_G) do end; n = (n or 0) + 1; print(n)", ["1", "2", "3"]),
    ("f = load('x = (x or 0) + 1; return x')", "print(f(), x)",
     ["1\t1", "2\t2", "3\t3"]),
])
def test_with_keep_state(before, body, lines):
    files = {"commons.lua": "loaded = (loaded or 0) + 1"}
    assert say(body, before="keep_state = true;" + before, files=files) == lines
    assert say(body, before=before, files=files,
               settings={"keep_state": True}) == lines


# --- what a script finds ---


@pytest.mark.parametrize("body, line", [
    ("print(type(m), m.client_id, m.mountpoint == '', m.username)",
     "table\tc\ttrue\tnil"),
    ("print(#m.payload, m.payload:byte(1), m.payload:byte(2))", "2\t0\t255"),
    ("print(m.topics[1][1], m.topics[1][2], m.topics[2][1], #m.topics)", "a\t0\tb\t2"),
    ("print(m.properties.p_user_property[2].k)", "v2"),
    ("print(m.retain, math.type(m.qos), m.nothing)", "true\tinteger\tnil"),
    ("m.qos = 5; m.x = 1; print(m.qos, next({}, nil))", "5\tnil"),
    ("print(config.level, config.none)", "7\tnil"),
    ("print(package.path:sub(1, 7), type(package.loaded))", "./?.lua\ttable"),
    ("print(unpack({1, 2}))", "1\t2"), ("print(loadstring('return 3')())", "3"),
    ("print(bit32.band(6, 3), table.getn({1, 2}), math.pow(2, 3))", "2\t2\t8.0"),
    ("eprint('x')", "x"),
    ("print(io, dofile, loadfile, os.execute, debug.getinfo)", "nil\tnil\tnil\tnil\tnil"),
    ("print(ctx, mut, select('#', table.unpack({m})))", "nil\tnil\t1"),
])
def test_a_hook_finds(body, line):
    assert say(body, settings={"config": {"level": 7}}, payload=b"\0\xff",
               topics=[["a", 0], ["b", 1]], retain=True, qos=1, username=None,
               properties={"p_user_property": [{"k": "v1"}, {"k": "v2"}]}) == [line] * 3


def test_a_hook_gets_one_argument():
    source = "hooks = {on_publish = function(...) print(select('#', ...)) end}"
    with MqttWorker(source) as w:
        w.hook("on_publish")
        assert w.logs[0][2] == "1"


# --- what hooks return ---


@pytest.mark.parametrize("hook", DECIDE)
def test_true_is_ok(hook):
    assert verdict("true", hook) == ("ok", None, None)


@pytest.mark.parametrize("hook", DECIDE)
def test_false_is_a_refusal(hook):
    reason = "lua_script_returned_false"
    if "register" in hook or hook == "on_auth_m5":
        reason = "invalid_credentials"
    elif hook.startswith("auth_on"):
        reason = "not_authorized"
    assert verdict("false", hook) == ("deny", reason, None)


@pytest.mark.parametrize("result", [
    "", "nil", "next", "5", "0", "'text'", "print", "coroutine.create(print)",
    "nil, true", "next, false"])
@pytest.mark.parametrize("hook", ["auth_on_register", "on_deliver"])
def test_anything_else_is_next(hook, result):
    assert verdict(result, hook) == ("next", None, None)


@pytest.mark.parametrize("hook", OBSERVE)
@pytest.mark.parametrize("result", ["true", "false", "{foo = 1}", "{}", "next"])
def test_results_of_observing_hooks_do_not_matter(hook, result):
    assert verdict(result, hook) == ("next", None, None)


@pytest.mark.parametrize("result, want", [
    ("true, false", ("ok", None, None)),
    ("false, true", ("deny", "not_authorized", None)),
    ("{topic = 'x'}, 1, 2", ("ok", None, {"topic": "x"})),
])
def test_the_first_of_several_values_counts(result, want):
    assert verdict(result) == want


MODS = [
    ("auth_on_register", "{max_message_size = 10.6, username = 'u',"
     " subscriber_id = {mountpoint = 'm', client_id = 'c'}, clean_session = false}",
     {"max_message_size": 11, "username": "u", "clean_session": False,
      "subscriber_id": {"mountpoint": "m", "client_id": "c"}}),
    ("auth_on_register_m5", "{properties = {p_session_expiry_interval = 5,"
     " p_user_property = {{a = 'b'}, {a = 'c'}}}}",
     {"properties": {"p_session_expiry_interval": 5,
                     "p_user_property": [{"a": "b"}, {"a": "c"}]}}),
    ("auth_on_publish", "{topic = 'a/b', qos = 1.7, payload = '\\0\\255',"
     " retain = true, mountpoint = '', throttle = 10}",
     {"topic": "a/b", "qos": 2, "payload": b"\0\xff", "retain": True,
      "mountpoint": "", "throttle": 10}),
    ("auth_on_publish_m5", "{properties = {}}", {"properties": {}}),
    ("auth_on_subscribe", "{{'a/#', 1}, {'+/b', 128}}", [["a/#", 1], ["+/b", 128]]),
    ("auth_on_subscribe", "{}", []),
    ("auth_on_subscribe_m5", "{topics = {{'a', 0}, {'b', {2, {rap = true}}},"
     " {'c', 135}}}",
     {"topics": [["a", 0], ["b", [2, {"rap": True}]], ["c", 135]]}),
    ("on_unsubscribe", "{'a', 'b/#'}", ["a", "b/#"]), ("on_unsubscribe", "{}", []),
    ("on_unsubscribe_m5", "{topics = {'x'}}", {"topics": ["x"]}),
    ("on_deliver", "{topic = 'x', payload = ''}", {"topic": "x", "payload": ""}),
    ("on_deliver_m5", "{properties = {p_payload_format_indicator = 'utf8'}}",
     {"properties": {"p_payload_format_indicator": "utf8"}}),
    ("on_auth_m5", "{reason_code = 0, properties = {p_authentication_data = 'd'}}",
     {"reason_code": 0, "properties": {"p_authentication_data": "d"}}),
]


@pytest.mark.parametrize("hook, result, mods", MODS)
def test_tables_are_modifiers(hook, result, mods):
    assert verdict(result, hook) == ("ok", None, mods)


@pytest.mark.parametrize("hook, result, why", [
    ("auth_on_register", "{}", "an empty table"),
    ("auth_on_register", "{mountpoint = 'm'}", "unknown modifier 'mountpoint'"),
    ("auth_on_register", "{properties = {}}", "unknown modifier 'properties'"),
    ("auth_on_register", "{username = 5}", "modifier username: 5 is no string"),
    ("auth_on_register", "{subscriber_id = {client_id = 'c'}}",
     "modifier mountpoint: is missing"),
    ("auth_on_publish", "{}", "an empty table"),
    ("auth_on_publish", "{topic = 5}", "modifier topic: 5 is no topic"),
    ("auth_on_publish", "{topic = 'a/#'}", "modifier topic: 'a/#' is no topic"),
    ("auth_on_publish", "{foo = 1}", "unknown modifier 'foo'"),
    ("auth_on_publish", "{'foo'}", "a table with numbers as keys"),
    ("auth_on_publish", "{qos = 3}", "modifier qos: 3 is out of range"),
    ("auth_on_publish", "{qos = 0/0}", "modifier qos: "),
    ("auth_on_publish", "{retain = 'true'}",
     "modifier retain: 'true' is neither true nor false"),
    ("auth_on_publish", "{payload = print}", "functions and threads cannot be sent"),
    ("auth_on_subscribe", "{topics = {}}", "a table is no array"),
    ("auth_on_subscribe", "{{'a', 3}}", "3 is out of range"),
    ("auth_on_subscribe", "{{'a#', 1}}", "'a#' is no topic filter"),
    ("auth_on_subscribe", "{{'a'}}", "a table is no pair of a topic and a QoS"),
    ("auth_on_subscribe_m5", "{}", "an empty table"),
    ("auth_on_subscribe_m5", "{{'a', 1}}", "a table with numbers as keys"),
    ("on_unsubscribe_m5", "{}", "an empty table"),
    ("on_deliver", "{qos = 1}", "unknown modifier 'qos'"),
    ("on_auth_m5", "{reason_code = 'x'}", "modifier reason_code: 'x' is no integer"),
    ("auth_on_publish", "(function() local t = {} t.topic = t return t end)()",
     "nested too deep"),
    ("auth_on_publish", "(function() local t = {} t[1] = t return t end)()",
     "nested too deep"),
])
def test_modifiers_without_sense_are_a_refusal(hook, result, why):
    with MqttWorker(script(f"return {result}", hook)) as w:
        assert w.hook(hook).answer == ("deny", "invalid_modifiers", None)
        (line,) = w.logs
        assert line[1] == 3
        assert line[2].startswith(f"{hook}: invalid_modifiers: {why}"), line[2]


@pytest.mark.parametrize("result, code", [
    ("error('no')", "script_error"), ("error({})", "script_error"),
    ("nil .. 1", "script_error"), ("(nil)()", "script_error")])
def test_errors_are_no_verdict(result, code):
    with MqttWorker(script(f"return {result}", "auth_on_register")) as w:
        for _ in range(2):
            with pytest.raises(RunError) as e:
                w.hook("auth_on_register")
            assert e.value.code == code


def test_metatables_of_a_result_are_not_asked():
    body = ("return setmetatable({topic = 'x'}, {__index = {qos = 1}, "
            "__pairs = error, __len = error})")
    with MqttWorker(script(body, "auth_on_publish")) as w:
        assert w.hook("auth_on_publish").answer == ("ok", None, {"topic": "x"})


def test_effects_come_with_the_verdict():
    with MqttWorker(script("kv.set('a', 'b'); return m.ok",
                           "auth_on_publish")) as w:
        got = w.hook("auth_on_publish", ok=True)
        assert got.verdict == "ok" and got.effects == [["kv.set", "a", b"b", 0]]
        got = w.hook("auth_on_publish", ok=False)
        assert got.verdict == "deny" and got.effects == [["kv.set", "a", b"b", 0]]


def test_a_hook_that_one_state_lacks_fails_there():
    source = ("num_states = 2; hooks = {on_publish = __SCRIPT_INSTANCE_ID__ == 1 "
              "and function() end or nil}")
    with MqttWorker(source) as w:
        w.hook("on_publish")
        with pytest.raises(RunError) as e:
            w.hook("on_publish")
        assert "hooks.on_publish is no function in this state" in e.value.message
        w.hook("on_publish")


# --- the broker, while loading and later ---


def test_calls_while_loading_wait_in_place():
    source = script("print(v)", before="num_states = 2; v = kv.get('key')")
    w = MqttWorker(source, load=False)
    with w:
        w.kv[b"key"] = b"value"
        load = w.request("load", w.load_params())
        run = w.begin_hook("on_publish", {"client_id": "early"})
        assert w.wait(load)["lanes"] == 2
        w.end_hook(run)
        assert w.logs[0][2] == "value"
        assert [p for m, p in w.calls if m == "kv.get"] == [[load, "key"]] * 2


def test_effects_of_loading_come_with_its_answer():
    source = script("", before="""
        num_states = 3
        assert(kv.get('n') == (__SCRIPT_INSTANCE_ID__ > 1 and
               tostring(__SCRIPT_INSTANCE_ID__ - 1) or nil))
        kv.set('n', tostring(__SCRIPT_INSTANCE_ID__))
        bus.emit('loaded')
    """)
    with MqttWorker(source) as w:
        assert w.loaded["effects"] == [["kv.set", "n", b"3", 0]] + [
            ["bus.emit", "loaded", None]] * 3
        assert w.hook("on_publish").effects == []


def test_effects_of_loading_are_bounded_as_those_of_one_run():
    error = load_error("num_states = 3; for i = 1, 400 do bus.emit('x') end")
    assert error.message.startswith("test.lua:1: too_large: the effects of one run")


def test_calls_while_loading_may_fail():
    w = MqttWorker("print(kv.get('x'))", load=False)
    with w:
        w.on["kv.get"] = lambda key: (_ for _ in ()).throw(
            Refuse("storage", "no disk"))
        w.load()
        assert w.logs[0][2] == "nil\tstorage: no disk"


def test_a_timeout_while_loading_is_final():
    w = MqttWorker("pcall(kv.get, 'x'); while true do pcall(kv.get, 'x') end",
                   load=False)
    with w:
        def late(key):
            raise Refuse("timeout", "the script is late")

        w.on["kv.get"] = late
        with pytest.raises(RunError) as e:
            w.load()
        assert e.value.code == "timeout"


def stop(w, msgid):
    """As a broker does for a run that is late: until it has ended."""
    while not w.ready:
        w.step()
    w.sock.settimeout(0.02)
    while msgid not in w.answers:
        w.process.send_signal(signal.SIGUSR1)
        try:
            w.step()
        except (TimeoutError, BlockingIOError):
            pass
    w.sock.settimeout(TIMEOUT)
    with pytest.raises(RunError) as e:
        w.wait(msgid)
    assert e.value.code == "timeout"
    return e.value


def test_a_loop_while_loading_is_stopped():
    source = "num_states = 2\n\nwhile true do pcall(error) end"
    w = MqttWorker(source, {"load_timeout_ms": 50}, load=False)
    with w:
        error = stop(w, w.request("load", w.load_params()))
        assert error.message.startswith("test.lua:3: timeout")
        w.files["test.lua"] = script("return true", "auth_on_publish")
        w.load()
        assert w.hook("auth_on_publish").verdict == "ok"


def test_a_loop_in_a_hook_is_stopped():
    source = script("while m.loop do pcall(error) end\nreturn true",
                    "auth_on_publish")
    w = MqttWorker(source, {"timeout_ms": 50})
    with w:
        stop(w, w.begin_hook("auth_on_publish", {"loop": True}))
        assert w.hook("auth_on_publish").verdict == "ok"


def test_a_module_may_be_required_within_a_run_that_waits():
    body = "local c = require 'commons'; print(c.get(m.topic), n); n = m.topic"
    files = {"commons.lua": "return {get = function(k) n = k "
             "local v = kv.get(k) return v end}"}
    with MqttWorker(script(body, before="num_states = 2"), files=files) as w:
        runs = [w.begin_hook("on_publish", {"topic": str(i)}) for i in range(4)]
        w.on["kv.get"] = lambda key: b"v" + key.encode()
        for run in runs:
            w.end_hook(run)
        assert sorted(line[2] for line in w.logs) == [
            f"v{i}\t{i}" for i in range(4)]
