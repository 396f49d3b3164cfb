# SPDX-License-Identifier: Apache-2.0
"""What the documentation says is so: its examples run, its tables are whole."""

import re
import subprocess
import sys

import pytest

from lib.events import full_event
from lib.examples import examples, with_checks
from lib.pinfold import ROOT, Pinfold, program

SCRIPTS = (ROOT / "docs/scripts.md").read_text()
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
PROTOCOL = (ROOT / "proto/PROTOCOL.md").read_text()
SECURITY = (ROOT / "SECURITY.md").read_text()
EXAMPLE = ROOT / "docs/pinfold.example.yaml"
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "proto/PROTOCOL.md",
         *ROOT.glob("clients/*/README.md")]
EXAMPLES = examples(SCRIPTS)
MQTT_EXAMPLES = examples((ROOT / "docs/scripts-mqtt.md").read_text())
DATA = {"blocked.txt": "a\n", "lists/a.txt": "1\n"}


def test_there_are_examples():
    assert len(EXAMPLES) >= 20
    assert sum(text.count("-->") for _, text in EXAMPLES) >= 100


@pytest.mark.parametrize("hook, text", EXAMPLES,
                         ids=[f"{n}-{hook}" for n, (hook, _)
                              in enumerate(EXAMPLES)])
def test_example(hook, text):
    """Each runs to its end, with an event that has everything."""
    done = with_checks(text) + '\nlog.audit("example ran")\n'
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
    code = "\n".join(text for _, text in EXAMPLES + MQTT_EXAMPLES)
    for name in re.findall(r"^function ([\w]+\.[\w.]+)\(", annotations, re.M):
        assert re.search(rf"(?<![\w.]){re.escape(name)} ?[({{]", code), name


def configuration_keys():
    source = "".join((ROOT / "broker/conf" / name).read_text()
                     for name in ("conf.c", "conf_script.c", "conf_mqtt.c",
                                  "conf_auth.c"))
    keys = set(re.findall(r'\b(?:CONF_KEY|CAUSE|KEY|NUMBER)\("([\w.]+)"',
                          source))
    assert len(keys) > 40
    return keys


def test_every_configuration_key_is_documented():
    missing = {key for key in configuration_keys()
               if not re.search(rf"\b{key}\b", CONFIGURATION)}
    assert missing == set()


def test_example_configuration_is_accepted():
    done = subprocess.run([str(program("pinfoldd")), "-c", str(EXAMPLE),
                           "--check"], timeout=60, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    for name in ("blocker", "headers", "counter", "redactor"):
        assert f"{name}: ok" in done.stdout


def test_example_configuration_has_every_key():
    text = EXAMPLE.read_text()
    missing = {key for key in configuration_keys()
               if not re.search(rf"^ *\w*:? *\b{key}:|[{{ ]{key}:", text, re.M)}
    assert missing == {"plugins"}   # Burro's


def test_limits_of_the_example_are_those_of_the_page():
    limits = re.search(r"^limits:\n(.*?)^$", EXAMPLE.read_text(), re.M | re.S)[1]
    rows = re.findall(r"^  (\w+): (\S+)$", limits, re.M)
    assert len(rows) >= 14
    for key, value in rows:
        row = re.search(rf"^\| {key} \| (\S+) \|", CONFIGURATION, re.M)
        assert row and row[1] == value, key


def table(text, heading):
    """First cells of the table that comes first behind a heading."""
    part = text[text.index(f"## {heading}\n"):]
    rows = re.search(r"^\|.*\n\|[-|]+\n((?:\|.*\n)+)", part, re.M)[1]
    return [re.match(r"\| (.*?) \|", row)[1] for row in rows.splitlines()]


def words(cells):
    return [word for cell in cells for word in cell.split(", ")]


def test_layers_are_those_of_the_sandbox():
    source = (ROOT / "worker/sandbox.c").read_text()
    layers = re.findall(r'^\t\{"(\w+)", (?:true|false), ', source, re.M)
    assert len(layers) >= 15
    assert words(table(SECURITY, "What holds a script: layers")) == layers


def test_system_calls_are_those_of_the_policy():
    source = (ROOT / "worker/policy.h").read_text().split("POLICY_SANITIZED\n")[0]
    calls = set(re.findall(r'SYS_(\w+),', source))
    assert len(calls) >= 9
    assert sorted(words(table(SECURITY, "System calls"))) == sorted(calls)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        other = (page.parent / file) if file else page
        assert other.exists(), target
        if anchor:
            assert anchor in anchors(other.read_text()), target


def anchors(text):
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    return [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")
            for head in heads]


def test_every_page_is_reached_from_the_readme():
    readme = (ROOT / "README.md").read_text()
    for page in ROOT.glob("docs/*.md"):
        assert f"(docs/{page.name})" in readme, page.name


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
            + names("broker/admin/admin.c", "", 13))
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
