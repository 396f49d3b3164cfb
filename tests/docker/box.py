# SPDX-License-Identifier: Apache-2.0
"""One container of the image `pinfold`, with volumes of its own."""

import json
import uuid
from pathlib import Path

from lib.rpc import Client
from lib.wait import until

# What docs/docker.md recommends.
LOCKED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges",
          "--network=none", "--pids-limit=64", "--memory=512m")
CONFIG = """\
listen: /run/pinfold/pinfold.sock
control: /run/pinfold/control.sock
data_dir: /var/lib/pinfold
shutdown_timeout: 60s
hook_timeout: 60s
luaplugin:
  dir: scripts
  scripts:
"""
START_TIMEOUT = 30


class Box:
    """`scripts` is {NAME: {HOOK: text}}, `files` {PATH: text} beside them; without
    these and `config` (lines for the top level) it has the image's own
    configuration."""

    def __init__(self, engine, etc, *options, scripts=None, config="", files=None):
        self.engine = engine
        self.etc = etc
        self.name = f"box-{uuid.uuid4().hex[:8]}"
        self.sockets, self.data = f"{self.name}-run", f"{self.name}-data"
        self.options = [*options, f"--name={self.name}",
                        f"--volume={self.sockets}:/run/pinfold",
                        f"--volume={self.data}:/var/lib/pinfold"]
        self.clients = []
        if scripts or config or files:
            self.write_etc(etc, scripts or {}, config, files or {})
            self.options.append(f"--volume={etc}:/etc/pinfold:ro")

    @staticmethod
    def write_etc(etc, scripts, config, files):
        etc.mkdir()
        text = config + CONFIG
        for name, hooks in scripts.items():
            text += f"    {name}: {{enabled: true, timeout: 60s}}\n"
            (etc / "scripts" / name).mkdir(parents=True)
            for hook, source in hooks.items():
                (etc / "scripts" / name / f"{hook}.lua").write_text(source)
        for path, content in files.items():
            (etc / path).parent.mkdir(parents=True, exist_ok=True)
            (etc / path).write_text(content)
        (etc / "pinfold.yml").write_text(text if scripts else text + "    {}\n")
        for path in [etc, *etc.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)

    def start(self):
        self.engine.docker("run", "--detach", *self.options, "pinfold")
        return self

    def start_again(self):
        self.engine.docker("start", self.name)

    def wait_serving(self):
        until(self.is_serving, START_TIMEOUT, "pinfoldd serves", every=0.1)
        return self

    def is_serving(self):
        assert self.state()["Running"], self.log()
        done = self.exec("pinfold", "status", "--json", check=False)
        return done.returncode == 0 and all(
            s["state"] == "ready" for s in json.loads(done.stdout)["scripts"])

    def remove(self):
        for client in self.clients:
            client.close()
        self.engine.docker("rm", "--force", self.name, check=False)
        self.engine.docker("volume", "rm", self.sockets, self.data, check=False)

    # --- looking at it

    def exec(self, *command, **options):
        return self.engine.docker("exec", self.name, *command, **options)

    def state(self):
        return self.engine.inspect(self.name)["State"]

    def log(self):
        return self.engine.docker("logs", self.name).stdout

    def status(self):
        return json.loads(self.exec("pinfold", "status", "--json").stdout)

    def worker(self, script):
        """The first worker of that script, or None while it has none."""
        for entry in self.status()["scripts"]:
            if entry["name"] == script and entry["state"] == "ready":
                return next(iter(entry["workers"]), None)
        return None

    def client(self):
        volume = self.engine.inspect(self.sockets)["Mountpoint"]
        client = Client(f"{volume}/pinfold.sock")
        self.clients.append(client)
        client.hello()
        return client

    def from_outside(self, pid):
        """The folder in the machine's /proc of the container's process `pid`."""
        number = self.engine.inspect(self.name)["Id"]
        for proc in Path("/proc").glob("[0-9]*"):
            try:
                if number in (proc / "cgroup").read_text() and \
                        fields(proc / "status")["NSpid"][-1] == str(pid):
                    return proc
            except (FileNotFoundError, ProcessLookupError):
                continue
        raise KeyError(pid)


def fields(status):
    """A status file of /proc: {name: [words]}."""
    lines = [line.partition(":") for line in status.read_text().splitlines()]
    return {name: value.split() for name, _, value in lines}
