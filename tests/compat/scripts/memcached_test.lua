-- SPDX-License-Identifier: Apache-2.0
--
-- memcached: every call, and an entry that expires. @PORT@ is the test's server.

local pool = "memcached_test"

assert(memcached.ensure_pool{pool_id = pool, host = "127.0.0.1",
                             port = @PORT@} == true)
assert(memcached.flush_all(pool) == true)
assert(memcached.get(pool, "unknown key") == false)
assert(memcached.set(pool, "key", "value") == "value")
assert(memcached.get(pool, "key") == "value")
assert(memcached.add(pool, "key", "other") == false)
assert(memcached.add(pool, "other key", "other") == "other")
assert(memcached.get(pool, "other key") == "other")
assert(memcached.replace(pool, "key", "new") == "new")
assert(memcached.get(pool, "key") == "new")
assert(memcached.replace(pool, "unknown key", "x") == false)
assert(memcached.delete(pool, "key") == true)
assert(memcached.delete(pool, "key") == false)
assert(memcached.get(pool, "key") == false)

assert(memcached.set(pool, "short", "life", 1) == "life")
local start = os.clock()
while os.clock() - start < 2 do
end
-- Its own clock may be late on a machine that is busy.
while memcached.get(pool, "short") do
end

hooks = {auth_on_register = function(reg)
    return memcached.set(pool, reg.client_id, "here") == "here"
        and memcached.get(pool, reg.client_id) == "here"
end}
