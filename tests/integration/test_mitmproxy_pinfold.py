# SPDX-License-Identifier: Apache-2.0
"""The whole path: clients, mitmproxy, a real broker and its workers; what goes
wrong with any of them, and what is seen at the far ends."""

import threading

import pytest

from lib.origin import HELLO, pattern
from lib.proxy import Proxy
from lib.wait import until

INTERNAL = (500, b"proxy internal error\n")
HEADER = 'mut.req.set_header("X-Seen", "1")'


def got(answer):
    return answer.status, answer.body


def test_endless_script_is_cut_off_and_others_go_on(pinfold, proxy, origin):
    broker = pinfold(scripts={"s1": {"before_request": """
        if ctx.req.path == "/loop" then while true do end end
        mut.req.set_header("X-Seen", "1")
    """}}, settings={"s1": {"timeout": "200ms", "concurrency": 4}})
    proxy.use(broker.socket)
    looping = []
    thread = threading.Thread(
        target=lambda: looping.append(proxy.get(origin.url("/loop"))))
    thread.start()
    until(lambda: proxy.state()["open"], what="the loop has begun")
    assert proxy.get(origin.url("/x")).status == 200
    thread.join(20)
    assert got(looping[0]) == INTERNAL
    assert [r.target for r in origin.requests] == ["/x"]


def test_script_that_does_not_compile_closes_its_hook_only(pinfold, proxy, origin):
    broker = pinfold(scripts={"bad": {"before_response": "this is no Lua"},
                              "good": {"before_request": HEADER}})
    proxy.use(broker.socket)
    assert got(proxy.get(origin.url("/x"))) == INTERNAL
    assert origin.last().get("x-seen") == "1"
    assert "before_response.lua:1" in broker.log()


def test_on_error_skip(pinfold, proxy, origin):
    broker = pinfold(scripts={"bad": {"before_request": 'error("boom")'},
                              "good": {"before_request": HEADER}},
                     settings={"bad": {"on_error": "skip"}})
    proxy.use(broker.socket)
    assert got(proxy.get(origin.url("/x"))) == (200, HELLO)
    assert origin.last().get("x-seen") == "1"


def test_broker_is_killed_and_comes_back(pinfold, proxy, origin):
    broker = pinfold(scripts={"s1": {"before_request": """
        mut.req.set_header("X-Count", tostring(kv.incr("n")))
    """}})
    proxy.use(broker.socket)
    assert proxy.get(origin.url("/x")).status == 200
    broker.kill()
    until(lambda: not proxy.state()["connected"], what="the loss is noticed")
    assert got(proxy.get(origin.url("/x"))) == INTERNAL
    proxy.set(pinfold_on_unavailable="pass")
    assert got(proxy.get(origin.url("/x"))) == (200, HELLO)
    assert not origin.last().get("x-count")
    broker.start()
    proxy.wait_connected()
    assert proxy.get(origin.url("/x")).status == 200
    assert origin.last().get("x-count") == "2"


def test_broker_restarts_under_load(pinfold, proxy, origin):
    """A graceful restart: no request passes unseen, and all have an answer."""
    broker = pinfold(scripts={"s1": {"before_request": HEADER}})
    proxy.use(broker.socket)
    answers, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            answers.append(proxy.get(origin.url("/x")).status)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) > 20, what="the load runs")
    broker.restart()
    proxy.wait_connected()
    seen = len(answers)
    until(lambda: len(answers) > seen + 20, what="the load runs on")
    stop.set()
    for thread in threads:
        thread.join(20)
    assert set(answers) <= {200, 500} and answers[-1] == 200
    assert all(r.get("x-seen") == "1" for r in origin.requests)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
def test_large_bodies_reach_the_scripts(pinfold, proxy, origin, tls_origin, tls):
    where = tls_origin if tls else origin
    broker = pinfold(scripts={"s1": {
        "before_request": 'mut.req.set_header("X-Size", tostring(#ctx.req.body))',
        "before_response": """
            local body = ctx.resp.body
            mut.resp.set_header("X-Ends", body:sub(1, 4) .. body:sub(-4, -2))
            if ctx.req.path == "/bytes/2000000" then
                mut.resp.set_body(body:upper())
            end
        """}})
    proxy.use(broker.socket)
    answer = proxy.fetch("POST", where.url("/bytes/2000000"), pattern(3000001))
    assert answer.body == pattern(2000000).upper()
    assert where.last().get("x-size") == "3000001"
    assert where.last().body == pattern(3000001)
    body = pattern(2000000)
    assert answer.get("x-ends").encode() == body[:4] + body[-4:-1]


def test_gzip_stays_gzip_until_it_is_replaced(pinfold, proxy, origin):
    broker = pinfold(scripts={"s1": {"before_response": """
        if ctx.req.query.plain then mut.resp.set_body("plain") end
    """}})
    proxy.use(broker.socket)
    answer = proxy.get(origin.url("/gzip"))
    assert answer.get("content-encoding") == "gzip" and answer.body[:2] == b"\x1f\x8b"
    answer = proxy.get(origin.url("/gzip?plain"))
    assert answer.body == b"plain" and not answer.get("content-encoding")


def test_reload_brings_new_hooks_to_the_proxy(pinfold, proxy, origin):
    broker = pinfold(scripts={"s1": {"before_request": HEADER}})
    proxy.use(broker.socket)
    assert proxy.state()["hooks"] == ["before_request"]
    broker.write_script("s1", "before_response", 'mut.resp.set_header("X-New", "1")')
    broker.control_client().call("reload", [{}])
    until(lambda: "before_response" in proxy.state()["hooks"], what="new hooks")
    assert proxy.get(origin.url("/x")).get("x-new") == "1"


def test_flush_at_the_end_of_the_proxy(pinfold, origin, tmp_path):
    broker = pinfold(scripts={"s1": {
        "connect": 'kv.incr("connect")', "close": 'kv.incr("close")',
        "flush": """
            local n = kv.get("connect") .. " " .. kv.get("close")
            bus.emit("flush", {session = opts.session, n = n, ctx = ctx == nil})
        """}})
    bus = broker.client()
    bus.call("bus.subscribe", [{"names": ["flush"], "from": "new"}])
    proxy = Proxy(tmp_path / "proxy").start(broker.socket)
    try:
        proxy.wait_connected()
        for _ in range(3):
            proxy.get(origin.url("/x"))
        assert proxy.stop() == 0
    finally:
        proxy.kill()
    data = bus.wait_notification("bus.event")[0]["data"]
    assert data["n"] == "3 3" and data["ctx"] is True
    assert len(data["session"]) == 36
