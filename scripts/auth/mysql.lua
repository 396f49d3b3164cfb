-- SPDX-License-Identifier: Apache-2.0
--
-- Clients and their rights from MySQL or MariaDB (`mqtt.auth_mysql`).

require "auth/mysql_commons"

local pool = "auth_mysql"
mysql.ensure_pool({ pool_id = pool })

hooks = auth_hooks(function(reg)
    return auth_on_register_mysql(mysql, pool, reg)
end)
