# SPDX-License-Identifier: Apache-2.0
"""docs/tutorial.md, command by command, with what it says they print.

A fence's first line tells what to do with it: `sh` runs in one shell, `sh
terminal` in the background, `LANGUAGE FILE` is written to FILE, `output` is
what the last `sh` printed, where `...` stands for anything and spaces for
spaces.
"""

import os
import re
import signal
import socket
import subprocess

import pytest

from lib.pinfold import ROOT, build_dir
from lib.wait import until

TUTORIAL = (ROOT / "docs/tutorial.md").read_text()
FENCES = re.findall(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", TUTORIAL, re.M | re.S)
PORTS = ("8000", "8080")
READY = {"pinfoldd": "ready\n", "mitmdump": "connected to"}    # what they print


class Reader:
    """Somebody who follows the page in an empty folder."""

    def __init__(self, folder):
        self.folder = folder
        self.printed = ""
        self.last = None
        self.terminals = []
        self.ports = dict(zip(PORTS, free_ports(len(PORTS))))
        self.env = dict(os.environ, PINFOLD=str(ROOT), HOME=str(folder),
                        PYTHONUNBUFFERED="1",   # what mitmdump prints is awaited
                        PATH=f"{build_dir()}:{os.environ['PATH']}")

    def text(self, text):
        for written, port in self.ports.items():
            text = re.sub(rf"\b{written}\b", port, text)
        return text

    def follow(self, kind, word, text):
        text = self.text(text)
        if kind == "output":
            self.compare(text)
        elif kind != "sh":
            file = self.folder / word
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        elif word == "terminal":
            self.open_terminal(text)
        elif word != "setup":
            self.last = text if word == "retry" else None
            self.printed = self.run(text)

    def run(self, text):
        done = subprocess.run(["sh", "-ec", text], cwd=self.folder, timeout=60,
                              env=self.env, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        assert done.returncode == 0 or self.last, done.stdout
        return done.stdout

    def compare(self, wanted):
        pattern = re.escape(wanted).replace(re.escape("..."), ".*")
        pattern = re.sub(r"(\\ )+", " +", pattern)

        def alike():
            if self.last and not re.fullmatch(pattern, self.printed):
                self.printed = self.run(self.last)
            return re.fullmatch(pattern, self.printed)

        if self.last:
            until(alike, 10, f"{wanted!r}, not {self.printed!r}")
        assert alike(), self.printed

    def open_terminal(self, text):
        shown = self.folder / f"terminal{len(self.terminals)}"
        with open(shown, "wb") as out:
            self.terminals.append(subprocess.Popen(
                ["sh", "-c", "exec " + text], cwd=self.folder, env=self.env,
                stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT))
        said = READY.get(os.path.basename(text.split()[0]))
        if said:
            until(lambda: said in shown.read_text(), 60, f"{said!r} of {text}")
        for port in self.ports.values():
            if port in text.split():
                until(lambda: connects(port), 60, text)

    def close(self):
        for terminal in self.terminals[1:]:
            terminal.send_signal(signal.SIGTERM)
            terminal.wait(20)


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [str(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports


def connects(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", int(port))) == 0


@pytest.fixture
def reader(tmp_path):
    reader = Reader(tmp_path)
    yield reader
    for terminal in reader.terminals:
        if terminal.poll() is None:
            terminal.kill()
            terminal.wait(20)


def test_the_tutorial_works(reader):
    assert len(FENCES) >= 18
    for kind, word, text in FENCES:
        reader.follow(kind, word, text)
    assert reader.terminals[0].wait(20) == 0    # it ends with `stop`
    reader.close()
