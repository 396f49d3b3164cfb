# SPDX-License-Identifier: Apache-2.0
"""The bus and the control socket (proto/PROTOCOL.md 6), and who may come in."""

import json
import os
import socket
import stat

import pytest

from lib.fake_scripts import ECHO, FAKE
from lib.pinfold import Pinfold
from lib.rpc import ConnectionLost, RpcError
from lib.wait import until

# Each event's id is a list of Python effects.
DOES = """
import ast, msgpack
def run(w, id, p):
    event = msgpack.unpackb(p[1])
    if p[0] == 0:
        effects = [["kv.set", "flushed", event["opts"]["session"].encode(), 0]]
    else:
        effects = ast.literal_eval(event["id"])
    for effect in effects:
        if effect[0] == "artifact.write":
            _, blob = w.call("artifact.put", id, None, effect[2])
            effect[2:] = [blob, len(effect[2])]
    w.send([2, "log", [id, 3, "did", ["n", str(len(effects))]]])
    w.answer(id, [], effects)
"""


@pytest.fixture(scope="module")
def broker():
    with Pinfold({"worker": FAKE},
                 {"s": {"before_request": DOES, "flush": DOES},
                  "other": {"close": ECHO}}) as broker:
        yield broker
        assert broker.stop() == 0


def do(broker, *effects):
    result = broker.client().call("before_request", [{"id": repr(list(effects))}])
    assert result["errors"] == []


def test_control_methods_are_for_the_control_socket(broker):
    client = broker.client()
    for method in ("status", "script.list", "kv.get", "kv.set", "kv.delete",
                   "kv.list", "kv.incr", "artifacts.list", "artifacts.read",
                   "log.subscribe", "shutdown", "reload"):
        assert client.error(method, ["a", "b"]).code == "unknown_method"
    assert broker.process.poll() is None


def test_status(broker):
    control = broker.control_client()
    control.hello()
    status = control.call("status")
    assert status["pid"] == broker.pid and status["state"] == "serving"
    assert len(status["session"]) == 36 and status["clients"] >= 1
    assert [s["name"] for s in status["scripts"]] == ["s", "other"]
    script = status["scripts"][0]
    assert script["state"] == "ready" and script["errors"] == {}
    assert script["hooks"] == ["flush", "before_request"]
    assert script["workers"][0]["pid"] in broker.children()
    assert script["workers"][0]["sandbox"] == ["none"]
    before = script["events"]
    do(broker)
    assert control.call("script.list")[0]["events"] == before + 1


def test_kv(broker):
    control = broker.control_client()
    assert control.call("kv.get", ["k"]) is None
    assert control.call("kv.set", ["k", b"\xff\0"]) is True
    assert control.call("kv.get", ["k"]) == b"\xff\0"
    do(broker, ["kv.set", "k2", b"by a script", 0])
    assert control.call("kv.list", ["k"]) == {b"k": b"\xff\0",
                                              b"k2": b"by a script"}
    assert control.call("kv.delete", ["k"]) is True
    assert control.call("kv.delete", ["k"]) is True
    assert control.call("kv.list", ["k"]) == {b"k2": b"by a script"}
    assert control.call("kv.incr", ["n"]) == 1
    assert control.call("kv.incr", ["n", -11]) == -10
    assert control.call("kv.get", ["n"]) == b"-10"
    assert control.error("kv.incr", ["k2"]).code == "bad_event"
    assert control.call("kv.set", ["gone", b"x", 30]) is True
    until(lambda: control.call("kv.get", ["gone"]) is None, what="ttl")


@pytest.mark.parametrize("method, params", [
    ("kv.get", []), ("kv.get", [5]), ("kv.get", [None]), ("kv.set", ["k"]),
    ("kv.set", ["k", 5]), ("kv.set", ["k", "v", -1]), ("kv.set", ["k", "v", "x"]),
    ("kv.list", [5]), ("kv.incr", ["n", "x"]), ("kv.delete", []),
    ("artifacts.read", ["a"]), ("artifacts.read", ["a", 0, (1 << 20) + 1]),
    ("artifacts.read", ["a", -1, 5]), ("artifacts.list", [7]),
    ("bus.subscribe", [{"names": "x"}]), ("bus.subscribe", [{"from": "old"}]),
    ("bus.subscribe", [{"from": -1}]), ("bus.subscribe", [{"names": ["a"] * 65}]),
    ("log.subscribe", [{"level": "loud"}]), ("flush", [5])])
def test_wrong_params(broker, method, params):
    control = broker.control_client()
    assert control.error(method, params).code == "bad_event"
    assert control.call("status")["state"] == "serving"


def test_too_large_for_kv(broker):
    control = broker.control_client()
    for params in (["k" * 1025, b""], ["k", b"x" * ((1 << 20) + 1)]):
        error = control.error("kv.set", params)
        assert error.code == "too_large" and "limits.max_value" in error.message
    control.call("kv.set", ["n", b"9223372036854775807"])
    error = control.error("kv.incr", ["n"])
    assert error.code == "too_large" and "64 bits" in error.message


def test_artifacts(broker):
    control = broker.control_client()
    content = bytes(range(256)) * 10
    do(broker, ["artifact.write", "a/b.bin", content],
       ["artifact.write", "c", b""])
    assert ["a/b.bin", 2560] in control.call("artifacts.list")
    assert control.call("artifacts.list", ["c"]) == [["c", 0]]
    assert control.call("artifacts.read", ["a/b.bin", 0, 1 << 20]) == \
        [content, 2560]
    assert control.call("artifacts.read", ["a/b.bin", 255, 3]) == \
        [content[255:258], 2560]
    assert control.call("artifacts.read", ["a/b.bin", 5000, 3]) == [b"", 2560]
    assert control.error("artifacts.read", ["nope", 0, 1]).code == "unavailable"
    assert control.error("artifacts.read", ["../x", 0, 1]).code == "unavailable"
    assert control.error("artifacts.read", ["a", 0, 1]).code == "unavailable"


def numbers(client, count):
    return [client.wait_notification("bus.event")[0]["data"]
            for _ in range(count)]


def test_bus_subscribe(broker):
    new, some = broker.client(), broker.control_client()
    assert new.call("bus.subscribe", [{}]) is True
    assert some.call("bus.subscribe", [{"names": ["x.*", "y"]}]) is True
    for n in range(20):
        do(broker, ["bus.emit", f"x.{n}" if n % 2 else "z", n],
           ["bus.emit", "y", [n]])
    assert numbers(some, 30) == [v for n in range(20)
                                 for v in ([n] if n % 2 else []) + [[n]]]
    first = new.wait_notification("bus.event")[0]
    assert first["from"] == "s" and first["name"] == "z" and first["data"] == 0
    assert set(first) == {"seq", "time", "name", "from", "data"}
    assert numbers(new, 39) == [v for n in range(20) for v in (n, [n])][1:]
    resumed = broker.client()
    resumed.call("bus.subscribe", [{"from": first["seq"] + 1, "names": ["*"]}])
    assert numbers(resumed, 39) == [v for n in range(20) for v in (n, [n])][1:]
    do(broker, ["bus.emit", "y", "live"])
    assert numbers(resumed, 1) == numbers(new, 1) == ["live"]
    resumed.close()
    do(broker, ["bus.emit", "y", "later"])
    assert numbers(new, 1) == ["later"]
    new.close(), some.close()


def test_a_subscriber_that_reads_slowly_misses_nothing(broker):
    slow = broker.client()
    assert slow.call("bus.subscribe", [{"names": ["big"]}])
    for n in range(40):
        do(broker, ["bus.emit", "big", f"{n}:" + "x" * 200_000])
    got = numbers(slow, 40)
    assert [text.split(":")[0] for text in got] == [str(n) for n in range(40)]


def test_too_many_subscriptions(broker):
    client = broker.client()
    for _ in range(16):
        assert client.call("bus.subscribe", [{"names": ["nothing"]}])
    assert client.error("bus.subscribe", [{}]).code == "overloaded"


def test_log_subscribe(broker):
    control, strict = broker.control_client(), broker.control_client()
    assert control.call("log.subscribe") is True
    assert strict.call("log.subscribe", [{"level": "error"}]) is True
    do(broker, ["kv.set", "a", b"1", 0])
    line = control.wait_notification("log", where=lambda p: "did" in p[0])[0]
    assert "script=s" in line and "n=1" in line and not line.endswith("\n")
    strict.call("status")
    assert strict.notifications == []


def test_what_a_script_logs_cannot_pass_for_a_field_of_the_record(pinfold):
    """One key, one value, in JSON and for people alike."""
    script = """
        log.warn("real", {time = 1, level = "audit", topic = "child", msg = "m",
                          script = "other", hook = "h", ["script.msg"] = "s",
                          scripted = "x", free = "y"})
        log.warn("twice", {[1] = "a", ["1"] = "b"})"""
    broker = pinfold({"log": {"format": "json"}},
                     {"s": {"before_request": script}})
    broker.client().call("before_request", [{"id": "1"}])
    broker.wait_log("twice")
    pairs = [json.loads(line, object_pairs_hook=list)
             for line in broker.log().splitlines() if '"log"' in line]
    names = [[key for key, _ in record] for record in pairs]
    assert all(len(set(keys)) == len(keys) for keys in names), names
    record = dict(pairs[0])
    assert record["level"] == "warn" and record["msg"] == "real"
    assert record["script"] == "s" and record["hook"] == "before_request"
    assert record["script.script"] == "other" and record["script.time"] == "1"
    assert record["script.msg"] == "m" and record["script.script.msg"] == "s"
    assert record["scripted"] == "x" and record["free"] == "y"


def test_flush(broker):
    control = broker.control_client()
    session = control.call("status")["session"]
    assert control.call("flush") is True
    assert control.call("kv.get", ["flushed"]) == session.encode()
    assert control.call("flush", ["mine"]) is True
    assert control.call("kv.get", ["flushed"]) == b"mine"
    assert control.call("flush", [None]) is True


def test_shutdown(pinfold):
    broker = pinfold({"worker": FAKE}, {"s": {"before_request": DOES,
                                              "flush": DOES}})
    client, control = broker.client(), broker.control_client()
    assert control.call("shutdown") is True
    assert client.wait_notification("goaway")
    assert broker.wait_exit() == 0
    client.wait_closed()
    broker.start()
    found = broker.control_client().call("kv.get", ["flushed"])
    assert len(found) == 36, "flush.lua ran at the end"


# --- who may come in

def mode(path):
    found = os.stat(path)
    assert stat.S_ISSOCK(found.st_mode)
    return stat.S_IMODE(found.st_mode)


def test_modes_of_the_sockets(broker):
    assert mode(broker.control) == 0o600
    assert mode(broker.socket) == 0o660


def listen_config(tmp_path, **more):
    return {"worker": FAKE, "listen": {"path": str(tmp_path / "l.sock"), **more}}


def test_listen_mode_and_group(pinfold, tmp_path):
    group = os.getgroups()[0] if os.getgroups() else os.getgid()
    umask = os.umask(0)
    try:
        broker = pinfold(listen_config(tmp_path, mode="0606", group=str(group)),
                         {"s": {"close": ECHO}})
    finally:
        os.umask(umask)
    assert mode(broker.control) == 0o600
    assert mode(tmp_path / "l.sock") == 0o606
    assert os.stat(tmp_path / "l.sock").st_gid == group


@pytest.mark.parametrize("uids, welcome", [(["me"], True), ([54321], False),
                                           ([54321, "me"], True)])
def test_listen_uids(pinfold, tmp_path, uids, welcome):
    uids = [os.getuid() if uid == "me" else uid for uid in uids]
    broker = pinfold(listen_config(tmp_path, uids=uids), {"s": {"close": ECHO}})
    broker.socket = tmp_path / "l.sock"
    client = broker.client()
    if welcome:
        assert client.call("close", [{"id": "1"}])["ops"]
        return
    with pytest.raises((ConnectionLost, ConnectionError, RpcError)):
        client.call("close", [{"id": "1"}])
    broker.wait_log(r"refused: uid \d+ is not in listen.uids")
    assert broker.control_client().call("status")["clients"] == 1


def test_a_connection_that_says_nothing_costs_nothing(broker):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(broker.control))
    assert broker.control_client().call("status")["state"] == "serving"
    sock.close()
