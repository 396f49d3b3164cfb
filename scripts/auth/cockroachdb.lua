-- SPDX-License-Identifier: Apache-2.0
--
-- Clients and their rights from CockroachDB (`mqtt.auth_cockroachdb`).
-- Passwords as password_hash_method says: sha256 (hex, compared by the server)
-- or bcrypt.

require "auth/postgres_cockroach_commons"

pool = "auth_cockroachdb"
cockroachdb.ensure_pool({ pool_id = pool })

hooks = auth_hooks(function(reg)
    return auth_on_register_common(cockroachdb, reg)
end)
