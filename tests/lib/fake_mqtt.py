# SPDX-License-Identifier: Apache-2.0
"""A pinfold that serves MQTT hooks with Python functions (see fake_pinfold).

    fake = FakeMqtt(path)
    fake.on["auth_on_register"] = lambda call: ok()
    fake.on["auth_on_publish"] = lambda call: ok({"topic": "b"})
    fake.observed.add("on_client_gone")
"""

from .fake_pinfold import FakePinfold


def ok(mods=None, acl=None):
    result = {"verdict": "ok", "errors": []}
    if mods is not None:
        result["mods"] = mods
    if acl is not None:
        result["acl"] = acl
    return result


def deny(reason="not_authorized"):
    return {"verdict": "deny", "reason": reason, "errors": []}


def nobody(*errors):
    """No script answered; `errors` are those that failed."""
    return {"verdict": "next", "reason": "plugin_chain_exhausted",
            "errors": [{"script": "s", "hook": "h", "code": e, "message": e}
                       for e in errors]}


def rule(pattern, **more):
    publish = {"max_qos": 2, "max_payload_size": 268435456, "allowed_retain": True}
    return {"pattern": pattern, **publish, **more}


def sub_rule(pattern, **more):
    return {"pattern": pattern, "max_qos": 2, **more}


def entry(client_id, publish=(), subscribe=(), username="", mountpoint="", ttl_ms=0):
    """A canonical entry of the auth cache."""
    return {"mountpoint": mountpoint, "client_id": client_id, "username": username,
            "publish": list(publish), "subscribe": list(subscribe), "ttl_ms": ttl_ms}


class FakeMqtt(FakePinfold):
    def __init__(self, path):
        super().__init__(path, caps=("mqtt",))

    def answer(self, call):
        if call.hook == "hello" or call.hook in self.on:
            return super().answer(call)
        return nobody()

    def ask(self, method, params):
        """Send a request of our own to the newest connection; its answer."""
        return self.peers[-1].request(method, [params])
