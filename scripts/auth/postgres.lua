-- SPDX-License-Identifier: Apache-2.0
--
-- Clients and their rights from PostgreSQL (`mqtt.auth_postgres`). Passwords
-- as password_hash_method says: crypt (pgcrypto compares) or bcrypt (we do).

require "auth/postgres_cockroach_commons"

pool = "auth_postgres"
postgres.ensure_pool({ pool_id = pool })

hooks = auth_hooks(function(reg)
    return auth_on_register_common(postgres, reg)
end)
