-- SPDX-License-Identifier: Apache-2.0
--
-- Clients and their rights from a service of your own (`mqtt.auth_http`, with
-- the key `url`). It gets a POST with the JSON object {mountpoint, client_id,
-- username, password, addr, port} and answers 200 with a JSON object:
-- {"result": "ok" | "deny" | "next", "publish_acl": [...],
-- "subscribe_acl": [...]}. Everything else is an error, and the next script is
-- asked.

require "auth/auth_commons"

local pool = "auth_http"
local url = config.url
assert(type(url) == "string", "mqtt.auth_http needs the key url")
http.ensure_pool({ pool_id = pool })

local headers = {
    ["Accept"] = "application/json",
    ["Content-Type"] = "application/json",
}

local function ask(reg)
    local answer = http.post(pool, url, json.encode({
        mountpoint = reg.mountpoint,
        client_id = reg.client_id,
        username = reg.username,
        password = reg.password,
        addr = reg.addr,
        port = reg.port,
    }), headers)
    assert(answer, "the service cannot be reached")
    assert(answer.status == 200, "the service answered " .. answer.status)
    local said = json.decode(http.body(answer.ref))
    assert(type(said) == "table", "the service's answer is no JSON object")
    return said
end

hooks = auth_hooks(function(reg)
    if not has_credentials(reg) then
        return false
    end
    local said = ask(reg)
    if said.result == "ok" then
        return accept(reg, said.publish_acl, said.subscribe_acl)
    elseif said.result == "deny" then
        return false
    elseif said.result == "next" then
        return next
    end
    error("the service's answer has no result that is ok, deny or next")
end)
