# SPDX-License-Identifier: Apache-2.0
"""The memory limit of a worker is fail-stop: no script lives past it. And none
dies by what it has let go of, however little time there is to collect that."""

import pytest

from lib.fake_broker import WorkerProcess
from lib.pinfold import Pinfold

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


def test_lanes_that_never_rest_are_collected():
    """Each of them asks the broker, and there is always one more event."""
    script = """
        local t = {}
        for i = 1, 200 do t[i] = {i} end
        kv.incr("n")
    """
    settings = {"memory": "16MiB", "workers": 1, "concurrency": 16}
    with Pinfold(None, {"s": {"before_request": script}}, {"s": settings}) as broker:
        client = broker.client()
        sent = [client.send("before_request", [{"id": str(n)}]) for n in range(64)]
        for n in range(6000):
            assert client.wait(sent.pop(0))["errors"] == []
            sent.append(client.send("before_request", [{"id": str(n)}]))
        for msgid in sent:
            assert client.wait(msgid)["errors"] == []
        assert client.call("before_request", [{"id": "last"}])["errors"] == []
        script, = broker.control_client().call("status")["scripts"]
        assert [w["restarts"] for w in script["workers"]] == [0]


WASTEFUL = """
local s
if ctx.req.method == "WAIT" then
  for i = 1, 14 do s = ("x"):rep((1 << 20) + i) end
  kv.get("k")
else
  local kept = {}
  for i = 1, 16 do kept[i] = ("y"):rep((1 << 20) + i) end
end
"""


def test_what_a_waiting_lane_let_go_of_is_given_to_another():
    w = WorkerProcess({"before_request": WASTEFUL},
                      {"memory": 28 << 20, "concurrency": 2})

    def event(method):
        return {"id": "1", "req": {"method": method}}

    def meanwhile(key):
        assert w.run("before_request", event("GO")).ops == []

    w.on["kv.get"] = meanwhile
    with w:
        for _ in range(3):
            w.run("before_request", event("WAIT"))
    assert w.status == 0
    assert [method for method, _ in w.calls] == ["source.get"] + ["kv.get"] * 3
