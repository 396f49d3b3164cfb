# SPDX-License-Identifier: Apache-2.0
"""A server that speaks MongoDB's protocol; Debian has no mongod.

PINFOLD_TEST_MONGODB=mongodb://USER:PASSWORD@HOST:PORT/DATABASE names one that
runs. PINFOLD_TEST_FERRETDB=PROGRAM names a FerretDB that is installed; it is run
for the tests. Without either it is mongod_double, and the run says `not MongoDB`.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from .mongod_double import Double
from .servers import Database, unprivileged


class FerretDB(Database):
    """`auth`: the database of the user who must log in. `tls`: (certificate, key)."""

    what = "FerretDB"

    def __init__(self, program, auth=None, tls=None):
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
            auth = ["--test-enable-new-auth", f"--setup-database={self.auth}",
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
    """A server that runs; it cannot be stopped."""

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
            source, = parse_qs(self.uri.query).get("authSource", ["admin"])
            settings.update(login=unquote(self.uri.username), auth_source=source,
                            password=unquote(self.uri.password or ""))
        return {**settings, **more}


def mongodb(own=False, **options):
    """A server for `with`. `own`: one that can be stopped; so is one with
    options, which are FerretDB's."""
    uri = os.environ.get("PINFOLD_TEST_MONGODB")
    if uri and not own and not options:
        return Given(uri)
    program = os.environ.get("PINFOLD_TEST_FERRETDB")
    return FerretDB(program, **options) if program else Double(**options)


def kinds():
    """Of servers that can be filled past the gateway, by bson.command(), which
    cannot log in."""
    uri = os.environ.get("PINFOLD_TEST_MONGODB")
    if uri:
        more = not urlsplit(uri).username
    else:
        more = os.environ.get("PINFOLD_TEST_FERRETDB")
    return ["double", "server"] if more else ["double"]
