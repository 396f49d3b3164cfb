-- SPDX-License-Identifier: Apache-2.0
--
-- mysql: a table, rows, parameters. Its settings are the test's.

local pool = "mysql_test"

assert(mysql.ensure_pool{pool_id = pool, @SETTINGS@} == true)
assert(mysql.execute(pool, "DROP TABLE IF EXISTS animals") == true)
assert(mysql.execute(pool, [[CREATE TABLE animals (
    name varchar(20) PRIMARY KEY, legs int, weight double, note text)]]) == true)
assert(mysql.execute(pool, [[INSERT INTO animals VALUES
    ('cat', 4, 4.5, NULL), ('hen', 2, 2.25, 'lays'), ('fly', 6, 0.5, NULL),
    ('eel', 0, 3, 'slips')]]) == true)

local rows = mysql.execute(pool, "SELECT * FROM animals ORDER BY legs DESC")
assert(#rows == 4)
for i, name in ipairs({"fly", "cat", "hen", "eel"}) do
    assert(rows[i].name == name, name)
end
assert(rows[2].legs == 4 and rows[2].weight == 4.5)
assert(rows[2].note == "undefined" and rows[3].note == "lays")

rows = mysql.execute(pool, [[SELECT name FROM animals
    WHERE legs > ? && name <> ? && weight < ?]], 1, "cat", 1.5)
assert(#rows == 1 and rows[1].name == "fly")
assert(#mysql.execute(pool, "SELECT 1 FROM animals WHERE legs = ?", 8) == 0)
assert(mysql.execute(pool, "UPDATE animals SET legs = 1 WHERE legs = ?", 8)
       == true)
assert(mysql.execute(pool, "SELECT * FROM no_such_table") == false)
assert(mysql.hash_method() == "PASSWORD(?)")
rows = mysql.execute(pool, "SELECT " .. mysql.hash_method() .. " AS hash", "x")
assert(#rows[1].hash == 41)
assert(not pcall(mysql.execute, "no_such_pool", "SELECT 1"))

hooks = {auth_on_register = function(reg)
    local rows = mysql.execute(pool, "SELECT ? AS who", reg.client_id)
    return rows[1].who == reg.client_id
end}
