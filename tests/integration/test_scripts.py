# SPDX-License-Identifier: Apache-2.0
"""The example scripts in scripts/ do what they say."""

import json

import pytest

from lib.events import full_event
from lib.pinfold import ROOT, Pinfold
from lib.wait import until

HOST = "example.test:8080"


def files(name):
    return {file.stem: file.read_text()
            for file in (ROOT / "scripts" / name).glob("*.lua")}


def broker(name, config=None, **settings):
    if config is not None:
        settings["config"] = config
    return Pinfold(scripts={name: files(name)}, settings={name: settings})


def request(**changes):
    event = full_event("before_request")
    event["req"].update(changes)
    return [event]


def listing(control):
    return [name for name, _ in control.call("artifacts.list")]


def artifact(pinfold, name):
    """The content of an artifact, once it is there."""
    control = pinfold.control_client()
    until(lambda: name in listing(control), what=f"artifact {name}")
    content, size = control.call("artifacts.read", [name, 0, 1 << 20])
    assert len(content) == size
    return content.decode() if isinstance(content, bytes) else content


def test_blocker():
    config = {"hosts": ["ads.test"], "paths": ["/admin"], "status": 451,
              "body": "no\n"}
    with broker("blocker", config) as pinfold:
        client = pinfold.client()
        for blocked in ({"path": "/admin/x"}, {"host": "ads.test"},
                        {"host": "a.ads.test:80"}):
            result = client.call("before_request", request(**blocked))
            assert result["finished"] is True
            assert ["resp.set_status", 451] in result["ops"]
            assert ["resp.set_body", "no\n"] in result["ops"]
        for passed in ({"path": "/"}, {"host": "notads.test"}):
            result = client.call("before_request", request(**passed))
            assert result["finished"] is False and result["ops"] == []


def test_headers():
    config = {"request": {"X-From": "pinfold", "User-Agent": False},
              "response": {"Server": False, "X-Frame-Options": "DENY"}}
    with broker("headers", config) as pinfold:
        client = pinfold.client()
        ops = client.call("before_request", request())["ops"]
        assert sorted(ops) == [["req.del_header", "User-Agent"],
                               ["req.set_header", "X-From", "pinfold"]]
        ops = client.call("before_response", [full_event("before_response")])
        assert sorted(ops["ops"]) == [
            ["resp.del_header", "Server"],
            ["resp.set_header", "X-Frame-Options", "DENY"]]


def test_headers_without_config():
    with broker("headers") as pinfold:
        assert pinfold.client().call("before_request", request())["ops"] == []


def test_counter():
    with broker("counter", concurrency=4) as pinfold:
        client = pinfold.client()
        for n in range(1, 4):
            ops = client.call("before_request", request())["ops"]
            assert ops == [["req.set_header", "X-Request-Number", str(n)]]
        client.call("before_request", request(host="b.test"))
        answered = request()
        answered[0]["is_finished"] = True
        assert client.call("before_request", answered)["ops"] == []
        client.call("flush", [{"opts": {"session": "s"}}])
        counts = json.loads(artifact(pinfold, "counter/s.json"))
        assert counts == {HOST: 3, "b.test": 1}


def message(data, opcode=1):
    event = full_event("ws_msg")
    event["ws"].update(data=data, opcode=opcode)
    return [event]


def test_redactor():
    with broker("redactor", {"drop": ["top-secret"]}) as pinfold:
        client = pinfold.client()
        ops = client.call("ws_msg", message("card 4111 1111-11111111."))["ops"]
        assert ops == [["ws.set_data", "card " + "*" * 18 + "."]]
        assert client.call("ws_msg", message("card 4111"))["ops"] == []
        assert client.call("ws_msg", message("a top-secret"))["ops"] == [
            ["ws.drop"]]
        assert client.call("ws_msg", message(b"top-secret", 2))["ops"] == []


@pytest.fixture
def metrics():
    with broker("metrics", concurrency=4) as pinfold:
        yield pinfold


def test_metrics(metrics):
    client = metrics.client()
    hooks = ("connect", "before_request", "after_request", "before_response",
             "after_response", "close", "ws_open", "ws_msg", "ws_close")
    for hook in hooks:
        client.call(hook, [full_event(hook)])
    client.call("error", [full_event("error")])
    client.call("flush", [{"opts": {"session": "s"}}])

    text = artifact(metrics, "metrics/latest.prom")
    lines = set(text.splitlines())
    assert f'pinfold_after_response_total{{label="{HOST}"}} 1' in lines
    assert 'pinfold_status_total{label="200"} 1' in lines
    assert 'pinfold_ws_msg_total{label="client_to_server.text"} 1' in lines
    control = metrics.control_client()
    name = next(n for n in listing(control) if n.startswith("metrics/s-"))
    report = json.loads(artifact(metrics, name))
    assert set(report) == set(hooks) | {"status", "error"}
    assert report["before_request"] == {HOST: 1}


def test_no_example_is_untested():
    folders = {p.name for p in (ROOT / "scripts").iterdir() if p.is_dir()}
    assert folders == {"auth", "blocker", "counter", "headers", "metrics",
                       "redactor"}     # auth: test_mqtt_databases.py
