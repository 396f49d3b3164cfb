# SPDX-License-Identifier: Apache-2.0
"""Attacks on the machine from native code inside a worker: one process each,
one system call each, all killed by the filter. Then: what must still work."""

import os
import random
import signal
import time

import expect
import pytest
from lib.wait import until
from probe import TIMEOUT, Probe

pytestmark = pytest.mark.skipif(not expect.X86_64,
                                reason="the numbers are those of x86-64")

SWEEP = 601
SWEEP_I386 = 461
X32 = 0x40000000
AT_ONCE = 16
ENXIO = -6


def addresses(p, args):
    """Numbers for a row of expect.FORBIDDEN."""
    offset = 4096       # the first page is what "self" means
    for arg in args:
        if isinstance(arg, bytes):
            yield p.put(arg, offset)
            offset += len(arg) + 16
        elif arg == "pid":
            yield os.getpid()
        elif arg == "self":
            yield p.put(b"x")
        else:
            yield arg


@pytest.mark.parametrize("name", expect.FORBIDDEN)
def test_forbidden_call_kills(name):
    nr, *args = expect.FORBIDDEN[name]
    with Probe() as p:
        assert p.fate("call", nr, *addresses(p, args)) == "SIGSYS"


def fates(cases, op):
    """Outcome of each (nr, args), one fresh locked process per case."""
    result = []
    for i in range(0, len(cases), AT_ONCE):
        some = cases[i:i + AT_ONCE]
        probes = [Probe(start=False, namespaces=False) for _ in some]
        for p, (nr, args) in zip(probes, some):
            assert p.start() == 0
            p.send(op, nr, *args)
            # A read of the socket that is allowed then ends.
            p.socket.shutdown(1)
        for p in probes:
            try:
                result.append(p._answer()[0])
            except (EOFError, ConnectionError):
                result.append(p.wait())
            p.close()
    return result


def interesting(rng):
    return rng.choice([0, 1, 2, 3, 4, 0x22, 2 ** 64 - 1, 3 | 1 << 32,
                       rng.randrange(2 ** 64), rng.randrange(4096),
                       rng.randrange(2 ** 48) & ~0xfff])


def sweep_cases(kind):
    rng = random.Random(f"sweep {kind}")
    return [(nr, [0] * 6 if kind == "zeros" else
             [interesting(rng) for _ in range(6)]) for nr in range(SWEEP)]


@pytest.mark.parametrize("kind", ["zeros", "random"])
def test_D40_sweep_native(kind):
    cases = sweep_cases(kind)
    wrong = []
    for (nr, args), fate in zip(cases, fates(cases, "call")):
        if nr in expect.PAST_THE_FILTER:
            good = fate in ("SIGSYS", "SIGILL", ENXIO)
        else:
            good = (fate != "SIGSYS") == expect.is_allowed(nr, args)
        if not good:
            wrong.append((nr, args, fate))
    assert not wrong


def test_D40_sweep_x32():
    cases = [(X32 + nr, [0] * 6) for nr in range(SWEEP)]
    assert set(fates(cases, "call")) == {"SIGSYS"}


def test_D40_sweep_i386():
    cases = [(nr, [0] * 6) for nr in range(SWEEP_I386)]
    # Without the 32-bit gate in the kernel the instruction itself faults.
    assert set(fates(cases, "int80")) in ({"SIGSYS"}, {"SIGSEGV"})


@pytest.mark.parametrize("nr", [-1, 2 ** 31, 2 ** 32 + 39, 2 ** 63, X32 - 1])
def test_D40_numbers_out_of_range(nr):
    with Probe() as p:
        # The kernel looks at the lower half only: 2**32 + 39 is getpid.
        assert p.fate("call", nr) in ("SIGSYS", -38)


def test_D41_jump_to_nowhere():
    with Probe() as p:
        assert p.fate("jump", 8) == "SIGSEGV"
    with Probe() as p:
        assert p.fate("poke", 8) == "SIGSEGV"


def test_D41_data_is_not_executable():
    with Probe() as p:
        code = p.put(b"\xc3")       # ret
        assert p.fate("jump", code) == "SIGSEGV"


def test_D42_abort():
    # It wants to change the signal mask first, which is forbidden.
    with Probe() as p:
        assert p.fate("abort") in ("SIGSYS", "SIGABRT")


def test_D42_stack_overflow():
    with Probe() as p:
        assert p.fate("stack") == "SIGSEGV"


def test_D43_exit_without_answer():
    with Probe() as p:
        assert p.fate("call", expect.EXIT_GROUP, 0) == "exit 0"


def test_D44_masked_signals_do_not_stop_sigkill():
    with Probe() as p:
        p.ask("mask")
        os.kill(p.pid, signal.SIGUSR1)
        until(lambda: "SigBlk:\tfffffff" in
              open(f"/proc/{p.pid}/status").read(), TIMEOUT)
        p.send("loop")
        os.kill(p.pid, signal.SIGTERM)
        os.kill(p.pid, signal.SIGKILL)
        assert p.wait() == "SIGKILL"


# -- what a worker needs


def test_deadline_signal_is_handled_and_returns(who):
    with Probe(who) as p:
        assert p.ask("count") == 0
        for n in (1, 2, 3):
            os.kill(p.pid, signal.SIGUSR1)
            until(lambda: p.ask("count") == n, TIMEOUT)


def test_heap_calls(who):
    with Probe(who) as p:
        block = p.call(expect.MMAP, 0, 1 << 20, 3, 0x22, -1, 0)
        assert block > 0 and block % 4096 == 0
        assert p.ask("poke", block) == 0
        bigger = p.call(expect.MREMAP, block, 1 << 20, 8 << 20, 1, 0)
        assert bigger > 0
        assert p.ask("poke", bigger + (8 << 20) - 1) == 0
        assert p.call(expect.MADVISE, bigger, 4096, 4) == 0
        assert p.call(expect.MREMAP, bigger, 8 << 20, 4096, 0) == bigger
        assert p.call(expect.MUNMAP, bigger, 4096) == 0
        assert p.fate("poke", bigger) == "SIGSEGV"


def test_time_and_random(who):
    with Probe(who) as p:
        to = p.put(bytes(64))
        for clock in range(8):
            assert p.call(expect.CLOCK_GETTIME, clock, to) == 0
        assert p.call(expect.CLOCK_GETTIME, 0, to) == 0
        seconds = int.from_bytes(p.get(8), "little")
        assert abs(seconds - time.time()) < TIMEOUT
        assert p.call(expect.GETRANDOM, to, 64, 0) == 64
        assert p.get(64) != bytes(64)
        assert p.call(expect.GETRANDOM, to, 64, 1) == 64


def test_socket_carries_a_lot(who):
    data = os.urandom(60000)
    with Probe(who) as p:
        for _ in range(50):
            p.put(data)
        assert p.get(len(data)) == data


def test_socket_closed_is_the_end(who):
    with Probe(who) as p:
        p.socket.close()
        assert p.wait() == "exit 0"
