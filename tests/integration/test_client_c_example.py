# SPDX-License-Identifier: Apache-2.0
"""clients/c/example.c, built as docs/clients-c.md says, against a broker."""

import hashlib
import re
import shlex
import subprocess

import pytest

from lib.pinfold import ROOT, Pinfold

PAGE = (ROOT / "docs/clients-c.md").read_text()
LUA = """
if ctx.req.path == "/admin" then
  mut.resp.set_status(403)
  mut.resp.set_body("no\\n")
  mut.ctx.set_finish()
elseif ctx.req.path == "/raise" then
  error("as asked")
elseif ctx.req.body then
  mut.req.set_header("X-Digest", crypto.hash("sha1", ctx.req.body))
  mut.req.set_header("X-Length", ctx.req.content_length)
end
"""


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    command = re.search(r"^cc .*$", PAGE, re.M)[0]
    program = tmp_path_factory.mktemp("c") / "example"
    words = [str(program) if word == "example" else word
             for word in shlex.split(command)]
    command = " ".join(word if "*" in word else shlex.quote(word)
                       for word in words)
    subprocess.run(["sh", "-c", command], cwd=ROOT, check=True, timeout=300)
    return program


@pytest.fixture(scope="module")
def broker():
    with Pinfold(scripts={"s": {"before_request": LUA}}) as pinfold:
        yield pinfold


def run(example, broker, *args):
    done = subprocess.run([str(example), str(broker.socket), *args],
                          text=True, timeout=60, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def test_answers(example, broker):
    code, out = run(example, broker, "GET", "http://example.test/admin")
    assert code == 0
    assert out.split("\n") == ["resp.set_status 403", "resp.set_body no", "",
                               "ctx.set_finish", "answer it", ""]


def test_page_shows_what_it_prints():
    shown = re.search(r"it prints\n\n```\n(.*?)```", PAGE, re.S)[1]
    assert shown == ("resp.set_status 403\nresp.set_body no\n\nctx.set_finish\n"
                     "answer it\n")


@pytest.mark.parametrize("body", ["short", "long" * 10000])
def test_bodies_inline_and_lazy(example, broker, body):
    code, out = run(example, broker, "POST", "http://h/", body)
    digest = hashlib.sha1(body.encode()).hexdigest()
    assert code == 0
    assert out.split("\n") == [f"req.set_header X-Digest {digest}",
                               f"req.set_header X-Length {len(body)}",
                               "send it on", ""]


def test_failures(example, broker):
    code, out = run(example, broker, "GET", "http://h/raise")
    assert (code, out) == (1, "refused: script_error\n")
    assert run(example, broker, "GET")[0] == 2
    done = subprocess.run([str(example), "/nowhere/x.sock", "GET", "http://h/"],
                          text=True, timeout=60, stderr=subprocess.PIPE)
    assert done.returncode == 1 and "absent" in done.stderr
