# SPDX-License-Identifier: Apache-2.0
"""Every command of `pinfold` on a real broker: what it does, that its --json is
JSON, and with which code it ends."""

import json
import os
import pty
import re
import shutil
import subprocess
import threading

import pytest

from lib.pinfold import ROOT, Pinfold, program
from lib.rpc import lazy
from lib.wait import until

TIMEOUT = 60.0
WRITER = """
kv.set("path", ctx.req.path)
kv.delete("gone")
bus.emit("seen", {path = ctx.req.path})
artifacts.write("d/last.txt", ctx.req.body or "")
log.warn("looking", {n = 1})
mut.req.set_header("X-Seen", tostring(kv.get("before")))
"""
SETTINGS = """
mut.req.set_header("X-Config", json.encode(config))
config.limit = "written by the script"
mut.req.set_header("X-Limit", tostring(config.limit))
config.limit = nil
"""
SCRIPTS = {
    "writer": {"before_request": WRITER},
    "fails": {"before_response": "local x = nil\nreturn x.y",
              "error": "kv.set('told', err.msg)"},
    "counts": {"connect": "local n, why = kv.incr('n')\n"
                          "log.info(tostring(n) .. ' ' .. tostring(why))\n"
                          "local ok, w2 = kv.cas('c', nil, 'x')\n"
                          "log.info(tostring(ok) .. ' ' .. tostring(w2))"},
    "fresh": {"before_request": SETTINGS},
    "kept": {"after_request": SETTINGS},
}
CONFIG = {"limit": 3, "path": "/p", "deep": {"a": [1, 2]}}
OPTIONS = {"fresh": {"config": CONFIG},
           "kept": {"config": CONFIG, "globals": "script"}}
EVENT = {"id": "1", "req": {"method": "POST", "path": "/p", "body": "hi",
                            "headers": [["Accept", "*/*"]]}}


@pytest.fixture(scope="module")
def broker():
    with Pinfold(scripts=SCRIPTS, settings=OPTIONS) as pinfold:
        yield pinfold


def start(broker, *words, **kwargs):
    env = {k: v for k, v in os.environ.items() if k != "PINFOLD_CONTROL"}
    env.update(kwargs.pop("env", {}))
    return subprocess.Popen(
        [str(program("pinfold")), "-c", str(broker.config_file),
         *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.PIPE, env=env, **kwargs)


def end(process, code=0, stdin=None):
    out, err = process.communicate(stdin, timeout=TIMEOUT)
    assert process.returncode == code, (out, err)
    return out.decode(errors="surrogateescape"), err.decode()


def run(broker, *words, code=0, stdin=None, **kwargs):
    return end(start(broker, *words, **kwargs), code, stdin)


def out(broker, *words, code=0, stdin=None):
    return run(broker, *words, code=code, stdin=stdin)[0]


def answer(broker, *words, code=0):
    return json.loads(out(broker, *words, "--json", code=code))


def lines(broker, *words):
    return [json.loads(line)
            for line in out(broker, *words, "--json").splitlines()]


@pytest.fixture
def event(tmp_path):
    def write(value=EVENT):
        path = tmp_path / "event.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path
    return write


# --- looking


def test_status_has_what_the_contract_says(broker):
    status = answer(broker, "status")
    assert status["state"] == "serving" and status["pid"] == broker.pid
    assert [s["name"] for s in status["scripts"]] == list(SCRIPTS)
    for script in status["scripts"]:
        assert {"name", "generation", "state", "hooks", "workers", "events",
                "errors", "p50_us", "p99_us", "queue"} <= set(script)
        for worker in script["workers"]:
            assert {"pid", "restarts", "sandbox"} <= set(worker)
            assert "seccomp" in worker["sandbox"]
    text = out(broker, "status")
    assert "writer" in text and "\x1b" not in text
    assert answer(broker, "scripts", "list")[0]["name"] == "writer"
    assert "before_response" in out(broker, "scripts", "list")


def test_scripts_show(broker):
    shown = answer(broker, "scripts", "show", "fails")
    assert shown["hooks"] == ["before_response", "error"]
    text = out(broker, "scripts", "show", "fails")
    assert "before_response error" in text and "seccomp" in text
    _, err = run(broker, "scripts", "show", "nope", code=1)
    assert "no such script is enabled, there are: writer fails counts" in err


def on_terminal(broker, *words, env):
    """What it prints when its stdout is a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(program("pinfold")), "-c", str(broker.config_file), *words],
        stdout=theirs, env={**os.environ, "TERM": "xterm", **env})
    os.close(theirs)
    text = b""
    try:
        while data := os.read(ours, 4096):
            text += data
    except OSError:         # the terminal's other end is closed
        pass
    os.close(ours)
    assert process.wait(TIMEOUT) == 0
    return text.decode()


def test_colours_on_terminals_only(broker):
    assert "\x1b[32mready\x1b[0m" in on_terminal(broker, "status", env={})
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        text = on_terminal(broker, "status", env=env)
        assert "ready" in text and "\x1b" not in text


def test_nobody_there(broker, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(f"listen: x\ndata_dir: {tmp_path}\n")
    done = subprocess.run([str(program("pinfold")), "-c", str(other), "status"],
                          capture_output=True, timeout=TIMEOUT)
    assert done.returncode == 69
    assert b"Start the broker with: pinfoldd -c CONFIG" in done.stderr


# --- kv, artifacts, bus


def test_kv(broker):
    assert out(broker, "kv", "set", "k/1", "-", stdin=b"\xffv") == ""
    assert answer(broker, "kv", "set", "k/2", "two", "--ttl", "60") is True
    assert answer(broker, "kv", "get", "k/1") == {"$base64": "/3Y="}
    assert out(broker, "kv", "get", "k/2") == "two"
    assert answer(broker, "kv", "list", "k/") == {"k/1": {"$base64": "/3Y="},
                                                  "k/2": "two"}
    assert answer(broker, "kv", "incr", "k/n", "5") == 5
    assert out(broker, "kv", "incr", "k/n", "-2") == "3\n"
    _, err = run(broker, "kv", "incr", "k/2", code=1)
    assert "not an integer" in err
    assert answer(broker, "kv", "delete", "k/1") is True
    run(broker, "kv", "get", "k/1", code=1)
    assert answer(broker, "kv", "get", "k/1", code=1) is None


def test_artifacts(broker, tmp_path):
    big = os.urandom((2 << 20) + 3)
    (tmp_path / "big").write_bytes(big)
    assert out(broker, "artifacts", "write", "t/big", tmp_path / "big") == ""
    assert answer(broker, "artifacts", "write", "t/empty", "/dev/null") is True
    out(broker, "artifacts", "write", "t/text", "-", stdin=b"hello")
    assert answer(broker, "artifacts", "ls", "t/") == [
        ["t/big", len(big)], ["t/empty", 0], ["t/text", 5]]
    assert answer(broker, "artifacts", "cat", "t/text") == "hello"
    assert answer(broker, "artifacts", "cat", "t/empty") == ""
    out(broker, "artifacts", "export", tmp_path / "out", "t/")
    assert (tmp_path / "out" / "t" / "big").read_bytes() == big
    out(broker, "artifacts", "write", "t/text", "-", stdin=b"new")
    assert out(broker, "artifacts", "cat", "t/text") == "new"
    for name in ("big", "empty", "text"):
        out(broker, "artifacts", "delete", f"t/{name}")
    assert answer(broker, "artifacts", "ls", "t/") == []
    for name in ("../up", "/abs", "a//b"):
        _, err = run(broker, "artifacts", "write", name, "/dev/null", code=1)
        assert "relative" in err
    run(broker, "artifacts", "cat", "t/text", code=1)


def test_bus_tail_from_0_is_everything(broker):
    client = broker.client()
    for path in ("/a", "/b"):
        client.call("before_request", [{"id": "1", "req": {"path": path}}])
    seen = lines(broker, "bus", "tail", "--from", "0", "-n", "2", "seen")
    assert seen[0]["seq"] == 1 and seen[0]["from"] == "writer"
    late = lines(broker, "bus", "tail", "--from", seen[1]["seq"], "-n", "1")
    assert late == [seen[1]]
    assert 'seen writer {"path":' in out(broker, "bus", "tail", "--from=1",
                                         "-n", "1")


# --- exec


def everything(broker):
    rows = answer(broker, "kv", "list")
    names = answer(broker, "artifacts", "ls")
    seq = broker.control_client().call("kv.get", ["path"])
    return rows, names, seq


def test_exec_tells_all_and_commits_nothing(broker, event):
    out(broker, "kv", "set", "before", "real")
    before = everything(broker)
    events = {s["name"]: s["events"] for s in answer(broker, "scripts", "list")}
    control = broker.control_client()
    control.call("bus.subscribe", [{"names": ["*"], "from": "new"}])
    result = answer(broker, "exec", "writer", "before_request", event())
    assert result["ops"] == [["req.set_header", "X-Seen", "real"]]
    assert result["effects"] == [
        ["kv.set", "path", "/p", 0], ["kv.delete", "gone"],
        ["bus.emit", "seen", {"path": "/p"}],
        ["artifact.write", "d/last.txt", 2]]
    assert result["logs"] == [["warn", "looking", {"n": "1"}]]
    assert result["error"] is None and result["finished"] is False
    assert result["us"] > 0
    text = out(broker, "exec", "writer", "before_request", event())
    assert 'req.set_header "X-Seen" "real"' in text
    assert 'kv.set "path" "/p" 0' in text and 'warn "looking"' in text
    assert everything(broker) == before
    control.pump(0.2)
    assert control.notifications == []
    assert events == {s["name"]: s["events"]
                      for s in answer(broker, "scripts", "list")}


def test_exec_of_what_acts_at_once_is_denied(broker, event):
    result = answer(broker, "exec", "counts", "connect", event())
    messages = [message for _, message, _ in result["logs"]]
    assert messages[0] == "nil denied: exec commits nothing"
    assert "denied: exec commits nothing" in messages[1]
    run(broker, "kv", "get", "n", code=1)
    run(broker, "kv", "get", "c", code=1)


def test_exec_of_a_failure(broker, event):
    text = out(broker, "exec", "fails", "before_response", event(), code=1)
    assert "error script_error: fails/before_response.lua:2:" in text
    assert "stack traceback:" in text
    result = answer(broker, "exec", "fails", "before_response", event(), code=1)
    assert result["error"]["code"] == "script_error"
    run(broker, "kv", "get", "told", code=1)        # error.lua did not run
    result = answer(broker, "exec", "fails", "error",
                    event({"err": {"msg": "m"}}))
    assert result["effects"] == [["kv.set", "told", "m", 0]]


def test_exec_reads_bytes_and_large_bodies(broker, event):
    body = {"$base64": "//4="}
    value = {"id": "1", "req": {"path": "/", "body": body}}
    result = answer(broker, "exec", "writer", "before_request", event(value))
    assert ["artifact.write", "d/last.txt", 2] in result["effects"]
    value["req"]["body"] = "x" * 3_000_000
    result = answer(broker, "exec", "writer", "before_request", event(value))
    assert ["artifact.write", "d/last.txt", 3_000_000] in result["effects"]
    stdin = json.dumps(EVENT).encode()
    text, _ = end(start(broker, "exec", "writer", "before_request", "-",
                        "--json"), 0, stdin)
    assert json.loads(text)["error"] is None


@pytest.mark.parametrize("script, hook", [("fresh", "before_request"),
                                          ("kept", "after_request")])
def test_exec_with_another_config(broker, event, tmp_path, script, hook):
    """Keys that are given lie over the script's, for that run only; with
    `globals: script` the config that the script has changed comes back."""
    def config(*options):
        result = answer(broker, "exec", *options, script, hook, event())
        assert result["error"] is None
        return json.loads(result["ops"][0][2])

    file = tmp_path / "config.json"
    file.write_text('{"path": null, "deep": {"b": true}}')
    before = CONFIG
    for _ in range(2):
        assert config() == before
        assert config("--script-config", ' {"limit": 5, "more": "x"}') == \
            {**CONFIG, "limit": 5, "more": "x"}
        assert config("--script-config", file) == \
            {"limit": 3, "deep": {"b": True}}
        assert config("--script-config={}") == CONFIG
        if script == "kept":    # what it did to its own stays
            before = {k: v for k, v in CONFIG.items() if k != "limit"}
    for text, message in (("{]", "--script-config:1:2: "),
                          ("/nowhere", "/nowhere: No such file")):
        _, err = run(broker, "exec", script, hook, event(), "--script-config",
                     text, code=1)
        assert message in err
    file.write_text("[1]")
    _, err = run(broker, "exec", script, hook, event(), "--script-config",
                 file, code=1)
    assert "config is no map" in err


@pytest.mark.parametrize("words, text, message", [
    (("nope", "connect"), "{}", "there are: writer fails counts"),
    (("writer", "connect"), "{}", "it has: before_request"),
    (("writer", "nope"), "{}", "no such hook"),
    (("writer", "before_request"), "5", "the event is no map"),
    (("writer", "before_request"), '{"id": 1}', "wrong type"),
    (("writer", "before_request"), '{\n  "id": ?}', ":2:9: expected a value"),
    (("writer", "before_request"), "[" * 30, "nested too deep"),
])
def test_exec_mistakes(broker, event, words, text, message):
    _, err = run(broker, "exec", *words, event(text), code=1)
    assert message in err
    _, err = run(broker, "exec", *words, "/nowhere", code=1)
    assert "/nowhere: No such file" in err


# --- grants


LEARNED = """
kv.get("limit")
kv.set("user:" .. ctx.id, "1")
kv.incr("hits:" .. ctx.id)
kv.list("list/")
bus.emit("seen." .. ctx.id)
artifacts.write("out/" .. ctx.id, "x")
artifacts.read("in/first.txt")
data_store.read("words.txt")
if ctx.id == "1" then kv.get("\\xff") end
"""


def test_grants_learned_are_enough_and_small():
    """What is printed, put into the configuration, lets the same events pass,
    and other names not."""
    with Pinfold(scripts={"s": {"before_request": LEARNED}},
                 data={"words.txt": "w"}) as place:
        assert "kv" not in out(place, "grants", "s")
        client = place.client()
        for n in range(20):
            client.call("before_request", [{"id": str(n)}])
        text = out(place, "grants", "s", "--learn")
        found = answer(place, "grants", "s", "--learn")
        _, err = run(place, "grants", "nope", code=1)
        assert "no such script is enabled, there are: s" in err
    assert found["granted"]["kv.read"] is None
    assert found["used"]["kv.write"] in (["hits:", "user:"], ["user:", "hits:"])
    assert found["used"]["bus"] == ["seen."]
    assert '    read: ["", "limit", "list/"]\n' in text
    text = text.replace('read: ["", ', "read: [")   # bytes that are no text
    assert '  artifacts: ["in/first.txt", "out/"]\n' in text
    limited = Pinfold(scripts={"s": {"before_request": LEARNED}, "other": {
        "close": 'kv.set("x", "y") mut.req.set_path("/on")'}},
        data={"words.txt": "w"})
    file = limited.config_file.read_text()
    learned = "".join(f"      {line}\n" for line in text.splitlines())
    for head in ("    s:\n", "    other:\n"):
        assert head in file
        file = file.replace(head, head + learned)
    limited.write_config(file)
    with limited:
        client = limited.client()
        for n in range(2, 40):
            result = client.call("before_request", [{"id": str(n)}])
            assert result["errors"] == [], result
        control = limited.control_client()
        assert control.call("kv.get", ["hits:39"]) is not None
        client.call("close", [{"id": "1"}])
        assert control.call("kv.get", ["x"]) is None
        shown = answer(limited, "grants", "s")
        assert shown["granted"]["bus"] == ["seen."]
        assert '  bus: ["seen."]\n' in out(limited, "grants", "s")


# --- record


SECRET = {
    "id": "9",
    "req": {"url": "http://u:geheim1@h/p?token=geheim2", "path": "/p",
            "headers": [["Authorization", "Bearer geheim3"],
                        ["Cookie", "a=geheim4; b=geheim5"], ["X-A", "open"]],
            "cookies": {"a": "geheim4"}, "body": "user=u&password=geheim6"},
    "resp": {"headers": {"Set-Cookie": ["s=geheim7; Path=/"],
                         "Proxy-Authorization": "geheim8"},
             "body": b'{"password": "geheim9", "\xff": 1}'},
}


def record_some(broker, directory, *more, count=1):
    process = start(broker, "record", "before_request", directory,
                    "-n", str(count), "--json", *more)
    client = broker.client(hello=True)
    sent = 0

    def ended():
        nonlocal sent
        client.call("before_request", [dict(SECRET, resp={
            **SECRET["resp"]}, ws={"data": lazy(70000)})],
            bodies={"ws.data": b"x" * 70000})
        sent += 1
        return process.poll() is not None

    until(ended, 20, "the recording ends")
    text, _ = end(process)
    return [json.loads(line) for line in text.splitlines()]


def test_record_hides_secrets_and_exec_runs_what_it_wrote(broker, tmp_path):
    told = record_some(broker, tmp_path / "r", count=3)
    files = sorted((tmp_path / "r").iterdir())
    assert [f.name for f in files] == [f"before_request-00000{i}.json"
                                       for i in (1, 2, 3)]
    assert [row["file"] for row in told] == [str(f) for f in files]
    assert all(row["left_out"] == ["ws.data"] for row in told)
    assert files[0].stat().st_mode & 0o777 == 0o600
    text = files[0].read_text()
    assert "geheim" not in text and "open" in text
    found = json.loads(text)
    assert found["req"]["headers"][1] == ["Cookie",
                                          "a=[redacted]; b=[redacted]"]
    assert "$base64" in found["resp"]["body"]
    result = answer(broker, "exec", "writer", "before_request", files[0])
    assert ["kv.set", "path", "/p", 0] in result["effects"]
    more = record_some(broker, tmp_path / "r")      # goes on, replaces nothing
    assert more[0]["file"].endswith("before_request-000004.json")


def test_record_with_secrets_and_of_one_script(broker, tmp_path):
    told = record_some(broker, tmp_path / "r", "--secrets", "--script",
                       "writer")
    text = open(told[0]["file"]).read()
    for i in range(1, 9):
        assert f"geheim{i}" in text
    _, err = run(broker, "record", "connect", tmp_path / "r", "--script",
                 "writer", code=1)
    assert "that script has no such hook" in err


def test_record_of_the_brokers_own_events(broker, tmp_path):
    process = start(broker, "record", "error", tmp_path / "r")
    client = broker.client()
    until(lambda: (client.error("before_response", [{"id": "1"}]),
                   process.poll() is not None)[1], 20, "it is recorded")
    end(process)
    found = json.loads((tmp_path / "r" / "error-000001.json").read_text())
    assert "fails/before_response" in found["err"]["msg"]
    assert found["err"]["code"] == "script_error" and found["id"] == "1"
    result = answer(broker, "exec", "fails", "error",
                    tmp_path / "r" / "error-000001.json")
    assert result["effects"][0][:2] == ["kv.set", "told"]


def test_record_refuses(broker, tmp_path):
    _, err = run(broker, "record", "ws_open", tmp_path / "r", code=1)
    assert "no enabled script has this hook" in err
    run(broker, "record", "nope", tmp_path / "r", code=2)
    run(broker, "record", "error", tmp_path / "r", "-n", "10001", code=1)
    run(broker, "record", "error", "/dev/null/x", code=1)


def test_record_ends_with_its_client(broker, tmp_path):
    process = start(broker, "record", "before_request", tmp_path / "r",
                    "-n", "10000")
    client = broker.client()
    until(lambda: (client.call("before_request", [EVENT]),
                   len(os.listdir(tmp_path / "r"))
                   if (tmp_path / "r").exists() else 0)[1] > 2, 20, "it writes")
    process.kill()
    process.communicate()
    for _ in range(50):
        client.call("before_request", [EVENT])
    assert answer(broker, "status")["state"] == "serving"


# --- logs


def test_logs(broker):
    process = start(broker, "logs", "-f", "-n", "2", "--level", "warn",
                    "--script", "writer")
    as_json = start(broker, "logs", "--json", "-n", "1")
    client = broker.client()

    def ended():
        client.call("before_request", [EVENT])
        client.error("before_response", [EVENT])
        return process.poll() is not None and as_json.poll() is not None

    until(ended, 20, "the lines come")
    text, _ = end(process)
    assert len(text.splitlines()) == 2
    for line in text.splitlines():
        assert "looking" in line and "script=writer" in line
    assert set(json.loads(end(as_json)[0])) == {"line"}
    run(broker, "logs", "--level", "loud", code=2)


# --- scripts and life, each on a broker of its own


def test_reload_restart_enable_disable(pinfold):
    broker = pinfold(scripts={"a": {"connect": ""}, "b": {"connect": ""}},
                     settings={"b": {"workers": 2}})
    broker.write_script("a", "connect", "\nx = = 1")
    text = out(broker, "reload", code=1)
    assert "a  refused  a/connect.lua:2:" in text
    assert text.splitlines()[1] == "b  kept"
    rows = answer(broker, "reload", code=1)
    assert rows[0]["result"] == "refused"
    broker.write_script("a", "connect", "x = 2")
    assert answer(broker, "reload")[0] == {"name": "a", "result": "loaded"}
    assert answer(broker, "reload", "b")[1]["result"] == "loaded"
    run(broker, "reload", "nope", code=1)
    assert answer(broker, "disable", "a")[-1]["result"] == "removed"
    run(broker, "scripts", "show", "a", code=1)
    assert answer(broker, "enable", "a")[0]["result"] == "loaded"
    old = [w["pid"] for w in answer(broker, "scripts", "show", "b")["workers"]]
    assert answer(broker, "restart", "b") is True

    def renewed():
        workers = answer(broker, "scripts", "show", "b")["workers"]
        return (len(workers) == 2 and all(w["restarts"] == 1 for w in workers)
                and not {w["pid"] for w in workers} & set(old))

    until(renewed, 10, "both workers are new, each counted once")
    run(broker, "restart", "nope", code=1)
    broker.write_config(broker.config_file.read_text() + "nonsense: 1\n")
    _, err = run(broker, "reload", code=1)
    assert "nonsense" in err and "expected one of" in err


def test_flush_backup_restore_stop(pinfold, tmp_path):
    broker = pinfold(scripts={"a": {"flush": "kv.set('f', opts.session)"}})
    out(broker, "flush", "s1")
    assert out(broker, "kv", "get", "f") == "s1"
    out(broker, "artifacts", "write", "x", "-", stdin=b"kept")
    assert out(broker, "backup", tmp_path / "b") == ""
    _, err = run(broker, "backup", tmp_path / "b", code=1)
    assert "is there already" in err
    run(broker, "backup", "/nowhere/b", code=1)
    text, _ = end(start(broker, "backup", "relative", "--json", cwd=tmp_path))
    assert json.loads(text) is True and (tmp_path / "relative" / "db").is_dir()
    out(broker, "kv", "set", "f", "later")
    out(broker, "artifacts", "delete", "x")
    assert answer(broker, "stop") is True
    assert broker.wait_exit() == 0
    run(broker, "status", code=69)
    shutil.rmtree(broker.dir / "data")
    shutil.copytree(tmp_path / "b", broker.dir / "data")
    broker.start()
    assert out(broker, "kv", "get", "f") == "s1"
    assert out(broker, "artifacts", "cat", "x") == "kept"


def test_a_backup_while_events_are_written(pinfold, tmp_path):
    broker = pinfold(scripts={"a": {"connect": "kv.incr('n')"}})
    client, stop, done = broker.client(), threading.Event(), []

    def load():
        while not stop.is_set():
            client.call("connect", [{"id": "1"}])
            done.append(1)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        until(lambda: len(done) > 50, 10, "events")
        before = len(done)
        out(broker, "backup", tmp_path / "b")
        after = len(done) + 1
    finally:
        stop.set()
        thread.join(20)
    broker.stop()
    shutil.rmtree(broker.dir / "data")
    shutil.copytree(tmp_path / "b", broker.dir / "data")
    broker.start()
    assert before <= int(out(broker, "kv", "get", "n")) <= after


# --- check


def check(pinfold, *words, code, cwd=None):
    done = subprocess.run([str(program("pinfold")), "check", *map(str, words)],
                          capture_output=True, timeout=TIMEOUT, cwd=cwd)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def place():
    """A broker that is not started: its files only."""
    pinfold = Pinfold(scripts={"a": {"connect": "x = 1", "close": ""},
                               "b": {"_shared": "y = 1", "bus": ""}},
                      settings={"c": {"enabled": False}})
    yield pinfold
    pinfold.close()


def test_check_good(place):
    text, err = check(place, place.config_file, code=0)
    assert text.splitlines() == ["a: ok, hooks: connect close",
                                 "b: ok, hooks: bus",
                                 f"{place.config_file}: ok"]
    found = json.loads(check(place, place.config_file, "--json", code=0)[0])
    assert found == {"ok": True, "error": None, "scripts": [
        {"name": "a", "ok": True, "hooks": ["connect", "close"]},
        {"name": "b", "ok": True, "hooks": ["bus"]}]}
    assert not (place.dir / "data").exists() and not place.socket.exists()
    check(place, "-c", place.config_file, code=0)


@pytest.mark.parametrize("key, path, expected, reason", [
    ("worker", "/nowhere/worker", "a program", "No such file or directory"),
    ("worker", "/etc/passwd", "a program", "Permission denied"),
    ("gateway", "nowhere", "a program", "No such file or directory"),
    ("gateway", "/usr/bin", "a program", "Is a directory"),
    ("data_store", "nowhere", "a folder", "No such file or directory"),
    ("data_store", "/etc/passwd", "a folder", "Not a directory")])
def test_what_the_configuration_names_is_not_there(place, key, path, expected,
                                                   reason):
    """A check says what a start says, and where."""
    good = place.config_file.read_text()
    line, column = len(good.splitlines()) + 1, len(key) + 3
    place.write_config(f"{good}{key}: {path}\n")
    said = (f"{place.config_file}:{line}:{column}: {key}: '{path}', "
            f"expected {expected} ({reason})\n")
    assert check(place, place.config_file, code=78) == ("", said)
    place.spawn()
    assert place.wait_exit() == 78
    assert place.log() == said
    assert not (place.dir / "data").exists()


def test_check_beside_a_serving_broker(broker):
    assert "writer: ok" in out(broker, "check")
    assert answer(broker, "status")["state"] == "serving"


def test_check_of_a_broken_script(place):
    place.write_script("b", "bus", "local a\nfor")
    text, _ = check(place, place.config_file, code=78)
    assert "a: ok" in text and "b: b/bus.lua:2:" in text
    found = json.loads(check(place, place.config_file, "--json", code=78)[0])
    assert found["ok"] is False and found["scripts"][0]["ok"] is True
    assert found["scripts"][1]["error"].startswith("b/bus.lua:2:")
    place.write_script("b", "bus", b"\x1bLua\x54\x00".decode("latin-1"))
    text, _ = check(place, place.config_file, code=78)
    assert "b: b/bus.lua:1: bytecode, and only source text is loaded" in text
    shutil.rmtree(place.dir / "scripts" / "a")
    text, _ = check(place, place.config_file, code=78)
    assert f"a: {place.dir}/scripts/a: No such file" in text


def test_check_of_a_broken_configuration(place):
    good = place.config_file.read_text()
    place.write_config(good + "hook_timeot: 5s\n")
    line = len(good.splitlines()) + 1
    _, err = check(place, place.config_file, code=78)
    assert f"{place.config_file}:{line}:1: unknown key 'hook_timeot'" in err
    assert "did you mean 'hook_timeout'?" in err
    found = json.loads(check(place, place.config_file, "--json", code=78)[0])
    assert found["ok"] is False and "hook_timeot" in found["error"]
    _, err = check(place, "/nowhere.yaml", code=78)
    assert "/nowhere.yaml" in err
    place.write_config(good + "limits: {max_message: 1MiB}\n")
    _, err = check(place, place.config_file, code=78)
    assert "from 2MiB to 16MiB" in err


def test_check_where_no_worker_can_be_started(place):
    place.write_config(place.config_file.read_text() + "worker: /bin/false\n")
    _, err = check(place, place.config_file, code=69)
    assert "the sandbox does not hold" in err
    found = json.loads(check(place, place.config_file, "--json", code=69)[0])
    assert "sandbox" in found["error"]
    # A shell in between sets variables, which no worker starts with.
    wrapper = place.dir / "wrapper"
    wrapper.write_text(f'#!/bin/sh\n"{program("pinfold-worker")}" "$@"\n'
                       "exit $?\n")
    wrapper.chmod(0o755)
    place.dir.chmod(0o755)
    text = place.config_file.read_text()
    place.write_config(text.replace("/bin/false", str(wrapper)))
    _, err = check(place, place.config_file, code=69)
    assert "sandbox: this layer does not hold: environment (" in err
    assert "cause=sandbox:environment exit=78" in err
    found = json.loads(check(place, place.config_file, "--json", code=69)[0])
    assert "environment" in found["error"]
    place.write_config(text)
    text = place.config_file.read_text().replace("/bin/false", "/nowhere")
    place.write_config(text)
    check(place, place.config_file, code=78)


# --- the page about all this


def test_every_command_is_documented_with_an_example():
    page = (ROOT / "docs/cli.md").read_text()
    done = subprocess.run([str(program("pinfold")), "--help"], text=True,
                          capture_output=True, timeout=TIMEOUT, check=True)
    table = done.stdout.split("Commands\n")[1].split("\nOptions")[0]
    names = [re.match(r"  ([a-z]+(?: [a-z]+)?)", line)[1]
             for line in table.splitlines()]
    assert len(names) >= 30
    for name in names:
        group, _, sub = name.partition(" ")
        heading = rf"^### .*\b{group}\b" + (rf".*\b{sub}\b" if sub else "")
        assert re.search(heading, page, re.M), name
        assert re.search(rf"pinfold {name}\b", page), name
