# SPDX-License-Identifier: Apache-2.0
"""postgres, cockroachdb, mysql and mysql2 as scripts for VerneMQ know them: what
each statement answers, how values are converted, which failures are errors.

Real servers, and a gateway without a broker. What the gateway answers as nil the
worker turns into the word that VerneMQ's scripts expect.
"""

import pytest
from lib.gateway import GatewayError, GatewayProcess
from lib.servers import mariadb, postgres

BOTH = pytest.mark.parametrize("lib", ["mysql", "mysql2"])


@pytest.fixture(scope="module")
def pg():
    with postgres() as server:
        yield server


@pytest.fixture(scope="module")
def maria():
    with mariadb() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(pg, maria):
    config = {"postgres": pg.settings(password_hash_method="bcrypt"),
              "cockroachdb": pg.settings(ssl=False),
              "mysql": maria.settings(), "mysql2": maria.settings()}
    with GatewayProcess(config) as gateway:
        for lib in config:
            assert gateway.ensure(lib) is True
        yield gateway


@pytest.fixture
def sql(gateway):
    """sql(lib, text, parameters...), and sql.error(...) for its code."""
    def run(lib, *args, **kwargs):
        return gateway.call(lib, "execute", args, **kwargs)

    def error(lib, *args, **kwargs):
        return gateway.error(lib, "execute", args, **kwargs)

    run.error = error
    return run


# --- postgres, cockroachdb (3.3 and the tables of 3.0)

PG_VALUES = [
    ("1::int2", 1), ("(-2147483648)::int4", -2**31),
    ("9223372036854775807::int8", 2**63 - 1),
    ("1.5::float4", 1.5), ("1.1::float4", 1.1), ("2.25::float8", 2.25),
    ("1e300::float8", 1e300),
    ("1.10::numeric", "1.10"), ("12345678901234567890::numeric", "12345678901234567890"),
    ("true", True), ("false", False),
    ("null::int", None), ("null::text", None), ("null::timestamp", None),
    ("'h\u00e9'::text", "h\u00e9"), ("''::text", ""), ("'ab'::varchar(9)", "ab"),
    ("'a'::char(3)", "a  "),
    (r"'\x00ff61'::bytea", b"\0\xffa"),
    ("""'{"a":  1}'::json""", '{"a":  1}'), ("""'{"a":  1}'::jsonb""", '{"a": 1}'),
    ("'b1e4c2d0-0000-4000-8000-000000000001'::uuid",
     "b1e4c2d0-0000-4000-8000-000000000001"),
    ("array[1,2,3]", [1, 2, 3]), ("array[]::int[]", []), ("array[1,null]", [1, None]),
    ("""array['a', 'b c', 'd,"e', '\\f', '{}', 'NULL', '']""",
     ["a", "b c", 'd,"e', "\\f", "{}", "NULL", ""]),
    ("array[[1,2],[3,4]]", [[1, 2], [3, 4]]), ("'[2:3]={5,6}'::int[]", [5, 6]),
    ("array[true,false]", [True, False]), ("array[1.5::float8]", [1.5]),
    (r"array['\x00ff'::bytea]", [b"\0\xff"]),
    ("now()::text is not null", True),
]


@pytest.mark.parametrize("expression, value", PG_VALUES)
def test_postgres_value(sql, expression, value):
    rows = sql("postgres", f"SELECT {expression} AS v")
    assert rows == [{"v": value}]
    assert type(rows[0]["v"]) is type(value)


@pytest.mark.parametrize("expression", [
    "now()", "current_date", "now()::timestamp", "now()::time", "localtime::timetz",
    "interval '1 day'", "'10.0.0.1'::inet", "'10.0.0.0/8'::cidr", "point(1,2)",
    "array[now()]", "'08:00:2b:01:02:03'::macaddr", "int4range(1,2)"])
def test_postgres_refuses_what_is_no_value_and_says_how_to_cast(sql, expression):
    error = sql.error("postgres", f"SELECT 1 AS a, {expression} AS moment")
    assert error.code == "badarg"
    assert "column moment" in error.message and "moment::text" in error.message
    # The connection is as good as before.
    assert sql("postgres", f"SELECT ({expression})::text IS NOT NULL AS v") == [
        {"v": True}]


PG_PARAMETERS = [
    ("$1::int", 41, 41), ("$1::int", "41", 41), ("$1::int8", 2**53, 2**53),
    ("$1::float8", 0.1, 0.1), ("$1::float8", 7, 7.0), ("$1::numeric", 1.25, "1.25"),
    ("$1::bool", True, True), ("$1::bool", False, False), ("$1::text", True, "true"),
    ("$1::text", "it's \\x 'q'", "it's \\x 'q'"), ("$1::text", "", ""),
    ("$1::text", 12, "12"), ("$1::text", None, "nil"), ("$1::varchar", None, "nil"),
    ("$1::bytea", b"\\x00\0\xff", b"\\x00\0\xff"), ("$1::bytea", "abc", "abc"),
    ("$1::json", '{"a":1}', '{"a":1}'), ("$1::jsonb", '{"a":1}', '{"a": 1}'),
    ("$1::uuid", "b1e4c2d0-0000-4000-8000-000000000001",
     "b1e4c2d0-0000-4000-8000-000000000001"),
    ("$1::int[]", [1, 2, None], [1, 2, None]), ("$1::int[]", {}, []),
    ("$1::text[]", ['a"\\', "{x,y}", "NULL", ""], ['a"\\', "{x,y}", "NULL", ""]),
    ("$1::int[]", [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    ("3 = ANY($1::int[])", [2, 3], True),
    ("$1::timestamp::text", "2024-01-02 03:04:05", "2024-01-02 03:04:05"),
]


@pytest.mark.parametrize("expression, given, value", PG_PARAMETERS)
def test_postgres_parameter(sql, expression, given, value):
    assert sql("postgres", f"SELECT {expression} AS v", given) == [{"v": value}]


@pytest.mark.parametrize("given", ["one", None, "\u00e9"])
def test_postgres_parameter_that_the_server_refuses_is_false(sql, given):
    assert sql("postgres", "SELECT $1::int AS v", given) is False


@pytest.mark.parametrize("args", [
    ["SELECT $1::int", 1, 2], ["SELECT $1::int"], ["SELECT 1", 1],
    ["SELECT $1::int", {"a": 1}], ["SELECT 1\0"], [5], [],
    ["SELECT $1::int", "1\0"], ["SELECT $1::text[]", ["a\0"]]])
def test_postgres_wrong_arguments_are_badarg(sql, args):
    assert sql.error("postgres", *args).code == "badarg"


@pytest.fixture
def people(sql):
    sql("postgres", "DROP TABLE IF EXISTS people")
    assert sql("postgres", "CREATE TABLE people (id int PRIMARY KEY, name text)") == []
    return "people"


@pytest.mark.parametrize("lib", ["postgres", "cockroachdb"])
def test_postgres_statements(sql, people, lib):
    def run(*args):
        return sql(lib, *args)

    assert run("INSERT INTO people VALUES (1,'a'), (2,'b'), (3,$1)", "c") is True
    assert run("SELECT name FROM people WHERE id = $1", 3) == [{"name": "c"}]
    assert run("SELECT id, name FROM people ORDER BY id DESC") == [
        {"id": 3, "name": "c"}, {"id": 2, "name": "b"}, {"id": 1, "name": "a"}]
    assert run("SELECT * FROM people WHERE id = 9") == []
    assert run("UPDATE people SET name = 'x' WHERE id < 3") is True
    assert run("UPDATE people SET name = 'x' WHERE id = 9") is False
    assert run("DELETE FROM people WHERE id = 9") is False
    assert run("INSERT INTO people SELECT * FROM people WHERE id = 9") is False
    # RETURNING: the rows are lost.
    assert run("UPDATE people SET name = 'y' RETURNING id") is True
    assert run("UPDATE people SET name = 'y' WHERE id = 9 RETURNING id") is False
    # Refused by the server: false, not an error.
    assert run("INSERT INTO people VALUES (1, 'again')") is False
    assert run("SELECT nothing FROM nowhere") is False
    assert run("SELEC") is False
    assert run("SELECT 1; SELECT 2") is False
    assert run("SELECT 1/0") is False
    assert run("SELECT 1/(3-id) FROM people ORDER BY id") is False  # after a row
    assert run("COPY people TO STDOUT") is False
    assert run("COPY people FROM STDIN") is False
    # Neither rows nor a count: an empty table, which is true in Lua.
    assert run("CREATE TEMP TABLE t (a int)") == []
    assert run("DO $$ BEGIN END $$") == []
    assert run("") == []
    assert run("SHOW standard_conforming_strings") == [
        {"standard_conforming_strings": "on"}]
    assert run("DELETE FROM people") is True


def test_postgres_keeps_up_with_changes_of_the_schema(sql, people):
    everything = "SELECT * FROM people"
    sql("postgres", "INSERT INTO people VALUES (1, 'a')")
    assert sql("postgres", everything) == [{"id": 1, "name": "a"}]
    sql("postgres", "ALTER TABLE people ADD more int")
    assert sql("postgres", everything) == [{"id": 1, "name": "a", "more": None}]
    sql("postgres", "DEALLOCATE ALL")
    assert sql("postgres", everything) == [{"id": 1, "name": "a", "more": None}]
    sql("postgres", "DROP TABLE people")
    assert sql("postgres", everything) is False
    sql("postgres", "CREATE TABLE people (other text)")
    assert sql("postgres", everything) == []


@pytest.mark.parametrize("lib", ["postgres", "mysql", "mysql2"])
def test_more_statements_than_are_kept(sql, lib):
    for turn in range(2):
        for i in range(150):
            assert sql(lib, f"SELECT {i} AS v") == [{"v": i}]
    long = "SELECT 1 AS v /*" + "x" * 20000 + "*/"
    assert sql(lib, long) == sql(lib, long) == [{"v": 1}]


# --- mysql, mysql2 (3.1, 3.2 and the tables of 3.0)

MYSQL_VALUES = [
    ("CAST(-5 AS SIGNED)", -5, -5), ("18446744073709551615", 2**64 - 1, 2**64 - 1),
    ("CAST(1.5 AS FLOAT)", 1.5, 1.5), ("CAST(1.1 AS FLOAT)", 1.1, 1.1),
    ("CAST(2.123456789 AS FLOAT)", 2.12346, 2.12346),
    ("CAST(2.123456789 AS DOUBLE)", 2.123456789, 2.123456789),
    ("CAST(12 AS DECIMAL(5,0))", 12.0, 12), ("CAST(1.25 AS DECIMAL(10,4))", 1.25, 1.25),
    ("CAST('12345678901234567890.5' AS DECIMAL(30,1))", 12345678901234567890.5,
     "12345678901234567890.5"),
    ("CAST('123456789012345678901234567890' AS DECIMAL(30,0))", 1.2345678901234568e29,
     "123456789012345678901234567890"),
    ("NULL", None, None), ("CAST(NULL AS DATETIME)", None, None),
    ("'h\u00e9'", "h\u00e9", "h\u00e9"), ("''", "", ""),
    ("UNHEX('00FF27')", b"\0\xff'", b"\0\xff'"),
    ("'\U0001f600'", "\U0001f600", "\U0001f600"),
    ("1 = 1 && 1", 1, 1),
    ("JSON_OBJECT('a', 1)", '{"a": 1}', '{"a": 1}'),
    ("CAST(DATE '2024-01-02' AS CHAR)", "2024-01-02", "2024-01-02"),
]


@pytest.mark.parametrize("expression, classic, new", MYSQL_VALUES)
def test_mysql_value(sql, expression, classic, new):
    for lib, value in (("mysql", classic), ("mysql2", new)):
        rows = sql(lib, f"SELECT {expression} AS v")
        assert rows == [{"v": value}]
        assert type(rows[0]["v"]) is type(value)


@BOTH
@pytest.mark.parametrize("expression", [
    "CURDATE()", "CURTIME()", "NOW()", "TIMESTAMP '2024-01-02 03:04:05.6'"])
def test_mysql_refuses_dates_and_says_how_to_cast(sql, lib, expression):
    error = sql.error(lib, f"SELECT 1 AS a, {expression} AS moment")
    assert error.code == "badarg"
    assert "column moment" in error.message
    assert "CAST(moment AS CHAR)" in error.message
    assert sql(lib, "SELECT 1 AS v") == [{"v": 1}]


@pytest.fixture
def things(sql):
    sql("mysql", "DROP TABLE IF EXISTS things")
    assert sql("mysql", """CREATE TABLE things (id INT PRIMARY KEY, name VARCHAR(99),
        eight BIT(8), three BIT(3), y YEAR, t TIMESTAMP NULL, e ENUM('a', 'b'),
        b BLOB, u TINYINT UNSIGNED)""") is True
    return "things"


@BOTH
def test_mysql_columns(sql, things, lib):
    assert sql(lib, "INSERT INTO things (id, name, eight, y, e, b, u) VALUES "
                    "(1, 'n', b'01100001', 2024, 'b', ?, 255)", b"\0\xff") is True
    assert sql(lib, "SELECT id, name, eight, y, t, e, b, u FROM things") == [
        {"id": 1, "name": "n", "eight": "a", "y": 2024, "t": None, "e": "b",
         "b": b"\0\xff", "u": 255}]
    sql(lib, "UPDATE things SET t = NOW(), three = 5")
    assert sql.error(lib, "SELECT t FROM things").code == "badarg"
    if lib == "mysql":
        assert sql(lib, "SELECT three FROM things") == [{"three": "\5"}]
    else:
        assert sql.error(lib, "SELECT three FROM things").code == "badarg"


@BOTH
def test_mysql_statements(sql, things, lib):
    def run(*args):
        return sql(lib, *args)

    insert = "INSERT INTO things (id, name) VALUES (?, ?)"
    assert run(insert, 1, "a") is run(insert, 2, "b") is True
    assert run("SELECT id, name FROM things WHERE name = ?", "b") == [
        {"id": 2, "name": "b"}]
    assert run("SELECT id FROM things WHERE id = 9") == []
    # true whatever the number of rows.
    assert run("UPDATE things SET name = 'x' WHERE id = 9") is True
    assert run("DELETE FROM things WHERE id = 9") is True
    assert run("ALTER TABLE things ADD more INT") is True
    # Refused by the server: false.
    assert run(insert, 1, "again") is False
    assert run("SELEC") is False
    assert run("SELECT nothing FROM nowhere") is False
    assert run("SELECT 1; SELECT 2") is False
    assert run("") is False
    # A procedure: its first rows.
    assert run("CREATE OR REPLACE PROCEDURE two() BEGIN SELECT 1 AS a; "
               "SELECT 2 AS b; END") is True
    assert run("CALL two()") == run("CALL two()") == [{"a": 1}]
    assert run("DELETE FROM things") is True


@BOTH
def test_mysql_keeps_up_with_changes_of_the_schema(sql, things, lib):
    everything = "SELECT * FROM things"
    sql(lib, "INSERT INTO things (id) VALUES (1)")
    assert len(sql(lib, everything)[0]) == 9
    sql(lib, "ALTER TABLE things ADD more INT")
    assert len(sql(lib, everything)[0]) == 10
    sql(lib, "ALTER TABLE things DROP more, DROP three")
    assert len(sql(lib, everything)[0]) == 8
    sql(lib, "DROP TABLE things")
    assert sql(lib, everything) is False


@BOTH
@pytest.mark.parametrize("given, value", [
    (5, 5), (-2**63, -2**63), (0.5, 0.5), ("h\u00e9", "h\u00e9"), ("", ""),
    ("it's `?` \\", "it's `?` \\"), (b"\xff\0'", b"\xff\0'")])
def test_mysql_parameter(sql, lib, given, value):
    assert sql(lib, "SELECT ? AS v", given) == [{"v": value}]


def test_mysql_parameters_that_emysql_makes_words_of(sql):
    assert sql("mysql", "SELECT ? AS v", None) == [{"v": "nil"}]
    assert sql("mysql", "SELECT ? = 'nil' AS v", None) == [{"v": 1}]
    assert sql("mysql", "SELECT ? AS v, ? AS w", True, False) == [
        {"v": "true", "w": "false"}]


@pytest.mark.parametrize("given", [None, True, [1], {"a": 1}])
def test_mysql2_parameters_that_are_errors(sql, given):
    assert sql.error("mysql2", "SELECT ? AS v", given).code == "badarg"
    assert sql("mysql2", "SELECT 1 AS v") == [{"v": 1}]


def test_mysql_wrong_number_of_parameters(sql):
    assert sql("mysql", "SELECT ? AS v") is False
    assert sql("mysql", "SELECT 1 AS v", 1) is False
    assert sql.error("mysql2", "SELECT ? AS v").code == "badarg"
    assert sql.error("mysql2", "SELECT 1 AS v", 1).code == "badarg"


@BOTH
def test_mysql_reads_no_file_for_the_server(sql, things, lib, tmp_path):
    file = tmp_path / "secret"
    file.write_text("1\n")
    assert sql(lib, f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE things (id)") is False


# --- pools (3.0), hash_method, limits

@pytest.mark.parametrize("lib, config, word", [
    ("postgres", {}, "crypt"), ("postgres", {"password_hash_method": "bcrypt"}, "bcrypt"),
    ("cockroachdb", {}, "bcrypt"),
    ("cockroachdb", {"password_hash_method": "sha256"}, "sha256"),
    ("mysql", {}, "PASSWORD(?)"), ("mysql2", {}, "SHA2(?, 256)"),
    *[(lib, {"password_hash_method": method}, word)
      for lib in ("mysql", "mysql2") for method, word in (
          ("password", "PASSWORD(?)"), ("md5", "MD5(?)"), ("sha1", "SHA1(?)"),
          ("sha256", "SHA2(?, 256)"))]])
def test_hash_method(lib, config, word):
    with GatewayProcess({lib: config}) as gateway:
        assert gateway.call(lib, "hash_method") == word


def test_hash_methods_that_the_server_computes(sql):
    for method, value in (("MD5(?)", "5ebe2294ecd0e0f08eab7690d2a6ee69"),
                          ("SHA1(?)", "e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4")):
        assert sql("mysql", f"SELECT {method} AS v", "secret") == [{"v": value}]
    assert sql("mysql", "SELECT PASSWORD(?) AS v", "secret")[0]["v"].startswith("*")
    stored = sql("postgres", "SELECT crypt($1, gen_salt('bf', 4)) AS v", "secret")[0]["v"]
    assert sql("postgres", "SELECT $1 = crypt($2, $1) AS v", stored, "secret") == [
        {"v": True}]


def test_unknown_pool_and_function_are_badarg(gateway):
    assert gateway.error("postgres", "execute", ["SELECT 1"], pool="nowhere").code == (
        "badarg")
    assert gateway.error("postgres", "cmd", ["SELECT 1"]).code == "badarg"
    assert gateway.error("mysql2", "cmd", ["SELECT 1"]).code == "badarg"


def test_ensure_pool_again_changes_nothing(gateway, sql):
    assert gateway.ensure("postgres", {"port": 1, "size": 99}) is True
    assert sql("postgres", "SELECT 1 AS v") == [{"v": 1}]


def test_the_settings_of_a_script_go_before_the_configuration(gateway, sql, pg):
    assert gateway.ensure("postgres", {"database": "postgres", "size": 1},
                          pool="other") is True
    query = ["SELECT current_database()::text AS v"]
    assert gateway.call("postgres", "execute", query, pool="other") == [{"v": "postgres"}]
    assert gateway.call("postgres", "execute", query) == [{"v": pg.database}]


@pytest.mark.parametrize("lib", ["postgres", "mysql", "mysql2"])
@pytest.mark.parametrize("settings", [
    {"port": 0}, {"port": "many"}, {"size": 0}, {"host": ["a"]}, {"ssl": "maybe"},
    {"verify": "perhaps"}])
def test_settings_that_make_no_sense_are_badarg(gateway, lib, settings):
    with pytest.raises(GatewayError) as e:
        gateway.ensure(lib, settings, pool="wrong")
    assert e.value.code == "badarg" and next(iter(settings)) in e.value.message


def test_only_mysql_insists_on_a_connection(gateway):
    dead = {"host": "127.0.0.1", "port": 1, "password": "hush"}
    for lib in ("postgres", "cockroachdb", "mysql2"):
        assert gateway.ensure(lib, dead, pool="dead") is True
        error = gateway.error(lib, "execute", ["SELECT 1"], pool="dead")
        assert error.code == "unavailable"
    with pytest.raises(GatewayError) as e:
        gateway.ensure("mysql", dead, pool="dead")
    assert e.value.code == "unavailable"


MANY = {"postgres": "SELECT generate_series(1, {0}) AS v",
        "mysql": "SELECT seq AS v FROM seq_1_to_{0}",
        "mysql2": "SELECT seq AS v FROM seq_1_to_{0}"}


@pytest.mark.parametrize("lib", list(MANY))
def test_limits(sql, lib):
    assert len(sql(lib, MANY[lib].format(10000))) == 10000
    assert sql.error(lib, MANY[lib].format(10001)).code == "too_large"
    size = len(sql(lib, "SELECT REPEAT('x', 15000000) AS v")[0]["v"])
    assert size == 15000000
    wide = MANY[lib].replace("AS v", "AS v, REPEAT('x', 1000000) AS w")
    assert sql.error(lib, wide.format(10000)).code == "too_large"
    assert sql.error(lib, "SELECT REPEAT('x', 9000000) AS v, "
                          "REPEAT('x', 9000000) AS w").code == "too_large"
    assert sql(lib, "SELECT 1 AS v") == [{"v": 1}]


def test_one_endless_field_is_cut_off(sql):
    error = sql.error("postgres", "SELECT repeat('x', 300000000) AS v", timeout=60)
    assert error.code == "too_large"


@pytest.mark.parametrize("lib, sleep", [
    ("postgres", "SELECT pg_sleep(60)"), ("mysql", "SELECT SLEEP(60)"),
    ("mysql2", "SELECT SLEEP(60)")])
def test_a_late_statement_is_a_timeout_and_the_next_goes_on(sql, lib, sleep):
    assert sql.error(lib, sleep, timeout=0.3).code == "timeout"
    assert sql(lib, "SELECT 1 AS v") == [{"v": 1}]


def test_what_the_server_said_is_noted_without_the_data(pg):
    with GatewayProcess({"postgres": pg.settings()}) as gateway:
        gateway.ensure("postgres")
        gateway.call("postgres", "execute", ["SELECT nothing FROM nowhere"])
        gateway.call("postgres", "execute", ["SELECT $1::int", "secretword"])
        gateway.call("postgres", "execute", ["SELECT 1"])
        assert any("42P01" in line and "nowhere" in line for line in gateway.logs)
        assert any("22P02" in line for line in gateway.logs)
        assert not any("secretword" in line for line in gateway.logs)


# --- who may come in, and TLS

@pytest.mark.parametrize("lib", ["postgres", "mysql2"])
def test_a_wrong_password_is_unavailable_and_not_told(gateway, lib):
    gateway.ensure(lib, {"password": "opensesame"}, pool="stranger")
    error = gateway.error(lib, "execute", ["SELECT 1"], pool="stranger")
    assert error.code == "unavailable"
    assert "password" in error.message and "opensesame" not in error.message
    assert not any("opensesame" in line for line in gateway.logs)


def test_mysql_login_methods_that_are_loaded_late(maria):
    maria.sql("INSTALL SONAME 'auth_ed25519';"
              "CREATE USER ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('pw');"
              f"GRANT ALL ON {maria.database}.* TO ed@'%'", "mysql")
    with GatewayProcess({"mysql2": maria.settings(user="ed", password="pw")}) as gateway:
        gateway.ensure("mysql2")
        assert gateway.call("mysql2", "execute", ["SELECT CURRENT_USER() AS v"]) == [
            {"v": "ed@%"}]


def test_ssl_is_insisted_on(gateway):
    for lib in ("postgres", "mysql2"):
        gateway.ensure(lib, {"ssl": True, "verify": "verify_none"}, pool="plain")
        error = gateway.error(lib, "execute", ["SELECT 1"], pool="plain")
        assert error.code == "unavailable"


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory):
    import shutil
    import tempfile
    from pathlib import Path

    from lib import certs
    directory = Path(tempfile.mkdtemp(prefix="pinfold-tls-"))
    directory.chmod(0o755)
    pairs = []
    for name in ("good", "stranger"):
        (directory / name).mkdir()
        pairs.append(certs.make(directory / name))
    for pair in pairs:
        for file in pair:
            file.chmod(0o644)
    yield pairs
    shutil.rmtree(directory)


def check_tls(lib, server, files, probe):
    """probe(gateway, pool): is the connection encrypted?"""
    (good, _), (stranger, _) = files
    config = server.settings(ssl=True)
    with GatewayProcess({lib: {**config, "cafile": str(good)}}) as gateway:
        gateway.ensure(lib, pool="address")
        gateway.ensure(lib, {**config, "host": "localhost"}, pool="name")
        gateway.ensure(lib, {"cacertfile": str(stranger)}, pool="hidden")
        assert probe(gateway, "address") and probe(gateway, "name")
        # Files that the configuration does not name are none of its business.
        error = gateway.error(lib, "execute", ["SELECT 1"], pool="hidden")
        assert error.code == "unavailable"
    with GatewayProcess({lib: {**config, "cafile": str(stranger)}}) as gateway:
        gateway.ensure(lib)
        gateway.ensure(lib, {"verify": "verify_none"}, pool="unverified")
        assert probe(gateway, "unverified")
        error = gateway.error(lib, "execute", ["SELECT 1"])
        assert error.code == "unavailable" and "certificate" in error.message


def test_postgres_tls(tls_files):
    with postgres(tls=tls_files[0]) as server:
        check_tls("postgres", server, tls_files, lambda gateway, pool: gateway.call(
            "postgres", "execute",
            ["SELECT ssl AS v FROM pg_stat_ssl WHERE pid = pg_backend_pid()"],
            pool=pool) == [{"v": True}])


def test_mysql2_tls(tls_files):
    with mariadb(tls=tls_files[0]) as server:
        check_tls("mysql2", server, tls_files, lambda gateway, pool: gateway.call(
            "mysql2", "execute", ["SHOW STATUS LIKE 'Ssl_cipher'"],
            pool=pool)[0]["Value"] != "")
