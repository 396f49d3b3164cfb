# SPDX-License-Identifier: Apache-2.0
"""The images, built once, and an engine to run them with."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from box import Box
from engine import BUILD_TIMEOUT, Engine, make_base
from lib.pinfold import ROOT

BASE = "pinfold-test-base"
IMAGES = {"pinfold": "docker/Dockerfile", "pinfold-demo": "docker/demo/Dockerfile"}


@pytest.fixture(scope="session")
def folder():
    """Everything that the engines write."""
    if os.geteuid() != 0:
        pytest.skip("only root may run a Docker engine")
    folder = Path(tempfile.mkdtemp(prefix="pf-docker-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def base(folder):
    """A tar with Debian 12; $PINFOLD_DOCKER_BASE is one that is there already."""
    tar = os.environ.get("PINFOLD_DOCKER_BASE")
    if not tar:
        tar = folder / "base.tar"
        make_base(tar)
    return tar


@pytest.fixture(scope="session")
def images(folder, base):
    with Engine(folder, network="host") as engine:
        engine.docker("import", base, BASE)
        for name, file in IMAGES.items():
            engine.docker("build", "--network=host", f"--build-arg=BASE={BASE}",
                          f"--tag={name}", f"--file={ROOT / file}", ROOT,
                          timeout=BUILD_TIMEOUT)
    return folder


@pytest.fixture(scope="session")
def engine(images):
    with Engine(images, network="private") as engine:
        yield engine


@pytest.fixture
def box(engine, tmp_path):
    """box(*docker_options, config=..., scripts=...): a started container."""
    boxes = []

    def start(*options, **settings):
        made = Box(engine, tmp_path / f"etc{len(boxes)}", *options, **settings)
        boxes.append(made)
        return made.start()

    yield start
    for made in boxes:
        made.remove()
