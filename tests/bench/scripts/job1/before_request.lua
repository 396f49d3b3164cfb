-- Job 1: answer /block... with 403, else name the method in a header.
if ctx.req.path:sub(1, 6) == "/block" then
  mut.resp.set_status(403)
  mut.ctx.set_finish()
else
  mut.req.set_header("x-seen", ctx.req.method)
end
