# SPDX-License-Identifier: Apache-2.0
"""The tests that ctest knows, one pytest item each.

Unit tests (Criterion), the replay of fuzz corpora, and checks of the tree.
`ctest --test-dir build/asan` runs the same without pytest.
"""

import json
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).resolve().parents[1] / "build/asan"
LEAST = 10      # fewer would mean that ctest lost sight of them
TIMEOUT = 700   # a little more than each test's own


def names():
    listing = subprocess.run(
        ["ctest", "--test-dir", str(BUILD), "--show-only=json-v1"],
        check=True, stdout=subprocess.PIPE)
    return [test["name"] for test in json.loads(listing.stdout)["tests"]]


NAMES = names()


def test_ctest_knows_the_tests():
    assert len(NAMES) >= LEAST, NAMES
    assert any(name.startswith("fuzz_") for name in NAMES)


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize("name", NAMES)
def test_ctest(name):
    result = subprocess.run(
        ["ctest", "--test-dir", str(BUILD), "--output-on-failure",
         "--no-tests=error", "-R", f"^{name}$"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace")
    if result.returncode:
        pytest.fail(result.stdout, pytrace=False)
