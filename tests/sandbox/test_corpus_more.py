# SPDX-License-Identifier: Apache-2.0
"""Attacks beyond the known corpora, found by reading the worker as its
attacker. Those that once were holes say what happened."""

import pytest

from lib.rpc import RpcError

CLOSE = "setmetatable({}, {__close = function() while true do end end})"

# --- the stop cannot be kept from anybody

STOPPED = {
    "F01 wrap inside metamethods": """
        local t = setmetatable({}, {__index = function(_, k)
            return coroutine.wrap(function() while true do pcall(error) end end)() end})
        while true do pcall(function() return t.x end) end""",
    "F02 an iterator that yields": """
        for _ in coroutine.wrap(function()
            while true do coroutine.yield(pcall(error)) end end) do end""",
    "F03 pcall(coroutine.resume)": """
        local co = coroutine.create(function() while true do coroutine.yield() end end)
        while true do pcall(coroutine.resume, co) end""",
    "F04 a new coroutine each time": """
        while true do pcall(coroutine.wrap(function()
            pcall(coroutine.wrap(function() while true do end end)) end)) end""",
    "F05 close while suspended in a C function": f"""
        while true do
            local co = coroutine.create(function()
                local x <close> = {CLOSE}
                pcall(coroutine.yield)
            end)
            coroutine.resume(co) pcall(coroutine.close, co)
        end""",
    "F06 __close chain of one function": f"""
        local function f(n)
            local x <close> = {CLOSE}
            if n > 0 then return f(n - 1) end
        end
        while true do pcall(f, 100) end""",
    "F07 gsub within sort within load": """
        while true do pcall(load, function() table.sort({2, 1}, function()
            (("x"):rep(9)):gsub(".", function() while true do end end) end) end) end""",
    "F08 a yield out of gsub": """
        local co = coroutine.wrap(function()
            while true do pcall(string.gsub, "x", ".", coroutine.yield) end end)
        co() while true do co() end""",
    "F09 format of looping objects": """
        local o = setmetatable({}, {__tostring = function() while true do end end})
        while true do pcall(string.format, "%s%s", o, o) pcall(print, o)
                      pcall(log.info, "x", {a = o}) end""",
    "F10 __name and __tostring that fail": """
        local o = setmetatable({}, {__name = ("%s"):rep(1000)})
        while true do pcall(tostring, o) pcall(error, o) end""",
    "F11 a body that is fetched over and over": """
        while true do ctx.req.body = nil local _ = ctx.req.body
                      json.encode(ctx) end""",
    "F12 views over and over": """
        while true do for _ in pairs(ctx) do end for _ in pairs(ctx.req.headers) do end
                      json.encode{ctx, config, mut} end""",
    "F13 shared tables: json": """
        local t = {1} for i = 1, 40 do t = {t, t, t} end
        while true do json.encode(t) end""",
    "F14 shared tables: bus": """
        local t = {} for i = 1, 14 do t = {t, t, t, t, t, t, t, t, t, t} end
        while true do bus.emit("x", t) end""",
    "F15 endless require": """
        while true do pcall(require, "lib.a") pcall(require, "none") end""",
    "F16 compile without end": """
        local s = "return " .. ("1 + "):rep(2000) .. "1"
        while true do load(s) end""",
    "F17 large strings as keys": """
        local t = {}
        while true do t[("x"):rep(1 << 20) .. math.random()] = nil end""",
    "F18 coercions": """
        local s = ("1"):rep(100000)
        while true do local _ = pcall(function() return s + s .. 1 end) end""",
    "F19 next over a table that was emptied": """
        local t = {} for i = 1, 200000 do t[i .. ""] = 1 end
        for k in pairs(t) do t[k] = nil end
        while true do next(t) end""",
    "F20 utf8 over much": """
        local s = ("\\u{10FFFF}"):rep(100000)
        while true do utf8.len(s) for _ in utf8.codes(s) do end end""",
}


@pytest.mark.parametrize("name", STOPPED)
def test_is_stopped_softly(bed, name):
    bed.attack(STOPPED[name], headers=[["A", "b"]]).soft()


def test_f21_a_stop_is_short_however_deep_the_stack(bed):
    """Once a hole: each of 20,000 nested pcalls was unwound by itself, and
    the traceback walked them all again; the grace was over before that."""
    outcome = bed.attack("""
        local n = 0
        local function f() n = n + 1 while true do if n < 20000 then pcall(f) end end end
        f()""").soft()
    assert "more than" in outcome.traceback


def test_f22_what_was_stopped_can_be_closed_under_a_later_deadline(bed):
    """Once a hole: a coroutine that the stop went through had its hooks off
    for good, so closing it in the next run looped until SIGKILL."""
    bed.attack(f"""
        main = coroutine.running()
        kept = coroutine.create(function()
            local x <close> = {CLOSE} while true do end end)
        coroutine.resume(kept)""", "keeper").soft()
    bed.attack("coroutine.close(kept)", "keeper").soft()
    got = bed.attack("return select(2, pcall(coroutine.close, main))",
                     "keeper").fine().returned
    assert got == "cannot close a running coroutine"
    assert bed.attack("return coroutine.status(main) .. tostring(main == "
                      "coroutine.running())", "keeper").returned == "runningtrue"
    bed.attack("kept, main = nil, nil", "keeper").fine()


def test_f23_the_parser_is_bounded(bed):
    """A quarter of a MiB of what the compiler handles worst: seconds in C that
    only SIGKILL ends. The caller alone pays."""
    for source in ('"return a" .. (" and a"):rep(40000)',
                   '"if a then" .. (" elseif a then"):rep(15000) .. " end"',
                   '("goto a "):rep(30000) .. "::a::"'):
        bed.attack(f"load({source}) while true do end").late()


# --- what goes wrong stays with its event

@pytest.mark.parametrize("thing", ["nil", "{}", "print", "1", "true",
                                   "setmetatable({}, {__tostring = error})",
                                   "setmetatable({}, {__tostring = function() "
                                   "return 1 end})",
                                   "setmetatable({}, {__name = 7, __metatable = 1})",
                                   "('x'):rep(9 << 20)", "'a\\0b\\n\\xff'", "ctx",
                                   "coroutine.create(print)"])
def test_f24_any_error_object(bed, thing):
    outcome = bed.attack(f"error({thing})", "slow")
    assert outcome.code == "script_error" and outcome.same
    assert isinstance(outcome.message, str) and len(outcome.message) <= 8 << 10


def test_f25_a_failed_run_says_nothing_more(bed):
    """__tostring of the error runs when the run is over: what it does is
    undone with the rest."""
    bed.attack("""
        error(setmetatable({}, {__tostring = function()
            kv.set("late", "1") bus.emit("late") artifacts.write("late", "x")
            mut.req.set_path("/late") return "said" end}))""").raises("said")
    assert bed.attack("return tostring(kv.get('late')) .. "
                      "tostring(artifacts.exists('late'))").returned == "nilfalse"


def test_f26_json_keys_that_change_the_table(bed):
    """Once a hole, and the worst: keys were counted, then asked for their
    text; one whose __tostring added more wrote past the end of the heap."""
    bed.attack("""
        local n, t = 0, {}
        for i = 1, 20 do t[setmetatable({}, {__tostring = function()
            n = n + 1
            for j = 1, 3000 do t[n .. "x" .. j] = j end
            return "k" .. i end})] = 1 end
        for round = 1, 20 do
            json.encode(t)
            for k in pairs(t) do if type(k) == "string" then t[k] = nil end end
        end
        return "alive" """, "slow").value("alive")


def test_f27_json_of_weak_tables(bed):
    """A collection between the count and the list took keys away."""
    bed.attack("""
        for round = 1, 30 do
            local t = setmetatable({}, {__mode = "kv"})
            for i = 1, 3000 do t[{}] = {i} end
            local hog = ("x"):rep(10 << 20)
            json.encode(t) bus.emit("x", {pcall(json.encode, t)})
        end
        return "alive" """, "slow").contained()


@pytest.mark.parametrize("source, want", [
    ("json.encode", "functions"), ("('['):rep(100000)", "max depth"),
    ("('{\"a\":'):rep(100000)", "max depth"), ("'1e999'", "cannot unmarshal"),
    ("('1'):rep(300000)", "cannot unmarshal"), ("'\"\\\\ud800\"'", None),
    ("'[' .. ('[],'):rep(200000) .. '1]'", None), ("'\"' .. ('\\\\u0000'):rep(99999)",
                                                    "unexpected end"),
])
def test_f28_json_decode_of_bombs(bed, source, want):
    if source == "json.encode":
        bed.attack("json.decode(json.encode)").raises("string expected")
        return
    got = bed.attack(f"return select(2, json.decode({source}))", "slow").fine().returned
    assert want is None or want in got


def test_f29_json_encode_of_bombs(bed):
    got = bed.attack("""
        local cycle, deep, r = {}, {}, {}
        cycle.a = {cycle, cycle}
        for i = 1, 2000 do deep = {deep} end
        for _, v in ipairs{cycle, deep, 0/0, math.huge, {[0/1] = 1, [1.5] = 2}} do
            local text, why = json.encode(v)
            r[#r + 1] = text or why
        end
        local function nest() return setmetatable({}, {__tostring = function()
            local v = {[nest()] = 1} for i = 1, 900 do v = {v} end
            return json.encode(v) or "x" end}) end
        json.encode{[nest()] = 1}
        return table.concat(r, "|")""", "slow").fine().returned
    assert "cycle" in got and "max depth" in got and "NaN" in got


RECURSION = {
    "F30 gsub": 'local function f(s) return (s:gsub(".", f)) end f("a")',
    "F30 sort": "local function f() table.sort({1, 2}, f) end f()",
    "F30 tostring": "local t t = setmetatable({}, {__tostring = function() "
                    "return tostring(t) end}) tostring(t)",
    "F30 __index": "local t t = setmetatable({}, {__index = function(_, k) "
                   "return t[k] end}) return t.x",
    "F30 load": "local function f() return assert(load(f)) end f()",
    "F30 pairs": "local t t = setmetatable({}, {__pairs = function() "
                 "return pairs(t) end}) pairs(t)",
    "F30 __concat": "local t t = setmetatable({}, {__concat = function() "
                    "return t .. t end}) return t .. t",
    "F30 require": "local r = require require = nil package = nil "
                   "local function f(n) return r('lib.a') end f()",
    "F30 resume": "local function f() coroutine.wrap(f)() end f()",
    "F30 string.format": "local t t = setmetatable({}, {__tostring = function() "
                         "return string.format('%s', t) end}) print(t)",
}


@pytest.mark.parametrize("name", RECURSION)
def test_f30_recursion_through_c_ends_with_an_error(bed, name):
    outcome = bed.attack(RECURSION[name], "slow")
    assert outcome.code == "script_error" and outcome.same
    assert "overflow" in outcome.message or "requires itself" in outcome.message


def test_f31_lua_recursion_through_pcall_in_coroutines(bed):
    bed.attack("""
        local function f(n) if n > 0 then pcall(f, n - 1) end return n end
        for i = 1, 10 do coroutine.wrap(f)(10000) end
        return f(10000)""", "slow").value("10000")


# --- limits of a run, and between runs

def test_f32_a_loop_of_events_is_bounded(bed):
    bed.attack("for i = 1, 1e9 do bus.emit('x', i) end").raises("too_large")
    bed.attack("""
        local n = 0
        for i = 1, 2000 do
            if pcall(bus.emit, "x", ("d"):rep(10000)) then n = n + 1 end end
        error(n)""", "slow").raises("419")


def test_f33_a_run_that_fails_leaves_nothing(bed):
    for end in ("error('x')", "while true do end",
                "local s = 'x' while true do s = s .. s end"):
        answer = bed.send(f"""
            kv.set("half", "done") kv.delete("other") artifacts.write("half", "done")
            bus.emit("half") mut.req.set_path("/half") {end}""")
        assert isinstance(answer, RpcError)
        bed.good()
        assert bed.attack("return tostring(kv.get('half')) .. "
                          "tostring(artifacts.exists('half'))").returned == "nilfalse"


def test_f34_blobs_of_failed_runs_are_not_kept(bed):
    def size():
        return sum(p.stat().st_size for p in bed.broker.dir.rglob("*") if p.is_file())
    before = size()
    for _ in range(5):
        bed.attack("for i = 1, 4 do artifacts.write('a' .. i, ('x'):rep(4 << 20)) end "
                   "error('x')", "slow").raises("x")
    assert size() - before < 256 << 20


@pytest.mark.parametrize("call", [
    "kv.set('a', 'b', {ttl = 0/0})", "kv.set('a', 'b', {ttl = -1})",
    "kv.set('a', 'b', {ttl = 1e300})", "kv.set('a', 'b', 5)", "kv.set({}, 'b')",
    "kv.incr('a', 1.5)", "kv.incr('a', {})", "mut.resp.set_status(0/0)",
    "mut.resp.set_status(1e300)", "mut.resp.set_status(99)", "mut.req.set_body({})",
    "mut.req.set_header({}, 1)", "mut.resp.set_cookie(1)", "math.random(2, 1)",
    "mut.resp.set_cookie{name = 'a', value = 'b', max_age = 'x'}",
    "mut.req.set_scheme('a\\0b')", "crypto.hash('none', 'x')", "crypto.random(-1)",
    "os.date('%Ez', {})", "string.format('%100d', 1)", "string.rep()",
    "table.concat({{}})",
    "utf8.char(-1)", "coroutine.resume(1)", "coroutine.close(coroutine.running())",
    "coroutine.yield()", "setmetatable(ctx.req.headers, 1)", "rawset(1, 2, 3)",
])
def test_f35_wrong_arguments_are_ordinary_errors(bed, call):
    outcome = bed.attack(call)
    assert outcome.code == "script_error" and outcome.same, outcome


@pytest.mark.parametrize("source", [
    "mut.resp.set_cookie{name = 'a', value = 'b', max_age = 1e300, expires = -1e300}",
    "mut.resp.set_cookie(setmetatable({}, {__index = function(_, k) "
    "mut.resp.set_cookie{name = k, value = ('v'):rep(1000)} return k end}))",
    "kv.set('a', setmetatable({}, {__tostring = function() return 'x' end}))",
    "log.info('x', setmetatable({a = 1}, {__pairs = error, __index = error}))",
    "for i = 1, 300 do log.info('x', {[setmetatable({}, {__tostring = function() "
    "log.warn('inner', {a = 1}) return 'k' end})] = setmetatable({}, {__tostring = "
    "function() return ('v'):rep(100000) end})}) end",
    "local t = {} t[setmetatable({}, {__tostring = function() for i = 1, 500 do "
    "t[{}] = i end return 'x' end})] = 1 log.info('x', t)",
    "data_store.list('', setmetatable({}, {__index = error, __len = error}))",
    "bus.emit('x', setmetatable({}, {__index = error, __len = error, __pairs = error}))",
    "table.sort(setmetatable({3, 1, 2}, {__newindex = error, __index = error}))",
    "table.insert(ctx.req.headers, 'x') table.sort(ctx) table.remove(config)",
    "table.move(ctx.req, 1, 100, 1, ctx.req.headers) next(ctx) rawlen(mut)",
    "local f = load('return ...', 'x', 't', nil) f() pcall(load('x = 1', 'x', 't', 5))",
    "local e = setmetatable({}, {__index = error}) pcall(load('return x', 'x', 't', e))",
    "ctx.req = nil ctx.resp = 5 ctx.req = ctx ctx.x = ctx json.encode(ctx)",
    "for k in pairs(ctx.req) do ctx.req[k] = nil ctx.req.headers = k end",
    "setmetatable(_G, {__index = function(t, k) return rawget(t, k) or k end}) x = y",
])
def test_f36_odd_objects_in_the_api(bed, source):
    bed.attack(source, "slow").contained()


def test_f37_unwound_in_a_lane_that_waits(bed):
    """Four lanes, events that wait in calls and are stopped there, out of
    order: each is answered, none gets another's answer."""
    loop = "while true do pcall(kv.get, 'k') end"
    sent = []
    for i in range(24):
        source = loop if i % 3 == 0 else f"kv.get('k') return '{i}'"
        sent.append(bed.client.send("after_request", [bed.event(source, "lanes", {})]))
    from base64 import b64encode
    for i, msgid in enumerate(sent):
        try:
            ops = bed.client.wait(msgid, 60)["ops"]
            assert ops == [["req.set_header", "X-R",
                            b64encode(str(i).encode()).decode()]], (i, ops)
        except RpcError as error:
            assert error.code in ("timeout", "overloaded"), (i, error)
    bed.good("lanes")


def test_f38_a_stop_in_one_lane_is_no_stop_in_another(bed):
    slow = bed.client.send("after_request", [bed.event(
        "while true do end", "lanes", {})])
    quick = [bed.client.send("after_request", [bed.event(
        f"return kv.get('none') or '{i}'", "lanes", {})]) for i in range(3)]
    for msgid in quick:
        try:
            bed.client.wait(msgid, 60)
        except RpcError as error:
            assert error.code == "timeout"
    assert bed.client.wait_error(slow, 60).code == "timeout"
    bed.good("lanes")


def test_f39_after_everything_the_broker_is_as_it_was(bed):
    bed.repeat("return kv.get('a')")
    assert not bed.bystander.wrong and bed.bystander.answered > 0
