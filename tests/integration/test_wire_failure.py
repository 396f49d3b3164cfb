# SPDX-License-Identifier: Apache-2.0
"""What a caller is told when scripts fail (proto/PROTOCOL.md 5)."""

import pytest

from lib.fake_scripts import ECHO, FAKE, blocking
from lib.rpc import RpcError
from lib.wait import until

# Fails in the way that the id names, if it names this script.
FAILING = """
import msgpack, os, signal, time
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
def run(w, id, p):
    cause, _, who = msgpack.unpackb(p[1])["id"].partition("/")
    ops, effects = [["req.set_path", ME]], [["kv.set", ME, b"1", 0]]
    if who not in (ME, "both"):
        w.answer(id, ops, effects)
    elif cause == "script_error":
        w.fail(id, cause, ME + "/close.lua:1: boom")
    elif cause == "timeout":
        while True:
            time.sleep(1)
    elif cause == "crashed":
        os._exit(1)
    elif cause == "memory":
        os._exit(77)
    elif cause == "denied":
        w.fail(id, cause, "it may not say that")
"""
HOOKS = ("before_request", "close", "ws_msg")
CAUSES = ("script_error", "timeout", "crashed", "memory")


def files(name):
    text = FAILING.replace("ME", repr(name))
    return {hook: text for hook in HOOKS}


@pytest.fixture(scope="module")
def policies():
    from lib.pinfold import Pinfold
    with Pinfold({"worker": FAKE},
                 {name: files(name) for name in
                  ("first", "plain", "fail", "skip", "mixed", "last")},
                 {"plain": {"timeout": "150ms"},
                  "fail": {"timeout": "150ms", "on_error": "fail"},
                  "skip": {"timeout": "150ms", "on_error": "skip"},
                  "mixed": {"timeout": "150ms", "on_error": {
                      "script_error": "skip", "timeout": "fail",
                      "crashed": "skip", "memory": "fail"}}}) as broker:
        yield broker
        assert broker.stop() == 0


def fails(who, hook, cause):
    """By the words of the protocol, not by the broker's table."""
    if hook == "close":
        return False
    if who == "plain":
        return hook == "before_request"
    if who == "mixed":
        return cause in ("timeout", "memory")
    return who == "fail"


ALL = ["first", "plain", "fail", "skip", "mixed", "last"]


@pytest.mark.parametrize("who", ["plain", "fail", "skip", "mixed"])
@pytest.mark.parametrize("cause", CAUSES)
def test_policy(policies, who, cause):
    client, control = policies.client(), policies.control_client()
    others = [name for name in ALL if name != who]
    for hook in HOOKS:
        for key in control.call("kv.list"):
            control.call("kv.delete", [key])
        event = {"id": f"{cause}/{who}"}
        if fails(who, hook, cause):
            error = client.error(hook, [event])
        else:
            result = client.call(hook, [event])
            assert [op[1] for op in result["ops"]] == others
            assert len(result["errors"]) == 1
            error = RpcError(result["errors"][0])
            assert set(error.error) >= {"script", "hook", "code", "message"}
        assert (error.code, error.script, error.hook) == (cause, who, hook)
        assert error.message
        # The others ran in either case, and their effects stand.
        assert sorted(control.call("kv.list")) == \
            sorted(name.encode() for name in others)


def test_a_worker_claims_only_what_is_its_to_claim(policies):
    error = policies.client().error("before_request", [{"id": "denied/plain"}])
    assert error.code == "script_error"


def test_the_first_failure_in_the_chain_is_told(pinfold):
    broker = pinfold({"worker": FAKE},
                     {name: files(name) for name in ("a", "b")},
                     {"a": {"on_error": "skip"}})
    error = broker.client().error("before_request", [{"id": "script_error/both"}])
    assert (error.script, error.code) == ("b", "script_error")
    result = broker.client().call("close", [{"id": "script_error/both"}])
    assert [e["script"] for e in result["errors"]] == ["a", "b"]
    assert result["ops"] == []


def test_a_script_that_does_not_load(pinfold):
    broken = "def load(w, id): w.fail(id, 'script_error', 'x/a.lua:1: no'); 1/0"
    broker = pinfold({"worker": FAKE}, {
        "broken": {"before_request": broken + "\ndef run(w, id, p): pass",
                   "close": ""},
        "good": {"before_request": ECHO, "close": ECHO}})
    client = broker.client()
    error = client.error("before_request", [{"id": "1"}])
    assert (error.code, error.script) == ("unavailable", "broken")
    result = client.call("close", [{"id": "1"}])
    assert result["ops"] == [["req.set_path", "1"]]
    assert [e["code"] for e in result["errors"]] == ["unavailable"]
    broker.wait_log(r"script=broken .*x/a.lua:1: no")


def test_workers_that_only_die(pinfold):
    dying = "import os\ndef run(w, id, p): os._exit(3)"
    broker = pinfold({"worker": FAKE}, {"s": {"before_request": dying},
                                        "good": {"close": ECHO}})
    client, codes = broker.client(), []

    def ask():
        codes.append(client.error("before_request", [{"id": "1"}]).code)
        return codes[-1] == "unavailable"

    until(ask, 15, "the breaker opens")
    assert set(codes[:-1]) == {"crashed"}
    assert client.call("close", [{"id": "1"}])["ops"]
    assert broker.control_client().call("script.list")[0]["state"] == "broken"


# --- error.lua

ERRORS = """
import msgpack
def run(w, id, p):
    event = msgpack.unpackb(p[1])
    note = [NAME, p[0], event["id"]]
    if p[0] == 6:
        err = msgpack.unpackb(p[4])["err"] if p[4] else event["err"]
        note += [err.get("script"), err.get("hook"), err.get("code"),
                 "boom" in err["msg"]]
    with open(PATH, "a") as file:
        file.write(repr(note) + "\\n")
    if NAME in event["id"]:
        w.fail(id, "script_error", "boom")
    else:
        w.answer(id)
"""
BEFORE_REQUEST, ERROR = 2, 6


def test_error_lua_runs_after_the_answer_and_before_the_next(pinfold, tmp_path):
    def text(name):
        return ERRORS.replace("NAME", repr(name)).replace(
            "PATH", repr(str(tmp_path / "notes")))

    both = {name: {"before_request": text(name), "error": text(name)}
            for name in "ab"}
    broker = pinfold({"worker": FAKE}, {**both, "c": {"error": text("c")}},
                     {"a": {"on_error": "skip"}})
    client = broker.client()
    first = client.send("before_request", [{"id": "ab1"}])
    second = client.send("before_request", [{"id": "ab1"}])
    for msgid in (first, second):
        assert client.wait_error(msgid).script == "b"
    # The proxy's own failure, behind all of it by its id.
    client.call("error", [{"id": "ab1", "err": {"msg": "refused, boom"}}])
    notes = [eval(line) for line in (tmp_path / "notes").read_text().splitlines()]
    once = [[name, BEFORE_REQUEST, "ab1"] for name in "ab"]
    for failed in "ab":
        once += [[name, ERROR, "ab1", failed, "before_request", "script_error",
                  True] for name in "abc"]
    own = [[name, ERROR, "ab1", None, None, None, True] for name in "abc"]
    assert notes == once + once + own, "and never for a failure inside error"


# --- deadlines

def test_deadline_ms_answers_early_and_the_run_goes_on(pinfold, tmp_path):
    effect = "w.answer(id, [], [['kv.set', name, b'done', 0]])"
    slow = blocking(tmp_path / "go", after=effect)
    broker = pinfold({"worker": FAKE}, {"a": {"before_request": slow},
                                        "b": {"before_request": slow}})
    client, control = broker.client(), broker.control_client()
    error = client.error("before_request", [{"id": "slow1", "deadline_ms": 60}])
    assert (error.code, error.script) == ("timeout", "a")
    assert control.call("kv.get", ["slow1"]) is None
    (tmp_path / "go").touch()
    until(lambda: control.call("kv.get", ["slow1"]) == b"done", what="it ended")
    until(lambda: control.call("status")["running"] == 0, what="all ended")
    events = {s["name"]: s["events"] for s in control.call("script.list")}
    assert events == {"a": 1, "b": 0}, "a decide hook goes no further"


@pytest.mark.parametrize("deadline", [0, 1, 40])
def test_a_deadline_that_passes_in_the_queue(pinfold, tmp_path, deadline):
    broker = pinfold({"worker": FAKE}, {"s": {
        "before_request": blocking(tmp_path / "go")}})
    client = broker.client()
    held = [client.send("before_request", [{"id": f"slow{n}"}])
            for n in range(1 + 64)]
    error = client.error("before_request",
                         [{"id": "late", "deadline_ms": deadline}])
    assert (error.code, error.script) == ("overloaded", "s")
    (tmp_path / "go").touch()
    for n, msgid in enumerate(held):
        assert client.wait(msgid)["ops"] == [["req.set_path", f"slow{n}"]]


def test_a_deadline_that_passes_behind_its_own_id(pinfold, tmp_path):
    """Not begun: the caller is told in time, and the order stays."""
    broker = pinfold({"worker": FAKE}, {"s": {
        "before_request": blocking(tmp_path / "go")}})
    client = broker.client()
    sent = [client.send("before_request", [{"id": "slow"}])]
    late = client.send("before_request", [{"id": "slow", "deadline_ms": 50}])
    sent.append(client.send("before_request", [{"id": "slow"}]))
    assert client.wait_error(late).code == "overloaded"
    (tmp_path / "go").touch()
    for msgid in sent:
        assert client.wait(msgid)["ops"] == [["req.set_path", "slow"]]
    control = broker.control_client()
    assert control.call("script.list")[0]["events"] == 2


def test_hook_timeout_is_the_chains(pinfold, tmp_path):
    slow = blocking(tmp_path / "go")
    broker = pinfold({"worker": FAKE, "hook_timeout": "150ms"},
                     {"a": {"close": ECHO}, "b": {"close": slow}})
    result = broker.client().call("close", [{"id": "slow"}])
    assert [(e["script"], e["code"]) for e in result["errors"]] == \
        [("b", "timeout")]
    assert result["ops"] == [["req.set_path", "slow"]]
    (tmp_path / "go").touch()


def test_ops_over_the_limit_keep_what_came_before(pinfold):
    big = "w.answer(id, [['resp.set_body', b'x' * (9 << 20)]])"
    broker = pinfold({"worker": FAKE}, {
        "a": {"close": f"def run(w, id, p): {big}"},
        "b": {"close": f"def run(w, id, p): {big}"},
        "c": {"close": ECHO}})
    result = broker.client().call("close", [{"id": "1"}])
    assert [op[0] for op in result["ops"]] == ["resp.set_body", "req.set_path"]
    assert [(e["script"], e["code"]) for e in result["errors"]] == \
        [("b", "too_large")]
