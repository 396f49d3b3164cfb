-- The jobs as Tarantool functions: tarantool tarantool.lua SOCKET WAL_MODE
local msgpack = require("msgpack")
local socket, wal_mode = arg[1], arg[2]

local function answer(req, size)
  if req.path:sub(1, 6) == "/block" or size == 0 then
    return {"resp.set_status", 403}
  end
  return {"req.set_header", "x-seen", req.method}
end

function job1(event)
  return answer(msgpack.decode(event).req, 1)
end

function job1h(event)
  local req = msgpack.decode(event).req
  local size = 0
  for _, header in ipairs(req.headers) do
    local name = header[1]
    if name == "Accept" or name == "Referer" or name == "User-Agent" then
      size = size + #header[2]
    end
  end
  return answer(req, size)
end

function job2(event)
  local req = msgpack.decode(event).req
  box.space.bench:update(1, {{"+", 2, 1}})
  return answer(req, 1)
end

box.cfg{
  listen = "unix/:" .. socket,
  wal_mode = wal_mode,
  log_level = 2,
  memtx_memory = 64 * 1024 * 1024,
}
local space = box.schema.space.create("bench", {if_not_exists = true})
space:create_index("primary", {parts = {1, "unsigned"}, if_not_exists = true})
space:replace({1, 0})
for _, name in ipairs({"job1", "job1h", "job2"}) do
  box.schema.func.create(name, {setuid = true, if_not_exists = true})
  box.schema.user.grant("guest", "execute", "function", name,
    {if_not_exists = true})
end
io.stdout:write("ready\n")
io.stdout:flush()
