-- SPDX-License-Identifier: Apache-2.0
--
-- The question that postgres.lua and cockroachdb.lua ask; the global `pool`
-- names whom. Table and columns: schema/postgres.sql, schema/cockroachdb.sql.

require "auth/auth_commons"

local columns = [[
SELECT password, publish_acl::text AS publish_acl,
       subscribe_acl::text AS subscribe_acl
  FROM vmq_auth_acl
 WHERE mountpoint = $1 AND (client_id = $2 OR client_id = '*')
   AND username = $3]]

-- A row for this very client counts before one for all clients of the user.
local order = [[ ORDER BY client_id = '*']]

-- Where the server compares, by what hash_method() says.
local compare = {
    crypt = " AND password = crypt($4, password)",
    sha256 = " AND password = sha256($4)",
}

local function by_server(lib, reg, clause)
    local rows = lib.execute(pool, columns .. clause .. order, reg.mountpoint,
                             reg.client_id, reg.username, reg.password)
    return rows and rows[1]
end

local function by_bcrypt(lib, reg)
    local rows = lib.execute(pool, columns .. order, reg.mountpoint,
                             reg.client_id, reg.username)
    for _, row in ipairs(rows or {}) do
        if bcrypt_fits(reg.password, row.password) then
            return row
        end
    end
end

function auth_on_register_common(lib, reg)
    if not has_credentials(reg) then
        return false
    end
    local clause = compare[lib.hash_method()]
    local row
    if clause then
        row = by_server(lib, reg, clause)
    else
        row = by_bcrypt(lib, reg)
    end
    if not row then
        return false
    end
    return accept(reg, row.publish_acl, row.subscribe_acl)
end
