# SPDX-License-Identifier: Apache-2.0
"""A sandbox-probe to command: a worker that an attacker has taken over.

    with Probe() as p:
        assert p.fate("call", 39) == "SIGSYS"        # getpid

The programs are taken from tests/sandbox of $PINFOLD_BUILD, else of build/ or
build/asan of the checkout, whichever has them.
"""

import atexit
import os
import shutil
import signal
import socket
import struct
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 30.0
NOBODY = 65534
UID = 1879048192 + 77   # what root's workers drop to, in these tests
MEMORY = 64 << 20

OPS = {name: i for i, name in enumerate(
    ["call", "int80", "poke", "jump", "abort", "stack", "put", "get", "loop",
     "mask", "count"], 1)}
ASK = struct.Struct("<II7Q")
ANSWER = struct.Struct("<qII")

MINIMUM = ["environment", "fds", "no_new_privs", "capabilities", "rlimits",
           "dumpable", "pdeathsig", "seccomp"]
NAMESPACES = ["user", "net", "ipc", "uts", "mount"]
OPTIONAL = NAMESPACES + ["landlock", "mdwe"]


def find(name):
    """Path of a program that the build made, or None."""
    places = [ROOT / "build", ROOT / "build/asan"]
    if "PINFOLD_BUILD" in os.environ:
        places.insert(0, Path(os.environ["PINFOLD_BUILD"]))
    for place in places:
        if (place / "tests/sandbox" / name).exists():
            return place / "tests/sandbox" / name
    return None


_copies = {}


def program(name="sandbox-probe"):
    """Path of a copy that every user can run."""
    source = find(name)
    if source is None:
        raise FileNotFoundError(f"{name} is not built: `make test` does so, or "
                                "say where it is with PINFOLD_BUILD")
    if source not in _copies:
        folder = tempfile.mkdtemp(prefix="pf-sandbox-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.chmod(folder, 0o755)
        _copies[source] = shutil.copy(source, folder)
        os.chmod(_copies[source], 0o755)
    return _copies[source]


def identities():
    """Who workers can be run by: `root` drops to UID, `user` stays itself."""
    return ["root", "user"] if os.geteuid() == 0 else ["user"]


def command(path, who=None, without=(), namespaces=True, memory=MEMORY):
    who = who or identities()[0]
    argv = [path, f"--memory={memory}", f"--namespaces={int(namespaces)}"]
    if who == "root":
        argv += [f"--uid={UID}", f"--gid={UID}"]
    elif os.geteuid() == 0:
        argv = ["/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
                "--clear-groups", "--"] + argv
    if without:
        argv.append("--without=" + ",".join(without))
    return argv


def spawn(argv, fd, env=None, stderr=None):
    """As the broker does; `fd` becomes descriptor 3."""
    actions = [(os.POSIX_SPAWN_DUP2, fd, 3),
               (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
               (os.POSIX_SPAWN_DUP2, 0, 1)]
    if stderr is None:
        actions.append((os.POSIX_SPAWN_DUP2, 0, 2))
    else:
        actions.insert(1, (os.POSIX_SPAWN_DUP2, stderr, 2))
    return os.posix_spawn(argv[0], argv, env or {}, file_actions=actions,
                          setsid=True, setsigmask=[],
                          setsigdef=set(signal.Signals) -
                          {signal.SIGKILL, signal.SIGSTOP})


def outcome(status):
    """Of a process that ended: "SIGSYS", "exit 78"."""
    code = os.waitstatus_to_exitcode(status)
    return signal.Signals(-code).name if code < 0 else f"exit {code}"


class Dead(Exception):
    """The probe ended instead of answering."""


class Probe:
    """One process. Without `start` it is locked, and nothing read yet."""

    def __init__(self, who=None, without=(), namespaces=True, memory=MEMORY,
                 name="sandbox-probe", start=True, env=None, stderr=None):
        self.pid, self._outcome = None, None
        self.socket, other = socket.socketpair()
        self.socket.settimeout(TIMEOUT)
        try:
            self.pid = spawn(
                command(program(name), who, without, namespaces, memory),
                other.fileno(), env, stderr)
        finally:
            other.close()
        self.held, self.missing, self.failed = [], [], []
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        """Read how the lockdown went; returns its result."""
        result, text = self._answer()
        lines = dict(line.partition(" ")[::2]
                     for line in text.decode().splitlines())
        self.held = lines["held"].split()
        self.missing = lines["missing"].split()
        self.failed = lines["failed"].split()
        return result

    def close(self):
        if self.pid is not None and self._outcome is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self.socket.close()

    def wait(self):
        """Its outcome, once it has ended."""
        if self._outcome is None:
            self._outcome = outcome(os.waitpid(self.pid, 0)[1])
        return self._outcome

    def send(self, op, *args, data=b""):
        args = [a & (2 ** 64 - 1) for a in args] + [0] * (7 - len(args))
        self.socket.sendall(ASK.pack(OPS[op], len(data), *args) + data)

    def ask(self, op, *args, data=b""):
        """Its answer; Dead when it died of it."""
        try:
            self.send(op, *args, data=data)
            return self._answer()[0]
        except (ConnectionError, EOFError) as e:
            raise Dead(self.wait()) from e

    def call(self, nr, *args):
        """What the kernel says: a result, or a negative errno."""
        return self.ask("call", nr, *args)

    def fate(self, op, *args):
        """"SIGSYS" and the like, or the answer, a number."""
        try:
            return self.ask(op, *args)
        except Dead as e:
            return str(e)

    def put(self, data, offset=0):
        """Bytes into its memory; their address."""
        return self.ask("put", offset, data=data)

    def get(self, n, offset=0):
        self.send("get", offset, n)
        return self._answer()[1]

    def _answer(self):
        result, n, _ = ANSWER.unpack(self._take(ANSWER.size))
        return result, self._take(n)

    def _take(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data
