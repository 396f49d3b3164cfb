# SPDX-License-Identifier: Apache-2.0
"""The release build is hardened as CMakeLists.txt means it to be."""

import subprocess

import pytest

from lib.pinfold import ROOT

BUILD = ROOT / "build"
PROGRAMS = ["pinfoldd", "pinfold-worker", "pinfold"]


def readelf(program, *options):
    return subprocess.run(["readelf", "-W", *options, str(BUILD / program)],
                          check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_position_independent(program):
    assert "DYN (" in readelf(program, "-h")


@pytest.mark.parametrize("program", PROGRAMS)
def test_relocations_are_read_only(program):
    assert "GNU_RELRO" in readelf(program, "-l")
    dynamic = readelf(program, "-d")
    assert "BIND_NOW" in dynamic or "NOW" in dynamic.split("FLAGS_1", 1)[1]
    assert "TEXTREL" not in dynamic


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_is_writable_and_executable(program):
    segments = [line.split() for line in readelf(program, "-l").splitlines()
                if line.startswith(("  LOAD", "  GNU_STACK"))]
    assert any(s[0] == "GNU_STACK" for s in segments)
    for segment in segments:
        flags = "".join(segment[6:-1])
        assert not ("W" in flags and "E" in flags), segment


@pytest.mark.parametrize("program", PROGRAMS)
def test_stack_protector_and_fortify(program):
    symbols = readelf(program, "-s", "--dyn-syms")
    assert "__stack_chk_fail" in symbols
    assert "_chk" in symbols.replace("__stack_chk_fail", "")


def test_worker_is_static():
    assert "NEEDED" not in readelf("pinfold-worker", "-d")
    assert "INTERP" not in readelf("pinfold-worker", "-l")


def test_broker_needs_no_lua_and_worker_no_database():
    assert "lua" not in readelf("pinfoldd", "-d")
    assert "rocksdb" in readelf("pinfoldd", "-d")
