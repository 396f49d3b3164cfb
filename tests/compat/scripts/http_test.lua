-- SPDX-License-Identifier: Apache-2.0
--
-- http: a POST with headers; @URL@ is a server of the test, @DEAD@ is none.

assert(http.ensure_pool{pool_id = "my_pool"} == true)
assert(http.ensure_pool{pool_id = "my_pool", size = 3} == true)

local body = json.encode{user = "u", list = {1, 2}}
local answer = http.post("my_pool", "@URL@/posted", body,
                         {["Content-Type"] = "application/json",
                          ["X-Own"] = "1"})
assert(answer.status == 200, "the status is " .. tostring(answer.status))
assert(answer.headers["Content-Length"])
assert(http.body(answer.ref) == "hello from origin")
assert(http.get("my_pool", "@DEAD@/") == false)

hooks = {auth_on_register = function(reg)
    local answer = http.put("my_pool", "@URL@/put", {client = reg.client_id})
    return answer and answer.status == 200
end}
