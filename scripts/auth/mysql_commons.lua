-- SPDX-License-Identifier: Apache-2.0
--
-- The question that mysql.lua and mysql2.lua ask. The hash method is a piece
-- of SQL around the password: PASSWORD(?), MD5(?), SHA1(?) or SHA2(?, 256).

require "auth/auth_commons"

local question = [[
SELECT publish_acl, subscribe_acl
  FROM vmq_auth_acl
 WHERE mountpoint = ? AND (client_id = ? OR client_id = '*')
   AND username = ? AND password = %s
 ORDER BY client_id = '*' LIMIT 1]]

function auth_on_register_mysql(lib, pool, reg)
    if not has_credentials(reg) then
        return false
    end
    local rows = lib.execute(pool, question:format(lib.hash_method()),
                             reg.mountpoint, reg.client_id, reg.username,
                             reg.password)
    local row = rows and rows[1]
    if not row then
        return false
    end
    return accept(reg, row.publish_acl, row.subscribe_acl)
end
