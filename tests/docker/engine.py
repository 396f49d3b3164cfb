# SPDX-License-Identifier: Apache-2.0
"""A Docker engine of one's own, from Debian's packages, that leaves nothing.

dockerd runs in mount and pid namespaces of its own, so that its mounts and
every process that it starts end with it, and keeps all files below one folder.
Two ways to run it, one after the other on the same folder:

    with Engine(folder, network="host"):      building: apt needs the mirror
    with Engine(folder, network="private"):   running: a network namespace with
                                              loopback, where bridges reach
                                              nothing outside
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from lib.wait import until

DOCKER = "/usr/bin/docker"      # there may be another client before it in PATH
COMPOSE = "/usr/bin/docker-compose"
# Where dockerd and containerd put files whatever one tells them: they get empty
# folders of their own there.
HIDDEN = [Path("/etc/docker"), Path("/run/containerd")]
CGROUPS = Path("/sys/fs/cgroup")
START_TIMEOUT = 60
STOP_TIMEOUT = 60
BUILD_TIMEOUT = 2400
COMMAND_TIMEOUT = 120


class CommandFailed(Exception):
    """A command that was to succeed did not: what it was and printed."""


def run(argv, timeout=COMMAND_TIMEOUT, check=True, env=None, cwd=None):
    """The finished command; stdout and stderr are one text."""
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=timeout, env=env,
                          cwd=cwd)
    if check and done.returncode:
        raise CommandFailed(f"{' '.join(map(str, argv))}: {done.returncode}\n"
                            f"{done.stdout}")
    return done


def debian_sources():
    """The machine's own Debian 12 sources, as apt has them, one a line."""
    listed = run(["apt-get", "indextargets", "--format",
                  "$(REPO_URI) $(RELEASE) $(COMPONENT)",
                  "Created-By: Packages", "Origin: Debian"]).stdout
    lines = sorted({f"deb {line}" for line in listed.splitlines()
                    if " bookworm" in line})
    if not any(" bookworm " in line for line in lines):
        raise CommandFailed(f"apt knows no Debian 12 here: {listed}")
    return lines


def make_base(tar):
    """A minimal Debian 12 as a tar, from the sources that apt uses."""
    run(["mmdebstrap", "--variant=minbase", "--include=ca-certificates",
         "bookworm", tar, *debian_sources()], timeout=BUILD_TIMEOUT)


class Engine:
    """A running dockerd. `docker` and `compose` run a command against it."""

    def __init__(self, folder, network):
        self.folder = Path(folder)
        self.network = network
        # Short, since it holds sockets.
        self.run_dir = Path(tempfile.mkdtemp(prefix="pf-dk-"))
        self.socket = self.run_dir / "docker.sock"
        self.log = self.folder / f"dockerd-{network}.log"
        self.cgroup = self.run_dir.name
        self.made = [d for d in HIDDEN if not d.exists()]
        self.process = None
        self.pid = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        config = self.run_dir / "daemon.json"
        config.write_text("{}\n")      # not the machine's
        daemon = [
            "/usr/sbin/dockerd", f"--data-root={self.folder}/data",
            f"--exec-root={self.run_dir}/exec",
            f"--pidfile={self.run_dir}/pid", f"--host=unix://{self.socket}",
            f"--config-file={config}", f"--cgroup-parent=/{self.cgroup}",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            "--userland-proxy=true"]
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child",
                 "--mount-proc"]
        prepare = [f"mkdir -p {d} && mount -t tmpfs tmpfs {d}" for d in HIDDEN]
        if self.network == "host":
            daemon += ["--bridge=none", "--iptables=false", "--ip6tables=false",
                       "--ip-forward=false"]
        else:
            apart.append("--net")
            prepare.append("ip link set lo up")
        shell = ["sh", "-c", " && ".join([*prepare, 'exec "$@"']), "-"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*apart, *shell, *daemon], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True)
        until(self.is_up, START_TIMEOUT, "dockerd answers", every=0.1)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}"
                        "/children").read_text().split()
        self.pid = int(children[0])

    def is_up(self):
        if self.process.poll() is not None:
            raise CommandFailed(f"dockerd ended:\n{self.log.read_text()}")
        return self.docker("version", check=False).returncode == 0

    def stop(self):
        """Containers first, then dockerd, then whatever it left behind."""
        try:
            if self.pid:
                self.remove_containers()
                os.kill(self.pid, signal.SIGTERM)
                self.process.wait(STOP_TIMEOUT)
        except (subprocess.TimeoutExpired, ProcessLookupError):
            pass
        finally:
            # With unshare its child dies, and with that the pid namespace.
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.pid = None
            self.remove_cgroups()
            for folder in self.made:
                removed(folder)
            shutil.rmtree(self.run_dir, ignore_errors=True)

    def remove_containers(self):
        ids = self.docker("ps", "-aq", check=False).stdout.split()
        if ids:
            self.docker("rm", "-f", "-v", *ids, check=False)

    def remove_cgroups(self):
        parents = [p for p in (CGROUPS / self.cgroup,
                               *CGROUPS.glob(f"*/{self.cgroup}")) if p.is_dir()]
        for parent in parents:
            folders = sorted((p for p in parent.rglob("*") if p.is_dir()),
                             key=lambda p: len(p.parts), reverse=True)
            for folder in [*folders, parent]:
                until(lambda: removed(folder), 10, f"{folder} is empty")

    # --- commands

    def environment(self):
        return {**os.environ, "DOCKER_HOST": f"unix://{self.socket}",
                "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0",
                "DOCKER_CONFIG": str(self.run_dir / "config")}

    def docker(self, *args, **options):
        return run([DOCKER, *args], env=self.environment(), **options)

    def compose(self, *args, **options):
        return run([COMPOSE, *args], env=self.environment(), **options)

    def inspect(self, name):
        return json.loads(self.docker("inspect", name).stdout)[0]


def removed(folder):
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
