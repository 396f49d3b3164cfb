-- SPDX-License-Identifier: Apache-2.0
--
-- kv: VerneMQ's ETS tables.

local function only(list, value)
    assert(#list == 1 and list[1] == value, "not just " .. tostring(value))
end

assert(kv.ensure_table{name = "test", type = "set"} == true)
assert(kv.ensure_table{name = "test", type = "set"} == true)
assert(kv.insert("test", {key_a = "a", key_b = 2, key_c = true}) == true)
only(kv.lookup("test", "key_a"), "a")
only(kv.lookup("test", "key_b"), 2)
only(kv.lookup("test", "key_c"), true)
assert(#kv.lookup("test", "key_d") == 0)

assert(kv.insert("test", {key_a = "b"}) == true)
only(kv.lookup("test", "key_a"), "b")
assert(kv.insert_new("test", {key_a = "c", key_d = 1}) == false)
only(kv.lookup("test", "key_a"), "b")
assert(#kv.lookup("test", "key_d") == 0)
assert(kv.insert_new("test", {key_d = 1, key_e = 2}) == true)
only(kv.lookup("test", "key_e"), 2)

local nested = {name = "n", list = {1, {two = 2}, "three"}}
assert(kv.insert("test", {nested = nested}) == true)
nested.name = "changed afterwards"
local found = kv.lookup("test", "nested")[1]
assert(found.name == "n" and found.list[2].two == 2 and #found.list == 3)

assert(kv.delete("test", "key_a") == true)
assert(#kv.lookup("test", "key_a") == 0)
assert(kv.delete("test", "key_a") == true)
assert(kv.delete_all("test") == true)
assert(#kv.lookup("test", "key_e") == 0)

assert(kv.ensure_table{name = "many", type = "duplicate_bag"} == true)
for _ = 1, 3 do
    assert(kv.insert("many", {k = "same"}))
end
assert(#kv.lookup("many", "k") == 3)
assert(kv.ensure_table{name = "sorted", type = "ordered_set"} == true)
assert(kv.insert("sorted", {k = 1}) and kv.insert("sorted", {k = 2}))
only(kv.lookup("sorted", "k"), 2)

hooks = {auth_on_register = function(reg)
    kv.insert("test", {[reg.client_id] = {user = reg.username}})
    return kv.lookup("test", reg.client_id)[1].user == reg.username
end}
