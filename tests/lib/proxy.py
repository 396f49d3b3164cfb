# SPDX-License-Identifier: Apache-2.0
"""A real mitmdump with the addon, and clients that go through it.

    proxy = Proxy(directory).start()
    proxy.use(broker.socket)                    # and wait until connected
    answer = proxy.get(origin.url("/x"))        # HTTP, or HTTPS by CONNECT
    answer.status, answer.body, answer.all("set-cookie")
"""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from .origin import closed_port
from .pinfold import ROOT
from .wait import until

ADDON = ROOT / "clients" / "mitmproxy" / "pinfold_addon.py"
CONTROL = Path(__file__).with_name("proxy_control.py")
MITMDUMP = os.environ.get("MITMDUMP", "/usr/bin/mitmdump")
START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0
TIMEOUT = 15.0


class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.reason = response.reason
        self.headers = response.getheaders()
        self.body = body

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def get(self, name):
        found = self.all(name)
        return found[0] if found else None

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:200]!r}>"


class Connection:
    """A client's connection to the proxy; `to` (scheme, host, port) by CONNECT."""

    def __init__(self, proxy, to=None, timeout=TIMEOUT):
        if to is None:
            self.http = http.client.HTTPConnection("127.0.0.1", proxy.port,
                                                   timeout=timeout)
            return
        scheme, host, port = to
        if scheme == "https":
            self.http = http.client.HTTPSConnection(
                "127.0.0.1", proxy.port, timeout=timeout, context=proxy.trust())
        else:
            self.http = http.client.HTTPConnection("127.0.0.1", proxy.port,
                                                   timeout=timeout)
        self.http.set_tunnel(host, port)

    def request(self, method, target, body=None, headers=(), host=None):
        """Send; the http.client response, body unread."""
        self.http.putrequest(method, target, skip_host=True,
                             skip_accept_encoding=True)
        named = [n.lower() for n, _ in headers]
        if "host" not in named:
            self.http.putheader("Host", host or urlsplit(target).netloc)
        for name, value in headers:
            self.http.putheader(name, value)
        if body is not None and not {"content-length",
                                     "transfer-encoding"} & set(named):
            self.http.putheader("Content-Length", str(len(body)))
        self.http.endheaders(body)
        return self.http.getresponse()

    def fetch(self, method, target, body=None, headers=(), host=None):
        response = self.request(method, target, body, headers, host)
        return Answer(response, response.read())

    def close(self):
        self.http.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Proxy:
    def __init__(self, directory, options=None):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.options = {"ssl_insecure": "true", **(options or {})}
        self.port = None
        self.process = None
        self.log_file = self.dir / "mitmdump.log"
        self.control_path = self.dir / "control.sock"
        self.control = None

    # --- process

    def start(self, socket_path=None, timeout=START_TIMEOUT):
        self.port = closed_port()
        options = {"confdir": str(self.dir / "conf"), "listen_host": "127.0.0.1",
                   "listen_port": self.port, "flow_detail": 0,
                   "pinfold_socket": socket_path or str(self.dir / "none.sock"),
                   "control_socket": str(self.control_path), **self.options}
        command = [MITMDUMP, "-s", str(ADDON), "-s", str(CONTROL)]
        for name, value in options.items():
            command += ["--set", f"{name}={value}"]
        env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1")
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=env)
        try:
            until(self._up, timeout, "mitmdump listens", every=0.05)
        except (TimeoutError, RuntimeError) as error:
            self.kill()
            raise type(error)(f"{error}\n{self.log()}") from None
        return self

    def _up(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"mitmdump ended with {self.process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            self.control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.control.settimeout(TIMEOUT)
            self.control.connect(str(self.control_path))
        except OSError:
            return False
        return True

    def stop(self, timeout=STOP_TIMEOUT):
        """SIGTERM; returns the exit code."""
        if self.control is not None:
            self.control.close()
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"mitmdump did not end\n{self.log()}") from None

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT)

    def log(self):
        return self.log_file.read_text(errors="replace")

    # --- orders

    def set(self, **options):
        """Set options of the running proxy; returns the addon's state."""
        self.control.sendall(json.dumps({"set": options}).encode() + b"\n")
        line = b""
        while not line.endswith(b"\n"):
            data = self.control.recv(1 << 16)
            if not data:
                raise ConnectionError(f"the proxy is gone\n{self.log()}")
            line += data
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def state(self):
        return self.set()

    def use(self, socket_path, **options):
        """Ask that broker from now on; waits until it is connected."""
        defaults = {"pinfold_timeout_ms": 5000, "pinfold_on_unavailable": "fail",
                    "pinfold_on_timeout": "fail", "pinfold_stream": True,
                    "stream_large_bodies": None}
        self.set(**{**defaults, **options}, pinfold_socket=str(socket_path))
        self.wait_connected()
        return self

    def wait_connected(self, timeout=10.0):
        until(lambda: self.state()["connected"], timeout,
              "the addon is connected to the broker")

    def wait_idle(self, timeout=10.0):
        """Every flow has ended, the addon keeps nothing of it."""
        until(lambda: not self.state()["open"], timeout, "no flow is open")

    # --- clients

    def trust(self):
        context = ssl.create_default_context(
            cafile=self.dir / "conf" / "mitmproxy-ca-cert.pem")
        return context

    def connection(self, url=None, tunnel=False):
        """A connection for requests to `url`; by CONNECT for https."""
        parts = urlsplit(url or "")
        if parts.scheme == "https" or tunnel:
            return Connection(self, (parts.scheme, parts.hostname, parts.port))
        return Connection(self)

    def fetch(self, method, url, body=None, headers=(), tunnel=False):
        parts = urlsplit(url)
        inner = parts.scheme == "https" or tunnel
        target = url
        if inner:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
        with self.connection(url, tunnel) as connection:
            return connection.fetch(method, target, body, headers, parts.netloc)

    def get(self, url, headers=(), tunnel=False):
        return self.fetch("GET", url, None, headers, tunnel)

    def raw(self, data, timeout=TIMEOUT):
        """Send those bytes, return all until the proxy closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as sock:
            sock.sendall(data)
            found = b""
            while piece := sock.recv(1 << 16):
                found += piece
            return found
