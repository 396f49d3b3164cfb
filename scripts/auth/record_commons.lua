-- SPDX-License-Identifier: Apache-2.0
--
-- For stores of records by key (redis.lua, memcached.lua). The key is the JSON
-- array [mountpoint, client id, user name], without spaces, with "*" for any
-- client; the value a JSON object with the keys passhash (bcrypt), publish_acl
-- and subscribe_acl.

require "auth/auth_commons"

local function find(reg, client_id, get)
    local text = get(json.encode({ reg.mountpoint, client_id, reg.username }))
    local record = type(text) == "string" and json.decode(text)
    return type(record) == "table"
        and bcrypt_fits(reg.password, record.passhash) and record
end

-- `get(key)` gives the value's text, or anything else when there is none.
function auth_on_register_record(reg, get)
    if not has_credentials(reg) then
        return false
    end
    local record = find(reg, reg.client_id, get) or find(reg, "*", get)
    if not record then
        return false
    end
    return accept(reg, record.publish_acl, record.subscribe_acl)
end
