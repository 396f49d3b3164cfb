# SPDX-License-Identifier: Apache-2.0
"""The systems that bench.py measures, each started in a directory of its own."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from lib.pinfold import Pinfold, RpcError, build_dir  # noqa: E402
from lib.wait import until  # noqa: E402

CONCURRENCY = 16


class System:
    """Something with a socket and processes. `peer` is the load client's name
    for how to talk to it."""

    peer = ""

    def __init__(self):
        self.processes = []

    def spawn(self, *argv, cwd):
        process = subprocess.Popen(
            [str(a) for a in argv], cwd=cwd, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=open(Path(cwd, "stderr"), "ab"))
        self.processes.append(process)
        return process

    def pids(self):
        return [p.pid for p in self.processes]

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            process.wait(20)

    def what(self, job):
        """What the load client has to call for that job."""
        return job


class Raw(System):
    peer = "raw"

    def __init__(self, folder, size):
        super().__init__()
        folder.mkdir()
        self.socket = folder / "first"
        hop = build_dir() / "hop"
        self._ready(self.spawn(hop, folder / "second", size, cwd=folder))
        self._ready(self.spawn(hop, self.socket, size, folder / "second",
                               cwd=folder))

    @staticmethod
    def _ready(process):
        assert process.stdout.readline() == b"ready\n"


class Redis(System):
    peer = "redis"

    def __init__(self, folder, append_only):
        super().__init__()
        folder.mkdir()
        self.socket = folder / "s"
        self.spawn("redis-server", "--port", 0, "--unixsocket", self.socket,
                   "--save", "", "--appendonly", append_only, "--dir", folder,
                   "--appendfsync", "everysec", cwd=folder)
        until(self.socket.exists, 30, "Redis listens")
        self.scripts = {}
        for job in "job1", "job1h", "job2":
            text = (HERE / f"peers/redis_{job}.lua").read_bytes()
            self.scripts[job] = self._load(text).split(b"\r\n")[1].decode()

    def _load(self, text):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.socket))
            s.sendall(b"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$%d\r\n%s\r\n"
                      % (len(text), text))
            reply = s.recv(4096)
        assert reply.startswith(b"$40"), reply
        return reply

    def what(self, job):
        return self.scripts[job]


class Tarantool(System):
    peer = "tarantool"

    def __init__(self, folder, wal_mode):
        super().__init__()
        folder.mkdir()
        self.socket = folder / "s"
        process = self.spawn("tarantool", HERE / "peers/tarantool.lua",
                             self.socket, wal_mode, cwd=folder)
        assert process.stdout.readline() == b"ready\n", \
            (folder / "stderr").read_text()


class Broker(System):
    """pinfoldd with one or more copies of a job's script."""

    peer = "pinfold"

    def __init__(self, folder, job, copies=1):
        super().__init__()
        text = (HERE / f"scripts/{job}/before_request.lua").read_text()
        names = [f"{job}_{i}" for i in range(copies)]
        started = time.monotonic()
        self.pinfold = Pinfold(
            dir=folder,
            scripts={name: {"before_request": text} for name in names},
            settings={name: {"concurrency": CONCURRENCY, "workers": 1}
                      for name in names}).start()
        self.start_seconds = time.monotonic() - started
        self.socket = self.pinfold.socket

    def workers(self):
        return [pid for pid, name in self.pinfold.children().items()
                if name.startswith("pinfold-worker")]

    def pids(self):
        return [self.pinfold.pid, *self.workers()]

    def what(self, job):
        return "before_request"

    def stop(self):
        self.pinfold.stop()


def cpu_seconds(pid):
    """(user, system) of a process since it started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    tick = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / tick, int(fields[12]) / tick


def memory_mib(pid):
    """Memory of its own that a process has in use."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


def pin(pids, cpus):
    """Put every thread of these processes on these processors."""
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                os.sched_setaffinity(int(task), cpus)
            except ProcessLookupError:
                pass
