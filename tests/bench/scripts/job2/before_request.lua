-- Job 2: job 1, and one exact increment of one counter.
kv.incr("bench")
if ctx.req.path:sub(1, 6) == "/block" then
  mut.resp.set_status(403)
  mut.ctx.set_finish()
else
  mut.req.set_header("x-seen", ctx.req.method)
end
