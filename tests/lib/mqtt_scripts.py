# SPDX-License-Identifier: Apache-2.0
"""A broker with one-file scripts, and events as an MQTT broker sends them.

    with MqttPinfold({"a.lua": "hooks = {...}"}) as p:
        p.mqtt().call("auth_on_register", [register("client")])
"""

import os

from .pinfold import Pinfold, merge


class MqttPinfold(Pinfold):
    """Files go below `lua`, which is script_dir: those directly in it load by
    themselves. `mqtt` is merged into that block; None takes a key away."""

    def __init__(self, files=None, mqtt=None, config=None, **more):
        block = {"script_dir": "lua"}
        merge(block, mqtt or {})
        full = {"mqtt": block}
        merge(full, config or {})
        super().__init__(full, **more)
        (self.dir / "lua").mkdir(exist_ok=True)
        for name, text in (files or {}).items():
            self.write_lua(name, text)

    def lua(self, name):
        return str(self.dir / "lua" / name)

    def write_lua(self, name, text):
        """At once, as an editor should."""
        path = self.dir / "lua" / name
        self._write(path.with_suffix(".new"), text)
        os.replace(path.with_suffix(".new"), path)

    def mqtt(self):
        """A client that says hello as an MQTT broker."""
        return self.client(hello=True, caps=("mqtt",))


def register(client_id="client", **more):
    return {"addr": "192.0.2.7", "port": 12345, "mountpoint": "",
            "client_id": client_id, "username": "user",
            "password": "password", "clean_session": True, **more}


def publish(client_id="client", **more):
    return {"username": "user", "mountpoint": "", "client_id": client_id,
            "qos": 1, "topic": "a/b", "payload": b"hello", "retain": False,
            **more}


def subscribe(client_id="client", topics=(("a/b", 1),), **more):
    return {"username": "user", "mountpoint": "", "client_id": client_id,
            "topics": [list(t) for t in topics], **more}
