# SPDX-License-Identifier: Apache-2.0
"""mongodb as scripts for VerneMQ know it: what each function answers, how
documents are converted, which failures are errors; better where pinfold means to
be: find without a match gives an empty cursor, and arrays in selectors work.

Against the server that lib.mongo finds. Where there is none the same cases run
against a double, and say `not MongoDB`.
"""

import itertools
import time

import pytest
from lib import bson
from lib.gateway import GatewayError, GatewayProcess, free_port
from lib.mongo import kinds, mongodb
from lib.mongod_double import Double

HEAD = b"vmq-objid"
names = itertools.count()


@pytest.fixture(scope="module")
def server():
    with mongodb() as server:
        print(f"tested with: {server.what}")
        yield server


@pytest.fixture(scope="module")
def gateway(server):
    with GatewayProcess({"mongodb": server.settings()}) as gateway:
        assert gateway.ensure("mongodb") is True
        yield gateway


class Mongo:
    """ask.insert(collection, ...); cursors' functions name no pool."""

    def __init__(self, gateway, pool="pool_mongodb"):
        self.gateway, self.pool = gateway, pool

    def __getattr__(self, op):
        def run(*args, **kwargs):
            pool = None if op in ("next", "take", "close") else self.pool
            return self.gateway.call("mongodb", op, args, pool=pool, **kwargs)
        return run

    def error(self, op, *args, **kwargs):
        with pytest.raises(GatewayError) as e:
            getattr(self, op)(*args, **kwargs)
        return e.value


@pytest.fixture
def ask(gateway):
    return Mongo(gateway)


@pytest.fixture
def coll(ask):
    name = f"c{next(names)}_{time.time_ns()}"
    yield name
    ask.delete(name, {})


def without_id(doc):
    return {k: v for k, v in doc.items() if k != "_id"}


# --- insert

def test_insert_gives_the_document_with_an_id(ask, coll):
    doc = ask.insert(coll, {"a": 1})
    assert without_id(doc) == {"a": 1}
    assert doc["_id"][:9] == HEAD and len(doc["_id"]) == 21
    assert ask.find_one(coll, {"_id": doc["_id"]}) == doc


def test_insert_of_many_gives_them_all(ask, coll):
    docs = ask.insert(coll, [{"i": i} for i in range(250)])
    assert [d["i"] for d in docs] == list(range(250))
    assert len({d["_id"] for d in docs}) == 250
    assert ask.find_one(coll, {"_id": docs[249]["_id"]})["i"] == 249


def test_insert_of_an_array_of_one_gives_one_document(ask, coll):
    assert without_id(ask.insert(coll, [{"a": 1}])) == {"a": 1}


def test_insert_keeps_an_id_of_its_own(ask, coll):
    assert ask.insert(coll, {"_id": "mine", "a": 1}) == {"_id": "mine", "a": 1}
    assert ask.insert(coll, {"_id": 7}) == {"_id": 7}
    assert ask.find_one(coll, {"_id": "mine"}) == {"_id": "mine", "a": 1}
    first = ask.insert(coll, {"b": 1})
    assert ask.error("insert", coll, first).code == "badarg"
    error = ask.error("insert", coll, {"_id": "mine"})
    assert error.code == "badarg" and "E11000" in error.message


@pytest.mark.parametrize("given", [
    [], "text", 5, None, [1, 2], [{"a": 1}, "b"], {1: "a"}])
def test_insert_of_what_is_no_document(ask, coll, given):
    assert ask.error("insert", coll, given).code == "badarg"


VALUES = [
    0.5, 1e300, 2.0, 0, -5, 2**31, 2**40, -2**63, "", "h\u00e9", True, False, None,
    [], [1, "a", 0.5, True], {"b": {"c": [1, {"d": []}]}}, "a\0b",
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_as_they_went(ask, coll, value):
    ask.insert(coll, {"n": 1, "v": value})
    found = ask.find_one(coll, {"n": 1})["v"]
    assert found == value and type(found) is type(value)


def test_strings_keep_their_bytes():
    with Double() as server, GatewayProcess({"mongodb": server.settings()}) as gateway:
        gateway.ensure("mongodb")
        ask = Mongo(gateway)
        ask.insert("c", {"v": b"raw \xff\xfe"})
        assert ask.find_one("c", {})["v"] == b"raw \xff\xfe"


def test_an_empty_table_is_an_array(ask, coll):
    ask.insert(coll, {"n": 1, "v": {}})
    assert ask.find_one(coll, {"n": 1})["v"] == []


def test_a_document_that_nests_too_deep(ask, coll):
    deep = {}
    for _ in range(25):
        deep = {"a": deep, "b": 1}
    assert ask.error("insert", coll, deep).code == "badarg"


# --- update, delete

def test_update_sets_in_the_first_match_only(ask, coll):
    ask.insert(coll, [{"k": "a", "n": i} for i in range(3)])
    assert ask.update(coll, {"k": "a"}, {"new": 1, "k": "b"}) is True
    cursor = ask.find(coll, {})
    docs = [without_id(d) for d in ask.take(cursor, 10)]
    assert sum(d == {"k": "b", "n": d["n"], "new": 1} for d in docs) == 1
    assert sum(d == {"k": "a", "n": d["n"]} for d in docs) == 2


def test_update_without_a_match_inserts_nothing(ask, coll):
    assert ask.update(coll, {"k": "none"}, {"a": 1}) is True
    assert ask.find_one(coll, {}) is False


def test_update_by_id(ask, coll):
    docs = ask.insert(coll, [{"n": 1}, {"n": 2}])
    assert ask.update(coll, {"_id": docs[1]["_id"]}, {"n": 9}) is True
    assert ask.find_one(coll, {"_id": docs[1]["_id"]})["n"] == 9
    assert ask.find_one(coll, {"_id": docs[0]["_id"]})["n"] == 1


@pytest.mark.parametrize("selector, doc", [
    ({}, {"a": 1}), ([], {"a": 1}), ({"a": 1}, {}), ({"a": 1}, []),
    ("a", {"a": 1}), ({"a": 1}, 5), ([1], {"a": 1})])
def test_update_needs_two_tables_with_keys(ask, coll, selector, doc):
    assert ask.error("update", coll, selector, doc).code == "badarg"


def test_delete_removes_all_that_match(ask, coll):
    ask.insert(coll, [{"k": "a"}, {"k": "a"}, {"k": "b"}])
    assert ask.delete(coll, {"k": "a"}) is True
    assert without_id(ask.find_one(coll, {})) == {"k": "b"}
    assert ask.delete(coll, {"k": "none"}) is True
    assert ask.delete(coll, {}) is True
    assert ask.find_one(coll, {}) is False


# --- find_one, find

@pytest.fixture
def five(ask, coll):
    ask.insert(coll, [{"n": n, "name": f"n{n}"} for n in range(5)])
    return coll


def test_find_one(ask, five):
    assert without_id(ask.find_one(five, {"n": 3})) == {"n": 3, "name": "n3"}
    assert ask.find_one(five, {"n": 9}) is False
    assert ask.find_one(five, {"n": 1, "name": "n2"}) is False


def test_find_one_with_arguments(ask, five):
    doc = ask.find_one(five, {"n": 3}, {"projector": {"name": False, "_id": False}})
    assert doc == {"n": 3}
    assert ask.find_one(five, {}, {"skip": 4})["n"] == 4
    assert ask.find_one(five, {}, {"skip": 5}) is False
    assert ask.find_one(five, {"n": 0}, {"projector": {}, "batchsize": 3})["n"] == 0
    for args in ({"skip": -1}, {"skip": "x"}, {"projector": 5}, {"batchsize": {}}):
        assert ask.error("find_one", five, {}, args).code == "badarg"


def test_arrays_in_selectors_work(ask, five):
    assert ask.find_one(five, {"n": {"$in": [3, 9]}})["n"] == 3
    assert ask.find_one(five, {"n": {"$in": []}}) is False
    cursor = ask.find(five, {"$or": [{"n": 1}, {"name": "n4"}]})
    assert [d["n"] for d in ask.take(cursor, 9)] == [1, 4]


def test_an_operator_that_the_server_does_not_know(ask, five):
    for op in ("find_one", "find"):
        assert ask.error(op, five, {"n": {"$bogus": 1}}).code == "badarg"
    assert ask.find_one(five, {"n": 1})["n"] == 1


def test_next_gives_one_after_the_other_and_then_false(ask, five):
    cursor = ask.find(five, {"n": {"$gt": 1}})
    assert cursor.startswith("mongo-cursor-")
    assert [ask.next(cursor)["n"] for _ in range(3)] == [2, 3, 4]
    assert ask.next(cursor) is False
    assert ask.next(cursor) is False
    assert ask.close(cursor) is True


def test_take_gives_what_there_is(ask, five):
    cursor = ask.find(five, {}, {"batchsize": 2})
    assert [d["n"] for d in ask.take(cursor, 3)] == [0, 1, 2]
    assert ask.next(cursor)["n"] == 3
    assert [d["n"] for d in ask.take(cursor, 3)] == [4]
    assert ask.take(cursor, 3) is False
    assert ask.error("take", cursor, "x").code == "badarg"


def test_find_without_a_match_gives_an_empty_cursor(ask, five):
    cursor = ask.find(five, {"n": 9})
    assert ask.next(cursor) is False
    assert ask.take(cursor, 2) is False
    assert ask.close(cursor) is True


def test_a_cursor_over_many_batches(ask, coll):
    ask.insert(coll, [{"n": n} for n in range(2000)])
    cursor = ask.find(coll, {}, {"batchsize": 7})
    assert [d["n"] for d in ask.take(cursor, 1500)] == list(range(1500))
    assert len(ask.take(cursor, 1500)) == 500
    assert ask.take(cursor, 1) is False


def test_a_closed_cursor_and_one_that_never_was(ask, five):
    cursor = ask.find(five, {})
    assert ask.close(cursor) is True
    for name in (cursor, "mongo-cursor-0123456789abcdef", "mongo-cursor-x", "x", ""):
        for op in ("next", "close"):
            assert ask.error(op, name).code == "badarg"


def test_two_cursors_do_not_disturb_each_other(ask, five):
    one, two = ask.find(five, {}), ask.find(five, {})
    assert ask.next(one)["n"] == 0
    assert ask.next(two)["n"] == 0
    assert ask.next(one)["n"] == 1
    ask.close(one)
    assert ask.next(two)["n"] == 1


def test_a_cursor_belongs_to_its_pool_whatever_the_call_says(gateway, ask, five):
    gateway.ensure("mongodb", {"size": 1}, pool="second")
    cursor = Mongo(gateway, "second").find(five, {"n": 2})
    assert gateway.call("mongodb", "next", [cursor], pool="second")["n"] == 2
    cursor = Mongo(gateway, "second").find(five, {"n": 2})
    assert ask.next(cursor)["n"] == 2


def test_cursors_are_asked_for_by_all_threads_at_once(gateway, ask, five):
    cursors = [ask.find(five, {}, {"batchsize": 1}) for _ in range(20)]
    ids = [gateway.send("mongodb", "next", [c]) for c in cursors for _ in range(5)]
    got = [gateway.wait(i)["n"] for i in ids]
    assert sorted(got) == sorted(list(range(5)) * 20)
    assert all(ask.next(c) is False for c in cursors)


def test_the_cursor_used_longest_ago_makes_room(ask, five):
    cursors = [ask.find(five, {"n": 1}) for _ in range(300)]
    assert ask.error("next", cursors[0]).code == "badarg"
    assert ask.next(cursors[-1])["n"] == 1
    assert ask.next(cursors[-250])["n"] == 1


# --- what only a server's own data shows

TYPES = [
    ("date", bson.date(1700000000123), 1700000000123),
    ("date", bson.date(-1), -1), ("null", None, None), ("double", 0.25, 0.25),
    ("nested", {"when": [bson.date(5)]}, {"when": [5]}),
    ("symbol", bson.symbol("abc"), "abc"), ("undefined", bson.UNDEFINED, None),
]
REFUSED = [
    ("oid", bson.Oid(bytes(12))), ("nested oid", {"a": {"_id": bson.Oid(bytes(12))}}),
    ("array of oid", [bson.Oid(bytes(12))]), ("binary", b"123"),
    ("regex", bson.REGEX), ("timestamp", bson.TIMESTAMP),
]


def put(server, coll, doc):
    """Into the server, past the gateway; false when it cannot hold that."""
    to = server.settings()
    try:
        answer = bson.command((to["host"], to["port"]), {
            "insert": coll, "$db": to["database"], "documents": [doc]})
    except EOFError:
        return False
    return answer.get("ok") == 1 and "writeErrors" not in answer


@pytest.fixture(params=kinds())
def filled(request):
    """A server to fill past the gateway, a gateway for it, a collection."""
    with (Double() if request.param == "double" else mongodb()) as server, \
            GatewayProcess({"mongodb": server.settings()}) as gateway:
        gateway.ensure("mongodb")
        name = f"c{next(names)}_{time.time_ns()}"
        yield server, Mongo(gateway), name
        Mongo(gateway).delete(name, {})


def test_types_of_bson(filled):
    server, ask, coll = filled
    held = 0
    for i, (_, value, expected) in enumerate(TYPES):
        if put(server, coll, {"_id": i, "v": value}):
            held += 1
            assert ask.find_one(coll, {"_id": i}) == {"_id": i, "v": expected}
    assert held == len(TYPES) if isinstance(server, Double) else held >= 5


def test_types_that_are_errors_name_the_field(filled):
    server, ask, coll = filled
    for i, (_, value) in enumerate(REFUSED):
        if not put(server, coll, {"_id": i, "v": value}):
            continue
        error = ask.error("find_one", coll, {"_id": i})
        assert error.code == "badarg" and "field" in error.message
        cursor = ask.find(coll, {"_id": i})
        assert ask.error("next", cursor).code == "badarg"
        assert ask.next(cursor) is False
    # All but those fields can be had.
    assert ask.find_one(coll, {"_id": 0}, {"projector": {"v": False}}) == {"_id": 0}


def test_ids_of_other_types(filled):
    server, ask, coll = filled
    assert put(server, coll, {"_id": b"bin", "n": 1})
    assert put(server, coll, {"_id": bson.Oid(bytes(range(12))), "n": 2})
    assert ask.find_one(coll, {"n": 1})["_id"] == "bin"
    assert ask.find_one(coll, {"n": 2})["_id"] == (HEAD + bytes(range(12))).decode()
    assert ask.find_one(coll, {"_id": HEAD + bytes(range(12))})["n"] == 2
    # Only at the top of a selector is it an ObjectId.
    assert ask.find_one(coll, {"v": {"_id": HEAD + bytes(range(12))}}) is False


# --- pools

def test_ensure_pool_does_not_insist(gateway):
    assert gateway.ensure("mongodb", {"port": free_port()}, pool="dead") is True
    for op, args in (("find_one", ["c", {}]), ("find", ["c", {}]),
                     ("insert", ["c", {"a": 1}])):
        assert gateway.error("mongodb", op, args, pool="dead").code == "unavailable"


@pytest.mark.parametrize("settings", [
    {"port": 70000}, {"w_mode": "sometimes"}, {"read_preference": "mine"},
    {"ssl": 5}, {"size": -1}])
def test_settings_that_make_no_sense_are_badarg(gateway, settings):
    with pytest.raises(GatewayError) as e:
        gateway.ensure("mongodb", settings, pool="wrong")
    assert e.value.code == "badarg" and next(iter(settings)) in e.value.message


@pytest.mark.parametrize("args", [
    ["find_one"], ["find_one", "c"], ["find_one", "", {}], ["find_one", 5, {}],
    ["find_one", "a\0b", {}], ["update", "c", {"a": 1}], ["bogus", "c", {}],
    ["find_one", "c", "x"]])
def test_wrong_arguments(gateway, args):
    assert gateway.error("mongodb", args[0], args[1:]).code == "badarg"


def test_unsafe_writes_are_not_waited_for(gateway, coll, ask):
    gateway.ensure("mongodb", {"w_mode": "unsafe"}, pool="unsafe")
    unsafe = Mongo(gateway, "unsafe")
    assert unsafe.insert(coll, {"_id": 1})["_id"] == 1
    assert unsafe.update(coll, {"_id": 1}, {"a": 2}) is True
    deadline = time.monotonic() + 10
    while ask.find_one(coll, {"a": 2}) is False and time.monotonic() < deadline:
        time.sleep(0.02)
    # No answer to a write is taken for one of these.
    for reader in (ask, *[unsafe] * 5):
        assert reader.find_one(coll, {"a": 2}) == {"_id": 1, "a": 2}


def test_limits(ask, coll):
    text = "x" * 3_000_000
    for n in range(6):
        ask.insert(coll, {"n": n, "text": text})
    cursor = ask.find(coll, {})
    assert ask.error("take", cursor, 6, timeout=30).code == "too_large"
    cursor = ask.find(coll, {}, {"batchsize": 1})
    assert len(ask.take(cursor, 4, timeout=30)) == 4


def refused(**config):
    """The error of a first call."""
    with GatewayProcess({"mongodb": config}) as gateway:
        gateway.ensure("mongodb")
        return gateway.error("mongodb", "find_one", ["c", {}])


def test_login():
    with mongodb(auth="admin") as server:
        config = server.settings(auth_source="admin")
        with GatewayProcess({"mongodb": config}) as gateway:
            gateway.ensure("mongodb")
            assert without_id(Mongo(gateway).insert("c", {"a": 1})) == {"a": 1}
            for wrong in ({"password": "opensesame"}, {"login": "nobody"},
                          {"auth_source": "elsewhere"}):
                pool = next(iter(wrong))
                gateway.ensure("mongodb", wrong, pool=pool)
                error = gateway.error("mongodb", "find_one", ["c", {}], pool=pool)
                assert error.code == "unavailable"
                assert "opensesame" not in error.message


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_login_mechanisms(mechanism):
    server = Double(auth="core", mechanisms=[mechanism])
    server.user, server.password = "o,n=e", "s3c,r=et"
    with server:
        config = server.settings(auth_source="core")
        with GatewayProcess({"mongodb": config}) as gateway:
            gateway.ensure("mongodb")
            assert Mongo(gateway).find_one("c", {}) is False
        error = refused(**{**config, "password": "opensesame"})
        assert error.code == "unavailable"
        assert "Authentication failed" in error.message
        error = refused(host=config["host"], port=config["port"])
        assert error.code == "badarg" and "authentication" in error.message


def test_tls():
    import shutil
    import tempfile
    from pathlib import Path

    from lib import certs
    directory = Path(tempfile.mkdtemp(prefix="pinfold-tls-"))
    directory.chmod(0o755)
    try:
        good = certs.make(directory)
        (directory / "other").mkdir()
        stranger = certs.make(directory / "other")
        for file in (*good, *stranger):
            file.chmod(0o644)
        with mongodb(tls=good) as server:
            check_tls(server.settings(ssl=True), str(good[0]), str(stranger[0]))
    finally:
        shutil.rmtree(directory)


def check_tls(config, good, stranger):
    with GatewayProcess({"mongodb": {**config, "cafile": good}}) as gateway:
        gateway.ensure("mongodb")
        gateway.ensure("mongodb", {**config, "host": "localhost"}, pool="name")
        for pool in ("pool_mongodb", "name"):
            assert Mongo(gateway, pool).find_one("c", {}) is False
    with GatewayProcess({"mongodb": {**config, "cafile": stranger}}) as gateway:
        gateway.ensure("mongodb")
        gateway.ensure("mongodb", {"verify": "verify_none"}, pool="unverified")
        assert Mongo(gateway, "unverified").find_one("c", {}) is False
        assert gateway.error("mongodb", "find_one", ["c", {}]).code == "unavailable"
