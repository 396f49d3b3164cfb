# SPDX-License-Identifier: Apache-2.0
"""A blocking MessagePack-RPC client for tests, without a thread.

It reads only while it waits for something. Whatever arrives meanwhile is kept:
answers by message id, notifications in `notifications`, and requests of the
other side are answered at once (`body.get` from the bodies given with `send`).

    client = Client("/tmp/x/pinfold.sock")
    client.hello(caps=["lazy_body"])
    client.call("before_request", [{"id": "1", "req": {...}}])

    first = client.send("before_request", [event], bodies={"req.body": data})
    second = client.send("before_request", [other])
    client.wait(second), client.wait(first)
"""

import socket
import struct
import time

import msgpack

EXT_LAZY = 1
MAX_BUFFER = 64 << 20
DEFAULT_TIMEOUT = 10.0


class RpcError(Exception):
    """The answer was an error; `.code`, `.message`, ... and the whole `.error`."""

    def __init__(self, error):
        self.error = error if isinstance(error, dict) else {"message": error}
        self.code = self.error.get("code")
        self.message = self.error.get("message")
        self.script = self.error.get("script")
        self.hook = self.error.get("hook")
        self.traceback = self.error.get("traceback")
        super().__init__(f"{self.code}: {self.message}")


class ConnectionLost(Exception):
    """The other side closed the connection while an answer was awaited."""


def lazy(content):
    """What stands for a body that the client holds: an extension of type 1."""
    size = content if isinstance(content, int) else len(content)
    return msgpack.ExtType(EXT_LAZY, struct.pack(">Q", size))


def pack(value):
    return msgpack.packb(value, use_bin_type=True)


def unpacker():
    return msgpack.Unpacker(raw=False, strict_map_key=False,
                            unicode_errors="surrogateescape",
                            max_buffer_size=MAX_BUFFER)


class Client:
    """One connection. Not for several threads."""

    def __init__(self, path, timeout=DEFAULT_TIMEOUT):
        self.timeout = timeout
        self.notifications = []     # [method, params], in order of arrival
        self.requests = []          # [method, params] that the server sent
        self.handlers = {"body.get": self._body_get}
        self.answers = {}           # msgid -> [error, result]
        self.bodies = {}            # msgid -> {"req.body": bytes, ...}
        self.closed = False
        self.reset = False          # that, and not by a close
        self._next = 0
        self._unpacker = unpacker()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(str(path))

    # --- sending

    def send(self, method, params=(), bodies=None):
        """Send a request and return its message id; see `wait`."""
        self._next += 1
        msgid = self._next
        if bodies:
            self.bodies[msgid] = bodies
        self.send_raw(pack([0, msgid, method, list(params)]))
        return msgid

    def notify(self, method, params=()):
        self.send_raw(pack([2, method, list(params)]))

    def send_raw(self, data):
        self.sock.settimeout(self.timeout)
        self.sock.sendall(data)

    # --- receiving

    def wait(self, msgid, timeout=None):
        """The result of that request; RpcError when it is an error."""
        self._until(lambda: msgid in self.answers, timeout,
                    f"answer to request {msgid}")
        error, result = self.answers.pop(msgid)
        self.bodies.pop(msgid, None)
        if error is not None:
            raise RpcError(error)
        return result

    def call(self, method, params=(), timeout=None, bodies=None):
        return self.wait(self.send(method, params, bodies), timeout)

    def wait_error(self, msgid, timeout=None):
        """The RpcError that this request must end with."""
        try:
            result = self.wait(msgid, timeout)
        except RpcError as error:
            return error
        raise AssertionError(f"request {msgid} was answered: {result!r}")

    def error(self, method, params=(), timeout=None, bodies=None):
        """The same of a call."""
        return self.wait_error(self.send(method, params, bodies), timeout)

    def hello(self, caps=("lazy_body",), client="pinfold-tests"):
        return self.call("hello", [{"client": client, "version": "0",
                                    "protocol": 1, "caps": list(caps)}])

    def wait_notification(self, method, timeout=None, where=None):
        """Take the first notification of that method, params and all.

        `where` is called with the params and must be true of the one taken.
        """
        def find():
            for i, (name, params) in enumerate(self.notifications):
                if name == method and (where is None or where(params)):
                    return i + 1
            return 0

        self._until(find, timeout, f"notification {method}")
        return self.notifications.pop(find() - 1)[1]

    def wait_closed(self, timeout=None):
        """Wait until the other side closes; what came before is kept."""
        try:
            self._until(lambda: self.closed, timeout, "connection to be closed")
        except ConnectionLost:
            pass

    def pump(self, seconds):
        """Serve the connection for that long, whatever arrives."""
        try:
            self._until(lambda: False, seconds, "")
        except (TimeoutError, ConnectionLost):
            pass

    def close(self):
        self.closed = True
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- within

    def _until(self, check, timeout, what):
        limit = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        while not check():
            if self.closed:
                raise ConnectionLost(f"connection closed before: {what}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {limit:g} s: {what}")
            self._read(left)

    def _read(self, timeout):
        self.sock.settimeout(timeout)
        try:
            data = self.sock.recv(1 << 18)
        except socket.timeout:
            return
        except ConnectionError:
            data, self.reset = b"", True
        if not data:
            self.closed = True
            return
        self._unpacker.feed(data)
        for message in self._unpacker:
            self._take(message)

    def _take(self, message):
        kind = message[0]
        if kind == 1:
            self.answers[message[1]] = message[2:4]
        elif kind == 2:
            self.notifications.append(message[1:3])
        else:
            self._serve(message[1], message[2], message[3])

    def _serve(self, msgid, method, params):
        self.requests.append([method, params])
        handler = self.handlers.get(method)
        error = result = None
        if handler is None:
            error = {"code": "unknown_method", "message": method}
        else:
            try:
                result = handler(*params)
            except LookupError as reason:
                error = {"code": "body_unavailable", "message": str(reason)}
        self.send_raw(pack([1, msgid, error, result]))

    def _body_get(self, msgid, name, offset, length):
        return self.bodies[msgid][name][offset:offset + length]
