# SPDX-License-Identifier: Apache-2.0
"""Reload: new generations between events, broken ones refused."""

import os
import signal
import threading

from lib.wait import until


def sets(value):
    return f"mut.req.set_header('X-V', '{value}')"


def value(client, id="1", hook="before_request"):
    ops = client.call(hook, [{"id": id, "req": {"path": "/"}}])["ops"]
    return [op[2] for op in ops]


def result(rows, name):
    return next(row for row in rows if row["name"] == name)


def test_a_changed_script_gets_a_new_generation(pinfold):
    broker = pinfold(scripts={"a": {"before_request": sets(1)},
                              "b": {"before_request": sets("b")}})
    client, control = broker.client(), broker.control_client()
    assert value(client) == ["1", "b"]
    before = {s["name"]: s for s in control.call("status")["scripts"]}
    broker.write_script("a", "before_request", sets(2))
    rows = control.call("reload")
    assert result(rows, "a")["result"] == "loaded"
    assert result(rows, "b")["result"] == "kept"
    assert value(client) == ["2", "b"]
    after = {s["name"]: s for s in control.call("status")["scripts"]}
    assert after["a"]["generation"] > before["a"]["generation"]
    assert after["b"]["workers"][0]["pid"] == before["b"]["workers"][0]["pid"]
    old = before["a"]["workers"][0]["pid"]
    until(lambda: old not in broker.children(), 5, "the old worker ends")


def test_a_broken_script_is_refused_and_the_old_one_goes_on(pinfold):
    broker = pinfold(scripts={"a": {"before_request": sets(1)}})
    client, control = broker.client(), broker.control_client()
    broker.write_script("a", "before_request", "\nmut.req.(")
    row = result(control.call("reload"), "a")
    assert row["result"] == "refused"
    assert "a/before_request.lua:2:" in row["why"]
    assert value(client) == ["1"]
    broker.write_script("a", "before_request", sets(3))
    assert result(control.call("reload"), "a")["result"] == "loaded"
    assert value(client) == ["3"]


def test_a_broken_file_changes_nothing(pinfold):
    broker = pinfold(scripts={"a": {"before_request": sets(1)}})
    client, control = broker.client(), broker.control_client()
    good = broker.config_file.read_text()
    broker.write_config(good + "nonsense: 1\n")
    error = control.error("reload")
    assert "nonsense" in error.message
    assert value(client) == ["1"]
    broker.write_config(good)
    control.call("reload")


def test_sighup_reloads_and_clients_hear_of_hooks(pinfold):
    broker = pinfold(scripts={"a": {"before_request": sets(1)}})
    client = broker.client(hello=True)
    broker.write_script("a", "close", "")
    os.kill(broker.pid, signal.SIGHUP)
    hooks = client.wait_notification("hooks")[0]
    assert set(hooks) == {"before_request", "close"}


def test_scripts_come_and_go(pinfold):
    broker = pinfold({"luaplugin": {"scripts": {"b": {"enabled": False}}}},
                     scripts={"a": {"before_request": sets("a")},
                              "b": {"before_request": sets("b")}})
    client, control = broker.client(), broker.control_client()
    assert value(client) == ["a"]
    assert result(control.call("script.enable", ["b"]), "b")["result"] == \
        "loaded"
    assert value(client) == ["a", "b"]
    assert result(control.call("script.disable", ["a"]), "a")["result"] == \
        "removed"
    assert value(client) == ["b"]
    old = control.call("script.show", ["b"])["workers"][0]["pid"]
    control.call("script.restart", ["b"])
    until(lambda: old not in broker.children(), 5, "the worker is replaced")
    assert value(client) == ["b"]
    rows = control.call("script.reload", ["b"])
    assert result(rows, "b")["result"] == "loaded"
    assert control.error("script.reload", ["zz"]).code == "unavailable"


def test_reloads_under_load_lose_nothing(pinfold):
    broker = pinfold(scripts={"a": {"before_request": sets(0)}})
    control = broker.control_client()
    stop, seen, failures = threading.Event(), set(), []

    def load():
        client, n = broker.client(), 0
        while not stop.is_set():
            sent = [client.send("before_request",
                                [{"id": str(i), "req": {"path": "/"}}])
                    for i in range(32)]
            for msgid in sent:
                try:
                    got = client.wait(msgid)["ops"]
                    assert len(got) == 1
                    seen.add(got[0][2])
                except Exception as error:      # told by the assertion below
                    failures.append(error)
                n += 1

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for i in range(1, 41):
            broken = i % 4 == 0
            broker.write_script("a", "before_request",
                                "(" if broken else sets(i))
            row = result(control.call("reload"), "a")
            assert row["result"] == ("refused" if broken else "loaded")
    finally:
        stop.set()
        thread.join(30)
    assert not failures, failures[:3]
    assert "39" in seen and not seen & {str(i) for i in range(0, 41, 4) if i}
    assert len(broker.children()) <= 3
    assert broker.stop() == 0
