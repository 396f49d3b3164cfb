-- SPDX-License-Identifier: Apache-2.0
--
-- postgres: nobody listens on @PORT@; the file loads all the same.

assert(postgres.ensure_pool{pool_id = "dead_postgres", host = "127.0.0.1",
                            port = @PORT@} == true)

hooks = {auth_on_register = function(reg)
    local rows = postgres.execute("dead_postgres", "SELECT $1::text AS who",
                                  reg.client_id)
    return rows[1].who == reg.client_id
end}
