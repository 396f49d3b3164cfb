# SPDX-License-Identifier: Apache-2.0
"""A real pinfold-gateway without a broker: the test speaks the broker's side.

    with GatewayProcess({"redis": {"port": 7000}}) as gateway:
        gateway.ensure("redis")
        gateway.call("redis", "cmd", ["SET a b"])        # -> True
        gateway.error("redis", "cmd", [5]).code          # -> "badarg"

`send` and `wait` are for several calls at once. Bytes that are UTF-8 text come
as str, others as bytes. What the gateway logs gathers in `logs`.
"""

import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import msgpack

from .pinfold import program

TIMEOUT = 20.0


class GatewayError(Exception):
    """A call that was answered with an error map."""

    def __init__(self, error):
        self.error = error
        self.code = error["code"]
        self.message = error["message"]
        super().__init__(f"{self.code}: {self.message}")


def pack(value):
    return msgpack.packb(value, use_bin_type=True)


def text(value):
    """Bytes as str where they are UTF-8, within lists and maps too."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if isinstance(value, list):
        return [text(v) for v in value]
    if isinstance(value, dict):
        return {text(k): text(v) for k, v in value.items()}
    return value


class GatewayProcess:
    """One gateway; `config` is {PROVIDER: settings}. `check`: at the end it
    must exit by itself with status 0 and no sanitizer report."""

    def __init__(self, config=None, options=None, check=True, env=None):
        self.config = config or {}
        self.check = check
        self.env = env or {}
        if options is None:
            options = ["--uid=65533", "--gid=65533"] if os.getuid() == 0 else []
        self.options = options
        self.answers, self.logs, self.pools = {}, [], []
        self.ready = None
        self.next_id = 0
        self.started = False

    def start(self):
        ours, theirs = socket.socketpair()
        self.errors = tempfile.TemporaryFile()

        def to_three():
            os.dup2(theirs.fileno(), 3)
            os.set_inheritable(3, True)

        self.process = subprocess.Popen(
            [str(program("pinfold-gateway")), *self.options], pass_fds=(3,),
            preexec_fn=to_three, env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=self.errors)
        theirs.close()
        self.pid = self.process.pid
        self.sock = ours
        self.unpacker = msgpack.Unpacker(raw=True, strict_map_key=False,
                                         max_buffer_size=256 << 20)
        self.started = True
        self.send_raw(pack([2, "config", [self.config]]))
        self.until(lambda: self.ready is not None, "ready")
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        self.stop(kind is None)

    def stop(self, look=True):
        if not self.started:
            return
        self.started = False
        self.sock.close()
        try:
            status = self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        if look and self.check:
            assert status == 0, f"ended with {status}\n{self.stderr()}"

    def kill(self):
        self.started = False
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        self.sock.close()

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    # The wire.

    def send_raw(self, data):
        self.sock.settimeout(TIMEOUT)
        self.sock.sendall(data)

    def request(self, method, params):
        self.next_id += 1
        self.send_raw(pack([0, self.next_id, method, params]))
        return self.next_id

    def until(self, check, what, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        while not check():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {timeout:g} s: {what}")
            if not select.select([self.sock], [], [], left)[0]:
                continue
            try:
                data = self.sock.recv(1 << 18)
            except ConnectionError:
                data = b""
            if not data:
                status = self.process.wait(TIMEOUT)
                self.started = False
                raise EOFError(f"the gateway ended with {status}\n{self.stderr()}")
            self.unpacker.feed(data)
            for message in self.unpacker:
                self._take(message)

    def _take(self, message):
        if message[0] == 1:
            self.answers[message[1]] = message[2:4]
            return
        method, params = text(message[1]), text(message[2])
        if method == "ready":
            self.ready = params[0]
        elif method == "log":
            self.logs.append(params[1])
        elif method == "pools":
            self.pools = params[0]

    # What a broker asks.

    def wait(self, msgid, timeout=TIMEOUT, raw=False):
        self.until(lambda: msgid in self.answers, f"answer {msgid}", timeout)
        error, result = self.answers.pop(msgid)
        if error is not None:
            raise GatewayError(text(error))
        return result if raw else text(result)

    def ensure(self, provider, settings=None, pool=None, grants=None, timeout=TIMEOUT):
        return self.wait(self.request(
            "ensure_pool", [provider, pool, settings, grants]), timeout)

    def send(self, provider, op, args=(), pool=None, timeout=5.0, grants=None):
        return self.request("call", [provider, op, pool, list(args),
                                     int(timeout * 1000), grants])

    def call(self, provider, op, args=(), pool=None, timeout=5.0, grants=None,
             raw=False):
        return self.wait(self.send(provider, op, args, pool, timeout, grants),
                         timeout + TIMEOUT, raw)

    def error(self, *args, timeout=5.0, **kwargs):
        """The GatewayError that this call must end with."""
        return self.wait_error(self.send(*args, timeout=timeout, **kwargs),
                               timeout + TIMEOUT)

    def wait_error(self, msgid, timeout=TIMEOUT):
        """The GatewayError that a call of `send` must end with."""
        try:
            result = self.wait(msgid, timeout)
        except GatewayError as error:
            return error
        raise AssertionError(f"it was answered: {result!r}")

    def pool(self, provider, name=None):
        """The pool's line of the latest `pools`, or None."""
        for pool in self.pools:
            if pool["provider"] == provider and name in (None, pool["name"]):
                return pool
        return None


# --- private servers

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A program that listens on a loopback port of its own; stopped by pid."""

    def __init__(self, command, port, cwd=None, ready=None):
        self.command, self.port, self.cwd = command, port, cwd
        self.ready = ready or self.accepts
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            self.command, cwd=self.cwd, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self.ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.command[0]} ended at once")
            if time.monotonic() > deadline:
                self.stop()
                raise TimeoutError(f"{self.command[0]} does not listen")
            time.sleep(0.02)
        return self

    def accepts(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def redis_server(directory, *options, port=None):
    port = port or free_port()
    return Server(["redis-server", "--port", str(port), "--bind", "127.0.0.1",
                   "--save", "", "--appendonly", "no", "--dir", str(Path(directory)),
                   *options], port, cwd=directory)


def memcached_server(port=None):
    port = port or free_port()
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    return Server(["memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0",
                   "-t", "2", "-m", "16", *user], port)
