# SPDX-License-Identifier: Apache-2.0
"""D46: layers left out, in turn. What one stops is stopped by another as well;
and each is seen to stop something all alone, or its test would mean nothing.

A goal is what an attacker wants. It is reached when the kernel says yes.
"""

import os
import socket
import struct
import tempfile
from contextlib import contextmanager

import expect
import pytest
from probe import MINIMUM, NAMESPACES, OPTIONAL, Probe

pytestmark = pytest.mark.skipif(not expect.X86_64,
                                reason="the numbers are those of x86-64")

EPERM, ENOENT, EAGAIN, EACCES = -1, -2, -11, -13
EMFILE, ENETUNREACH, ECONNREFUSED = -24, -101, -111
ALL = MINIMUM + ["uid"] + OPTIONAL


def read_file(p, _):
    fd = p.fate("call", 2, p.put(b"/etc/passwd\0"), 0)
    if isinstance(fd, int) and fd >= 0:
        assert p.call(0, fd, p.put(bytes(8)), 4) == 4
        return 0
    return fd



def connect(p, address, kind=1, family=2):
    fd = p.fate("call", 41, family, kind, 0)
    if not isinstance(fd, int) or fd < 0:
        return fd
    return p.fate("call", 42, fd, p.put(address), len(address))


def connect_tcp(p, target):
    return connect(p, target.tcp)


def connect_udp(p, target):
    return connect(p, target.udp, 2)


def connect_abstract(p, target):
    return connect(p, target.abstract, 1, 1)


def connect_path(p, target):
    return connect(p, target.path, 1, 1)


def signal_parent(p, _):
    return p.fate("call", 62, os.getpid(), 0)


def fork(p, _):
    result = p.fate("call", 57)
    return 0 if isinstance(result, int) and result > 0 else result


def writable_code(p, _):
    result = p.fate("call", 9, 0, 4096, 7, 0x22, -1, 0)
    return 0 if isinstance(result, int) and result > 0 else result


def code_from_data(p, _):
    return p.fate("call", 10, p.put(b"\xc3"), 4096, 5)


def become_root(p, _):
    return p.fate("call", 117, 0, 0, 0)


GOALS = {f.__name__: f for f in (
    read_file, connect_tcp, connect_udp, connect_abstract, connect_path,
    signal_parent, fork, writable_code, code_from_data, become_root)}


class Target:
    """Something of every kind that listens."""

    def __init__(self, folder):
        self.sockets = []
        port = self._listen(socket.AF_INET, ("127.0.0.1", 0))[1]
        udp = self._listen(socket.AF_INET, ("127.0.0.1", 0),
                           socket.SOCK_DGRAM)[1]
        name = f"\0pf-{os.getpid()}-{id(self)}"
        self._listen(socket.AF_UNIX, name)
        path = f"{folder}/s"
        self._listen(socket.AF_UNIX, path)
        os.chmod(path, 0o777)
        ip = struct.Struct(">4s8x")
        local = bytes([127, 0, 0, 1])
        self.tcp = b"\2\0" + struct.pack(">H", port) + ip.pack(local)
        self.udp = b"\2\0" + struct.pack(">H", udp) + ip.pack(local)
        self.abstract = b"\1\0" + name.encode()
        self.path = b"\1\0" + path.encode() + b"\0"

    def _listen(self, family, address, kind=socket.SOCK_STREAM):
        s = socket.socket(family, kind)
        self.sockets.append(s)
        s.bind(address)
        if kind == socket.SOCK_STREAM:
            s.listen(16)
        return s.getsockname()

    def close(self):
        for s in self.sockets:
            s.close()


@pytest.fixture
def target():
    with tempfile.TemporaryDirectory(prefix="pf-sandbox-") as folder:
        os.chmod(folder, 0o755)
        t = Target(folder)
        yield t
        t.close()


@contextmanager
def only(who, *layers):
    """A probe with these layers and no other."""
    with Probe(who, without=[x for x in ALL if x not in layers]) as p:
        lost = set(layers) & set(p.missing)
        if lost:
            pytest.skip(f"not on this machine: {' '.join(sorted(lost))}")
        yield p


def test_nothing_is_stopped_without_layers(target):
    """Else the tests below would pass for another reason."""
    for name, goal in GOALS.items():
        with only("root" if os.geteuid() == 0 else "user", "fds") as p:
            if name == "become_root" and os.geteuid() != 0:
                continue
            assert goal(p, target) == 0, name


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("left_out", [x for x in ALL if x not in (
    "fds", "no_new_privs", "seccomp")])
def test_filter_stops_all_without_any_other(who, left_out, goal, target):
    with Probe(who, without=[left_out]) as p:
        assert GOALS[goal](p, target) == "SIGSYS"


def test_filter_needs_no_new_privs(who):
    with Probe(who, without=["no_new_privs"], start=False) as p:
        assert p.start() < 0
        assert p.failed == ["seccomp"]
        assert p.wait() == "exit 78"


def needs(goal):
    """Optional layers without which only the filter stops it."""
    return {"writable_code": {"mdwe"}, "code_from_data": {"mdwe"},
            "signal_parent": {"landlock"}}.get(goal, set())


@pytest.mark.parametrize("goal", GOALS)
def test_without_the_filter(who, goal, target):
    with Probe(who, without=["seccomp"]) as p:
        if needs(goal) & set(p.missing):
            pytest.skip("this machine has nothing else against that")
        assert GOALS[goal](p, target) < 0


@pytest.mark.parametrize("second", NAMESPACES + [
    "landlock", "rlimits", "capabilities", "dumpable", "mdwe"])
@pytest.mark.parametrize("goal", ["read_file", "connect_tcp", "connect_udp",
                                  "connect_abstract", "connect_path",
                                  "become_root"])
def test_without_the_filter_and_another(who, second, goal, target):
    with Probe(who, without=["seccomp", second]) as p:
        assert GOALS[goal](p, target) < 0


def test_alone_rlimits(who, target):
    with only(who, "fds", "uid", "capabilities", "rlimits") as p:
        assert read_file(p, target) == EMFILE
        assert connect_tcp(p, target) == EMFILE
        assert connect_udp(p, target) == EMFILE
        assert fork(p, target) == EAGAIN


def test_alone_namespaces(who, target):
    with only(who, "fds", "uid", "capabilities", *NAMESPACES) as p:
        assert read_file(p, target) == ENOENT
        assert connect_path(p, target) == ENOENT
        assert connect_tcp(p, target) == ENETUNREACH
        assert connect_udp(p, target) == ENETUNREACH
        assert connect_abstract(p, target) == ECONNREFUSED
        assert become_root(p, target) < 0
        assert p.call(2, p.put(b"/new\0"), 0o101, 0o600) < 0
        assert p.call(40 + 43, p.put(b"/new\0"), 0o700) < 0     # mkdir


def test_alone_landlock(who, target):
    with only(who, "fds", "no_new_privs", "landlock") as p:
        assert read_file(p, target) == EACCES
        assert connect_tcp(p, target) == EACCES
        assert connect_abstract(p, target) == EPERM
        assert signal_parent(p, target) == EPERM


def test_alone_mdwe(who, target):
    with only(who, "fds", "mdwe") as p:
        assert writable_code(p, target) == EACCES
        assert code_from_data(p, target) == EACCES


@pytest.mark.skipif(os.geteuid() != 0, reason="about root's workers")
def test_alone_uid(target):
    with only("root", "fds", "uid", "capabilities") as p:
        assert p.call(2, p.put(b"/etc/shadow\0"), 0) == EACCES
        assert become_root(p, target) == EPERM
        assert signal_parent(p, target) == EPERM
        assert p.call(161, p.put(b"/\0")) == EPERM          # chroot


@pytest.mark.skipif(os.geteuid() != 0, reason="about root's workers")
def test_alone_capabilities(target):
    with only("root", "fds", "capabilities") as p:
        assert p.call(161, p.put(b"/\0")) == EPERM          # chroot
        assert p.call(105, 12345) == EPERM                  # setuid
        assert p.call(272, 0x40000000) == EPERM             # unshare net
