# SPDX-License-Identifier: Apache-2.0
"""Corpus E: what a script tries through the API, and what an event tries on a
script. E01, forged frames, is tests/integration/test_forged.py; E05, data
providers, is tests/integration/test_gateway.py and tests/compat/
test_provider_cases.py and test_database_cases.py."""

import re

import pytest

ADDRESS = re.compile(r"0x[0-9a-f]{9,}|[0-9a-f]{12,}")


def returned(bed, source, script="attack", **more):
    return bed.attack(source, script, **more).fine().returned


# --- E02: kv

KEYS = {
    "NUL": r'"a\0b"', "a slash": '"/"', "dots": '"../../x"', "empty": '""',
    "all bytes": '(function() local t = {} for i = 0, 255 do t[#t + 1] = '
                 'string.char(i) end return table.concat(t) end)()',
    "high bytes": r'"\xff\xff\xff\xff"', "a prefix of the store's": r'"k\0"',
    "as long as may be": '("k"):rep(1024)', "a number": "12",
}


@pytest.mark.parametrize("name", KEYS)
def test_e02_odd_keys_are_only_keys(bed, name):
    key = KEYS[name]
    got = bed.attack(f"""
        local k = {key}
        local ok, why = kv.set(k, "mine")
        return tostring(ok) .. tostring(kv.get(k)) .. tostring(why)""").returned
    if name == "empty":     # no key at all
        assert "mine" not in got or "true" in got
        return
    assert got == "truemine" "nil"
    assert returned(bed, f"return kv.get({key})") == "mine"
    assert returned(bed, f"""
        local n = 0 for k in pairs(kv.list({key})) do n = n + 1 end
        kv.delete({key}) return n""") == "1"


def test_e02_a_scan_of_everything_shows_scripts_keys_only(bed):
    bed.attack("for i = 1, 5 do kv.set('scan' .. i, i) bus.emit('e', i) end "
               "artifacts.write('seen', 'x')").fine()
    keys = returned(bed, """
        local t = {} for k in pairs(kv.list("")) do t[#t + 1] = k end
        table.sort(t) return table.concat(t, " ")""")
    assert set(keys.split()) >= {f"scan{i}" for i in range(1, 6)}
    assert "seen" not in keys and "\0" not in keys
    bed.attack("for i = 1, 5 do kv.delete('scan' .. i) end").fine()


def test_e02_no_path_into_another_space(bed):
    assert returned(bed, """
        local r = {}
        for _, p in ipairs{"\\0", "k\\0", "a\\0", "m\\0", "b\\0", "c", "p", "\\xff"} do
            for k in pairs(kv.list(p) or {}) do r[#r + 1] = p .. k end
        end
        return #r""") == "0"


# --- E03: artifacts and data

NAMES = ["../x", "/etc/passwd", "a/../../../x", "./x", "x\\0y", "x\\ny", "",
         ".", "..", "/", "a//b", "x/", "\\xff\\xfe", "CON", "~root/x", "%2e%2e/x"]


@pytest.mark.parametrize("name", NAMES)
def test_e03_names_of_artifacts_stay_inside(bed, name):
    bed.attack(f"""
        local n = "{name}"
        if artifacts.write(n, "content") then
            assert(artifacts.read(n) == "content")
        end""").fine()
    listed = returned(bed, 'return table.concat(artifacts.list(), "|")')
    assert not re.search(r"(^|[/|])\.\.?($|[/|])", listed), listed
    assert "\0" not in listed and "|/" not in listed
    bed.attack("for _, n in ipairs(artifacts.list()) do artifacts.delete(n) end").fine()
    files = {p.name for p in bed.broker.dir.iterdir()}
    assert "x" not in files and not (bed.broker.dir.parent / "x").exists()


@pytest.mark.parametrize("name", ["../pinfold.yaml", "/etc/passwd", "../../etc/passwd",
                                  "a.txt/../../pinfold.yaml", ".", "link", "link/passwd",
                                  "dir/up/pinfold.yaml"])
def test_e03_data_stays_inside(bed, name):
    data = bed.broker.dir / "data_store"
    if not (data / "link").is_symlink():
        (data / "link").symlink_to("/etc")
        (data / "dir").mkdir()
        (data / "dir/up").symlink_to("../..")
    try:
        got = returned(bed, f"""
            local text = data_store.read("{name}")
            return tostring(text) .. #(data_store.list("{name}") or "")""")
    finally:
        for link in ("link", "dir/up"):
            (data / link).unlink()
        (data / "dir").rmdir()
    assert "root:" not in got and "listen" not in got


def test_e03_data_with_a_list_of_any_length(bed):
    holes = "{" + ", ".join(f"[1 << {i}] = 1" for i in range(62)) + "}"
    assert returned(bed, f"""
        local t = {holes}
        assert(#t > 1 << 40)
        return type(data_store.list("", t))""") == "table"


def test_e03_rename_over_and_onto_itself(bed):
    assert returned(bed, """
        artifacts.write("a", "1") artifacts.write("b", "2") artifacts.write("d/e", "3")
        local r = {}
        for _, p in ipairs{{"a", "b"}, {"a", "a"}, {"d", "d/f"}, {"a", "../b"},
                           {"a", "d"}, {"none", "x"}, {"a", "a/b"}, {"", "x"}} do
            r[#r + 1] = tostring((artifacts.rename(p[1], p[2])))
        end
        return table.concat(r, " ") .. table.concat(artifacts.list(), "|")""") == \
        "false false false false false false false falsea|b|d/e"
    assert returned(bed, """
        for _, n in ipairs(artifacts.list()) do artifacts.delete(n) end
        return #artifacts.list()""") == "0"


def test_e03_very_many_renames(bed):
    bed.attack("""
        artifacts.write("f0", "x")
        for i = 1, 998 do assert(artifacts.rename("f" .. i - 1, "f" .. i)) end
        assert(artifacts.read("f998") == "x" and #artifacts.list() == 1)
        error("nothing of this stays")""", "slow").raises("nothing of this stays")
    assert returned(bed, "return #artifacts.list()") == "0"


# --- E06: addresses and time

def test_e06_no_address_in_any_text(bed):
    text = returned(bed, """
        local co = coroutine.create(print)
        local t, f = {}, function() end
        local r = {tostring(t), tostring(f), tostring(print), tostring(co),
                   string.format("%p %p %p %s", t, print, co, f), tostring(string),
                   tostring(_G), tostring(ctx), tostring(ctx.req), tostring(mut),
                   tostring(mut.req.set_path), tostring(kv), debug.traceback(),
                   tostring(coroutine.running()), json.encode(print),
                   json.encode{[t] = f}, json.encode{[print] = co}}
        for _, v in ipairs{t, print, co, f} do
            r[#r + 1] = tostring(select(2, pcall(function() return v + 1 end)))
            r[#r + 1] = tostring(select(2, pcall(error, v)))
            r[#r + 1] = tostring(select(2, pcall(function() return #v < v end)))
        end
        return table.concat(r, "\\n")""")
    assert not ADDRESS.search(text), text
    assert text.splitlines()[0] == "table: 0x00000001"


def test_e06_no_address_in_what_leaves(bed):
    outcome = bed.attack("print({}, print) log.info('x', {t = {}, [print] = _G}) "
                         "error({})")
    assert outcome.message == "(error object is a table value)"
    outcome = bed.attack("error(tostring(print) .. tostring({}))")
    assert not ADDRESS.search(outcome.message + outcome.traceback)
    for line in bed.log().splitlines()[-20:]:
        assert not re.search(r"0x[0-9a-f]{9,}", line), line


def test_e06_the_same_numbers_in_each_event(bed):
    source = "return tostring({}) .. tostring(print)"
    assert returned(bed, source) == returned(bed, source)


def test_e06_clocks_have_a_grain_of_a_millisecond(bed):
    assert returned(bed, """
        local fine = 0
        for i = 1, 20000 do
            local c = os.clock() * 1000
            if math.abs(c - math.floor(c + 0.5)) > 1e-6 then fine = fine + 1 end
            if os.time() % 1 ~= 0 or time.unix() % 1 ~= 0 then fine = fine + 1 end
        end
        return fine""", "slow") == "0"


def test_e06_random_numbers_are_not_told_by_the_last_event(bed):
    seen = {returned(bed, "return math.random(0)") for _ in range(20)}
    assert len(seen) == 20
    bed.attack("math.randomseed(42)").fine()
    a = returned(bed, "return math.random(0)")
    bed.attack("math.randomseed(42)").fine()
    assert a != returned(bed, "return math.random(0)")


# --- E07: what the libraries stand on

POISON = {
    "string's metatable": """
        assert(not getmetatable("")) assert(not pcall(setmetatable, "", {}))""",
    "string's functions": """
        string.rep = nil string.format = error string.len = ctx string.gsub = kv
        string.upper = function() return "poison" end
        assert(("x"):upper() == "poison")""",
    "rawset on libraries": """
        for _, t in ipairs{string, table, math, json, kv, mut, mut.req, log, os,
                           coroutine, utf8, base64, artifacts, data_store, debug} do
            rawset(t, "poison", ctx)
            for k in next, t do rawset(t, k, error) end
        end""",
    "metatables of libraries": """
        for _, t in ipairs{string, table, math, json, kv, log, os, _G} do
            assert(not getmetatable(t))
            setmetatable(t, {__index = function() return "poison" end})
        end""",
    "the environment": """
        assert(not getmetatable(_G))
        for k in pairs(_G) do if k ~= "_G" then _G[k] = "poison" end end
        setmetatable(_G, {__index = error, __newindex = error})""",
    "_ENV": "_ENV = setmetatable({}, {__index = _G, __newindex = _G}) print = 1 x = 2",
    "what load gives": """
        load("string.rep = 1 leak = 2 _G.tostring = 3")()
        load("leak2 = 1", "x", "t", _G)()""",
    "a module": """
        local m = require "lib.state" m.leak = ctx secret = "x"
        require("string").rep = 1 require("lib.state").more = mut""",
    "config and mut": """
        config.leak = 1 mut.leak = 2 mut.req.leak = 3 mut.req.set_path = error
        ctx.leak = 4 ctx.req.headers.leak = {"x"}""",
    "a coroutine left waiting": """
        left = coroutine.create(function() local c = ctx coroutine.yield(c) end)
        coroutine.resume(left)
        require("lib.state").left = left""",
    "a traceback that was kept": """
        pcall(string.gsub, "x", ".", function()
            xpcall(function() error("secret_of_one") end, function() end) end)
        coroutine.wrap(function() pcall(error, "x") end)()""",
}
PRISTINE = """
local r = {}
local function see(ok) r[#r + 1] = ok and "." or tostring(#r) end
see(("x"):rep(2) == "xx" and ("x"):upper() == "X" and string.format("%d", 3) == "3")
see(type(tostring) == "function" and type(print) == "function")
for _, t in ipairs{string, table, math, json, kv, mut, mut.req, log, os, coroutine,
                   utf8, base64, artifacts, data_store, debug, config, _G} do
    see(rawget(t, "poison") == nil and t.poison == nil and t.leak == nil)
    for k, v in pairs(t) do if v == error and k ~= "error" then see(false) end end
end
see(leak == nil and leak2 == nil and left == nil and x == nil and seen == nil)
see(secret == nil)
local m = require "lib.state"
see(next(m) == nil and secret == 0 and require("string").rep("x", 2) == "xx")
see(rawget(ctx, "leak") == nil and ctx.req.headers.leak == nil)
see(not debug.traceback():find("secret"))
see(not coroutine.wrap(function()
    return select(2, xpcall(error, debug.traceback, "x")) end)():find("secret"))
see(not getmetatable(_G) and not getmetatable("") and not getmetatable(string))
see(table.concat({1, 2}, ",") == "1,2" and json.encode{a = 1} == '{"a":1}')
return (table.concat(r):gsub("^%.+$", "clean"))
"""


@pytest.mark.parametrize("script", ["attack", "lanes"])
@pytest.mark.parametrize("name", POISON)
def test_e07_nothing_of_an_event_reaches_the_next(bed, name, script):
    for ending in ("", "\nerror('and fail')", "\nwhile true do end"):
        answer = bed.send(POISON[name] + ending, script)
        assert getattr(answer, "code", "ok") in ("ok", "timeout", "script_error")
        assert bed.send("return 1", script) is not None
        assert bed.attack(PRISTINE, script).fine().returned == "clean"


def test_e07_a_kept_traceback_is_the_runs_own(bed):
    """A run that is stopped inside xpcall, below a C function, has left its
    traceback; the next one must not be given it."""
    bed.attack("""
        local function secret_name()
            (("x")):gsub(".", function()
                xpcall(function() while true do end end, print) end)
        end
        secret_name()""").late()
    text = returned(bed, """
        return coroutine.wrap(function()
            return select(2, xpcall(error, debug.traceback, "x")) end)()""")
    assert "secret_name" not in text and "gsub" not in text


def test_e07_kept_globals_are_the_one_thing_kept(bed):
    """globals: script. The environment stays, the event does not."""
    bed.attack("""
        keep = {ctx = ctx, req = ctx.req, headers = ctx.req.headers, mut = mut,
                set = mut.req.set_path, n = 1}
        local _ = ctx.req.headers.A""", "keeper", headers=[["A", "old"]]).fine()
    got = returned(bed, """
        local r = {keep.n}
        for _, f in ipairs{function() return keep.ctx.id end,
                           function() return keep.req.path end,
                           function() return keep.headers.A end,
                           function() keep.ctx.x = 1 end,
                           function() for _ in pairs(keep.req) do end end,
                           function() return json.encode(keep.headers):upper() end} do
            local ok, why = pcall(f)
            r[#r + 1] = ok and "alive" or why:match("this event is over") or why
        end
        keep.set("/old") keep.mut.req.set_path("/older")
        r[#r + 1] = ctx.req.headers.A[1]
        return table.concat(r, "|")""", "keeper", headers=[["A", "new"]])
    alive = got.split("|")
    assert alive[0] == "1" and alive[-1] == "new"
    assert "alive" not in alive[1:6], got
    assert "old" not in got
    bed.attack("keep = nil", "keeper").fine()


# --- E08: headers of the event and of the script

@pytest.mark.parametrize("value", ["a\\r\\nX-Evil: 1", "a\\nb", "a\\rb", "a\\0b",
                                   "\\r\\n"])
def test_e08_no_header_is_split(bed, value):
    for call in (f'mut.req.set_header("X-A", "{value}")',
                 f'mut.req.add_header("X-A", "{value}")',
                 f'mut.resp.set_header("X-A", "{value}")',
                 f'mut.resp.set_cookie{{name = "a", value = "{value}"}}',
                 f'mut.resp.set_cookie{{name = "a", value = "b", path = "{value}"}}',
                 f'mut.req.set_cookie{{name = "{value}", value = "b"}}',
                 f'mut.req.set_header("{value}", "x")',
                 f'mut.req.del_header("{value}")',
                 f'mut.req.set_host("{value}")', f'mut.req.set_method("{value}")',
                 f'mut.req.set_url("http://h/{value}")', f'mut.req.set_query("{value}")',
                 f'mut.req.set_scheme("{value}")'):
        outcome = bed.attack(call)
        assert outcome.code == "script_error", (call, outcome)


COUNT = "local n = 0 for k in pairs(ctx.req.headers) do n = n + 1 end return n"


def test_e08_a_hundred_thousand_headers(bed):
    headers = [[f"X-{i}", "v"] for i in range(100000)]
    assert returned(bed, COUNT, headers=headers) == "100000"
    assert returned(bed, "return ctx.req.headers['x-99999'][1]",
                    headers=headers) == "v"
    bed.attack("return json.encode(ctx)", headers=headers).contained()


def test_e08_names_that_collide(bed):
    assert returned(bed, COUNT, headers=[["Same", "v"]] * 100000) == "1"
    cases = [[f"{'x' * (i % 97)}-{'Y' * (i % 89)}", "v"] for i in range(10000)]
    assert int(returned(bed, COUNT, headers=cases)) <= 97 * 89
    assert returned(bed, "return #ctx.req.headers.A",
                    headers=[["a", "1"], ["A", "2"], ["a", "3"]] * 1000) == "3000"


@pytest.mark.parametrize("more", [
    {"headers": [["cookie", "a=b; " * 100000]]},
    {"headers": [["cookie", "a"]] * 50000},
    {"url": "http://a/?" + "&".join(f"a{i}=b" for i in range(200000))},
    {"url": "http://a/?" + "a&" * 500000},
    {"headers": [[chr(0x100 + i % 5000), "v"] for i in range(20000)]},
    {"headers": [["X" * 5000, "v" * 500000]]},
    {"headers": {"A": ["1"] * 50000}}, {"headers": 7}, {"headers": [1, 2]},
    {"headers": [["a"]]}, {"query": {"a": {"b": {"c": 1}}}}, {"path": b"\xff\0\r\n"},
    {"method": "x" * 100000}, {"remote_addr": None}, {"cookies": [[]]},
])
def test_e08_whatever_a_client_sends_the_worker_lives(bed, more):
    outcome = bed.attack("""
        local n = 0
        for _, t in ipairs{ctx.req.cookies or {}, ctx.req.query, ctx.req.headers} do
            for _ in pairs(t) do n = n + 1 end
        end
        return n""", "slow", **more)
    assert outcome.same and outcome.code in (None, "script_error"), outcome


def test_e08_bytes_that_are_no_text(bed):
    got = returned(bed, "return json.encode(ctx.req.headers)",
                   headers=[["a\0b", "c\r\nd"], [b"\xff", b"\xff\xfe"], ["", "x"]])
    assert got == '{"":["x"],"a\\u0000b":["c\\r\\nd"],"\\ufffd":["\\ufffd\\ufffd"]}'
