# SPDX-License-Identifier: Apache-2.0
"""A pinfold without scripts: its answers are Python functions.

For what a real broker does not do on demand: answer late, wrongly or not at all,
go away in the middle, send garbage.

    fake = FakePinfold(path)
    fake.on["before_request"] = lambda call: {"ops": [["req.set_header", "X", "1"]]}
    fake.start()
    ...
    fake.seen("before_request")[0]["req"]["path"]

A handler gets a Call and returns a result, or raises Fail(code, message), or
returns NO_ANSWER. Hooks served are those in `on` and in `observed`.
"""

import os
import socket
import threading

import msgpack

from .rpc import pack, unpacker
from .wait import until

NO_ANSWER = object()
LIMITS = {"max_message": 16 << 20, "max_inflight": 1024, "inline_body": 16 << 10}
READS = ["req", "req.body", "resp", "resp.body", "ws"]
CALL_TIMEOUT = 10.0


class Fail(Exception):
    def __init__(self, code, message="", **more):
        super().__init__(code, message)
        self.error = {"code": code, "message": message, **more}


class Call:
    """One request or notification of a hook."""

    def __init__(self, peer, msgid, hook, event):
        self.peer = peer
        self.msgid = msgid
        self.hook = hook
        self.event = event

    def body(self, name="req.body", offset=0, length=1 << 20):
        """Fetch a range of a body that the proxy holds."""
        return self.peer.request("body.get", [self.msgid, name, offset, length])

    def whole_body(self, name="req.body"):
        """A body as scripts would see it, in whichever way it came."""
        part, key = name.split(".")
        value = self.event.get(part, {}).get(key)
        if not isinstance(value, msgpack.ExtType):
            return value
        size = int.from_bytes(value.data, "big")
        found = b""
        while len(found) < size:
            found += self.body(name, len(found))
        return found


class FakePinfold:
    def __init__(self, path, caps=("lazy_body",)):
        self.path = str(path)
        self.caps = list(caps)
        self.on = {}                # hook -> handler(call)
        self.observed = set()       # hooks that are served and only recorded
        self.reads = {}             # hook -> list, else everything
        self.calls = []             # every Call, in order of arrival
        self.hellos = []
        self.answer_hello = True
        self.session = None         # what hello says of this run; None: nothing
        self.peers = []
        self._listener = None
        self._lock = threading.Lock()

    # --- life

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(16)
        threading.Thread(target=self._accept, args=(self._listener,),
                         daemon=True).start()
        return self

    def stop(self):
        if self._listener is not None:
            try:
                self._listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._listener.close()
            self._listener = None
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.drop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def drop(self):
        """Close every connection; who listens goes on listening."""
        for peer in self.peers:
            peer.close()
        self.peers = []

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            peer = Peer(self, sock)
            self.peers.append(peer)
            threading.Thread(target=peer.run, daemon=True).start()

    # --- what happened

    def seen(self, hook):
        """Events of that hook, in order."""
        with self._lock:
            return [call.event for call in self.calls if call.hook == hook]

    def hooks_seen(self, flow=None):
        """Names of hooks in order; of one flow id, when given."""
        with self._lock:
            return [call.hook for call in self.calls
                    if flow is None or call.event.get("id") == flow]

    def wait_seen(self, hook, count=1, timeout=10.0):
        try:
            until(lambda: len(self.seen(hook)) >= count, timeout,
                  f"{count} x {hook}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; seen: {self.hooks_seen()}") from None
        return self.seen(hook)

    def clear(self):
        with self._lock:
            self.calls.clear()

    # --- sending of one's own accord

    def hooks(self):
        names = set(self.on) | self.observed
        return {name: {"mode": "decide", "reads": self.reads.get(name, READS)}
                for name in names}

    def push_hooks(self):
        self.notify("hooks", [self.hooks()])

    def notify(self, method, params):
        for peer in list(self.peers):
            peer.send([2, method, params])

    def garbage(self, data):
        for peer in list(self.peers):
            peer.send_raw(data)

    # --- answering

    def record(self, call):
        with self._lock:
            self.calls.append(call)

    def answer(self, call):
        if call.hook == "hello":
            self.hellos.append(call.event)
            if not self.answer_hello:
                return NO_ANSWER
            said = {"server": "fake", "version": "0", "protocol": 1,
                    "caps": self.caps, "limits": LIMITS, "hooks": self.hooks()}
            return {**said, "session": self.session} if self.session else said
        handler = self.on.get(call.hook)
        return handler(call) if handler else {"ops": [], "finished": False}


class Peer:
    """One connection of a client."""

    def __init__(self, fake, sock):
        self.fake = fake
        self.sock = sock
        self._lock = threading.Lock()
        self._next = 0
        self._waiting = {}          # msgid -> [Event, error, result]

    def run(self):
        messages = unpacker()
        while True:
            try:
                data = self.sock.recv(1 << 16)
            except OSError:
                break
            if not data:
                break
            messages.feed(data)
            for message in messages:
                self._take(message)
        self.close()

    def _take(self, message):
        kind = message[0]
        if kind == 1:
            waiting = self._waiting.pop(message[1], None)
            if waiting:
                waiting[1:] = message[2:4]
                waiting[0].set()
            return
        msgid = message[1] if kind == 0 else None
        method, params = message[-2:]
        call = Call(self, msgid, method, params[0] if params else {})
        if method != "hello":
            self.fake.record(call)
        threading.Thread(target=self._handle, args=(call,), daemon=True).start()

    def _handle(self, call):
        error = result = None
        try:
            result = self.fake.answer(call)
        except Fail as failure:
            error = failure.error
        if call.msgid is not None and result is not NO_ANSWER:
            self.send([1, call.msgid, error, result])

    def request(self, method, params):
        waiting = [threading.Event(), None, None]
        with self._lock:
            self._next += 1
            msgid = self._next
            self._waiting[msgid] = waiting
        self.send([0, msgid, method, params])
        if not waiting[0].wait(CALL_TIMEOUT):
            raise Fail("timeout", f"no answer to {method}")
        if waiting[1] is not None:
            raise Fail(waiting[1].get("code"), waiting[1].get("message"))
        return waiting[2]

    def send(self, message):
        self.send_raw(pack(message))

    def send_raw(self, data):
        try:
            with self._lock:
                self.sock.sendall(data)
        except OSError:
            pass

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
