# SPDX-License-Identifier: Apache-2.0
"""A real pinfoldd in a directory of its own.

    with Pinfold(scripts={"block": {"before_request": "mut.ctx.set_finish()"}}) as p:
        client = p.client()
        client.call("before_request", [{"id": "1", "req": {"path": "/"}}])

The programs are taken from $PINFOLD_BUILD, by default build/ of the checkout.
"""

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

from .rpc import Client, ConnectionLost, RpcError, lazy  # noqa: F401
from .wait import until

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 30.0
STOP_TIMEOUT = 20.0


def build_dir():
    return Path(os.environ.get("PINFOLD_BUILD", ROOT / "build")).resolve()


def program(name):
    path = build_dir() / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `make build`, or say "
                                "where it is with PINFOLD_BUILD")
    return path


class Pinfold:
    """One broker. `config` is a map merged over a working default (None as a
    value removes the key), or the whole text of the file, where {dir} stands
    for the directory.

    scripts   {NAME: {FILE: text}}; ".lua" is added to FILE when missing. Each
              is enabled, in the order given, unless `config` or `settings` says
              otherwise
    settings  {NAME: {priority: ..., timeout: ...}}, per script
    data      {FILE: text or bytes} of the read-only data store
    dir       use this directory and leave it there; else a new one, removed
              by `close`
    prefix    command in front of pinfoldd's, which must become it by exec
    """

    def __init__(self, config=None, scripts=None, settings=None, data=None,
                 dir=None, env=None, prefix=()):
        self._own_dir = dir is None
        self.dir = Path(dir or tempfile.mkdtemp(prefix="pf-"))
        self.dir.mkdir(parents=True, exist_ok=True)
        self.socket = self.dir / "pinfold.sock"
        self.control = self.dir / "control.sock"
        self.config_file = self.dir / "pinfold.yaml"
        self.log_file = self.dir / "pinfoldd.log"
        self.env = env
        self.prefix = list(prefix)
        self.process = None
        self.stdout = []
        self._reader = None
        self._clients = []
        for name, files in (scripts or {}).items():
            for file, text in files.items():
                self.write_script(name, file, text)
        for file, content in (data or {}).items():
            self._write(self.dir / "data_store" / file, content)
        if isinstance(config, str):
            text = config.replace("{dir}", str(self.dir))
        else:
            names = list(scripts or {})
            text = self._yaml(config or {}, names, settings or {}, bool(data))
        self.write_config(text)

    # --- files

    def _yaml(self, config, names, settings, data):
        entries = {name: {"enabled": True, "priority": 10 * i}
                   for i, name in enumerate(names, 1)}
        for name, values in settings.items():
            merge(entries.setdefault(name, {}), values)
        full = {
            "listen": str(self.socket),
            "control": str(self.control),
            "data_dir": str(self.dir / "data"),
            "luaplugin": {"enabled": True, "dir": "scripts",
                          "scripts": entries},
        }
        if data:
            full["data_store"] = str(self.dir / "data_store")
        (self.dir / "scripts").mkdir(exist_ok=True)
        merge(full, config)
        return to_yaml(full)

    def write_config(self, text):
        self._write(self.config_file, text)

    def write_script(self, name, file, text):
        if not file.endswith(".lua"):
            file += ".lua"
        self._write(self.dir / "scripts" / name / file, text)

    @staticmethod
    def _write(path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode()
        path.write_bytes(content)

    # --- process

    @property
    def pid(self):
        return self.process.pid

    def start(self, timeout=START_TIMEOUT):
        """Start and wait for `ready`. Raises with the log if it does not come."""
        self.spawn()
        try:
            until(lambda: "ready" in self.stdout or self._ended(), timeout,
                  "pinfoldd prints `ready`")
        except TimeoutError as error:
            self.kill()
            raise TimeoutError(f"{error}\n{self.log()}") from None
        if "ready" not in self.stdout:
            code = self.process.wait()
            raise RuntimeError(f"pinfoldd ended with {code}\n{self.log()}")
        return self

    def _ended(self):
        if self.process.poll() is None:
            return False
        self._reader.join(5)
        return True

    def spawn(self):
        """Start without waiting; for tests of starts that must fail."""
        self.stdout = []
        env = dict(os.environ, **(self.env or {}))
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, str(program("pinfoldd")), "-c",
                 str(self.config_file)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=env, cwd=self.dir)
        self._reader = threading.Thread(target=self._read_stdout, daemon=True,
                                        args=(self.process.stdout, self.stdout))
        self._reader.start()

    @staticmethod
    def _read_stdout(pipe, lines):
        with pipe:
            for line in pipe:
                lines.append(line.decode(errors="replace").rstrip("\n"))

    def wait_exit(self, timeout=STOP_TIMEOUT):
        """The exit code; negative when a signal ended it."""
        return self.process.wait(timeout)

    def stop(self, timeout=STOP_TIMEOUT):
        """SIGTERM; returns the exit code. Too slow: killed, and it raises."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"pinfoldd did not end within {timeout:g} s of "
                               f"SIGTERM\n{self.log()}") from None
        self._forget()
        return code

    def kill(self):
        """SIGKILL, as when the machine loses it."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT)
        self._forget()

    def restart(self):
        self.stop()
        return self.start()

    def _forget(self):
        for client in self._clients:
            client.close()
        self._clients = []
        if self._reader is not None:
            self._reader.join(5)

    def close(self):
        """End it however it stands and remove its directory.

        One that was still running must end with 0: a sanitizer that found
        something in it (a leak, too) ends it with another code.
        """
        try:
            if self.process is not None and self.process.poll() is None:
                code = self.stop()
                assert code == 0, f"pinfoldd ended with {code}\n{self.log()}"
        finally:
            self._forget()
            if self._own_dir and not os.environ.get("PINFOLD_KEEP"):
                shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    # --- looking at it

    def client(self, hello=False, caps=("lazy_body",), timeout=10.0):
        """A test client on the proxies' socket, closed with the broker."""
        return self._connect(self.socket, hello, caps, timeout)

    def control_client(self, timeout=10.0):
        return self._connect(self.control, False, (), timeout)

    def _connect(self, path, hello, caps, timeout):
        client = Client(path, timeout)
        self._clients.append(client)
        if hello:
            client.hello(caps)
        return client

    def log(self):
        try:
            return self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def wait_log(self, pattern, timeout=10.0):
        """Wait until the log has a match of the regular expression."""
        try:
            return until(lambda: re.search(pattern, self.log()), timeout,
                         f"log line with {pattern!r}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log()}") from None

    def children(self):
        """{pid: program name} of its live children, workers among them."""
        return children_of(self.pid)


def running(pid):
    """Is there such a process? One that only awaits its reaper has ended."""
    try:
        stat = Path("/proc", str(pid), "stat").read_text(errors="replace")
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def children_of(parent):
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text(errors="replace")
        except OSError:
            continue
        name, rest = stat.split("(", 1)[1].rsplit(")", 1)
        state, ppid = rest.split()[:2]
        if int(ppid) == parent and state != "Z":
            found[int(entry)] = name
    return found


def merge(into, changes):
    """Merge maps into maps, in depth; None removes a key."""
    for key, value in changes.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)
    return into


def to_yaml(value, indent=0):
    """Block style with JSON scalars: enough YAML for a config, and readable."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        return "".join(f"{pad}{json.dumps(str(key)) if odd(key) else key}:"
                       + below(item, indent) for key, item in value.items())
    if isinstance(value, list) and value:
        return "".join(f"{pad}-" + below(item, indent) for item in value)
    return f"{pad}{json.dumps(value)}\n"


def odd(key):
    return not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", str(key))


def below(item, indent):
    if isinstance(item, (dict, list)) and item:
        return "\n" + to_yaml(item, indent + 1)
    return f" {json.dumps(item)}\n"
