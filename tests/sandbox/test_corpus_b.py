# SPDX-License-Identifier: Apache-2.0
"""Corpus B: scripts that want all memory. The limit is fail-stop: the worker
ends with 77 at it and nothing of the script runs afterwards. B13, memory taken
by native code, is in test_layers.py and test_forbidden.py."""

import pytest

from holes import FULL

MIB = 1 << 20

OOM = {
    "B01 doubling": "local s = 'x' while true do s = s .. s end",
    "B01 doubling by table.concat": """
        local t = {"x"}
        while true do t[1] = t[1] .. t[1] t = {table.concat(t)} end""",
    "B02 a growing table": "local t = {} for i = 1, 1e9 do t[i] = i end",
    "B02 a growing map": "local t = {} for i = 1, 1e9 do t[i .. ''] = i end",
    "B02 a deep one": "local t = {} while true do t = {t} end",
    "B03 within endless pcall": """
        local t = {}
        while true do pcall(function() while true do t[#t + 1] = {t} end end) end""",
    "B03 and what the handler says": """
        local t = {}
        while true do xpcall(function() while true do t[#t + 1] = {t} end end,
                             function() while true do t[#t + 1] = {t} end end) end""",
    "B04 coroutines": """
        local t = {} while true do t[#t + 1] = coroutine.create(print) end""",
    "B04 coroutines that are begun": """
        local t = {}
        while true do
            local co = coroutine.wrap(function() coroutine.yield() end)
            co() t[#t + 1] = co
        end""",
    "B05 closures": """
        local t = {}
        while true do local x = #t t[#t + 1] = function() x = x + 1 end end""",
    "B05 compiled chunks": """
        local t = {} while true do t[#t + 1] = load("return " .. #t) end""",
    "B06 the stack": """
        local function f() return 1 + f() end
        local t = {} for i = 1, 1e9 do pcall(f) t[i] = ("x"):rep(1000000) .. i end""",
    "B07 when something is closed": """
        local t = {}
        pcall(function()
            local x <close> = setmetatable({}, {__close = function()
                while true do t[#t + 1] = {} end end})
            error("now")
        end)""",
    "B11 full, then a new key of a weakly held table": FULL,
    "B11 a finished table whose set grows": """
        local hog = {}
        local t = setmetatable({}, {__newindex = function(t, k, v)
            hog[#hog + 1] = ("x"):rep(4096) .. #hog rawset(t, k, v) end})
        while true do pcall(function() for i = 1, 1e9 do t[i .. "x"] = {} end end) end""",
}

# Cut off by a limit of ours, catchable, and the worker lives.
LIMIT = {
    "B12 a value": ("return select(2, kv.set('k', ('v'):rep(1048577)))",
                    "too_large: the value has 1048577 bytes"),
    "B12 a key": ("return select(2, kv.set(('k'):rep(1025), 'v'))",
                  "too_large: the key has 1025 bytes"),
    "B12 keys that are read": ("""
        local long, r = ("k"):rep(18 << 20), {}
        for i, f in ipairs{kv.get, kv.get_base64, kv.list, kv.incr, kv.delete,
                           function(k) return kv.cas("k", k, "x") end,
                           function(k) return kv.cas("k", nil, k) end} do
            local no, why = f(long)
            r[i] = not no and why:find("^too_large") and "no" or "yes"
        end
        return table.concat(r, " ")""", "no no no no no no no"),
    "B12 names": ("""
        local long, r = ("a/"):rep(9 << 20), {}
        for _, f in ipairs{artifacts.read, artifacts.exists, artifacts.delete,
                           data_store.read, data_store.exists, data_store.list,
                           bus.emit} do
            r[#r + 1] = type(f(long))
        end
        return table.concat(r, " ")""", None),
    "B12 effects": ("for i = 1, 1001 do kv.set('k' .. i, 'v') end",
                    "!too_large: the effects of one run"),
    "B12 bytes of effects": ("""
        for i = 1, 5 do kv.set("k" .. i, ("v"):rep(1000000)) end""",
                             "!too_large: the effects of one run"),
    "B12 ops": ("for i = 1, 10001 do mut.req.add_header('X-A', '1') end",
                "!too_large: the mutations of one run"),
    "B12 ops of several kinds": ("""
        for i = 1, 10000 do mut.req.add_header("X-" .. i, "1") end
        mut.req.set_method("PUT")""", "!too_large: one run may end with"),
    "B12 ops and cookies": ("""
        for i = 1, 9000 do
            mut.resp.add_header("A", "b")
            mut.resp.set_cookie{name = "c" .. i, value = "1"}
        end""", "!too_large: one run may end with"),
    "B12 bytes of cookies": ("""
        for i = 1, 5000 do
            mut.resp.set_cookie{name = "c" .. i, value = ("v"):rep(2000)}
        end""", "!too_large: one run may end with"),
    "B12 a body and effects": ("""
        mut.req.set_body(("x"):rep(15 << 20))
        for i = 1, 4 do kv.set("k" .. i, ("v"):rep(1000000)) end""",
                               "!too_large: one run may end with"),
    "B12 a body": ("return select(2, pcall(mut.req.set_body, ('x'):rep(16 << 20)))",
                   "too_large: the mutations of one run"),
    "B12 depth of an event": ("""
        local t = {} for i = 1, 20 do t = {t} end return bus.emit("x", t)""",
                              "nested too deep"),
    "B12 a cycle": ("local t = {} t.t = t return bus.emit('x', t)",
                    "nested too deep"),
    "B12 functions": ("return bus.emit('x', {print})", "functions and threads"),
    "B07 a gsub that grows": ("""
        local s = ("x"):rep(2 << 20)
        return select(2, pcall(string.gsub, s, ".", ("%0"):rep(20)))""",
                              "not enough memory"),
    "B12 random bytes": ("return select(2, pcall(crypto.random, 1 << 40))",
                         "must be from 0 to 1048576"),
}


@pytest.mark.parametrize("name", OOM)
def test_the_limit_is_fail_stop(bed, name):
    bed.attack(OOM[name], "slow").oom()


@pytest.mark.parametrize("name", LIMIT)
def test_is_cut_off_by_a_limit(bed, name):
    source, text = LIMIT[name]
    outcome = bed.attack(source, "slow")
    if text is None:
        outcome.fine()
    elif text[0] == "!":
        outcome.raises(text[1:])
    else:
        assert text in outcome.fine().returned
    assert not [op for op in outcome.ops if op[1] != "X-R"]


def test_b12_up_to_the_limit_all_is_well(bed):
    outcome = bed.attack("""
        for i = 1, 999 do kv.set("k" .. i, ("v"):rep(4000)) end
        kv.set(("k"):rep(1024), "v")
        for i = 1, 9998 do mut.req.add_header("X-" .. i, ("v"):rep(100)) end
        mut.req.set_body(("x"):rep(1 << 20)) mut.req.set_method("PUT")""",
                         "slow").fine()
    assert len(outcome.ops) == 10000
    bed.attack("for i = 1, 999 do kv.delete('k' .. i) end").fine()


def test_b12_a_value_that_does_not_fit_leaves_the_last_one(bed):
    outcome = bed.attack("""
        mut.req.set_body("abc")
        pcall(mut.req.set_body, ("x"):rep(17 << 20))
        mut.req.set_header("X-A", "other bytes")""", "slow").fine()
    assert outcome.ops == [["req.set_body", "abc"],
                           ["req.set_header", "X-A", "other bytes"]]


@pytest.mark.parametrize("line", [
    "for i = 1, 1000000 do log.info('x') end",
    "for i = 1, 100000 do print(i, {}, nil) end",
    "for i = 1, 10 do log.info(('x'):rep(10 << 20)) print(('y'):rep(10 << 20)) end",
    """local t = {} for i = 1, 100 do t[("k"):rep(70000) .. i] = ("v"):rep(70000) end
       for i = 1, 20 do log.info("x", t) end""",
])
def test_b12_log_floods(bed, line):
    bed.broker.wait_log("")
    size = bed.broker.log_file.stat().st_size
    bed.attack(line, "slow").fine()
    # 1,000 lines a second of at most 64 KiB; here it is over in a few seconds.
    assert bed.broker.log_file.stat().st_size - size < 512 * MIB
    bed.broker.log_file.write_bytes(b"")


def test_b14_garbage_is_no_reason_to_die(bed):
    bed.attack("""
        local n = 0
        for i = 1, 3000 do n = n + #(("x"):rep(100000) .. i) end
        for i = 1, 200000 do local _ = {i, {i}} end
        return n > 0""", "slow").value("true")


def test_b15_one_event_leaves_nothing_to_the_next(bed):
    before = int(float(bed.attack("return collectgarbage('count')", "slow").returned))
    for _ in range(20):
        bed.attack("leak = {} for i = 1, 50000 do leak[i] = {} end", "slow").fine()
    after = int(float(bed.attack("return collectgarbage('count')", "slow").returned))
    assert after < before + 16 * 1024
