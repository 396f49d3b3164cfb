/* SPDX-License-Identifier: Apache-2.0 */
/* The table library: as Lua's, and bounded when lengths lie. */
#include "tests/lib/vmrun.h"

TestSuite(lib_table, .timeout = 60);

Test(lib_table, insert_and_remove)
{
	expect("local t = {1, 2} table.insert(t, 3) table.insert(t, 1, 0) "
	       "return table.concat(t, ',')",
	       "0,1,2,3");
	expect("local t = {1, 2, 3} local x = table.remove(t, 1) "
	       "return x .. table.remove(t) .. table.concat(t, ',')",
	       "132");
	expect("return table.remove({})", "nil");
	expect("local t = {1} table.remove(t, 2) return #t", "1");
	expect("return pcall(table.remove, {1, 2}, 5)", "false");
	expect("return pcall(table.insert, {1, 2}, 5, 1)", "false");
	expect("return pcall(table.insert, {1}, 1, 2, 3)", "false");
	expect("local log = '' local t = setmetatable({}, {__newindex = "
	       "function(t, k, v) log = log .. k rawset(t, k, v) end}) "
	       "table.insert(t, 'x') return log .. t[1]",
	       "1x");
}

Test(lib_table, move)
{
	expect("local t = {1, 2, 3} table.move(t, 1, 3, 2) "
	       "return table.concat(t, ',')",
	       "1,1,2,3");
	expect("local t = {1, 2, 3} table.move(t, 2, 3, 1) "
	       "return table.concat(t, ',')",
	       "2,3,3");
	expect("local t = {1, 2, 3} table.move(t, 1, 3, 2, t) "
	       "return table.concat(t, ',')",
	       "1,1,2,3");
	expect("return table.concat(table.move({1, 2}, 1, 2, 3, {8, 9}), ',')",
	       "8,9,1,2");
}

Test(lib_table, concat)
{
	expect("return table.concat({1, 'a', 2.5}, '-')", "1-a-2.5");
	expect("return table.concat({1, 2, 3}, ',', 2, 3)", "2,3");
	expect("return table.concat({})", "");
	expect("return select(2, pcall(table.concat, {1, {}, 3}))",
	       "invalid value (table) at index 2 in table for 'concat'");
}

/* A string has a metatable, but not one that makes it a list. */
Test(lib_table, strings_are_no_lists)
{
	expect("local said = {} for _, f in ipairs {'concat', 'getn', "
	       "'insert', 'move', 'remove'} do local ok, e = "
	       "pcall(table[f], 'abc', 1, 1, 1) said[#said + 1] = tostring("
	       "not ok and e:find('table expected, got string') ~= nil) end "
	       "return table.concat(said, ' ')",
	       "true true true true true");
	expect("return #table.move('abc', 1, 1, 1, {})", "0");
	expect("return select(2, pcall(table.move, {}, 1, 1, 1, 'abc'))",
	       "bad argument #5 to 'table.move' (table expected, got "
	       "string)");
}

Test(lib_table, pack_and_unpack)
{
	expect("return table.pack(1, nil, 3).n", "3");
	expect("return table.pack().n", "0");
	expect("return select(3, table.unpack({1, 2, 3}))", "3");
	expect("return select('#', table.unpack({}, 1, 250))", "250");
	expect("return select(2, pcall(table.unpack, {}, 1, 1e9))",
	       "too many results to unpack");
	expect("return select(2, pcall(table.unpack, {}, math.mininteger, "
	       "math.maxinteger))",
	       "too many results to unpack");
	expect("return table.unpack({7}, math.maxinteger, math.maxinteger)",
	       "nil");
}

Test(lib_table, sort)
{
	expect("local t = {} for i = 1, 1000 do t[i] = (i * 7919) % 1000 end "
	       "table.sort(t) for i = 2, 1000 do assert(t[i - 1] <= t[i]) end "
	       "return #t",
	       "1000");
	expect("local t = {} for n = 0, 70 do local t = {} for i = 1, n do "
	       "t[i] = math.random(10) end local sum = 0 "
	       "for _, v in ipairs(t) do sum = sum + v end table.sort(t, "
	       "function(a, b) return a > b end) for i = 1, n do "
	       "sum = sum - t[i] assert(i == 1 or t[i - 1] >= t[i]) end "
	       "assert(sum == 0 and #t == n) end return 'ok'",
	       "ok");
	expect("local t = {'b', 'a', 'c'} table.sort(t) "
	       "return table.concat(t)",
	       "abc");
	expect("local t = {} for i = 1, 100 do t[i] = {k = i % 3, i = i} end "
	       "table.sort(t, function(a, b) return a.k < b.k end) "
	       "for i = 2, 100 do local a, b = t[i - 1], t[i] "
	       "assert(a.k < b.k or a.i < b.i) end return 'stable'",
	       "stable");
	/* A comparison that lies, raises or writes. */
	expect("local t = {3, 1, 2} table.sort(t, function() return true end) "
	       "return #t",
	       "3");
	expect("local t = {3, 1, 2} pcall(table.sort, t, error) "
	       "return table.concat(t)",
	       "312");
	expect("local t = {3, 1, 2} table.sort(t, function(a, b) t[5] = 1 "
	       "return a < b end) return t[1] .. t[2] .. t[3]",
	       "123");
	expect("return pcall(table.sort, {1, 'x'})", "false");
	expect("return pcall(table.sort, {1, nil, 3, nil, 5})", "false");
}

/* A13-A15 */
Test(lib_table, lying_lengths_end)
{
	static const char *const cases[] = {
		"table.move, {}, 1, math.maxinteger - 1, 2",
		"table.insert, huge, 1, 'x'",
		"table.remove, huge, 1",
		"table.concat, setmetatable({}, {__index = function() return "
		"'' end}), '', 1, 1 << 60",
		"table.sort, huge",
		"table.unpack, huge",
	};
	char text[300];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text),
			 "local huge = setmetatable({}, {__len = function() "
			 "return 1 << 60 end}) return pcall(%s)",
			 cases[i]);
		expect(text, "false");
	}
}
