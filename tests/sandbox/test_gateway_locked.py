# SPDX-License-Identifier: Apache-2.0
"""A gateway that a hostile server has taken over: what it cannot do.

gateway-probe stands for it: the gateway's own sandbox, any system call. The
numbers are those of x86-64.
"""

import errno
import os
import platform
import socket
import struct
import tempfile
from pathlib import Path

import pytest
from lib.gateway import GatewayProcess
from lib.pinfold import build_dir
from probe import Probe

MANDATORY = ["environment", "fds", "no_new_privs", "capabilities", "rlimits",
             "dumpable", "pdeathsig", "seccomp"]
OPTIONAL = ["landlock", "mdwe"]
AT_FDCWD = -100
OPENAT, SOCKET, MMAP = 257, 41, 9

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or not (build_dir() / "pinfold-gateway").exists(),
    reason="there is no gateway, or this is no x86-64")


@pytest.fixture
def probe(who):
    with Probe(who, name="gateway-probe") as p:
        yield p


def open_file(p, path, flags, mode=0):
    return p.call(OPENAT, AT_FDCWD, p.put(str(path).encode() + b"\0"), flags, mode)


def test_layers(who):
    with Probe(who, name="gateway-probe") as p:
        assert p.failed == []
        wanted = MANDATORY + (["uid"] if who == "root" else [])
        assert set(wanted) <= set(p.held)
        assert set(p.held + p.missing) == set(wanted + OPTIONAL)


def test_root_without_another_uid_is_refused():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    from probe import program, spawn
    ours, theirs = socket.socketpair()
    pid = spawn([program("gateway-probe")], theirs.fileno())
    theirs.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 78
    ours.close()


@pytest.mark.parametrize("name, call", {
    "execve": (59, 0, 0, 0), "execveat": (322, AT_FDCWD, 0, 0, 0, 0),
    "fork": (57,), "vfork": (58,), "ptrace": (101, 0, 0, 0, 0),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 0), "kill": (62, 1, 0),
    "pidfd_open": (434, 1, 0), "mount": (165, 0, 0, 0, 0, 0),
    "unshare": (272, 0), "setns": (308, 3, 0), "chroot": (161, 0),
    "bpf": (321, 0, 0, 0), "io_uring_setup": (425, 1, 0),
    "userfaultfd": (323, 0), "perf_event_open": (298, 0, 0, 0, 0, 0),
    "keyctl": (250, 0, 0), "setresuid": (117, 0, 0, 0), "capset": (126, 0, 0),
    "listen": (50, 3, 1), "accept4": (288, 3, 0, 0, 0),
    "personality": (135, 0xffffffff)}.items())
def test_it_dies_of(probe, name, call):
    assert probe.fate("call", *call) == "SIGSYS"


def test_numbers_of_other_abis_die(probe):
    assert probe.fate("call", 0x40000000 | 39) == "SIGSYS"


@pytest.mark.parametrize("name, call", {
    "clone": (56, 17, 0, 0, 0, 0), "truncate": (76, 0, 0), "creat": (85, 0, 0),
    "unlink": (87, 0), "mkdir": (83, 0, 0), "rename": (82, 0, 0),
    "chmod": (90, 0, 0), "symlink": (88, 0, 0), "memfd_create": (319, 0, 0),
    "prctl dumpable": (157, 4, 1, 0, 0, 0), "shmget": (29, 0, 4096, 0o1666),
    "prlimit of another": (302, 1, 7, 0, 0)}.items())
def test_it_is_told_no(probe, name, call):
    assert probe.fate("call", *call) == -errno.EPERM


def test_threads_only_by_clone(probe):
    assert probe.call(435, 0, 0) == -errno.ENOSYS        # clone3


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC,
                                   os.O_APPEND, os.O_TMPFILE | os.O_RDWR, os.O_PATH])
def test_nothing_is_opened_but_to_read(probe, flags):
    for path in ("/dev/null", "/tmp/pf-gateway-wrote-this", "/etc/hosts"):
        assert open_file(probe, path, flags, 0o666) == -errno.EPERM
    assert not Path("/tmp/pf-gateway-wrote-this").exists()


def test_only_some_files_are_read(probe):
    if "landlock" not in probe.held:
        pytest.skip("no Landlock here")
    for path in ("/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl", "/usr/lib"):
        assert open_file(probe, path, os.O_RDONLY) >= 0, path
    with tempfile.NamedTemporaryFile() as file:
        os.chmod(file.name, 0o644)
        for path in (file.name, "/proc/self/environ", "/proc/1/status", "/proc/version",
                     "/usr/bin/env", "/usr/share/doc", "/", "/var/lib", "/home", "/tmp",
                     "/etc/../tmp"):
            assert open_file(probe, path, os.O_RDONLY) == -errno.EACCES, path


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_PACKET, 40, 16 + 100])
def test_sockets_are_of_the_internet(probe, family):
    assert probe.call(SOCKET, family, socket.SOCK_STREAM, 0) == -errno.EPERM


def test_netlink_is_for_routes(probe):
    assert probe.call(SOCKET, socket.AF_NETLINK, socket.SOCK_RAW, 9) == -errno.EPERM
    assert probe.call(SOCKET, socket.AF_NETLINK, socket.SOCK_RAW, 0) >= 0


def test_it_connects_but_serves_nobody(probe):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        fd = probe.call(SOCKET, socket.AF_INET, socket.SOCK_STREAM, 0)
        address = probe.put(struct.pack("!2xH4s8x", port, bytes([127, 0, 0, 1])))
        probe.put(struct.pack("=H", socket.AF_INET))
        assert probe.call(42, fd, address, 16) == 0      # connect
        other = probe.call(SOCKET, socket.AF_INET, socket.SOCK_STREAM, 0)
        probe.put(struct.pack("=H", socket.AF_INET) + bytes(14))
        if "landlock" in probe.held:
            assert probe.call(49, other, address, 16) == -errno.EACCES   # bind
        assert probe.fate("call", 50, other, 1) == "SIGSYS"


def test_no_memory_is_written_and_run(probe):
    if "mdwe" not in probe.held:
        pytest.skip("needs Linux 6.3")
    assert probe.call(MMAP, 0, 4096, 7, 0x22, -1, 0) == -errno.EACCES
    page = probe.call(MMAP, 0, 4096, 3, 0x22, -1, 0)
    assert page > 0
    assert probe.call(10, page, 4096, 5) == -errno.EACCES           # mprotect


# --- the gateway itself


@pytest.fixture
def gateway():
    with GatewayProcess() as process:
        yield process


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {k: v.strip() for k, _, v in (line.partition(":") for line in lines)}


def test_it_starts_locked(gateway):
    assert set(MANDATORY) <= set(gateway.ready["sandbox"])
    status = status_of(gateway.pid)
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    if os.geteuid() == 0:
        assert "0" not in status["Uid"].split() and status["Groups"] == ""


def test_it_has_its_socket_and_its_bell(gateway):
    if os.geteuid() != 0:
        pytest.skip("needs root: the process is not dumpable")
    links = {int(fd.name): os.readlink(fd)
             for fd in Path(f"/proc/{gateway.pid}/fd").iterdir()}
    if "libasan" in Path(f"/proc/{gateway.pid}/maps").read_text():
        links.pop(2)            # for its report
    assert sorted(links) in ([3, 4], [0, 3]), links
    assert links[3].startswith("socket:")
    assert any("eventfd" in link for link in links.values())


def test_its_environment_must_be_empty():
    process = GatewayProcess(env={"HOME": "/root"})
    try:
        process.start()
    except (EOFError, BrokenPipeError):
        assert process.process.wait(20) == 78
    else:
        process.stop(look=False)
        pytest.skip("a sanitizer needs its variables")


def test_it_ends_when_the_broker_does(gateway):
    gateway.sock.close()
    assert gateway.process.wait(20) == 0
    gateway.started = False


@pytest.mark.parametrize("data", [
    b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x00", b"\x93\x02\xa6config\x91\x80",
    b"\x94\x00\x01\xa4call\x90", b"\x94\x00\x01\xa4exec\x91\x80", b"\x91" * 40])
def test_nonsense_on_its_socket_ends_it(data):
    with GatewayProcess(check=False) as process:
        process.send_raw(data)
        with pytest.raises(EOFError):
            process.until(lambda: False, "its end")
        assert process.process.wait(20) == 79
