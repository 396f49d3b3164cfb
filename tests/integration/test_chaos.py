# SPDX-License-Identifier: Apache-2.0
"""Short runs of what `make chaos` and `make soak` do for minutes."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "chaos"))

import chaos  # noqa: E402
import crash_loops  # noqa: E402
import lua_suite  # noqa: E402
import neighbour  # noqa: E402
import overload  # noqa: E402
import poison  # noqa: E402
import readers  # noqa: E402
import steady  # noqa: E402
import timeouts  # noqa: E402

# Memory is limited by the worker's own heap, which sanitizers replace.
RELEASE = Path(os.environ.get("PINFOLD_RELEASE",
                              Path(__file__).resolve().parents[2] / "build"))
LIMITED = str(RELEASE / "pinfold-worker")


@pytest.fixture
def release(monkeypatch):
    """Memory is measured there: sanitizers keep what is freed."""
    monkeypatch.setenv("PINFOLD_BUILD", str(RELEASE))


def test_workers_die_and_no_event_is_lost():
    assert chaos.run(seconds=6, seed=20261122, rate=10) == []


def test_the_verdict_can_fail():
    """Negative control: an answer that is another event's is found."""
    class Ended:
        sent, wrong = 3, []
        good = {"before_request": 1, "close": 1}
        failed = {"before_request": {"storage": 1}, "close": {}}

    assert chaos.judge([Ended()], 1, lambda text: None)
    Ended.failed = {"before_request": {}, "close": {}}
    assert chaos.judge([Ended()], 1, lambda text: None)


def test_poison_among_many_harms_itself_only():
    """R5."""
    assert poison.run(seconds=3, seed=20261122, one_in=50, worker=LIMITED) == []


def test_the_verdict_on_poison_can_fail():
    """Negative control: a healthy event that failed, a poisoned one that died
    twice, one that nobody answered."""
    class Ended:
        sent, poison = 3, {2}
        codes = {"poison": {"memory": 1}, "healthy": {"ok": 1},
                 "left": {"ok": 1}}

    def judge(deaths, **codes):
        Ended.codes = {"poison": {"memory": 1}, "healthy": {"ok": 1},
                       "left": {"ok": 1}, **codes}
        return poison.judge([Ended], deaths, lambda text: None)

    assert not judge(1)
    assert judge(2) and judge(1, healthy={"memory": 1})
    assert judge(1, healthy={}) and judge(1, left={"crashed": 1})


def test_the_same_poison_again_and_again():
    """R5: quarantined."""
    assert poison.run(seconds=3, seed=20261122, one_in=10, worker=LIMITED,
                      same=3) == []


def test_the_verdict_on_the_same_poison_can_fail():
    """Negative control: three deaths in a minute, a healthy event that failed,
    a death of nobody, a poison that kills no one."""
    class Ended:
        pass

    def judge(deaths=3, times=(0, 1, 61), **codes):
        Ended.killed = {0: list(times)}
        Ended.codes = {"poison": {"memory": 3, "unavailable": 9},
                       "healthy": {"ok": 1}, "left": {"ok": 1}, **codes}
        return poison.judge_same([Ended], deaths, 1, lambda text: None)

    assert not judge()
    assert judge(times=(0, 1, 50)) and judge(times=(0,)) and judge(deaths=4)
    assert judge(healthy={"ok": 1, "unavailable": 1})
    assert judge(poison={"memory": 3, "crashed": 1})


def test_endless_events_among_good_ones():
    """R4: good ones are answered, also when others loop around them."""
    assert timeouts.run(seconds=5, seed=20261122, one_in=10, limit=400) == []


def test_the_verdict_on_timeouts_can_fail():
    """Negative control: a good event that timed out, an endless one that went
    well, one that nobody answered; one long after its grace."""
    class Ended:
        sent, endless = 3, {2}

    def judge(**codes):
        Ended.codes = {"endless": {"timeout": 1}, "good": {"ok": 2}, **codes}
        return timeouts.judge([Ended], lambda text: None)

    assert not judge()
    assert judge(good={"ok": 1, "timeout": 1}) and judge(good={"ok": 1})
    assert judge(good={"ok": 1, "crashed": 1})
    assert judge(endless={"ok": 1}) and judge(endless={"crashed": 1})

    def late(seconds):
        return timeouts.lateness([0.21, seconds], 200, 5, lambda text: None)

    assert late(0.35) and not late(0.29)
    assert timeouts.after_grace([0.21, 0.35], 200) == 1


def test_crash_loops_cost_little():
    """R6."""
    assert crash_loops.run(seconds=8, scripts=9, worker=LIMITED) == []


def test_the_verdict_on_crash_loops_can_fail():
    """Negative control: a start too many, a breaker that stays closed."""
    def judge(deaths, state):
        return crash_loops.judge(
            [{"name": "load_1", "state": state}],
            "child worker ended script=load_1 pid=1\n" * deaths, 0.5,
            lambda text: None)

    assert not judge(20, "broken")
    assert judge(21, "broken") and judge(20, "serving")


def test_ten_times_too_much_for_a_while(release):
    """R8."""
    assert overload.run(rounds=1, seconds=4) == []


def test_readers_that_do_not_read(release):
    """R9: sixty, half of them stopped."""
    assert readers.run(rounds=1, readers=60) == []


def test_an_innocent_script_beside_a_hostile_one():
    """Every answer is right; how fast it came is for `make soak` to tell."""
    assert neighbour.run(rounds=2, seconds=1, seed=20261122,
                         worker=LIMITED) == []


STEADY = "kv_incr,kv_list,body,artifacts,raises_waiting,coroutines,kept,ets"


def test_healthy_scripts_without_a_pause(release):
    assert steady.run(seconds=1, seed=20261122, only=STEADY) == []


def test_the_verdict_on_healthy_scripts_can_fail():
    """Negative control: another code, a worker that ended, growth; and growth
    where it may be."""
    assert not steady.judge("s", "", {"ok": 9}, 0, 0)
    assert steady.judge("s", "", {"ok": 9, "memory": 1}, 0, 0)
    assert steady.judge("s", steady.FAILS, {"ok": 9}, 0, 0)
    assert steady.judge("s", "", {}, 0, 0)
    assert steady.judge("s", "", {"ok": 9}, 1, 0)
    assert steady.judge("s", "", {"ok": 9}, 0, 1 << 30)
    assert not steady.judge("s", steady.STORES, {"ok": 9}, 0, 1 << 30)


def test_files_of_a_suite_are_contained(release, tmp_path):
    """Ours, not Lua's: one that passes, one that fails and then does not end,
    one that does not compile."""
    (tmp_path / "good.lua").write_text("assert(require('tracegc') == 1)")
    (tmp_path / "tracegc.lua").write_text("return 1")
    (tmp_path / "bad.lua").write_text("assert(io) io.write('x') while 1 do end")
    (tmp_path / "broken.lua").write_text("= 1")
    lines = []
    assert lua_suite.run(sorted(tmp_path.glob("*.lua")), 1, lines.append) == []
    assert [line.split()[:1] + line[15:].split()[3:4] for line in lines] == [
        ["bad.lua", "script_error"], ["bad.lua", "timeout"],
        ["broken.lua", "unavailable"], ["broken.lua", "unavailable"],
        ["good.lua", "ok"], ["good.lua", "ok"],
        ["tracegc.lua", "ok"], ["tracegc.lua", "ok"]]


def test_the_verdict_on_a_suite_can_fail():
    """Negative control: a worker that crashed, an event without an answer, a
    script that was ready and then was not."""
    fine = {"as it stands": ("script_error", ""), "on and on": ("memory", "")}
    assert not lua_suite.judge("ready", fine, [("suite", "memory")])
    assert lua_suite.judge("ready", fine, [("suite", "crashed")])
    assert lua_suite.judge("ready", fine, [("beside", "memory")])
    assert lua_suite.judge("ready", {"on and on": ("unanswered", "")}, [])
    assert lua_suite.judge("ready", {"on and on": ("unavailable", "")}, [])
