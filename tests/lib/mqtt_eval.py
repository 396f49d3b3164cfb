# SPDX-License-Identifier: Apache-2.0
"""A one-file script whose hooks do what their events say.

    with MqttPinfold({"eval.lua": EVAL}) as p:
        ask = Asker(p)
        ask("on_deliver", "return {topic = t.topic .. 'x'}", topic="a")
        ask.value("json.decode('[1]')[1]")
"""

import json

DECIDE = ["auth_on_register", "auth_on_register_m5", "auth_on_publish",
          "auth_on_publish_m5", "auth_on_subscribe", "auth_on_subscribe_m5",
          "on_auth_m5", "on_unsubscribe", "on_unsubscribe_m5", "on_deliver",
          "on_deliver_m5"]
OBSERVE = ["on_register", "on_register_m5", "on_publish", "on_publish_m5",
           "on_subscribe", "on_subscribe_m5", "on_offline_message",
           "on_client_wakeup", "on_client_offline", "on_client_gone",
           "on_session_expired"]
AUTH = [h for h in DECIDE if h.startswith("auth_on") or h == "on_auth_m5"]

EVAL = """
local function run(t)
    return assert(load("local t = ... " .. t.code, "=code"))(t)
end
hooks = {%s}
""" % ", ".join(f"{hook} = run" for hook in DECIDE + OBSERVE)


class Asker:
    """Calls a hook with Lua as its body; `t` is the hook's argument."""

    def __init__(self, broker):
        self.broker = broker
        self.client = broker.mqtt()

    def __call__(self, hook, code, **event):
        event = {"mountpoint": "", "client_id": "c", **event, "code": code}
        return self.client.call(hook, [event], timeout=20)

    def value(self, expression, hook="auth_on_publish", **event):
        """What an expression is, None for nil."""
        answer = self(hook, "kv.set('value', json.encode{v = " + expression
                      + "})", **event)
        assert answer["errors"] == [], answer
        text = self.broker.control_client().call("kv.get", ["value", "mqtt"])
        return json.loads(text).get("v")

    def error(self, code):
        """The message of the error that it raises, which pcall catches."""
        answer = self("auth_on_publish",
                      f"local ok, why = pcall(function() {code} end) "
                      "return {payload = tostring(ok) .. ' ' .. tostring(why)}")
        text = answer["mods"]["payload"]
        assert text.startswith("false "), text
        return text[6:]
