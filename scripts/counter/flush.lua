-- At the broker's end, or when a tool asks for a flush: all counts as one
-- JSON artifact, counter/SESSION.json.
local prefix = "counter:"
local rows, err = kv.list(prefix)
if not rows then
  log.error("counter: nothing exported", {err = err})
  return
end

local counts = {}
for key, value in pairs(rows) do
  counts[key:sub(#prefix + 1)] = tonumber(value)
end
local name = "counter/" .. opts.session .. ".json"
local ok, failed = artifacts.write(name, json.encode(counts))
if ok then
  log.info("counter: exported", {artifact = name})
else
  log.error("counter: nothing exported", {err = failed})
end
