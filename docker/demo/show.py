# SPDX-License-Identifier: Apache-2.0
"""Shows, in docker/compose.yaml, that events are changed and workers restarted.

Ends with 0 only when everything came out as it says.
"""

import http.client
import os
import signal
import socket
import sys
import time

import msgpack

ORIGIN = ("origin", 8000)
PROXY = ("proxy", 8080)
CONTROL = "/run/pinfold/control.sock"
TIMEOUT = 60
KILLS = 3


class Failed(Exception):
    """Something did not come out as it says here."""


def say(text=""):
    print(text, flush=True)


def headline(text):
    say(f"\n=== {text}")


def expect(condition, what):
    if not condition:
        raise Failed(what)


def wait(check, what):
    deadline = time.monotonic() + TIMEOUT
    while not check():
        expect(time.monotonic() < deadline, what)
        time.sleep(0.01)


def get(peer, path):
    """A GET of the origin's `path`, printed; (status, headers, body)."""
    say(f"  sent      GET {path} to {peer[0]}   Referer: http://elsewhere.test/")
    connection = http.client.HTTPConnection(*peer, timeout=30)
    url = f"http://{ORIGIN[0]}:{ORIGIN[1]}{path}" if peer == PROXY else path
    connection.request("GET", url, headers={"Referer": "http://elsewhere.test/"})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    say(f"  got back  {response.status} {response.reason}")
    for name, value in response.getheaders():
        say(f"            {name}: {value}")
    say("  body")
    for line in body.strip().splitlines():
        say(f"            {line}")
    return response.status, dict(response.getheaders()), body


def control(method, *params):
    """One request to the control socket, as PROTOCOL.md says."""
    unpacker = msgpack.Unpacker(strict_map_key=False)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(CONTROL)
        sock.sendall(msgpack.packb([0, 1, method, params]))
        while True:
            data = sock.recv(65536)
            expect(data, f"{method} is answered")
            unpacker.feed(data)
            for _, _, error, result in unpacker:
                expect(error is None, f"{method}: {error}")
                return result


def counter_worker():
    """The worker that serves the counter, or None while there is none."""
    script = control("script.show", "counter")
    if script["state"] != "ready" or not script["workers"]:
        return None
    return script["workers"][0]


def show_changes():
    headline("straight to the web server: nothing is changed")
    _, headers, seen = get(ORIGIN, "/hello")
    expect("Referer" in seen and "X-Seen-By" not in seen, "unchanged request")
    expect("Server" in headers, "unchanged response")
    headline("through the proxy: requests and responses are changed")
    status, headers, seen = get(PROXY, "/hello")
    expect(status == 200, "status 200")
    expect("X-Seen-By: pinfold" in seen, "the web server sees X-Seen-By")
    expect("Referer" not in seen, "the web server sees no Referer")
    expect("Server" not in headers, "no Server header comes back")
    expect(headers.get("X-Frame-Options") == "DENY", "X-Frame-Options")
    headline("a script answers, the web server is not asked")
    status, _, body = get(PROXY, "/block/this")
    expect(status == 403 and "Blocked by pinfold" in body, "403")
    return request_number(seen)


def request_number(seen):
    for line in seen.splitlines():
        if line.startswith("X-Request-Number: "):
            return int(line.split()[1])
    raise Failed("the web server sees X-Request-Number")


def show_kill(number):
    headline("a worker is killed: another takes its place")
    restarts = counter_worker()["restarts"]
    for _ in range(KILLS):
        pid = counter_worker()["pid"]
        say(f"  $ kill -9 {pid}      (it runs the counter)")
        os.kill(pid, signal.SIGKILL)
        wait(lambda: (counter_worker() or {"pid": pid})["pid"] != pid,
             "a new worker")
        worker = counter_worker()
        say(f"  pinfoldd has put {worker['pid']} in its place, "
            f"restart {worker['restarts'] - restarts}")
    expect(worker["restarts"] == restarts + KILLS, "as many restarts as kills")
    _, _, seen = get(PROXY, "/after")
    expect(request_number(seen) == number + 1, "the count went on")


def show_layers():
    headline("what holds a worker here")
    worker = counter_worker()
    say(f"  sandbox   {' '.join(worker['sandbox'])}")
    say(f"  missing   {' '.join(worker['missing']) or 'nothing'}")
    expect("seccomp" in worker["sandbox"], "seccomp")


def main():
    try:
        number = show_changes()
        show_kill(number)
        show_layers()
        headline("all as it should be")
    except (Failed, OSError) as error:
        say(f"\nNOT as it should be: {error!r}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
