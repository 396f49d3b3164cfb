# SPDX-License-Identifier: Apache-2.0
"""pinfold-gateway in a container: it runs, it holds what docs/docker.md says,
and it reaches a server in the container's network and nothing else."""

import re
import subprocess
from contextlib import contextmanager

import pytest

from box import LOCKED, fields
from lib.mqtt_scripts import publish, register
from lib.pinfold import ROOT
from lib.wait import until

pytestmark = pytest.mark.timeout(4800)      # the first one builds

UID = "10001"
DOCS = (ROOT / "docs/docker.md").read_text()
UNCONFINED = "--security-opt=seccomp=unconfined"
CONFIG = """\
mqtt:
  script_dir: lua
  bcrypt: {default_log_rounds: 4}
"""
LOGIN = """
local salt = bcrypt.gen_salt()
hooks = {}
function hooks.auth_on_register(reg)
  local got = http.get("pool_http", "http://127.0.0.1:8000/" .. reg.username)
  return got and got.status == 200 and http.body(got.ref) == reg.password
end
function hooks.auth_on_publish(msg)
  local hash = bcrypt.hashpw(msg.payload, salt)
  return bcrypt.hashpw(msg.payload, hash) == hash
end
"""


@pytest.fixture
def gated(box):
    """gated(*options): a container with a script that needs the gateway."""
    def start(*options):
        return box(*options, config=CONFIG,
                   files={"lua/login.lua": LOGIN}).wait_serving()
    return start


def asker(gated):
    client = gated.client()
    client.hello(caps=["mqtt"])
    return client


def verdict(client, hook, event):
    return client.call(hook, [event])["verdict"]


def ready(gated):
    """What `status` says of the gateway once it runs."""
    def runs():
        gateway = gated.status()["gateway"]
        return gateway if gateway and gateway["state"] == "ready" else None
    return until(runs, 30, "the gateway is ready", every=0.1)


@contextmanager
def web_server(gated, folder):
    """Serves the folder's files on port 8000 of the container's loopback."""
    pid = gated.from_outside(1).name
    process = subprocess.Popen(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "/usr/bin/python3", "-m",
         "http.server", "8000", "--bind", "127.0.0.1", "--directory", folder],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def documented():
    """{layer: does it hold} of docs/docker.md's table about the gateway."""
    rows = re.findall(r"^\| (\w+) \| (yes|no)\b[^|]* \|$", DOCS, re.M)
    assert len(rows) == 11, rows
    return dict(rows)


@pytest.mark.parametrize("options", [LOCKED, (*LOCKED, UNCONFINED)],
                         ids=["locked", "unconfined"])
def test_layers_are_as_documented(gated, options):
    running = gated(*options)
    gateway = ready(running)
    held = [layer for layer, said in documented().items() if said == "yes"]
    assert sorted(gateway["sandbox"]) == sorted(held)
    assert gateway["missing"] == []
    proc = running.from_outside(gateway["pid"])
    status = fields(proc / "status")
    assert status["Name"] == ["pinfold-gateway"]
    assert status["Uid"] == [UID] * 4 and status["Gid"] == [UID] * 4
    assert status["Seccomp"] == ["2"] and status["NoNewPrivs"] == ["1"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name][0], 16) == 0, name
    assert (proc / "environ").read_bytes() == b""
    shown = running.exec("pinfold", "status").stdout
    assert re.search(rf"^gateway pid {gateway['pid']}, ready", shown, re.M)


def test_strict_needs_no_more_of_the_gateway(box):
    strict = box(*LOCKED, UNCONFINED, config=CONFIG + "sandbox: strict\n",
                 files={"lua/login.lua": LOGIN}).wait_serving()
    assert ready(strict)["missing"] == []


def test_a_script_asks_a_server(gated, tmp_path):
    (tmp_path / "user").write_text("password")
    running = gated(*LOCKED)
    client = asker(running)
    # Nobody listens: no answer is a denial.
    assert verdict(client, "auth_on_register", register()) == "deny"
    with web_server(running, tmp_path):
        until(lambda: verdict(client, "auth_on_register", register()) == "ok",
              30, "the server's answer", every=0.1)
        wrong = register(password="wrong")
        assert verdict(client, "auth_on_register", wrong) == "deny"
        nobody = register(username="nobody")
        assert verdict(client, "auth_on_register", nobody) == "deny"
    assert ready(running)["restarts"] == 0


def test_a_killed_gateway_is_replaced_and_reaped(gated):
    running = gated(*LOCKED)
    client = asker(running)
    for kills in range(1, 4):
        assert verdict(client, "auth_on_publish", publish()) == "ok"
        before = ready(running)
        running.exec("sh", "-c", f"kill -9 {before['pid']}")
        until(lambda: ready(running)["pid"] != before["pid"], 30,
              "another gateway", every=0.1)
        after = ready(running)
        assert after["restarts"] == kills
        assert after["sandbox"] == before["sandbox"]
    until(lambda: verdict(client, "auth_on_publish", publish()) == "ok", 30,
          "an answer with the new one", every=0.1)
    until(lambda: zombies(running) == [], 30, "all are reaped", every=0.1)


def zombies(running):
    lines = running.exec("sh", "-c", "cat /proc/[0-9]*/stat").stdout.splitlines()
    assert any("pinfoldd" in line for line in lines)
    return [line for line in lines if line.rpartition(")")[2].split()[0] == "Z"]


def test_bundled_scripts_are_found(box):
    running = box(*LOCKED, config="""\
mqtt:
  auth_redis: {enabled: true}
  auth_http: {enabled: true, url: "http://127.0.0.1:8000/login"}
""").wait_serving()
    names = [script["name"] for script in running.status()["scripts"]]
    assert names == ["auth_redis", "auth_http"]
