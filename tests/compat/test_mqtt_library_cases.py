# SPDX-License-Identifier: Apache-2.0
"""VerneMQ's libraries from script to server: what crosses all processes.
Libraries and providers each on their own: test_provider_cases.py,
test_database_cases.py, test_database_mongodb.py, test_mqtt_cache_cases.py,
tests/integration/test_worker_mqtt_libs.py."""

import pytest

from lib import servers
from lib.gateway import free_port, redis_server
from lib.mqtt_eval import EVAL, Asker
from lib.mqtt_scripts import MqttPinfold, publish, register


@pytest.fixture(scope="module")
def ask():
    with MqttPinfold({"eval.lua": EVAL}) as p:
        yield Asker(p)


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.port


@pytest.fixture(scope="module")
def pg():
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="module")
def maria():
    with servers.mariadb() as server:
        yield server


@pytest.fixture(scope="module", params=["string", "nil"])
def databases(request, pg, maria, redis_port):
    """With the setting `nulls`."""
    mqtt = {"nulls": request.param, "auth_postgres": pg.settings(),
            "auth_mysql": maria.settings(), "auth_mysql2": maria.settings(),
            "auth_redis": {"port": redis_port}}
    pools = "".join(f"{name}.ensure_pool()\n"
                    for name in ("postgres", "mysql", "mysql2", "redis"))
    with MqttPinfold({"eval.lua": pools + EVAL}, mqtt) as p:
        ask = Asker(p)
        ask.nulls = request.param
        yield ask


# --- 3.0 pools

def test_3_0_pools_belong_to_all_scripts(redis_port):
    pool = "redis.ensure_pool{pool_id = 'shared', port = %d}\n"
    use = """hooks = {auth_on_register = function(reg)
        return redis.cmd("shared", "PING") == "PONG"
    end}"""
    with MqttPinfold({"a.lua": pool % redis_port + "hooks = {}",
                      "b.lua": use}) as p:
        client, control = p.mqtt(), p.control_client()
        assert client.call("auth_on_register", [register()])["verdict"] == "ok"
        # Of other settings nothing is taken, and they are no error.
        p.write_lua("c.lua", f"assert({pool.strip() % free_port()} == true)"
                             "\nhooks = {}")
        assert {r["result"] for r in control.call("reload")} == {"loaded"}
        assert client.call("auth_on_register", [register()])["verdict"] == "ok"
        # They stay when the script that made them goes.
        for name in "ac":
            (p.dir / "lua" / f"{name}.lua").unlink()
        control.call("reload")
        assert client.call("auth_on_register", [register()])["verdict"] == "ok"


def test_3_0_a_script_may_call_its_settings_config(redis_port):
    """As VerneMQ's do; it is the name of a global that is there already. The
    rest comes from the configuration."""
    script = """
require "auth/commons"
pool = "auth_redis"
config = {pool_id = pool}
redis.ensure_pool(config)
function auth_on_register(reg)
    results = redis.cmd(pool, "SET", json.encode{reg.mountpoint, reg.client_id,
                                                reg.username}, "here")
    return results and ask("get", '["","client","user"]') == "here"
end
hooks = {auth_on_register = auth_on_register,
         auth_on_register_m5 = auth_on_register_m5}"""
    commons = """
num_states = 2
keep_state = false
function ask(command, key) return redis.cmd(pool, command, key) end
function auth_on_register_m5(reg) return auth_on_register(reg) end"""
    with MqttPinfold({"auth/r.lua": script, "auth/commons.lua": commons}, {
            "scripts": {"r": {"file": "auth/r.lua", "config": {"a": 1}}},
            "auth_redis": {"port": redis_port}}) as p:
        client = p.mqtt()
        for hook in ("auth_on_register", "auth_on_register_m5"):
            for _ in range(3):
                assert client.call(hook, [register()]) == {"verdict": "ok",
                                                           "errors": []}


INSISTS = ["mysql", "memcached"]
NO_POOL = {"postgres": "execute('none', 'SELECT 1')",
           "cockroachdb": "execute('none', 'SELECT 1')",
           "mysql": "execute('none', 'SELECT 1')",
           "mysql2": "execute('none', 'SELECT 1')",
           "mongodb": "find_one('none', 'c', {})", "redis": "cmd('none', 'PING')",
           "memcached": "get('none', 'k')"}


@pytest.mark.parametrize("provider", NO_POOL)
def test_3_0_an_unknown_pool_is_badarg(ask, provider):
    why = ask.error(f"{provider}.{NO_POOL[provider]}")
    assert "bad argument" in why and "unknown pool none" in why


@pytest.mark.parametrize("provider", NO_POOL)
def test_3_a_server_that_is_not_there(ask, provider):
    """Only mysql and memcached insist at ensure_pool. Then: false of mysql2 and
    redis, an error that pcall catches of the others."""
    ensure = f"{provider}.ensure_pool{{pool_id = 'dead', port = {free_port()}}}"
    if provider in INSISTS:
        assert "unavailable" in ask.error(ensure)
        return
    assert ask.value(ensure) is True
    call = f"{provider}.{NO_POOL[provider].replace('none', 'dead')}"
    if provider in ("mysql2", "redis"):
        assert ask.value(f"({call})") is False
    else:
        assert "unavailable" in ask.error(call)


@pytest.mark.parametrize("provider", INSISTS)
def test_3_1_a_script_whose_ensure_pool_fails_does_not_load(provider):
    with MqttPinfold({"a.lua": f"{provider}.ensure_pool{{port = {free_port()}}}\n"
                               "hooks = {}"}) as p:
        p.wait_log(r"script=a cannot be loaded.*a\.lua:1: unavailable")


# --- 3.0 values

def test_3_0_nulls(databases):
    words = dict.fromkeys(["null", "undefined"])
    if databases.nulls == "string":
        words = {"null": "null", "undefined": "undefined"}
    query = "{}.execute('pool_{}', 'SELECT NULL AS v, 1 AS w')[1].v"
    for provider, word in (("postgres", "null"), ("mysql2", "null"),
                           ("mysql", "undefined")):
        assert databases.value(query.format(provider, provider)) == words[word]
    assert databases.value("redis.cmd('pool_redis', 'MGET nothing')[1]") \
        == words["undefined"]
    assert databases.value("redis.cmd('pool_redis', 'GET nothing')") is None
    assert databases.value("json.decode('{\"v\":null}').v") == words["null"]
    assert databases.value("json.decode('[null,1]')[1]") == words["null"]
    assert databases.value("json.decode('[null,1]')[2]") == 1


ROW = ("(function() local r = {0}.execute('pool_{0}', [=[{1}]=])[1] "
       "return {2} end)()")


@pytest.mark.parametrize("provider, sql, shown, value", [
    ("postgres", "SELECT 7::int8 AS v", "math.type(r.v) .. r.v", "integer7"),
    ("postgres", "SELECT 2::float8 AS v", "math.type(r.v) .. r.v", "float2.0"),
    ("postgres", "SELECT 1.50::numeric AS v", "type(r.v) .. r.v", "string1.50"),
    ("postgres", "SELECT true AS v", "r.v", True),
    ("postgres", r"SELECT '\x00ff'::bytea AS v", "#r.v .. r.v:byte(2)", "2255"),
    ("postgres", "SELECT array[[1,2],[3,4]] AS v", "r.v[2][1]", 3),
    ("postgres", "SELECT '{\"a\":1}'::jsonb AS v", "json.decode(r.v).a", 1),
    ("mysql", "SELECT 7 AS v", "math.type(r.v) .. r.v", "integer7"),
    ("mysql", "SELECT 12.0 AS v", "math.type(r.v) .. r.v", "float12.0"),
    ("mysql2", "SELECT CAST(12 AS DECIMAL(5,0)) AS v", "math.type(r.v)", "integer"),
    ("mysql2", "SELECT X'00FF' AS v", "#r.v .. r.v:byte(2)", "2255"),
])
def test_3_0_values(databases, provider, sql, shown, value):
    assert databases.value(ROW.format(provider, sql, shown)) == value


@pytest.mark.parametrize("call, told", [
    ("postgres.execute('pool_postgres', 'SELECT now() AS moment')", "moment::text"),
    ("mysql.execute('pool_mysql', 'SELECT NOW() AS moment')",
     "CAST(moment AS CHAR)"),
    ("mysql2.execute('pool_mysql2', 'SELECT ?', nil)", "bad argument"),
    ("redis.cmd('pool_redis', 'SET x', 5)", "bad argument"),
    ("redis.cmd('pool_redis', 5)", "bad argument")])
def test_3_errors_can_be_caught(databases, call, told):
    assert told in databases.error(call)
    assert databases.value("redis.cmd('pool_redis', 'PING')") == "PONG"


@pytest.mark.parametrize("call, value", [
    ("postgres.execute('pool_postgres', 'CREATE TEMP TABLE x (a int)')", {}),
    ("postgres.execute('pool_postgres', 'SELECT nothing FROM nowhere')", False),
    ("mysql.execute('pool_mysql', 'SELECT ? AS v', nil)", [{"v": "nil"}]),
    ("mysql.execute('pool_mysql', 'SELECT nothing FROM nowhere')", False),
    ("redis.cmd('pool_redis', 'SET two', 'a  b')", True),
    ("redis.cmd('pool_redis', 'GET two')", "a  b"),
    ("redis.cmd('pool_redis', 'STRLEN two')", "4"),
    ("redis.cmd('pool_redis', 'SET joined', {'a', 'b'})", True),
    ("redis.cmd('pool_redis', 'GET joined')", "ab"),
    ("redis.cmd('pool_redis', 'nonsense')", False)])
def test_3_answers(databases, call, value):
    assert databases.value(f"({call})") == value


# --- wrong types, which VerneMQ's scripts cannot catch

@pytest.mark.parametrize("code", [
    "json.encode('x')", "json.encode(5)", "json.decode(5)", "json.decode({})",
    "log.info(5)", "log.error({})", "log.warning()", "log.debug(true)",
    "obf.decrypt(nil)", "obf.encrypt(5)", "obf.decrypt({})",
    "bcrypt.hashpw('x')", "bcrypt.hashpw(nil, 'x')", "bcrypt.hashpw('x', 'no salt')",
    "crypto.hash('sha1', 'x')", "crypto.hash('md5')", "crypto.hash(5, 'x')",
    "kv.ensure_table('x')", "kv.ensure_table{type = 'heap'}",
    "kv.insert('t', {})", "kv.insert('t', {'x'})", "kv.insert('t', 'x')",
    "kv.insert('t', {k = print})", "kv.insert_new('t', {})", "kv.lookup('t')",
    "kv.lookup('t', 5)", "kv.lookup('none', 'k')", "kv.delete('t', nil)",
    "kv.delete('none', 'k')", "kv.delete_all('none')", "kv.insert('none', {k = 1})",
    "vmq_api.disconnect_by_subscriber_id({mountpoint = ''}, {})",
    "vmq_api.disconnect_by_subscriber_id({client_id = ''}, {})",
    "vmq_api.disconnect_by_subscriber_id('c', {})",
    "vmq_api.reauthorize_subscriptions(nil, {mountpoint = '', client_id = 'c'}, {})",
    "vmq_api.reauthorize_subscriptions('u', {mountpoint = ''}, {})",
    "auth_cache.insert('', 'c', 5, {}, {})", "auth_cache.insert()",
    "auth_cache.match_publish('', 'c', '#', 0, '', false)",
    "auth_cache.match_subscribe('', 'c', 'a/#/b', 0)",
    "postgres.execute()", "postgres.execute('p', 5)", "mysql.execute({}, 'x')",
    "mongodb.insert('p', 'c', 'x')", "mongodb.update('p', 'c', {}, {})",
    "mongodb.find('p', 'c')", "mongodb.next(5)", "mongodb.take('x', 'many')",
    "redis.cmd()", "redis.ensure_pool('x')", "redis.ensure_pool{port = 'x'}",
    "memcached.set('p', 'k')", "memcached.get('p', 5)", "http.get()", "http.body(5)",
    "http.get('p', 'file:///etc/passwd')", "require(5)", "require 'nothing'",
])
def test_3_0_wrong_arguments_are_ordinary_errors(ask, code):
    ask.value("kv.ensure_table{name = 't'}")
    ask.error(code)
    assert ask("auth_on_publish", code)["errors"][0]["code"] == "script_error"


# --- libraries without a server

def test_3_10_the_default_cost_of_a_salt(ask):
    assert ask.value("bcrypt.gen_salt():sub(1, 7)") == "$2a$12$"


def test_3_12_tables_by_type(ask):
    for kind, want in (("set", [3]), ("ordered_set", [3]), ("bag", [1, 2, 3]),
                       ("duplicate_bag", [1, 2, 1, 3])):
        inserts = " ".join(f"kv.insert('{kind}', {{k = {n}}})" for n in (1, 2, 1, 3))
        got = ask.value(f"(function() kv.ensure_table{{name = '{kind}', "
                        f"type = '{kind}'}} {inserts} "
                        f"return kv.lookup('{kind}', 'k') end)()")
        assert sorted(got) == sorted(want), kind


def test_3_12_values_are_copies_of_any_depth(ask):
    assert ask.value("""(function()
        kv.ensure_table{}
        local v = {a = {b = {1, {c = "\\0"}}}, f = 1.0}
        kv.insert("simple_kv", {v = v})
        v.a.b = nil
        local got = kv.lookup("simple_kv", "v")[1]
        got.a = "changed"
        got = kv.lookup("simple_kv", "v")[1]
        return #got.a.b[2].c .. math.type(got.a.b[1]) .. math.type(got.f)
    end)()""") == "1integerfloat"


def test_3_15_obfuscation(ask):
    assert ask.value("obf.decrypt('plain')") == "plain"
    assert ask.value("obf.decrypt(obf.encrypt('\\0x\\xff')) == '\\0x\\xff'") is True
    assert ask.value("obf.encrypt('secret') ~= 'secret'") is True


def test_3_15_the_password_is_plain(ask):
    assert ask.value("t.password .. obf.decrypt(t.password)", "auth_on_register",
                     password="word") == "wordword"


def test_4_patterns_that_are_too_deep_match_nothing(ask):
    """VerneMQ has 10 levels by default (topic_max_depth), here it is 128."""
    code = ("(function() auth_cache.insert('', 'deep', 'u', {{{{pattern = '{0}'}}}}, "
            "nil) return auth_cache.match_publish('', 'deep', '{0}', 0, '', false) "
            "end)()")
    for levels in (10, 11, 128):
        assert ask.value(code.format("/".join("x" * levels))) is True, levels
    deep = "/".join("y" * 129)
    assert ask.value(f"(function() auth_cache.insert('', 'deep', 'u', {{{{pattern = "
                     f"'{deep}'}}}}, nil) return select(2, pcall(auth_cache."
                     f"match_publish, '', 'deep', '{deep}', 0, '', false)) end)()"
                     ) is False
    ask.broker.wait_log("no valid pattern 'y/y")


CACHE = """
local function know(reg)
    auth_cache.insert(reg.mountpoint, reg.client_id, reg.username,
                      {{pattern = "a/b"}}, nil)
end
hooks = {
    auth_on_register = function(reg)
        know(reg)
        return {subscriber_id = {mountpoint = "other", client_id = "renamed"}}
    end,
    auth_on_publish = function() return {topic = "asked/lua"} end,
    on_client_gone = function(t)
        local found = auth_cache.match_publish(t.mountpoint, t.client_id, "a/b",
                                               0, "", false)
        kv.set("found", tostring(found))
    end,
}"""


def test_4_entries_belong_to_the_ids_that_insert_was_given():
    """After a subscriber_id modifier too; and they are gone when the script
    hears of the end of the session."""
    with MqttPinfold({"a.lua": CACHE}) as p:
        client = p.mqtt()
        mods = client.call("auth_on_register", [register()])["mods"]
        assert mods["subscriber_id"]["client_id"] == "renamed"
        assert client.call("auth_on_publish", [publish()]) == {"verdict": "ok",
                                                               "errors": []}
        renamed = publish("renamed", mountpoint="other")
        assert client.call("auth_on_publish", [renamed])["mods"] == {
            "topic": "asked/lua"}
        client.call("on_client_gone", [{"mountpoint": "", "client_id": "client"}])
        assert p.control_client().call("kv.get", ["found", "mqtt"]) == b"false"
        assert client.call("auth_on_publish", [publish()])["mods"] == {
            "topic": "asked/lua"}


# --- 7 the language

@pytest.mark.parametrize("expression, value", [
    ("unpack({1, 2})", 1), ("loadstring('return 3')()", 3),
    ("bit32.bxor(6, 3) + bit32.lshift(1, 4)", 21), ("table.getn({1, 2})", 2),
    ("table.maxn({1, [5] = 2})", 5), ("math.pow(2, 3)", 8), ("math.log10(100)", 2),
    ("math.cosh(0) + math.sinh(0) + math.tanh(0)", 1), ("math.ldexp(1, 3)", 8),
    ("math.frexp(8)", 0.5), ("type(eprint)", "function"),
    ("('a,b'):gsub(',', ';')", "a;b"), ("('k=v'):match('^(%w+)=(%w+)$')", "k"),
    ("(function() local n = 0 for w in ('a b c'):gmatch('%a') do n = n + 1 end "
     "return n end)()", 3),
    ("string.format('%5.2f|%d|%q|%x', 1.5, 10, 'q', 255)", ' 1.50|10|"q"|ff'),
    ("#'\\xbc\\u{fc}'", 3), ("tonumber('42')", 42), ("'x' .. tonumber('1')", "x1"),
    ("10 / 2", 5.0), ("7 // 2", 3), ("type(os.time()) .. type(os.clock())",
                                     "numbernumber"),
    ("os.getenv('PATH')", None), ("os.date('!%Y', 0)", "1970"), ("type(io)", "nil"),
    ("type(os.execute)", "nil"), ("type(dofile)", "nil"), ("type(loadfile)", "nil"),
    ("select('#', nil, nil)", 2),
    ("select(2, pcall(error, {code = 1})).code", 1),
    ("tostring(select(2, pcall(error, 'boom')))", "boom"),
])
def test_7_2_what_older_engines_had_and_5_4_has(ask, expression, value):
    assert ask.value(f"({expression})") == value


def test_7_3_a_recursive_table_is_no_answer(ask):
    for hook in ("auth_on_publish", "on_deliver", "auth_on_subscribe_m5"):
        answer = ask(hook, "local a = {} a.topic, a.topics = a, a return a")
        assert answer["reason"] == "invalid_modifiers"
