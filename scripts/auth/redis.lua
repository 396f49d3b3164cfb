-- SPDX-License-Identifier: Apache-2.0
--
-- Clients and their rights from Redis (`mqtt.auth_redis`); keys and values as
-- record_commons.lua says.

require "auth/record_commons"

local pool = "auth_redis"
redis.ensure_pool({ pool_id = pool })

hooks = auth_hooks(function(reg)
    return auth_on_register_record(reg, function(key)
        return redis.cmd(pool, "get", key)
    end)
end)
