-- The report: metrics/SESSION-DATE.json for programs that read JSON, and
-- metrics/latest.prom in the text format of Prometheus.
local rows, err = kv.list(PREFIX)
if not rows then
  log.error("metrics: no report", {err = err})
  return
end

local report, lines = {}, {}
for key, value in pairs(rows) do
  local name, label = key:sub(#PREFIX + 1):match("^([^:]*):(.*)$")
  if name then
    report[name] = report[name] or {}
    report[name][label] = tonumber(value)
    lines[#lines + 1] = ('pinfold_%s_total{label="%s"} %s\n'):format(
      name, (label:gsub("[\\\"\n]", "_")), value)
  end
end
table.sort(lines)

local function write(name, content)
  local ok, failed = artifacts.write(name, content)
  if not ok then
    log.error("metrics: not written", {artifact = name, err = failed})
  end
end

write(("metrics/%s-%s.json"):format(opts.session, time.date()),
  json.encode(report))
write("metrics/latest.prom", table.concat(lines))
bus.emit("metrics.flushed", {session = opts.session})
