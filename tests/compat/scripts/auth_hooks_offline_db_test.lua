-- SPDX-License-Identifier: Apache-2.0
--
-- Every auth hook asks a database that is not there.

assert(postgres.ensure_pool{pool_id = "offline", host = "127.0.0.1",
                            port = @PORT@} == true)

local function ask(t)
    return #postgres.execute("offline", "SELECT $1::text", t.client_id) == 1
end

hooks = {
    auth_on_register = ask, auth_on_register_m5 = ask,
    auth_on_publish = ask, auth_on_publish_m5 = ask,
    auth_on_subscribe = ask, auth_on_subscribe_m5 = ask,
    on_auth_m5 = ask,
}
