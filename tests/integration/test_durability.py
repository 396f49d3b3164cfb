# SPDX-License-Identifier: Apache-2.0
"""Nothing that was acknowledged is lost by kill -9, and nothing is half there.

The storage layer by itself (store_cycle.c), killed over and over on one
directory; the verdict is a comparison of numbers that were read from its
output before it died with what a verifier finds afterwards. And the whole
broker in the same way (tests/chaos/kill_cycles.py), by way of its socket.
"""
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "chaos"))

import kill_cycles  # noqa: E402
from lib.pinfold import Pinfold, program  # noqa: E402

CYCLES = int(os.environ.get("PINFOLD_CYCLES", "30"))


def life(directory, durability, seconds):
    """Runs the writer, kills it `seconds` after its first acknowledgement,
    and returns the numbers that it acknowledged."""
    writer = subprocess.Popen(
        [program("store_cycle"), directory, "write", durability],
        stdout=subprocess.PIPE)
    out = b""
    end = None
    while end is None or time.monotonic() < end:
        wait = 30 if end is None else max(0, end - time.monotonic())
        if not select.select([writer.stdout], [], [], wait)[0]:
            assert end is not None, "no acknowledgement within 30 s"
            break
        part = os.read(writer.stdout.fileno(), 1 << 16)
        assert part, f"the writer ended by itself: {out[-500:]!r}"
        out += part
        if end is None and b"\n" in out:
            end = time.monotonic() + seconds
    writer.send_signal(signal.SIGKILL)
    out += writer.stdout.read()
    writer.stdout.close()
    assert writer.wait() == -signal.SIGKILL
    # A last line without its end is a number cut in two.
    return [int(line) for line in out.split(b"\n")[:-1]]


def verify(directory):
    done = subprocess.run([program("store_cycle"), directory, "verify"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    word, number = done.stdout.split()
    assert word == "ok"
    return int(number)


@pytest.mark.parametrize("durability", ["os", "disk"])
def test_kill_cycles(tmp_path, durability):
    directory = tmp_path / "data"
    dice = random.Random(20240229)
    acknowledged = 0
    last = -1
    for cycle in range(CYCLES):
        numbers = life(directory, durability, dice.uniform(0.001, 0.08))
        assert numbers == list(range(last + 1, last + 1 + len(numbers)))
        acknowledged += len(numbers)
        found = verify(directory)
        assert found >= numbers[-1], f"cycle {cycle}: acknowledged and lost"
        last = found
    assert acknowledged > CYCLES


def test_a_kill_while_it_is_made(tmp_path):
    """The first start dies at any moment: the next one must not refuse."""
    for i in range(15):
        directory = tmp_path / f"data{i}"
        writer = subprocess.Popen(
            [program("store_cycle"), directory, "write"],
            stdout=subprocess.DEVNULL)
        time.sleep(i * 0.003)
        writer.kill()
        writer.wait()
        assert verify(directory) >= -1
        shutil.rmtree(directory)


@pytest.mark.parametrize("durability", ["os", "disk"])
def test_the_whole_broker_is_killed(durability):
    said = []
    assert kill_cycles.run(CYCLES // 2, None, 20261122, durability,
                           said.append) == []
    assert f"{durability}: {CYCLES // 2} of {CYCLES // 2} cycles" in said[0]


def test_fewer_cycles_than_asked_are_a_failure():
    """Negative control: a drill that its deadline ends has shown nothing."""
    script = Path(kill_cycles.__file__)
    done = subprocess.run([sys.executable, script, "--cycles", "3",
                           "--seconds", "0"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "os: 0 of 2 cycles" in done.stdout
    assert "WRONG: os: only 0 of 2 cycles within 0 s" in done.stdout
    assert "WRONG: disk: only 0 of 1 cycles within 0 s" in done.stdout
    assert "nothing was lost" not in done.stdout


def tree(directory):
    """Every file and folder below: kind, rights, time of change, bytes."""
    found = {}
    for path in [directory, *directory.rglob("*")]:
        st = path.lstat()
        found[str(path.relative_to(directory))] = (
            st.st_mode, st.st_ino, st.st_mtime_ns, st.st_ctime_ns,
            path.read_bytes() if path.is_file() else None)
    return found


@pytest.mark.parametrize("prepare", ["stopped", "killed", "restored"])
def test_a_newer_database_is_refused_untouched(pinfold, tmp_path, prepare):
    """Who goes back to an older release finds what the newer one wrote as it
    was: nobody opens it before its format is known."""
    broker = pinfold({"control": None},
                     {"s": {"before_request": 'kv.set("a", ctx.id)'}})
    broker.control = broker.dir / "data/control.sock"
    broker.client().call("before_request", [{"id": "1"}])
    directory = broker.dir / "data"
    if prepare == "restored":
        broker.control_client().call("backup", [str(tmp_path / "copy")])
    if prepare == "killed":
        broker.kill()
    else:
        assert broker.stop() == 0
    if prepare == "restored":
        shutil.rmtree(directory)
        shutil.copytree(tmp_path / "copy", directory)
    assert (directory / "format").read_text() == "1\n"
    (directory / "format").write_text("2\n")
    before, log = tree(directory), len(broker.log())
    broker.spawn()
    assert broker.wait_exit() == 65
    assert (f"{directory}/format: written in format 2, this release knows 1"
            in broker.log()[log:])
    assert tree(directory) == before
    (directory / "format").write_text("1\n")
    broker.start()
    assert broker.control_client().call("kv.get", ["a"]) in (b"1", "1")


@pytest.mark.parametrize("durability, kind", [("os", "w"), ("disk", "s")])
def test_what_was_synced_is_marked_so(pinfold, durability, kind):
    """A kill cannot tell `disk` from `os`: the page cache survives it. What
    the broker itself notes beside each group of writes can, and that an end
    which was asked for syncs what the groups did not."""
    broker = pinfold({"storage": {"durability": durability}},
                     {"s": {"before_request": 'kv.set("a", ctx.id)'}})

    def mark():
        writes, _, _, kind, _ = (broker.dir / "data/sequence").read_text().split()
        return int(writes), kind

    client, last = broker.client(), 0
    for n in range(3):
        client.call("before_request", [{"id": str(n)}])
        writes, found = mark()
        assert found == kind and writes > last
        last = writes
    assert broker.stop() == 0
    assert mark() == (last, "c")


def test_the_verdict_on_cycles_can_fail():
    """Negative control: events that are missing, a value that is gone, an
    event that ran twice: each is found."""
    scripts = {"first": {"before_request": kill_cycles.FIRST},
               "second": {"before_request": kill_cycles.SECOND}}
    with Pinfold({"log": {"level": "error"}}, scripts) as broker:
        client, control = broker.client(), broker.control_client()

        def verdict(answered, last):
            model = kill_cycles.Model()
            model.last = last
            return kill_cycles.verify(broker, model, 1, answered)

        for n in range(1, 33):
            client.call("before_request", [{"id": str(n)}])
        assert verdict(list(range(1, 33)), 32) == []
        assert verdict(list(range(1, 35)), 34)      # two are missing
        control.call("kv.delete", ["b:7"])
        assert "1 keys differ: b:7" in verdict(list(range(1, 33)), 32)[0]
        for n in (7, 33):
            client.call("before_request", [{"id": str(n)}])
        assert any("bus has" in line            # 7 came twice
                   for line in verdict(list(range(1, 34)), 33))
