-- SPDX-License-Identifier: Apache-2.0
--
-- json: sorted keys and no spaces, so that its texts can be keys.

local function is(value, text)
    local got = json.encode(value)
    assert(got == text, tostring(got) .. " is not " .. text)
end

is({hello = "world"}, '{"hello":"world"}')
is({"mp", "client", "user"}, '["mp","client","user"]')
is({b = {2, {d = true, c = false}}, a = 1.5, Z = -7},
   '{"Z":-7,"a":1.5,"b":[2,{"c":false,"d":true}]}')
is({}, "{}")
is({list = {}}, '{"list":{}}')

local empty = json.decode("{}")
assert(type(empty) == "table" and next(empty) == nil)
is(empty, "{}")
empty = json.decode("[]")
assert(type(empty) == "table" and #empty == 0 and next(empty) == nil)

local text = '{"a":[1,2,{"b":null}],"n":12.5,"s":"\\"\\u00fc/"}'
local value = json.decode(text)
assert(#value.a == 3 and value.a[3].b == "null" and value.n == 12.5)
assert(value.s == '"\u{fc}/')
assert(json.decode(json.encode(value)).s == value.s)
assert(json.decode("no json") == nil)

hooks = {auth_on_register = function(reg)
    return json.decode(json.encode({[reg.client_id] = true}))[reg.client_id]
end}
