#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make bench-mqtt`, second half: logins that a PostgreSQL table decides.

64 auth_on_register calls are outstanding on the socket; the bundled script
scripts/auth/postgres.lua asks a pool of 5 connections. Beside it pgbench runs
the same prepared statement on the same server with as many connections. Then
once more while another script waits for a database that never answers. Ratios
of one run count, not the figures.

  databases.py [--rounds N] [--seconds N]
"""

import argparse
import json
import re
import socket
import statistics
import subprocess
import sys
import threading
from pathlib import Path

import msgpack

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from lib import servers  # noqa: E402
from lib.mqtt_scripts import MqttPinfold, register  # noqa: E402
from lib.pinfold import ROOT, build_dir  # noqa: E402

POOL = 5
DEPTH = 64
FILL = """
INSERT INTO vmq_auth_acl
SELECT '', '*', 'user' || n, crypt('password', %s),
       '[{"pattern": "a/%%c/#"}]', '[{"pattern": "a/#"}]'
  FROM generate_series(1, %d) AS n;
"""
# Salts of crypt(): as docs/mqtt-databases.md has it, and one that costs the
# server next to nothing, so that all the rest is seen.
HASHES = {"bcrypt, as documented": ("gen_salt('bf')", 20),
          "a hash that costs nothing": ("'ab'", 1000)}
# What the script asks, with the values of one login.
STATEMENT = """
SELECT password, publish_acl::text AS publish_acl,
       subscribe_acl::text AS subscribe_acl
  FROM vmq_auth_acl
 WHERE mountpoint = '' AND (client_id = '00000001' OR client_id = '*')
   AND username = 'user1' AND password = crypt('password', password)
 ORDER BY client_id = '*';
"""

# Every call of this one waits for a server that accepts and says nothing.
STUCK = """
local pool = {pool_id = "stuck", host = "127.0.0.1", port = %d, user = "x",
              password = "x", database = "x", size = 5}
postgres.ensure_pool(pool)
hooks = {on_client_wakeup = function() postgres.execute("stuck", "SELECT 1") end}
"""


class Silence(threading.Thread):
    """Accepts connections and never answers."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.kept = []

    def run(self):
        while True:
            self.kept.append(self.socket.accept()[0])


def pgbench(server, seconds):
    script = server.folder / "statement.sql"
    script.write_text(STATEMENT)
    argv = [server.bin / "pgbench", "-n", "-M", "prepared", "-f", script,
            "-c", POOL, "-j", 1, "-T", seconds, "-h", "127.0.0.1",
            "-p", server.port, "-U", server.user, server.database]
    done = subprocess.run([str(a) for a in argv], text=True, check=True,
                          env={"PGPASSWORD": server.password},
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return float(re.search(r"tps = ([\d.]+)", done.stdout)[1])


def logins(pinfold, seconds):
    event = pinfold.dir / "event"
    event.write_bytes(msgpack.packb(register("00000000", username="user1")))
    done = subprocess.run(
        [build_dir() / "load", "peer=pinfold", f"socket={pinfold.socket}",
         "what=auth_on_register", f"event={event}", f"depth={DEPTH}",
         f"ms={seconds * 1000}"], check=True, stdout=subprocess.PIPE)
    result = json.loads(done.stdout)
    return result["events"] / result["seconds"]


def keep_stuck(pinfold, stop):
    """Ever more events for the script that waits."""
    client = pinfold.mqtt()
    n = 0
    while not stop.wait(0.02):
        n += 1
        client.notify("on_client_wakeup", [{"mountpoint": "", "client_id": f"w{n}"}])


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=2)
    options = options.parse_args()
    silence = Silence()
    silence.start()
    for name, (salt, rows) in HASHES.items():
        print(f"-- {name}")
        with servers.postgres() as server:
            server.sql((ROOT / "scripts/auth/schema/postgres.sql").read_text())
            server.sql(FILL % (salt, rows))
            server.sql("ANALYZE")
            auth = {"bundled": str(ROOT / "scripts"),
                    "auth_postgres": {"enabled": True, "pool_size": POOL,
                                      **server.settings()}}
            files = {"stuck.lua": STUCK % silence.port}
            with MqttPinfold(files, mqtt=auth) as pinfold:
                check(pinfold)
                measure(server, pinfold, options)


def check(pinfold):
    client = pinfold.mqtt()
    good = register("00000000", username="user1")
    assert client.call("auth_on_register", [good])["verdict"] == "ok"
    wrong = good | {"password": "wrong"}
    assert client.call("auth_on_register", [wrong])["verdict"] == "deny"


def measure(server, pinfold, options):
    ours, theirs, beside = [], [], []
    for _ in range(options.rounds):
        theirs.append(pgbench(server, options.seconds))
        ours.append(logins(pinfold, options.seconds))
        stop = threading.Event()
        thread = threading.Thread(target=keep_stuck, args=(pinfold, stop))
        thread.start()
        try:
            beside.append(logins(pinfold, options.seconds))
        finally:
            stop.set()
            thread.join()
    ratios = [a / b for a, b in zip(ours, theirs)]
    kept = [a / b for a, b in zip(beside, ours)]
    print(f"pgbench, {POOL} connections:     {statistics.median(theirs):9.0f} /s")
    print(f"logins through pinfold:     {statistics.median(ours):9.0f} /s "
          f"= {statistics.median(ratios):.2f}x ({min(ratios):.2f}-{max(ratios):.2f})")
    print(f"beside a stuck database:    {statistics.median(beside):9.0f} /s "
          f"= {statistics.median(kept):.2f}x of that "
          f"({min(kept):.2f}-{max(kept):.2f})")


if __name__ == "__main__":
    main()
