-- Job 1h: job 1, and three headers are read.
local headers = ctx.req.headers
local size = #headers["Accept"][1] + #headers["Referer"][1]
  + #headers["User-Agent"][1]
if ctx.req.path:sub(1, 6) == "/block" or size == 0 then
  mut.resp.set_status(403)
  mut.ctx.set_finish()
else
  mut.req.set_header("x-seen", ctx.req.method)
end
