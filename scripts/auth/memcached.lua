-- SPDX-License-Identifier: Apache-2.0
--
-- Clients and their rights from memcached (`mqtt.auth_memcached`); keys and
-- values as record_commons.lua says. memcached forgets: keep it filled, or use
-- it for clients that may be refused.

require "auth/record_commons"

local pool = "auth_memcached"
memcached.ensure_pool({ pool_id = pool })

hooks = auth_hooks(function(reg)
    return auth_on_register_record(reg, function(key)
        return memcached.get(pool, key)
    end)
end)
