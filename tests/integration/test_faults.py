# SPDX-License-Identifier: Apache-2.0
"""What the machine does to a broker: a full disk, damage, no descriptors left,
two at once, kill -9. Events go on where they can; nothing acknowledged is lost.
"""

import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "chaos"))

import full_disk  # noqa: E402
import mutants  # noqa: E402
from lib.pinfold import Pinfold, running  # noqa: E402
from lib.rpc import ConnectionLost, RpcError  # noqa: E402
from lib.wait import until  # noqa: E402

MUTANTS = int(os.environ.get("PINFOLD_MUTANTS", "100"))
SCRIPTS = {
    "write": {"before_request": 'kv.set("k:" .. ctx.id, ctx.id)\n'
                                'kv.set("pad:" .. ctx.id, '
                                'string.rep("x", 20000))'},
    "answer": {"close": 'mut.req.set_path("/ok")'},
}
OK = [["req.set_path", "/ok"]]


# --- a full disk


@pytest.fixture
def small_disk():
    disk = full_disk.SmallDisk("320m")
    yield disk
    disk.close()


def test_a_full_disk_stops_writes_only(small_disk):
    """R16; `make soak` has fifty rounds."""
    broker = full_disk.broker_on(small_disk)
    try:
        assert full_disk.fill_and_free(small_disk, broker, 4) == []
        client = broker.client()
        small_disk.fill()       # the ballast that was given up, too
        until(lambda: not full_disk.written(client), 20, "writes are refused")
        small_disk.clear()
        until(lambda: full_disk.written(client), 20, "writes go on")
    finally:
        broker.kill()


def test_too_full_to_open_is_told(small_disk):
    """Without its ballast there is no room: a line and 74, no abort."""
    broker = Pinfold({}, SCRIPTS, dir=small_disk.dir,
                     prefix=small_disk.prefix)
    broker.start()
    broker.client().call("before_request", [{"id": "1"}])
    broker.kill()
    (small_disk.root / "ballast").unlink()
    small_disk.fill()
    broker.spawn()
    assert broker.wait_exit() == 74
    assert "the disk is full" in broker.log()
    small_disk.clear()
    broker.start()
    assert broker.control_client().call("kv.get", ["k:1"])
    broker.kill()


# --- damage


def test_damage_is_refused_or_harmless():
    assert mutants.run(MUTANTS, seed=20261122) == []


def test_the_verdict_on_damage_can_fail():
    """Negative control: values that changed behind our back are found."""
    with tempfile.TemporaryDirectory(prefix="pf-") as directory:
        want = mutants.make(Path(directory), killed=True)
        key = next(iter(want["kv"]))
        want["kv"][key] = b"something else"
        verdict, text = mutants.attempt(Path(directory), want)
        assert verdict == "wrong" and "kv" in text


def test_the_end_of_the_log_is_missed(tmp_path):
    """A log that a kill left, cut short: that looks like a torn end."""
    want = mutants.make(tmp_path, killed=True)
    log = max((tmp_path / "data/db").glob("*.log"))
    os.truncate(log, log.stat().st_size - 1000)
    verdict, text = mutants.attempt(tmp_path, want)
    assert verdict == "refused" and "its end is lost" in text
    # By hand, and only by hand, one can do without.
    (tmp_path / "data/sequence").unlink()
    verdict, text = mutants.attempt(tmp_path, want)
    assert verdict == "wrong" and text.startswith("served")


def test_a_list_of_files_that_is_cut_between_lines(tmp_path):
    want = mutants.make(tmp_path, killed=True)
    manifest, = (tmp_path / "data/db").glob("MANIFEST-*")
    whole = manifest.read_bytes()
    for n in record_ends(whole)[:-1]:
        manifest.write_bytes(whole[:n])
        verdict, text = mutants.attempt(tmp_path, want)
        assert verdict == "refused" and manifest.name in text
    manifest.write_bytes(whole)
    assert mutants.attempt(tmp_path, want)[0] == "intact"


def record_ends(log):
    """Where each record of a RocksDB log of one block ends."""
    at, ends = 0, []
    while at + 7 <= len(log):
        at += 7 + int.from_bytes(log[at + 4:at + 6], "little")
        ends.append(at)
    assert ends and ends[-1] == len(log)
    return ends


# --- two at once


def test_a_second_one_on_the_same_data_is_refused(pinfold, tmp_path):
    first = pinfold(scripts=SCRIPTS)
    second = Pinfold({"data_dir": str(first.dir / "data"),
                      "listen": str(tmp_path / "other.sock"),
                      "control": str(tmp_path / "other-control.sock")},
                     SCRIPTS)
    second.spawn()
    assert second.wait_exit() == 69
    lines = second.log().strip().split("\n")
    assert len(lines) == 1 and "in use by another process" in lines[0]
    assert str(first.dir / "data") in lines[0]
    assert first.client().call("close", [{"id": "1"}])["ops"] == OK
    second.close()


def test_a_second_one_on_the_same_socket_is_refused(pinfold):
    first = pinfold(scripts=SCRIPTS)
    second = Pinfold({"listen": str(first.socket)}, SCRIPTS)
    second.spawn()
    assert second.wait_exit() == 69
    assert "another process serves it" in second.log()
    assert first.client().call("close", [{"id": "1"}])["ops"] == OK
    second.close()


# --- kill -9


def test_nothing_outlives_the_broker_and_it_starts_at_once(pinfold):
    broker = pinfold(scripts={**SCRIPTS, "stuck": {
        "connect": "while true do end"}}, settings={"write": {"workers": 3}})
    client = broker.client()
    client.send("connect", [{"id": "1"}])       # one is busy, the others idle
    for i in range(3):
        client.call("before_request", [{"id": str(i)}])
        workers = list(broker.children())
        assert len(workers) >= 6
        broker.process.kill()
        until(lambda: not any(map(running, workers)), 10, "the workers end")
        broker.kill()
        assert broker.socket.exists()           # left behind by the kill
        broker.start()
        client = broker.client()
        assert client.call("close", [{"id": "1"}])["ops"] == OK
    keys = broker.control_client().call("kv.list", ["k:"])
    assert set(keys) == {b"k:0", b"k:1", b"k:2"}


# --- no descriptors left


def connect_all(path, n):
    """As many connections as there can be, up to n; some are turned away."""
    opened = []
    for _ in range(n):
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(5)
        try:
            one.connect(str(path))
        except OSError:
            one.close()
            break
        opened.append(one)
    return opened


def answers(client):
    try:
        return client.call("close", [{"id": "1"}])["ops"] == OK
    except RpcError as error:
        assert error.code in ("crashed", "unavailable"), error
        return False


def test_without_descriptors_what_is_connected_goes_on():
    """A crowd of connections leaves descriptors to workers, to the store and
    to the control socket."""
    broker = Pinfold({"log": {"level": "error"}}, SCRIPTS,
                     {"answer": {"on_error": "fail"}},
                     prefix=["prlimit", "--nofile=128", "--"])
    broker.start()
    crowd = []
    try:
        client = broker.client()
        assert answers(client)
        crowd = connect_all(broker.socket, 400)
        assert len(crowd) > 100
        for i in range(50):
            assert answers(client)
            client.call("before_request", [{"id": str(i)}])
        control = broker.control_client()
        worker, = control.call("script.show", ["answer"])["workers"]
        os.kill(worker["pid"], signal.SIGKILL)
        until(lambda: answers(client), 20, "the worker is replaced")
        again, = control.call("script.show", ["answer"])["workers"]
        assert again["pid"] != worker["pid"]
        for one in crowd:
            one.close()
        until(lambda: works(broker), 20, "new connections are served")
        client.call("before_request", [{"id": "after"}])
        assert control_get(broker, "k:after") == "after"
        assert broker.stop() == 0
    finally:
        for one in crowd:
            one.close()
        broker.close()


def control_get(broker, key):
    value = broker.control_client().call("kv.get", [key])
    return value.decode() if isinstance(value, bytes) else value


def works(broker):
    try:
        return answers(broker.client(timeout=5))
    except (OSError, ConnectionLost):
        return False


def test_a_stopped_broker_kills_nobody_when_it_goes_on(pinfold):
    """R19: while it did not run, no deadline of a run has passed."""
    broker = pinfold(scripts={"slow": {"before_request": """
        for i = 1, 3e6 do local x = i * 2 end
        mut.req.set_path("/ok")"""}}, settings={"slow": {"timeout": "400ms"}})
    client = broker.client(timeout=20)
    pids = set(broker.children())
    msgid = client.send("before_request", [{"id": "1"}])
    os.kill(broker.pid, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(broker.pid, signal.SIGCONT)
    assert client.wait(msgid)["ops"] == OK
    assert set(broker.children()) == pids
