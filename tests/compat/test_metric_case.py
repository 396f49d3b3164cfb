# SPDX-License-Identifier: Apache-2.0
"""Case 53: a bundle of hook files that counts in kv as JSON and writes a report.

The files are ours, but built on the habits that such scripts have: helpers on a
global table from _shared.lua, an empty list that becomes a map, kv errors for
keys that are not there, nil checks of ctx.req, header values as lists.
"""

import json

from lib.wait import until

SHARED = """
bundle = bundle or {}
function bundle.load(key)
  local text, missing = kv.get(key)
  if missing then return {} end
  local value, broken = json.decode(text)
  if broken then return nil, true end
  return value
end
function bundle.save(key, value)
  kv.set(key, json.encode(value))
end
function bundle.count(key, field)
  local t, stop = bundle.load(key)
  if stop then return end
  t[field] = (t[field] or 0) + 1
  bundle.save(key, t)
end
"""
PER_HOST = 'if not ctx.req then return end bundle.count("%s", ctx.req.host)'
AFTER_RESPONSE = """
if not ctx.req then return end
local t, stop = bundle.load("after_response")
if stop then return end
local host, status = ctx.req.host, ctx.resp.status
t[host] = (t[host] or 0) + 1
t.statuses = t.statuses or {}
local s = t.statuses[host] or {}
s[status] = (s[status] or 0) + 1
local marks = ctx.req.headers["X-Metric"]
s["X-Metric"] = {marks and marks[1] == "1" and "1" or "0"}
t.statuses[host] = s
bundle.save("after_response", t)
mut.req.del_header("X-Metric")
"""
FLUSH = """
local report = {}
for _, key in ipairs{"connect", "before_request", "after_request",
                     "before_response", "after_response", "error", "close",
                     "ws_open", "ws_msg", "ws_close"} do
  local text, missing = kv.get(key)
  if missing then log.warn("nothing counted", {key = key})
  else report[key] = json.decode(text) end
end
artifacts.write("metric/" .. opts.session .. "-" .. time.date() .. ".json",
                json.encode(report))
"""
FILES = {
    "_shared": SHARED,
    "connect": 'bundle.count("connect", "attempts")',
    "before_request": PER_HOST % "before_request" + """
        mut.req.set_header("X-Metric", "1")
        mut.req.set_cookie{name = "X-Metric", value = "1"}""",
    "after_request": PER_HOST % "after_request",
    "before_response": PER_HOST % "before_response",
    "after_response": AFTER_RESPONSE,
    "close": 'bundle.count("close", "closed")',
    "error": """
        local t = bundle.load("error") or {}
        t[#t + 1] = err.msg
        bundle.save("error", t)""",
    "ws_open": 'bundle.count("ws_open", "attempts")',
    "ws_msg": 'bundle.count("ws_msg", ws.opcode_name)',
    "ws_close": 'bundle.count("ws_close", "closed")',
    "flush": FLUSH,
}


def report_of(broker):
    control = broker.control_client()
    names = [n for n, _ in control.call("artifacts.list", ["metric/"])]
    assert len(names) == 1 and names[0].endswith(".json")
    text, _ = control.call("artifacts.read", [names[0], 0, 1 << 20])
    return json.loads(text)


def wanted(host):
    return {"connect": {"attempts": 3}, "close": {"closed": 3},
            "before_request": {host: 3}, "after_request": {host: 3},
            "before_response": {host: 3},
            "after_response": {host: 3, "statuses": {
                host: {"200 OK": 3, "X-Metric": ["1"]}}}}


def test_case_53_through_the_socket(pinfold):
    broker = pinfold(scripts={"metric": FILES})
    client = broker.client()
    for i in range(3):
        req = {"host": "h:1", "method": "GET", "path": "/", "headers": []}
        resp = {"status_code": 200, "headers": []}
        client.call("connect", [{"id": str(i)}])
        ops = client.call("before_request", [{"id": str(i), "req": req}])["ops"]
        assert ["req.set_header", "X-Metric", "1"] in ops
        assert ["req.set_header", "Cookie", "X-Metric=1"] in ops
        req = dict(req, headers=[["X-Metric", "1"], ["Cookie", "X-Metric=1"]])
        for hook in ("after_request", "before_response", "after_response",
                     "close"):
            client.call(hook, [{"id": str(i), "req": req, "resp": resp}])
    broker.control_client().call("flush", ["night"])
    assert report_of(broker) == wanted("h:1")
    assert "nothing counted" in broker.log()        # error, ws_*


def test_case_53_through_the_proxy(pinfold, proxy, origin):
    broker = pinfold(scripts={"metric": FILES})
    proxy.use(broker.socket)
    for _ in range(3):
        assert proxy.get(origin.url("/")).status == 200
    control = broker.control_client()
    until(lambda: json.loads(control.call("kv.get", ["close"]) or b"{}")
          == {"closed": 3}, 10, "three closes")
    control.call("flush", ["night"])
    assert report_of(broker) == wanted(origin.host)
