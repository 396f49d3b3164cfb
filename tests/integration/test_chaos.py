# SPDX-License-Identifier: Apache-2.0
"""Short runs of what `make chaos` and `make soak` do for minutes."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "chaos"))

import chaos  # noqa: E402
import neighbour  # noqa: E402
import poison  # noqa: E402

# Memory is limited by the worker's own heap, which sanitizers replace.
RELEASE = Path(os.environ.get("PINFOLD_RELEASE",
                              Path(__file__).resolve().parents[2] / "build"))
LIMITED = str(RELEASE / "pinfold-worker")


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


def test_an_innocent_script_beside_a_hostile_one():
    """Every answer is right; how fast it came is for `make soak` to tell."""
    assert neighbour.run(rounds=2, seconds=1, seed=20261122,
                         worker=LIMITED) == []
