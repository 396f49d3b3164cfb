# SPDX-License-Identifier: Apache-2.0
"""The memory limit of a worker is fail-stop: no script lives past it."""

import pytest

from lib.fake_broker import WorkerProcess

GREEDY = [
    "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end",
    "local s = 'x' while true do s = s .. s end",
    "pcall(function() local t = {} while true do t[#t + 1] = {} end end)",
    "while true do log.info(('x'):rep(60000)) mut.req.set_body(('x'):rep(15 << 20)) "
    "X = {X, ('x'):rep(1 << 20)} end",
]


@pytest.mark.parametrize("source", GREEDY)
def test_memory_is_fail_stop(source):
    w = WorkerProcess({"before_request": source}, {"memory": 32 << 20})
    with w:
        w.begin("before_request", {"id": "1"})
        with pytest.raises((EOFError, ConnectionResetError)):
            w.wait(12345)
    assert w.status == 77
