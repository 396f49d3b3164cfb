# SPDX-License-Identifier: Apache-2.0
"""Each layer of the sandbox, looked at from outside, or from inside with the
filter left out: what is reported holds."""

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import probe
import pytest
from lib.wait import until
from probe import MEMORY, NAMESPACES, NOBODY, OPTIONAL, TIMEOUT, UID, Probe

SLACK = 64 << 20
EBADF, ENOMEM, ESRCH = -9, -12, -3
LIMITS = {
    "Max core file size": 0, "Max processes": 0, "Max open files": 0,
    "Max file size": 0, "Max locked memory": 0, "Max file locks": 0,
    "Max pending signals": 0, "Max msgqueue size": 0, "Max nice priority": 0,
    "Max realtime priority": 0, "Max stack size": 2 << 20,
    "Max address space": MEMORY + SLACK, "Max cpu time": "unlimited",
}

root_only = pytest.mark.skipif(os.geteuid() != 0,
                               reason="only root may look at that in /proc")
libc = ctypes.CDLL(None, use_errno=True)


def own_uid(who):
    if who == "root":
        return UID
    return os.geteuid() or NOBODY


def kept_groups():
    """Only root can drop any."""
    return [str(gid) for gid in sorted(os.getgroups())] if os.geteuid() else []


def field(pid, name, file="status"):
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.split()
    raise KeyError(name)


def kernel_has():
    """The optional layers that this machine should give, asked another way."""
    found = set()
    user = [] if os.geteuid() else ["setpriv", f"--reuid={NOBODY}",
                                    f"--regid={NOBODY}", "--clear-groups", "--"]
    kinds = [f"--{name}" for name in NAMESPACES]
    if subprocess.run([*user, "unshare", *kinds, "true"], cwd="/",
                      stderr=subprocess.DEVNULL).returncode == 0:
        found.update(NAMESPACES)
    if libc.syscall(444, None, 0, 1) >= 1:
        found.add("landlock")
    if libc.prctl(66, 0, 0, 0, 0) >= 0:     # PR_GET_MDWE
        found.add("mdwe")
    return found


# -- the report


def test_all_that_the_kernel_has_holds(who):
    has = kernel_has()
    with Probe(who) as p:
        assert p.failed == []
        assert set(probe.MINIMUM) <= set(p.held)
        assert ("uid" in p.held) == (who == "root")
        assert set(OPTIONAL) & set(p.held) == has
        assert set(p.missing) == set(OPTIONAL) - has


def test_namespaces_can_be_declined(who):
    with Probe(who, namespaces=False) as p:
        assert set(NAMESPACES) <= set(p.missing)
        assert not set(NAMESPACES) & set(p.held)
        for name in NAMESPACES if os.geteuid() == 0 else []:
            assert not is_apart(p.pid, name)


# -- mandatory ones, from outside


def test_identity(who):
    uid = str(own_uid(who))
    with Probe(who) as p:
        assert field(p.pid, "Uid") == [uid] * 4
        assert field(p.pid, "Gid") == [uid] * 4
        assert field(p.pid, "Groups") == kept_groups()
        assert field(p.pid, "NoNewPrivs") == ["1"]
        assert field(p.pid, "Seccomp") == ["2"]
        assert field(p.pid, "Threads") == ["1"]


@root_only
def test_groups_of_root_are_dropped():
    script = "import os\nos.setgroups([0, 4, 27])\n"
    with script_then_probe(script, "root") as p:
        assert p.start() == 0
        assert field(p.pid, "Groups") == []


@pytest.mark.parametrize("namespaces", [True, False])
def test_no_capabilities(who, namespaces):
    with Probe(who, namespaces=namespaces) as p:
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(field(p.pid, name)[0], 16) == 0, name
        if who == "root" or "user" in p.held:
            assert int(field(p.pid, "CapBnd")[0], 16) == 0


def test_signals_are_default_and_unblocked(who):
    with Probe(who) as p:
        for name in ("SigBlk", "SigIgn", "SigPnd", "ShdPnd"):
            assert int(field(p.pid, name)[0], 16) == 0, name
        usr1 = 1 << signal.SIGUSR1 - 1
        assert int(field(p.pid, "SigCgt")[0], 16) == usr1


def test_signals_that_were_ignored_and_blocked(who):
    # As a careless parent would leave them. exec keeps both.
    script = ("import os, signal\n"
              "for s in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):\n"
              "    signal.signal(s, signal.SIG_IGN)\n"
              "signal.pthread_sigmask(signal.SIG_BLOCK, {10, 15, 40})\n")
    with script_then_probe(script, who) as p:
        assert p.start() == 0
        assert int(field(p.pid, "SigBlk")[0], 16) == 0
        # Python ignores SIGPIPE, which is left to the worker's main().
        pipe = 1 << signal.SIGPIPE - 1
        assert int(field(p.pid, "SigIgn")[0], 16) & ~pipe == 0


def test_limits(who):
    with Probe(who) as p:
        lines = Path(f"/proc/{p.pid}/limits").read_text().splitlines()[1:]
    found = {line[:26].strip(): line[26:].split()[:2] for line in lines}
    for name, value in LIMITS.items():
        assert found[name] == [str(value)] * 2, name


def test_session_umask_and_oom(who):
    with Probe(who) as p:
        assert os.getsid(p.pid) == p.pid
        assert field(p.pid, "Umask") == ["0777"]
        assert Path(f"/proc/{p.pid}/oom_score_adj").read_text() == "1000\n"


def test_not_dumpable(who):
    # Its files in /proc belong to root then.
    with Probe(who) as p:
        assert os.stat(f"/proc/{p.pid}/environ").st_uid == 0
    with Probe(who, without=["seccomp"]) as p:
        assert p.call(157, 3, 0, 0, 0, 0) == 0      # PR_GET_DUMPABLE
    # The check above can tell the difference:
    if who == "user":
        with Probe(who, without=["seccomp", "dumpable"],
                   namespaces=False) as p:
            assert p.call(157, 3, 0, 0, 0, 0) == 1


@root_only
def test_one_descriptor(who):
    with Probe(who) as p:
        assert os.listdir(f"/proc/{p.pid}/fd") == ["3"]
        assert os.readlink(f"/proc/{p.pid}/fd/3").startswith("socket:")


def test_one_descriptor_from_inside(who):
    with Probe(who, without=["seccomp"]) as p:
        for fd in range(1100):
            flags = p.call(72, fd, 1)       # fcntl F_GETFD
            assert flags == EBADF if fd != 3 else flags >= 0, fd


@root_only
def test_descriptors_that_were_inherited_are_closed(who):
    script = ("import os\n"
              "for fd in (4, 17, 900):\n"
              "    os.dup2(2, fd, inheritable=True)\n")
    with script_then_probe(script, who) as p:
        assert p.start() == 0
        assert os.listdir(f"/proc/{p.pid}/fd") == ["3"]


@root_only
def test_environment_and_folder(who):
    with Probe(who) as p:
        assert Path(f"/proc/{p.pid}/environ").read_bytes() == b""
        assert os.readlink(f"/proc/{p.pid}/cwd") == "/"
        assert os.listdir(f"/proc/{p.pid}/cwd/") == (
            [] if "mount" in p.held else os.listdir("/"))


def test_address_space_is_bounded(who):
    with Probe(who) as p:
        assert p.call(9, 0, MEMORY + SLACK, 3, 0x22, -1, 0) == ENOMEM
        assert p.call(9, 0, MEMORY + SLACK // 2, 3, 0x22, -1, 0) > 0
        assert p.call(9, 0, SLACK, 3, 0x22, -1, 0) == ENOMEM
    with Probe(who, memory=0) as p:
        assert p.call(9, 0, 1 << 32, 3, 0x22, -1, 0) > 0


# -- optional ones


def is_apart(pid, name):
    kind = {"mount": "mnt"}.get(name, name)
    return (os.readlink(f"/proc/{pid}/ns/{kind}") !=
            os.readlink(f"/proc/self/ns/{kind}"))


@root_only
def test_namespaces_are_own(who):
    with Probe(who) as p:
        for name in NAMESPACES:
            assert is_apart(p.pid, name) == (name in p.held), name


@root_only
def test_root_is_empty_and_read_only(who):
    with Probe(who) as p:
        if "mount" not in p.held:
            pytest.skip("no mount namespaces here")
        assert os.listdir(f"/proc/{p.pid}/root/") == []
        mounts = Path(f"/proc/{p.pid}/mounts").read_text().splitlines()
        assert len(mounts) == 1
        _, place, kind, options, *_ = mounts[0].split()
        assert (place, kind) == ("/", "tmpfs")
        assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(","))


@root_only
def test_net_has_nothing_up(who):
    with Probe(who) as p:
        if "net" not in p.held:
            pytest.skip("no net namespaces here")
        lines = Path(f"/proc/{p.pid}/net/dev").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in lines] == ["lo"]
        routes = Path(f"/proc/{p.pid}/net/route").read_text()
        assert routes.splitlines()[1:] == []
        assert "127.0.0.1" not in Path(
            f"/proc/{p.pid}/net/fib_trie").read_text()


@root_only
def test_one_id_is_mapped(who):
    with Probe(who) as p:
        if "user" not in p.held:
            pytest.skip("no user namespaces here")
        uid = str(own_uid(who))
        for name in ("uid_map", "gid_map"):
            text = Path(f"/proc/{p.pid}/{name}").read_text()
            assert text.split() == [uid, uid, "1"]
        assert Path(f"/proc/{p.pid}/setgroups").read_text() == "deny\n"


# -- what ends it


def script_then_probe(script, who, dup=True, **options):
    """A Probe that a Python script has become: `script`, then exec."""
    argv = probe.command(probe.program(), who, **options)
    p = Probe.__new__(Probe)
    p._outcome, p.held, p.missing, p.failed = None, [], [], []
    p.socket, other = probe.socket.socketpair()
    p.socket.settimeout(TIMEOUT)
    code = f"{script}\nimport os\nos.execve({argv[0]!r}, {argv!r}, {{}})\n"
    p.pid = probe.spawn([sys.executable, "-c", code], other.fileno())
    other.close()
    return p


def test_environment_ends_it(who):
    with Probe(who, env={"SECRET": "x"}, start=False) as p:
        assert p.start() < 0
        assert p.failed == ["environment"]
        assert p.wait() == "exit 78"


def test_no_socket_ends_it(who):
    with open("/dev/null", "r+b") as null:
        pid = probe.spawn(probe.command(probe.program(), who), null.fileno())
    assert probe.outcome(os.waitpid(pid, 0)[1]) == "exit 78"


@root_only
@pytest.mark.parametrize("ids", [[], [f"--uid={UID}"], [f"--gid={UID}"]])
def test_root_must_drop_its_uid(ids):
    ours, other = probe.socket.socketpair()
    with ours, other:
        pid = probe.spawn([probe.program(), *ids], other.fileno())
        assert probe.outcome(os.waitpid(pid, 0)[1]) == "exit 78"
        assert b"failed uid\n" in ours.recv(1000)


def test_ordinary_user_cannot_change_its_uid():
    argv = probe.command(probe.program(), "user")
    argv += [f"--uid={UID}", f"--gid={UID}"]
    ours, other = probe.socket.socketpair()
    with ours, other:
        pid = probe.spawn(argv, other.fileno())
        assert probe.outcome(os.waitpid(pid, 0)[1]) == "exit 78"
        assert b"failed uid\n" in ours.recv(1000)


@contextmanager
def another(who, then):
    """A process that runs `then` with {argv} of a probe and our socket's other
    end; its Popen, and our socket."""
    argv = probe.command(probe.program(), who)
    here = os.path.dirname(os.path.abspath(probe.__file__))
    code = (f"import os, signal, socket, sys, time\n"
            f"sys.path.insert(0, {here!r})\n"
            f"import probe\n"
            f"{then.format(argv=argv)}")
    ours, other = probe.socket.socketpair()
    ours.settimeout(TIMEOUT)
    with other:
        process = subprocess.Popen([sys.executable, "-c", code, str(
            other.fileno())], pass_fds=[other.fileno()],
            stdout=subprocess.PIPE, text=True)
    with ours, process:
        try:
            yield process, ours
        finally:
            process.kill()


def test_parent_is_not_who_made_the_socket(who):
    # So it looks when the broker died before its worker could ask to be
    # killed with it: the parent is somebody else.
    with another(who, (
            "pid = probe.spawn({argv!r}, int(sys.argv[1]))\n"
            "print(probe.outcome(os.waitpid(pid, 0)[1]))\n")) as (process, ours):
        assert process.communicate(timeout=TIMEOUT)[0] == "exit 78\n"
        assert b"failed pdeathsig\n" in ours.recv(1000)


def is_alive(pid):
    try:
        return field(pid, "State")[0] != "Z"    # PID 1 may be slow to reap
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_broker_killed_leaves_no_worker(who):
    with another(who, (
            "ours, other = socket.socketpair()\n"
            "pid = probe.spawn({argv!r}, other.fileno())\n"
            "other.close()\n"
            "assert ours.recv(1000)\n"
            # A copy of the broker's end that outlives it: no EOF will tell.
            "socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b'x'],\n"
            "                [ours.fileno()])\n"
            "print(pid, flush=True)\n"
            "time.sleep(60)\n")) as (process, ours):
        pid = int(process.stdout.readline())
        _, fds, _, _ = probe.socket.recv_fds(ours, 1, 1)
        assert is_alive(pid)
        process.kill()
        process.wait()
        try:
            until(lambda: not is_alive(pid), TIMEOUT, "worker's end")
        finally:
            os.close(fds[0])


# -- the build with sanitizers


def test_sanitizers_can_report(who):
    if probe.find("sandbox-probe-sanitized") is None:
        pytest.skip("no build with sanitizers")
    out, into = os.pipe()
    with open(out, "rb") as report:
        with Probe(who, name="sandbox-probe-sanitized", stderr=into) as p:
            os.close(into)
            assert p.failed == []
            assert set(probe.MINIMUM) <= set(p.held)
            assert p.ask("count") == 0
            p.fate("poke", 8)
        assert b"AddressSanitizer: SEGV" in report.read()


def test_sanitizers_filter_still_stops_the_rest(who):
    if probe.find("sandbox-probe-sanitized") is None:
        pytest.skip("no build with sanitizers")
    for nr in (41, 57, 59, 62, 101, 272, 425):
        with Probe(who, name="sandbox-probe-sanitized") as p:
            assert p.fate("call", nr, 0, 0, 0, 0, 0, 0) == "SIGSYS"
