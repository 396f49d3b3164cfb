# SPDX-License-Identifier: Apache-2.0
"""Workers that stop, hang, crash in loops and die at chosen moments: every
event is answered exactly once with the right code, and the others go on.
"""

import itertools
import os
import signal
import time
from pathlib import Path

import pytest

from lib.rpc import RpcError, lazy, pack
from lib.wait import until

FAKE = Path(__file__).resolve().parents[1] / "lib" / "fake_worker.py"
# Memory is limited by the worker's own heap, which sanitizers replace: these
# tests take the worker of the release build, whatever the broker is.
RELEASE = Path(os.environ.get("PINFOLD_RELEASE",
                              Path(__file__).resolve().parents[2] / "build"))
LIMITED = {"worker": str(RELEASE / "pinfold-worker")}
ANSWER = 'mut.req.set_path("/" .. ctx.id)'
BOMB = """
if ctx.req.path:sub(1, 4) == "bomb" then
  local t = {} for i = 1, 1e9 do t[i] = {i} end
end
""" + ANSWER


def event(i, path="/"):
    return [{"id": str(i), "req": {"path": path}}]


def status(control, name):
    return next(s for s in control.call("status")["scripts"]
                if s["name"] == name)


def outcome(client, msgid, timeout=30):
    """`ok` and the path that was set, or the code of the failure."""
    try:
        result = client.wait(msgid, timeout)
    except RpcError as error:
        return error.code
    if result["errors"]:
        return result["errors"][0]["code"]
    return result["ops"][0][1] if result["ops"] else "ok"


def outcomes(client, msgids):
    return [outcome(client, msgid) for msgid in msgids]


def assert_silent(client):
    """Nothing came twice: whatever is still said, is said by now."""
    client.call("connect", [{"id": "last"}])
    assert not client.answers


# --- workers that stop, events that take too long


def test_a_stopped_worker_is_found_and_replaced(pinfold):
    """R3: half dead, it holds nobody longer than timeout and grace."""
    broker = pinfold(scripts={"s": {"before_request": ANSWER},
                              "other": {"close": ANSWER}},
                     settings={"s": {"timeout": "300ms", "concurrency": 2}})
    client, control = broker.client(timeout=30), broker.control_client()
    for round in range(3):
        worker, = status(control, "s")["workers"]
        assert outcome(client, client.send("before_request", event(1))) == "/1"
        os.kill(worker["pid"], signal.SIGSTOP)
        sent = [client.send("before_request", event(i)) for i in range(6)]
        beside = client.send("close", event("b"))
        assert outcome(client, beside) == "/b"
        got = outcomes(client, sent)
        # Two lanes had begun: the oldest is late, its neighbour dies with it
        # (or is late itself); the others have run on the next worker.
        assert set(got[:2]) <= {"timeout", "crashed"} and "timeout" in got[:2]
        assert got[2:] == ["/2", "/3", "/4", "/5"]
        again, = status(control, "s")["workers"]
        assert again["pid"] != worker["pid"]
        assert worker["pid"] not in broker.children()
    assert_silent(client)


def test_late_events_among_good_ones(pinfold):
    """R4: one in twenty loops; soft stop, and only those fail."""
    script = 'if ctx.req.path == "loop" then while true do end end\n' + ANSWER
    broker = pinfold(scripts={"s": {"before_request": script}},
                     settings={"s": {"timeout": "60ms"}})
    client, control = broker.client(timeout=60), broker.control_client()
    pids = set(broker.children())
    sent = [client.send("before_request", event(i, "/" if i % 20 else "loop"))
            for i in range(200)]
    for i, got in enumerate(outcomes(client, sent)):
        assert got == (f"/{i}" if i % 20 else "timeout"), i
    assert set(broker.children()) == pids       # stopped softly, all ten
    assert status(control, "s")["errors"] == {"timeout": 10}
    assert_silent(client)


@pytest.mark.parametrize("loop", [
    "while true do end",
    # One call that takes seconds, of a function in C: no hook sees it.
    """local t = {}
    for i = 1, 1900 do t = setmetatable({}, {__index = t}) end
    t = setmetatable({}, {__index = t, __len = function() return 1e6 | 0 end})
    while true do pcall(table.concat, t) pcall(table.insert, t, 1, 1) end"""],
    ids=["in Lua", "in C"])
def test_an_answer_does_not_wait_behind_a_long_run(pinfold, loop):
    """A worker gathers what it says. When one of its runs takes long, what the
    others have said leaves before that is over."""
    script = f'if ctx.req.path == "loop" then {loop} end\n' + ANSWER
    broker = pinfold(scripts={"s": {"before_request": script}},
                     settings={"s": {"timeout": "5s"}})
    client, control = broker.client(timeout=60), broker.control_client()
    sent = [pack([0, 100 + i, "before_request", event(i, path)])
            for i, path in enumerate(["/", "/", "loop", "/"])]
    client.send_raw(b"".join(sent))
    assert outcomes(client, [100, 101]) == ["/0", "/1"]
    assert control.call("status")["running"] == 2, "the loop still runs"
    assert outcomes(client, [102, 103]) == ["timeout", "/3"]


def test_a_call_does_not_wait_behind_a_long_run(pinfold):
    """One lane asks, the other runs on: the question leaves nevertheless, and
    who asked in time is not taken for late."""
    script = """if ctx.req.path == "loop" then while true do end end
        kv.incr("asked") """ + ANSWER
    broker = pinfold(scripts={"s": {"before_request": script}},
                     settings={"s": {"timeout": "5s", "concurrency": 2}})
    client, control = broker.client(timeout=60), broker.control_client()
    sent = [pack([0, 100 + i, "before_request", event(i, path)])
            for i, path in enumerate(["/", "loop"])]
    client.send_raw(b"".join(sent))
    until(lambda: control.call("kv.get", ["asked"]), 30, "it has asked")
    assert control.call("status")["running"] == 2, "the loop still runs"
    assert outcome(client, 101) == "timeout"
    assert outcome(client, 100) in ("/0", "timeout")


def processors(worker):
    return os.sched_getaffinity(worker["pid"])


def test_long_runs_keep_off_some_processors(pinfold):
    """R4: behind one that computes, whoever wakes up waits for a tick."""
    broker = pinfold(scripts={"long": {"before_request": "while true do end",
                                       "close": ANSWER},
                              "short": {"before_response": ANSWER}},
                     settings={"long": {"timeout": "1s", "concurrency": 1}})
    client, control = broker.client(timeout=30), broker.control_client()
    long, = status(control, "long")["workers"]
    short, = status(control, "short")["workers"]
    every = sorted(os.sched_getaffinity(0))
    spared = every[:max(1, len(every) // 4)] if len(every) > 1 else []
    left = set(every) - set(spared)

    sent = client.send("before_request", event(1))
    until(lambda: processors(long) == left, 0.9)
    assert outcome(client, client.send("before_response", event(2))) == "/2"
    assert processors(short) == set(every)
    assert outcome(client, sent) == "timeout"
    assert outcome(client, client.send("close", event(3))) == "/3"
    until(lambda: processors(long) == set(every), what="all are back")


def test_a_run_that_waits_keeps_its_processors(pinfold):
    broker = pinfold(scripts={"s": {"before_request":
                                    "mut.req.set_path(ctx.req.body)"}})
    client, control = broker.client(timeout=30), broker.control_client()
    client.hello()
    worker, = status(control, "s")["workers"]
    seen = []

    def look(*_):
        for _ in range(10):
            seen.append(processors(worker))
            time.sleep(0.01)
        return b"/" * 10

    client.handlers["body.get"] = look
    sent = client.send("before_request", [{"id": "1",
                                           "req": {"body": lazy(10)}}])
    assert outcome(client, sent) == "/" * 10
    assert seen == [os.sched_getaffinity(0)] * 10


# --- poison and crash loops


def test_poison_harms_itself_only(pinfold):
    """R5: a poisoned event kills two workers at most, and with each death at
    most one event fails: the oldest whose answer had not come."""
    broker = pinfold(LIMITED, {"s": {"before_request": BOMB}},
                     settings={"s": {"memory": "8MiB"}})
    client, control = broker.client(timeout=60), broker.control_client()
    poison = set(range(7, 200, 50))
    sent = [client.send("before_request", event(i, f"bomb{i}" if i in poison
                                                else "/"))
            for i in range(200)]
    got = outcomes(client, sent)
    failed = {i for i, one in enumerate(got) if one != f"/{i}"}
    assert {got[i] for i in failed} == {"memory"}
    worker, = status(control, "s")["workers"]
    assert poison <= failed
    assert len(failed) == worker["restarts"] <= 2 * len(poison)
    assert status(control, "s")["state"] == "ready"
    assert status(control, "s")["errors"] == {"memory": len(failed)}
    assert_silent(client)


def test_only_poison_opens_the_breaker_and_work_closes_it(pinfold):
    """R6 with real workers: five deaths without a good answer in between."""
    broker = pinfold(LIMITED, {"s": {"before_request": BOMB},
                               "other": {"close": ANSWER}},
                     settings={"s": {"memory": "8MiB"}})
    client, control = broker.client(timeout=60), broker.control_client()
    codes, n = [], 0
    while "unavailable" not in codes:
        n += 1
        assert n < 50
        codes.append(outcome(client, client.send("before_request",
                                                 event(n, f"bomb{n}"))))
    assert codes == ["memory"] * 5 + ["unavailable"]
    shown = status(control, "s")
    assert shown["state"] == "broken" and not shown["workers"]
    assert shown["errors"] == {"memory": 5, "unavailable": 1}
    broker.wait_log(r"breaker open script=s")
    assert outcome(client, client.send("close", event("b"))) == "/b"
    # After the pause a worker is tried; a good answer closes the breaker.
    until(lambda: outcome(client, client.send("before_request",
                                              event("x"))) == "/x", 20)
    assert status(control, "s")["state"] == "ready"
    # And closed it is: the next death is the first again.
    assert outcome(client, client.send("before_request",
                                       event(1, "bomb"))) == "memory"
    assert until(lambda: outcome(client, client.send(
        "before_request", event("y"))) == "/y", 20)


LOOPS = {
    "at_load": "import os\ndef load(w, id): os._exit(3)\n"
               "def run(w, id, p): pass",
    "at_first_event": "import os\ndef run(w, id, p): os._exit(3)",
    "after_a_second": "import os, threading\n"
                      "threading.Timer(0.2, os._exit, (3,)).start()\n"
                      "def run(w, id, p): os._exit(3)",
}


def test_twenty_crash_loops_are_bounded(pinfold):
    """R6: deaths are counted, not time: after n deaths in a row at most n + 1
    were spawned, back-off bounds the rest, and a bystander notices nothing."""
    scripts = {f"{kind}_{i}": {"before_request": text}
               for kind, text in LOOPS.items() for i in range(7)}
    scripts["good"] = {"close": "def run(w, id, p): "
                                "w.answer(id, [['req.set_path', '/fine']])"}
    skip = {name: {"on_error": "skip"} for name in scripts}
    broker = pinfold({"worker": str(FAKE), "log": {"level": "warn"}}, scripts,
                     skip)
    client, control = broker.client(timeout=60), broker.control_client()
    good = status(control, "good")["workers"]
    crashing = [name for name in scripts if name != "good"]

    opened = set()

    def all_opened():
        client.call("before_request", event("x", str(time.monotonic())))
        assert outcome(client, client.send("close", event("b"))) == "/fine"
        opened.update(name for name in crashing
                      if status(control, name)["state"] == "broken")
        return opened == set(crashing)

    until(all_opened, 60, "every breaker is open")
    result = client.call("before_request", event("x", "last"))
    assert {e["script"]: e["code"] for e in result["errors"]}.keys() == \
        set(crashing)
    assert {e["code"] for e in result["errors"]} <= {"unavailable", "crashed"}
    assert status(control, "good")["workers"] == good
    # 5 deaths open it, with pauses of 0, 0.1, 0.2, 0.4 s between them; from
    # then on each costs twice as much. What the log counts is bounded by that.
    for name in crashing:
        deaths = broker.log().count(f"worker ended script={name} ")
        assert 5 <= deaths <= 12, (name, deaths)    # 12: after 50 s
        assert status(control, name)["errors"].get("crashed", 0) <= deaths
    assert broker.stop() == 0


def test_a_script_that_is_mended_serves_again(pinfold):
    """The breaker is open; a reload brings a script that works."""
    broker = pinfold({"worker": str(FAKE)},
                     {"s": {"before_request": LOOPS["at_first_event"]}})
    client, control = broker.client(), broker.control_client()
    numbers = itertools.count()
    until(lambda: outcome(client, client.send("before_request", event(
        1, f"{next(numbers)}"))) == "unavailable", 30)
    assert status(control, "s")["state"] == "broken"
    broker.write_script("s", "before_request", "def run(w, id, p): "
                        "w.answer(id, [['req.set_path', '/well']])")
    row, = control.call("reload")
    assert row["result"] == "loaded"
    assert outcome(client, client.send("before_request", event(2))) == "/well"
    assert status(control, "s")["state"] == "ready"


MENDED = """
import os
def load(w, id):
    if not os.path.exists(GO):
        os._exit(3)
def run(w, id, p): w.answer(id, [["req.set_path", "/well"]])
"""


def test_a_restart_tries_now(pinfold, tmp_path):
    """Not after the pause that deaths have brought, six seconds by now."""
    go = tmp_path / "go"
    broker = pinfold({"worker": str(FAKE)}, {"s": {
        "before_request": MENDED.replace("GO", repr(str(go)))}})
    client, control = broker.client(timeout=60), broker.control_client()
    until(lambda: broker.log().count("worker ended script=s ") == 8, 30)
    assert status(control, "s")["state"] == "broken"
    go.touch()
    assert control.call("script.restart", ["s"]) is True
    until(lambda: status(control, "s")["state"] == "ready", 3)
    assert outcome(client, client.send("before_request", event(1))) == "/well"


def test_restarts_are_no_deaths(pinfold):
    """Workers that have answered nothing yet and are replaced because
    somebody wants so open no breaker."""
    broker = pinfold(scripts={"s": {"before_request": ANSWER}},
                     settings={"s": {"workers": 8}})
    client, control = broker.client(timeout=60), broker.control_client()
    until(lambda: len(status(control, "s")["workers"]) == 8, 30)
    before = {worker["pid"] for worker in status(control, "s")["workers"]}
    control.call("script.restart", ["s"])
    sent = [client.send("before_request", event(i)) for i in range(8)]
    assert set(outcomes(client, sent)) <= {f"/{i}" for i in range(8)}
    until(lambda: broker.log().count("cause=restart") == 8, 30)
    until(lambda: len({worker["pid"] for worker in
                       status(control, "s")["workers"]} - before) == 8, 30)
    assert "breaker" not in broker.log()


def test_a_restart_of_what_does_not_load_is_refused(pinfold):
    """A new worker would get the same sources."""
    broker = pinfold(scripts={"s": {"before_request": "(("},
                              "good": {"close": ANSWER}})
    error = broker.control_client().error("script.restart", ["s"])
    assert error.code == "unavailable"
    assert "s/before_request.lua:1:" in error.message
    assert "reload" in error.message


# --- who fails when a worker dies, and who goes on


DIES = """
import os, msgpack
def run(w, id, p):
    event = msgpack.unpackb(p[1])
    how = event["req"]["path"]
    if how == "call":                   # a call makes it one that has begun
        w.call("kv.get", id, "a")
        held.append(id)
        return
    if how == "hold":
        held.append(id)
        return
    if how.startswith("die"):
        os._exit(9)
    if how == "effect then die":        # answered whole, then death
        w.answer(id, [["req.set_path", "/" + event["id"]]],
                 [["kv.set", event["id"], b"1", 0]])
        os._exit(9)
    w.answer(id, [["req.set_path", "/" + event["id"]]])
held = []
"""


def dying(pinfold, concurrency=1, workers=1):
    broker = pinfold({"worker": str(FAKE)},
                     {"s": {"before_request": DIES}, "z": {"connect": "def "
                      "run(w, id, p): w.answer(id)"}},
                     {"s": {"concurrency": concurrency, "workers": workers}})
    return broker, broker.client(timeout=60)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_the_oldest_fail_and_the_others_go_on(pinfold, concurrency):
    """As many as there are lanes fail, oldest first: the one that dies is
    among them, its elders are still held."""
    broker, client = dying(pinfold, concurrency)
    paths = ["hold"] * (concurrency - 1) + ["die"] + ["/"] * 30
    sent = [client.send("before_request", event(i, path))
            for i, path in enumerate(paths)]
    got = outcomes(client, sent)
    assert got[:concurrency] == ["crashed"] * concurrency
    assert got[concurrency:] == [f"/{i}" for i in
                                 range(concurrency, len(paths))]
    assert_silent(client)


def test_one_that_made_a_call_never_runs_again(pinfold):
    broker, client = dying(pinfold, concurrency=4)
    first = [client.send("before_request", event(i, path)) for i, path in
             enumerate(["call", "hold", "/", "/", "/"])]
    assert outcomes(client, first[2:]) == ["/2", "/3", "/4"]
    rest = [client.send("before_request", event(i, path)) for i, path in
            enumerate(["die", "/", "/"], 10)]
    assert outcomes(client, first[:2] + rest[:1]) == ["crashed"] * 3
    # With four lanes the event after it had begun or not: either is right,
    # never both, and the last one has begun nowhere before.
    got = outcomes(client, rest[1:])
    assert got[0] in ("crashed", "/11") and got[1] == "/12"
    assert_silent(client)


def test_what_was_answered_before_the_death_stands(pinfold):
    broker, client = dying(pinfold)
    sent = [client.send("before_request", event(f"e{i}", path)) for i, path in
            enumerate(["/", "effect then die", "/", "effect then die", "/"])]
    got = outcomes(client, sent)
    # The event after the answer was the oldest when the worker died.
    assert got[0] == "/e0" and got[1] == "/e1"
    assert got[2] in ("/e2", "crashed") and got[4] in ("/e4", "crashed")
    keys = broker.control_client().call("kv.list")
    names = {k.decode() for k in keys}
    assert {"e1"} <= names <= {"e1", "e3"}
    assert ("e3" in names) == (got[3] == "/e3")
    assert_silent(client)


def test_two_workers_share_the_fate_of_neither(pinfold):
    broker, client = dying(pinfold, workers=2)
    sent = [client.send("before_request", event(i, f"die{i}" if i in
                                                (3, 40, 41) else "/"))
            for i in range(120)]
    got = outcomes(client, sent)
    crashed = [i for i, one in enumerate(got) if one == "crashed"]
    assert crashed == [3, 40, 41]
    assert all(got[i] == f"/{i}" for i in range(120) if i not in crashed)
    assert_silent(client)


def test_many_scripts_starve_in_one_order(pinfold):
    """Chains over scripts that die now and then: each event has one answer,
    with the op of every script that did not fail for it."""
    script = """
import os, msgpack
def run(w, id, p):
    n = int(msgpack.unpackb(p[1])["id"])
    if n % 40 == ME:
        os._exit(1)
    w.answer(id, [["req.add_header", "X-S", str(ME)]])
"""
    scripts = {f"s{i}": {"before_request": f"ME = {i}\n{script}"}
               for i in range(8)}
    broker = pinfold({"worker": str(FAKE), "log": {"level": "error"}}, scripts,
                     {name: {"on_error": "skip"} for name in scripts})
    client = broker.client(timeout=60)
    sent = [client.send("before_request", event(n, f"{n}"))
            for n in range(200)]
    for n, msgid in enumerate(sent):
        result = client.wait(msgid, 60)
        dead = n % 40 if n % 40 < 8 else None
        assert [op[2] for op in result["ops"]] == \
            [str(i) for i in range(8) if i != dead], n
        assert [(e["script"], e["code"]) for e in result["errors"]] == \
            ([(f"s{dead}", "crashed")] if dead is not None else []), n
    assert not client.answers


# --- events that kill again and again


def ask(client, path, hook="before_request"):
    return outcome(client, client.send(hook, event(path, path)))


def deaths(broker, name="s"):
    return broker.log().count(f"child worker ended script={name} ")


QUARANTINED = r"quarantine script=s hook=before_request seconds=60: .* 2 workers"


def test_the_same_poison_kills_two_workers(pinfold):
    """R5: whoever sends it again and again, and whatever is asked beside."""
    broker = pinfold(LIMITED, {"s": {"before_request": BOMB,
                                     "before_response": BOMB},
                               "other": {"after_request": BOMB}},
                     settings={"s": {"memory": "8MiB"},
                               "other": {"memory": "8MiB"}})
    client, control = broker.client(timeout=60), broker.control_client()
    for path in ("bomb", "bomb again"):         # each for its own
        for i in range(20):
            assert ask(client, path) == ("memory" if i < 2 else "unavailable")
            assert ask(client, f"good{i}") == f"/good{i}"
    assert deaths(broker) == 4
    broker.wait_log(QUARANTINED)
    assert broker.log().count("quarantine script=s") == 2
    error = client.error("before_request", event(1, "bomb"))
    assert error.message == \
        "quarantined: it has ended 2 workers of this script"
    assert status(control, "s")["errors"] == {"memory": 4, "unavailable": 37}
    assert status(control, "s")["state"] == "ready"
    # Another hook, another script: they know nothing of it.
    assert ask(client, "bomb", "before_response") == "memory"
    assert ask(client, "bomb", "after_request") == "memory"
    assert deaths(broker, "other") == 1
    # New workers of the same sources are no cure, a new generation may be.
    control.call("script.restart", ["s"])
    assert ask(client, "bomb") == "unavailable"
    broker.write_script("s", "before_request", ANSWER)
    control.call("reload")
    assert ask(client, "bomb") == "/bomb"


@pytest.mark.parametrize("workers, most", [(1, 2), (3, 4)])
def test_poison_that_waits_is_kept_out_too(pinfold, workers, most):
    """Twenty of it were on their way before the first had killed. Where there
    are more workers, each may have begun one by then."""
    broker = pinfold(LIMITED, {"s": {"before_request": BOMB}},
                     settings={"s": {"memory": "8MiB", "workers": workers}})
    client = broker.client(timeout=60)
    sent = [(path, client.send("before_request", event(i, path)))
            for i, path in enumerate(["bomb", "/", "/"] * 20)]
    got = [(path, outcome(client, msgid)) for path, msgid in sent]
    bombs = [code for path, code in got if path == "bomb"]
    assert set(bombs) == {"memory", "unavailable"}
    assert 2 <= deaths(broker) <= most
    assert ask(client, "good") == "/good"
    assert_silent(client)


@pytest.mark.parametrize("how", [
    "os._exit(9)", "os.kill(os.getpid(), 11)",
    "w.send([2, 'running', [id]]); time.sleep(60)"],
    ids=["exit", "signal", "timeout"])
def test_who_kills_otherwise_is_known_as_well(pinfold, how):
    script = f"""import os, time, msgpack
def run(w, id, p):
    path = msgpack.unpackb(p[1])["req"]["path"]
    if path == "bomb":
        {how}
    w.answer(id, [["req.set_path", "/" + path]])"""
    broker = pinfold({"worker": str(FAKE)}, {"s": {"before_request": script}},
                     {"s": {"timeout": "100ms"}})
    client = broker.client(timeout=60)
    for i in range(6):
        assert (ask(client, "bomb") == "unavailable") == (i > 1)
        assert ask(client, "good") == "/good"
    assert deaths(broker) == 2
    broker.wait_log(QUARANTINED)


@pytest.mark.parametrize("how", [
    # It says that another one runs, or none, or nothing; or waits.
    "w.send([2, 'running', [0]]); time.sleep(60)", "time.sleep(60)",
    "os._exit(77)", "w.send([2, 'running', [0]]); os._exit(77)",
    "w.send([0, 1, 'kv.get', [id, 'a']]); time.sleep(60)",
    "w.send([2, 'running', [id + 1]])", "w.raw(b'\\xc1')"])
def test_who_is_not_sure_to_have_killed_is_not_kept_out(pinfold, how):
    script = f"""import os, time
def run(w, id, p):
    {how}"""
    broker = pinfold({"worker": str(FAKE)}, {"s": {"before_request": script}},
                     {"s": {"timeout": "100ms"}})
    client = broker.client(timeout=60)
    got = [ask(client, "bomb") for _ in range(4)]
    assert not set(got) & {"unavailable"} and deaths(broker) == 4
    assert "quarantine" not in broker.log()


def test_who_fails_softly_is_not_kept_out(pinfold):
    """Late and stopped, or with an error: nobody has died of it."""
    script = """if ctx.req.path == "loop" then while true do end end
        error("no")"""
    broker = pinfold(scripts={"s": {"before_request": script}},
                     settings={"s": {"timeout": "60ms"}})
    client = broker.client(timeout=60)
    assert [ask(client, "loop") for _ in range(4)] == ["timeout"] * 4
    assert [ask(client, "/") for _ in range(4)] == ["script_error"] * 4
    assert deaths(broker) == 0 and "quarantine" not in broker.log()


def test_who_is_killed_from_outside_is_not_kept_out(pinfold):
    """Restarts and kill -9, while it runs."""
    broker = pinfold({"worker": str(FAKE)}, {"s": {"before_request": DIES}})
    client, control = broker.client(timeout=60), broker.control_client()
    for i in range(4):
        until(lambda: status(control, "s")["state"] == "ready")
        held = client.send("before_request", event(i, "hold"))
        until(lambda: control.call("status")["running"] == 1)
        if i % 2:
            control.call("script.restart", ["s"])
        else:
            os.kill(status(control, "s")["workers"][0]["pid"], signal.SIGKILL)
        assert outcome(client, held) == "crashed"
    assert "quarantine" not in broker.log()


# --- waiting too long


def test_what_waited_too_long_is_overloaded_what_ran_is_late(pinfold):
    """The hook's deadline: `timeout` for what has begun, `overloaded` for what
    still waits, wherever it waits."""
    broker = pinfold({"worker": str(FAKE), "hook_timeout": "400ms",
                      "shutdown_timeout": "1s"},
                     {"s": {"before_request": DIES}},
                     {"s": {"timeout": "60s"}})
    client = broker.client(timeout=60)
    sent = [client.send("before_request", event(i, "hold"))
            for i in range(100)]
    got = outcomes(client, sent)
    assert got == ["timeout"] + ["overloaded"] * 99
    assert not client.answers


def test_a_memory_death_takes_no_finished_answer_with_it(pinfold):
    """Answers that were ready but not yet written leave with the worker."""
    script = """
        if ctx.req.path:sub(1, 5) == "/bomb" then
            local t = {}
            for i = 1, 1e9 do t[i] = {i} end
        end
        mut.req.set_header("X-R", ctx.req.path)"""
    broker = pinfold(LIMITED, {"s": {"before_request": script}},
                     {"s": {"memory": "16MiB"}})
    client = broker.client()
    for n in range(5):
        paths = [f"/{i}" for i in range(10)] + [f"/bomb{n}"] + \
            [f"/{i}" for i in range(10, 20)]
        client.send_raw(b"".join(
            pack([0, i, "before_request", [{"id": path, "req": {"path": path}}]])
            for i, path in enumerate(paths, 100)))
        for i, path in enumerate(paths, 100):
            if path == f"/bomb{n}":
                assert client.wait_error(i).code == "memory"
            else:
                assert client.wait(i)["ops"] == \
                    [["req.set_header", "X-R", path]]
