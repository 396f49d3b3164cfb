# SPDX-License-Identifier: Apache-2.0
"""What an event carries of passwords, Authorization and Cookie values is in no
log, no error and no traceback, however a script fails over it. Recordings:
test_ctl_real.py; passwords of the configuration: test_mqtt_reload.py.
"""

import json
import os
from pathlib import Path

import pytest

from lib.mqtt_scripts import MqttPinfold, register
from lib.pinfold import Pinfold
from lib.rpc import RpcError, pack
from lib.wait import until

RELEASE = Path(os.environ.get("PINFOLD_RELEASE",
                              Path(__file__).resolve().parents[2] / "build"))
WORD = "open-sesame-4711"
EVENT = {
    "session_id": "s", "req": {
        "method": "POST", "scheme": "https", "host": "h", "path": "/login",
        "url": f"https://user:{WORD}@h/login?password={WORD}",
        "query": {"password": [WORD]}, "body": f"user=a&password={WORD}",
        "headers": [["Authorization", f"Bearer {WORD}"],
                    ["Cookie", f"sid={WORD}; a=b"], ["X-Api-Key", WORD]]},
}
# Each has the values at hand: `auth`, `cookie`, `sid`, `body`.
FAILURES = {
    "index": "return auth.x.y",
    "index of a value": "return sid[cookie][body]",
    "arithmetic": "return sid + 1",
    "bits": "return sid | 1",
    "concatenation": "return ctx.req.headers.Cookie .. sid",
    "comparison": "return sid < 1",
    "call": "return sid(body)",
    "a method": "return sid:decrypt(body)",
    "for": "for i = sid, body do end",
    "number due": "return string.rep(body, sid)",
    "format": "return string.format('%d %s', cookie, auth)",
    "integer due": "return math.floor(cookie)",
    "pattern": "return body:find('[' .. sid)",
    "replacement": "return body:gsub('.', {u = {sid}})",
    "JSON": "return assert(json.decode(body))",
    "JSON that breaks off": "assert(json.decode('{\"a\": \"' .. sid))",
    "code": "assert(load(body))",
    "code that breaks off": "assert(load('return \"' .. sid .. '\\n'))",
    "code that fails": "load('local a a() --' .. sid)()",
    "code that calls": "load('local function f() error(1) end f() --' .. sid)()",
    "code of old": "assert(loadstring(body))",
    "base64": "return assert(base64.decode(cookie))",
    "a value of a header": "mut.req.set_header('Authorization', auth .. '\\r\\n')",
    "a name of a header": "mut.req.set_header(cookie .. ' ', 'x')",
    "a URL": "mut.req.set_url(ctx.req.url .. '\\n')",
    "no URL": "mut.req.set_url('://' .. sid)",
    "a host": "mut.req.set_host(sid .. '\\n')",
    "a query": "mut.req.set_query(body .. '\\n')",
    "a cookie": "mut.resp.set_cookie{name = 'a', value = sid .. '\\n'}",
    "an age": "mut.resp.set_cookie{name = 'a', value = 'b', max_age = sid}",
    "a status": "mut.resp.set_status(sid)",
    "a counter": "assert(kv.incr('k', sid))",
    "a table": "error({sid, body})",
    "the event": "error(ctx)",
    "in a local": "local function login(password) return password.x.y end "
                  "login(sid)",
    "a traceback": "error(select(2, xpcall(function(p) return p.x.y end, "
                   "debug.traceback, sid)))",
    "a date": "return os.date('%' .. sid)",
    "a time": "return os.time{year = sid}",
    "bytes": "return utf8.char(sid)",
    "too much": "mut.req.set_body(('x'):rep(16 << 20) .. sid)",
    "no memory": "local s = sid while true do s = s .. s end",
    "no time": "local s = sid while true do end",
    "what goes well": "mut.req.set_path('/')",
}
SCRIPT = """
local auth, cookie = ctx.req.headers.Authorization[1], ctx.req.headers.Cookie[1]
local sid, body = ctx.req.cookies[1].value, ctx.req.body
assert(sid == "open-sesame-4711" and #cookie > 9)
local failures = {%s}
failures[ctx.id]()
""" % ",\n".join(f"[{name!r}] = function() {text} end"
                 for name, text in FAILURES.items())
# error.lua is told of the failure, and what it is told is in the log.
ERROR = "log.info('told', {msg = err.msg}) error('again')"


@pytest.fixture(scope="module")
def broker():
    with Pinfold({"log": {"level": "debug"}, "hook_timeout": "60s",
                  "worker": str(RELEASE / "pinfold-worker")},
                 {"s": {"before_request": SCRIPT, "error": ERROR}},
                 {"s": {"timeout": "300ms", "memory": "16MiB"}}) as broker:
        yield broker


@pytest.mark.parametrize("name", FAILURES)
def test_no_failure_tells_a_secret(broker, name):
    client, control = broker.client(timeout=60), broker.control_client()
    control.call("log.subscribe", [{"level": "debug"}])
    try:
        said = client.call("before_request", [dict(EVENT, id=name)])
        assert name == "what goes well", said
    except RpcError as error:
        said = error.error
        control.wait_notification("log", where=lambda p: "told" in p[0])
    client.call("connect", [{"id": "last"}])
    assert WORD not in json.dumps(said)
    assert WORD not in str(control.notifications)
    assert WORD not in broker.log()


@pytest.mark.parametrize("event", [
    dict(EVENT, id=7), dict(EVENT, id=None), dict(EVENT, id="x", req=5),
    dict(EVENT, id="x", deadline_ms=WORD), [WORD], WORD])
def test_no_refusal_tells_a_secret(broker, event):
    client = broker.client()
    try:
        said = client.call("before_request", [event])
    except RpcError as error:
        said = error.error
    assert WORD not in json.dumps(said) and WORD not in broker.log()


def test_bytes_that_break_the_rules_are_not_told(broker):
    client = broker.client()
    whole = pack([0, 1, "before_request", [EVENT, 0]])
    client.send_raw(whole[:-1] + b"\xc1")
    told = client.wait_notification("error")
    client.wait_closed()
    assert WORD not in str(told)
    broker.wait_log("refused: not MessagePack")
    assert WORD not in broker.log()


def test_a_secret_that_a_script_logs_would_be_found(pinfold):
    """Negative control for all of the above."""
    broker = pinfold(scripts={"s": {"before_request": """
        log.info(ctx.req.headers.Cookie[1]) error(ctx.req.body)"""}})
    error = broker.client().error("before_request", [dict(EVENT, id="1")])
    assert WORD in error.message
    assert until(lambda: broker.log().count(WORD) >= 2, 10)


@pytest.mark.parametrize("fails", [
    "return reg.password.x.y", "return reg.password + 1", "error(reg)",
    "return bcrypt.hashpw(reg.password, {})", "while true do end",
    "return {password = reg.password}", "return reg.password"])
def test_no_failure_of_a_login_tells_its_password(fails):
    text = f"""
function auth_on_register(reg) {fails} end
hooks = {{auth_on_register = auth_on_register}}"""
    with MqttPinfold({"a.lua": text}, {},
                     {"log": {"level": "debug"}}) as broker:
        client = broker.mqtt()
        try:
            said = client.call("auth_on_register", [register(password=WORD)])
        except RpcError as error:
            said = error.error
        assert WORD not in str(said) and WORD not in broker.log()
