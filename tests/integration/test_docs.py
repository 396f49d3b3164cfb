# SPDX-License-Identifier: Apache-2.0
"""What the documentation says is so: its examples run, its tables are whole."""

import re
import subprocess
import sys

import pytest

from lib.events import full_event
from lib.pinfold import ROOT, Pinfold

SCRIPTS = (ROOT / "docs/scripts.md").read_text()
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
PROTOCOL = (ROOT / "proto/PROTOCOL.md").read_text()
EXAMPLES = re.findall(r"^```lua (\w+)\n(.*?)^```$", SCRIPTS, re.M | re.S)
DATA = {"blocked.txt": "a\n", "lists/a.txt": "1\n"}


def test_there_are_examples():
    assert len(EXAMPLES) >= 20


@pytest.mark.parametrize("hook, text", EXAMPLES,
                         ids=[f"{n}-{hook}" for n, (hook, _)
                              in enumerate(EXAMPLES)])
def test_example(hook, text):
    """Each runs to its end, with an event that has everything."""
    done = text + '\nlog.audit("example ran")\n'
    scripts = {"example": {hook: done},
               "other": {"close": "bus.emit('doc', {a = 1})",
                         "connect": "error('for error.lua')"}}
    settings = {"example": {"subscribe": ["doc"], "config": {"limit": 3}}}
    with Pinfold(scripts=scripts, settings=settings, data=DATA) as pinfold:
        client = pinfold.client()
        if hook == "bus":
            client.call("close", [full_event("close")])
        elif hook == "error":
            client.error("connect", [full_event("connect")])
        else:
            client.call(hook, [full_event(hook)])
        pinfold.wait_log(r"example ran|script=example .*code=script_error")
        assert "example ran" in pinfold.log(), pinfold.log()


def test_every_function_has_an_example():
    annotations = (ROOT / "scripts/_annotations.lua").read_text()
    code = "\n".join(text for _, text in EXAMPLES)
    for name in re.findall(r"^function ([\w]+\.[\w.]+)\(", annotations, re.M):
        assert f"{name}(" in code, name


def test_every_configuration_key_is_documented():
    source = "".join((ROOT / "broker" / name).read_text()
                     for name in ("conf.c", "conf_script.c"))
    keys = set(re.findall(r'\b(?:CONF_KEY|CAUSE)\("(\w+)"', source))
    assert len(keys) > 40
    missing = {key for key in keys
               if not re.search(rf"\b{key}\b", CONFIGURATION)}
    assert missing == set()


def names(file, start, least):
    """Names in a C table: strings at the start of rows that match `start`."""
    text = (ROOT / file).read_text()
    found = re.findall(rf'^\s*{start}\{{?(?:NAME\()?"([\w.]+)"', text, re.M)
    assert len(found) >= least, f"{file} looks different"
    return found


def test_the_protocol_names_everything():
    said = (names("proto/ops.c", r"\[OP_\w+\] = ", 18)
            + names("proto/proto.c", r"\[CODE_(?!OK\b)\w+\] = ", 14)
            + names("proto/proto.c", r"\[HOOK_(?!BUS\b)\w+\] = ", 11)
            + names("broker/admin.c", "", 13))
    missing = [name for name in said
               if not re.search(rf"(?<![\w.]){re.escape(name)}(?!\.?\w)", PROTOCOL)]
    assert missing == []


def test_client_of_the_protocol_works(tmp_path):
    """The Python program at the end of PROTOCOL.md, as it is printed."""
    program = re.search(r"^```python\n(.*?)^```$", PROTOCOL, re.M | re.S)[1]
    assert len(program.splitlines()) <= 32
    file = tmp_path / "client.py"
    file.write_text(program)
    blocker = (ROOT / "scripts/blocker/before_request.lua").read_text()
    with Pinfold(scripts={"blocker": {"before_request": blocker}}) as pinfold:
        result = subprocess.run([sys.executable, str(file),
                                 str(pinfold.socket)], timeout=60, text=True,
                                stdout=subprocess.PIPE, check=True)
    assert "resp.set_status" in result.stdout and "403" in result.stdout
