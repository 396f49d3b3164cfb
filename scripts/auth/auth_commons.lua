-- SPDX-License-Identifier: Apache-2.0
--
-- What the bundled auth scripts share, and what scripts of your own may build
-- on: `require "auth/auth_commons"`. Everything here is a global on purpose,
-- since scripts in the field call these names.
--
-- The idea: auth_on_register asks the database once and puts what the client
-- may do into the auth cache; from then on the cache answers every publish and
-- subscribe. Whatever reaches auth_on_publish or auth_on_subscribe here was
-- not in the cache, so it is refused.

-- More than a pool has connections: what waits for the database gathers, and
-- travels together.
num_states = 32
keep_state = false

local nothing = { ["null"] = true, ["undefined"] = true, [""] = true }

-- An ACL as a database hands it out: a table, JSON text, or nothing.
function decode_acl(value)
    if value == nil or nothing[value] then
        return nil
    end
    if type(value) == "string" then
        local text = value
        value = json.decode(text)
        assert(type(value) == "table", "an ACL is no JSON array: " .. text)
    end
    return value
end

-- Has the client given both? Clients without are refused by all scripts here.
function has_credentials(reg)
    return type(reg.username) == "string" and type(reg.password) == "string"
end

function cache_insert(mountpoint, client_id, username, publish_acl,
                      subscribe_acl)
    assert(type(mountpoint) == "string", "cache_insert: no mountpoint")
    assert(type(client_id) == "string", "cache_insert: no client id")
    assert(type(username) == "string", "cache_insert: no username")
    return auth_cache.insert(mountpoint, client_id, username,
                             decode_acl(publish_acl),
                             decode_acl(subscribe_acl))
end

-- A row or document was found and its password was right.
function accept(reg, publish_acl, subscribe_acl)
    cache_insert(reg.mountpoint, reg.client_id, reg.username, publish_acl,
                 subscribe_acl)
    return true
end

-- Does `password` fit the bcrypt hash of the database?
function bcrypt_fits(password, hash)
    return type(hash) == "string" and #hash > 0
        and bcrypt.hashpw(password, hash) == hash
end

-- auth_on_register is each script's own; MQTT 5 asks the same question.
function auth_on_register_m5(reg)
    return auth_on_register(reg)
end

function auth_on_publish()
    return false
end

function auth_on_subscribe()
    return false
end

auth_on_publish_m5 = auth_on_publish
auth_on_subscribe_m5 = auth_on_subscribe

-- So that the cache entry goes with its client: pinfold drops it before it
-- calls these, and only calls what a script has.
function on_client_gone() end
function on_client_offline() end
function on_session_expired() end

-- The table `hooks` of a script whose auth_on_register is `register`.
function auth_hooks(register)
    auth_on_register = register
    return {
        auth_on_register = register,
        auth_on_register_m5 = auth_on_register_m5,
        auth_on_publish = auth_on_publish,
        auth_on_publish_m5 = auth_on_publish_m5,
        auth_on_subscribe = auth_on_subscribe,
        auth_on_subscribe_m5 = auth_on_subscribe_m5,
        on_client_gone = on_client_gone,
        on_client_offline = on_client_offline,
        on_session_expired = on_session_expired,
    }
end
