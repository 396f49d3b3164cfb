-- SPDX-License-Identifier: Apache-2.0
--
-- mongodb: documents in and out, cursors. Its settings are the test's.

local pool, coll = "mongodb_test", "people"

assert(mongodb.ensure_pool{pool_id = pool, @SETTINGS@} == true)
assert(mongodb.delete(pool, coll, {}) == true)

local ann = mongodb.insert(pool, coll, {first_name = "ann", age = 30})
assert(ann.first_name == "ann" and type(ann._id) == "string")
local both = mongodb.insert(pool, coll, {
    {first_name = "bob", age = 40, tags = {"a", "b"}},
    {first_name = "cy", age = 40, home = {city = "x"}}})
assert(#both == 2 and both[1]._id ~= both[2]._id)

local found = mongodb.find_one(pool, coll, {_id = ann._id})
assert(found.first_name == "ann" and found.age == 30 and found._id == ann._id)
assert(mongodb.find_one(pool, coll, {first_name = "dora"}) == false)
assert(mongodb.find_one(pool, coll, {first_name = "bob"}).tags[2] == "b")
assert(mongodb.find_one(pool, coll, {first_name = "cy"}).home.city == "x")

local cursor = mongodb.find(pool, coll, {age = 40})
local docs = mongodb.take(cursor, 5)
assert(#docs == 2)
assert(mongodb.next(cursor) == false)
assert(mongodb.close(cursor) == true)

assert(mongodb.update(pool, coll, {first_name = "ann"}, {age = 31}) == true)
assert(mongodb.find_one(pool, coll, {_id = ann._id}).age == 31)
assert(mongodb.update(pool, coll, {first_name = "dora"}, {age = 1}) == true)
assert(mongodb.find_one(pool, coll, {first_name = "dora"}) == false)

cursor = mongodb.find(pool, coll, {age = 40},
                      {projector = {first_name = false}})
for _ = 1, 2 do
    local doc = mongodb.next(cursor)
    assert(doc.age == 40 and doc.first_name == nil)
end
assert(mongodb.next(cursor) == false)
assert(mongodb.close(cursor) == true)

assert(mongodb.delete(pool, coll, {age = 40}) == true)
assert(mongodb.find_one(pool, coll, {age = 40}) == false)
assert(mongodb.find_one(pool, coll, {age = 31}).first_name == "ann")

hooks = {auth_on_register = function(reg)
    local doc = mongodb.insert(pool, coll, {client = reg.client_id})
    return mongodb.find_one(pool, coll, {_id = doc._id}).client == reg.client_id
end}
