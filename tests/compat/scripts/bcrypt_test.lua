-- SPDX-License-Identifier: Apache-2.0
--
-- bcrypt: a hash is its own salt.

local salt = bcrypt.gen_salt()
local hash = bcrypt.hashpw("my-password", salt)
assert(hash ~= "my-password" and hash:sub(1, #salt) == salt)
assert(bcrypt.hashpw("my-password", hash) == hash)
assert(bcrypt.hashpw("my-passwort", hash) ~= hash)

hooks = {auth_on_register = function(reg)
    return bcrypt.hashpw(reg.password,
                         bcrypt.hashpw("password", salt)) ==
           bcrypt.hashpw("password", salt)
end}
