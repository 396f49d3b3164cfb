#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A worker that lies. The "source" of its script is Python, run with `w`.

Set as `worker:` in a configuration, it speaks the worker's side of the wire
from descriptor 3 without any sandbox, and does for each run what the source of
the hook says: `run(w, msgid, params)` in it is called per event.
"""

import os
import sys

import msgpack


class Worker:
    def __init__(self):
        self.unpacker = msgpack.Unpacker(raw=False, strict_map_key=False,
                                         max_buffer_size=64 << 20)
        self.next_call = 0
        self.queue = []
        self.sources = {}
        self.module = {}

    def raw(self, data):
        while data:
            data = data[os.write(3, data):]

    def send(self, message):
        self.raw(msgpack.packb(message, use_bin_type=True))

    def read(self):
        while True:
            for message in self.unpacker:
                return message
            data = os.read(3, 1 << 18)
            if not data:
                sys.exit(0)
            self.unpacker.feed(data)

    def message(self):
        return self.queue.pop(0) if self.queue else self.read()

    def call(self, method, *params):
        """Ask and wait; what else arrives meanwhile is kept."""
        self.next_call += 1
        self.send([0, self.next_call, method, list(params)])
        while True:
            message = self.read()
            if message[0] == 1 and message[1] == self.next_call:
                return message[2], message[3]
            self.queue.append(message)

    def answer(self, msgid, ops=(), effects=()):
        self.send([1, msgid, None, [pack_all(ops), len(ops),
                                    pack_all(effects), len(effects)]])

    def fail(self, msgid, code, message):
        self.send([1, msgid, {"code": code, "message": message}, None])

    def load(self, msgid, params):
        for name in params[0]["files"]:
            _, text = self.call("source.get", msgid, name)
            exec(text.decode(), self.module)
        if "load" in self.module:
            self.module["load"](self, msgid)
        self.send([1, msgid, None, {"hooks": params[0]["hooks"]}])

    def serve(self):
        self.send([2, "ready", [{"sandbox": ["none"], "missing": []}]])
        while True:
            kind, msgid, method, params = self.message()
            if method == "load":
                self.load(msgid, params)
            else:
                self.module["run"](self, msgid, params)


def pack_all(items):
    if not items:
        return None
    return b"".join(msgpack.packb(item, use_bin_type=True) for item in items)


if __name__ == "__main__":
    Worker().serve()
