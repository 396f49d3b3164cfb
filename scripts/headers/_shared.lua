-- Runs before each hook of this script: what both hooks need.
-- Settings, all optional; a value of false removes the header:
--   config:
--     request:  {X-From: pinfold, Referer: false}
--     response: {Server: false, X-Frame-Options: DENY}
function edit(target, rules)
  for name, value in pairs(rules or {}) do
    if value == false then
      target.del_header(name)
    else
      target.set_header(name, value)
    end
  end
end
