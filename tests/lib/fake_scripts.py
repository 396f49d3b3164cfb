# SPDX-License-Identifier: Apache-2.0
"""Scripts for fake_worker.py that several tests use, and how to name it."""

from pathlib import Path

FAKE = str(Path(__file__).resolve().parent / "fake_worker.py")

# Answers with what it got.
ECHO = """
import msgpack
def run(w, id, p):
    event = msgpack.unpackb(p[1], strict_map_key=False)
    w.answer(id, [["req.set_path", event.get("id", "none")]])
"""

# Keeps events whose id begins with "hold" until one with the id "go" comes.
HOLD = """
import msgpack
held = []
def run(w, id, p):
    event = msgpack.unpackb(p[1], strict_map_key=False)
    name = event.get("id") or event[b"id"].decode()
    if name.startswith("hold"):
        held.append((id, name))
        return
    if name == "go":
        for other, its in held:
            w.answer(other, [["req.set_path", its]])
        held.clear()
    w.answer(id, [["req.set_path", name]])
"""


def blocking(path, before="", after="w.answer(id, [['req.set_path', name]])"):
    """Stands still in events named "slow..." until `path` exists."""
    return f"""
import msgpack, os, signal, time
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
def run(w, id, p):
    name = msgpack.unpackb(p[1])["id"]
    {before or 'pass'}
    while name.startswith("slow") and not os.path.exists({str(path)!r}):
        time.sleep(0.005)
    {after}
"""
