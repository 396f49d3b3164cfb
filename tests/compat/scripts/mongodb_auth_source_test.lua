-- SPDX-License-Identifier: Apache-2.0
--
-- mongodb: a user of another database than admin.

local pool = "auth_source_test"

assert(mongodb.ensure_pool{pool_id = pool, auth_source = "core", @SETTINGS@}
       == true)
local doc = mongodb.insert(pool, "things", {name = "stone"})
assert(mongodb.find_one(pool, "things", {_id = doc._id}).name == "stone")
assert(mongodb.ensure_pool{pool_id = "wrong", auth_source = "elsewhere",
                           @SETTINGS@} == true)
assert(not pcall(mongodb.find_one, "wrong", "things", {}))

hooks = {auth_on_register = function(reg)
    return mongodb.find_one(pool, "things", {name = "stone"}).name == "stone"
end}
