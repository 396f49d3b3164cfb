# SPDX-License-Identifier: Apache-2.0
"""The image and the demo, run by a real Docker engine: `make test-docker`.

Needs root, some minutes and, to build the images, the mirror that apt uses;
`make test` leaves this folder out.
"""

import os
import re
import signal
import threading

import pytest
import yaml         # docker-compose needs it, so it is here

from box import LOCKED, fields
from lib.pinfold import ROOT
from lib.rpc import lazy
from lib.wait import until

pytestmark = pytest.mark.timeout(4800)      # the first one builds

UID = "10001"
DOCS = (ROOT / "docs/docker.md").read_text()
NAMESPACES = {"user": "user", "net": "net", "ipc": "ipc", "uts": "uts",
              "mount": "mnt"}
UNCONFINED = "--security-opt=seccomp=unconfined"
COMPOSE_FILE = ROOT / "docker/compose.yaml"
MARK = {"before_request": 'mut.req.set_header("X-Count", kv.incr("count"))',
        "flush": 'kv.set("flushed", opts.session)'}
# The body stays with the client until the script asks for it.
SLOW = {"before_request": """
kv.incr("begun")
mut.req.set_header("X-Size", #(ctx.req.body or ""))
"""}
BODY = b"x" * 20000
EVENT = {"id": "1", "req": {"method": "GET", "path": "/", "host": "a"}}


def changes(answer):
    """The values of the headers that an answer sets."""
    return [op[-1] for op in answer["ops"]]


# -- the image


LIST = """
id -u; id -g; ls /usr/local/bin
ls /usr/local/share/pinfold/scripts
for tool in gcc cmake python3; do command -v $tool; done
[ ! -e /src ]
"""


def test_contents(engine):
    listing = engine.docker("run", "--rm", "--entrypoint=sh", "pinfold", "-c",
                            LIST).stdout.split()
    assert listing[:6] == [UID, UID, "pinfold", "pinfold-gateway",
                           "pinfold-worker", "pinfoldd"]
    scripts = {path.name for path in (ROOT / "scripts").iterdir()}
    assert set(listing[6:]) == scripts


@pytest.mark.parametrize("program", ["pinfoldd", "pinfold"])
def test_programs_find_their_libraries(engine, program):
    done = engine.docker("run", "--rm", f"--entrypoint={program}", "pinfold",
                         "--version")
    assert re.search(r"\d+\.\d+", done.stdout)


def test_healthcheck(box):
    locked = box(*LOCKED)
    until(lambda: locked.state()["Health"]["Status"] == "healthy", 60,
          "healthy", every=0.5)
    assert locked.state()["Health"]["Log"][-1]["ExitCode"] == 0


def test_a_broker_that_hangs_is_unhealthy(box):
    hanging = box("--health-interval=1s", "--health-start-period=1ms",
                  "--health-timeout=2s", "--health-retries=1", *LOCKED)
    pid = int(hanging.wait_serving().from_outside(1).name)
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: hanging.state()["Health"]["Status"] == "unhealthy", 60,
              "unhealthy", every=0.5)
    finally:
        os.kill(pid, signal.SIGCONT)


# -- a container that may do nothing


def test_locked_container_serves(box):
    client = box(*LOCKED, scripts={"mark": MARK}).wait_serving().client()
    for count in ("1", "2"):
        assert changes(client.call("before_request", [EVENT])) == [count]


def test_locked_container_is_locked(box):
    locked = box(*LOCKED).wait_serving()
    status = fields(locked.from_outside(1) / "status")
    assert status["Uid"] == [UID] * 4 and status["Gid"] == [UID] * 4
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name][0], 16) == 0, name
    assert status["NoNewPrivs"] == ["1"]
    done = locked.engine.docker("exec", "--user=0", locked.name, "touch",
                                "/usr/local/bin/x", check=False)
    assert done.returncode and "Read-only file system" in done.stdout


def test_sockets_have_their_modes(box):
    locked = box(*LOCKED).wait_serving()
    shown = locked.exec("stat", "-c", "%a %u %g", "/run/pinfold/pinfold.sock",
                        "/run/pinfold/control.sock").stdout
    assert shown.splitlines() == [f"660 {UID} {UID}", f"600 {UID} {UID}"]


# -- which layers of the sandbox remain: docs/docker.md has the table


def documented():
    """{layer: (in a default container, without Docker's filter)}."""
    rows = re.findall(r"^\| (\w+) \| (\w+)\b[^|]* \| (\w+)\b[^|]* \|", DOCS, re.M)
    table = {layer: said for layer, *said in rows if set(said) <= {"yes", "no"}}
    assert len(table) >= 16, table
    return table


OPTIONS = {"plain": (0, ()), "locked": (0, LOCKED),
           "init": (0, (*LOCKED, "--init")),
           "unconfined": (1, (*LOCKED, UNCONFINED))}


@pytest.mark.parametrize("kind", OPTIONS)
def test_layers_are_as_documented(box, kind):
    column, options = OPTIONS[kind]
    running = box(*options).wait_serving()
    worker = running.worker("metrics")
    table = documented()
    held = {layer for layer, said in table.items() if said[column] == "yes"}
    assert set(worker["sandbox"]) == held
    assert set(worker["missing"]) <= set(table) - held
    check_from_outside(running, worker, held)


def check_from_outside(running, worker, held):
    """What /proc says about layers, whatever the worker says."""
    proc = running.from_outside(worker["pid"])
    status = fields(proc / "status")
    assert status["Uid"] == [UID] * 4
    assert status["Seccomp"] == ["2"] and status["NoNewPrivs"] == ["1"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name][0], 16) == 0, name
    assert (proc / "environ").read_bytes() == b""
    assert (proc / "oom_score_adj").read_text().strip() == "1000"
    assert [fd.name for fd in (proc / "fd").iterdir()] == ["3"]
    broker = running.from_outside(running.status()["pid"])
    for layer, kind in NAMESPACES.items():
        apart = os.readlink(proc / "ns" / kind) != \
            os.readlink(broker / "ns" / kind)
        assert apart == (layer in held), layer


def test_strict_refuses_a_default_container(box):
    strict = box(*LOCKED, scripts={"mark": MARK}, config="sandbox: strict\n")
    until(lambda: not strict.state()["Running"], 30, "it ends", every=0.1)
    assert strict.state()["ExitCode"] == 69, strict.log()
    assert re.search(r"sandbox: strict, and this layer does not hold: \w+",
                     strict.log())


def test_strict_runs_without_dockers_filter(box):
    strict = box(*LOCKED, UNCONFINED, scripts={"mark": MARK},
                 config="sandbox: strict\n").wait_serving()
    assert strict.worker("mark")["missing"] == []


# -- life and death


@pytest.mark.parametrize("init", [(), ("--init",)], ids=["pid1", "init"])
def test_killed_workers_are_replaced_and_reaped(box, init):
    running = box(*LOCKED, *init, scripts={"mark": MARK}).wait_serving()
    client = running.client()
    assert (running.status()["pid"] == 1) == (not init)
    for kills in range(1, 4):
        pid = running.worker("mark")["pid"]
        running.exec("sh", "-c", f"kill -9 {pid}")
        until(lambda: (running.worker("mark") or {"pid": pid})["pid"] != pid,
              30, "a new worker", every=0.1)
        assert running.worker("mark")["restarts"] == kills
        assert changes(client.call("before_request", [EVENT])) == [str(kills)]
    until(lambda: zombies(running) == [], 30, "all are reaped", every=0.1)


def zombies(running):
    lines = running.exec("sh", "-c", "cat /proc/[0-9]*/stat").stdout.splitlines()
    assert any("pinfoldd" in line for line in lines)
    return [line for line in lines if line.rpartition(")")[2].split()[0] == "Z"]


@pytest.mark.parametrize("init", [(), ("--init",)], ids=["pid1", "init"])
def test_stop_drains_and_flushes(box, init):
    running = box(*LOCKED, *init, scripts={"mark": MARK, "slow": SLOW})
    client = running.wait_serving().client()
    event = {**EVENT, "req": {**EVENT["req"], "body": lazy(BODY)}}
    asked = client.send("before_request", [event], bodies={"req.body": BODY})
    until(lambda: running.exec("pinfold", "kv", "get", "begun",
                               check=False).stdout.strip() == "1",
          30, "the event has begun", every=0.1)
    stopping = threading.Thread(
        target=running.engine.docker, args=("stop", "--time=90", running.name))
    stopping.start()
    try:
        until(lambda: "broker stopping" in running.log(), 30, "it stops",
              every=0.1)
        assert changes(client.wait(asked)) == ["1", str(len(BODY))]
    finally:
        stopping.join()
    assert running.state()["ExitCode"] == 0, running.log()
    running.start_again()
    running.wait_serving()
    assert running.exec("pinfold", "kv", "get", "flushed").stdout.strip()
    answer = running.client().call("before_request", [EVENT])
    assert changes(answer)[0] == "2"


def test_hangup_reloads(box):
    running = box(*LOCKED, scripts={"mark": MARK}).wait_serving()
    client = running.client()
    source = 'mut.req.set_header("X-New", "yes")'
    (running.etc / "scripts/mark/before_request.lua").write_text(source)
    running.engine.docker("kill", "--signal=HUP", running.name)
    until(lambda: changes(client.call("before_request", [EVENT])) == ["yes"],
          30, "the new script")


def test_kill_loses_nothing_that_was_answered(box):
    running = box(*LOCKED, scripts={"mark": MARK}).wait_serving()
    client = running.client()
    for count in range(1, 101):
        assert changes(client.call("before_request", [EVENT])) == [str(count)]
    running.engine.docker("kill", running.name)
    assert running.state()["ExitCode"] == 137
    running.start_again()
    answer = running.wait_serving().client().call("before_request", [EVENT])
    assert changes(answer) == ["101"]


# -- the demo


def test_compose_demo(engine):
    compose = ["--file", str(COMPOSE_FILE), "--project-name", "pinfold-demo"]
    try:
        done = engine.compose(*compose, "up", "--no-build", "--no-color",
                              "--abort-on-container-exit",
                              "--exit-code-from=show", timeout=300, check=False)
        logs = engine.compose(*compose, "ps", check=False).stdout
    finally:
        engine.compose(*compose, "down", "--volumes", "--timeout=1")
    assert done.returncode == 0, done.stdout + logs
    for shown in ("X-Seen-By: pinfold", "X-Frame-Options: DENY",
                  "Blocked by pinfold", "$ kill -9", "restart 3",
                  "X-Request-Number: 2", "all as it should be"):
        assert shown in done.stdout, done.stdout


def test_compose_file_locks_every_service(engine):
    config = yaml.safe_load(engine.compose("--file", COMPOSE_FILE, "config").stdout)
    assert set(config["services"]) == {"pinfold", "origin", "proxy", "show"}
    for name, service in config["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert config["services"]["pinfold"]["network_mode"] == "none"
