# SPDX-License-Identifier: Apache-2.0
"""Mosquitto's plugin when things go wrong, and what pinfold may ask of it."""

import os
import signal
import socket
import tempfile
import threading

import pytest

from lib.fake_mqtt import FakeMqtt, deny, entry, ok, rule
from lib.fake_pinfold import NO_ANSWER, Fail
from lib.mosquitto import Mosquitto
from lib.mqtt import AUTH_METHOD, Closed
from lib.wait import until


@pytest.fixture
def fake():
    directory = tempfile.mkdtemp(prefix="pf-")
    fake = FakeMqtt(os.path.join(directory, "pinfold.sock"))
    for hook in ("auth_on_register", "auth_on_publish", "auth_on_subscribe"):
        fake.on[hook] = fake.on[f"{hook}_m5"] = lambda call: ok()
    yield fake
    fake.stop()
    os.rmdir(directory)


@pytest.fixture
def start(fake):
    started = []

    def run(options=None, up=True, **kwargs):
        if up:
            fake.start()
        broker = Mosquitto(fake.path, {"timeout_ms": 300, **(options or {})}, **kwargs)
        started.append(broker)
        return broker.start()

    yield run
    for broker in started:
        broker.close()


# ---- options ------------------------------------------------------------------------

@pytest.mark.parametrize("options,line", [
    ({"socket": None}, "plugin_opt_socket is missing"),
    ({"timeout_ms": "soon"}, "plugin_opt_timeout_ms: 'soon' is not 10 to 60000"),
    ({"timeout_ms": "0"}, "plugin_opt_timeout_ms: '0' is not"),
    ({"on_unavailable": "allow"}, "plugin_opt_on_unavailable: 'allow' is not deny or defer"),
    ({"on_unavailble": "deny"}, "plugin_opt_on_unavailble is no option"),
    ({"queue_bytes": "1"}, "plugin_opt_queue_bytes: '1' is not"),
    ({"socket": "/" + "x" * 200}, "is not the path of a socket")])
def test_wrong_options(options, line):
    path = options.pop("socket", "/tmp/none.sock")
    broker = Mosquitto(path, options) if path else Mosquitto(None, plugin=plugin())
    try:
        assert broker.spawn().wait(20) != 0
        assert f"pinfold: {line}" in broker.log() or line in broker.log()
    finally:
        broker.close()


def plugin():
    from lib.pinfold import program
    return program("pinfold_mosquitto.so")


def test_per_listener_settings_is_refused(fake):
    broker = Mosquitto(fake.path, lines=["per_listener_settings true"],
                       listener=["allow_anonymous true"])
    try:
        assert broker.spawn().wait(20) != 0
        assert "pinfold: per_listener_settings true is not supported" in broker.log()
    finally:
        broker.close()


# ---- deadlines and failures -----------------------------------------------------------

def fail(call):
    raise Fail("script_error", "boom")


@pytest.mark.parametrize("answer", [
    lambda call: NO_ANSWER, fail, lambda call: None, lambda call: 5, lambda call: [],
    lambda call: {}, lambda call: {"verdict": "yes"}, lambda call: {"verdict": True},
    lambda call: {"verdict": "next", "errors": 3}, lambda call: {"verdict": "ok", "mods": 7},
    lambda call: {"verdict": "ok", "mods": {"topic": {}}}])
def test_what_is_no_answer_denies(fake, start, answer):
    broker = start({"on_unavailable": "defer"})
    client = broker.connected("c1")
    listener = broker.connected("l")
    listener.subscribe([("#", 1)])
    fake.on["auth_on_publish"] = fake.on["auth_on_subscribe"] = answer
    fake.on["auth_on_register"] = lambda call: (
        answer(call) if call.event["client_id"] == "c2" else ok())
    assert broker.client("c2").connect().code == 5
    assert client.subscribe([("a", 1)]) == [0x80]
    client.publish("a", b"x", 1)
    listener.nothing(through=client)


def test_a_late_answer_is_not_the_next_one(fake, start):
    late = threading.Event()

    def first(call):
        if call.event["client_id"] == "slow":
            late.wait(10)
            return ok()
        return deny()

    fake.on["auth_on_register"] = first
    broker = start()
    assert broker.client("slow").connect().code == 5
    late.set()
    for i in range(5):
        assert broker.client(f"c{i}").connect().code == 5


def test_a_pinfold_that_hangs_costs_three_timeouts(fake, start):
    fake.on["auth_on_publish"] = lambda call: NO_ANSWER
    broker = start()
    client = broker.connected("c1")
    fake.answer_hello = False
    for i in range(3):
        client.publish("a", b"x", 1)
    broker.wait_log("pinfold: pinfoldd does not answer")
    before = len(fake.seen("auth_on_publish"))
    for i in range(200):                         # at once, not after 60 s
        client.publish("a", b"x", 1)
    assert len(fake.seen("auth_on_publish")) == before
    fake.answer_hello = True
    fake.on["auth_on_publish"] = lambda call: ok()
    broker.wait_log("connected to pinfoldd again")
    client.publish("a", b"x", 1)
    assert len(fake.seen("auth_on_publish")) == before + 1


# ---- no pinfold at all ------------------------------------------------------------------

def test_unavailable_denies(fake, start):
    broker = start(up=False)
    assert broker.client("c1").connect().code == 5
    broker.wait_log("pinfold: no connection to pinfoldd: No such file")
    fake.start()
    broker.wait_log("connected to pinfoldd again")
    assert broker.client("c1").connect().code == 0


def test_unavailable_defers(fake, start, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite open\n")
    acl.chmod(0o600)
    broker = start({"on_unavailable": "defer"}, up=False, lines=[f"acl_file {acl}"])
    client = broker.connected("c1")               # allow_anonymous
    assert broker.client("c2", username="u").connect().code == 5
    # an acl_file decides when a message is sent, too
    assert client.subscribe([("open", 1), ("closed", 1)]) == [1, 1]
    client.publish("closed", b"x", 1)
    client.publish("open", b"y", 1)
    assert client.message().payload == b"y"
    five = broker.connected("c3", version=5)
    assert five.publish("closed", b"x", 1) == 0x87
    five.publish("open", b"z", 1)
    assert client.message().payload == b"z"
    client.nothing(through=five)


def test_killed_and_back(fake, start):
    fake.on["auth_on_register"] = lambda call: ok(
        acl=entry("c1", publish=[rule("a")]) if call.event["client_id"] == "c1" else None)
    fake.observed |= {"on_publish", "on_client_gone"}
    broker = start()
    client, other = broker.connected("c1"), broker.connected("c2")
    client.publish("a", b"x", 1)
    fake.stop()
    broker.wait_log("the connection to pinfoldd is lost")
    fake.clear()
    assert broker.client("c3").connect().code == 5
    other.publish("b", b"x", 1)                   # uncached: denied
    client.publish("a", b"x", 1)                  # cached: goes on
    fake.start()
    broker.wait_log("connected to pinfoldd again")
    broker.connected("c3")
    client.publish("a", b"y", 1)
    fake.wait_seen("on_publish")
    assert [e["payload"] for e in fake.seen("on_publish")] == [b"y"]
    assert fake.seen("auth_on_publish") == []
    broker.wait_log(r"pinfold: \d+ notifications were dropped")


def test_lost_in_the_middle_of_a_question(fake, start):
    def drop(call):
        fake.drop()
        return NO_ANSWER

    broker = start()
    client = broker.connected("c1")
    fake.on["auth_on_publish"] = drop
    client.publish("a", b"x", 1)
    fake.on["auth_on_publish"] = lambda call: ok()
    broker.wait_log("connected to pinfoldd again")
    assert client.subscribe([("a", 1)]) == [1]
    client.publish("a", b"x", 1)
    assert client.message().payload == b"x"


# ---- copies of the auth cache, and a connection that was lost --------------------------------

COPIES = 1000


def copies(fake, broker):
    """The plugin has that many; the last is of the client that is here."""
    client = broker.connected("last", version=5)
    for name in [*(f"c{i}" for i in range(COPIES - 1)), "last"]:
        fake.notify("acl", [entry(name, publish=[rule("a")])])
    until(lambda: client.publish("b", b"x", 1) == 0x87, what="the copies are there")
    fake.clear()
    return client


class Refresh:
    """Answers, and remembers about whom; but not on connections of before, where
    what was read may still be on its way to here."""

    def __init__(self, before=()):
        self.before, self.answered = list(before), []

    def __call__(self, call):
        name = call.event["client_id"]
        if call.peer in self.before:
            return
        if name[-1] in "13579":
            call.peer.send([2, "acl.drop", [call.event]])
        elif name[-1] in "2468":
            call.peer.send([2, "acl", [entry(name, publish=[rule("b")])]])
        else:
            call.peer.send([2, "acl", [entry(name, publish=[rule("a")])]])
        self.answered.append(name)


def lose(fake, broker):
    """Every connection ends, and the plugin connects again."""
    def times():
        return broker.log().count("connected to pinfoldd again")
    before = times()
    fake.drop()
    until(lambda: times() > before, what="it is connected again")


def refreshed(fake, n=COPIES):
    fake.wait_seen("acl.refresh", n, 30)
    assert {e["mountpoint"] for e in fake.seen("acl.refresh")} == {""}
    return [e["client_id"] for e in fake.seen("acl.refresh")]


def test_copies_are_refreshed(fake, start):
    fake.session = "s1"
    refresh = fake.on["acl.refresh"] = Refresh()
    broker = start()
    client = copies(fake, broker)
    every = {*(f"c{i}" for i in range(COPIES - 1)), "last"}
    lose(fake, broker)
    first = refreshed(fake)
    assert set(first) == every and len(first) == COPIES
    until(lambda: len(refresh.answered) == COPIES, what="all are answered")
    client.publish("a", b"x", 1)
    assert fake.seen("auth_on_publish") == []
    fake.clear()
    lose(fake, broker)                            # those that are left
    left = {n for n in every if n[-1] not in "13579"}
    again = refreshed(fake, len(left))
    assert set(again) == left and len(again) == len(left)
    fake.clear()
    # hooks are no refresh: it is asked only after a loss
    client.publish("b", b"x", 1)
    assert fake.hooks_seen() == []


def test_refreshing_begins_again_when_it_was_cut_short(fake, start):
    """Some at a time, until they are answered; what was not answered is asked about
    on the next connection."""
    fake.session = "s1"
    fake.on["acl.refresh"] = lambda call: None
    broker = start({"timeout_ms": 10000})
    client = copies(fake, broker)
    for i in range(3):
        fake.clear()
        lose(fake, broker)
        fake.wait_seen("acl.refresh")
        for i in range(20):
            client.ping()
        assert len(fake.seen("acl.refresh")) < COPIES / 2
        assert client.publish("a", b"x", 1) == 0x10     # still has its copy
    # and a client that comes and goes meanwhile does not stop it
    fake.on["auth_on_register_m5"] = lambda call: ok(
        acl=entry(call.event["client_id"], publish=[rule("a")]))
    fake.clear()
    refresh = fake.on["acl.refresh"] = Refresh(before=fake.peers)
    lose(fake, broker)
    for i in range(20):
        broker.connected(f"c{i}", version=5).drop()
    until(lambda: len({*refresh.answered} | {f"c{i}" for i in range(20)}) == COPIES, 30,
          "all of them")


@pytest.mark.parametrize("session", [None, "s2", 5, "s" * 1000, "s1\0"],
                         ids=["none", "other", "number", "long", "nul"])
def test_another_run_is_not_asked(fake, start, session):
    fake.session = "s1"
    fake.on["acl.refresh"] = Refresh()
    broker = start()
    client = copies(fake, broker)
    fake.session = session
    for i in range(2):
        lose(fake, broker)                        # now with the same one
        client.ping()
        client.ping()
        assert client.publish("b", b"x", 1) == 0x87
    assert fake.seen("acl.refresh") == []
    # what that run has given is its own
    fake.session = "s3"
    lose(fake, broker)
    fake.notify("acl", [entry("c0", publish=[rule("b")])])
    fake.notify("acl", [entry("last", publish=[rule("b")])])
    until(lambda: client.publish("a", b"x", 1) == 0x87, what="the new copy")
    fake.on["acl.refresh"] = lambda call: call.peer.send([2, "acl.drop", [call.event]])
    lose(fake, broker)
    assert sorted(refreshed(fake, 2)) == ["c0", "last"]
    until(lambda: client.publish("b", b"x", 1) == 0x10 and
          fake.seen("auth_on_publish_m5"), what="it is asked again")


def test_an_entry_that_cannot_be_kept_ends_the_older_one(fake, start):
    broker = start()
    client = copies(fake, broker)
    fake.notify("acl", [{**entry("last"), "publish": 5}])
    broker.wait_log("an entry of the auth cache is not kept")
    assert client.publish("b", b"x", 1) == 0x10
    assert len(fake.seen("auth_on_publish_m5")) == 1


@pytest.mark.parametrize("junk", [b"\xc1", b"\xff" * 100, b"\x93\x02\xa3acl\x91\xc0", b"GET /",
                                  b"\x94\x01\x07\xc0\xc0", b"\x94\x00\x01\xa1x\x90",
                                  b"\x93\x02\xa5hooks\x91\xa1x", b"\x93\x02\xa8acl.drop\x90"])
def test_garbage_from_the_socket(fake, start, junk):
    broker = start()
    client = broker.connected("c1")
    fake.garbage(junk)

    def works():
        client.publish("a", b"x", 1)
        return len(fake.seen("auth_on_publish")) > 3

    until(works, what="questions are asked")


def test_a_socket_that_nobody_reads(fake, start):
    """Notifications wait in a bounded queue; then they are dropped and counted,
    and Mosquitto goes on."""
    fake.on = {"auth_on_register": lambda call: ok(
        acl=entry("c1", publish=[rule("#")]))}
    fake.observed.add("on_publish")
    broker = start({"queue_bytes": 65536})
    client = broker.connected("c1")
    stop = threading.Event()
    for peer in fake.peers:                       # its thread stops reading
        peer._take = lambda message: stop.wait(30)
    try:
        for i in range(200):
            client.publish("a", b"x" * 20000, 1)
        broker.wait_log(r"pinfold: \d+ notifications were dropped")
    finally:
        stop.set()


def test_mosquitto_reloads(fake, start):
    broker = start()
    client = broker.connected("c1")
    broker.process.send_signal(signal.SIGHUP)
    broker.wait_log("Reloading config")
    client.publish("a", b"x", 1)
    broker.connected("c2")
    assert len(fake.seen("auth_on_publish")) == 1


def test_stopping_with_a_hung_pinfold(fake, start):
    fake.observed.add("on_client_gone")
    broker = start()
    broker.connected("c1")
    for peer in fake.peers:
        peer._take = lambda message: None
    assert broker.stop() == 0


# ---- commands -----------------------------------------------------------------------------

def test_disconnect(fake, start):
    fake.observed |= {"on_client_gone"}
    broker = start()
    client = broker.connected("c1", version=5)
    listener = broker.connected("l")
    listener.subscribe([("w", 1)])
    willing = broker.connected("c2", will={"topic": "w", "payload": b"will"})

    def disconnect(name, mountpoint=""):
        return fake.ask("mqtt.disconnect", {"mountpoint": mountpoint, "client_id": name,
                                            "do_cleanup": False})

    assert disconnect("nobody") == disconnect("c1", "mp") == "not_found"
    assert disconnect("c1") == disconnect("c2") == "ok"
    assert client.wait_closed() == 0x98
    willing.wait_closed()
    assert listener.message().payload == b"will"
    fake.wait_seen("on_client_gone", 2)
    assert disconnect("c1") == "not_found"


@pytest.mark.parametrize("who", ["c1", "c2"])
def test_disconnect_while_a_hook_waits(fake, start, who):
    """A script that calls vmq_api from a hook must not deadlock, whether it means
    the client that waits or another."""
    answers = []

    def publish(call):
        answers.append(fake.ask("mqtt.disconnect", {"mountpoint": "", "client_id": who}))
        return ok()

    fake.on["auth_on_publish"] = publish
    broker = start()
    clients = {name: broker.connected(name) for name in ("c1", "c2")}
    clients["c1"].subscribe([("a", 0)])
    clients["c1"].send_publish("a", b"x")
    clients[who].wait_closed()
    assert answers == ["ok"]


def test_disconnect_the_old_one_from_the_login_of_the_new(fake, start):
    def register(call):
        return ok() if fake.ask("mqtt.disconnect", {"mountpoint": "", "client_id": "c1"}) else 0

    broker = start()
    old = broker.connected("c1")
    fake.on["auth_on_register"] = register
    new = broker.connected("c1")
    old.wait_closed()
    new.ping()
    new.ping()
    assert not new.closed


def test_publish(fake, start):
    broker = start()
    client, other = broker.connected("c1"), broker.connected("c2")
    for one in (client, other):
        one.subscribe([("a/#", 2)])

    def publish(**message):
        return fake.ask("mqtt.publish", {"topic": "a/b", "payload": b"", "qos": 0,
                                         "retain": False, **message})

    assert publish(payload=b"\x00x", qos=2) == "ok"
    assert client.message()[:4] == other.message()[:4] == ("a/b", b"\x00x", 2, False)
    assert publish(payload=b"one", client_id="c1", qos=1) == "ok"
    assert client.message().payload == b"one"
    other.nothing(through=client)
    assert publish(client_id="nobody") == "not_found"
    for topic in ("", "a/#", "a\0", "x" * 65536, b"\xff"):
        assert publish(topic=topic) == "not_found"
    assert publish(payload=b"kept", retain=True) == "ok"
    until(lambda: client.ping() or client.messages, what="the retained one")
    late = broker.connected("c3")
    late.subscribe([("a/b", 1)])
    assert late.message()[:4] == ("a/b", b"kept", 0, True)
    assert fake.seen("auth_on_publish") == []


def test_publish_from_a_hook(fake, start):
    def publish(call):
        fake.ask("mqtt.publish", {"topic": "copy", "payload": call.event["payload"], "qos": 1})
        return ok()

    fake.on["auth_on_publish"] = publish
    broker = start()
    client = broker.connected("c1")
    client.subscribe([("copy", 1)])
    for i in range(20):
        client.publish("a", b"%d" % i, 1)
    assert [client.message().payload for i in range(20)] == [b"%d" % i for i in range(20)]


def test_too_many_commands(fake, start):
    """They wait for the tick; while a hook waits there is none."""
    refused = []

    def publish(call):
        for i in range(40):
            try:
                fake.ask("mqtt.publish", {"topic": "copy", "payload": b"x" * 1000000})
            except Fail as error:
                refused.append(error.error["code"])
        return ok()

    fake.on["auth_on_publish"] = publish
    broker = start({"timeout_ms": 20000})
    client = broker.connected("c1", timeout=30)
    client.publish("a", b"x", 1)
    assert set(refused) == {"overloaded"} and len(refused) < 40


def test_unknown_requests(fake, start):
    start()
    until(lambda: fake.hellos, what="hello")
    for method in ("mqtt.unknown", "body.get"):
        with pytest.raises(Fail) as error:
            fake.ask(method, {})
        assert error.value.error["code"] == "unknown_method"
    assert fake.ask("mqtt.disconnect", {}) == "not_found"
    assert fake.ask("mqtt.disconnect", 5) == "not_found"


def test_reauthorize(fake, start):
    """A filter that lost its right delivers nothing any more; Mosquitto 2.0 cannot
    remove it. Also for a durable session that comes back."""
    broker = start()
    client = broker.connected("c1", clean=False)
    client.subscribe([("a/+", 1), ("b", 1), ("a/b", 1)])
    fake.on["auth_on_subscribe"] = lambda call: (
        deny() if "a/+" in call.event["topics"][0] else ok())
    fake.clear()
    assert fake.ask("mqtt.reauthorize", {"username": "u", "mountpoint": "",
                                         "client_id": "c1"}) == "ok"
    fake.wait_seen("auth_on_subscribe", 3)
    assert [e["topics"] for e in fake.seen("auth_on_subscribe")] == [
        [["a/+", 1]], [["b", 1]], [["a/b", 1]]]
    assert fake.seen("auth_on_subscribe")[0]["username"] == "u"

    def delivered(one):
        other.publish("a/x", b"no", 1)
        other.publish("a/b", b"1", 1)
        other.publish("b", b"2", 1)
        found = {one.message().payload}
        while b"2" not in found:
            found.add(one.message().payload)
        return found

    other = broker.connected("c2")
    assert delivered(client) == {b"1", b"2"}
    client.drop()
    again = broker.connected("c1", clean=False)
    assert delivered(again) == {b"1", b"2"}
    fake.on["auth_on_subscribe"] = lambda call: ok()
    again.subscribe([("a/+", 1)])                 # asked for anew, and given
    assert delivered(again) == {b"no", b"1", b"2"}
    assert fake.ask("mqtt.reauthorize", {"username": "u", "mountpoint": "",
                                         "client_id": "nobody"}) == "ok"


# ---- bad neighbours -------------------------------------------------------------------------

def test_clients_that_send_nonsense(fake, start):
    broker = start()
    for junk in (b"\x10\x00", b"\xff" * 50, b"\x10\x0c\x00\x04MQTT\x04\xc2\x00", b""):
        with socket.create_connection(("127.0.0.1", broker.port)) as sock:
            sock.sendall(junk)
    broker.connected("c1").ping()


def test_extended_authentication_fails_closed(fake, start):
    fake.on["on_auth_m5"] = lambda call: NO_ANSWER
    broker = start()
    client = broker.client("c1", version=5, properties=[(AUTH_METHOD, "M")])
    assert client.connect().code == 0x87
    fake.stop()
    broker.wait_log("is lost")
    client = broker.client("c1", version=5, properties=[(AUTH_METHOD, "M")])
    try:
        assert client.connect().code == 0x87
    except Closed:
        pass
