# SPDX-License-Identifier: Apache-2.0
"""A real pinfold-worker without a broker: the test speaks the broker's side.

    with WorkerProcess({"before_request": "mut.req.set_path('/x')"}) as worker:
        worker.run("before_request", {"id": "1", "req": {}})

What the worker asks is answered from `kv`, `artifacts`, `data`, `bodies`, or by
a function of the test in `on[method]`. Effects of a run are returned, never
applied; logs gather in `logs`.
"""

import os
import socket
import subprocess

import msgpack

from .pinfold import program

HOOKS = ["flush", "connect", "before_request", "after_request", "before_response",
         "after_response", "error", "close", "ws_open", "ws_msg", "ws_close", "bus"]
TIMEOUT = 20.0


class RunError(Exception):
    """A run or load that was answered with an error map."""

    def __init__(self, error):
        self.error = error
        self.code = error["code"]
        self.message = error["message"]
        self.traceback = error.get("traceback")
        super().__init__(f"{self.code}: {self.message}")


class Refuse(Exception):
    """Raised by a function of `on`: the call is answered with this error."""

    def __init__(self, code, message):
        self.error = {"code": code, "message": message}


class Outcome:
    """What a run came to."""

    def __init__(self, ops, effects):
        self.ops = ops
        self.effects = effects


def sequence(data):
    """The values that are packed one behind the other in a bin."""
    if data is None:
        return []
    unpacker = msgpack.Unpacker(raw=False, unicode_errors="surrogateescape")
    unpacker.feed(data)
    return list(unpacker)


def pack(value):
    return msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")


def as_bytes(value):
    return value if isinstance(value, bytes) else value.encode(errors="surrogateescape")


class WorkerProcess:
    def __init__(self, files, settings=None, load=True, options=()):
        self.files = {self.file_name(name): text for name, text in files.items()}
        self.kv, self.artifacts, self.data, self.bodies = {}, {}, {}, {}
        self.blobs = {}
        self.on = {}
        self.calls, self.logs, self.answers = [], [], {}
        self.running = []
        self.ready = None
        self.next_id = 1
        self.options = options
        self.settings = {
            "script": "test", "dialect": "http", "globals": "event",
            "concurrency": 1, "timeout_ms": 5000, "load_timeout_ms": 30000,
            "memory": 64 << 20, "max_body": 16 << 20, "max_value": 1 << 20,
            "max_key": 1 << 10, **(settings or {})}
        self.want_load = load

    @staticmethod
    def file_name(name):
        return name if name.endswith(".lua") else name + ".lua"

    def __enter__(self):
        ours, theirs = socket.socketpair()

        def to_three():
            os.dup2(theirs.fileno(), 3)
            os.set_inheritable(3, True)

        memory = self.settings["memory"]
        uid = ["--uid=65533", "--gid=65533"] if os.getuid() == 0 else []
        self.process = subprocess.Popen(
            [str(program("pinfold-worker")), f"--memory={memory}", *uid,
             *self.options], pass_fds=(3,), preexec_fn=to_three, env={})
        theirs.close()
        self.sock = ours
        self.sock.settimeout(TIMEOUT)
        self.unpacker = msgpack.Unpacker(raw=False, strict_map_key=False,
                                         unicode_errors="surrogateescape",
                                         max_buffer_size=64 << 20)
        if self.want_load:
            self.loaded = self.load()
        return self

    def __exit__(self, *exc):
        self.sock.close()
        self.status = self.process.wait(TIMEOUT)

    # The wire.

    def send(self, *messages):
        self.sock.sendall(b"".join(pack(m) for m in messages))

    def read(self):
        while True:
            for message in self.unpacker:
                return message
            data = self.sock.recv(1 << 18)
            if not data:
                raise EOFError(f"the worker ended with {self.process.wait(TIMEOUT)}")
            self.unpacker.feed(data)

    def step(self):
        message = self.read()
        if message[0] == 1:
            self.answers[message[1]] = message[2:]
        elif message[0] == 2 and message[1] == "log":
            self.logs.append(message[2])
        elif message[0] == 2 and message[1] == "running":
            self.running.append(message[2][0])
        elif message[0] == 2 and message[1] == "ready":
            self.ready = message[2][0]
        elif message[0] == 0:
            _, msgid, method, params = message
            self.calls.append((method, params))
            try:
                self.send([1, msgid, None, self.answer(method, params)])
            except Refuse as refused:
                self.send([1, msgid, refused.error, None])
        return message

    def wait(self, msgid):
        while msgid not in self.answers:
            self.step()
        error, result = self.answers.pop(msgid)
        if error is not None:
            raise RunError(error)
        return result

    def request(self, method, params):
        msgid = self.next_id
        self.next_id += 1
        self.send([0, msgid, method, params])
        return msgid

    # What a broker does.

    def load(self, **more):
        settings = {**self.settings, **more}
        if "config" in settings:
            settings["config"] = pack(settings["config"])
        settings["files"] = list(self.files)
        settings["hooks"] = [i for i, h in enumerate(HOOKS) if h + ".lua" in self.files]
        return self.wait(self.request("load", [settings]))

    @staticmethod
    def run_params(hook, event, ops=(), extra=None):
        packed = b"".join(pack(op) for op in ops)
        return [HOOKS.index(hook), pack(event), packed or None, len(ops),
                None if extra is None else pack(extra)]

    def begin(self, hook, event, ops=(), extra=None):
        return self.request("run", self.run_params(hook, event, ops, extra))

    def end(self, msgid):
        ops, nops, effects, neffects = self.wait(msgid)
        outcome = Outcome(sequence(ops), sequence(effects))
        assert (nops, neffects) == (len(outcome.ops), len(outcome.effects))
        return outcome

    def run(self, hook, event=None, ops=(), extra=None):
        event = {"id": "1", "req": {}} if event is None else event
        return self.end(self.begin(hook, event, ops, extra))

    def answer(self, method, params):
        if method in self.on:
            return self.on[method](*params[1:])
        return getattr(self, "do_" + method.replace(".", "_"))(*params[1:])

    def do_source_get(self, name):
        return as_bytes(self.files[name])

    def do_kv_get(self, key):
        return self.kv.get(as_bytes(key))

    def do_kv_list(self, prefix):
        prefix = as_bytes(prefix)
        return {k: v for k, v in self.kv.items() if k.startswith(prefix)}

    def do_kv_incr(self, key, by):
        key = as_bytes(key)
        value = int(self.kv.get(key, b"0")) + by
        self.kv[key] = b"%d" % value
        return value

    def do_kv_cas(self, key, old, new):
        key = as_bytes(key)
        if self.kv.get(key) != (None if old is None else as_bytes(old)):
            return False
        self.kv[key] = as_bytes(new)
        return True

    def do_artifact_stat(self, name):
        name = as_bytes(name).decode()
        if name in self.artifacts:
            blob = self.artifacts[name]
            return ["file", blob, len(self.blobs[blob])]
        if any(n.startswith(name + "/") for n in self.artifacts):
            return ["dir", 0, 0]
        return None

    def do_artifact_list(self):
        return sorted(self.artifacts)

    def do_artifact_read(self, blob, offset, length):
        return self.blobs[blob][offset:offset + length]

    def do_artifact_put(self, blob, data):
        if blob is None:
            blob = len(self.blobs) + 1
        self.blobs[blob] = self.blobs.get(blob, b"") + as_bytes(data)
        return blob

    def put_artifact(self, name, content):
        self.artifacts[name] = self.do_artifact_put(None, content)

    def do_data_exists(self, name):
        return any(n == name or n.startswith(name + "/") for n in self.data)

    def do_data_read(self, name, offset, length):
        if name not in self.data:
            raise Refuse("unavailable", f"open {name}: no such file or directory")
        content = self.data[name]
        return [content[offset:offset + length], len(content)]

    def do_data_list(self, path):
        return sorted(n for n in self.data
                      if not path or n == path or n.startswith(path + "/"))

    def do_body_get(self, which, offset, length):
        return self.bodies[which][offset:offset + length]
