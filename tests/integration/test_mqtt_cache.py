# SPDX-License-Identifier: Apache-2.0
"""The auth cache and what belongs to it, over real processes: who is asked and
who is told, expiry, tables that scripts share, commands to MQTT brokers."""

import json
import subprocess
import threading
import time

import pytest

from lib.mqtt_scripts import MqttPinfold, publish, register, subscribe
from lib.pinfold import program
from lib.rpc import Client, pack
from lib.wait import until

# Caches what the client's name says, and counts every question that reaches it.
GATE = """
kv.ensure_table{name = "asked"}
local function asked(what)
    local n = kv.lookup("asked", what)[1] or 0
    kv.insert("asked", {[what] = n + 1})
end
local function insert(t, topic, more)
    auth_cache.insert(t.mountpoint, t.client_id, t.username,
                      {{pattern = topic}}, {{pattern = topic}}, more)
end
hooks = {
    auth_on_register = function(t)
        asked("register")
        if t.password == "short" then insert(t, t.username, {ttl = 0.2})
        elseif t.password ~= "none" then insert(t, t.username) end
        return t.password ~= "bad"
    end,
    auth_on_publish = function(t)
        asked("publish")
        if t.topic == "renew" then insert(t, "renewed") end
        return false
    end,
    auth_on_subscribe = function(t) asked("subscribe") return false end,
    on_client_gone = function(t) asked("gone") end,
    on_client_offline = function(t) asked("offline") end,
}
"""
COUNTS = """
kv.ensure_table{name = "asked"}
hooks = {on_deliver = function(t)
    local all = {}
    for _, k in ipairs{"register", "publish", "subscribe", "gone", "offline"} do
        all[#all + 1] = k .. "=" .. (kv.lookup("asked", k)[1] or 0)
    end
    return {payload = table.concat(all, " ")}
end}
"""


@pytest.fixture
def gate():
    with MqttPinfold({"gate.lua": GATE, "counts.lua": COUNTS}) as broker:
        yield broker


def counts(client):
    text = client.call("on_deliver", [publish()])["mods"]["payload"]
    return {k: int(v) for k, v in (word.split("=") for word in text.split())}


def verdict(client, hook, event):
    return client.call(hook, [event])["verdict"]


def told(client):
    """Everything that it was told of the cache until now."""
    client.call("hello", [{"client": "t", "caps": ["mqtt"]}])
    found = [[m, p[0]] for m, p in client.notifications if m.startswith("acl")]
    client.notifications = []
    return found


def drop_of(client_id, mountpoint=""):
    return ["acl.drop", {"mountpoint": mountpoint, "client_id": client_id}]


# --- who answers


def test_what_is_cached_reaches_no_script(gate):
    client = gate.mqtt()
    answer = client.call("auth_on_register", [register("c", username="a/b")])
    assert answer["verdict"] == "ok"
    assert answer["acl"] == {
        "mountpoint": "", "client_id": "c", "username": "a/b", "ttl_ms": 0,
        "publish": [{"pattern": "a/b", "max_qos": 2, "allowed_retain": True,
                     "max_payload_size": 268435456}],
        "subscribe": [{"pattern": "a/b", "max_qos": 2}]}
    assert client.call("auth_on_publish", [publish("c")]) == {
        "verdict": "ok", "errors": []}
    assert client.call("auth_on_publish", [publish("c", topic="x")]) == {
        "verdict": "deny", "reason": "not_authorized", "errors": []}
    assert verdict(client, "auth_on_subscribe", subscribe("c")) == "ok"
    # hooks that no script serves are answered as well
    assert verdict(client, "auth_on_publish_m5", publish("c")) == "ok"
    assert verdict(client, "auth_on_subscribe_m5", subscribe("c")) == "ok"
    assert verdict(client, "on_unsubscribe", subscribe("c", topics=())) == "ok"
    assert counts(client) == {"register": 1, "publish": 0, "subscribe": 0,
                              "gone": 0, "offline": 0}
    # who is not cached is asked about
    assert verdict(client, "auth_on_publish", publish("d")) == "deny"
    assert verdict(client, "auth_on_publish",
                   publish("c", mountpoint="other")) == "deny"
    assert counts(client)["publish"] == 2


def test_no_acl_without_an_insert(gate):
    client = gate.mqtt()
    answer = client.call("auth_on_register", [register("c", password="none")])
    assert answer == {"verdict": "ok", "errors": []}


def test_an_end_of_a_session_takes_the_oldest(gate):
    """A takeover: the new session is authorised before the old one ends."""
    client = gate.mqtt()
    for topic in ("old", "new"):
        client.call("auth_on_register", [register("c", username=topic)])
    client.notify("on_client_gone", [{"mountpoint": "", "client_id": "c"}])
    assert verdict(client, "auth_on_publish", publish("c", topic="new")) == "ok"
    assert told(client) == []
    client.notify("on_client_offline", [{"mountpoint": "", "client_id": "c"}])
    assert verdict(client, "auth_on_publish", publish("c", topic="new")) == "deny"
    assert told(client) == [drop_of("c")]
    assert counts(client) == {"register": 2, "publish": 1, "subscribe": 0,
                              "gone": 1, "offline": 1}


def test_the_end_counts_also_where_no_script_hears_of_it():
    script = """hooks = {auth_on_register = function(t)
        auth_cache.insert("", t.client_id, "u", {{pattern = "#"}}, nil)
        return true
    end}"""
    with MqttPinfold({"a.lua": script}) as broker:
        client = broker.mqtt()
        for end in ("on_client_offline", "on_client_gone", "on_session_expired"):
            client.call("auth_on_register", [register("c")])
            assert verdict(client, "auth_on_publish", publish("c")) == "ok"
            client.notify(end, [{"mountpoint": "", "client_id": "c"}])
            assert verdict(client, "auth_on_publish", publish("c")) == "next"


def test_a_publish_waits_for_the_register_before_it():
    """Sent at once, one after the other: the second is answered by what the
    first has put there."""
    script = """hooks = {
        auth_on_register = function(t)
            local until_ = os.clock() + 0.05
            while os.clock() < until_ do end
            auth_cache.insert("", t.client_id, "u", {{pattern = "#"}}, nil)
            return true
        end,
        auth_on_publish = function() return false end}"""
    with MqttPinfold({"a.lua": script}) as broker:
        client = broker.mqtt()
        ids = []
        for i in range(10):
            client.send("auth_on_register", [register(f"c{i}")])
            ids.append(client.send("auth_on_publish", [publish(f"c{i}")]))
            ids.append(client.send("auth_on_publish", [publish(f"c{i}")]))
        assert {client.wait(i)["verdict"] for i in ids} == {"ok"}


def test_thousands_wait_behind_one_register():
    """All of one client, answered by the cache in one go when it is there."""
    script = """hooks = {auth_on_register = function(t)
        while not kv.get("go") do end
        auth_cache.insert("", t.client_id, "u", {{pattern = "#"}}, nil)
        return true
    end}"""
    n = 30000
    with MqttPinfold({"a.lua": script},
                     config={"limits": {"max_inflight": 40000}}) as broker:
        client, control = broker.mqtt(), broker.control_client()
        first = client.send("auth_on_register", [register("c")])
        client.send_raw(b"".join(pack([0, first + i, "auth_on_publish",
                                       [publish("c", topic=str(i))]])
                                 for i in range(1, n)))
        control.call("kv.set", ["go", "1", 0, "mqtt"])
        assert {client.wait(first + i, 60)["verdict"]
                for i in range(n)} == {"ok"}


def test_expiry(gate):
    client = gate.mqtt()
    answer = client.call("auth_on_register",
                         [register("c", username="a/b", password="short")])
    assert answer["acl"]["ttl_ms"] == 200
    assert verdict(client, "auth_on_publish", publish("c")) == "ok"
    assert client.wait_notification("acl.drop") == [
        {"mountpoint": "", "client_id": "c"}]
    assert verdict(client, "auth_on_publish", publish("c")) == "deny"
    assert counts(client)["publish"] == 1
    # a script may put it there again, for the same session
    client.call("auth_on_publish", [publish("c", topic="renew")])
    entry = client.wait_notification("acl")[0]
    assert entry["client_id"] == "c" and entry["ttl_ms"] == 0
    assert verdict(client, "auth_on_publish",
                   publish("c", topic="renewed")) == "ok"
    client.notify("on_client_gone", [{"mountpoint": "", "client_id": "c"}])
    assert verdict(client, "auth_on_publish",
                   publish("c", topic="renewed")) == "deny"


def test_the_configured_ttl():
    with MqttPinfold({"gate.lua": GATE},
                     {"auth_cache": {"ttl": "200ms"}}) as broker:
        client = broker.mqtt()
        answer = client.call("auth_on_register", [register("c", username="a/b")])
        assert answer["acl"]["ttl_ms"] == 200
        client.wait_notification("acl.drop")
        assert verdict(client, "auth_on_publish", publish("c")) == "deny"


# --- who is told


def test_notifications(gate):
    asker, other = gate.mqtt(), gate.mqtt()
    plain = gate.client(hello=True)
    asker.call("auth_on_register", [register("c", username="a")])
    assert told(asker) == [] and told(other) == []
    # another broker may have the older one
    second = other.call("auth_on_register", [register("c", username="b")])
    assert second["acl"]["username"] == "b"
    assert told(other) == []
    assert told(asker) == [["acl", second["acl"]]]
    # what comes of another hook goes to all
    asker.call("auth_on_publish", [publish("d", topic="renew")])
    (method, entry), = told(asker)
    assert method == "acl" and entry["client_id"] == "d"
    assert told(other) == [["acl", entry]]
    other.notify("on_client_gone", [{"mountpoint": "", "client_id": "d"}])
    assert told(other) == [drop_of("d")]
    assert told(asker) == [drop_of("d")]
    plain.call("hello", [{"caps": []}])
    assert [n for n in plain.notifications if "acl" in n[0]] == []


def test_a_denied_client_is_told_as_well(gate):
    """What the script has inserted is what counts from now on."""
    client = gate.mqtt()
    answer = client.call("auth_on_register",
                         [register("c", username="a", password="bad")])
    assert answer["verdict"] == "deny" and answer["acl"]["username"] == "a"


def test_show_and_drop_on_the_control_socket(gate):
    client, control = gate.mqtt(), gate.control_client()
    empty = control.call("cache.show")
    assert empty["cached"] == [] and empty["entries"] == 0
    client.call("auth_on_register", [register("c", username="a/b")])
    client.call("auth_on_register", [register("c", username="a/b")])
    client.call("auth_on_register",
                [register("d", username="x", mountpoint="m")])
    client.call("auth_on_publish", [publish("c")])
    client.call("auth_on_publish", [publish("nobody")])
    shown = control.call("cache.show", [{}])
    assert [(r["mountpoint"], r["client_id"], r["entries"])
            for r in shown["cached"]] == [("", "c", 2), ("m", "d", 1)]
    assert (shown["clients"], shown["entries"], shown["hits"], shown["misses"],
            shown["more"]) == (2, 3, 1, 1, False)
    row, = control.call("cache.show", [{"client_id": "d"}])["cached"]
    assert row["username"] == "x" and row["ttl_ms"] == 0
    assert row["publish"][0]["pattern"] == "x" and "left_ms" not in row
    assert control.call("cache.show", [{"mountpoint": "x"}])["cached"] == []
    assert control.call("cache.drop", [{"client_id": "d"}]) == 0
    # told all the same: a copy may be older than this run
    assert told(client) == [drop_of("d")]
    assert control.call("cache.drop",
                        [{"client_id": "d", "mountpoint": "m"}]) == 1
    assert told(client) == [drop_of("d", "m")]
    assert control.call("cache.drop", [{"client_id": "c"}]) == 2
    assert told(client) == [drop_of("c")]
    client.call("auth_on_register", [register("c", username="a/b")])
    client.call("auth_on_register", [register("e", username="a/b")])
    assert control.call("cache.drop", [{"all": True}]) == 2
    assert told(client) == [["acl.drop", {"all": True}]]
    assert control.call("cache.drop", [{"all": True}]) == 0
    assert told(client) == [["acl.drop", {"all": True}]]
    assert verdict(client, "auth_on_publish", publish("c")) == "deny"
    for wrong in ([], [{}], [{"all": False}], [{"mountpoint": "m"}], [5],
                  [{"client_id": 5}], [{"all": True, "client_id": "c"}]):
        assert control.error("cache.drop", wrong).code == "bad_event", wrong
    assert control.error("cache.show", [[1]]).code == "bad_event"
    # on the control socket only
    assert client.error("cache.show").code == "unknown_method"
    assert client.error("cache.drop", [{"all": True}]).code == "unknown_method"


# --- a connection that was lost


def test_hello_names_the_run(gate):
    one = gate.mqtt().hello(["mqtt"])["session"]
    assert len(one) == 36
    assert gate.client().hello([])["session"] == one
    control = gate.control_client()
    assert control.hello([])["session"] == one
    assert control.call("status")["session"] == one
    gate.restart()
    assert gate.mqtt().hello(["mqtt"])["session"] != one


def refresh(client, client_id, mountpoint=""):
    client.notify("acl.refresh", [{"mountpoint": mountpoint,
                                   "client_id": client_id}])
    return told(client)


def test_a_copy_is_refreshed(gate):
    """What happened while nobody listened: the newest entry, or that there is
    none; to who asks alone."""
    asker, other = gate.mqtt(), gate.mqtt()
    asker.call("auth_on_register", [register("c", username="a")])
    second = asker.call("auth_on_register", [register("c", username="b")])["acl"]
    assert [t[0] for t in told(other)] == ["acl"]
    assert refresh(asker, "c") == [["acl", second]]
    assert refresh(asker, "c", "m") == [drop_of("c", "m")]
    assert refresh(asker, "nobody") == [drop_of("nobody")]
    asker.notify("on_client_gone", [{"mountpoint": "", "client_id": "c"}])
    assert refresh(asker, "c") == [["acl", second]]
    asker.notify("on_client_gone", [{"mountpoint": "", "client_id": "c"}])
    asker.wait_notification("acl.drop")
    assert refresh(asker, "c") == [drop_of("c")]
    assert told(other) == [drop_of("c")]
    # it is no question of a client's: neither a hit nor a miss, nor dropped
    control = gate.control_client()
    shown = control.call("cache.show")
    assert (shown["hits"], shown["misses"]) == (0, 0)
    assert control.call("status")["dropped"] == 0


def test_a_refreshed_entry_has_the_time_that_is_left():
    """Else asking would make it live longer."""
    with MqttPinfold({"gate.lua": GATE},
                     {"auth_cache": {"ttl": "1h"}}) as broker:
        client = broker.mqtt()
        entry = client.call("auth_on_register",
                            [register("c", username="a/b")])["acl"]
        assert entry["ttl_ms"] == 3600000
        time.sleep(0.05)
        (method, again), = refresh(client, "c")
        assert method == "acl"
        assert 3000000 < again.pop("ttl_ms") < 3600000
        del entry["ttl_ms"]
        assert again == entry


def test_ends_that_were_not_told(gate):
    """Sessions that ended while nobody listened are made up for, and scripts do
    not hear of what is long over."""
    client, other = gate.mqtt(), gate.mqtt()
    for topic in ("1", "2", "3", "4"):
        entry = client.call("auth_on_register",
                            [register("c", username=topic)])["acl"]

    def ended(n):
        client.notify("acl.refresh", [{"mountpoint": "", "client_id": "c",
                                       "ended": n}])
        return told(client)

    told(other)
    assert ended(0) == ended(3) == [["acl", entry]]
    assert gate.control_client().call("cache.show")["entries"] == 1
    assert told(other) == []
    assert ended(1 << 60)[-1] == drop_of("c")
    assert told(other) == [drop_of("c")]
    assert verdict(client, "auth_on_publish", publish("c", topic="4")) == "deny"
    assert counts(client)["gone"] == counts(client)["offline"] == 0


def test_a_refresh_that_is_none(gate):
    client = gate.mqtt()
    plain = gate.client(hello=True)
    stranger = gate.client()
    control = gate.control_client()
    client.call("auth_on_register", [register("c", username="a")])
    which = {"mountpoint": "", "client_id": "c"}
    for wrong in ([], [5], [{}], [{"mountpoint": ""}], [{"client_id": "c"}],
                  [{"mountpoint": "", "client_id": 5}], [[]], [None],
                  [{"mountpoint": None, "client_id": "c"}],
                  [{"all": True}], ["c"], [{**which, "ended": -1}],
                  [{**which, "ended": "1"}], [{**which, "ended": None}]):
        client.notify("acl.refresh", wrong)
    assert told(client) == []
    assert client.error("acl.refresh", [which]).code == "unknown_method"
    for one in (plain, stranger, control):
        one.notify("acl.refresh", [which])
        one.call("hello", [{}])
        assert [n for n in one.notifications if "acl" in n[0]] == []
    # the cap counts when it is asked
    assert [t[0] for t in refresh(client, "c")] == ["acl"]
    client.hello([])
    client.notify("acl.refresh", [which])
    assert told(client) == []
    assert control.call("status")["dropped"] == 0


def test_many_entries_are_shown_in_part():
    script = """for i = 1, 12000 do
        auth_cache.insert("", "c" .. i, "u", {{pattern = "a"}}, nil)
    end
    hooks = {}"""
    with MqttPinfold({"a.lua": script}) as broker:
        shown = broker.control_client().call("cache.show")
        assert shown["entries"] == 12000 and shown["more"] is True
        assert len(shown["cached"]) == 10000
        assert shown["cached"][0]["client_id"] == "c1"


# --- the command line


def run(broker, *words, code=0):
    done = subprocess.run(
        [str(program("pinfold")), "-c", str(broker.config_file), "cache",
         *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout, done.stderr


def test_commands(gate):
    client = gate.mqtt()
    assert run(gate, "show") == ("", "")
    client.call("auth_on_register", [register("c", username="a/b")])
    client.call("auth_on_register", [register("c", username="a/\x1b")])
    client.call("auth_on_register",
                [register("d", username="x", mountpoint="m", password="short")])
    lines = run(gate, "show")[0].splitlines()
    assert lines[0].split() == ["CLIENT", "MOUNTPOINT", "USERNAME", "PUBLISH",
                                "SUBSCRIBE", "ENTRIES", "AGE", "EXPIRES"]
    assert lines[1].split()[:5] == ["c", "a/\\x1b", "1", "1", "2"]
    text = run(gate, "show", "c")[0]
    assert "c: user a/\\x1b, 2 entries, since " in text
    assert "  publish  a/\\x1b  qos<=2\n  subscribe  a/\\x1b  qos<=2\n" in text
    shown = json.loads(run(gate, "show", "--json")[0])
    assert shown["clients"] in (1, 2) and shown["cached"][0]["client_id"] == "c"
    assert run(gate, "show", "c", "--mountpoint", "m", code=1) == (
        "", "pinfold: c: not in the cache\n")
    until(lambda: "d" not in run(gate, "show")[0].split(), 5, "d expires")
    assert run(gate, "drop", "c")[0] == "2\n"
    assert "not in the cache" in run(gate, "drop", "c", code=1)[1]
    client.call("auth_on_register",
                [register("d", username="x", mountpoint="m")])
    # the one that has expired keeps its place until its session ends
    assert run(gate, "drop", "d", "--mountpoint", "m", "--json")[0] == "2\n"
    client.call("auth_on_register", [register("c", username="a/b")])
    assert run(gate, "drop", "--all")[0] == "1\n"
    assert run(gate, "drop", "--all")[0] == "0\n"
    assert "CLIENT or --all" in run(gate, "drop", code=2)[1]
    assert "CLIENT or --all" in run(gate, "drop", "c", "--all", code=2)[1]
    for command in ("show", "drop"):
        text = run(gate, command, "--help")[0]
        assert f"usage: pinfold cache {command}" in text
        assert "--mountpoint" in text


def test_a_rule_in_words():
    script = """auth_cache.insert("m", "c", "u",
        {{pattern = "a", max_qos = 1, max_payload_size = 10,
          allowed_retain = false, modifiers = {topic = "b"}}},
        {{pattern = "%u/#", modifiers = {{"x", 1}}}}, {ttl = 3600})
    auth_cache.insert("m", "d", "u", nil, nil)
    hooks = {}"""
    with MqttPinfold({"a.lua": script}) as broker:
        assert run(broker, "show", "c")[0].splitlines()[1:] == [
            '  publish  a  qos<=1  payload<=10  no retain  becomes '
            '{"topic":"b"}',
            '  subscribe  u/#  qos<=2  becomes [["x",1]]']
        assert "expires in 59min" in run(broker, "show", "c")[0]
        assert run(broker, "show", "d", "--mountpoint", "m")[0].splitlines()[
            1:] == ["  publish  nothing", "  subscribe  nothing"]


# --- mistakes


def test_mistakes_are_in_the_log():
    script = """hooks = {auth_on_register = function(t)
        return auth_cache.insert("", t.client_id, "u",
            {{pattern = "a/#/b", foo = 1}, {pattern = "b", max_qos = 5,
              modifiers = {topic = 5}}}, {{pattern = "dev/%c"}})
    end}"""
    with MqttPinfold({"a.lua": script}) as broker:
        client = broker.mqtt()
        assert verdict(client, "auth_on_register", register("#")) == "ok"
        broker.wait_log(r"publish rule 1: no valid pattern 'a/#/b'.*script=a")
        broker.wait_log(r"publish rule 1: unknown key 'foo'")
        broker.wait_log(r"publish rule 2: max_qos is not 0, 1 or 2")
        broker.wait_log(r"publish rule 2: modifiers left out: .*topic")
        broker.wait_log(r"subscribe rule 1: in pattern 'dev/%c'")
        assert verdict(client, "auth_on_publish", publish("#", topic="b")) == "ok"
        assert verdict(client, "auth_on_subscribe",
                       subscribe("#", topics=[["dev/x", 0]])) == "deny"


def test_only_scripts_of_this_dialect():
    """Hook files have no such tables, and a worker that asks all the same is
    told no: see also test_forged.py."""
    scripts = {"http": {"before_request": """
        mut.req.set_header("X-Have", tostring(auth_cache) ..
            tostring(vmq_api) .. tostring(kv.ensure_table))"""}}
    with MqttPinfold({"a.lua": "hooks = {}"}, scripts=scripts) as broker:
        ops = broker.client().call("before_request", [{"id": "1"}])["ops"]
        assert ops == [["req.set_header", "X-Have", "nilnilnil"]]


# --- tables


TABLES = """
kv.ensure_table{name = "shared", type = "bag"}
hooks = {on_deliver = function(t)
    if t.topic == "put" then
        kv.insert("shared", {[t.client_id] = {from = "NAME", n = {1, 2}}})
    elseif t.topic == "get" then
        return {payload = json.encode(kv.lookup("shared", t.client_id))}
    elseif t.topic == "fill" then
        local ok, why
        repeat
            ok, why = pcall(kv.insert, "shared",
                            {[t.client_id] = string.rep("x", 100000) ..
                             tostring(os.clock()) .. tostring(math.random())})
        until not ok
        return {payload = tostring(why)}
    elseif t.topic == "clear" then
        kv.delete_all("shared")
        return {payload = "cleared"}
    end
end}
"""


def call(client, topic, payload_of="k", hook="on_deliver"):
    answer = client.call(hook, [publish(payload_of, topic=topic)])
    return answer.get("mods", {}).get("payload", answer["errors"])


def test_tables_are_shared_by_scripts():
    one = TABLES.replace("NAME", "one")
    two = TABLES.replace("NAME", "two").replace("on_deliver", "on_deliver_m5")
    with MqttPinfold({"one.lua": one, "two.lua": two}) as broker:
        client = broker.mqtt()
        assert call(client, "put") == [] == call(client, "put")
        assert call(client, "put", hook="on_deliver_m5") == []
        want = ('[{"from":"one","n":[1,2]},{"from":"two","n":[1,2]}]')
        assert call(client, "get") == want
        assert call(client, "get", hook="on_deliver_m5") == want
        assert call(client, "clear", hook="on_deliver_m5") == "cleared"
        assert call(client, "get") == "{}"


def test_tables_survive_reload_and_go_with_the_script():
    one = TABLES.replace("NAME", "one")
    two = TABLES.replace("NAME", "two").replace("on_deliver", "on_deliver_m5")
    two = two.replace('kv.ensure_table{name = "shared", type = "bag"}', "")
    with MqttPinfold({"one.lua": one, "two.lua": two}) as broker:
        client, control = broker.mqtt(), broker.control_client()
        call(client, "put")
        broker.write_lua("one.lua", one + "-- changed\n")
        control.call("reload")
        assert "one" in call(client, "get")
        (broker.dir / "lua" / "one.lua").unlink()
        control.call("reload")

        def gone():
            told = call(client, "get", hook="on_deliver_m5")
            return told != [] and "no table 'shared'" in str(told)
        until(gone, 5, "its table goes")


def test_tables_are_bounded():
    with MqttPinfold({"one.lua": TABLES}, {"tables_bytes": "1MiB"}) as broker:
        client = broker.mqtt()
        assert "too_large" in call(client, "fill")
        assert call(client, "put", "other") == []       # little still fits
        assert call(client, "clear") == "cleared"
        assert "too_large" in call(client, "fill")


# --- vmq_api


API = """
hooks = {auth_on_register = function(t)
    local ok, answer
    if t.username == "disconnect" then
        ok, answer = pcall(vmq_api.disconnect_by_subscriber_id,
            {mountpoint = "", client_id = t.password}, {do_cleanup = true})
    elseif t.username == "reauthorize" then
        ok, answer = pcall(vmq_api.reauthorize_subscriptions, "u",
            {mountpoint = "", client_id = t.password}, {})
    elseif t.username == "publish" then
        ok, answer = pcall(vmq_api.publish,
            {topic = t.password, payload = "p\\0\\255", qos = 1, retain = true,
             client_id = "one"})
    end
    return {username = tostring(answer)}
end}
"""


@pytest.fixture
def api():
    with MqttPinfold({"api.lua": API}) as broker:
        yield broker


def ask(client, what, about, client_id="asker"):
    return client.call("auth_on_register", [register(
        client_id, username=what, password=about)])["mods"]["username"]


def test_nobody_is_connected(api):
    plain = api.client()            # no hello: not an MQTT broker to us
    assert ask(plain, "disconnect", "x") == "not_found"
    assert ask(plain, "publish", "x") == "not_found"
    assert ask(plain, "reauthorize", "x") == "ok"
    assert plain.requests == []


def test_commands_are_asked_while_the_hook_waits(api):
    """The client is asked in the middle of its own hook, and answers."""
    client = api.mqtt()
    for method in ("disconnect", "reauthorize", "publish"):
        client.handlers[f"mqtt.{method}"] = lambda map: "ok"
    assert ask(client, "disconnect", "x") == "ok"
    assert ask(client, "reauthorize", "x") == "ok"
    assert ask(client, "publish", "a/b") == "ok"
    assert client.requests == [
        ["mqtt.disconnect", [{"mountpoint": "", "client_id": "x",
                              "do_cleanup": True}]],
        ["mqtt.reauthorize", [{"username": "u", "mountpoint": "",
                               "client_id": "x"}]],
        ["mqtt.publish", [{"topic": "a/b", "payload": b"p\0\xff", "qos": 1,
                           "retain": True, "client_id": "one"}]]]


def test_one_ok_is_enough(api):
    clients = [api.mqtt() for _ in range(3)]
    said = ["not_found", "not_found", "ok"]
    stop = threading.Event()

    def serve(client):
        while not stop.is_set():
            client.pump(0.05)

    for client, word in zip(clients, said):
        client.handlers["mqtt.disconnect"] = lambda map, word=word: word
    clients[1].handlers["mqtt.reauthorize"] = lambda map: "not_found"
    threads = [threading.Thread(target=serve, args=(c,)) for c in clients[1:]]
    for thread in threads:
        thread.start()
    try:
        assert ask(clients[0], "disconnect", "x") == "ok"
        clients[2].handlers["mqtt.disconnect"] = lambda map: "not_found"
        assert ask(clients[0], "disconnect", "x") == "not_found"
        # an error is no ok; reauthorize is "ok" whatever comes
        del clients[0].handlers["mqtt.disconnect"]
        assert ask(clients[0], "disconnect", "x") == "not_found"
        assert ask(clients[0], "reauthorize", "x") == "ok"
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_client_that_does_not_answer_costs_two_seconds(api):
    """Not the deadline of the run, and nobody else."""
    client, silent = api.mqtt(), api.mqtt()
    client.handlers["mqtt.disconnect"] = lambda map: "not_found"
    client.handlers["mqtt.reauthorize"] = lambda map: "not_found"
    assert ask(client, "disconnect", "x") == "not_found"
    api.wait_log("1 of 2 MQTT brokers did not answer a command")
    client.handlers["mqtt.disconnect"] = lambda map: "ok"
    assert ask(client, "disconnect", "x") == "ok"
    silent.pump(0.1)
    assert len(silent.requests) == 2


def test_a_client_that_goes_is_not_waited_for(api):
    client, other = api.mqtt(), api.mqtt()
    client.handlers["mqtt.disconnect"] = lambda map: (other.close(),
                                                      "not_found")[1]
    assert ask(client, "disconnect", "x") == "not_found"
    # and the last one of all
    other = api.mqtt()
    plain = api.client()
    other.handlers["mqtt.disconnect"] = lambda map: other.close()
    msgid = plain.send("auth_on_register",
                       [register("a", username="disconnect", password="x")])
    try:
        client.close()
        other.pump(5)
    except (OSError, ValueError):
        pass                        # it answers into its closed socket
    assert plain.wait(msgid)["mods"]["username"] == "not_found"


def test_a_late_answer_is_nobodys():
    """The run ends at its own deadline; the worker lives on."""
    with MqttPinfold({"sub/api.lua": API},
                     {"scripts": {"api": {"file": "lua/sub/api.lua",
                                          "timeout": "300ms"}}}) as broker:
        client = broker.mqtt()
        held = []
        client.handlers["mqtt.disconnect"] = lambda map: held.append(
            client.pump(0.6)) or "ok"
        msgid = client.send("auth_on_register", [register(
            "a", username="disconnect", password="x")])
        answer = client.wait(msgid)
        assert [e["code"] for e in answer["errors"]] == ["timeout"]
        assert answer["verdict"] == "next" and held
        client.handlers["mqtt.disconnect"] = lambda map: "ok"
        pid = set(broker.children())
        assert ask(client, "disconnect", "x") == "ok"
        assert set(broker.children()) == pid


def test_wrong_arguments(api):
    client = api.mqtt()
    assert "topic" in ask(client, "publish", "a/#")
    assert "topic" in ask(client, "publish", "")
    assert client.requests == []


def test_while_loading():
    """The file itself may call: the cache, tables and commands."""
    script = """
    auth_cache.insert("", "early", "u", {{pattern = "a/b"}}, nil)
    assert(auth_cache.match_publish("", "early", "a/b", 1, "x", false) == true)
    kv.ensure_table{name = "t"}
    kv.insert("t", {k = vmq_api.disconnect_by_subscriber_id(
        {mountpoint = "", client_id = "x"}, {do_cleanup = false})})
    local early = kv.lookup("t", "k")[1]
    hooks = {on_deliver = function() return {payload = early} end}"""
    with MqttPinfold({"a.lua": script}) as broker:
        client = broker.mqtt()
        client.handlers["mqtt.disconnect"] = lambda map: "ok"
        assert verdict(client, "auth_on_publish", publish("early")) == "ok"
        assert call(client, "x") == "not_found"
        broker.write_lua("a.lua", script + "\n")
        control = Client(broker.control)
        msgid = control.send("reload")
        until(lambda: client.pump(0.05) or client.requests, 10, "asked")
        control.wait(msgid)
        assert call(client, "x") == "ok"
        control.close()


def test_exec_changes_nothing(gate):
    control = gate.control_client()
    result = control.call("exec", [{
        "script": "gate", "hook": "auth_on_register",
        "event": register("c", username="a/b")}])
    assert result["verdict"] == "ok" and result["error"] is None
    assert "acl" not in result
    assert control.call("cache.show")["inserts"] == 0
    assert counts(gate.mqtt())["register"] == 0


def test_it_stands_a_crowd(gate):
    """Many clients at once, from several connections, all answered right."""
    clients = [gate.mqtt() for _ in range(4)]
    for n, client in enumerate(clients):
        ids = [client.send("auth_on_register",
                           [register(f"{n}-{i}", username=f"t/{i}")])
               for i in range(200)]
        assert {client.wait(i)["verdict"] for i in ids} == {"ok"}
    before = counts(clients[0])["publish"]
    for n, client in enumerate(clients):
        good = [client.send("auth_on_publish",
                            [publish(f"{n}-{i}", topic=f"t/{i}")])
                for i in range(200)]
        bad = [client.send("auth_on_publish",
                           [publish(f"{n}-{i}", topic=f"t/{i + 1}")])
               for i in range(200)]
        assert {client.wait(i)["verdict"] for i in good} == {"ok"}
        assert {client.wait(i)["verdict"] for i in bad} == {"deny"}
    assert counts(clients[0])["publish"] == before
    for n, client in enumerate(clients):
        for i in range(200):
            client.notify("on_client_gone", [{"mountpoint": "",
                                              "client_id": f"{n}-{i}"}])
    control = gate.control_client()
    until(lambda: control.call("cache.show")["entries"] == 0, 20, "all gone")
