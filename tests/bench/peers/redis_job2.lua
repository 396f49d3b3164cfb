-- Job 2 as a Redis script.
local req = cmsgpack.unpack(ARGV[1]).req
redis.call("INCR", "bench")
if string.sub(req.path, 1, 6) == "/block" then
  return {"resp.set_status", 403}
end
return {"req.set_header", "x-seen", req.method}
