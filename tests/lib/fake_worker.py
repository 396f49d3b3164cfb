#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A worker that lies. The "source" of its script is Python, run with `w`.

Set as `worker:` in a configuration, it speaks the worker's side of the wire
from descriptor 3 without any sandbox, and does for each run what the source of
the hook says: `run(w, msgid, params)` in it is called per event.
"""

import os
import signal
import sys

import msgpack


VERDICTS = ["next", "ok", "deny"]

# As in proto/proto.h.
MQTT_HOOKS = """auth_on_register auth_on_register_m5 auth_on_publish
    auth_on_publish_m5 auth_on_subscribe auth_on_subscribe_m5 on_auth_m5
    on_unsubscribe on_unsubscribe_m5 on_deliver on_deliver_m5 on_register
    on_register_m5 on_publish on_publish_m5 on_subscribe on_subscribe_m5
    on_offline_message on_client_wakeup on_client_offline on_client_gone
    on_session_expired""".split()
FIRST_MQTT_HOOK = 12


def hook_number(name):
    return FIRST_MQTT_HOOK + MQTT_HOOKS.index(name)


def hook_name(number):
    return MQTT_HOOKS[number - FIRST_MQTT_HOOK]


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

    def verdict(self, msgid, verdict, reason=None, mods=None, effects=()):
        packed = msgpack.packb([VERDICTS.index(verdict), reason, mods])
        self.send([1, msgid, None, [packed, 0, pack_all(effects),
                                    len(effects)]])

    def load_file(self, msgid, settings):
        """A one-file script: Python with HOOKS, names of MQTT hooks; LANES;
        LOADED, what is answered instead; load(w, id), run meanwhile."""
        _, text = self.call("source.get", msgid, settings["main"])
        exec(text.decode(), self.module)
        if "load" in self.module:
            self.module["load"](self, msgid)
        default = {"hooks": [hook_number(name) for name
                             in self.module.get("HOOKS", [])],
                   "lanes": self.module.get("LANES", 1),
                   "effects": pack_all(self.module.get("EFFECTS", ())),
                   "neffects": 0}
        self.send([1, msgid, None, self.module.get("LOADED", default)])

    def load(self, msgid, params):
        if params[0]["dialect"] == "mqtt":
            self.load_file(msgid, params[0])
            return
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
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)   # no word that kills
    Worker().serve()
