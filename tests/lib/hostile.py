# SPDX-License-Identifier: Apache-2.0
"""Servers that do not behave: what a connection gets is a Python function.

    def garbage(sock):
        sock.recv(1 << 16)
        sock.sendall(os.urandom(4096))

    with Hostile(garbage) as server:
        server.port, server.connections
"""

import socket
import threading


class Hostile:
    def __init__(self, behave):
        self.behave = behave
        self.connections = 0
        self.sent = 0
        self._open = set()
        self._lock = threading.Lock()

    def __enter__(self):
        self._listen = socket.create_server(("127.0.0.1", 0))
        self.port = self._listen.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        # A blocked accept() keeps the port; shutdown() wakes it.
        self._listen.shutdown(socket.SHUT_RDWR)
        self._listen.close()
        with self._lock:
            for sock in self._open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _accept(self):
        while True:
            try:
                sock, _ = self._listen.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            self.behave(sock)
        except OSError:
            pass
        with self._lock:
            self._open.discard(sock)
        sock.close()

    def endless(self, sock, head, piece, most=256 << 20):
        """`head`, then `piece` again and again, up to `most` bytes."""
        sock.sendall(head)
        while self.sent < most:
            sock.sendall(piece)
            self.sent += len(piece)
