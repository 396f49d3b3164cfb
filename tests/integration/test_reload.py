# SPDX-License-Identifier: Apache-2.0
"""Reload: new generations between events, broken ones refused."""

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "chaos"))

import chaos  # noqa: E402
import load  # noqa: E402
import reloads  # noqa: E402
from lib.fake_scripts import FAKE  # noqa: E402
from lib.pinfold import Pinfold  # noqa: E402
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


SAYS = """mut.req.set_header("X-V", config.say or "a")
kv.set("say", config.say or "a")"""


def test_settings_are_taken_over(pinfold):
    """Each alone makes a new generation of its script, and of no other."""
    broker = pinfold(scripts={"a": {"before_request": SAYS},
                              "b": {"before_request": sets("b")}},
                     settings={"a": {"config": {"say": "x"}}})
    client, control = broker.client(), broker.control_client()
    good = broker.config_file.read_text()

    def change(old, new):
        """Value of both, what came of `a`, its description."""
        assert old in good
        broker.write_config(good.replace(old, new, 1))
        rows = control.call("reload")
        assert result(rows, "b")["result"] == "kept"
        assert result(rows, "a")["result"] == "loaded"
        return value(client), control.call("script.show", ["a"])

    assert value(client) == ["x", "b"]
    assert change("say: \"x\"", "say: \"y\"")[0] == ["y", "b"]
    assert change("priority: 10", "priority: 30")[0] == ["b", "x"]
    more = "priority: 10\n      {}"
    values, shown = change("priority: 10", more.format("workers: 3"))
    assert values == ["x", "b"] and len(shown["workers"]) == 3
    control.call("kv.delete", ["say"])
    change("priority: 10", more.format("grants: {kv: {write: [\"other/\"]}}"))
    assert control.call("kv.get", ["say"]) is None
    change("priority: 10", more.format("timeout: 150ms\n      on_error: skip"))
    broker.write_script("a", "before_request", "while true do end")
    assert result(control.call("reload"), "a")["result"] == "loaded"
    answer = client.call("before_request", [{"id": "1"}])
    assert [error["code"] for error in answer["errors"]] == ["timeout"]
    broker.write_script("a", "before_request", SAYS)
    broker.write_config(good)
    control.call("reload")
    assert value(client) == ["x", "b"]
    assert control.call("kv.get", ["say"]) == b"x"


def test_what_needs_a_new_start_is_told(pinfold):
    broker = pinfold(scripts={"a": {"before_request": sets("a")}})
    control = broker.control_client()
    broker.write_config(broker.config_file.read_text() + "hook_timeout: 3s\n")
    assert result(control.call("reload"), "a")["result"] == "kept"
    broker.wait_log("what else is new in the file needs a new start")


def test_all_scripts_can_be_switched_off(pinfold):
    broker = pinfold(scripts={"a": {"before_request": sets("a")}})
    client, control = broker.client(hello=True), broker.control_client()
    good = broker.config_file.read_text()
    broker.write_config(good.replace("enabled: true", "enabled: false", 1))
    assert result(control.call("reload"), "a")["result"] == "removed"
    assert client.wait_notification("hooks")[0] == {}
    assert value(client) == []
    until(lambda: len(broker.children()) == 1, 10, "only the spare is left")
    broker.write_config(good)
    assert result(control.call("reload"), "a")["result"] == "loaded"
    assert value(client) == ["a"]


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


SLOW = """
import os, time
def load(w, id):
    open(DIR + "/loading", "w").close()
    while not os.path.exists(DIR + "/go"):
        time.sleep(0.01)
def run(w, id, p): w.answer(id, [["req.set_header", "X-V", "VALUE"]])
"""


def slow_reload(pinfold, tmp_path):
    """A broker in the middle of a reload, which goes on once tmp_path/go is
    there; and the text of a script with that value."""
    def text(value):
        return SLOW.replace("DIR", repr(str(tmp_path))).replace("VALUE", value)

    (tmp_path / "go").touch()
    broker = pinfold({"worker": str(FAKE)}, {"a": {"before_request": text("1")},
                                             "b": {"close": "run = None"}})
    for name in ("go", "loading"):
        (tmp_path / name).unlink()
    broker.write_script("a", "before_request", text("2"))
    os.kill(broker.pid, signal.SIGHUP)
    until((tmp_path / "loading").exists, 30, "the reload has begun")
    return broker, text


def test_a_sighup_during_a_reload_is_not_lost(pinfold, tmp_path):
    broker, text = slow_reload(pinfold, tmp_path)
    client = broker.client()
    for n in ("3", "4"):        # both are answered by one more reload
        broker.write_script("a", "before_request", text(n))
        os.kill(broker.pid, signal.SIGHUP)
    until(lambda: "after this one" in broker.log(), 10)
    assert value(client) == ["1"]
    (tmp_path / "go").touch()
    until(lambda: value(client) == ["4"], 30, "the last version serves")


def test_a_sighup_while_it_starts_is_not_lost(pinfold, tmp_path):
    text = SLOW.replace("DIR", repr(str(tmp_path)))
    broker = Pinfold({"worker": str(FAKE)},
                     {"a": {"before_request": text.replace("VALUE", "1")}})
    broker.spawn()
    until((tmp_path / "loading").exists, 30, "it starts")
    broker.write_script("a", "before_request", text.replace("VALUE", "2"))
    os.kill(broker.pid, signal.SIGHUP)
    (tmp_path / "go").touch()
    until(lambda: "ready" in broker.stdout, 30, "it serves")
    client = broker.client()
    until(lambda: value(client) == ["2"], 30, "what is there now serves")
    broker.close()


def test_a_command_during_a_reload_is_refused_and_changes_nothing(
        pinfold, tmp_path):
    broker, _ = slow_reload(pinfold, tmp_path)
    client, control = broker.client(), broker.control_client()
    for method, params in (("reload", []), ("script.reload", ["a"]),
                           ("script.disable", ["a"])):
        assert control.error(method, params).code == "overloaded"
    (tmp_path / "go").touch()
    until(lambda: value(client) == ["2"], 30, "the reload is through")
    assert result(control.call("reload"), "a")["result"] == "kept"
    assert value(client) == ["2"]


def test_an_end_during_a_reload(pinfold, tmp_path):
    broker, _ = slow_reload(pinfold, tmp_path)
    client, control = broker.client(), broker.control_client()
    assert value(client) == ["1"]
    broker.process.send_signal(signal.SIGTERM)
    assert broker.wait_exit() == 0


def test_a_reload_that_the_end_cuts_short_says_so(pinfold, tmp_path):
    (tmp_path / "go").touch()
    text = SLOW.replace("DIR", repr(str(tmp_path))).replace("VALUE", "1")
    broker = pinfold({"worker": str(FAKE)}, {"a": {"before_request": text}})
    (tmp_path / "go").unlink()
    control = broker.control_client()
    reload = control.send("script.reload", ["a"])
    broker.control_client().call("status")
    broker.process.send_signal(signal.SIGTERM)
    assert control.wait_error(reload).code == "shutting_down"
    assert broker.wait_exit() == 0


def test_a_command_that_failed_has_no_effect_later(pinfold):
    broker = pinfold(scripts={"a": {"before_request": sets("a")}})
    client, control = broker.client(), broker.control_client()
    good = broker.config_file.read_text()
    broker.write_config(good + "nonsense: 1\n")
    assert "nonsense" in control.error("script.disable", ["a"]).message
    broker.write_config(good)
    assert result(control.call("reload"), "a")["result"] == "kept"
    assert value(client) == ["a"]


def test_unknown_names_are_told(pinfold):
    broker = pinfold({"luaplugin": {"scripts": {"b": {"enabled": False}}}},
                     scripts={"a": {"before_request": sets("a")},
                              "b": {"before_request": sets("b")}})
    control = broker.control_client()
    for method in ("script.enable", "script.disable", "script.reload",
                   "script.restart"):
        error = control.error(method, ["blocker"])
        assert error.code == "unavailable" and "no such script" in error.message
    # Known, and as it is already: no mistake.
    assert result(control.call("script.enable", ["a"]), "a")["result"] == "kept"
    control.call("script.disable", ["b"])


def test_restarts_under_load():
    """Each takes at most the lanes of the workers that it replaces with it."""
    scripts = {"hit": {"before_request": chaos.ANSWER},
               "left": {"close": chaos.ANSWER}}
    settings = {"hit": {"concurrency": chaos.CONCURRENCY, "workers": 2},
                "left": {"concurrency": chaos.CONCURRENCY}}
    with Pinfold({"log": {"level": "warn"}}, scripts, settings) as broker:
        loads = [chaos.Load(broker, f"c{i}") for i in range(3)]
        for one in loads:
            one.start()
        control = broker.control_client(timeout=30)
        for _ in range(20):
            assert control.call("script.restart", ["hit"]) is True
            time.sleep(0.05)
        assert load.finish(loads) + chaos.judge(loads, 20 * 2, print) == []
        assert "breaker" not in broker.log()


class Passed(chaos.Load):
    """Of the script that comes and goes an event without ops is right, too."""

    def took(self, n, hook, error, result):
        if hook == "before_request" and not error and not result["ops"]:
            result["ops"] = [["req.set_header", "X-R", f"/{self.name_}/{n}"]]
            self.passed = True
        super().took(n, hook, error, result)


def test_a_script_comes_and_goes_under_load():
    """No event fails by it, of that script or of another."""
    scripts = {"hit": {"before_request": chaos.ANSWER},
               "left": {"close": chaos.ANSWER}}
    with Pinfold({"log": {"level": "warn"}}, scripts) as broker:
        loads = [Passed(broker, f"c{i}") for i in range(3)]
        for one in loads:
            one.start()
        control = broker.control_client(timeout=30)
        for _ in range(15):
            for word, verdict in (("disable", "removed"), ("enable", "loaded")):
                rows = control.call(f"script.{word}", ["hit"])
                assert result(rows, "hit")["result"] == verdict
                time.sleep(0.02)
        wrong = load.finish(loads)
        assert wrong == [] and all(one.passed for one in loads)
        assert not any(one.failed[hook] for one in loads for hook in one.failed)
        until(lambda: len(broker.children()) <= 3, 30, "old workers have ended")


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
