# SPDX-License-Identifier: Apache-2.0
"""Nothing that was acknowledged is lost by kill -9, and nothing is half there.

The storage layer by itself (store_cycle.c), killed over and over on one
directory; the verdict is a comparison of numbers that were read from its
output before it died with what a verifier finds afterwards.
"""
import os
import random
import select
import shutil
import signal
import subprocess
import time

import pytest

from lib.pinfold import program

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
