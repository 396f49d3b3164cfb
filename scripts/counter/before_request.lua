-- Counts the requests that go upstream, per host. kv.incr is exact however many
-- requests run at once, and acts at once; what it counted survives restarts.
if ctx.is_finished then
  return -- an earlier script answers it
end

local n, err = kv.incr("counter:" .. ctx.req.host)
if not n then
  log.warn("counter: not counted", {host = ctx.req.host, err = err})
  return
end

-- Shown to the upstream, so that one can watch it count.
mut.req.set_header("X-Request-Number", n)
