# SPDX-License-Identifier: Apache-2.0
"""Puts tests/lib on the path, so that tests say `from lib.pinfold import ...`."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent

if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

import pytest  # noqa: E402


def pytest_terminal_summary(terminalreporter):
    """Says which tests of MongoDB had none."""
    from lib.mongod_double import used_by
    if used_by:
        terminalreporter.write_line(
            f"not MongoDB, but a double of it: {', '.join(sorted(used_by))}")


@pytest.fixture(scope="session")
def proxy(tmp_path_factory):
    """One mitmdump for the whole run; tests point it at brokers of their own."""
    from lib.proxy import Proxy
    proxy = Proxy(tmp_path_factory.mktemp("proxy"))
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture(scope="session")
def _origins(tmp_path_factory):
    from lib.origin import Origin
    origins = Origin(), Origin(tls_dir=tmp_path_factory.mktemp("origin"))
    yield origins
    for origin in origins:
        origin.stop()


@pytest.fixture
def origin(_origins):
    """An HTTP and WebSocket server."""
    _origins[0].clear()
    return _origins[0]


@pytest.fixture
def tls_origin(_origins):
    """The same over TLS."""
    _origins[1].clear()
    return _origins[1]


@pytest.fixture
def fake(tmp_path_factory):
    """A pinfold whose answers are Python functions; not started."""
    import shutil
    import tempfile
    from pathlib import Path

    from lib.fake_pinfold import FakePinfold
    directory = tempfile.mkdtemp(prefix="pf-")      # short: it is a socket's path
    fake = FakePinfold(Path(directory) / "pinfold.sock")
    yield fake
    fake.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def pinfold():
    """pinfold(config, scripts, ...): a started real broker, ended by the test."""
    from lib.pinfold import Pinfold
    started = []

    def start(*args, **kwargs):
        broker = Pinfold(*args, **kwargs)
        started.append(broker)
        return broker.start()

    yield start
    for broker in reversed(started):
        broker.close()
