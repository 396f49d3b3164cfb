# SPDX-License-Identifier: Apache-2.0
"""The gateway: hostile and absent servers, grants, and its life under a broker."""

import os
import signal
import subprocess
import threading
import time

import pytest

from lib.gateway import (GatewayError, GatewayProcess, free_port, memcached_server,
                         redis_server)
from lib.hostile import Hostile
from lib.mqtt_scripts import MqttPinfold, publish, register
from lib.wait import until

LIMIT = 16 << 20
MEMORY = 400 << 20      # of the process, whatever a server sends


def memory_of(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def sanitized(pid):
    return "libasan" in open(f"/proc/{pid}/maps").read()


def assert_small(gateway):
    if not sanitized(gateway.pid):
        assert memory_of(gateway.pid) < MEMORY


# --- servers that are hostile


def swallow(sock):
    while sock.recv(1 << 16):
        pass


def after_request(*pieces):
    def behave(sock):
        while sock.recv(1 << 16):
            for piece in pieces:
                sock.sendall(piece)
    return behave


def after_first(greeting, *pieces):
    """`greeting` for the first request, the pieces for what follows."""
    def behave(sock):
        sock.recv(1 << 16)
        sock.sendall(greeting)
        while sock.recv(1 << 16):
            for piece in pieces:
                sock.sendall(piece)
    return behave


def flood(head, piece):
    """A request, an answer that never ends."""
    def behave(sock):
        sock.recv(1 << 16)
        sock.sendall(head)
        for _ in range(4096):
            sock.sendall(piece)
    return behave


GARBAGE = bytes(range(128, 256)) * 64


@pytest.mark.parametrize("name, behave", {
    "garbage": after_request(GARBAGE),
    "an early end": after_request(b"$100\r\nabc"),
    "a negative length": after_request(b"$-100\r\n"),
    "nested too deep": after_request(b"*1\r\n" * 50 + b":1\r\n"),
    "a count that is a lie": after_request(b"*2000000000\r\n:1\r\n"),
    "a length that is a lie": after_request(b"$9000000000000000000\r\nx"),
    "two answers for one": after_request(b"+PONG\r\n+PONG\r\n+PONG\r\n"),
}.items(), ids=str)
def test_redis_that_lies(name, behave):
    with Hostile(behave) as server, GatewayProcess() as g:
        g.ensure("redis", {"host": "127.0.0.1", "port": server.port, "size": 1})
        for _ in range(3):
            try:
                answer = g.call("redis", "cmd", ["PING"], timeout=0.5)
            except GatewayError as error:
                assert error.code in ("unavailable", "timeout", "too_large")
            else:
                assert name == "two answers for one" and answer == "PONG"
        assert_small(g)


@pytest.mark.parametrize("head, piece", [
    (b"$9000000000\r\n", b"x" * 65536), (b"+", b"x" * 65536),
    (b"*90000\r\n", b"$65536\r\n" + b"x" * 65536 + b"\r\n"),
    (b"*1000000\r\n", b":1\r\n" * 1000)], ids=["bulk", "line", "array", "count"])
def test_redis_that_sends_without_end(head, piece):
    with Hostile(flood(head, piece)) as server, GatewayProcess() as g:
        g.ensure("redis", {"host": "127.0.0.1", "port": server.port, "size": 1})
        error = g.error("redis", "cmd", ["PING"], timeout=20)
        assert error.code == "too_large"
        assert_small(g)


@pytest.mark.parametrize("behave", [
    after_request(GARBAGE), after_request(b"VERSION\r\n"), after_request(b"\r\n" * 1000),
    after_first(b"END\r\n", GARBAGE + b"\r\n"), after_first(b"END\r\n", b"VERSION\r\n"),
    after_first(b"END\r\n", b"V", b"ERSION\r\n"), after_first(b"END\r\n", b"STAT a\r\n"),
    after_first(b"END\r\n", b"VALUE k 0 99999999999999\r\nx"),
    after_first(b"END\r\n", b"VALUE k 0 -1\r\nx\r\nEND\r\n"),
    after_first(b"END\r\n", b"VALUE k 0\r\n"),
    after_first(b"END\r\n", b"VALUE " + b"k" * 5000 + b" 0 1\r\nx\r\nEND\r\n"),
    after_first(b"END\r\n", b"VALUE k 0 5\r\nab"),
], ids=["garbage", "another answer", "empty lines", "later garbage", "version", "split",
        "stat", "a length that is a lie", "negative", "no length", "another key",
        "an early end"])
def test_memcached_that_lies(behave):
    with Hostile(behave) as server, GatewayProcess() as g:
        try:
            g.ensure("memcached", {"port": server.port})
        except GatewayError as error:
            assert error.code == "unavailable"
        for _ in range(2):
            try:
                assert g.call("memcached", "get", ["k"], timeout=0.5) is False
            except GatewayError as error:
                assert error.code in ("unavailable", "timeout", "too_large", "badarg")
        assert_small(g)


def test_memcached_that_sends_without_end():
    def behave(sock):
        sock.recv(1 << 16)
        sock.sendall(b"END\r\n")
        sock.recv(1 << 16)
        sock.sendall(b"VALUE k 0 9000000000\r\n")
        for _ in range(4096):
            sock.sendall(b"x" * 65536)

    with Hostile(behave) as server, GatewayProcess() as g:
        g.ensure("memcached", {"port": server.port})
        assert g.error("memcached", "get", ["k"], timeout=20).code in (
            "too_large", "unavailable")
        assert_small(g)


@pytest.mark.parametrize("answer", [
    GARBAGE, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", b"HTTP/9.9 x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"],
    ids=["garbage", "an early end", "version", "chunk", "length"])
def test_http_that_lies(answer):
    def behave(sock):
        sock.recv(1 << 16)
        sock.sendall(answer)

    with Hostile(behave) as server, GatewayProcess() as g:
        assert g.call("http", "get", [f"http://127.0.0.1:{server.port}/"],
                      timeout=5) is False


@pytest.mark.parametrize("head, piece", [
    (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 65536),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     b"8000\r\n" + b"x" * 32768 + b"\r\n")], ids=["open", "length", "chunked"])
def test_http_that_sends_without_end(head, piece):
    with Hostile(flood(head, piece)) as server, GatewayProcess() as g:
        error = g.error("http", "get", [f"http://127.0.0.1:{server.port}/"], timeout=20)
        assert error.code == "too_large"
        assert_small(g)


def test_http_headers_without_end():
    with Hostile(flood(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000)) as server, \
            GatewayProcess() as g:
        try:
            assert g.call("http", "get", [f"http://127.0.0.1:{server.port}/"],
                          timeout=20) is False
        except GatewayError as error:
            assert error.code == "too_large"
        assert_small(g)


def test_http_follows_nothing():
    asked = []

    def other(sock):
        asked.append(sock.recv(1 << 16))

    with Hostile(other) as target:
        location = f"http://127.0.0.1:{target.port}/".encode()
        behave = after_request(b"HTTP/1.1 302 Found\r\nLocation: " + location +
                               b"\r\nContent-Length: 0\r\n\r\n")
        with Hostile(behave) as server, GatewayProcess() as g:
            answer = g.call("http", "get", [f"http://127.0.0.1:{server.port}/"])
            assert answer["status"] == 302
            assert answer["headers"]["Location"] == location.decode()
            assert target.connections == 0 and not asked


def calls_of_all(g, port):
    return [g.send("redis", "cmd", ["PING"], pool="silent", timeout=0.5),
            g.send("http", "get", [f"http://127.0.0.1:{port}/"], timeout=0.5)]


def test_a_server_that_never_answers_costs_only_its_calls(tmp_path):
    """Its queue and its connections fill; another pool goes on beside it."""
    with Hostile(swallow) as silent, redis_server(tmp_path) as redis, \
            GatewayProcess({"redis": {"port": redis.port}}) as g:
        g.ensure("redis")
        g.ensure("redis", {"host": "127.0.0.1", "port": silent.port}, pool="silent")
        stuck = [m for _ in range(100) for m in calls_of_all(g, silent.port)]
        good = [g.send("redis", "cmd", ["PING"]) for _ in range(500)]
        assert [g.wait(m) for m in good] == ["PONG"] * 500
        for msgid in stuck:
            assert g.wait_error(msgid).code == "timeout"


def test_a_server_that_drips_is_left_at_the_deadline():
    """libmemcached looks at the clock for each byte only; so do others."""
    def behave(sock):
        sock.recv(1 << 16)
        sock.sendall(b"END\r\n")
        sock.recv(1 << 16)
        sock.sendall(b"VALUE k 0 1000000\r\n")
        while True:
            sock.sendall(b"x")
            time.sleep(0.05)

    with Hostile(behave) as server, GatewayProcess() as g:
        g.ensure("memcached", {"port": server.port, "size": 1})
        assert g.error("memcached", "get", ["k"], timeout=0.3).code == "timeout"
        # Its thread came back: another call is begun, on a new connection.
        g.error("memcached", "get", ["k"], timeout=0.3)
        assert server.connections >= 2


def test_a_full_queue_is_overloaded():
    with Hostile(swallow) as silent, GatewayProcess() as g:
        g.ensure("redis", {"host": "127.0.0.1", "port": silent.port, "size": 1})
        calls = [g.send("redis", "cmd", ["PING"], timeout=1) for _ in range(1500)]
        codes = set()
        for msgid in calls:
            with pytest.raises(GatewayError) as error:
                g.wait(msgid)
            codes.add(error.value.code)
        assert codes == {"timeout", "overloaded"}


# --- addresses and grants


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]",
                                  "2852039166", "0xa9fea9fe", "[fd00:ec2::254]"])
def test_metadata_addresses_are_refused(host):
    with GatewayProcess() as g:
        assert g.call("http", "get", [f"http://{host}/"], timeout=5) is False
        bare = host.strip("[]")
        g.ensure("redis", {"host": bare, "port": 80})
        assert g.error("redis", "cmd", ["PING"]).code in ("denied", "unavailable")
        with pytest.raises(GatewayError):
            g.ensure("memcached", {"host": bare, "port": 80})
        assert g.call("http", "get", [f"http://{host}/"], timeout=5,
                      grants=["http"]) is False


@pytest.mark.parametrize("scheme", ["gopher", "dict", "ftp", "telnet", "tftp",
                                    "ldap", "smb", "ws", "GOPHER"])
def test_no_other_scheme_connects(scheme):
    with Hostile(after_request(b"")) as server, GatewayProcess() as g:
        url = f"{scheme}://127.0.0.1:{server.port}/_x"
        assert g.error("http", "get", [url]).code == "badarg"
        assert server.connections == 0


def test_files_are_no_servers(tmp_path):
    (tmp_path / "secret").write_text("word")
    with GatewayProcess() as g:
        for url in (f"file://{tmp_path}/secret", f"FILE://{tmp_path}/secret",
                    f"file:{tmp_path}/secret", f"{tmp_path}/secret",
                    "file:///etc/hostname"):
            assert g.error("http", "get", [url]).code == "badarg"


def test_no_unix_sockets(tmp_path):
    with redis_server(tmp_path, "--unixsocket", str(tmp_path / "s")), \
            GatewayProcess() as g:
        g.ensure("redis", {"host": str(tmp_path / "s")})
        assert g.error("redis", "cmd", ["PING"]).code == "unavailable"
        with pytest.raises(GatewayError):
            g.ensure("memcached", {"host": str(tmp_path / "s"), "port": 1})


def test_grants(tmp_path):
    with redis_server(tmp_path) as redis, GatewayProcess({"redis": {
            "host": "127.0.0.1", "port": redis.port}}) as g:
        g.ensure("redis")
        here = f"redis:127.0.0.1:{redis.port}"
        for grants in (None, ["redis"], [""], [here], ["redis:127.0.0.1"], ["x", here]):
            assert g.call("redis", "cmd", ["PING"], grants=grants) == "PONG"
        for grants in ([], ["http"], [here + "1"], [here[:-1]], ["redis:127.0.0"],
                       ["redi"]):
            assert g.error("redis", "cmd", ["PING"], grants=grants).code == "denied"
            with pytest.raises(GatewayError) as error:
                g.ensure("redis", grants=grants)
            assert error.value.code == "denied"


def test_secrets_of_the_configuration_go_to_its_server_only():
    heard = []

    def listen(sock):
        heard.append(sock.recv(1 << 16))
        sock.sendall(b"+OK\r\n")
        heard.append(sock.recv(1 << 16))

    with Hostile(listen) as stranger, GatewayProcess({"redis": {
            "host": "127.0.0.1", "port": free_port(), "password": "s3cret"}}) as g:
        g.ensure("redis", {"port": stranger.port})
        assert g.call("redis", "cmd", ["PING"]) is True
        assert heard and b"s3cret" not in b"".join(heard)


# --- outages


def outage(gateway, server, call, good):
    """Calls all the while; the server goes and comes back. Whatever happens is
    an answer, and without help it works again."""
    seen, stop = [], threading.Event()

    def once():
        try:
            return call()
        except GatewayError as error:
            return error.code

    def load(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seen.append(once())

    load(0.2)
    assert seen and set(seen) == {good}
    server.stop(signal.SIGKILL)
    seen.clear()
    load(0.5)
    assert good not in seen[3:] and set(seen) <= {"unavailable", False, good}
    server.start()
    until(lambda: once() == good, 10, "the pool to come back")
    seen.clear()
    load(0.3)
    assert set(seen) == {good}
    stop.set()


def test_redis_stopped_and_started_under_load(tmp_path):
    with redis_server(tmp_path) as redis, GatewayProcess({"redis": {
            "port": redis.port}}) as g:
        g.ensure("redis")
        outage(g, redis, lambda: g.call("redis", "cmd", ["PING"]), "PONG")
        g.until(lambda: any("is back" in line for line in g.logs), "a line about it")
        assert any("cannot be reached" in line for line in g.logs)


def test_memcached_stopped_and_started_under_load():
    with memcached_server() as server, GatewayProcess({"memcached": {
            "port": server.port}}) as g:
        g.ensure("memcached")
        outage(g, server, lambda: g.call("memcached", "flush_all"), True)


class WebServer:
    """Something to stop and start on one port."""

    def __init__(self):
        self.port, self.server = free_port(), None

    def start(self):
        import http.server

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                self.send_response(204)
                self.end_headers()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,),
                         daemon=True).start()

    def stop(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_http_stopped_and_started_under_load():
    server = WebServer()
    server.start()
    url = f"http://127.0.0.1:{server.port}/"

    with GatewayProcess() as g:
        def get():
            answer = g.call("http", "get", [url])
            return answer and answer["status"]
        outage(g, server, get, 204)
    server.stop()


# --- with a broker

SCRIPT = """
redis.ensure_pool{pool_id="p"}
hooks = {}
function hooks.auth_on_register(reg)
  return redis.cmd("p", "GET " .. reg.username) == reg.password
end
function hooks.auth_on_publish(p)
  return bcrypt.hashpw(p.payload, bcrypt.gen_salt()):sub(1, 7) == "$2a$05$"
end
function hooks.auth_on_subscribe(s)
  local ok, why = pcall(redis.cmd, "nobody's", "PING")
  error(why)
end
"""


@pytest.fixture
def bed(tmp_path):
    with redis_server(tmp_path) as redis:
        subprocess.run(["redis-cli", "-p", str(redis.port), "set", "user", "password"],
                       check=True, stdout=subprocess.DEVNULL)
        p = MqttPinfold({"r.lua": SCRIPT}, {
            "auth_redis": {"enabled": False, "host": "127.0.0.1", "port": redis.port},
            "bcrypt": {"default_log_rounds": 5}})
        p.redis = redis
        with p:
            yield p


def status(bed):
    with bed.control_client() as control:
        return control.call("status")["gateway"]


def test_a_script_asks_its_pool(bed):
    client = bed.mqtt()
    assert client.call("auth_on_register", [register()])["verdict"] == "ok"
    answer = client.call("auth_on_register", [register(password="wrong")])
    assert answer["verdict"] == "deny"
    event = {"mountpoint": "", "client_id": "c", "username": "u", "topic": "t",
             "qos": 0, "payload": "secret", "retain": False}
    assert client.call("auth_on_publish", [event])["verdict"] == "ok"


def test_status_shows_its_pools(bed):
    client = bed.mqtt()
    client.call("auth_on_register", [register()])
    until(lambda: [p for p in status(bed)["pools"] if p["calls"] == 1], 10, "the pool")
    gateway = status(bed)
    pool = gateway["pools"][0]
    assert (pool["provider"], pool["name"], pool["size"]) == ("redis", "p", 5)
    assert pool["target"] == f"127.0.0.1:{bed.redis.port}"
    assert pool["connected"] == 1 and pool["errors"] == pool["queue"] == 0
    assert gateway["restarts"] == 0 and "seccomp" in gateway["sandbox"]
    assert gateway["pid"] != bed.process.pid and gateway["state"] == "ready"


def test_the_smallest_grant_is_learned(bed):
    bed.mqtt().call("auth_on_register", [register()])
    bed.mqtt().call("auth_on_register", [register()])
    with bed.control_client() as control:
        learned = control.call("script.grants", ["r"])["used"]["providers"]
    assert learned == [f"redis:127.0.0.1:{bed.redis.port}"]


def test_killed_under_load(bed):
    """Calls in flight fail; nothing else does, and it comes back by itself."""
    client = bed.mqtt()
    client.call("auth_on_register", [register()])
    for _ in range(5):
        pid = until(lambda: status(bed)["state"] == "ready" and status(bed)["pid"], 20,
                    "a gateway")
        calls = [client.send("auth_on_register", [register(str(i))]) for i in range(200)]
        os.kill(pid, signal.SIGKILL)
        answers = [client.wait(m)["verdict"] for m in calls]
        assert set(answers) <= {"ok", "deny", "next"}
        until(lambda: client.call("auth_on_register", [register()])["verdict"] == "ok",
              20, "the pool to be there again")
    assert status(bed)["restarts"] == 5


def test_one_that_hangs_is_replaced(bed):
    client = bed.mqtt()
    client.call("auth_on_register", [register()])
    pid = status(bed)["pid"]
    os.kill(pid, signal.SIGSTOP)
    assert client.call("auth_on_register", [register()], timeout=30)["verdict"] != "ok"
    until(lambda: client.call("auth_on_register", [register("other")],
                              timeout=30)["verdict"] == "ok", 60, "another gateway")
    assert status(bed)["pid"] != pid


def test_it_goes_with_its_broker(bed):
    bed.mqtt().call("auth_on_register", [register()])
    pid = status(bed)["pid"]
    bed.stop()
    assert not os.path.exists(f"/proc/{pid}")


def test_it_goes_when_its_broker_is_killed(bed):
    bed.mqtt().call("auth_on_register", [register()])
    pid = status(bed)["pid"]
    bed.kill()
    until(lambda: not os.path.exists(f"/proc/{pid}") or "Z" in
          open(f"/proc/{pid}/stat").read().split()[2], 10, "its end")


def test_no_password_in_its_log_or_arguments(tmp_path):
    with redis_server(tmp_path, "--requirepass", "s3cret-word") as redis, \
            MqttPinfold({"r.lua": SCRIPT}, {"auth_redis": {
                "enabled": False, "host": "127.0.0.1", "port": redis.port,
                "password": "s3cret-wrong"}}) as p:
        p.mqtt().call("auth_on_register", [register()])
        with p.control_client() as control:
            pid = control.call("status")["gateway"]["pid"]
        assert b"s3cret" not in open(f"/proc/{pid}/cmdline", "rb").read()
        until(lambda: "cannot be reached" in p.log(), 10, "a line about the pool")
        assert "s3cret" not in p.log()


def test_an_answer_that_a_worker_cannot_hold(bed, tmp_path):
    """A quarter of its memory: told to the script, and the worker lives."""
    file = tmp_path / "large.lua"
    file.write_text("""hooks = {}
function hooks.auth_on_publish(p)
  local ok, v = pcall(redis.cmd, "p", "GET large")
  return {topic = ok and tostring(#v) or v:match("too_large") or v}
end""")
    with MqttPinfold({}, {"auth_redis": {"enabled": False, "port": bed.redis.port},
                          "scripts": {"large": {"file": str(file), "memory": "8MiB"},
                                      "r": {"file": bed.lua("r.lua")}}}) as p:
        client = p.mqtt()
        for size in (1 << 20, (2 << 20) + 1, 15 << 20, 1000):
            subprocess.run(["redis-cli", "-p", str(bed.redis.port), "-x", "set",
                            "large"], input=b"x" * size, check=True,
                           stdout=subprocess.DEVNULL)
            mods = client.call("auth_on_publish", [publish()], timeout=30)["mods"]
            assert mods["topic"] == (str(size) if size <= 2 << 20 else "too_large")
        with p.control_client() as control:
            large = next(s for s in control.call("status")["scripts"]
                         if s["name"] == "large")
        assert large["workers"][0]["restarts"] == 0


def test_other_settings_at_a_reload(bed, tmp_path_factory):
    client = bed.mqtt()
    assert client.call("auth_on_register", [register()])["verdict"] == "ok"
    pid = status(bed)["pid"]
    with redis_server(tmp_path_factory.mktemp("other")) as other:
        subprocess.run(["redis-cli", "-p", str(other.port), "set", "user", "changed"],
                       check=True, stdout=subprocess.DEVNULL)
        text = bed.config_file.read_text()
        bed.write_config(text.replace(str(bed.redis.port), str(other.port)))
        with bed.control_client() as control:
            control.call("reload")
        event = register(password="changed")
        until(lambda: client.call("auth_on_register", [event])["verdict"] == "ok", 20,
              "the other server")
        assert status(bed)["pid"] != pid


def test_hook_files_have_no_servers_unless_granted(tmp_path):
    script = {"before_request": """
        local redis_ok, v = pcall(redis.cmd, "pool_redis", "PING")
        local ok = redis.ensure_pool{} and redis.cmd("pool_redis", "PING")
        mut.req.set_header("X-Ping", tostring(ok))
        """}
    with redis_server(tmp_path) as redis:
        mqtt = {"auth_redis": {"enabled": False, "host": "127.0.0.1",
                               "port": redis.port}}
        from lib.pinfold import Pinfold
        with Pinfold({"mqtt": mqtt}, {"no": script, "yes": script},
                     {"yes": {"grants": {"providers": ["redis"]}},
                      "no": {"on_error": "skip"}}) as p:
            answer = p.client().call("before_request", [{"id": "1", "req": {}}])
            values = [op[2] for op in answer["ops"] if op[1] == "X-Ping"]
            assert "PONG" in values and values.count("PONG") == 1
