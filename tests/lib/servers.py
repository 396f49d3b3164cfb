# SPDX-License-Identifier: Apache-2.0
"""Private database servers on loopback, for one test each or for a module.

    with postgres() as server:
        server.port, server.user, server.password, server.database
        server.stop()         # and later
        server.start()        # with the same data, on the same port

Data lives in a temporary directory that goes with the server. Servers that
refuse to run as root run as nobody. They are stopped by process id.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .gateway import free_port

START = 60.0


def unprivileged():
    """How to run a program that does not want to be root: (uid, gid)."""
    if os.getuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def as_nobody():
    ids = unprivileged()
    return {"user": ids[0], "group": ids[1], "extra_groups": []} if ids else {}


class Database:
    """What all have in common; a subclass says how to prepare and run one."""

    user, password, database = "pinfold", "s3cret", "pinfold"

    def __init__(self):
        self.port = free_port()
        self.process = None
        self.folder = None

    def __enter__(self):
        # Not below a directory that nobody else may enter.
        self.folder = Path(tempfile.mkdtemp(prefix="pinfold-db-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.data.mkdir()
        if unprivileged():
            os.chown(self.data, *unprivileged())
        self.log = (self.folder / "log").open("wb")
        try:
            self.prepare()
            self.start()
            self.fill()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stop()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def once(self, command, stdin=None):
        result = subprocess.run(
            [str(c) for c in command], input=stdin, text=True, cwd=self.data,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **as_nobody())
        if result.returncode:
            raise RuntimeError(f"{command[0]}: {result.stdout}")
        return result.stdout

    def start(self):
        self.process = subprocess.Popen(
            [str(c) for c in self.command()], cwd=self.data, stdout=self.log,
            stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(self.data)},
            **as_nobody())
        deadline = time.monotonic() + START
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text(errors="replace"))
            time.sleep(0.05)

    def stop(self, how=signal.SIGTERM):
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def settings(self, **more):
        return {"host": "127.0.0.1", "port": self.port, "user": self.user,
                "password": self.password, "database": self.database, **more}

    def prepare(self):
        pass

    def fill(self):
        pass

    def ready(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False


def postgres_bin():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        raise FileNotFoundError("no PostgreSQL server is installed")
    return found[-1].parent


class Postgres(Database):
    """`tls`: a pair (certificate, key) of files."""

    def __init__(self, tls=None):
        super().__init__()
        self.bin = postgres_bin()
        self.tls = tls

    def prepare(self):
        (self.folder / "password").write_text(self.password)
        self.once([self.bin / "initdb", "-D", self.data / "pg", "-U", self.user,
                   "-A", "scram-sha-256", "--pwfile", self.folder / "password",
                   "-E", "UTF8", "--locale=C", "--no-sync"])
        if self.tls:
            for source, name in zip(self.tls, ("server.crt", "server.key")):
                target = self.data / "pg" / name
                target.write_bytes(Path(source).read_bytes())
                target.chmod(0o600)
                if unprivileged():
                    os.chown(target, *unprivileged())

    def command(self):
        options = {"listen_addresses": "127.0.0.1", "port": self.port,
                   "unix_socket_directories": "", "fsync": "off",
                   "max_connections": 60, "shared_buffers": "16MB",
                   "ssl": "on" if self.tls else "off"}
        return [self.bin / "postgres", "-D", self.data / "pg",
                *[f"--{k}={v}" for k, v in options.items()]]

    def stop(self, how=signal.SIGINT):  # fast shutdown
        super().stop(how)

    def ready(self):
        return subprocess.run(
            [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p",
             str(self.port)]).returncode == 0

    def sql(self, text, database=None):
        return subprocess.run(
            [self.bin / "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-h",
             "127.0.0.1", "-p", str(self.port), "-U", self.user,
             database or self.database],
            env={"PGPASSWORD": self.password}, input=text, text=True,
            check=True, stdout=subprocess.PIPE).stdout

    def fill(self):
        self.sql(f"CREATE DATABASE {self.database}", "postgres")
        self.sql("CREATE EXTENSION pgcrypto")


class MariaDB(Database):
    def __init__(self, tls=None):
        super().__init__()
        self.tls = tls

    def prepare(self):
        self.once(["mariadb-install-db", "--no-defaults",
                   "--auth-root-authentication-method=normal",
                   f"--datadir={self.data}/db", "--skip-test-db", "--skip-log-bin",
                   "--innodb-log-file-size=8M"])

    def command(self):
        tls = []
        if self.tls:
            for source, name in zip(self.tls, ("server.crt", "server.key")):
                target = self.data / name
                target.write_bytes(Path(source).read_bytes())
                target.chmod(0o600)
                if unprivileged():
                    os.chown(target, *unprivileged())
            tls = [f"--ssl-cert={self.data}/server.crt",
                   f"--ssl-key={self.data}/server.key"]
        return ["/usr/sbin/mariadbd", "--no-defaults", f"--datadir={self.data}/db",
                "--bind-address=127.0.0.1", f"--port={self.port}",
                f"--socket={self.data}/sock", f"--pid-file={self.data}/pid",
                "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M",
                "--innodb-flush-log-at-trx-commit=0", "--max-connections=60",
                "--skip-log-bin", "--performance-schema=OFF", *tls]

    def sql(self, text, database=None):
        return self.once(["mariadb", "--no-defaults", "-u", "root", "-S",
                          f"{self.data}/sock", "-N", "-B", database or self.database],
                         stdin=text)

    def ready(self):
        return (self.data / "sock").exists() and super().ready()

    def fill(self):
        self.sql(f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4;"
                 f"CREATE USER {self.user}@'%' IDENTIFIED BY '{self.password}';"
                 f"GRANT ALL ON {self.database}.* TO {self.user}@'%';", "mysql")


def postgres(**options):
    return Postgres(**options)


def mariadb(**options):
    return MariaDB(**options)
