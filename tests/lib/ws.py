# SPDX-License-Identifier: Apache-2.0
"""A blocking WebSocket client that goes through a proxy."""

import socket
from urllib.parse import urlsplit

from websockets.client import ClientConnection
from websockets.frames import Opcode
from websockets.uri import parse_uri

TIMEOUT = 15.0


class WebSocket:
    """`url` is ws:// or wss://, by CONNECT; plain=True: as an absolute-form GET."""

    def __init__(self, proxy, url, plain=False, extensions=None, timeout=TIMEOUT):
        parts = urlsplit(url)
        self.sock = socket.create_connection(("127.0.0.1", proxy.port), timeout)
        if not plain:
            self._tunnel(parts.netloc)
        if parts.scheme == "wss":
            self.sock = proxy.trust().wrap_socket(
                self.sock, server_hostname=parts.hostname)
        self.peer = ClientConnection(parse_uri(url), extensions=extensions)
        self.frames = []
        request = self.peer.connect()
        if plain:
            request.path = url.replace("ws://", "http://", 1)
        self.peer.send_request(request)
        self._send()
        self.response = self._event()

    def _tunnel(self, netloc):
        self.sock.sendall(f"CONNECT {netloc} HTTP/1.1\r\nHost: {netloc}\r\n\r\n"
                          .encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            piece = self.sock.recv(1)
            if not piece:
                raise ConnectionError(f"CONNECT: {answer!r}")
            answer += piece
        if b" 200 " not in answer.split(b"\r\n")[0]:
            raise ConnectionError(f"CONNECT: {answer!r}")

    # --- sending

    def text(self, data, fin=True):
        self.peer.send_text(data.encode(), fin=fin)
        self._send()

    def binary(self, data, fin=True):
        self.peer.send_binary(data, fin=fin)
        self._send()

    def more(self, data, fin=True):
        self.peer.send_continuation(data, fin=fin)
        self._send()

    def close(self, code=1000, reason=""):
        self.peer.send_close(code, reason)
        self._send()

    def abort(self):
        """Gone without a word."""
        self.sock.close()

    def _send(self):
        for data in self.peer.data_to_send():
            if data:
                self.sock.sendall(data)

    # --- receiving

    def receive(self):
        """The next message: str, bytes, or None when it was closed."""
        parts, kind = b"", None
        while True:
            frame = self._event()
            if frame is None or frame.opcode is Opcode.CLOSE:
                return None
            if frame.opcode in (Opcode.PING, Opcode.PONG):
                continue
            kind = kind or frame.opcode
            parts += frame.data
            if frame.fin:
                return parts.decode() if kind is Opcode.TEXT else parts

    def _event(self):
        while not self.frames:
            data = self.sock.recv(1 << 16)
            if not data:
                self.peer.receive_eof()
                self.frames += self.peer.events_received() or [None]
                break
            self.peer.receive_data(data)
            self.frames += self.peer.events_received()
            self._send()
        return self.frames.pop(0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
