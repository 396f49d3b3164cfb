# SPDX-License-Identifier: Apache-2.0
"""A short run of tests/chaos; `make chaos` runs it for a minute."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "chaos"))

import chaos  # noqa: E402


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
