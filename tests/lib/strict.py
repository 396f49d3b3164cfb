# SPDX-License-Identifier: Apache-2.0
"""What `make test` adds to pytest (loaded by tools/test).

- In CI a skipped test is a failed one, with the reason it named.
- Each test gets the build that it is about: tests/sandbox the release build,
  since only that has the real filter; all others the one with sanitizers.
  PINFOLD_BUILD overrides this.
- A sanitizer report of any process fails the test during which it came.
"""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "build/asan/reports/pytest"
IN_CI = os.environ.get("CI", "") not in ("", "0", "false")
CHOSEN = os.environ.get("PINFOLD_BUILD")

seen = set()


def pytest_configure(config):
    REPORTS.mkdir(parents=True, exist_ok=True)
    for old in REPORTS.iterdir():
        old.unlink()
    os.environ["ASAN_OPTIONS"] = f"log_path={REPORTS}/asan:detect_leaks=1"
    os.environ["UBSAN_OPTIONS"] = (f"log_path={REPORTS}/ubsan:"
                                   "print_stacktrace=1")


def build_for(item):
    if CHOSEN:
        return CHOSEN
    release = item.path.is_relative_to(ROOT / "tests/sandbox")
    return str(ROOT / ("build" if release else "build/asan"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    os.environ["PINFOLD_BUILD"] = build_for(item)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item):
    outcome = yield
    fresh = {p for p in REPORTS.iterdir() if p.stat().st_size} - seen
    if fresh:
        seen.update(fresh)
        text = "\n".join(p.read_text(errors="replace") for p in sorted(fresh))
        outcome.force_exception(AssertionError(f"sanitizer reports\n{text}"))


def fail_skip(report):
    """A skip becomes a failure in CI; xfail is no skip."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        where, line, reason = report.longrepr
        report.longrepr = f"{where}:{line}: skipped in CI: {reason}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    fail_skip(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector):
    outcome = yield
    fail_skip(outcome.get_result())
