# SPDX-License-Identifier: Apache-2.0
"""The command line `pinfold` against a control socket that is played here:
what it sends, what it prints, with which code it ends."""

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from lib.pinfold import program
from lib.rpc import pack, unpacker

TIMEOUT = 20.0
SCRIPT = {
    "name": "metric", "generation": 3, "state": "running",
    "hooks": ["connect", "close"],
    "workers": [{"pid": 71, "restarts": 2, "sandbox": ["seccomp"],
                 "missing": ["landlock", "cgroup"]}],
    "events": 1234, "errors": {"timeout": 2, "crashed": 0},
    "p50_us": 90, "p99_us": 1500, "queue": 4,
}
STATUS = {"version": "0.1.0", "pid": 70, "uptime_ms": 90061000,
          "state": "running", "scripts": [SCRIPT]}


class Refuse(Exception):
    pass


class Control:
    """A control socket; `on` maps methods to functions of their params."""

    def __init__(self, directory):
        self.path = directory / "c.sock"
        self.on = {}
        self.calls = []
        self.after = []             # bytes to send after the next answer
        self.close_after = False
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.path))
        self.listener.listen(4)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        messages = unpacker()
        with sock:
            while data := sock.recv(1 << 16):
                messages.feed(data)
                for _, msgid, method, params in messages:
                    self.calls.append((method, params))
                    sock.sendall(self._answer(msgid, method, params))
                    for extra in self.after:
                        sock.sendall(extra)
                    self.after = []
                    if self.close_after:
                        return

    def _answer(self, msgid, method, params):
        if method not in self.on:
            error = {"code": "unknown_method", "message": f"no method {method}"}
            return pack([1, msgid, error, None])
        try:
            return pack([1, msgid, None, self.on[method](*params)])
        except Refuse as refuse:
            return pack([1, msgid, {"code": "denied", "message": str(refuse)}, None])

    def close(self):
        self.listener.close()


@pytest.fixture
def place():
    directory = Path(tempfile.mkdtemp(prefix="pf-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def control(place):
    control = Control(place)
    yield control
    control.close()


def run(*words, stdin=b"", cwd=None, env=None):
    plain = {k: v for k, v in os.environ.items() if k != "PINFOLD_CONTROL"}
    return subprocess.run([str(program("pinfold")), *map(str, words)],
                          input=stdin, capture_output=True, timeout=TIMEOUT,
                          cwd=cwd, env={**plain, **(env or {})})


def ask(control, *words, code=0, stdin=b""):
    done = run("-s", control.path, *words, stdin=stdin)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


# --- command line and help


def test_help_names_every_command_and_code():
    out = run("--help").stdout.decode()
    for name in ("status", "scripts list", "kv get", "kv set", "kv delete",
                 "kv list", "kv incr", "artifacts ls", "artifacts cat",
                 "artifacts export", "bus tail", "flush", "stop"):
        assert name in out
        one = run(*name.split(), "--help")
        assert one.returncode == 0
        assert one.stdout.decode().startswith(f"usage: pinfold {name}")
    for code in (" 0  ", " 1  ", " 2  ", "69  ", "70  "):
        assert code in out
    for name in ("status", "check"):
        one = run(name, "--help").stdout.decode()
        assert " \n" not in one and "?." not in one and "check: the sandbox" in one
    group = run("kv", "--help").stdout.decode()
    assert "kv incr" in group and "artifacts" not in group
    assert run("--version").stdout == b"pinfold 0.1.0\n"


@pytest.mark.parametrize("words, text", [
    ([], "no command"),
    (["nope"], "nope: no such command"),
    (["stauts"], "stauts: no such command, did you mean `status`?"),
    (["kv"], "kv: no such command; `pinfold kv --help` lists them"),
    (["kv", "nope"], "kv nope: no such command; `pinfold kv --help` lists them"),
    (["kv", "gte", "a"], "kv gte: no such command, did you mean `kv get`?"),
    (["script", "list"], "script list: no such command, did you mean `scripts list`?"),
    (["artifact", "ls"], "did you mean `artifacts ls`?"),
    (["status", "--jsno"], "--jsno: no such option, did you mean --json?"),
    (["status", "--json=1"], "--json=1: this option takes no value"),
    (["logs", "--level", "loud"], "--level: 'loud', expected trace, debug, info"),
    (["status", "x"], "too many arguments"),
    (["kv", "get"], "too few arguments"),
    (["status", "--nope"], "--nope: no such option"),
    (["status", "--ttl", "5"], "--ttl does not go with status"),
    (["kv", "set", "a", "b", "--ttl"], "--ttl: SECONDS expected"),
    (["kv", "set", "a", "b", "--ttl", "soon"], "'soon' is no number"),
    (["kv", "set", "a", "b", "--ttl", "-1"], "expected seconds"),
    (["kv", "incr", "a", "much"], "'much' is no number"),
    (["status", "--timeout", "0"], "expected 1 to 86400"),
    (["bus", "tail", "--from", "old"], "'old' is no number"),
    (["bus", "tail", "-n", "0"], "expected 1 or more"),
    (["-c", "/nowhere/x.yml", "status"], "cannot read /nowhere/x.yml"),
])
def test_usage_errors(words, text):
    done = run(*words)
    assert done.returncode == 2
    assert text in done.stderr.decode()
    assert done.stdout == b""


# --- finding the broker


def test_nobody_there(place):
    missing = run("-s", place / "c.sock", "status")
    assert missing.returncode == 69
    assert b"no broker at" in missing.stderr
    assert b"pinfoldd -c CONFIG" in missing.stderr
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(place / "c.sock"))
        refused = run("-s", place / "c.sock", "status")
    assert refused.returncode == 69
    assert b"nobody listens" in refused.stderr
    (place / "file").touch()
    for what in (place, place / "file"):
        other = run("-s", what, "status")
        assert other.returncode == 69
        assert b"That is no socket" in other.stderr
    long = run("-s", "/tmp/" + "x" * 110, "status")
    assert long.returncode == 69
    assert run("-s", "/tmp/" + "x" * 200, "status").returncode == 2


@pytest.mark.parametrize("text", [
    "control: c.sock\n",
    "control: 'c.sock'\ndata_dir: other\n",
    'data_dir: other\ncontrol:   "c.sock"   # ours\n',
    "control: c.sock # comment\n",
    "control: {place}/c.sock\n",
    "control:\nother:\n  control: wrong\ncontrol: c.sock\n",
])
def test_socket_from_the_config(control, place, text):
    control.on["script.list"] = lambda: []
    (place / "x.yml").write_text(text.format(place=place))
    done = run("-c", place / "x.yml", "scripts", "list")
    assert (done.returncode, done.stdout) == (0, b"no scripts are enabled\n")
    assert run("-c", "x.yml", "scripts", "list", cwd=place).returncode == 0


def test_socket_below_data_dir_and_from_the_environment(control, place):
    control.on["script.list"] = lambda: []
    (place / "data").mkdir()
    (place / "data" / "control.sock").symlink_to(control.path)
    (place / "x.yml").write_text("listen: p\ndata_dir: data\n")
    assert run("-c", place / "x.yml", "scripts", "list").returncode == 0
    env = {"PINFOLD_CONTROL": str(control.path)}
    assert run("scripts", "list", env=env).returncode == 0
    (place / "x.yml").write_text("listen: p\n")
    done = run("-c", place / "x.yml", "scripts", "list")
    assert done.returncode == 2 and b"names no control socket" in done.stderr


def test_the_broker_refuses(control):
    done = ask(control, "status", code=1)
    assert done.stderr == b"pinfold: status: unknown_method: no method status\n"


def test_a_code_is_told_once(control):
    def refuse(*_):
        raise Refuse("denied: not for you")
    control.on["kv.set"] = refuse
    done = ask(control, "kv", "set", "a", "b", code=1)
    assert done.stderr == b"pinfold: kv.set: denied: not for you\n"


def test_the_broker_talks_nonsense(control):
    control.on["status"] = lambda: 5
    assert b"makes no sense" in ask(control, "status", code=70).stderr
    control.on["script.show"] = lambda name: 5
    for group in ("script", "scripts"):
        ask(control, group, "show", "a", code=70)
    control.on["kv.get"] = lambda key: {}
    ask(control, "kv", "get", "a", code=70)
    control.on["kv.list"] = lambda prefix: {"a": 1}
    ask(control, "kv", "list", code=70)
    control.on["artifacts.list"] = lambda prefix: [["a"]]
    ask(control, "artifacts", "ls", code=70)
    control.on["artifacts.read"] = lambda *_: b"x"
    ask(control, "artifacts", "cat", "a", code=70)
    control.on["kv.incr"] = lambda key, by: "one"
    ask(control, "kv", "incr", "a", code=70)


def test_another_protocol(place):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(place / "c.sock"))
    listener.listen(1)

    def answer():
        sock, _ = listener.accept()
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        sock.recv(1000)
        sock.close()

    threading.Thread(target=answer, daemon=True).start()
    done = run("-s", place / "c.sock", "status")
    listener.close()
    assert done.returncode == 70
    assert b"does not speak this version of the protocol" in done.stderr


def test_the_broker_is_silent_or_goes(control, place):
    control.close_after = True
    control.on["bus.subscribe"] = lambda options: True
    done = ask(control, "bus", "tail", code=69)
    assert b"has closed the connection" in done.stderr
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(place / "silent"))
        silent.listen(1)
        done = run("-s", place / "silent", "--timeout", "1", "status")
    assert done.returncode == 69
    assert b"does not answer" in done.stderr


# --- status


def test_status(control):
    control.on["status"] = lambda: STATUS
    lines = ask(control, "status").stdout.decode().splitlines()
    assert lines[0] == "pinfoldd 0.1.0, pid 70, running, up 1d 01:01:01"
    assert lines[1].split() == ["SCRIPT", "STATE", "GEN", "WORKERS", "EVENTS",
                                "ERRORS", "P50", "P99", "QUEUE", "HOOKS"]
    assert lines[2].split() == ["metric", "running", "3", "1", "(2", "restarts)",
                                "1234", "timeout:2", "90us", "1.5ms", "4",
                                "connect,close"]
    assert lines[3] == "metric: worker 71 runs without landlock,cgroup"
    assert lines[1].index("HOOKS") == lines[2].index("connect")
    assert json.loads(ask(control, "status", "--json").stdout) == STATUS
    control.on["script.list"] = lambda: [SCRIPT]
    assert json.loads(ask(control, "--json", "scripts", "list").stdout) == [SCRIPT]
    assert b"metric" in ask(control, "scripts", "list").stdout
    control.on["script.show"] = lambda name: SCRIPT
    shown = ask(control, "scripts", "show", "metric").stdout.decode().splitlines()
    assert shown[-1].split(maxsplit=1)[1] == \
        "pid 71, restarts 2, sandbox seccomp, without landlock cgroup"


def test_script_show_is_about_one_file_scripts(control):
    one = dict(SCRIPT, name="login", dialect="mqtt", file="/l.lua", calls={})
    control.on["script.list"] = lambda: [dict(SCRIPT, dialect="http"), one]
    assert json.loads(ask(control, "script", "show", "--json").stdout) == [one]
    assert b"metric" not in ask(control, "script", "show").stdout
    control.on["script.show"] = lambda name: SCRIPT     # no hooks of its own to list
    assert ask(control, "script", "show", "metric").stdout == \
        ask(control, "scripts", "show", "metric").stdout


def test_nothing_of_a_script_reaches_the_terminal_raw(control):
    bad = dict(SCRIPT, name="a\x1b[31m\x9bb", state="\u00e9\n")
    control.on["script.list"] = lambda: [bad]
    out = ask(control, "scripts", "list").stdout
    assert b"\x1b" not in out and "\u009b".encode() not in out
    assert b"a\\x1b[31m\\xc2\\x9bb" in out
    assert "\u00e9\\x0a".encode() in out


def test_grants_learned(control):
    used = {"kv.read": [], "kv.write": ["b", "a"], "bus": [""], "artifacts": [],
            "data": [], "providers": ["redis:127.0.0.1:6379"]}
    control.on["script.grants"] = lambda name: {
        "generation": 2, "granted": dict.fromkeys(used), "used": used}
    text = ask(control, "grants", "login", "--learn").stdout.decode()
    assert text.splitlines()[2:] == [
        "grants:", "  kv:", "    read: []", '    write: ["a", "b"]',
        '  bus: ["*"]', "  artifacts: []", "  data: []",
        '  providers: ["redis:127.0.0.1:6379"]']
    assert b"everything" in ask(control, "grants", "login").stdout


# --- kv


def test_kv(control):
    store = {"a": b"1", "bin": b"\xff\x00"}
    control.on["kv.get"] = store.get
    control.on["kv.set"] = lambda key, value, ttl: True
    control.on["kv.delete"] = lambda key: True
    control.on["kv.list"] = lambda prefix: {"a": b"1", "long": b"x\n"}
    control.on["kv.incr"] = lambda key, by: by + 1
    assert ask(control, "kv", "get", "a").stdout == b"1"
    assert ask(control, "kv", "get", "bin").stdout == b"\xff\x00"
    found = json.loads(ask(control, "kv", "get", "bin", "--json").stdout)
    assert base64.b64decode(found["$base64"]) == b"\xff\x00"
    assert json.loads(ask(control, "kv", "get", "a", "--json").stdout) == "1"
    gone = ask(control, "kv", "get", "no", code=1)
    assert gone.stderr == b"pinfold: no: no such key\n"
    assert ask(control, "kv", "set", "k", "v").stdout == b""
    assert ask(control, "kv", "set", "k", "v", "--json").stdout == b"true\n"
    ask(control, "kv", "set", "k", "-", "--ttl", "60", stdin=b"\x00in")
    ask(control, "kv", "set", "--", "--ttl", "-5")
    ask(control, "kv", "delete", "k")
    assert [c for c in control.calls if c[0] in ("kv.set", "kv.delete")] == [
        ("kv.set", ["k", b"v", 0]), ("kv.set", ["k", b"v", 0]),
        ("kv.set", ["k", b"\x00in", 60000]), ("kv.set", ["--ttl", b"-5", 0]),
        ("kv.delete", ["k"])]
    assert ask(control, "kv", "list").stdout == b"a     1\nlong  x\\x0a\n"
    listed = json.loads(ask(control, "kv", "list", "p", "--json").stdout)
    assert listed == {"a": "1", "long": "x\n"}
    assert control.calls[-1] == ("kv.list", ["p"])
    assert ask(control, "kv", "incr", "n").stdout == b"2\n"
    assert ask(control, "kv", "incr", "n", "-5").stdout == b"-4\n"


# --- artifacts


def artifacts_of(control, files):
    def read(name, offset, length):
        if name not in files:
            raise Refuse(f"{name}: no such artifact")
        return [files[name][offset:offset + length], len(files[name])]

    control.on["artifacts.list"] = lambda prefix: [
        [name, len(content)] for name, content in files.items()
        if name.startswith(prefix)]
    control.on["artifacts.read"] = read


def test_artifacts(control, place):
    big = os.urandom((2 << 20) + 17)
    files = {"a.txt": b"hello", "d/e/big": big, "empty": b""}
    artifacts_of(control, files)
    out = ask(control, "artifacts", "ls").stdout.decode().splitlines()
    assert out == ["      5  a.txt", "2097169  d/e/big", "      0  empty"]
    assert json.loads(ask(control, "artifacts", "ls", "a", "--json").stdout) == [
        ["a.txt", 5]]
    assert ask(control, "artifacts", "cat", "d/e/big").stdout == big
    assert ask(control, "artifacts", "cat", "empty").stdout == b""
    gone = ask(control, "artifacts", "cat", "no", code=1)
    assert b"artifacts.read: denied: no: no such artifact" in gone.stderr
    ask(control, "artifacts", "export", place / "out")
    ask(control, "artifacts", "export", place / "out")    # replaces
    for name, content in files.items():
        assert (place / "out" / name).read_bytes() == content
    assert sorted(p.name for p in (place / "out").iterdir()) == [
        "a.txt", "d", "empty"]
    ask(control, "artifacts", "export", place / "some", "d/")
    assert [p.name for p in (place / "some").iterdir()] == ["d"]


def test_export_stays_in_its_directory(control, place):
    (place / "out").mkdir()
    (place / "elsewhere").mkdir()
    (place / "out" / "link").symlink_to(place / "elsewhere")
    (place / "out" / "file").symlink_to(place / "victim")
    (place / "victim").write_text("untouched")
    names = ["../up", "/abs", "a//b", "./c", "d/..", "", "e/", "link/in",
             "file", "good"]
    artifacts_of(control, {name: b"x" for name in names})
    done = ask(control, "artifacts", "export", place / "out", code=1)
    assert done.stderr.count(b"was passed over") == 7
    assert b"link/in: " in done.stderr
    assert (place / "out" / "good").read_bytes() == b"x"
    assert (place / "out" / "file").read_bytes() == b"x"    # the link is replaced
    assert (place / "victim").read_text() == "untouched"
    assert list((place / "elsewhere").iterdir()) == []
    assert sorted(p.name for p in place.iterdir()) == [
        "c.sock", "elsewhere", "out", "victim"]


def test_export_that_fails_half_way_leaves_the_old_file(control, place):
    (place / "out").mkdir()
    (place / "out" / "a").write_text("old")
    control.on["artifacts.list"] = lambda prefix: [["a", 10]]
    control.on["artifacts.read"] = lambda name, offset, length: [
        b"12345" if offset == 0 else b"", 10]
    done = ask(control, "artifacts", "export", place / "out", code=1)
    assert b"changed while it was read" in done.stderr
    assert (place / "out" / "a").read_text() == "old"
    assert [p.name for p in (place / "out").iterdir()] == ["a"]


# --- bus, flush, stop


def event(seq, **more):
    return pack([2, "bus.event", [{"seq": seq, "time": 1700000000123,
                                   "name": "a.b", "from": "metric", **more}]])


def test_bus_tail(control):
    control.on["bus.subscribe"] = lambda options: True
    control.after = [event(7, data={"k": [1, None, 2.5]}), event(8) + event(9)]
    out = ask(control, "bus", "tail", "-n", "2").stdout.decode().splitlines()
    assert out == ['7 2023-11-14T22:13:20.123Z a.b metric {"k":[1,null,2.5]}',
                   "8 2023-11-14T22:13:20.123Z a.b metric"]
    assert control.calls == [("bus.subscribe", [{"names": ["*"], "from": "new"}])]
    control.after = [pack([2, "log", ["x"]]), event(8, data="x")]
    out = ask(control, "bus", "tail", "--json", "--number=1", "--from=5", "a.*",
              "b").stdout
    assert json.loads(out) == {"seq": 8, "time": 1700000000123, "name": "a.b",
                               "from": "metric", "data": "x"}
    assert control.calls[-1] == ("bus.subscribe",
                                 [{"names": ["a.*", "b"], "from": 5}])


def test_flush_and_stop(control):
    control.on["flush"] = lambda session: True
    control.on["shutdown"] = lambda: True
    assert ask(control, "flush").stdout == b""
    assert ask(control, "flush", "s1", "--json").stdout == b"true\n"
    assert control.calls == [("flush", [None]), ("flush", ["s1"])]
    ask(control, "stop", "--no-wait")
    control.close_after = True
    assert ask(control, "stop", "--json").stdout == b"true\n"
