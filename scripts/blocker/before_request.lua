-- Answers requests itself when host or path is on a list, so that the upstream
-- is never asked. Settings, all optional:
--   config:
--     hosts: [ads.example.test]     -- these and everything below them
--     paths: [/block, /admin]       -- every path that starts so
--     status: 403
--     body: "Blocked by pinfold\n"
local rules = config or {}

local function listed(host, path)
  for _, blocked in ipairs(rules.hosts or {}) do
    if host == blocked or host:sub(-#blocked - 1) == "." .. blocked then
      return blocked
    end
  end
  for _, prefix in ipairs(rules.paths or {"/block"}) do
    if path:sub(1, #prefix) == prefix then
      return prefix
    end
  end
end

local host = (ctx.req.host or ""):gsub(":%d+$", "")
local rule = listed(host, ctx.req.path or "")
if rule then
  mut.resp.set_status(rules.status or 403)
  mut.resp.set_header("Content-Type", "text/plain")
  mut.resp.set_body(rules.body or "Blocked by pinfold\n")
  mut.ctx.set_finish()
  log.audit("blocked", {rule = rule, method = ctx.req.method, host = host})
end
