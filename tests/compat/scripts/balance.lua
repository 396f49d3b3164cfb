-- SPDX-License-Identifier: Apache-2.0
--
-- Which state has a call: they take turns.

num_states = 100

hooks = {auth_on_register = function()
    return {username = tostring(__SCRIPT_INSTANCE_ID__)}
end}
