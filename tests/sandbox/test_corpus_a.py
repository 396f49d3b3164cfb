# SPDX-License-Identifier: Apache-2.0
"""Corpus A: scripts that want to keep the processor for ever.

Where the engine without our guards is known to fail, test_controls.py shows it
under the row's number.
"""

import pytest

CLOSE = "setmetatable({}, {__close = function() while true do end end})"

SOFT = {
    "A01 loop": "while true do end",
    "A01 goto": "::a:: goto a",
    "A01 repeat": "repeat until false",
    "A01 tail call": "local function f() return f() end return f()",
    "A02 endless pcall": "while true do pcall(function() while true do end end) end",
    "A02 pcall that swallows": """
        local function loop() while true do end end
        while true do local ok, e = pcall(loop) swallowed = e end""",
    "A03 pcall within pcall": """
        local n = 0
        local function f() n = n + 1 while true do if n < 20000 then pcall(f) end end end
        f()""",
    "A03 xpcall within pcall": """
        local n = 0
        local function f() n = n + 1
            while true do if n < 5000 then pcall(xpcall, f, print) end end end
        f()""",
    "A04 xpcall(loop, loop)": """
        local function loop() while true do end end
        while true do xpcall(loop, loop) end""",
    "A04 xpcall(error, loop)": "xpcall(error, function() while true do end end)",
    "A04 handlers within handlers": """
        local function h() while true do xpcall(error, h) end end
        xpcall(error, h)""",
    "A05 resume": """
        coroutine.resume(coroutine.create(function() while true do end end))""",
    "A06 wrap": "coroutine.wrap(function() while true do end end)()",
    "A07 twenty deep, made before": """
        local f = function() while true do end end
        for i = 1, 20 do
            local co = coroutine.create(f)
            f = function() while true do coroutine.resume(co) end end
        end
        f()""",
    "A07 ping-pong": """
        local co = coroutine.wrap(function()
            while true do coroutine.yield() end end)
        while true do co() end""",
    "A08 __close": f"while true do pcall(function() local x <close> = {CLOSE} end) end",
    "A08 __close of a coroutine": f"""
        local co = coroutine.create(function()
            local x <close> = {CLOSE} coroutine.yield() end)
        coroutine.resume(co) coroutine.close(co)""",
    "A08 __close while stopping": f"local x <close> = {CLOSE} while true do end",
    "A08 __close in a generic for": f"""
        for _ in function() return 1 end, nil, nil, {CLOSE} do end""",
    "A10 __index": """
        local t = setmetatable({}, {__index = function() while true do end end})
        return t.x""",
    "A10 __eq __lt __concat": """
        local function loop() while true do end end
        local m = {__eq = loop, __lt = loop, __concat = loop, __len = loop}
        local a, b = setmetatable({}, m), setmetatable({}, m)
        for _, f in ipairs{function() return a == b end, function() return a < b end,
                           function() return a .. b end, function() return #a end}
        do pcall(f) end""",
    "A11 comparison of sort": """
        table.sort({3, 2, 1}, function() while true do end end)""",
    "A11 replacement of gsub": """
        ("x"):gsub(".", function() while true do end end)""",
    "A11 reader of load": "load(function() while true do end end)",
    "A11 pieces without end": '''
        while true do pcall(load, function() return "x = 1 " end) end''',
    "A11 module": "require 'lib.late'",
    "A11 patterns over and over": """
        local s = ("a"):rep(200000)
        while true do pcall(string.find, s, ".-.-.-b") end""",
    "A19 comparing large strings": """
        local a, b = ("x"):rep(4 << 20) .. "a", ("x"):rep(4 << 20) .. "b"
        while true do local _ = a < b end""",
    "A20 a chain of metatables under table.unpack": """
        local t = {}
        for i = 1, 1900 do t = setmetatable({}, {__index = t}) end
        return table.unpack(t, 1, 899999)""",
    "A20 a chain of metatables under table.concat": """
        local t = {}
        for i = 1, 1900 do t = setmetatable({}, {__index = t}) end
        t = setmetatable({}, {__index = t, __len = function() return 1e6 | 0 end})
        while true do pcall(table.concat, t) pcall(table.insert, t, 1, 1) end""",
    "A21 the stop in an error's __tostring": """
        error(setmetatable({}, {__tostring = function() while true do end end}))""",
    "A21 the stop in a module's error": "require 'lib.raises'",
    "A23 a million kv.get": "for i = 1, 1000000 do kv.get('a') end",
    "A23 kv.get within pcall": "while true do pcall(kv.get, 'a') end",
    "A23 kv.incr": "while true do kv.incr('a') end",
    "A23 artifacts in a coroutine": """
        coroutine.wrap(function() while true do artifacts.list() end end)()""",
    "A23 data within gsub": """
        while true do (("a"):rep(99)):gsub(".", function()
            data_store.exists("a.txt") end) end""",
}

# Ends by itself, with an ordinary error or a value.
ANSWERED = {
    "A12 rep of nothing": ("return #string.rep('', 1 << 62)", "0"),
    "A12 rep of much": ("return select(2, pcall(string.rep, 'x', 1 << 62))",
                        "resulting string too large"),
    "A12 rep beyond the memory": (
        "return select(2, pcall(string.rep, 'x', 1 << 30))", "not enough memory"),
    "A12 rep of a separator": (
        "return select(2, pcall(string.rep, '', 1 << 40, 'ab'))",
        "resulting string too large"),
    "A13 table.move": (
        "return select(2, pcall(table.move, {}, 1, math.maxinteger - 1, 2))",
        "too many elements to move"),
    "A14 table.insert": (
        "return select(2, pcall(table.insert, setmetatable({}, "
        "{__len = function() return 1 << 60 end}), 1, 1))",
        "table.insert: too much work"),
    "A15 table.remove": (
        "return select(2, pcall(table.remove, setmetatable({}, "
        "{__len = function() return 1 << 60 end}), 1))",
        "table.remove: too much work"),
    "A15 table.concat": (
        "return select(2, pcall(table.concat, setmetatable({}, {__index = "
        "function() return '' end, __len = function() return 1 << 60 end})))",
        "table.concat: too much work"),
    "A15 table.unpack": ("return select(2, pcall(table.unpack, {}, 1, 1 << 60))",
                         "too many results to unpack"),
    "A15 table.sort": (
        "return select(2, pcall(table.sort, setmetatable({}, {__len = "
        "function() return 1 << 60 end})))", "array too big"),
    "A16 nested optional": (
        "return select(2, pcall(string.find, ('a'):rep(40), "
        "('a-'):rep(40) .. 'b'))", "pattern: too much work"),
    "A17 three lazy dots": (
        "return select(2, pcall(string.find, ('a'):rep(200000), '.-.-.-b'))",
        "pattern: too much work"),
    "A18 %b over much": (
        "return select(2, pcall(string.find, ('('):rep(300000), '%b()'))",
        "pattern: too much work"),
    "A18 a deep pattern": (
        "return select(2, pcall(string.find, ('a'):rep(3000), "
        "('a?'):rep(3000) .. 'b'))", "pattern too complex"),
    "A22 no debug": ("return debug.sethook or debug.getinfo or debug.getregistry",
                     None),
    "A22 no debug by require": ("return require 'debug'.sethook", None),
    "A22 no debug by package": ("return package", None),
    "A22 no hook by load": ("return select(2, pcall(load('debug.sethook()')))",
                            "attempt to call a nil value (field 'sethook')"),
    "A22 no module": ("return select(2, pcall(require, 'package'))",
                      "module 'package' not found in the script's folder"),
}

# A slow end that names where, and a loop that must find that out itself.
DENIED = {
    "A09 at once": "setmetatable({}, {__gc = function() while true do end end})",
    "A09 any value": "setmetatable({}, {__gc = true})",
    "A09 through a metatable of the metatable": """
        local mt = setmetatable({}, {__index = {__gc = print}})
        setmetatable({}, mt)
        mt.__gc = print
        setmetatable({}, mt)""",
}


@pytest.mark.parametrize("name", SOFT)
def test_is_stopped_softly(bed, name):
    bed.attack(SOFT[name]).soft()


@pytest.mark.parametrize("name", ANSWERED)
def test_ends_by_itself(bed, name):
    source, text = ANSWERED[name]
    # Generous deadline: these bounds are counted in work, not in time.
    returned = bed.attack(source, "slow").fine().returned
    if text is None:
        assert returned is None
    else:
        assert text in returned


@pytest.mark.parametrize("name", DENIED)
def test_finalizers_are_denied(bed, name):
    bed.attack(DENIED[name]).raises("__gc is not available")


def test_a09_a_finalizer_given_late_never_runs(bed):
    bed.attack("""
        local mt = {}
        for i = 1, 1000 do setmetatable({}, mt) end
        mt.__gc = function() while true do end end
        collectgarbage() collectgarbage("collect") collectgarbage("step")
        local t = {}
        for i = 1, 200 do t[i] = ("x"):rep(100000) t[i - 50] = nil end
        return "done" """).value("done")


def test_a24_nothing_goes_on_after_the_answer(bed):
    bed.attack("""
        local mt = {__close = function() while true do end end,
                    __mode = "k", __index = function() while true do end end}
        left = coroutine.wrap(function()
            local x <close> = setmetatable({}, mt) coroutine.yield() end)
        left()
        return "answered" """).value("answered")
    bed.attack("return left").fine()


@pytest.mark.parametrize("source", [
    "return 1", "error('x')", "setmetatable({}, {__gc = print})",
    "string.rep('x', 1 << 62)", "return kv.get('a')"])
def test_nothing_gathers_in_the_broker(bed, source):
    bed.repeat(source)


def test_nothing_gathers_from_writes(bed):
    bed.repeat("kv.set('a', 1)", growth=1 << 20)    # what the store holds back


def test_nothing_gathers_from_stops_and_kills(bed):
    bed.repeat("while true do pcall(function() while true do end end) end", 10)
    bed.repeat("local s = 'x' while true do s = s .. s end", 50)
