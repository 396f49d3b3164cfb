# SPDX-License-Identifier: Apache-2.0
"""`who`: each test once as root (whose workers drop their uid), where the
tests run as root, and once as an ordinary user."""

import probe
import pytest
from bed import Bed


def pytest_generate_tests(metafunc):
    if "who" in metafunc.fixturenames:
        metafunc.parametrize("who", probe.identities())


@pytest.fixture(scope="session")
def bed():
    """A broker for the hostile scripts of all corpora, see bed.py."""
    one = Bed()
    yield one
    one.close()
