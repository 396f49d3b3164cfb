# SPDX-License-Identifier: Apache-2.0
"""A private Mosquitto on loopback with pinfold's plugin in it.

    with Mosquitto(socket="/tmp/x/pinfold.sock", options={"timeout_ms": 500}) as m:
        m.client("c1").connect()
"""

import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from .mqtt import Mqtt
from .pinfold import program
from .wait import until

START_TIMEOUT = 30.0
# another release: its program, and PINFOLD_BUILD with a plugin for it
PROGRAM = os.environ.get("PINFOLD_TEST_MOSQUITTO", "/usr/sbin/mosquitto")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def preload(plugin):
    """A plugin with a sanitizer in it needs its library first in the program."""
    needed = subprocess.run(["ldd", str(plugin)], stdout=subprocess.PIPE, text=True,
                            check=True).stdout
    found = re.search(r"=> (\S*libasan\S*)", needed)
    if not found:
        return {}
    # Mosquitto leaks some of its own at its end
    return {"LD_PRELOAD": found[1], "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1"}


class Mosquitto:
    """`socket`: of pinfoldd; None: no plugin. `options`: plugin_opt_NAME values.
    `lines`: more of mosquitto.conf, before the plugin's; `listener`: after the
    listener's line."""

    def __init__(self, socket=None, options=None, lines=(), listener=(), plugin=None):
        self.dir = Path(tempfile.mkdtemp(prefix="pf-mq-"))
        self.port = free_port()
        self.log_file = self.dir / "mosquitto.log"
        self.conf = self.dir / "mosquitto.conf"
        self.process = None
        self.clients = []
        self.env = {}
        text = [*lines, "log_type all"]
        if os.geteuid() == 0:
            text.insert(0, "user root")
        if not any(line.startswith("allow_anonymous") for line in text):
            text.append("allow_anonymous true")
        plugin_lines = []
        if socket is not None or plugin is not None:
            path = plugin or program("pinfold_mosquitto.so")
            self.env = preload(path)
            plugin_lines.append(f"plugin {path}")
            if socket is not None:
                plugin_lines.append(f"plugin_opt_socket {socket}")
            plugin_lines += [f"plugin_opt_{name} {value}"
                             for name, value in (options or {}).items()]
        listener_lines = [f"listener {self.port} 127.0.0.1", *listener]
        # with per_listener_settings a plugin belongs to the listener above it
        text += listener_lines + plugin_lines
        self.conf.write_text("\n".join(text) + "\n")

    def start(self):
        self.spawn()
        try:
            until(lambda: self.process.poll() is not None or self._listens(),
                  START_TIMEOUT, "Mosquitto listens")
        except TimeoutError as error:
            self.stop()
            raise TimeoutError(f"{error}\n{self.log()}") from None
        if self.process.poll() is not None:
            raise RuntimeError(f"Mosquitto ended with {self.process.returncode}\n"
                               f"{self.log()}")
        return self

    def spawn(self):
        """Start without waiting; for starts that must fail."""
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "-c", str(self.conf)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env={**os.environ, **self.env}, cwd=self.dir)
        return self.process

    def _listens(self):
        return re.search(r"version \S+ running", self.log())

    def stop(self):
        """SIGTERM; its exit code."""
        for client in self.clients:
            client.drop()
        self.clients = []
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
            raise TimeoutError(f"Mosquitto did not end\n{self.log()}") from None

    def close(self):
        try:
            running = self.process is not None and self.process.poll() is None
            code = self.stop()
            assert not running or code == 0, f"Mosquitto ended: {code}\n{self.log()}"
        finally:
            if not os.environ.get("PINFOLD_KEEP"):
                shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def client(self, client_id, **kwargs):
        """A client that is not connected yet, dropped with the broker."""
        client = Mqtt(self.port, client_id, **kwargs)
        self.clients.append(client)
        return client

    def connected(self, client_id, **kwargs):
        client = self.client(client_id, **kwargs)
        code = client.connect().code
        assert code == 0, f"{client_id}: CONNACK {code}\n{self.log()}"
        return client

    def log(self):
        return self.log_file.read_text(errors="replace")

    def wait_log(self, pattern, timeout=10.0):
        try:
            return until(lambda: re.search(pattern, self.log()), timeout,
                         f"log line with {pattern!r}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log()}") from None
