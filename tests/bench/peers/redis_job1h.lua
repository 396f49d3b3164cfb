-- Job 1h as a Redis script: the headers are pairs, as they came.
local req = cmsgpack.unpack(ARGV[1]).req
local size = 0
for _, header in ipairs(req.headers) do
  local name = header[1]
  if name == "Accept" or name == "Referer" or name == "User-Agent" then
    size = size + #header[2]
  end
end
if string.sub(req.path, 1, 6) == "/block" or size == 0 then
  return {"resp.set_status", 403}
end
return {"req.set_header", "x-seen", req.method}
