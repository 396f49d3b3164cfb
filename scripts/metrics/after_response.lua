count("after_response", host())
if ctx.resp then
  count("status", ctx.resp.status_code)
end
