-- SPDX-License-Identifier: Apache-2.0
--
-- redis: strings, counters, lists, hashes, sets. @PORT@ is the test's server.

local pool = "redis_test"

assert(redis.ensure_pool{pool_id = pool, host = "127.0.0.1", port = @PORT@}
       == true)

local function is(expected, command, ...)
    local got = redis.cmd(pool, command, ...)
    assert(got == expected, command .. ": " .. tostring(got))
end

local function list(expected, command, ...)
    local got = redis.cmd(pool, command, ...)
    assert(type(got) == "table" and #got == #expected, command)
    for i, value in ipairs(expected) do
        assert(got[i] == value, command .. ": " .. tostring(got[i]))
    end
end

is(true, "FLUSHDB")
is("PONG", "ping")
-- strings
is(true, "set hello world")
is("world", "get hello")
is(true, "set", "two words", "are one key")
is("are one key", "get", "two words")
is("1", "exists hello")
is("0", "exists nothing")
is(nil, "get nothing")
is(true, "set", "once", "1", "NX")
is(nil, "set", "once", "2", "NX")
is("1", "get once")
is("5", "strlen hello")
is("11", "append hello", " again")
is("world again", "get hello")
is("world again", "getset hello", "new")
is(true, "mset", "a", "1", "b", "2")
list({"1", "2", "undefined"}, "mget a b nothing")
-- counters are strings
is("101", "incrby counter 101")
is("100", "decr counter")
is("100.5", "incrbyfloat counter 0.5")
-- expiry
is("-1", "ttl hello")
is("1", "expire hello 500")
local ttl = redis.cmd(pool, "ttl hello")
assert(type(ttl) == "string" and tonumber(ttl) > 0 and tonumber(ttl) <= 500)
is("1", "persist hello")
is("-2", "ttl nothing")
-- lists
is("3", "rpush list", "x", "y", "z z")
is("3", "llen list")
list({"x", "y", "z z"}, "lrange list 0 -1")
is("x", "lpop list")
-- hashes and sets
is("2", "hset hash", "f", "1", "g", "2 2")
is("2 2", "hget hash g")
is("3", "hincrby hash f 2")
is("2", "sadd set", "m", "n")
is("0", "sadd set m")
is("1", "sismember set n")
-- what Redis refuses
is(false, "incr hello")
is(false, "nonsense")
is("1", "del hello")

hooks = {auth_on_register = function(reg)
    local key = json.encode{reg.mountpoint, reg.client_id, reg.username}
    return redis.cmd(pool, "set", key, "here") == true
        and redis.cmd(pool, "get", key) == "here"
end}
