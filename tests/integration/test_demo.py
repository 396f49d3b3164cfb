# SPDX-License-Identifier: Apache-2.0
"""`make demo </dev/null` runs through, shows what it promises, ends with 0."""

import os
import subprocess

from lib.pinfold import ROOT


def test_demo():
    environment = dict(os.environ)
    environment.pop("ASAN_OPTIONS", None)
    result = subprocess.run(["/usr/bin/python3", str(ROOT / "tools/demo")],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=240,
                            env=environment)
    assert result.returncode == 0, result.stdout
    for shown in ("X-Seen-By: pinfold", "Blocked by pinfold", "card is ****",
                  "X-Edited: yes", "X-Request-Number: 3",
                  "pinfold_after_response_total"):
        assert shown in result.stdout, result.stdout
