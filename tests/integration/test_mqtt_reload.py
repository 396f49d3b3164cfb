# SPDX-License-Identifier: Apache-2.0
"""One-file scripts while they are loaded, reloaded and unloaded."""

import subprocess

import pytest

from lib.fake_scripts import FAKE
from lib.mqtt_scripts import MqttPinfold, publish, register
from lib.pinfold import program
from lib.wait import until

OK = 'hooks = {auth_on_register = function() return true end}'
DENY = 'hooks = {auth_on_register = function() return false end}'
BOTH = '''hooks = {auth_on_register = function() return true end,
                   auth_on_publish = function() return {topic = "x"} end}'''
BROKEN = "hooks = {}\nthis is no Lua"
RAISES = "hooks = {}\nerror('not today')"


@pytest.fixture
def broker():
    started = []

    def start(*args, **kwargs):
        p = MqttPinfold(*args, **kwargs)
        started.append(p)
        return p.start()

    yield start
    for p in started:
        p.close()


def ask(client, hook="auth_on_register", event=None):
    return client.call(hook, [event or register()])["verdict"]


def rows(result):
    return {row["name"]: row["result"] for row in result}


# --- at the start

@pytest.mark.parametrize("text", [BROKEN, RAISES, "num_states = -1",
                                  "keep_state = 5", "num_states = 1025"])
def test_a_script_that_is_broken_at_the_start_denies(broker, text):
    p = broker({"a.lua": text, "b.lua": OK})
    client = p.mqtt()
    answer = client.call("auth_on_register", [register()])
    assert answer["verdict"] == "ok", "the next script is asked"
    assert [e["code"] for e in answer["errors"]] == ["unavailable"]
    answer = client.call("auth_on_publish", [publish()])
    assert answer["verdict"] == "next"
    assert [e["code"] for e in answer["errors"]] == ["unavailable"]
    p.wait_log(r"script=a cannot be loaded and is unavailable: ")


def test_the_error_of_loading_has_file_and_line(broker):
    p = broker({"auth/a.lua": "\n\nerror('not today')"},
               {"scripts": {"a": {"file": "auth/a.lua"}}})
    script = p.control_client().call("script.show", ["a"])
    assert script["state"] == "unavailable"
    assert script["why"].startswith("auth/a.lua:3: not today"), script["why"]


def test_a_file_that_is_missing_ends_the_start():
    p = MqttPinfold({}, {"scripts": {"a": {"file": "missing.lua"}}})
    try:
        p.spawn()
        assert p.wait_exit() == 78
        assert "missing.lua: No such file" in p.log(), p.log()
    finally:
        p.close()


def test_loading_is_a_run_whose_effects_commit(broker):
    p = broker({"a.lua": """
kv.set("a", "1")
assert(kv.get("a") == "1")
assert(kv.incr("n") == 1)
bus.emit("loaded", {by = "a"})
hooks = {}""", "b.lua": """
kv.set("b", "1")
error("nothing of this stays")"""})
    values = p.control_client().call("kv.list", ["", "mqtt"])
    assert values == {b"a": b"1", b"n": b"1"}


def test_states_are_spread_over_workers(broker):
    p = broker({"a.lua": """
num_states = 5
hooks = {auth_on_register = function(reg)
    return {username = tostring(__SCRIPT_INSTANCE_ID__)}
end}"""}, {"scripts": {"a": {"file": "a.lua", "workers": 2}}})
    client = p.mqtt()
    sent = [client.send("auth_on_register", [register(f"c{i}")])
            for i in range(200)]
    ids = {int(client.wait(m)["mods"]["username"]) for m in sent}
    assert ids <= set(range(1, 7)) and len(ids) >= 2, ids
    assert len(p.control_client().call("script.show", ["a"])["workers"]) == 2


def test_a_load_that_never_ends_is_ended(broker):
    p = broker({"a.lua": "while true do end"}, None,
               {"load_timeout": "300ms"})
    assert ask(p.mqtt()) == "next"
    script = p.control_client().call("script.show", ["a"])
    assert "hooks" in script and "auth_on_register" in script["hooks"]


def test_the_log_tells_where_a_load_was_stuck(broker):
    """It has a fifth of load_timeout to say so, as a run has of its own."""
    p = broker({"a.lua": "local t = {} for i = 1, 300000 do t[i] = i end "
                         "while true do table.sort(t) end"}, None,
               {"load_timeout": "3s"})
    p.wait_log(r"script=a cannot be loaded .*a\.lua:1:", 20)


# --- reload

def test_reload_reads_hooks_again_and_tells_clients(broker):
    p = broker({"a.lua": OK})
    client, control = p.mqtt(), p.control_client()
    assert ask(client, "auth_on_publish", publish()) == "next"
    p.write_lua("a.lua", BOTH)
    assert rows(control.call("reload")) == {"a": "loaded"}
    hooks = client.wait_notification("hooks")[0]
    assert set(hooks) == {"auth_on_register", "auth_on_publish"}
    assert ask(client, "auth_on_publish", publish()) == "ok"
    p.write_lua("a.lua", DENY)
    control.call("reload")
    assert set(client.wait_notification("hooks")[0]) == {"auth_on_register"}
    assert ask(client) == "deny"
    assert ask(client, "auth_on_publish", publish()) == "next"
    assert rows(control.call("reload")) == {"a": "kept"}


@pytest.mark.parametrize("text", [BROKEN, RAISES])
def test_a_broken_reload_keeps_the_old_version(broker, text):
    p = broker({"a.lua": OK})
    client = p.mqtt()
    p.write_lua("a.lua", text)
    row, = p.control_client().call("reload")
    assert row["result"] == "refused"
    assert row["why"].startswith("a.lua:2:"), row
    assert ask(client) == "ok"


def test_a_script_that_was_broken_is_mended(broker):
    p = broker({"a.lua": BROKEN})
    client = p.mqtt()
    assert ask(client) == "next"
    p.write_lua("a.lua", OK)
    assert rows(p.control_client().call("reload")) == {"a": "loaded"}
    assert ask(client) == "ok"
    assert set(client.hello()["hooks"]) == {"auth_on_register"}


def test_files_that_come_and_go(broker):
    p = broker({"a.lua": OK})
    control = p.control_client()
    p.write_lua("0.lua", DENY)
    assert rows(control.call("reload")) == {"0": "loaded", "a": "loaded"}, \
        "a could require the new file"
    assert ask(p.mqtt()) == "deny"
    (p.dir / "lua" / "0.lua").unlink()
    assert rows(control.call("reload"))["0"] == "removed"
    assert ask(p.mqtt()) == "ok"


def test_a_module_is_part_of_its_script(broker):
    p = broker({"a.lua": 'require "sub/verdict"\nhooks = {auth_on_register ='
                         ' function() return verdict end}',
                "sub/verdict.lua": "verdict = true"})
    client = p.mqtt()
    assert ask(client) == "ok"
    p.write_lua("sub/verdict.lua", "verdict = false")
    assert rows(p.control_client().call("reload")) == {"a": "loaded"}
    assert ask(client) == "deny"


# --- script load, reload, unload, show

def run(p, *words):
    return subprocess.run([program("pinfold"), "-s", str(p.control), *words],
                          capture_output=True, text=True, timeout=60,
                          cwd=p.dir)


def test_load_and_unload_by_path(broker):
    p = broker({"a.lua": "hooks = {}", "sub/late.lua": OK})
    client, path = p.mqtt(), p.lua("sub/late.lua")
    assert ask(client) == "next"
    done = run(p, "script", "load", "lua/sub/late.lua")
    assert (done.returncode, done.stdout) == (0, "late: loaded\n"), done
    assert ask(client) == "ok"
    assert "auth_on_register" in client.wait_notification("hooks")[0]
    again = run(p, "script", "load", path)
    assert again.returncode == 1 and "loaded already" in again.stderr, again
    done = run(p, "script", "unload", path)
    assert (done.returncode, done.stdout) == (0, "late: removed\n"), done
    assert ask(client) == "next"
    again = run(p, "script", "unload", path)
    assert again.returncode == 1 and "no script of that file" in again.stderr
    assert run(p, "script", "load", path).returncode == 0
    p.restart()
    assert ask(p.mqtt()) == "next", "commands last until the next start"


def test_a_script_of_the_file_can_be_unloaded_and_loaded(broker):
    p = broker({"a.lua": OK})
    client = p.mqtt()
    assert run(p, "script", "unload", "lua/a.lua").returncode == 0
    assert ask(client) == "next"
    p.control_client().call("reload")
    assert ask(client) == "next", "until it is loaded again"
    assert run(p, "script", "load", "lua/a.lua").returncode == 0
    assert ask(client) == "ok"


def test_load_of_a_broken_file_fails_and_leaves_nothing(broker):
    p = broker({"a.lua": "hooks = {}", "sub/late.lua": BROKEN})
    done = run(p, "script", "load", "lua/sub/late.lua")
    assert done.returncode == 1
    assert done.stdout.startswith("late: refused: sub/late.lua:2:"), done
    listed = p.control_client().call("script.list")
    assert [s["name"] for s in listed] == ["a"]
    p.write_lua("sub/late.lua", OK)
    assert run(p, "script", "load", "lua/sub/late.lua").returncode == 0
    assert ask(p.mqtt()) == "ok"


@pytest.mark.parametrize("path, message", [
    ("lua/none.lua", "there is no such file"), ("lua/a.txt", ".lua file"),
    ("lua/sub/a.lua", "another script of that name")])
def test_load_of_what_cannot_be_loaded(broker, path, message):
    p = broker({"a.lua": OK, "a.txt": "", "sub/a.lua": OK})
    done = run(p, "script", "load", path)
    assert done.returncode == 1 and message in done.stderr, done
    assert rows(p.control_client().call("reload")) == {"a": "kept"}


def test_reload_by_path_says_what_is_broken(broker):
    p = broker({"a.lua": OK, "b.lua": "hooks = {}"})
    client = p.mqtt()
    p.write_lua("a.lua", BROKEN)
    done = run(p, "script", "reload", "lua/a.lua")
    assert done.returncode == 1
    assert done.stdout.startswith("a: refused: a.lua:2:"), done
    assert ask(client) == "ok"
    p.write_lua("a.lua", DENY)
    done = run(p, "script", "reload", "lua/a.lua")
    assert (done.returncode, done.stdout) == (0, "a: loaded\n")
    assert ask(client) == "deny"


def test_show_counts_per_hook(broker):
    p = broker({"a.lua": """
hooks = {auth_on_register = function() return true end,
         auth_on_publish = function() error("x") end}"""})
    client = p.mqtt()
    for _ in range(3):
        ask(client)
    ask(client, "auth_on_publish", publish())
    script = p.control_client().call("script.show", [p.lua("a.lua")])
    assert script["file"] == p.lua("a.lua") and script["dialect"] == "mqtt"
    calls = script["calls"]
    assert calls["auth_on_register"]["calls"] == 3
    assert calls["auth_on_register"]["errors"] == 0
    assert calls["auth_on_publish"] == {
        **calls["auth_on_publish"], "calls": 1, "errors": 1}
    assert calls["auth_on_register"]["p99_us"] >= \
        calls["auth_on_register"]["p50_us"] >= 1
    done = run(p, "script", "show", "lua/a.lua")
    assert done.returncode == 0, done
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == "SCRIPT HOOK CALLS ERRORS P50US P99US QUEUE".split()
    assert ["a", "auth_on_register", "3", "0"] in [l[:4] for l in lines]
    assert run(p, "script", "show").stdout == done.stdout


def test_kv_of_the_mqtt_space_from_the_command_line(broker):
    p = broker({"a.lua": 'kv.set("k", "v")\nhooks = {}'})
    assert run(p, "kv", "get", "k").returncode == 1
    assert run(p, "kv", "get", "--mqtt", "k").stdout == "v"
    assert run(p, "kv", "set", "--mqtt", "k", "w").returncode == 0
    assert run(p, "kv", "incr", "--mqtt", "n", "2").stdout == "2\n"
    assert run(p, "kv", "list", "--mqtt").stdout.split() == \
        ["k", "w", "n", "2"]
    assert run(p, "kv", "delete", "--mqtt", "k").returncode == 0
    assert run(p, "kv", "list").stdout == ""
    p._write(p.dir / "file", "content")
    assert run(p, "artifacts", "write", "--mqtt", "x", "file").returncode == 0
    assert run(p, "artifacts", "ls").stdout == ""
    assert run(p, "artifacts", "cat", "--mqtt", "x").stdout == "content"
    assert run(p, "artifacts", "delete", "--mqtt", "x").returncode == 0
    assert run(p, "artifacts", "ls", "--mqtt").stdout == ""


# --- check

def test_check_loads_scripts_of_both_dialects():
    p = MqttPinfold({"a.lua": """
kv.ensure_table{name = "t", type = "set"}
kv.insert("t", {a = 1})
kv.set("x", "y")
postgres.ensure_pool{pool_id = "p", password = "hunter2"}
hooks = {auth_on_register = function() end}""", "b.lua": BROKEN,
                     "c.lua": """
postgres.ensure_pool{pool_id = "p"}
assert(postgres.execute("p", "SELECT 1"))"""},
                    {"auth_mysql": {"password": "hunter2"}},
                    scripts={"web": {"close": ""}})
    try:
        done = subprocess.run([program("pinfoldd"), "-c", p.config_file,
                               "--check"], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 78, done
        assert "a: ok, hooks: auth_on_register\n" in done.stdout
        assert "b: b.lua:2: " in done.stdout
        assert "c: ok as far as a trial can tell: c.lua:3: " in done.stdout
        assert "web: ok, hooks: close\n" in done.stdout
        assert "hunter2" not in done.stdout + done.stderr
        assert not (p.dir / "data").exists()
    finally:
        p.close()


def test_passwords_of_the_configuration_reach_no_log_and_no_answer(broker):
    p = broker({"a.lua": """
hooks = {auth_on_register = function()
    log.info("is it hunter2000?")
    error("it was hunter2000!")
end}"""}, {"auth_mysql": {"host": "h", "password": "hunter2000"}})
    p.mqtt().call("auth_on_register", [register()])
    p.wait_log(r"is it \[redacted\]\?")
    p.wait_log(r"it was \[redacted\]!")
    assert "hunter2000" not in p.log()
    assert "hunter2000" not in str(p.control_client().call("status"))


# --- workers that lie

LIES = {
    "no_hooks": 'LOADED = {"lanes": 1}',
    "no_lanes": 'LOADED = {"hooks": []}',
    "lanes_of_zero": 'LOADED = {"hooks": [], "lanes": 0}',
    "hook_of_http": 'LOADED = {"hooks": [1], "lanes": 1}',
    "hook_of_nothing": 'LOADED = {"hooks": [200], "lanes": 1}',
    "no_map": 'LOADED = 7',
    "effects_that_are_none":
        'LOADED = {"hooks": [], "lanes": 1, "effects": b"\\xc1"}',
    "a_question_of_nobody":
        'def load(w, id): w.call("kv.get", id + 1, "a")',
}


@pytest.mark.parametrize("lie", LIES)
def test_a_worker_that_lies_about_loading_is_ended(broker, lie):
    p = broker({"a.lua": LIES[lie]}, None, {"worker": FAKE})
    p.wait_log(r"worker ended script=a .*cause=protocol")
    assert ask(p.mqtt()) == "next"
    assert p.process.poll() is None


def test_too_many_lanes_are_refused(broker):
    p = broker({"a.lua": 'HOOKS = []\nLANES = 600'},
               {"scripts": {"a": {"file": "a.lua", "workers": 2}}},
               {"worker": FAKE})
    assert "num_states" in p.control_client().call(
        "script.show", ["a"])["why"]


VERDICTS = {
    "no_array": "b'\\xc0'",
    "unknown_verdict": "b'\\x93\\x07\\xc0\\xc0'",
    "mods_that_no_hook_has": "msgpack.packb([1, None, {'x': 1}])",
    "mods_of_wrong_type": "msgpack.packb([1, None, {'username': 1}])",
    "cut": "b'\\x93\\x01'",
}


@pytest.mark.parametrize("name", VERDICTS)
def test_a_verdict_that_is_none_ends_the_worker(broker, name):
    p = broker({"a.lua": f"""
import msgpack
HOOKS = ["auth_on_register"]
def run(w, id, p):
    w.send([1, id, None, [{VERDICTS[name]}, 0, None, 0]])
"""}, None, {"worker": FAKE})
    answer = p.mqtt().call("auth_on_register", [register()])
    assert answer["verdict"] == "next"
    assert [e["code"] for e in answer["errors"]] == ["crashed"]
    p.wait_log(r"worker ended script=a .*cause=protocol")


def test_a_script_that_was_given_up_and_loads_at_last(broker, tmp_path):
    """Five workers end while loading; a later one says its hooks."""
    count = tmp_path / "count"
    p = broker({"a.lua": f"""
import os
HOOKS = ["auth_on_register"]
def load(w, id):
    with open({str(count)!r}, "ab") as f:
        f.write(b"x")
    if os.path.getsize({str(count)!r}) < 7:
        os._exit(1)
def run(w, id, p):
    w.verdict(id, "ok")
"""}, None, {"worker": FAKE})
    client = p.mqtt()
    until(lambda: ask(client) == "ok", 30, "the script serves")
    assert set(client.hello()["hooks"]) == {"auth_on_register"}


# --- a server that is away while a script is loaded

def test_a_script_whose_server_was_away_is_loaded_when_it_is_back(broker, tmp_path):
    gateway = tmp_path / "gw"
    gateway.symlink_to("/bin/false")
    text = "bcrypt.gen_salt()\n" + OK
    p = broker({"a.lua": text}, None, {"gateway": str(gateway)})
    client = p.mqtt()
    answer = client.call("auth_on_register", [register()])
    assert answer["verdict"] == "next"
    assert [e["code"] for e in answer["errors"]] == ["unavailable"]
    gateway.unlink()
    gateway.symlink_to(program("pinfold-gateway"))
    until(lambda: ask(client) == "ok", 60, "the script is loaded")
    assert set(client.hello()["hooks"]) == {"auth_on_register"}
    assert "why" not in p.control_client().call("script.show", ["a"])


def test_a_load_that_hangs_holds_the_start_up_once(broker):
    p = broker({"a.lua": "while true do end", "b.lua": OK}, None,
               {"load_timeout": "1500ms"})
    answer = p.mqtt().call("auth_on_register", [register()])
    assert answer["verdict"] == "ok"
    assert [e["code"] for e in answer["errors"]] == ["unavailable"]
    assert p.log().count("cause=load_timeout") <= 2


# --- ends at bad moments

EFFECT = "__import__('msgpack').packb(['kv.set', 'k', 'v', 0])"


def test_a_worker_that_ends_while_its_effects_are_committed(broker):
    p = broker({"a.lua": f"""
import os
def load(w, id):
    w.send([1, id, None, {{"hooks": [], "lanes": 1, "effects": {EFFECT}}}])
    os._exit(0)
""", "b.lua": 'HOOKS = ["auth_on_register"]\n'
                  'def run(w, id, p): w.verdict(id, "ok")'},
               None, {"worker": FAKE})
    assert ask(p.mqtt()) == "ok"
    until(lambda: p.control_client().call("kv.get", ["k", "mqtt"]) == b"v",
          10, "what was committed stays")


def test_a_worker_that_ends_with_a_question_of_its_loading_open(broker):
    p = broker({"a.lua": """
import os
def load(w, id):
    for i in range(20):
        w.send([0, i + 1, "kv.incr", [id, "n", 1]])
        os._exit(0)
""", "b.lua": 'HOOKS = ["auth_on_register"]\n'
              'def run(w, id, p): w.verdict(id, "ok")'},
               None, {"worker": FAKE})
    assert ask(p.mqtt()) == "ok"


def test_a_stop_while_scripts_are_loaded():
    p = MqttPinfold({"a.lua": 'kv.set("a", "b")\nwhile true do end'})
    try:
        p.spawn()
        until(lambda: "pinfold-worker" in p.children().values(), 10, "worker")
        assert p.stop() == 0
    finally:
        p.close()


def test_a_stop_while_a_script_is_reloaded(broker):
    p = broker({"a.lua": OK})
    p.write_lua("a.lua", "kv.incr('n')\nwhile true do end")
    control = p.control_client()
    control.send("reload")
    until(lambda: control.call("kv.get", ["n", "mqtt"]), 10, "it is loaded")
    assert ask(p.mqtt()) == "ok"
    assert p.stop() == 0


def test_load_while_a_reload_is_under_way(broker):
    p = broker({"a.lua": OK, "sub/b.lua": OK})
    p.write_lua("a.lua", "kv.incr('n')\nwhile true do end")
    control = p.control_client()
    control.send("reload")
    until(lambda: control.call("kv.get", ["n", "mqtt"]), 10, "it is loaded")
    error = p.control_client().error("script.load", [p.lua("sub/b.lua")])
    assert error.code == "overloaded"


# --- exec

def test_exec_of_an_mqtt_hook(broker):
    p = broker({"a.lua": """
hooks = {auth_on_register = function(reg)
    kv.set("k", "v")
    log.info("tried")
    if reg.client_id == "c" then return {username = "x"} end
    return false
end}"""})
    control = p.control_client()

    def execute(client_id):
        return control.call("exec", [{"script": "a", "hook": "auth_on_register",
                                      "event": register(client_id)}])

    result = execute("c")
    assert (result["verdict"], result["mods"]) == ("ok", {"username": "x"})
    assert result["ops"] == [] and result["finished"] is False
    assert result["effects"] == [["kv.set", "k", b"v", 0]]
    assert [log[1] for log in result["logs"]] == ["tried"]
    result = execute("d")
    assert (result["verdict"], result["reason"]) == ("deny",
                                                     "invalid_credentials")
    assert control.call("kv.get", ["k", "mqtt"]) is None
    p._write(p.dir / "event.json", '{"client_id": "c", "mountpoint": ""}')
    done = run(p, "exec", "a", "auth_on_register", "event.json")
    assert done.returncode == 0 and "verdict: ok" in done.stdout, done
