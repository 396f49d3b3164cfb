-- SPDX-License-Identifier: Apache-2.0
--
-- postgres: a table, rows, parameters. Its settings are the test's.

local pool = "postgres_test"

assert(postgres.ensure_pool{pool_id = pool, @SETTINGS@} == true)
assert(postgres.ensure_pool{pool_id = pool, @SETTINGS@} == true)
assert(postgres.execute(pool, "DROP TABLE IF EXISTS animals"))
assert(postgres.execute(pool, [[CREATE TABLE animals (
    name text PRIMARY KEY, legs int, tame boolean, weight float8, note text)]]))
assert(postgres.execute(pool, [[INSERT INTO animals VALUES
    ('cat', 4, true, 4.5, NULL), ('hen', 2, true, 2.25, 'lays'),
    ('fly', 6, false, 0.5, NULL), ('eel', 0, false, 3, 'slips')]]) == true)

local rows = postgres.execute(pool, "SELECT * FROM animals ORDER BY legs")
assert(#rows == 4)
for i, name in ipairs({"eel", "hen", "cat", "fly"}) do
    assert(rows[i].name == name, name)
end
assert(rows[3].legs == 4 and rows[3].tame == true and rows[3].weight == 4.5)
assert(rows[3].note == "null" and rows[2].note == "lays")

rows = postgres.execute(pool, [[SELECT name FROM animals
    WHERE legs > $1 AND tame = $2 AND name <> $3]], 1, true, "cat")
assert(#rows == 1 and rows[1].name == "hen")
assert(#postgres.execute(pool, "SELECT 1 FROM animals WHERE legs = $1", 8) == 0)
assert(postgres.execute(pool, "DELETE FROM animals WHERE legs = $1", 8) == false)
assert(postgres.execute(pool, "SELECT * FROM no_such_table") == false)
assert(postgres.hash_method() == "crypt")
assert(not pcall(postgres.execute, "no_such_pool", "SELECT 1"))

hooks = {auth_on_register = function(reg)
    local rows = postgres.execute(pool, "SELECT $1::text AS who", reg.client_id)
    return rows[1].who == reg.client_id
end}
