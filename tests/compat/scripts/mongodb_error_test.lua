-- SPDX-License-Identifier: Apache-2.0
--
-- mongodb: nobody listens on @PORT@; the file loads all the same.

assert(mongodb.ensure_pool{pool_id = "dead_mongodb", host = "127.0.0.1",
                           port = @PORT@, database = "none"} == true)

hooks = {auth_on_register = function(reg)
    return mongodb.find_one("dead_mongodb", "people", {name = reg.client_id})
        ~= false
end}
