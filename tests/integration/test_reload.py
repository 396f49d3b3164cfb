# SPDX-License-Identifier: Apache-2.0
"""Reload: new generations between events, broken ones refused."""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "chaos"))

import reloads  # noqa: E402
from lib.wait import until  # noqa: E402


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


def test_reloads_under_load_lose_nothing():
    """R13; `make soak` has two hundred."""
    assert reloads.run(times=40, seed=20261122) == []


def test_the_verdict_on_reloads_can_fail():
    """Negative control: an answer of two versions, one of a broken one."""
    good = {("1", "1"), ("2", "2")}
    assert reloads.judge(good, 4) == []
    assert reloads.judge(good | {("1", "2")}, 4)
    assert reloads.judge(good | {("4", "4")}, 4)
    assert reloads.judge(good, 200)
