# SPDX-License-Identifier: Apache-2.0
"""What scripts get from redis, memcached, http and bcrypt: one case a rule.

The gateway is asked directly, as the broker asks it; what a worker makes of a
value (nil, a Lua table) is in the tests of its libraries. Redis and memcached
are real ones, private and on loopback.
"""

import shutil
import tempfile
from pathlib import Path

import pytest

from lib import gateway as lib
from lib.gateway import GatewayProcess, memcached_server, redis_server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    folder = tmp_path_factory.mktemp("redis")
    with redis_server(folder) as redis, memcached_server() as memcached:
        config = {"redis": {"host": "127.0.0.1", "port": redis.port},
                  "memcached": {"port": memcached.port},
                  "bcrypt": {"rounds": 4}}
        with GatewayProcess(config) as process:
            process.redis_port = redis.port
            assert process.ensure("redis") is True
            assert process.ensure("memcached") is True
            yield process


# --- redis


def redis(gateway, *args):
    return gateway.call("redis", "cmd", args)


def test_redis_ok_is_true(gateway):
    assert redis(gateway, "SET a b") is True


def test_redis_a_stored_ok_is_true_too(gateway):
    redis(gateway, "SET", "word", "OK")
    assert redis(gateway, "GET word") is True


def test_redis_nothing_is_nil(gateway):
    assert redis(gateway, "GET", "no such key") is None


@pytest.mark.parametrize("size", [16 << 10, 64 << 10, 100_000, 1 << 20, 15 << 20])
def test_redis_large_values(gateway, size):
    value = b"\xff" * (size - 1) + b"\n"
    redis(gateway, "SET", "large", value)
    assert redis(gateway, "GET large") == value
    redis(gateway, "DEL list large")
    redis(gateway, "RPUSH", "list", value, "behind")
    assert redis(gateway, "LRANGE list 0 -1") == [value, "behind"]
    redis(gateway, "DEL list")


def test_redis_integers_are_strings(gateway):
    redis(gateway, "SET n 100")
    assert redis(gateway, "INCR n") == "101"


def test_redis_bulk_keeps_its_bytes(gateway):
    redis(gateway, "SET", "bytes", b"\x00\xff\r\n x")
    assert redis(gateway, "GET bytes") == b"\x00\xff\r\n x"


def test_redis_arrays_are_tables(gateway):
    redis(gateway, "DEL list")
    assert redis(gateway, "RPUSH list", "x", "y z", "7") == "3"
    assert redis(gateway, "LRANGE list 0 -1") == ["x", "y z", "7"]


def test_redis_nil_within_an_array(gateway):
    # The worker calls it "undefined", or what `nulls` says.
    redis(gateway, "SET here 1")
    assert redis(gateway, "MGET here not_here") == ["1", None]


def test_redis_nested_arrays(gateway):
    script = "return {1, {'two', {3}}, false}"
    assert redis(gateway, "EVAL", script, "0") == ["1", ["two", ["3"]], None]


def test_redis_an_error_reply_is_false_and_logged(gateway):
    assert redis(gateway, "NOSUCHCOMMAND x") is False
    gateway.until(lambda: any("unknown command" in line for line in gateway.logs),
                  "a line about the command")


def test_redis_words_end_at_every_space(gateway):
    # Two spaces: an empty word between them, here the value.
    assert redis(gateway, "SET empty ") is True
    assert redis(gateway, "GET empty") == ""
    assert redis(gateway, "SET  value") is True
    assert redis(gateway, "GET ") == "value"


def test_redis_quotes_are_bytes_like_others(gateway):
    assert redis(gateway, 'SET quoted "a') is True
    assert redis(gateway, "GET quoted") == '"a'


def test_redis_an_argument_is_never_split(gateway):
    redis(gateway, "SET", "k", "a b  c\r\nDEL k")
    assert redis(gateway, "GET", "k") == "a b  c\r\nDEL k"


def test_redis_percent_signs_mean_nothing(gateway):
    assert redis(gateway, "SET format %s%n%b") is True
    assert redis(gateway, "GET", "format") == "%s%n%b"


def test_redis_a_table_is_joined_to_one_argument(gateway):
    redis(gateway, "SET joined", ["a", "b", "c"])
    assert redis(gateway, "GET joined") == "abc"


@pytest.mark.parametrize("args", [[5], ["GET", 5], ["GET", True], ["GET", None], []])
def test_redis_other_types_are_badarg(gateway, args):
    assert gateway.error("redis", "cmd", args).code == "badarg"


@pytest.mark.parametrize("command", ["SUBSCRIBE x", "monitor", "CLIENT REPLY OFF"])
def test_redis_what_would_break_a_pool_is_badarg(gateway, command):
    assert gateway.error("redis", "cmd", [command]).code == "badarg"
    assert redis(gateway, "PING") == "PONG"


def test_redis_unknown_pool_and_function(gateway):
    assert gateway.error("redis", "cmd", ["PING"], pool="nobody's").code == "badarg"
    assert gateway.error("redis", "nothing", ["PING"]).code == "badarg"


def test_redis_first_settings_of_a_pool_stay(gateway):
    assert gateway.ensure("redis", {"port": 1}) is True
    assert redis(gateway, "PING") == "PONG"


def test_redis_wrong_settings_are_badarg(gateway):
    with pytest.raises(lib.GatewayError) as error:
        gateway.ensure("redis", {"port": "many"}, pool="wrong")
    assert error.value.code == "badarg" and "port" in error.value.message


def test_redis_ensure_pool_without_a_server_is_true(gateway):
    assert gateway.ensure("redis", {"port": 1}, pool="nowhere") is True
    assert gateway.error("redis", "cmd", ["PING"], pool="nowhere").code == "unavailable"


def test_redis_database_and_password(tmp_path):
    with redis_server(tmp_path, "--requirepass", "s3 cret") as server:
        config = {"redis": {"port": server.port, "password": "s3 cret", "database": 3}}
        with GatewayProcess(config) as g:
            g.ensure("redis")
            g.ensure("redis", {"database": 0}, pool="zero")
            g.ensure("redis", {"password": "wrong"}, pool="wrong")
            assert g.call("redis", "cmd", ["SET in three"]) is True
            assert g.call("redis", "cmd", ["GET in"], pool="zero") is None
            g.call("redis", "cmd", ["SELECT 3"], pool="zero")
            error = g.error("redis", "cmd", ["PING"], pool="wrong")
            assert error.code == "unavailable" and "s3 cret" not in error.message


def test_redis_user_and_password(tmp_path):
    user = "user joe on >pw ~* +@all"
    with redis_server(tmp_path, *["--" + user.split()[0], *user.split()[1:]]) as server:
        config = {"redis": {"port": server.port, "user": "joe", "password": "pw"}}
        with GatewayProcess(config) as g:
            g.ensure("redis")
            assert g.call("redis", "cmd", ["ACL WHOAMI"]) == "joe"


# --- memcached


def cache(gateway, op, *args):
    return gateway.call("memcached", op, args)


def test_memcached_flush_all(gateway):
    assert cache(gateway, "set", "gone", "v") == "v"
    assert cache(gateway, "flush_all") is True
    assert cache(gateway, "get", "gone") is False


def test_memcached_set_and_get(gateway):
    assert cache(gateway, "set", "k", b"\x00\xff\r\nget k\r\n") == b"\x00\xff\r\nget k\r\n"
    assert cache(gateway, "get", "k") == b"\x00\xff\r\nget k\r\n"
    assert cache(gateway, "set", "empty", "") == ""
    assert cache(gateway, "get", "empty") == ""


def test_memcached_add_only_what_is_new(gateway):
    cache(gateway, "delete", "new")
    assert cache(gateway, "add", "new", "1") == "1"
    assert cache(gateway, "add", "new", "2") is False
    assert cache(gateway, "get", "new") == "1"


def test_memcached_replace_only_what_is_there(gateway):
    cache(gateway, "delete", "there")
    assert cache(gateway, "replace", "there", "1") is False
    cache(gateway, "set", "there", "1")
    assert cache(gateway, "replace", "there", "2") == "2"


def test_memcached_delete(gateway):
    cache(gateway, "set", "k", "v")
    assert cache(gateway, "delete", "k") is True
    assert cache(gateway, "delete", "k") is False


def test_memcached_expiry(gateway):
    assert cache(gateway, "set", "short", "v", -1) == "v"
    assert cache(gateway, "get", "short") is False
    assert cache(gateway, "set", "long", "v", 1000.0) == "v"
    assert cache(gateway, "get", "long") == "v"


def test_memcached_any_key(gateway):
    keys = ["unknown key", "a\r\nflush_all", "%61", "a", "%20", " ", b"\xff\x00", "ä"]
    cache(gateway, "flush_all")
    assert cache(gateway, "get", "unknown key") is False
    for i, key in enumerate(keys):
        assert cache(gateway, "set", key, str(i)) == str(i)
    assert [cache(gateway, "get", key) for key in keys] == \
        [str(i) for i in range(len(keys))]


@pytest.mark.parametrize("key", ["", "k" * 251, " " * 100])
def test_memcached_keys_that_cannot_be_carried_are_false(gateway, key):
    assert cache(gateway, "set", key, "v") is False
    assert cache(gateway, "get", key) is False


def test_memcached_too_large_a_value_is_false(gateway):
    assert cache(gateway, "set", "big", "x" * (2 << 20)) is False
    assert cache(gateway, "set", "k", "v") == "v"


@pytest.mark.parametrize("op, args", [
    ("get", [5]), ("get", []), ("set", ["k"]), ("set", ["k", 5]),
    ("set", ["k", "v", "soon"]), ("nothing", ["k"])])
def test_memcached_other_types_are_badarg(gateway, op, args):
    assert gateway.error("memcached", op, args).code == "badarg"


def test_memcached_ensure_pool_needs_its_server(gateway):
    with pytest.raises(lib.GatewayError) as error:
        gateway.ensure("memcached", {"port": 1}, pool="nowhere")
    assert error.value.code == "unavailable"


# --- http


def test_http_get(gateway, origin):
    answer = gateway.call("http", "get", [origin.url("/status/204")])
    assert answer["status"] == 204 and answer["ref"] == ""
    answer = gateway.call("http", "get", [origin.url("/x?y=1")])
    assert answer["status"] == 200 and answer["ref"] == "hello from origin"
    assert origin.requests[-1].target == "/x?y=1"


def test_http_a_pool_need_not_exist(gateway, origin):
    assert gateway.call("http", "get", [origin.url("/")], pool="never")["status"] == 200
    assert gateway.ensure("http", {"size": 2}, pool="some") is True
    assert gateway.call("http", "get", [origin.url("/")], pool="some")["status"] == 200


def test_http_body_gives_back_the_reference(gateway, origin):
    answer = gateway.call("http", "get", [origin.url("/")])
    assert gateway.call("http", "body", [answer["ref"]]) == "hello from origin"


@pytest.mark.parametrize("op", ["put", "post", "delete", "get"])
def test_http_a_string_is_the_body(gateway, origin, op):
    gateway.call("http", op, [origin.url("/b"), "raw\r\nbytes", {"X-One": "1"}])
    request = origin.requests[-1]
    assert (request.method, request.body) == (op.upper(), b"raw\r\nbytes")
    assert request.get("X-One") == "1"
    assert request.get("Content-Type") == "application/octet-stream"


def test_http_a_table_is_a_form(gateway, origin):
    gateway.call("http", "post", [origin.url("/f"), {"a b": "c&d=e", "n": 5}])
    request = origin.requests[-1]
    assert request.body == b"a+b=c%26d%3De&n=5"
    assert request.get("Content-Type") == "application/x-www-form-urlencoded"


def test_http_the_callers_content_type_holds(gateway, origin):
    gateway.call("http", "post", [origin.url("/"), "{}", {"content-type": "x/json"}])
    assert origin.requests[-1].all("Content-Type") == ["x/json"]


def test_http_without_a_body_headers_count_for_nothing(gateway, origin):
    gateway.call("http", "get", [origin.url("/"), None, {"X-One": "1"}])
    assert origin.requests[-1].get("X-One") is None


def test_http_header_names_come_as_they_were_sent(gateway, origin):
    headers = gateway.call("http", "get", [origin.url("/bytes/3")])["headers"]
    assert "Content-Length" in headers and headers["Content-Length"] == "3"


def test_http_chunked_answers(gateway, origin):
    assert gateway.call("http", "get", [origin.url("/chunked")])["ref"] == "onetwothree"


def test_http_content_is_not_decoded(gateway, origin):
    answer = gateway.call("http", "get", [origin.url("/gzip")])
    assert answer["ref"][:2] == b"\x1f\x8b"


def test_http_nobody_there_is_false(gateway):
    assert gateway.call("http", "get", [f"http://127.0.0.1:{lib.free_port()}/"]) is False


def test_http_a_broken_answer_is_false(gateway, origin):
    assert gateway.call("http", "get", [origin.url("/drop")]) is False


@pytest.mark.parametrize("url", [
    "file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/", "nonsense", "",
    "http://", "http://127.0.0.1:99999/", "http://a\x00b/", 5])
def test_http_other_urls_are_badarg(gateway, url):
    assert gateway.error("http", "get", [url]).code == "badarg"


@pytest.mark.parametrize("headers", [
    {"A\r\nB": "1"}, {"A": "1\r\nB: 2"}, {"A": "\x00"}, {"": "1"}, {"A b": "1"},
    {"A": {"x": "y"}}, "X: y"])
def test_http_headers_cannot_end_a_line(gateway, origin, headers):
    error = gateway.error("http", "get", [origin.url("/"), "body", headers])
    assert error.code == "badarg"


def test_http_framing_is_not_the_callers(gateway, origin):
    gateway.call("http", "post", [origin.url("/"), "12345", {
        "Content-Length": "2", "Transfer-Encoding": "chunked"}])
    request = origin.requests[-1]
    assert request.body == b"12345" and request.get("Transfer-Encoding") is None


def test_http_tls_is_verified(gateway, tls_origin):
    assert gateway.call("http", "get", [tls_origin.url("/")]) is False
    gateway.until(lambda: any("certificate" in line for line in gateway.logs),
                  "a line about the certificate")


def test_http_tls_with_a_cafile(tls_origin):
    # Readable by who the gateway becomes.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        cafile = shutil.copy(tls_origin.certificate, folder)
        Path(cafile).chmod(0o644)
        with GatewayProcess({"http": {"cafile": str(cafile)}}) as g:
            assert g.call("http", "get", [tls_origin.url("/")])["status"] == 200


# --- bcrypt


def test_bcrypt_salt_and_hash(gateway):
    salt = gateway.call("bcrypt", "gen_salt")
    assert salt.startswith("$2a$04$") and len(salt) == 29
    assert gateway.call("bcrypt", "gen_salt") != salt
    value = gateway.call("bcrypt", "hashpw", ["secret", salt])
    assert value.startswith(salt) and len(value) == 60
    assert gateway.call("bcrypt", "hashpw", ["secret", value]) == value
    assert gateway.call("bcrypt", "hashpw", ["Secret", value]) != value


@pytest.mark.parametrize("value", [
    "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"])
def test_bcrypt_known_hashes(gateway, value):
    assert gateway.call("bcrypt", "hashpw", ["U*U", value]) == value


@pytest.mark.parametrize("salt", [
    "", "x", "$1$abcdefgh$", "$2x$05$" + "C" * 22, "$2a$03$" + "C" * 22,
    "$2a$99$" + "C" * 22, "$2a$05$short", "$2a$05$" + "C" * 21 + "!", "$2a$31$" + "C" * 22])
def test_bcrypt_bad_salts_are_badarg(gateway, salt):
    assert gateway.error("bcrypt", "hashpw", ["secret", salt]).code == "badarg"


def test_bcrypt_passwords(gateway):
    salt = "$2a$04$" + "C" * 21 + "."
    hash_of = [gateway.call("bcrypt", "hashpw", [p, salt])
               for p in (b"\xff\xfe", "x" * 72, "x" * 100, "")]
    assert hash_of[1] == hash_of[2] and len(set(hash_of)) == 3
    # It would be cut there, and open what it should not.
    assert gateway.error("bcrypt", "hashpw", ["a\x00b", salt]).code == "badarg"
    assert gateway.error("bcrypt", "hashpw", [5, salt]).code == "badarg"
