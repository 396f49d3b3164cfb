#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What pinfold costs Mosquitto: publishes of 32 bytes with QoS 1 from one client.

  cached      rights from the auth cache, in the plugin        against no plugin
  uncached    auth_on_publish in Lua, by way of pinfoldd       against two hops over
              Unix sockets that do nothing, from the same callback

    tests/bench/mosquitto.py [--seconds 0.7] [--rounds 15]

The sides are measured in turn; what counts is the median of the rounds' ratios.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from lib.mosquitto import Mosquitto  # noqa: E402
from lib.pinfold import Pinfold, program  # noqa: E402
from lib.wait import until  # noqa: E402

QUIET = ["log_type error", "max_inflight_messages 0", "max_queued_messages 0"]

CACHED = """
hooks = {
  auth_on_register = function(reg)
    auth_cache.insert(reg.mountpoint, reg.client_id, "", {{pattern = "room"}}, {})
    return true
  end,
}
"""
UNCACHED = """
hooks = {
  auth_on_register = function(reg) return true end,
  auth_on_publish = function(pub) return true end,
}
"""


class Quiet(Mosquitto):
    """Without the log of every packet."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, lines=QUIET, **kwargs)
        self.conf.write_text(self.conf.read_text().replace("log_type all\n", "log_type notice\n"))

    def _listens(self):
        import socket
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0


def with_pinfold(script):
    broker = Pinfold(config={"mqtt": {"script_dir": "lua"}})
    lua = broker.dir / "lua" / "bench.lua"
    lua.parent.mkdir()
    lua.write_text(script)
    broker.start()
    return broker, Quiet(broker.socket)


def hops(directory):
    """Two processes that pass 200 bytes on and 64 back."""
    first, second = directory / "first.sock", directory / "second.sock"
    found = []
    for argv in ([second, "200"], [first, "200", second]):
        found.append(subprocess.Popen([program("hop"), *map(str, argv)],
                                      stdout=subprocess.DEVNULL))
        until(Path(argv[0]).exists, what="hop listens")
    return found, first


class Side:
    def __init__(self, name, mosquitto, others=()):
        self.name = name
        self.mosquitto = mosquitto.start()
        self.others = list(others)
        self.rates = []

    def measure(self, seconds, window):
        out = subprocess.run([program("mqtt_load"), str(self.mosquitto.port), str(seconds),
                              str(window)], stdout=subprocess.PIPE, check=True, text=True)
        self.rates.append(float(out.stdout))

    def stop(self):
        self.mosquitto.close()
        for other in self.others:
            other.kill() if isinstance(other, subprocess.Popen) else other.close()


def compare(first, second, goal, args):
    try:
        for side in (first, second):
            side.measure(0.5, args.window)
            side.rates.clear()
        for _ in range(args.rounds):
            for side in (first, second):
                side.measure(args.seconds, args.window)
    finally:
        first.stop()
        second.stop()
    ours, theirs = (statistics.median(side.rates) for side in (first, second))
    ratio = statistics.median(a / b for a, b in zip(first.rates, second.rates))
    print(f"{first.name:<10} {ours:>8.0f}/s   {second.name:<10} {theirs:>8.0f}/s   "
          f"{ratio:.2f}x (goal {goal})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.7)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--window", type=int, default=20)
    args = parser.parse_args()
    pinfold, mosquitto = with_pinfold(CACHED)
    compare(Side("cached", mosquitto, [pinfold]), Side("no plugin", Quiet()), 0.9, args)
    pinfold, mosquitto = with_pinfold(UNCACHED)
    with tempfile.TemporaryDirectory(prefix="pf-") as directory:
        processes, path = hops(Path(directory))
        echo = Quiet(path, plugin=program("mqtt_echo.so"))
        compare(Side("uncached", mosquitto, [pinfold]), Side("two hops", echo, processes),
                0.8, args)


if __name__ == "__main__":
    main()
