-- Blacks out secrets in WebSocket text messages, in both directions, before
-- they go on; a message with a word of `drop` in it does not go on at all.
-- Settings, all optional; `patterns` are Lua patterns:
--   config:
--     patterns: ["%d%d%d%d[ -]?%d%d%d%d[ -]?%d%d%d%d[ -]?%d%d%d%d"]
--     drop: [top-secret]
local rules = config or {}
local digits = "%d%d%d%d"
local card = digits .. "[ -]?" .. digits .. "[ -]?" .. digits .. "[ -]?" .. digits
local text = ws.text
if not text then
  return
end

for _, word in ipairs(rules.drop or {}) do
  if text:find(word, 1, true) then
    mut.ws.drop()
    log.audit("redactor: dropped a message", {direction = ws.direction})
    return
  end
end

local found = 0
for _, pattern in ipairs(rules.patterns or {card}) do
  local n
  text, n = text:gsub(pattern, function(secret)
    return ("*"):rep(#secret)
  end)
  found = found + n
end
if found > 0 then
  mut.ws.set_data(text)
  log.audit("redactor: blacked out", {direction = ws.direction, n = found})
end
