# SPDX-License-Identifier: Apache-2.0
"""A real pinfold-worker with a script of one file (MQTT's dialect), and no
broker: fake_broker's WorkerProcess, that loads and runs as this dialect does.

    with MqttWorker("hooks = {auth_on_publish = function(m) end}") as worker:
        worker.hook("auth_on_publish", topic="a") -> Verdict

Calls that fake_broker does not know are answered by functions of the test in
`on[method]`.
"""

import msgpack

from .fake_broker import WorkerProcess, pack, sequence

FIRST = 12  # the number of the first of these hooks
HOOKS = ["auth_on_register", "auth_on_register_m5", "auth_on_publish",
         "auth_on_publish_m5", "auth_on_subscribe", "auth_on_subscribe_m5",
         "on_auth_m5", "on_unsubscribe", "on_unsubscribe_m5", "on_deliver",
         "on_deliver_m5", "on_register", "on_register_m5", "on_publish",
         "on_publish_m5", "on_subscribe", "on_subscribe_m5", "on_offline_message",
         "on_client_wakeup", "on_client_offline", "on_client_gone",
         "on_session_expired"]
VERDICTS = ["next", "ok", "deny"]


def number(hook):
    return FIRST + HOOKS.index(hook)


class Verdict:
    """What a run came to: `verdict` is a word, `answer` the plain tuple."""

    def __init__(self, packed, effects):
        self.effects = effects
        self.answer = ("next", None, None)
        if packed is not None:
            verdict, reason, mods = msgpack.unpackb(
                packed, raw=False, unicode_errors="surrogateescape")
            self.answer = (VERDICTS[verdict], reason, mods)
        self.verdict, self.reason, self.mods = self.answer


class MqttWorker(WorkerProcess):
    def __init__(self, source, settings=None, load=True, files=None, options=(),
                 index=0):
        settings = {"dialect": "mqtt", "main": "test.lua", "workers": 1,
                    "num_states": 1, "keep_state": False, "nulls": "string",
                    **(settings or {})}
        super().__init__({settings["main"]: source, **(files or {})}, settings,
                         load, options)
        self.index = index

    @property
    def hooks(self):
        return {HOOKS[n - FIRST] for n in self.loaded["hooks"]}

    def load_params(self, **more):
        settings = {**self.settings, **more}
        if "config" in settings:
            settings["config"] = pack(settings["config"])
        settings["files"] = list(self.files)
        return [settings, self.index]

    def load(self, **more):
        loaded = self.wait(self.request("load", self.load_params(**more)))
        loaded["effects"] = sequence(loaded["effects"])
        assert loaded["neffects"] == len(loaded["effects"])
        return loaded

    def begin_hook(self, hook, event):
        return self.request("run", [number(hook), pack(event), None, 0, None])

    def end_hook(self, msgid):
        verdict, nops, effects, neffects = self.wait(msgid)
        assert nops == 0
        effects = sequence(effects)
        assert neffects == len(effects)
        return Verdict(verdict, effects)

    def hook(self, name, **event):
        event = {"client_id": "c", "mountpoint": "", **event}
        return self.end_hook(self.begin_hook(name, event))
