#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The disk is filled and freed under load; events go on, nothing is lost.

    tests/chaos/full_disk.py [--rounds 50] [--seed N]

The database lies on a small file system of its own, which another process fills
as fast as it can. The verdict, for each round: writes fail with `storage` and
with nothing else, events that write nothing are answered, and once there is
room again writes go on; the process is the one that was started. At the end it
is killed with the disk full: it starts again, answers, and has every write that
was acknowledged.

Needs to mount: root, or a user who may make namespaces.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.pinfold import Pinfold  # noqa: E402
from lib.rpc import RpcError  # noqa: E402
from lib.wait import until  # noqa: E402
from load import Load, arguments, code_of, count, finish, verdict  # noqa: E402

WINDOW, PATIENCE, ASKED = 32, 20, 500
SCRIPTS = {
    "write": {"before_request": 'kv.set("k:" .. ctx.id, ctx.id)\n'
                                'kv.set("pad:" .. ctx.id % 256, '
                                'string.rep("x", 20000))'},
    "answer": {"close": 'mut.req.set_path("/ok")'},
}
OK = [["req.set_path", "/ok"]]


class SmallDisk:
    """A file system of that size, mounted where only its processes see it.

    `prefix` starts a command in there, `root` is the way in from outside.
    """

    def __init__(self, size):
        self.dir = Path(tempfile.mkdtemp(prefix="pf-"))
        (self.dir / "data").mkdir()
        script = (f'mount -t tmpfs -o size={size} none "$0" && echo mounted && '
                  'exec sleep 86400')
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        self.holder = subprocess.Popen(
            ["unshare", *user, "--mount", "--propagation", "private", "sh",
             "-c", script, str(self.dir / "data")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self.holder.stdout.readline() != b"mounted\n":
            raise OSError(self.holder.communicate()[1].decode())
        pid = str(self.holder.pid)
        self.prefix = ["nsenter", "--target", pid, "--mount", "--"]
        if user:    # root in there is nobody else's: be the user again
            self.prefix[3:3] = ["--user", "--preserve-credentials"]
            self.prefix += ["unshare", f"--map-user={os.geteuid()}",
                            f"--map-group={os.getegid()}", "--"]
        self.root = Path(f"/proc/{pid}/root{self.dir}/data")

    def free(self):
        stat = os.statvfs(self.root)
        return stat.f_bavail * stat.f_frsize

    def fill(self):
        """Another process takes all there is, as fast as it can."""
        subprocess.run(["sh", "-c", 'cat /dev/zero >> "$0"',
                        str(self.root / "rubbish")], stderr=subprocess.DEVNULL)

    def clear(self):
        (self.root / "rubbish").unlink()

    def close(self):
        self.holder.kill()
        self.holder.communicate()
        shutil.rmtree(self.dir, ignore_errors=True)


class Writer(Load):
    """Writes number after number, and remembers what became of each."""

    def __init__(self, broker):
        super().__init__(broker, WINDOW)
        self.good, self.codes = [], {}

    def event(self, n):
        return "before_request", {"id": str(n)}

    def took(self, n, hook, error, result):
        code = code_of(error, result)
        count(self.codes, code)
        if code == "ok":
            self.good.append(n)

    def sees(self, code):
        """From now on, there is an answer with that code. How long it took."""
        before, start = self.codes.get(code, 0), time.monotonic()
        until(lambda: self.codes.get(code, 0) > before or self.wrong, PATIENCE,
              f"an answer `{code}`")
        assert not self.wrong, self.wrong
        return time.monotonic() - start


def broker_on(disk):
    broker = Pinfold({"log": {"level": "error"}}, SCRIPTS,
                     {"write": {"on_error": "fail"}}, dir=disk.dir,
                     prefix=disk.prefix)
    assert str(disk.dir / "control.sock") in broker.config_file.read_text()
    return broker


def written(client):
    try:
        client.call("before_request", [{"id": "0"}])
        return True
    except RpcError as error:
        assert error.code == "storage", error
        return False


def present(control, numbers):
    """Those of them that the store has."""
    found = set()
    for at in range(0, len(numbers), ASKED):
        sent = {n: control.send("kv.get", [f"k:{n}"])
                for n in numbers[at:at + ASKED]}
        found |= {n for n, msgid in sent.items()
                  if control.wait(msgid, PATIENCE) is not None}
    return found


def rounds_of(broker, disk, writer, rounds, out):
    """Fill and free; the longest time until writes went on."""
    reader, longest = broker.client(), 0
    for _ in range(rounds):
        writer.sees("ok")
        disk.fill()
        writer.sees("storage")
        if reader.call("close", [{"id": "1"}])["ops"] != OK:
            return ["an event that writes nothing went wrong"]
        disk.clear()
        longest = max(longest, writer.sees("ok"))
    out(f"{rounds} rounds, writes went on within {longest:.2f} s")
    return []


def fill_and_free(disk, broker, rounds, out=print):
    """The verdict; leaves the broker running and the disk full."""
    broker.start()
    pid, writer = broker.pid, Writer(broker)
    writer.start()
    try:
        wrong = rounds_of(broker, disk, writer, rounds, out)
    except (AssertionError, TimeoutError) as error:
        wrong = [f"{error}: {writer.codes} {broker.log()[-1000:]}"]
    wrong += finish([writer])
    if broker.process.poll() is not None or broker.pid != pid:
        wrong.append("it has ended by itself\n" + broker.log()[-1000:])
    if set(writer.codes) != {"ok", "storage"}:
        wrong.append(f"codes that should not be: {writer.codes}")
    disk.fill()
    broker.kill()
    if wrong or disk.free() >= 1 << 20:
        return wrong or ["the disk was not full"]
    broker.start()
    if broker.client().call("close", [{"id": "1"}])["ops"] != OK:
        return ["started on a full disk it does not answer"]
    lost = set(writer.good) - present(broker.control_client(), writer.good)
    out(f"{writer.sent} writes, answers {writer.codes}, {len(lost)} lost")
    return [f"acknowledged, and lost: {sorted(lost)[:10]}"] if lost else []


def run(rounds, out=print):
    """The verdict: a list of what was wrong, empty when all is well."""
    disk = SmallDisk("320m")
    broker = broker_on(disk)
    try:
        return fill_and_free(disk, broker, rounds, out)
    finally:
        broker.kill()
        disk.close()


def main():
    args = arguments(rounds=50)
    return verdict("full disk", run(args.rounds))


if __name__ == "__main__":
    sys.exit(main())
