# SPDX-License-Identifier: Apache-2.0
"""Attacks that are made twice: on the worker, which must stand them, and on the
engine without the worker's guards, where they must be seen to succeed."""

# A new key goes into a table that only a weak reference holds, just when there
# is no memory: the collection that follows takes the table away (983bc433).
FULL = """
        local hog = {}
        for round = 1, 200 do
            pcall(function()
                for size = 16, 4, -1 do
                    pcall(function() while true do
                        hog[#hog + 1] = ("x"):rep(1 << size) .. #hog end end)
                end
            end)
            pcall(function()
                for i = 1, 2000 do
                    local mt = {__newindex = {}}
                    local t = setmetatable({}, setmetatable(mt, {__mode = "v"}))
                    for k = 1, 40 do t[k * 1.5] = k end
                end
            end)
            for i = 1, #hog, 7 do hog[i] = false end
        end"""

# What xpcall left when its coroutine was suspended: closing it calls a handler
# whose place on the stack is gone (3fe7be95).
HANDLER = """
        local co = coroutine.create(function()
            xpcall(function()
                local x <close> = setmetatable({}, {__close = function()
                    error("inner", 0) end})
                coroutine.yield()
            end, function(e) return "handled " .. e end)
        end)
        coroutine.resume(co)
        return select(2, coroutine.close(co))"""

# A correct program that the engine compiles wrong (997f11f5). Nothing guards
# against it: what comes of it stays in its worker.
BREAK = """
        local closed = 0
        local function iterate() return function(_, i) return (i or 0) + 1 end,
            nil, nil, setmetatable({}, {__close = function()
                closed = closed + 1 end}) end
        for round = 1, 100 do
            for i in iterate() do
                local f = function() return i end
                if i == 3 then break end
            end
        end
        return closed"""
