-- Runs before each hook of this script. One counter per hook and label, in kv:
--   metrics:NAME:LABEL -> how often
-- flush.lua makes a report of them.
PREFIX = "metrics:"

function count(name, label)
  local n, err = kv.incr(PREFIX .. name .. ":" .. (label or ""))
  if not n then
    log.warn("metrics: not counted", {name = name, err = err})
  end
end

function host()
  return ctx.req and ctx.req.host or ""
end
