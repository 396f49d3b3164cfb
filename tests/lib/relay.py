# SPDX-License-Identifier: Apache-2.0
"""A Unix socket in front of another one, which a test can cut.

    with Relay(tmp_path / "relay.sock", pinfold.socket) as relay:
        ... connect to relay.path ...
        relay.cut()         # every connection ends, and nobody listens
        relay.start()       # and again
"""

import os
import socket
import threading


class Relay:
    def __init__(self, path, to):
        self.path = str(path)
        self.to = str(to)
        self._listener = None
        self._lock = threading.Lock()
        self._sockets = []

    def start(self):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.path)
        listener.listen(16)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def cut(self):
        if self._listener is not None:
            os.unlink(self.path)
            end(self._listener)
            self._listener = None
        with self._lock:
            for sock in self._sockets:
                end(sock)
            self._sockets = []

    close = cut

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.cut()

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                far.connect(self.to)
            except OSError:
                near.close()
                far.close()
                continue
            with self._lock:
                if self._listener is not listener:      # cut meanwhile
                    end(near)
                    end(far)
                    return
                self._sockets += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()


def pump(source, sink):
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
    except OSError:
        pass
    for sock in (source, sink):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def end(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()
