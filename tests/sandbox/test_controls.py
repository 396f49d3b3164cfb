# SPDX-License-Identifier: Apache-2.0
"""Negative controls: the holes of the reference engine that the worker's
guards close, on that engine without them (control.c). Each must be seen to
fail. One that does not any more says that its guard has lost its reason, which
a newer Lua may bring about: then the guard is to be looked at."""

import resource
import signal
import subprocess

import pytest

from holes import BREAK, FULL, HANDLER
from probe import find

LATE_MS = 50
GONE = 0.6      # seconds: what still runs then has evaded the hook
LIMIT = 64 << 20
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL}


def fate(source, limit=LIMIT, gone=GONE, late_ms=LATE_MS):
    """ended, raised, stopped, evaded (the hook did not end it) or crashed."""
    program = find("control")
    if program is None:
        raise FileNotFoundError("control is not built: `make test` does so")

    def limits():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
        resource.setrlimit(resource.RLIMIT_STACK, (2 << 20, hard))

    try:
        code = subprocess.run([str(program), str(late_ms), str(limit)],
                              input=source.encode(), timeout=gone, preexec_fn=limits,
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode
    except subprocess.TimeoutExpired:
        return "evaded"
    if -code in CRASHES:
        return "crashed"
    return {0: "ended", 1: "raised", 2: "stopped"}[code]


def test_the_control_itself():
    assert fate("while true do end", gone=60) == "stopped"
    assert fate("return 1", gone=60, late_ms=60000) == "ended"
    assert fate("error('x')", gone=60, late_ms=60000) == "raised"
    assert fate("local s = 'x' while true do s = s .. s end",
                gone=60, late_ms=60000) == "raised"


LIE = "setmetatable({}, {__len = function() return 1 << 60 end})"

EVADE = {
    "A04 xpcall": "local function f() while true do end end xpcall(f, f)",
    "A07 coroutines that were made before": """
        local co = coroutine.wrap(function()
            coroutine.yield() while true do end end)
        co() co()""",
    "A09 __gc by collection": """
        setmetatable({}, {__gc = function() while true do end end})
        collectgarbage()""",
    "A09 __gc by allocation": """
        setmetatable({}, {__gc = function() while true do end end})
        for i = 1, 1e9 do local _ = {} end""",
    "A09 __gc at the end": """
        setmetatable({}, {__gc = function() while true do end end})""",
    "A12 rep": "string.rep('', 1 << 62)",
    "A13 move": "table.move({}, 1, math.maxinteger - 1, 2)",
    "A14 insert": f"table.insert({LIE}, 1, 1)",
    "A15 remove": f"table.remove({LIE}, 1)",
    "A16 pattern": "string.find(('a'):rep(40), ('a-'):rep(40) .. 'b')",
    "A17 pattern": "string.find(('a'):rep(200000), '.-.-.-b')",
    "A18 %b": "string.find(('('):rep(300000), '%b()')",
}


@pytest.mark.parametrize("name", EVADE)
def test_evades_the_hook(name):
    assert fate(EVADE[name]) == "evaded"


CRASH = {
    "C01 coroutine.close within __close (1e64c139)": ("""
        local inner
        for i = 1, 30000 do
            local last = inner
            inner = coroutine.create(function()
                local x <close> = setmetatable({}, {__close = function()
                    if last then coroutine.close(last) end end})
                coroutine.yield()
            end)
            coroutine.resume(inner)
        end
        coroutine.close(inner)""", 256 << 20),
    "C02 a long chain of ._ENV (7923dbbf)": (
        "_ENV._ENV = _ENV "
        "load('return _ENV' .. ('._ENV'):rep(40000) .. '+1')()", 256 << 20),
    "C05 bytecode": ("""
        math.randomseed(7)
        local s = string.dump(load([[local a, b = ...
            for i = 1, 9 do a = {b, i, x = a} b = a.x .. i end return a, b]]))
        for i = 1, 3000 do
            local t = {s:byte(1, -1)}
            for j = 1, 3 do t[math.random(34, #t)] = math.random(0, 255) end
            local f = load(string.char(table.unpack(t)), "x", "b")
            if f then pcall(f, {}, "b") end
        end""", 256 << 20),
}


@pytest.mark.parametrize("name", CRASH)
def test_crashes_the_engine(name):
    source, limit = CRASH[name]
    assert fate(source, limit, gone=60, late_ms=60000) == "crashed"


def test_b11_full_memory_corrupts_the_heap():
    """It takes a little luck with where the limit comes: so, several limits."""
    assert "crashed" in (fate(FULL, (8 << 20) + (i << 14), 60, 60000)
                         for i in range(40))


def test_c03_a_correct_program_goes_wrong():
    program = f"local n = (function() {BREAK} end)() assert(n == 100)"
    assert fate(program, gone=60, late_ms=60000) == "raised"


def test_c04_a_handler_that_is_gone_is_called():
    program = f"local e = (function() {HANDLER} end)() assert(e == 'handled inner')"
    assert fate(program, gone=60, late_ms=60000) == "ended"


def test_e06_addresses_are_shown():
    assert fate("assert(tostring(print):match('0x%x%x%x%x%x%x%x%x%x+'))",
                gone=60) == "ended"
    assert fate("assert(string.format('%p', {}):match('0x%x%x%x%x%x%x%x%x%x+'))") \
        == "ended"


def test_e07_the_metatable_of_strings_is_open():
    assert fate("getmetatable('').__index = nil assert(not pcall(function() "
                "return ('x'):rep(2) end))") == "ended"
