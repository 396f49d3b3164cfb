# SPDX-License-Identifier: Apache-2.0
"""VerneMQ's libraries in a real worker, locked in as always: what scripts give
them and get from them. What the broker does with the calls is not here.

Arguments and messages call by call: tests/unit/test_mq_*.c.
"""

import json
import os

import msgpack
import pytest

from lib.fake_broker import Refuse, RunError, WorkerProcess
from lib.fake_libs import Libs, LibWorker
from lib.pinfold import ROOT

# Memory is limited by the worker's own heap, which sanitizers replace.
RELEASE = os.environ.get("PINFOLD_RELEASE", str(ROOT / "build"))


def load(source, settings=None, **kwargs):
    """Run a chunk as VerneMQ's test scripts are: every assert must hold."""
    with LibWorker(source, settings, **kwargs) as worker:
        return worker


def value(expression, settings=None, **kwargs):
    """What an expression of a hook is, with its type where it is a number."""
    source = f"""hooks = {{on_register = function(reg)
        local v = {expression}
        log.info(math.type(v) and math.type(v) .. " " .. v or tostring(v))
    end}}"""
    with LibWorker(source, settings, **kwargs) as worker:
        worker.hook("on_register", topic="t")
        return worker.logs[-1][2]


def error_of(statement, **kwargs):
    source = f"hooks = {{on_register = function(reg) {statement} end}}"
    with LibWorker(source, **kwargs) as worker:
        with pytest.raises(RunError) as e:
            worker.hook("on_register")
        with pytest.raises(RunError):
            worker.hook("on_register")
        return e.value.message


# --- scripts that check themselves while they load ---


def test_json():
    load(r"""
    assert(json.encode({hello = "world"}) == '{"hello":"world"}')
    assert(json.encode({z = 1, a = {x = true}, m = "v"})
           == '{"a":{"x":true},"m":"v","z":1}')
    assert(json.encode({1, 2, 3}) == "[1,2,3]")
    assert(json.encode({}) == "{}")
    local empty = json.decode("{}")
    assert(type(empty) == "table" and next(empty) == nil)
    empty = json.decode("[]")
    assert(type(empty) == "table" and next(empty) == nil)
    local text = '{"array":[1,2.5,"three"],"null":"null","object":{"b":false}}'
    local value = json.decode(text)
    assert(#value.array == 3 and value.object.b == false)
    assert(json.encode(value) == text)
    """)


def test_kv():
    worker = load(r"""
    assert(kv.ensure_table{name = "t", type = "set"} == true)
    assert(kv.ensure_table{name = "t", type = "set"} == true)
    assert(kv.insert("t", {a = 1, b = "two"}) == true)
    assert(kv.insert_new("t", {c = 3, a = 9}) == false)
    assert(#kv.lookup("t", "c") == 0)
    assert(kv.insert_new("t", {c = {d = {1, 2.5, "x"}}}) == true)
    assert(kv.lookup("t", "a")[1] == 1 and kv.lookup("t", "b")[1] == "two")
    assert(kv.lookup("t", "c")[1].d[2] == 2.5)
    local nested = kv.lookup("t", "c")[1]
    nested.d = "changed"
    assert(kv.lookup("t", "c")[1].d[3] == "x", "a copy")
    assert(kv.delete("t", "a") == true and #kv.lookup("t", "a") == 0)
    assert(kv.delete("t", "nobody") == true)
    assert(kv.delete_all("t") == true and #kv.lookup("t", "b") == 0)
    assert(kv.ensure_table{type = "bag", name = "bag"} == true)
    kv.insert("bag", {k = 1}) kv.insert("bag", {k = 2}) kv.insert("bag", {k = 1})
    assert(#kv.lookup("bag", "k") == 2)
    assert(kv.ensure_table{} == true and kv.insert("simple_kv", {x = true}))
    assert(not pcall(kv.lookup, "none", "k"))
    assert(not pcall(kv.insert, "t", {}) and not pcall(kv.insert, "t", {1}))
    -- ours, beside
    kv.set("mine", "1")
    assert(kv.get("mine") == "1" and kv.delete("mine") and not kv.get("mine"))
    """)
    assert sorted(worker.tables) == [b"bag", b"simple_kv", b"t"]


def test_bcrypt():
    load(r"""
    local salt = bcrypt.gen_salt()
    assert(salt:sub(1, 7) == "$2a$12$")
    local hash = bcrypt.hashpw("my-password", salt)
    assert(hash ~= "my-password" and #hash == 60)
    assert(bcrypt.hashpw("my-password", hash) == hash)
    assert(bcrypt.hashpw("another", hash) ~= hash)
    assert(not pcall(bcrypt.hashpw, "my-password", "no salt"))
    """)


def test_log():
    worker = load(r"""
    log.info("info ~p ~~ %s") log.error("error ~") log.debug("debug ~")
    log.warning("warning ~") print("one", 2) eprint("two")
    assert(log.info("x") == nil)
    for _, wrong in ipairs({1, true, {}}) do
      assert(not pcall(log.info, wrong))
    end
    assert(not pcall(log.info))
    """)
    assert [(level, text) for _, level, text, _ in worker.logs] == [
        (2, "info ~p ~~ %s"), (4, "error ~"), (1, "debug ~"), (3, "warning ~"),
        (2, "one\t2"), (2, "two"), (2, "x")]


DIGESTS = {"md5": 16, "sha": 20, "sha256": 32, "sha512": 64, "sha3_256": 32,
           "sha3_512": 64, "md4": 16, "ripemd160": 20, "sha224": 28, "sha384": 48,
           "sha3_224": 28, "sha3_384": 48, "blake2b": 64, "blake2s": 32}


def test_crypto():
    load("\n".join(f"assert(#crypto.hash('{name}', 'abc\\0') == {size})"
                   for name, size in DIGESTS.items()) + r"""
    assert(crypto.hash("md5", "abc")
           == "\x90\x01\x50\x98\x3c\xd2\x4f\xb0\xd6\x96\x3f\x7d\x28\xe1\x7f\x72")
    local ok, why = pcall(crypto.hash, "sha1", "abc")
    assert(not ok and why:find("bad argument", 1, true))
    """)


def test_obf():
    load(r"""
    assert(obf.decrypt("plain") == "plain")
    local blob = obf.encrypt("secret")
    assert(blob ~= "secret" and obf.decrypt(blob) == "secret")
    assert(not pcall(obf.decrypt, nil))
    """)


def test_vmq_api():
    worker = load(r"""
    local who = {mountpoint = "", client_id = "nobody"}
    assert(vmq_api.disconnect_by_subscriber_id(who, {do_cleanup = true})
           == "not_found")
    assert(vmq_api.reauthorize_subscriptions("user", who, {}) == "ok")
    assert(vmq_api.publish{topic = "t", payload = "p\0"} == "ok")
    assert(not pcall(vmq_api.disconnect_by_subscriber_id, {mountpoint = ""}, {}))
    """)
    assert worker.mqtt == [
        ("disconnect", "", "nobody", True), ("reauthorize", "user", "", "nobody"),
        ("publish", {"topic": "t", "payload": b"p\0", "qos": 0, "retain": False})]


def test_auth_cache():
    worker = load(r"""
    local publish = {{pattern = "a/b", modifiers = {topic = "x"}}, {pattern = "c"}}
    assert(auth_cache.insert("", "c", "u", publish, {{pattern = "d"}}) == true)
    assert(auth_cache.match_publish("", "c", "a/b", 0, "", false).topic == "x")
    assert(auth_cache.match_publish("", "c", "c", 2, "payload", true) == true)
    assert(auth_cache.match_publish("", "c", "d", 0, "", false) == false)
    assert(auth_cache.match_subscribe("", "c", "d", 1) == true)
    assert(auth_cache.match_subscribe("", "x", "d", 1) == false)
    assert(not pcall(auth_cache.match_publish, "", "c", "a/#", 0, "", false))
    for _, wrong in ipairs({{nil, "c", "u"}, {"", 5, "u"}, {"", "c", true}}) do
      assert(not pcall(auth_cache.insert, table.unpack(wrong, 1, 3)))
    end
    """)
    assert worker.cache["", "c"][0] == "u"
    assert [p for m, p in worker.calls if m == "cache.match_publish"][1][1:] == [
        "", "c", "c", 2, 7, True]


def test_auth_cache_complaints_go_to_the_log():
    source = "auth_cache.insert('', 'c', 'u', {{pattern = 'a', foo = 1}}, nil)"
    worker = LibWorker(source)
    worker.warnings = ["publish rule 1: unknown key 'foo'"]
    with worker:
        assert worker.logs[-1][1:3] == [3, "publish rule 1: unknown key 'foo'"]


# --- values on their way out and back ---


def echo(pool, sql, *args):
    return list(args)


@pytest.mark.parametrize("given, sent", [
    ("", []), ("nil", [None]), ("1, nil, 'a', nil, nil", [1, None, "a", None, None]),
    ("7, -7, math.maxinteger", [7, -7, 2**63 - 1]), ("0.5, 1e300", [0.5, 1e300]),
    ("true, false", [True, False]), ("'', 'a b', '\\u{e9}'", ["", "a b", "é"]),
    ("'\\0\\xff'", [b"\0\xff"]), ("{1, 'x', {2}}", [[1, "x", [2]]]), ("{}", [[]]),
    ("{a = 1, b = {c = {}}}", [{"a": 1, "b": {"c": []}}]),
    ("{[1] = 'a', [3] = 'c'}", [{"1": "a", "3": "c"}]),
    ("select('#'), (select(2, 1, 2))", [0, 2]),
])
def test_parameters(given, sent):
    source = ("hooks = {on_register = function() "
              f"postgres.execute('p', 'q', {given}) end}}").replace(", )", ")")
    with LibWorker(source, providers={("postgres", "execute"): echo}) as worker:
        worker.hook("on_register")
        method, params = worker.calls[-1]
        assert (method, params[1:4]) == ("provider.call",
                                         ["postgres", "execute", "p"])
        assert params[4] == ["q", *sent]
        assert [type(v) for v in params[4][1:]] == [type(v) for v in sent]


def test_a_whole_float_stays_one():
    source = "hooks = {on_register = function() redis.cmd('p', 'x', 2^2) end}"
    with LibWorker(source, providers={("redis", "cmd"): echo}) as worker:
        worker.hook("on_register")
        assert repr(worker.calls[-1][1][4]) == "['x', 4.0]"


@pytest.mark.parametrize("answer, expression, shown", [
    (5, "v", "integer 5"), (-2**63, "v", f"integer {-2**63}"),
    (2**64 - 1, "v", "float 1.844674407371e+19"), (2.0, "v", "float 2.0"),
    (True, "v", "true"), (False, "v", "false"), (None, "v", "nil"),
    ("text", "v", "text"), (b"\x00\xff", "#v", "integer 2"), ([], "#v", "integer 0"),
    ([{"a": 1}, {"a": 2}], "v[2].a", "integer 2"),
    ({"n": {"m": [1.5]}}, "v.n.m[1]", "float 1.5"),
    ([None, 1], "v[1]", "null"), ({"a": None}, "v.a", "null"),
    ({"a": [None]}, "v.a[1]", "null"),
])
def test_answers(answer, expression, shown):
    call = "(function(v) return " + expression + " end)(postgres.execute('p', 'q'))"
    assert value(call, providers={
        ("postgres", "execute"): lambda *a: answer}) == shown


WORDS = {"postgres": "null", "cockroachdb": "null", "mysql2": "null",
         "mysql": "undefined", "mongodb": "undefined", "redis": "undefined"}
CALLS = {"mongodb": ("find_one", "'p', 'c', {}"), "redis": ("cmd", "'p', 'x'")}


@pytest.mark.parametrize("nulls", ["string", "nil"])
@pytest.mark.parametrize("provider", sorted(WORDS))
def test_null(provider, nulls):
    op, args = CALLS.get(provider, ("execute", "'p', 'q'"))
    shown = value(f"{provider}.{op}({args}).n", {"nulls": nulls},
                  providers={(provider, op): lambda *a: {"n": None}})
    assert shown == (WORDS[provider] if nulls == "string" else "nil")


@pytest.mark.parametrize("nulls", ["string", "nil"])
def test_json_null_and_a_redis_key_that_is_not_there(nulls):
    text = value("json.decode('[null,2]')[1]", {"nulls": nulls})
    assert text == ("null" if nulls == "string" else "nil")
    assert value("redis.cmd('p', 'get x')", {"nulls": nulls},
                 providers={("redis", "cmd"): lambda *a: None}) == "nil"


@pytest.mark.parametrize("provider", [
    "postgres", "cockroachdb", "mysql", "mysql2", "mongodb", "redis", "memcached",
    "http"])
def test_pools(provider):
    worker = load(f"""assert({provider}.ensure_pool{{size = 2}} == true)
                      assert({provider}.ensure_pool{{size = 3}} == true)
                      assert({provider}.ensure_pool{{pool_id = "own"}} == true)""")
    assert worker.pools == {(provider, f"pool_{provider}"): {"size": 2},
                            (provider, "own"): {"pool_id": "own"}}


def test_http():
    worker = load("""
    local answer = http.post("p", "https://h/x", '{"a":1}', {["X-A"] = "b"})
    assert(answer.status == 201 and answer.headers["Content-Type"] == "text/plain")
    assert(http.body(answer.ref) == "said\\0so")
    assert(http.get("p", "https://down/") == false)
    """, providers={
        ("http", "post"): lambda pool, *a: {
            "status": 201, "headers": {"Content-Type": "text/plain"},
            "ref": b"said\0so"},
        ("http", "get"): lambda pool, url: False})
    asked = [p[1:] for m, p in worker.calls if m == "provider.call"]
    assert asked[0] == ["http", "post", "p",
                        ["https://h/x", '{"a":1}', {"X-A": "b"}]]


def test_mongodb_cursors():
    docs = iter([{"name": "a"}, False])
    worker = load("""
    local cursor = mongodb.find("p", "c", {name = {["$in"] = {"a", "b"}}},
                                {projector = {name = true}})
    assert(mongodb.next(cursor).name == "a" and mongodb.next(cursor) == false)
    assert(#mongodb.take(cursor, 2) == 0 and mongodb.close(cursor) == true)
    """, providers={
        ("mongodb", "find"): lambda pool, *a: "mongo-cursor-1",
        ("mongodb", "next"): lambda pool, c: next(docs),
        ("mongodb", "take"): lambda pool, c, n: [],
        ("mongodb", "close"): lambda pool, c: True})
    asked = [p[2:] for m, p in worker.calls if m == "provider.call"]
    assert asked[0][2] == ["c", {"name": {"$in": ["a", "b"]}},
                           {"projector": {"name": True}}]
    assert asked[3] == ["take", None, ["mongo-cursor-1", 2]]


# --- failures ---


def refuse(code, message="why"):
    def function(*args):
        raise Refuse(code, message)
    return function


def test_badarg_is_an_ordinary_error():
    message = error_of("postgres.execute('none', 'q')")
    assert message == ("test.lua:1: bad argument to 'execute' "
                       "(unknown_pool none)")
    assert value("pcall(postgres.execute, 'none', 'q')") == "false"


@pytest.mark.parametrize("provider, raises", [
    ("postgres", True), ("mysql", True), ("mysql2", False), ("mongodb", True),
    ("redis", False), ("memcached", True), ("http", False)])
def test_what_cannot_be_reached(provider, raises):
    op, args = {"mongodb": ("find_one", "'p', 'c', {}"), "redis": ("cmd", "'p', 'x'"),
                "memcached": ("get", "'p', 'k'"), "http": ("get", "'p', 'http://h'")
                }.get(provider, ("execute", "'p', 'q'"))
    providers = {(provider, op): refuse("unavailable", "p is not connected")}
    call = f"{provider}.{op}({args})"
    if raises:
        assert "unavailable: p is not connected" in error_of(
            call, providers=providers)
    else:
        assert value(call, providers=providers) == "false"


def test_denied_is_false_and_a_reason():
    denied = "denied: no grant for providers 'http:h:80'"
    providers = {("http", "get"): refuse("denied", denied)}
    assert value("select(2, http.get('p', 'http://h/'))",
                 providers=providers) == denied


def test_timeout_cannot_be_caught():
    with LibWorker("hooks = {on_register = function() "
                   "pcall(redis.cmd, 'p', 'x') pcall(error, 'x') end}",
                   providers={("redis", "cmd"): refuse("timeout")}) as worker:
        with pytest.raises(RunError) as e:
            worker.hook("on_register")
        assert e.value.code == "timeout"


def test_a_dead_database_does_not_stop_a_script_from_loading():
    providers = {("postgres", "execute"): refuse("unavailable")}
    source = """postgres.ensure_pool{host = "localhost", port = 12345}
    hooks = {auth_on_register = function(reg)
        return #postgres.execute("pool_postgres", "SELECT 1") > 0 end}"""
    with LibWorker(source, providers=providers) as worker:
        with pytest.raises(RunError) as e:
            worker.hook("auth_on_register")
        assert e.value.code == "script_error"
        assert e.value.message == "test.lua:3: unavailable: why"


def test_an_answer_that_is_too_large_fails_its_run_only(monkeypatch):
    monkeypatch.setenv("PINFOLD_BUILD", RELEASE)
    rows = [{"k": f"{i:060}", "n": i} for i in range(160000)]
    source = """hooks = {on_register = function()
                             kept = postgres.execute('p', 'q') end,
                         on_publish = function() log.info('fine') end}"""
    with LibWorker(source, providers={
            ("postgres", "execute"): lambda *a: rows}) as worker:
        with pytest.raises(RunError) as e:
            worker.hook("on_register")
        assert "not enough memory" in e.value.message
        worker.hook("on_publish")
        assert worker.logs[-1][2] == "fine"


def test_what_is_too_large_to_send():
    message = error_of("local s = ('x'):rep(1 << 20) local t = {} "
                       "for i = 1, 20 do t[i] = s end "
                       "redis.cmd('p', 'x', t)")
    assert "bad argument #3 to 'cmd' (too large)" in message
    assert "(too large)" in error_of(
        "local s = ('x'):rep(5 << 20) redis.cmd('p', 'x', s, s, s, s)")
    assert "too_large: provider.call: the arguments have more than" in error_of(
        "local s = ('x'):rep(20 << 20) redis.cmd('p', s)")


# --- lanes ---


def test_lanes_wait_at_the_same_time():
    source = """num_states = 4
    hooks = {auth_on_register = function(reg)
        local row = postgres.execute("p", "q", reg.client_id)
        return row[1] == reg.client_id end}"""
    waiting = []
    with LibWorker(source) as worker:
        runs = [worker.begin_hook("auth_on_register", {"client_id": f"c{i}"})
                for i in range(4)]
        while len(waiting) < 4:
            message = worker.read()
            assert message[:1] + message[2:3] == [0, "provider.call"]
            waiting.append(message)
        for _, msgid, _, params in reversed(waiting):
            worker.send([1, msgid, None, [params[4][1]]])
        for run in runs:
            assert worker.end_hook(run).verdict == "ok"


def test_calls_inside_of_what_cannot_yield():
    source = """num_states = 2
    hooks = {auth_on_register = function(reg)
        local text = ("ab"):gsub(".", function(c)
            return redis.cmd("p", "get", c) end)
        local co = coroutine.wrap(function() return redis.cmd("p", "get", "z") end)
        log.info(text .. co())
        return next end}"""
    with LibWorker(source, providers={
            ("redis", "cmd"): lambda pool, c, key: key.upper()}) as worker:
        assert worker.hook("auth_on_register").verdict == "next"
        assert worker.logs[-1][2] == "ABZ"


# --- hook files have the providers, and json and kv of their own ---


class HookFileWorker(Libs, WorkerProcess):
    pass


def test_hook_files():
    source = """
    local rows = postgres.execute("p", "q", nil, 1.0)
    log.info(rows[1].a .. tostring(rows[1].b) .. json.encode({}))
    log.info(tostring(obf) .. tostring(vmq_api) .. tostring(kv.lookup))
    local ok, why = redis.cmd("p", "x")
    log.info(tostring(ok) .. " " .. why)
    """
    worker = HookFileWorker({"before_request": source})
    worker.init_libs()
    worker.providers = {("postgres", "execute"): lambda *a: [{"a": 1, "b": None}],
                        ("redis", "cmd"): refuse("denied", "denied: no grant")}
    with worker:
        worker.run("before_request")
        assert [line[2] for line in worker.logs] == [
            "1nil[]", "nilnilnil", "false denied: no grant"]
        assert worker.calls[-2][1][4] == ["q", None, 1.0]


# --- json, row by row ---


@pytest.mark.parametrize("given, text", [
    ("{b = 1, a = 2, ['\\u{e9}'] = 3, Z = 4}", '{"Z":4,"a":2,"b":1,"é":3}'),
    ("{}", "{}"), ("{a = {}, b = {{}}}", '{"a":{},"b":[{}]}'),
    ("{[1] = 'a', [3] = 'c'}", '["a","c"]'), ("{1.0, 1e100}", "[1.0,1.0e100]"),
    ("{0.1, 1/3, 1e15}", "[0.1,0.3333333333333333,1.0e15]"),
    ("{'a\\n\\t\\0\\1/\\127'}", '["a\\n\\t\\u0000\\u0001/\x7f"]'),
    ("{'\\xff'}", '["\ufffd"]'), ("{'\\u{1f600}'}", '["\U0001f600"]'),
    ("{1, a = 2}", "nil"), ("{[1.5] = 1}", "nil"), ("{print}", "nil"),
    ("{json.decode('null')}", '["null"]')])
def test_json_encode(given, text):
    assert value(f"json.encode({given})") == text


@pytest.mark.parametrize("text, shown", [
    ("1.0", "float 1.0"), ("1e3", "float 1000.0"), ("12", "integer 12"),
    ("9223372036854775807", "integer 9223372036854775807"),
    ("9223372036854775808", "float 9.2233720368548e+18"), ("null", "null"),
    ("true", "true"), ('"x"', "x"), ('{"a":1,"a":2} x', "nil"), ("[1,]", "nil"),
    ("", "nil"), ("nope", "nil")])
def test_json_decode(text, shown):
    assert value(f"json.decode('{text}')") == shown


@pytest.mark.parametrize("call", ["json.encode('x')", "json.encode(nil)",
                                  "json.decode(1)", "json.decode(nil)"])
def test_json_raises(call):
    assert "bad argument #1 to" in error_of(call)


def test_json_of_python_comes_through():
    data = {"s": "é\n\"", "n": [1, -2, 0.5, 1e-9], "o": {"": {"k": [[], {}]}},
            "t": True, "f": False}
    text = json.dumps(data)
    shown = value(f"json.encode(json.decode([==[{text}]==]))")
    data["o"][""]["k"] = [{}, {}]
    assert json.loads(shown) == data
    assert msgpack.packb(data)
