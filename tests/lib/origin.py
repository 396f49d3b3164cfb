# SPDX-License-Identifier: Apache-2.0
"""Upstream servers on loopback: HTTP, HTTPS, server-sent events, WebSocket.

`origin.requests` has what arrived, as it arrived. What is answered depends on
the path alone:

    /status/N         an empty answer with that status
    /bytes/N          N bytes
    /chunked          "one", "two", "three" in chunks
    /gzip             compressed "plain text"
    /cookies          two Set-Cookie headers
    /sse              an event, then as many as `release` lets through
    /halves/N         N bytes, half of them after `release`
    /drop             closes without an answer
    /ws...            WebSocket: says "welcome" when the path ends in /greet,
                      sends back what it gets, after "echo:", closes on "bye"
    anything else     "hello from origin"
"""

import gzip
import http.server
import queue
import socket
import threading

from websockets.frames import Opcode
from websockets.server import ServerConnection

from . import certs
from .wait import until

WAIT = 20.0             # nobody in a test may wait longer
HELLO = b"hello from origin"


class Request:
    """One request as it came over the wire."""

    def __init__(self, method, target, headers, body):
        self.method = method
        self.target = target
        self.headers = headers      # [(name, value)], in order
        self.body = body

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def get(self, name):
        found = self.all(name)
        return found[0] if found else None

    def names(self):
        return [n for n, _ in self.headers]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = WAIT

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    @property
    def origin(self):
        return self.server.origin

    def answer(self):
        body = self.read_body()
        self.origin.requests.append(
            Request(self.command, self.path, self.headers.items(), body))
        path = self.path.partition("?")[0]
        first, *rest = path.strip("/").split("/")
        special = {"status": self.status, "bytes": self.bytes, "sse": self.sse,
                   "chunked": self.chunked, "gzip": self.gzip, "drop": self.drop,
                   "halves": self.halves, "cookies": self.cookies, "ws": self.ws}
        if first in special:
            special[first](*rest)
        else:
            self.plain(200, HELLO)

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    # --- answers

    def plain(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status >= 200 and status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def status(self, code, *_):
        self.plain(int(code), b"")

    def bytes(self, size, *_):
        self.plain(200, pattern(int(size)))

    def gzip(self, *_):
        self.plain(200, gzip.compress(b"plain text"),
                   [("Content-Encoding", "gzip")])

    def cookies(self, *_):
        self.plain(200, b"", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/")])

    def drop(self, *_):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def chunked(self, *_):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in (b"one", b"two", b"three"):
            self.chunk(chunk)
        self.chunk(b"")

    def sse(self, *_):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        number = 1
        self.chunk(b"data: 1\n\n")
        while self.origin.released():
            number += 1
            self.chunk(b"data: %d\n\n" % number)
        self.chunk(b"")

    def halves(self, size, *_):
        data = pattern(int(size))
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:len(data) // 2])
        self.origin.released()
        self.wfile.write(data[len(data) // 2:])

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def ws(self, *rest):
        self.close_connection = True
        peer = ServerConnection()
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        peer.receive_data(f"GET {self.path} HTTP/1.1\r\n{head}\r\n".encode())
        peer.send_response(peer.accept(peer.events_received()[0]))
        if rest and rest[-1] == "greet":
            peer.send_text(b"welcome")
        self.connection.sendall(b"".join(peer.data_to_send()))
        WsLoop(self, peer).run()


class WsLoop:
    """Echoes until either side closes."""

    def __init__(self, handler, peer):
        self.handler = handler
        self.peer = peer
        self.parts = b""
        self.binary = False

    def run(self):
        sock = self.handler.connection
        sock.settimeout(WAIT)
        while True:
            try:
                data = sock.recv(1 << 16)
            except OSError:
                return
            if data:
                self.peer.receive_data(data)
            else:
                self.peer.receive_eof()
            for frame in self.peer.events_received():
                self.take(frame)
            for out in self.peer.data_to_send():
                if out:
                    sock.sendall(out)
            if not data or self.peer.close_expected() and self.peer.close_rcvd:
                return

    def take(self, frame):
        self.handler.origin.frames.append((int(frame.opcode), bytes(frame.data)))
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self.parts, self.binary = b"", frame.opcode is Opcode.BINARY
            self.parts += frame.data
            if not frame.fin:
                return
            if self.parts == b"bye":
                self.peer.send_close(1000, "bye")
            elif self.binary:
                self.peer.send_binary(b"echo:" + self.parts)
            else:
                self.peer.send_text(b"echo:" + self.parts)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, *_):
        pass                        # a client that went away


class Origin:
    """A server on a port of its own. `tls_dir`: with a certificate made there."""

    def __init__(self, tls_dir=None):
        self.requests = []
        self.frames = []            # (opcode, payload) that WebSockets received
        self._gate = queue.Queue()
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.origin = self
        self.tls = tls_dir is not None
        self.scheme = "https" if self.tls else "http"
        if self.tls:
            self.certificate, key = certs.make(tls_dir)
            context = certs.server_context(self.certificate, key)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True,
                do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,),
                         daemon=True).start()

    def url(self, path="/"):
        return f"{self.scheme}://{self.host}{path}"

    def release(self, go_on=True):
        """Let /sse send one more event (or end), /halves its second half."""
        self._gate.put(go_on)

    def released(self):
        try:
            return self._gate.get(timeout=WAIT)
        except queue.Empty:
            return False

    def clear(self):
        self.requests.clear()
        self.frames.clear()
        self._gate = queue.Queue()

    def last(self):
        assert self.requests, "nothing reached the origin"
        return self.requests[-1]

    def wait_frames(self, count, timeout=10.0):
        until(lambda: len(self.frames) >= count, timeout, f"{count} frames")
        return self.frames

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


def pattern(size):
    """Bytes that show when some are missing or out of place."""
    line = b"0123456789abcde\n"
    return (line * (size // len(line) + 1))[:size]


def closed_port():
    """A port of 127.0.0.1 where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
