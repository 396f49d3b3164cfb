# SPDX-License-Identifier: Apache-2.0
"""Corpus C: known bugs of the engine, Lua 5.4.4 as Debian ships it. Where the
reference engine crashes, test_controls.py shows that it does."""

import random

import pytest

from holes import BREAK, HANDLER

CLOSE = "setmetatable({}, {__close = function() %s end})"

# C02: each must be refused before the compiler sees it, or compile in bounds.
CHAINS = {
    "C02 200,000 of ._ENV": ('"return _ENV" .. ("._ENV"):rep(200000) .. "+1"',
                             "source text over 256 KiB"),
    "C02 as many as fit": ('"return _ENV" .. ("._ENV"):rep(50000) .. "+1"',
                           "too many index operations"),
    "C02 in brackets": ('"return _ENV" .. ("[_ENV]"):rep(40000) .. "+1"',
                        "too many index operations"),
    "C02 behind comments": ('"return _ENV" .. ("--[[\\n]].--\\n_ENV"):rep(15000)',
                            "too many index operations"),
    "C02 behind long comments": (
        '"return _ENV" .. ("--[==[ ]] ]==]._ENV"):rep(10000) .. "+1"',
        "too many index operations"),
    "C02 behind calls": ('"return _ENV" .. ("._ENV\'\'"):rep(30000) .. "+1"',
                         "too many index operations"),
    "C02 in parentheses": (
        '("return (((_ENV)"):gsub("%(", "(") .. (")._ENV"):rep(2) .. '
        '("._ENV"):rep(500) .. ")"', "too many index operations"),
    "C02 a string that is no comment": (
        '"return \'--[[\', _ENV" .. ("._ENV"):rep(300) .. "+1 --]]"',
        "too many index operations"),
    "C02 keys within keys": ('"return " .. ("a["):rep(40000) .. "1"',
                             "brackets nested too deep"),
    "C02 parentheses": ('"return " .. ("("):rep(60000)', "nested too deep"),
    "C02 braces": ('"return " .. ("{"):rep(60000)', "nested too deep"),
    "C02 minus": ('"return " .. ("- "):rep(60000) .. "1"', "C stack overflow"),
    "C02 blocks": ('("do "):rep(60000)', "C stack overflow"),
    "C02 functions": ('("return function() "):rep(10000)', "C stack overflow"),
    "C02 concatenations": ('"return a" .. ("..a"):rep(50000)', "C stack overflow"),
    "C02 powers": ('"return a" .. ("^a"):rep(50000)', "C stack overflow"),
    "C02 assignments": ('("a,"):rep(50000) .. "a = 1"', "C stack overflow"),
}

CONTAINED = {
    "C01 30,000 closes": """
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
        return select(2, coroutine.close(inner))""",
    "C01 20,000 by wrap": """
        local function nest(n)
            local co = coroutine.wrap(function()
                local x <close> = setmetatable({}, {__close = function()
                    if n > 0 then nest(n - 1) end end})
                error("now")
            end)
            pcall(co)
        end
        nest(20000)""",
    "C01 resumes": """
        local function nest(n)
            if n > 0 then coroutine.wrap(nest)(n - 1) end end
        nest(20000)""",
    "C03 break with a closing value and an upvalue": BREAK,
    "C04 handler overwritten on close": """
        local said
        xpcall(function()
            local x <close> = setmetatable({}, {__close = function()
                pcall(error, "inner") end})
            error("outer")
        end, function(e) said = e end)
        assert(said:find("outer"), said)""",
    "C04 xpcall in a coroutine that is closed": """
        for i = 1, 100 do
            local co = coroutine.create(function()
                xpcall(function()
                    local x <close> = setmetatable({}, {__close = function()
                        error("in close") end})
                    coroutine.yield()
                end, function(e) return e end)
            end)
            coroutine.resume(co)
            coroutine.close(co)
        end""",
    "C06 bad continuation": """
        local n = 0
        for _, c in utf8.codes("\\xc3\\x28\\x80abc", true) do n = n + 1 end""",
    "C06 lines of errors": """
        for i = 1, 100 do
            pcall(load(("\\n"):rep(i * 300) .. "return 1 %\\n\\n 0"))
            pcall(load("local a\\n=\\nnil\\nreturn a\\n..\\n{}"))
        end""",
    "C06 more than 255 constants with bit operations": """
        local t = {}
        for i = 1, 400 do t[i] = "x" .. i .. " = " .. i + 1000 end
        t[#t + 1] = "local a = 7 return a & 5000, a | 5001, a ~ 5002, 5003 & a"
        local a, b, c, d = load(table.concat(t, "\\n"))()
        assert(math.type(a) == "integer")""",
    "C06 comparison as an index": """
        local t = {[true] = "t", [false] = "f"}
        local a, b = 1, 2
        return t[a < b] .. t[a > b] .. t[a == b]""",
    "C07 a deep stack": """
        local function f(n) if n == 0 then return 0 end return 1 + f(n - 1) end
        return f(150000)""",
    "C07 recursion without end": """
        local function f() return 1 + f() end
        for i = 1, 20 do pcall(f) end""",
    "C07 errors while handling errors": """
        local function f() return f() + 1 end
        for i = 1, 20 do xpcall(f, f) end""",
    "C07 sort with no order": """
        local t = {} for i = 1, 2000 do t[i] = i * 7919 % 2003 end
        table.sort(t, function(a, b) return true end)
        table.sort(t, function(a, b) return a ~= b end)
        for i = 1, 50 do
            pcall(table.sort, t, function(a, b) t[i] = nil t = {} return a < b end)
        end""",
    "C08 weak tables that change their minds": """
        for round = 1, 30 do
            local t = setmetatable({}, {__mode = "k"})
            for i = 1, 2000 do
                t[{}] = {t}
                if i % 100 == 0 then
                    setmetatable(t, {__mode = i % 200 == 0 and "v" or "kv"})
                    local _ = ("x"):rep(100000) .. i
                end
            end
        end""",
    "C08 constructors with nil": """
        for i = 1, 200 do
            local t = {nil, nil, nil, i, nil, table.unpack({}, 1, 200)}
            local u = {n = nil, m = nil, table.unpack({1, 2, nil, 4}, 1, 250)}
            t[#t + 1], u[#u + 1] = 1, 2
            for k = 1, 300 do t[k], u[k] = nil, nil end
        end""",
    "C08 the traversed table grows": """
        local t = {1, 2, 3}
        pcall(function() for k in pairs(t) do
            for i = 1, 100 do t[i .. "x"] = true end t[k] = nil end end)
        pcall(next, t, "not there")""",
    "C09 format and pack at their edges": """
        for _, f in ipairs{"%99.99f", "%-+ #0099.99d", "%c", "%a", "%q", "%i", "%5%"} do
            for _, v in ipairs{math.huge, -math.huge, 0/0, math.mininteger,
                               math.maxinteger, 1.7976931348623157e308, "x", {}} do
                pcall(string.format, f, v)
            end
        end
        for _, f in ipairs{"s8", "!16 i16", "z", "Xi8", "i17", "s1", "j" , "<!8 s4 Xd"} do
            pcall(string.pack, f, ("x"):rep(300), 1, 2)
            pcall(string.unpack, f, "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x7f", -1)
            pcall(string.unpack, f, "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x7f")
            pcall(string.packsize, ("i16"):rep(10000))
        end""",
    "C09 numbers as text": """
        for _, s in ipairs{("1"):rep(300000), "0x" .. ("f"):rep(300000), "1e" ..
                           ("9"):rep(1000), "0x1p" .. ("9"):rep(1000), "-nan", "inf",
                           ("0"):rep(300000) .. "x"} do
            tonumber(s) pcall(function() return s + 1 end) pcall(tonumber, s, 36)
        end
        return 1 << 64 | 1 >> -1 | math.mininteger // -1 | math.mininteger % -1""",
    "C09 dates": """
        for _, n in ipairs{0, -1, 1 << 62, math.mininteger, 6e15, -6e15, 0/0, 1e300} do
            pcall(os.date, "%c %G %V %j %U %W %s", n) pcall(os.date, "!*t", n)
            pcall(os.time, {year = n, month = n, day = n, hour = n, min = n, sec = n})
        end
        pcall(os.date, ("%"):rep(99)) pcall(os.date, "%E") pcall(os.date, "%O")""",
}


@pytest.mark.parametrize("name", CHAINS)
def test_c02_source_that_would_recurse(bed, name):
    source, text = CHAINS[name]
    returned = bed.attack(f"return select(2, load({source}))", "slow").fine().returned
    assert text in returned


@pytest.mark.parametrize("name", CHAINS)
def test_c02_as_a_file_of_the_script(bed, name):
    """What a script says about its own files goes the same way."""
    source, _ = CHAINS[name]
    bed.attack(f"""
        local f = load({source})
        if f then pcall(f) end
        return "alive" """, "slow").value("alive")


@pytest.mark.parametrize("name", CONTAINED)
def test_is_contained(bed, name):
    bed.attack(CONTAINED[name], "slow").contained()


def test_c04_closing_calls_no_handler_that_is_gone(bed):
    bed.attack(HANDLER, "slow").value("inner")


def test_c01_ends_with_an_ordinary_error(bed):
    text = bed.attack("""
        local inner, said
        for i = 1, 5000 do
            local last = inner
            inner = coroutine.create(function()
                local x <close> = setmetatable({}, {__close = function()
                    local ok, why = coroutine.close(last or coroutine.create(print))
                    if not ok then said = why end end})
                coroutine.yield()
            end)
            coroutine.resume(inner)
        end
        coroutine.close(inner)
        return said""", "slow").fine().returned
    assert "C stack overflow" in text


BINARY = {
    "C05 no dump": ("return string.dump", None),
    "C05 the first byte": ("return select(2, load('\\27Lua'))", "binary chunk"),
    "C05 in pieces": ("""
        local n = 0
        return select(2, load(function()
            n = n + 1 return ({"\\27", "Lua"})[n] end))""", "binary chunk"),
    "C05 mode b": ("return select(2, load('return 1', 'x', 'b'))", "text chunk"),
    "C05 asked for": ("return select(2, load('\\27Lua', 'x', 'b'))", "binary chunk"),
    "C05 after a byte order mark": ("return load('\\xef\\xbb\\xbf\\27Lua')", None),
    "C05 after a first line": ("return load('#!x\\n\\27Lua')", None),
    "C05 loadstring": ("return select(2, loadstring('\\27Lua'))", "binary chunk"),
}


@pytest.mark.parametrize("name", BINARY)
def test_c05_bytecode_is_denied(bed, name):
    source, text = BINARY[name]
    returned = bed.attack(source).fine().returned
    assert text in returned if text else returned is None


def test_c05_mutants_of_bytecode(bed):
    """3,000 of them, 500 in each event: as they are, and behind what load()
    skips. None is ever run."""
    from base64 import b64encode
    dice = random.Random(5)
    chunk = bytearray(b"\x1bLua\x54\x00\x19\x93\r\n\x1a\n\x04\x08\x08\x78\x56"
                      + bytes(6) + b"\x28\x77\x40\x01\x80\x80\x80\x00\x01\x02"
                      + bytes(dice.randrange(256) for _ in range(120)))
    for _ in range(6):
        mutants = []
        for _ in range(500):
            one = bytearray(chunk)
            for _ in range(dice.randrange(1, 9)):
                one[dice.randrange(4, len(one))] = dice.randrange(256)
            start = dice.choice([b"", b"", b"\xef\xbb\xbf", b"#x\n"])
            mutants.append(b64encode(start + one).decode())
        bed.attack("""
            local n = 0
            for one in ("%s"):gmatch("%%S+") do
                local text, sent = base64.decode(one), false
                n = n + (load(text) and 1 or 0)
                n = n + (load(function()
                    if not sent then sent = true return text end end, "x", "bt")
                    and 1 or 0)
            end
            return n""" % " ".join(mutants), "slow").value("0")
