# SPDX-License-Identifier: Apache-2.0
"""The whole chain: MQTT clients, Mosquitto with the plugin, pinfoldd, Lua."""

import re
import subprocess

import pytest

from lib.mosquitto import Mosquitto
from lib.mqtt import CONTENT_TYPE, USER
from lib.mqtt_scripts import publish
from lib.pinfold import ROOT, Pinfold
from lib.relay import Relay
from lib.wait import until

ALLOW = "function() return true end"


@pytest.fixture
def start():
    """start({file: lua}, options, config): (pinfold, mosquitto), both started.
    `relay` true: and a relay that is between them."""
    started = []

    def run(files, options=None, config=None, relay=False, **kwargs):
        pinfold = Pinfold(config={"mqtt": {"script_dir": "lua", **(config or {})}})
        for name, text in files.items():
            pinfold._write(pinfold.dir / "lua" / name, text)
        started.append(pinfold.start())
        between = Relay(pinfold.dir / "relay.sock", pinfold.socket) if relay else None
        if between:
            started.append(between.start())
        mosquitto = Mosquitto(between.path if between else pinfold.socket, options,
                              **kwargs)
        started.append(mosquitto.start())
        return (pinfold, mosquitto, between) if relay else (pinfold, mosquitto)

    yield run
    for one in reversed(started):
        one.close()


def hooks(**functions):
    """A script of these hooks; each serves MQTT 5, too."""
    lines = ["hooks = {}"]
    for name, text in functions.items():
        lines.append(f"hooks.{name} = {text}")
        if not name.startswith("on_client"):
            lines.append(f"hooks.{name}_m5 = hooks.{name}")
    return "\n".join(lines)


OPEN = dict(auth_on_register=ALLOW, auth_on_publish=ALLOW, auth_on_subscribe=ALLOW)


# ---- verdicts ------------------------------------------------------------------------

@pytest.mark.parametrize("version", [3, 4, 5])
def test_passwords(start, version):
    _, broker = start({"a.lua": hooks(**{**OPEN, "auth_on_register": """
        function(reg)
            if reg.password == "\\xff\\x00p" then error("never: it ends at the NUL") end
            return reg.username == "u" and obf.decrypt(reg.password) == "\\xff\\xfe"
        end"""})})
    refused = 0x87 if version == 5 else 5
    for password, code in [(b"\xff\xfe", 0), (b"\xff", refused), (b"", refused)]:
        client = broker.client("c1", version=version, username="u", password=password)
        assert client.connect().code == code
    # no password is nil: obf.decrypt(nil) is an error, so is the whole answer
    assert broker.client("c1", version=version, username="u").connect().code == refused


def test_the_chain_of_scripts(start):
    _, broker = start({
        "1.lua": hooks(auth_on_register="function(r) if r.client_id == 'first' then return true "
                                        "elseif r.client_id == 'bad' then error('boom') end "
                                        "return next end"),
        "2.lua": hooks(auth_on_register="function(r) return r.client_id == 'second' or nil end")})
    for name, code in [("first", 0), ("second", 0), ("bad", 5)]:
        assert broker.client(name).connect().code == code
    # nobody answered, nothing failed: Mosquitto's own rules
    assert broker.client("nobody").connect().code == 0
    assert broker.client("nobody", username="u").connect().code == 5


def test_rewriting(start):
    _, broker = start({"a.lua": hooks(**{**OPEN, "auth_on_publish": """
        function(pub)
            local mods = {topic = pub.topic .. "/" .. pub.client_id, qos = pub.qos,
                          payload = pub.payload:rep(2), retain = false}
            if pub.properties then
                mods.properties = {p_content_type = "t", p_user_property = {{k = "2"}}}
            end
            return mods
        end"""})})
    listener = broker.connected("l", version=5)
    listener.subscribe([("#", 2)])
    broker.connected("c4").publish("a", b"\x00\xff", 1, retain=True)
    assert listener.message()[:2] == ("a/c4", b"\x00\xff\x00\xff")
    broker.connected("c5", version=5).publish(
        "a", b"", 2, properties=[(USER, ("k", "1")), (USER, ("j", "1"))])
    message = listener.message()
    assert message[:2] == ("a/c5", b"")
    assert dict(p for p in message.properties if p[0] != USER) == {CONTENT_TYPE: "t"}
    assert [p[1] for p in message.properties if p[0] == USER] == [("j", "1"), ("k", "2")]


@pytest.mark.parametrize("answer", [
    "false", "error('boom')", "{topic = 5}", "{unknown = 1}", "{topic = 'a/#'}", "{}",
    "setmetatable({}, {__index = error})", "(function() while true do end end)()"])
def test_publishes_that_are_denied(start, answer):
    pinfold, broker = start(
        {"a.lua": hooks(**{**OPEN, "auth_on_publish": f"""
            function(pub) if pub.topic == "good" then return true end return {answer} end"""})},
        options={"timeout_ms": 3000}, config={"scripts": {"a": {"file": "a.lua", "timeout": "300ms"}}})
    listener = broker.connected("l")
    listener.subscribe([("#", 1)])
    client = broker.connected("c1", version=5)
    assert client.publish("bad", b"x", 1) == 0x87
    assert client.publish("good", b"y", 1) == 0
    assert listener.message().payload == b"y"


def test_subscriptions(start):
    _, broker = start({"a.lua": hooks(**{**OPEN, "auth_on_subscribe": """
        function(sub)
            local topic, qos = sub.topics[1][1], sub.topics[1][2]
            if type(qos) == "table" then qos = qos[1] end
            if topic == "same" then
                if sub.properties then return {topics = {{topic, qos}}} end
                return {{topic, qos}}
            elseif topic == "lower" then
                if sub.properties then return {topics = {{topic, 0}}} end
                return {{topic, 0}}
            end
            return topic == "yes"
        end"""})})
    filters = [("yes", 1), ("same", 2), ("lower", 1), ("no", 1)]
    assert broker.connected("c4").subscribe(filters) == [1, 2, 0x80, 0x80]
    assert broker.connected("c5", version=5).subscribe(filters) == [1, 2, 0x87, 0x87]


def test_everything_is_told_in_order(start):
    names = ["on_register", "on_publish", "on_subscribe"]
    sessions = ["on_client_wakeup", "on_client_offline", "on_client_gone",
                "on_offline_message"]
    log = {n: f"function(e) log.info('{n} ' .. e.client_id .. ' ' .. (e.topic or '')) end"
           for n in names + sessions}
    pinfold, broker = start({"a.lua": hooks(**OPEN, **log)})
    with broker.connected("c1", clean=False) as client:
        client.subscribe([("a", 1)])
        client.publish("a", b"x", 1)
    pinfold.wait_log("on_client_offline c1")
    broker.connected("c2").publish("a", b"x", 1)
    with broker.connected("c1", clean=True):
        pass
    pinfold.wait_log("on_client_gone c1")
    assert re.findall(r"(on_\w+) c1", pinfold.log()) == [
        "on_client_wakeup", "on_register", "on_subscribe", "on_publish", "on_client_offline",
        "on_offline_message", "on_client_wakeup", "on_register", "on_client_gone"]


# ---- the auth cache and vmq_api ---------------------------------------------------------

CACHE = hooks(auth_on_register="""
    function(reg)
        auth_cache.insert(reg.mountpoint, reg.client_id, reg.username or "",
            {{pattern = "%c/#"}, {pattern = "mod", modifiers = {payload = "modified"}}},
            {{pattern = "#"}})
        return true
    end""", auth_on_publish="function() log.info('asked') return false end",
    auth_on_subscribe="function() log.info('asked') return false end")


@pytest.mark.parametrize("version", [4, 5])
def test_the_cache_answers(start, version):
    pinfold, broker = start({"a.lua": CACHE})
    client = broker.connected("c1", version=version)
    assert client.subscribe([("#", 1), ("a/b", 2)]) == [1, 2]
    client.publish("c1/x", b"1", 1)
    assert client.publish("c2/x", b"2", 1) == (0x87 if version == 5 else 0)
    client.publish("mod", b"3", 1)
    assert [client.message().payload for _ in range(2)] == [b"1", b"modified"]
    client.nothing()
    assert "asked" not in pinfold.log()


def test_the_cache_ends_with_its_session(start):
    pinfold, broker = start({"a.lua": CACHE.replace(
        "auth_cache.insert", "if reg.username then return true end auth_cache.insert")})
    broker.connected("c1")
    broker.connected("c1")                        # takes over: a second entry
    client = broker.connected("c1", username="u")       # and now without one
    client.publish("c1/x", b"", 1)
    client.ping()
    client.publish("c1/x", b"", 1)
    pinfold.wait_log("asked")


def test_a_script_disconnects_from_a_hook(start):
    """While Mosquitto waits for the very hook that asks for it."""
    pinfold, broker = start({"a.lua": hooks(**{**OPEN, "auth_on_publish": """
        function(pub)
            log.info("said " .. vmq_api.disconnect_by_subscriber_id(
                {mountpoint = "", client_id = pub.payload}, {do_cleanup = false}))
            return true
        end"""})})
    one, two = broker.connected("one"), broker.connected("two")
    one.publish("a", b"nobody", 1)
    pinfold.wait_log("said not_found")
    one.publish("a", b"two", 1)
    two.wait_closed()
    one.send_publish("a", b"one", 0)
    one.wait_closed()
    until(lambda: pinfold.log().count("said ok") == 2, what="two times ok")


def test_a_script_publishes(start):
    _, broker = start({"a.lua": hooks(**{**OPEN, "auth_on_publish": """
        function(pub)
            if vmq_api.publish{topic = "copy", payload = pub.payload, qos = 1} ~= "ok" then
                return false
            end
            return true
        end"""})})
    listener = broker.connected("l")
    listener.subscribe([("copy", 1)])
    broker.connected("c1", version=5).publish("a", b"\x00x", 1)
    assert listener.message()[:3] == ("copy", b"\x00x", 1)


def test_reauthorize(start):
    _, broker = start({"a.lua": hooks(**{**OPEN, "auth_on_subscribe": """
        function(sub)
            kv.ensure_table{name = "t"}
            return #kv.lookup("t", "closed") == 0
        end""", "auth_on_publish": """
        function(pub)
            if pub.topic == "close" then
                kv.ensure_table{name = "t"}
                kv.insert("t", {closed = true})
                vmq_api.reauthorize_subscriptions("", {mountpoint = "", client_id = "l"}, {})
            end
            return true
        end"""})})
    listener, client = broker.connected("l"), broker.connected("c1")
    listener.subscribe([("a", 1)])
    client.publish("a", b"x", 1)
    assert listener.message().payload == b"x"
    client.publish("close", b"", 1)

    def nothing_more():
        client.publish("a", b"y", 1)
        listener.ping()
        listener.ping()
        found = bool(listener.messages)
        listener.messages.clear()
        return not found

    until(nothing_more, what="the subscription ends")


# ---- reload, failure ---------------------------------------------------------------------

def test_killed_and_back(start):
    pinfold, broker = start({"a.lua": CACHE})
    client = broker.connected("c1")
    pinfold.kill()
    broker.wait_log("the connection to pinfoldd is lost")
    assert broker.client("c2").connect().code == 5
    client.subscribe([("#", 1)])
    client.publish("c1/x", b"still", 1)
    assert client.message().payload == b"still"
    pinfold.start()
    broker.wait_log("connected to pinfoldd again")
    broker.connected("c2")
    client.publish("c1/x", b"and again", 1)
    assert client.message().payload == b"and again"


# Rights come with the login; one client may give another one fewer.
RIGHTS = hooks(auth_on_register="""
    function(reg)
        auth_cache.insert(reg.mountpoint, reg.client_id, "", {{pattern = "#"}}, nil)
        return true
    end""", auth_on_publish="""
    function(pub)
        log.info("asked " .. pub.client_id)
        if pub.client_id == "admin" then
            auth_cache.insert("", pub.topic, "", {{pattern = "less"}}, nil)
        end
        return false
    end""")
DENIED, NOBODY = 0x87, 0x10                   # allowed, but nobody subscribes


def again(broker, relay):
    before = broker.log().count("connected to pinfoldd again")
    relay.start()
    until(lambda: broker.log().count("connected to pinfoldd again") > before,
          what="it is connected again")


def test_rights_that_were_taken_away_meanwhile(start):
    """The connection is lost, pinfold goes on; what it said in between is asked
    for when it is back."""
    pinfold, broker, relay = start({"a.lua": RIGHTS}, relay=True)
    clients = {name: broker.connected(name, version=5)
               for name in ("dropped", "kept", "narrowed", "gone")}
    relay.cut()
    broker.wait_log("the connection to pinfoldd is lost")
    control, tool = pinfold.control_client(), pinfold.client(hello=True, caps=("mqtt",))
    assert control.call("cache.drop", [{"client_id": "dropped"}]) == 1
    tool.call("auth_on_publish", [publish("admin", topic="narrowed")])
    tool.wait_notification("acl")
    tool.close()
    clients["gone"].drop()
    for name in ("dropped", "kept", "narrowed"):  # nobody can be asked
        assert clients[name].publish("a", b"x", 1) == NOBODY
    again(broker, relay)
    for name in ("dropped", "narrowed"):
        until(lambda: clients[name].publish("a", b"x", 1) == DENIED,
              what=f"{name} may not any more")
    pinfold.wait_log("asked dropped")
    # the others have copies still: no message
    before = control.call("cache.show")
    for i in range(20):
        assert clients["kept"].publish("a", b"x", 1) == NOBODY
        assert clients["narrowed"].publish("a", b"x", 1) == DENIED
        assert clients["narrowed"].publish("less", b"x", 1) == NOBODY
    after = control.call("cache.show")
    assert (before["hits"], before["misses"]) == (after["hits"], after["misses"])
    assert set(re.findall(r"asked (\w+)", pinfold.log())) == {"admin", "dropped"}
    # whose session ended meanwhile has no rights there either
    until(lambda: control.call("cache.show", [{"client_id": "gone"}])["cached"] == [],
          what="its entry goes")
    # and hear of what comes
    assert control.call("cache.drop", [{"client_id": "kept"}]) == 1
    until(lambda: clients["kept"].publish("a", b"x", 1) == DENIED, what="kept ends")


def test_ends_are_told_whoever_has_a_copy(start):
    """pinfold counts them, also where no script hears of it, and the copy here has
    ended before."""
    pinfold, broker = start({"a.lua": RIGHTS}, config={"auth_cache": {"ttl": "200ms"}})
    control = pinfold.control_client()
    client = broker.connected("c1", version=5)
    assert control.call("cache.show")["entries"] == 1
    until(lambda: control.call("cache.show")["expired"] == 1, what="it expires")
    assert client.publish("a", b"x", 1) == DENIED
    assert control.call("cache.show")["entries"] == 1     # its place is kept
    client.drop()
    until(lambda: control.call("cache.show")["entries"] == 0, what="its place goes")


def test_a_takeover_after_a_new_pinfold(start):
    """The older session's end is none of the new pinfold's."""
    pinfold, broker = start({"a.lua": RIGHTS})
    broker.connected("c1", version=5)
    pinfold.kill()
    broker.wait_log("the connection to pinfoldd is lost")
    pinfold.start()
    broker.wait_log("connected to pinfoldd again")
    again = broker.connected("c1", version=5)
    for i in range(5):
        assert again.publish("a", b"x", 1) == NOBODY
    assert "asked c1" not in pinfold.log()
    control = pinfold.control_client()
    assert control.call("cache.show")["entries"] == 1
    again.drop()
    until(lambda: control.call("cache.show")["entries"] == 0, what="its entry goes")


def test_a_new_pinfold_knows_no_copy(start):
    """What it has in its cache is no news of what another run put there."""
    pinfold, broker, relay = start({"a.lua": RIGHTS}, relay=True)
    old = broker.connected("old", version=5)
    pinfold.kill()
    broker.wait_log("the connection to pinfoldd is lost")
    pinfold.start()
    broker.wait_log("connected to pinfoldd again")
    new = broker.connected("new", version=5)
    for i in range(2):                            # now with the same one
        relay.cut()
        control = pinfold.control_client()
        control.call("cache.drop", [{"client_id": "new"}])
        again(broker, relay)
        until(lambda: new.publish("a", b"x", 1) == DENIED, what="it was dropped")
        assert old.publish("a", b"x", 1) == NOBODY
    assert "asked old" not in pinfold.log()
    # it can be told all the same
    assert control.call("cache.drop", [{"client_id": "old"}]) == 0
    until(lambda: old.publish("a", b"x", 1) == DENIED, what="old ends")


def test_the_deadline_is_mosquittos(start):
    _, broker = start({"a.lua": hooks(**{**OPEN, "auth_on_publish": """
        function(pub) if pub.topic == "slow" then while true do end end return true end"""})},
                      options={"timeout_ms": 400})
    client = broker.connected("c1", version=5)
    assert client.publish("slow", b"x", 1) == 0x87
    # the lane is free again at its own timeout; 0x10: nobody subscribes
    until(lambda: client.publish("fast", b"x", 1) == 0x10, what="a free lane")


def test_a_64_kib_topic_and_payload(start):
    _, broker = start({"a.lua": hooks(**OPEN)})
    client = broker.connected("c1")
    topic, payload = "t" * 65535, bytes(range(256)) * 4096
    client.subscribe([("#", 1)])
    client.publish(topic, payload, 1)
    message = client.message()
    assert (message.topic, message.payload) == (topic, payload)


# ---- the first five minutes of docs/mosquitto.md -------------------------------------------

def test_the_docs_example(start):
    text = (ROOT / "docs/mosquitto.md").read_text()
    script = re.search(r"```lua\n(.*?)```", text, re.S)[1]
    pinfold, broker = start({"first.lua": script})
    base = ["-p", str(broker.port), "-u", "ann", "-P", "secret"]
    listener = subprocess.Popen(["mosquitto_sub", *base, "-t", "home/#", "-C", "1", "-d"],
                                stdout=subprocess.PIPE, text=True)
    try:
        broker.wait_log("Sending SUBACK")
        subprocess.run(["mosquitto_pub", *base, "-t", "home/ann/door", "-m", "open"],
                       check=True, timeout=20)
        out, _ = listener.communicate(timeout=20)
        assert "\nopen\n" in out
    finally:
        listener.kill()
        listener.wait()
    wrong = subprocess.run(["mosquitto_pub", *base[:-1], "wrong", "-t", "home/ann/door",
                            "-m", "x"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=20)
    assert wrong.returncode != 0
