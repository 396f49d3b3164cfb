# SPDX-License-Identifier: Apache-2.0
"""Workers that lie: each is ended, its run fails, everybody else goes on."""

from pathlib import Path

import pytest

FAKE = Path(__file__).resolve().parents[1] / "lib" / "fake_worker.py"

HONEST = "def run(w, id, p): w.answer(id, [['req.set_path', '/ok']])"

LIES = {
    "answers_nobody": "w.answer(id + 1)",
    "answers_an_old_id": "w.answer(id & 0xfff)",
    "answers_twice": "w.answer(id); w.answer(id)",
    "unknown_op": "w.answer(id, [['req.explode', '/']])",
    "op_of_wrong_type": "w.answer(id, [['req.set_path', 3]])",
    "op_with_too_few": "w.answer(id, [['req.set_header', 'X-A']])",
    "header_with_crlf": "w.answer(id, [['req.set_header', 'X-A', 'a\\r\\nB: c']])",
    "header_name_with_space": "w.answer(id, [['req.del_header', 'X A']])",
    "status_out_of_range": "w.answer(id, [['resp.set_status', 42]])",
    "ops_that_end_early": "w.send([1, id, None, [b'\\x92\\xa3abc', 1, None, 0]])",
    "result_that_is_none": "w.send([1, id, None, 7])",
    "unknown_question": "w.send([0, 1, 'shell.run', [id, 'id']])",
    "question_for_a_stranger": "w.send([0, 1, 'kv.get', [id + 1, 'a']])",
    "question_out_of_turn": "w.send([0, 1, 'source.get', [1, 'x.lua']])",
    "two_questions_at_once": "[w.send([0, i, 'kv.list', [id, '']]) for i in (1, 2)]",
    "unknown_notification": "w.send([2, 'please', [id]])",
    "a_stranger_runs": "w.send([2, 'running', [id + 1]])",
    "running_is_none": "w.send([2, 'running', ['it']])",
    "ready_again": "w.send([2, 'ready', [{}]])",
    "no_messagepack": "w.raw(b'\\xc1')",
    "a_length_of_4_gib": "w.raw(b'\\x94\\x01\\x01\\xc0\\xc6\\xff\\xff\\xff\\xff')",
    "nested_too_deep": "w.raw(b'\\x91' * 40)",
    "effect_unknown": "w.answer(id, [], [['disk.format']])",
    "effect_of_wrong_type": "w.answer(id, [], [['kv.set', 1, 2, 3]])",
    "effect_of_a_foreign_blob": "w.answer(id, [], [['artifact.write', 'a', 77, 5]])",
    "effect_name_climbs": "w.answer(id, [], [['artifact.delete', '../a']])",
    "exits_with_zero": "raise SystemExit(0)",
    "closes_its_socket": "import os; os.close(3); import time; time.sleep(60)",
    "shuts_its_side": "import socket, time; s = socket.socket(fileno=3); "
                      "s.shutdown(socket.SHUT_WR); time.sleep(60)",
    "half_an_answer": "w.raw(b'\\x94\\x01'); raise SystemExit(0)",
    "answers_by_name": "w.send([1, 'before_request', None, [None, 0, None, 0]])",
    "answers_its_load_again": "w.send([1, 1, None, {'hooks': []}])",
    "asks_as_its_load": "w.send([0, 1, 'kv.get', [1, 'a']])",
    "an_error_that_is_none": "w.send([1, id, 'broken', None])",
    "counts_that_lie": "w.send([1, id, None, [b'', 1 << 40, b'\\xff' * 99, -1]])",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_ends_the_liar(pinfold, lie):
    script = f"def run(w, id, p):\n    {LIES[lie]}"
    broker = pinfold({"worker": str(FAKE)},
                     {"liar": {"before_request": script},
                      "honest": {"close": HONEST}})
    client = broker.client()
    before = broker.children()

    if lie == "answers_twice":      # the first answer was a good one
        client.call("before_request", [{"id": "1"}])
    else:
        error = client.error("before_request", [{"id": "1"}])
        assert error.code == "crashed", error
        assert error.script == "liar"
    assert client.call("close", [{"id": "2"}])["ops"] == \
        [["req.set_path", "/ok"]]
    broker.wait_log(r"worker ended script=liar")
    assert broker.process.poll() is None
    assert set(broker.children()) != set(before)
    broker.wait_log(r"worker ended script=liar .*" if lie not in
                    ("exits_with_zero", "closes_its_socket", "half_an_answer")
                    else r"worker ended script=liar .*cause=crashed")
    assert broker.stop() == 0


def test_an_answer_that_drips_is_one(pinfold):
    drip = """
import msgpack
def run(w, id, p):
    op = msgpack.packb(["req.set_path", "/" + "x" * 300])
    for byte in msgpack.packb([1, id, None, [op, 1, None, 0]]):
        w.raw(bytes([byte]))
"""
    broker = pinfold({"worker": str(FAKE)}, {"s": {"before_request": drip},
                                             "honest": {"close": HONEST}})
    client = broker.client()
    sent = [client.send("before_request", [{"id": str(i)}]) for i in range(5)]
    assert client.call("close", [{"id": "x"}])["ops"] == \
        [["req.set_path", "/ok"]]
    for msgid in sent:
        assert client.wait(msgid)["ops"] == [["req.set_path", "/" + "x" * 300]]


def test_an_answer_that_never_ends_is_late(pinfold):
    """Half of it holds nobody longer than the deadline."""
    broker = pinfold({"worker": str(FAKE)}, {"s": {
        "before_request": "import time\n"
        "def run(w, id, p): w.raw(b'\\x94\\x01'); time.sleep(60)"},
        "honest": {"close": HONEST}}, {"s": {"timeout": "200ms"}})
    client = broker.client()
    late = client.send("before_request", [{"id": "1"}])
    assert client.call("close", [{"id": "x"}])["ops"] == \
        [["req.set_path", "/ok"]]
    assert client.wait_error(late).code == "timeout"
    broker.wait_log("worker ended script=s .*cause=timeout")


def test_a_memory_exit_is_told_as_memory(pinfold):
    broker = pinfold({"worker": str(FAKE)}, {"s": {
        "before_request": "import os\ndef run(w, id, p): os._exit(77)"}})
    error = broker.client().error("before_request", [{"id": "1"}])
    assert error.code == "memory"


def test_runs_that_cannot_have_begun_go_to_the_next_worker(pinfold):
    script = """
import os
def run(w, id, p):
    import msgpack
    if msgpack.unpackb(p[1])["id"] == "poison":
        os._exit(1)
    w.answer(id, [["req.set_path", "/fine"]])
"""
    broker = pinfold({"worker": str(FAKE)}, {"s": {"before_request": script}})
    client = broker.client()
    poison = client.send("before_request", [{"id": "poison"}])
    others = [client.send("before_request", [{"id": str(i)}])
              for i in range(20)]
    with pytest.raises(Exception) as caught:
        client.wait(poison)
    assert caught.value.code == "crashed"
    for msgid in others:
        assert client.wait(msgid)["ops"] == [["req.set_path", "/fine"]]


def test_effects_stand_and_are_seen_by_the_next(pinfold):
    writer = """
def run(w, id, p):
    w.answer(id, [], [["kv.set", "a", b"1", 0], ["bus.emit", "e", {"x": 1}]])
"""
    reader = """
def run(w, id, p):
    error, value = w.call("kv.get", id, "a")
    w.answer(id, [["req.set_path", value.decode()]])
"""
    broker = pinfold({"worker": str(FAKE)},
                     {"a": {"before_request": writer},
                      "b": {"before_request": reader}})
    client = broker.client()
    client.call("bus.subscribe", [{"names": ["*"]}])
    result = client.call("before_request", [{"id": "1"}])
    assert result["ops"] == [["req.set_path", "1"]]
    event = client.wait_notification("bus.event")[0]
    assert event["name"] == "e" and event["from"] == "a"
    assert event["data"] == {"x": 1}
    broker.kill()
    broker.start()
    assert broker.client().call("before_request", [{"id": "2"}])["ops"] == \
        [["req.set_path", "1"]]
