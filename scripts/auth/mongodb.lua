-- SPDX-License-Identifier: Apache-2.0
--
-- Clients and their rights from MongoDB (`mqtt.auth_mongodb`): one document a
-- client in the collection vmq_acl_auth, with the keys mountpoint, client_id
-- ("*": any), username, passhash (bcrypt), publish_acl and subscribe_acl.

require "auth/auth_commons"

local pool = "auth_mongodb"
local collection = "vmq_acl_auth"
mongodb.ensure_pool({ pool_id = pool })

local function find(reg, client_id)
    local doc = mongodb.find_one(pool, collection, {
        mountpoint = reg.mountpoint,
        client_id = client_id,
        username = reg.username,
    })
    return doc and bcrypt_fits(reg.password, doc.passhash) and doc
end

hooks = auth_hooks(function(reg)
    if not has_credentials(reg) then
        return false
    end
    local doc = find(reg, reg.client_id) or find(reg, "*")
    if not doc then
        return false
    end
    return accept(reg, doc.publish_acl, doc.subscribe_acl)
end)
