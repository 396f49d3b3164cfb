-- SPDX-License-Identifier: Apache-2.0
--
-- auth_cache: while the file is loaded, and what it grants later.

local publish_acl = {
    {pattern = "a/b/c", max_qos = 2},
    {pattern = "a/+/d", max_qos = 1},
    {pattern = "%m/%u/%c/#", allowed_retain = false},
    {pattern = "small", max_payload_size = 5},
    {pattern = "changed", modifiers = {
        topic = "hello/world", payload = "hello", qos = 2, retain = true,
        mountpoint = "override"}},
    {pattern = "changed"},
}
local subscribe_acl = {
    {pattern = "a/#"},
    {pattern = "%u/+", max_qos = 0},
    {pattern = "changed", modifiers = {{"hello/world", 2}}},
}

assert(auth_cache.insert("mp", "c", "u", publish_acl, subscribe_acl) == true)

local function publish(topic, qos, payload, retain)
    return auth_cache.match_publish("mp", "c", topic, qos or 0, payload or "",
                                    retain or false)
end

local function subscribe(topic, qos)
    return auth_cache.match_subscribe("mp", "c", topic, qos or 0)
end

assert(publish("a/b/c", 2) == true)
assert(publish("a/b/c", 2, "payload", true) == true)
assert(publish("a/x/d", 1) == true)
assert(publish("a/x/d", 2) == false)
assert(publish("a/x/y/d") == false)
assert(publish("mp/u/c") == true)
assert(publish("mp/u/c/d/e", 2) == true)
assert(publish("mp/u/c/d/e", 2, "", true) == false)
assert(publish("mp/other/c") == false)
assert(publish("%m/%u/%c") == false)
assert(publish("small", 0, "12345") == true)
assert(publish("small", 0, "123456") == false)
assert(publish("nothing") == false)

local changed = publish("changed")
assert(type(changed) == "table")
assert(changed.topic == "hello/world" and changed.payload == "hello")
assert(changed.qos == 2 and changed.retain == true)
assert(changed.mountpoint == "override")

assert(subscribe("a") == true)
assert(subscribe("a/b/+/#", 2) == true)
assert(subscribe("u/+") == true)
assert(subscribe("u/+", 1) == false)
assert(subscribe("#") == false)
changed = subscribe("changed")
assert(changed[1][1] == "hello/world" and changed[1][2] == 2)

assert(auth_cache.match_publish("mp", "x", "a/b/c", 0, "", false) == false)
assert(auth_cache.match_subscribe("", "c", "a", 0) == false)
assert(not pcall(publish, "a/#"))
assert(not pcall(subscribe, "a/#/b"))
assert(not pcall(auth_cache.insert, "mp", "c", nil, {}, {}))

hooks = {
    auth_on_register = function(reg)
        auth_cache.insert(reg.mountpoint, reg.client_id, reg.username,
                          publish_acl, subscribe_acl)
        return true
    end,
    auth_on_publish = function() return {topic = "asked/lua"} end,
    auth_on_subscribe = function() return {{"asked/lua", 0}} end,
}
