-- SPDX-License-Identifier: Apache-2.0
--
-- vmq_api: while nobody is connected.

local nobody = {mountpoint = "", client_id = "not-online"}

for _, cleanup in ipairs({true, false}) do
    assert(vmq_api.disconnect_by_subscriber_id(nobody, {do_cleanup = cleanup})
           == "not_found")
end
assert(vmq_api.reauthorize_subscriptions("user", nobody, {}) == "ok")
assert(not pcall(vmq_api.disconnect_by_subscriber_id, {mountpoint = ""}, {}))

hooks = {auth_on_register = function(reg)
    return vmq_api.disconnect_by_subscriber_id(
        {mountpoint = reg.mountpoint, client_id = reg.client_id},
        {do_cleanup = false}) == "not_found"
end}
