# SPDX-License-Identifier: Apache-2.0
"""Examples of a documentation page, and their arrows as checks."""

import re

# What examples need for their arrows: `EXPRESSION --> VALUES` is compared,
# `CALL --> error: TEXT` must raise that.
PRELUDE = """
local function alike(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for k, v in pairs(a) do if not alike(v, b[k]) then return false end end
  for k in pairs(b) do if a[k] == nil then return false end end
  return true
end
local function expect(line, got, want)
  got.n, want.n = nil, nil
  if not alike(got, want) then
    error(("%s\\n  gives %s"):format(line, json.encode(got)), 0)
  end
end
local function raises(line, text, f)
  local ok, message = pcall(f)
  if ok or not tostring(message):find(text, 1, true) then
    error(("%s\\n  gives %s"):format(line, tostring(message)), 0)
  end
end
"""


def examples(page):
    """(word behind ```lua, text) of each."""
    return re.findall(r"^```lua (\w+)\n(.*?)^```$", page, re.M | re.S)


def with_checks(text):
    """The arrows of an example as calls of PRELUDE's functions."""
    lines = []
    for line in text.splitlines():
        found = re.fullmatch(r"\s*(.+?)\s+--> (.+)", line)
        if not found:
            lines.append(line)
            continue
        expression, wanted = found.groups()
        shown = lua_text(line.strip())
        if wanted.startswith("error: "):
            lines.append(f"raises({shown}, {lua_text(wanted[7:])}, "
                         f"function() return {expression} end)")
        else:
            lines.append(f"expect({shown}, table.pack({expression}), "
                         f"table.pack({wanted}))")
    return PRELUDE + "\n".join(lines)


def lua_text(text):
    return f"[==[{text}]==]"
