# SPDX-License-Identifier: Apache-2.0
"""A private server that speaks MongoDB's protocol.

Debian has no mongod. With Go at hand FerretDB is built once, below build/;
PINFOLD_TEST_MONGODB=mongodb://USER:PASSWORD@HOST:PORT/DATABASE names a real
server instead. Without either, tests use mongod_double and must say
`not MongoDB`.
"""

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .servers import Database, unprivileged

FERRETDB = "github.com/FerretDB/FerretDB@v1.24.0"
CACHE = Path(__file__).resolve().parents[2] / "build" / "ferretdb"


def go_program():
    """A Go of 1.22 or later, or None."""
    for name in (shutil.which("go"), "/usr/local/go/bin/go"):
        if not name or not os.path.exists(name):
            continue
        words = subprocess.run([name, "version"], text=True, check=True,
                               stdout=subprocess.PIPE).stdout.split()
        version = tuple(int(n) for n in words[2][2:].split(".")[:2])
        if version >= (1, 22):
            return name
    return None


def ferretdb():
    """The program's path, built when it is not there; None without Go."""
    program = CACHE / "ferretdb"
    if program.exists():
        return program
    go = go_program()
    if go is None:
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            build(go, program)
    return program


def build(go, program):
    env = {**os.environ, "GOPATH": str(CACHE / "path"), "GOTOOLCHAIN": "local",
           "GOCACHE": str(CACHE / "cache"), "GOFLAGS": "-modcacherw -buildvcs=false"}

    def run(*command, cwd=CACHE):
        return subprocess.run(["nice", go, *command], cwd=cwd, env=env, text=True,
                              check=True, stdout=subprocess.PIPE).stdout

    module = json.loads(run("mod", "download", "-json", FERRETDB))
    # Its sources lack one file, which its own build makes.
    source = CACHE / "source"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(module["Dir"], source)
    (source / "build/version/version.txt").write_text(module["Version"] + "\n")
    run("build", "-p", "2", "-o", f"{program}.new", "./cmd/ferretdb", cwd=source)
    os.rename(f"{program}.new", program)
    for rest in ("path", "cache", "source"):
        shutil.rmtree(CACHE / rest, ignore_errors=True)


class FerretDB(Database):
    """`auth`: user and password are asked for. `tls`: (certificate, key)."""

    what = "FerretDB"

    def __init__(self, program, auth=False, tls=None):
        super().__init__()
        self.program, self.auth, self.tls = program, auth, tls

    def prepare(self):
        # Where it runs as nobody it may not be allowed to reach the checkout.
        self.copy = self.folder / "ferretdb"
        shutil.copy(self.program, self.copy)
        self.copy.chmod(0o755)
        (self.data / "db").mkdir()
        if unprivileged():
            os.chown(self.data / "db", *unprivileged())
        for source, name in zip(self.tls or (), ("server.crt", "server.key")):
            target = self.data / name
            target.write_bytes(Path(source).read_bytes())
            target.chmod(0o644)

    def command(self):
        address = f"127.0.0.1:{self.port}"
        listen = [f"--listen-addr={address}"]
        if self.tls:
            listen = ["--listen-addr=", f"--listen-tls={address}",
                      f"--listen-tls-cert-file={self.data}/server.crt",
                      f"--listen-tls-key-file={self.data}/server.key"]
        auth = []
        if self.auth:
            auth = ["--test-enable-new-auth", "--setup-database=admin",
                    f"--setup-username={self.user}",
                    f"--setup-password={self.password}"]
        return [self.copy, "--handler=sqlite", f"--sqlite-url=file:{self.data}/db/",
                f"--state-dir={self.data}", "--telemetry=disable", "--debug-addr=-",
                "--log-level=ERROR", *listen, *auth]

    def settings(self, **more):
        settings = {"host": "127.0.0.1", "port": self.port, "database": self.database}
        if self.auth:
            settings.update(login=self.user, password=self.password)
        return {**settings, **more}


class Given:
    """The server that PINFOLD_TEST_MONGODB names; it cannot be stopped."""

    what = "MongoDB"

    def __init__(self, uri):
        self.uri = urlsplit(uri)
        self.port = self.uri.port or 27017

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def settings(self, **more):
        settings = {"host": self.uri.hostname, "port": self.port,
                    "database": self.uri.path.strip("/") or "pinfold"}
        if self.uri.username:
            settings.update(login=unquote(self.uri.username),
                            password=unquote(self.uri.password or ""))
        return {**settings, **more}


def mongodb(**options):
    """A server for `with`, or None: there is no way to have one here."""
    given = os.environ.get("PINFOLD_TEST_MONGODB")
    if given and not options:
        return Given(given)
    program = ferretdb()
    return FerretDB(program, **options) if program else None
