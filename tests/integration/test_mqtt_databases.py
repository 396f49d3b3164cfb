# SPDX-License-Identifier: Apache-2.0
"""docs/mqtt-databases.md, section by section, against real servers (or what
lib.mongo has): the block of the page as the configuration, the table and row of
the page as the data."""

import contextlib
import json
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lib import mongo, servers
from lib.gateway import memcached_server, redis_server
from lib.mqtt_scripts import MqttPinfold, publish, register, subscribe
from lib.pinfold import ROOT
from lib.wait import until

PAGE = (ROOT / "docs/mqtt-databases.md").read_text()
SCHEMA = ROOT / "scripts/auth/schema"
# bcrypt of `secret`, cost 4
HASH = "$2a$04$W1NZq5lV7DzWvNjEjjm5AeWZBBEBw4E9T47NrXv/Y71FigPm4/JlC"


def fence(language, name):
    """The text of the page's fence that is marked with both words."""
    found = re.findall(rf"^```{language} {name}\n(.*?)^```$", PAGE, re.M | re.S)
    assert len(found) == 1, (language, name)
    return found[0]


def block(name, **settings):
    """The configuration of the page, with the private server's address."""
    found = re.findall(r"^    (\w+): (\S+)", fence("yaml", name), re.M)
    written = {key: json.loads(value) if value in ("true", "0") else value
               for key, value in found}
    return {"bundled": str(ROOT / "scripts"),
            f"auth_{name}": {**written, **settings}}


def sql_settings(server):
    return server.settings(host="127.0.0.1")


@contextlib.contextmanager
def postgres():
    with servers.postgres() as server:
        server.sql((SCHEMA / "postgres.sql").read_text())
        server.sql(fence("sql", "postgres"))
        yield block("postgres", **sql_settings(server))


@contextlib.contextmanager
def cockroachdb():
    """PostgreSQL stands in for it: what it lacks is made by hand."""
    with servers.postgres() as server:
        server.sql("CREATE FUNCTION sha256(text) RETURNS text LANGUAGE sql AS "
                   "$$ SELECT encode(digest($1, 'sha256'), 'hex') $$;")
        server.sql((SCHEMA / "cockroachdb.sql").read_text())
        server.sql(fence("sql", "cockroachdb"))
        yield block("cockroachdb", ssl=False, **sql_settings(server))


@contextlib.contextmanager
def mariadb(name):
    with servers.mariadb() as server:
        server.sql((SCHEMA / "mysql.sql").read_text())
        server.sql(fence("sql", "mysql"))
        yield block(name, **sql_settings(server))


FILL_MONGODB = """
mongodb.ensure_pool({pool_id = "fill"})
mongodb.insert("fill", "vmq_acl_auth", json.decode([==[%s]==]))
"""


@contextlib.contextmanager
def mongodb():
    with mongo.mongodb() as server:
        document = json.loads(fence("json", "mongodb").replace("HASH", HASH))
        yield (block("mongodb", **server.settings()),
               {"fill.lua": FILL_MONGODB % json.dumps(document)})


def record():
    """Key and value of the page's redis-cli line."""
    found = re.fullmatch(r"redis-cli set '(.*?)' '(.*)'\n", fence("sh", "redis"), re.S)
    return found[1], found[2].replace("HASH", HASH)


@contextlib.contextmanager
def redis(tmp_path):
    with redis_server(tmp_path, "--requirepass", "database-password") as server:
        subprocess.run(["redis-cli", "-h", "127.0.0.1", "-p", str(server.port),
                        "-a", "database-password", "set", *record()],
                       check=True, capture_output=True)
        yield block("redis", host="127.0.0.1", port=server.port)


REGISTER = """
memcached.ensure_pool({pool_id = "fill", host = "127.0.0.1", port = %d})
assert(memcached.set("fill", [==[%s]==], [==[%s]==]))
"""


@contextlib.contextmanager
def memcached():
    """The scripts' keys are hashed where memcached cannot carry them, so a
    script fills it, as the page says of records."""
    with memcached_server() as server:
        yield (block("memcached", host="127.0.0.1", port=server.port),
               {"fill.lua": REGISTER % (server.port, *record())})


class Login(BaseHTTPRequestHandler):
    answer = b""
    asked = []

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(asked)
        good = [asked[key] for key in ("mountpoint", "client_id", "username",
                                       "password")] == ["", "meter-7", "anna",
                                                        "secret"]
        body = self.answer if good else b'{"result": "deny"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def http():
    Login.answer = fence("json", "http").encode()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Login)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield block("http", url=f"http://127.0.0.1:{server.server_port}/mqtt/login")
    finally:
        server.shutdown()
        server.server_close()


def made(name, tmp_path):
    if name in ("mysql", "mysql2"):
        return mariadb(name)
    if name == "redis":
        return redis(tmp_path)
    return globals()[name]()


DATABASES = ["postgres", "cockroachdb", "mysql", "mysql2", "mongodb", "redis",
             "memcached", "http"]


def anna(**more):
    return register("meter-7", username="anna", password="secret", **more)


@pytest.mark.parametrize("name", DATABASES)
def test_walk_through(name, tmp_path):
    with made(name, tmp_path) as setting:
        mqtt, files = setting if isinstance(setting, tuple) else (setting, {})
        with MqttPinfold(files, mqtt=mqtt) as p:
            client = p.mqtt()
            check_register(client)
            check_rights(client)
            assert "secret" not in p.log_file.read_text()


def check_register(client):
    for hook in "auth_on_register", "auth_on_register_m5":
        wrong = [anna() | {"password": "Secret"}, anna() | {"password": ""},
                 anna() | {"username": "otto"}, anna() | {"client_id": "meter-8"},
                 anna() | {"mountpoint": "x"}]
        bare = anna()
        del bare["password"]
        for event in [*wrong, bare]:
            answer = client.call(hook, [event])
            assert (answer["verdict"], answer["reason"]) == \
                ("deny", "invalid_credentials"), (event, answer)
        answer = client.call(hook, [anna()])
        assert answer["verdict"] == "ok", answer
        assert [rule["pattern"] for rule in answer["acl"]["publish"]] == \
            ["sensors/meter-7/#"]


def check_rights(client):
    """From the cache: nothing of the script answers these with ok."""
    def ask(hook, event):
        return client.call(hook, [event])["verdict"]

    for m5 in "", "_m5":
        may = publish("meter-7", username="anna", topic="sensors/meter-7/t")
        assert ask("auth_on_publish" + m5, may) == "ok"
        assert ask("auth_on_publish" + m5, may | {"qos": 2}) == "deny"
        assert ask("auth_on_publish" + m5, may | {"topic": "sensors/meter-8/t"}) \
            == "deny"
        reads = subscribe("meter-7", [("news/today", 1)], username="anna")
        assert ask("auth_on_subscribe" + m5, reads) == "ok"
        secret = subscribe("meter-7", [("sensors/#", 1)], username="anna")
        assert ask("auth_on_subscribe" + m5, secret) == "deny"


@pytest.mark.parametrize("name", ["postgres", "cockroachdb"])
def test_bcrypt_in_the_column(name):
    with globals()[name]() as mqtt, \
            contextlib.ExitStack() as stack:
        settings = mqtt[f"auth_{name}"]
        settings["password_hash_method"] = "bcrypt"
        fill = ("INSERT INTO vmq_auth_acl VALUES ('', '*', 'bert', '%s', "
                "'[{\"pattern\": \"#\"}]', NULL)" % HASH)
        script = {"fill.lua": """
            %s.ensure_pool({pool_id = "fill"})
            assert(%s.execute("fill", [==[%s]==]) == true)""" % (name, name, fill)}
        p = stack.enter_context(MqttPinfold(script, mqtt=mqtt))
        client = p.mqtt()
        bert = register("anything", username="bert", password="secret")
        assert client.call("auth_on_register", [bert])["verdict"] == "ok"
        wrong = bert | {"password": "other"}
        assert client.call("auth_on_register", [wrong])["verdict"] == "deny"
        # a publish ACL and no subscribe ACL: nothing may be subscribed
        reads = subscribe("anything", [("a", 0)], username="bert")
        assert client.call("auth_on_subscribe", [reads])["verdict"] == "deny"


@pytest.mark.parametrize("method, sql", [
    ("password", "PASSWORD('secret')"), ("md5", "MD5('secret')"),
    ("sha1", "SHA1('secret')"), ("sha256", "SHA2('secret', 256)")])
def test_mysql_hash_methods(method, sql):
    with servers.mariadb() as server:
        server.sql((SCHEMA / "mysql.sql").read_text())
        server.sql(f"INSERT INTO vmq_auth_acl VALUES ('', '*', 'anna', {sql}, "
                   "NULL, NULL)")
        for name in "mysql", "mysql2":
            mqtt = block(name, password_hash_method=method, **sql_settings(server))
            with MqttPinfold(mqtt=mqtt) as p:
                client = p.mqtt()
                assert client.call("auth_on_register", [anna()])["verdict"] == "ok"
                wrong = anna() | {"password": "x"}
                assert client.call("auth_on_register", [wrong])["verdict"] == "deny"


def test_the_row_of_the_client_goes_before_the_star():
    with servers.postgres() as server:
        server.sql((SCHEMA / "postgres.sql").read_text())
        for who, topic in ("*", "all"), ("meter-7", "mine"):
            server.sql("INSERT INTO vmq_auth_acl VALUES ('', '%s', 'anna', "
                       "crypt('secret', gen_salt('bf', 4)), "
                       "'[{\"pattern\": \"%s\"}]', NULL)" % (who, topic))
        with MqttPinfold(mqtt=block("postgres", **sql_settings(server))) as p:
            answer = p.mqtt().call("auth_on_register", [anna()])
            assert [r["pattern"] for r in answer["acl"]["publish"]] == ["mine"]
            answer = p.mqtt().call("auth_on_register",
                                   [anna() | {"client_id": "meter-9"}])
            assert [r["pattern"] for r in answer["acl"]["publish"]] == ["all"]


def test_the_database_is_away():
    """The script fails, nobody else answers: refused; and back by itself."""
    with servers.postgres() as server:
        server.sql((SCHEMA / "postgres.sql").read_text())
        server.sql(fence("sql", "postgres"))
        with MqttPinfold(mqtt=block("postgres", **sql_settings(server))) as p:
            client = p.mqtt()
            assert client.call("auth_on_register", [anna()])["verdict"] == "ok"
            server.stop()
            answer = client.call("auth_on_register", [anna()])
            assert answer["verdict"] == "next"
            assert answer["reason"] == "plugin_chain_exhausted"
            assert answer["errors"][0]["script"] == "auth_postgres"
            server.start()
            until(lambda: client.call("auth_on_register", [anna()])["verdict"] == "ok",
                  what="the database is used again")
