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
from lib.pinfold import Pinfold, program, running  # noqa: E402
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


def test_a_backup_to_a_full_disk_fails_and_can_be_tried_again(pinfold):
    """Nothing else is harmed by it, and nothing of it is left in the way."""
    broker = pinfold(scripts=SCRIPTS)
    client, control = broker.client(), broker.control_client(timeout=30)
    small = full_disk.SmallDisk("1m")
    try:
        control.call("kv.set", ["large", os.urandom(1 << 20)])
        copy = str(small.root / "copy")
        for _ in range(2):
            assert control.error("backup", [copy]).code == "storage"
        assert not (small.root / "copy").exists()
        assert "No space left" in broker.log()
        client.call("before_request", [{"id": "1"}])
        control.call("kv.delete", ["large"])
        again = str(broker.dir / "copy")
        assert control.call("backup", [again]) is True
        assert control.error("backup", [again]).code == "bad_event"
        assert client.call("close", [{"id": "1"}])["ops"] == OK
    finally:
        small.close()


def test_a_backup_that_was_not_ended_is_not_taken_for_nothing(pinfold):
    """As a kill in the middle of `backup` leaves it."""
    first = pinfold(scripts=SCRIPTS)
    first.client().call("before_request", [{"id": "1"}])
    copy = first.dir / "copy"
    first.control_client().call("backup", [str(copy)])
    (copy / "db").rename(copy / "db.tmp")
    second = Pinfold({"data_dir": str(copy)}, SCRIPTS)
    second.spawn()
    assert second.wait_exit() == 65
    assert f"{copy}/db.tmp: a backup that was not ended" in second.log()
    (copy / "db.tmp").rename(copy / "db")
    second.start()
    assert control_get(second, "k:1") == "1"
    second.close()


# --- a sandbox that does not hold


@pytest.fixture
def wrapped():
    """A broker whose workers are started by a program of Python that first
    does what is said."""
    with tempfile.TemporaryDirectory(prefix="pf-") as directory:
        place = Path(directory)
        place.chmod(0o755)

        def make(text, **config):
            wrapper = place / "wrapper"
            wrapper.write_text(
                f"#!/usr/bin/python3 -I\nimport os, sys\n"
                f"worker, args, env = {str(program('pinfold-worker'))!r}, "
                f"sys.argv, {{}}\n{text}\n"
                "os.execve(worker, args, env)\n")
            wrapper.chmod(0o755)
            return Pinfold({"worker": str(wrapper), **config}, SCRIPTS,
                           dir=place / "broker")
        yield make


def refuses(broker, *texts):
    """Nothing is served, not even for a moment, and the log says why."""
    broker.spawn()
    assert broker.wait_exit() == 69
    assert broker.stdout == []
    assert not broker.socket.exists() and not broker.control.exists()
    for text in ("the sandbox does not hold", *texts):
        assert text in broker.log()


def test_nothing_is_served_without_a_mandatory_layer(wrapped):
    refuses(wrapped("env = {'SECRET': 'x'}"),
            "this layer does not hold: environment (")
    # The socket is none that the broker made: nobody ends with its end.
    refuses(wrapped("import socket\n"
                    "a, b = socket.socketpair()\n"
                    "if os.fork(): os.wait(); os._exit(78)\n"),
            "this layer does not hold: pdeathsig (")


def test_strict_serves_nothing_without_an_optional_layer(wrapped):
    without = "args += ['--namespaces=0']"
    refuses(wrapped(without, sandbox="strict"), "strict, and this layer")
    broker = wrapped(without)
    with broker:
        worker, = broker.control_client().call("script.show",
                                               ["answer"])["workers"]
        assert {"user", "net", "mount"} <= set(worker["missing"])
        assert broker.client().call("close", [{"id": "1"}])["ops"] == OK


def test_a_worker_that_ends_before_it_is_locked(wrapped):
    refuses(wrapped("os._exit(0)"), "a worker ended before it was locked")
    refuses(wrapped("os.kill(os.getpid(), 9)"), "before it was locked")


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
