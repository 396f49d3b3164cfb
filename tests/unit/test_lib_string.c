/* SPDX-License-Identifier: Apache-2.0 */
/* The string library: as Lua's, and bounded. */
#include "tests/lib/vmrun.h"

#include <lualib.h>

TestSuite(lib_string, .timeout = 60);

Test(lib_string, patterns)
{
	static const struct {
		const char *text, *pattern, *want;
	} cases[] = {
		{"hello world", "o w", "o w"},
		{"hello", "^hel", "hel"},
		{"hello", "^el", "nil"},
		{"hello", "l+", "ll"},
		{"hello", "l-o", "llo"},
		{"hello", "lo$", "lo"},
		{"a$b", "a$b", "a$b"},
		{"key = value", "(%w+)%s*=%s*(%w+)", "key"},
		{"[[x]]", "%[%[(.-)%]%]", "x"},
		{"f(a(b)c)d", "%b()", "(a(b)c)"},
		{"THE (quick) fox", "%f[%a]%a+%f[%A]", "THE"},
		{"abcabc", "(abc)%1", "abc"},
		{"x]y", "[]]", "]"},
		{"x^y", "[%^]", "^"},
		{"x^y", "[^x]+", "^y"},
		{"a-z", "[a%-z]+", "a-z"},
		{"a-z", "[a-]+", "a-"},
		{"2026-11-22", "%d+-%d+-%d+", "2026-11-22"},
		{"", ".*", ""},
		{"", "x*$", ""},
		{"aaa", "a?a?a?aaa", "aaa"},
		{"abc", "()b()", "2"},
		{"a\\0b", "%z()", "3"},
		{"\\0a", "%Z", "a"},
		{"a", "%f[%z]()", "2"},
		{"tab\\t", "%c", "\t"},
		{"fooBar", "%l+%u", "fooB"},
		{"..", "%.%.", ".."},
		{"x", "%", "error"},
		{"x", "[x", "error"},
		{"x", "[%", "error"},
		{"x", "(x", "error"},
		{"x", "x)", "error"},
		{"x", "%1", "error"},
		{"x", "%b", "error"},
		{"x", "%f", "error"},
	};
	char text[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text),
			 "local ok, x = pcall(string.match, '%s', '%s') "
			 "return ok and x or (ok and 'nil' or 'error')",
			 cases[i].text, cases[i].pattern);
		expect(text, cases[i].want);
	}
}

Test(lib_string, find)
{
	expect("return table.concat({('hello'):find('l')}, ' ')", "3 3");
	expect("return table.concat({('hello'):find('(l)(l)')}, ' ')",
	       "3 4 l l");
	expect("return table.concat({('a.b'):find('.', 2, true)}, ' ')", "2 2");
	expect("return table.concat({('abab'):find('b', -1)}, ' ')", "4 4");
	expect("return table.concat({('abc'):find('')}, ' ')", "1 0");
	expect("return table.concat({('abc'):find('', 4)}, ' ')", "4 3");
	expect("return ('abc'):find('', 5)", "nil");
	expect("return table.concat({('a\\0b'):find('\\0')}, ' ')", "2 2");
}

Test(lib_string, gmatch)
{
	expect("local r = '' for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') "
	       "do r = r .. k .. v end return r",
	       "a1b2");
	expect("local n = 0 for _ in ('abc'):gmatch('') do n = n + 1 end "
	       "return n",
	       "4");
	expect("local r = '' for w in ('one two'):gmatch('%a*') do "
	       "r = r .. '[' .. w .. ']' end return r",
	       "[one][two]");
	expect("local r = '' for w in ('xabc'):gmatch('%a', 3) do "
	       "r = r .. w end return r",
	       "bc");
}

Test(lib_string, gsub)
{
	expect("return (('hello'):gsub('l', 'L'))", "heLLo");
	expect("return select(2, ('hello'):gsub('l', 'L'))", "2");
	expect("return (('hello'):gsub('l', 'L', 1))", "heLlo");
	expect("return (('hello'):gsub('', '-'))", "-h-e-l-l-o-");
	expect("return (('hello world'):gsub('(%w+) (%w+)', '%2 %1 %0 %%'))",
	       "world hello hello world %");
	expect("return (('$a $b'):gsub('%$(%w+)', {a = 1, b = 'x'}))", "1 x");
	expect("return (('abc'):gsub('%w', function(c) if c ~= 'b' then "
	       "return c .. c end end))",
	       "aabcc");
	expect("return (('abc'):gsub('^a', 'x'))", "xbc");
	expect("return (('abc def'):gsub('%f[%w]%w', string.upper))",
	       "Abc Def");
	expect("return select(2, pcall(string.gsub, 'x', 'x', '%2'))",
	       "invalid capture index %2");
	expect("return select(2, pcall(string.gsub, 'x', 'x', '%a'))",
	       "invalid use of '%' in replacement string");
	expect("return select(2, pcall(string.gsub, 'x', 'x', function() "
	       "return {} end))",
	       "invalid replacement value (a table)");
	expect("return (('x'):rep(100000):gsub('x', 'yz')) == "
	       "('yz'):rep(100000)",
	       "true");
}

/* A12, A16-A18: minutes in the reference engine. */
Test(lib_string, work_is_bounded)
{
	static const char *const cases[] = {
		"string.find, ('a'):rep(40), ('a-'):rep(40) .. 'b'",
		"string.find, ('a'):rep(200000), '.-.-.-b'",
		"string.find, ('('):rep(300000), '%b()'",
		"string.match, ('a'):rep(100000), '.-.-c'",
		"string.gsub, ('a'):rep(100000), 'a*b', ''",
		"string.find, ('a'):rep(50000), '[' .. ('b'):rep(50000) .. "
		"']'",
		"string.find, ('a'):rep(300000), '%f[b]x'",
		"string.gmatch(('a'):rep(100000), '.-.-c')",
	};
	char text[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text), "return select(2, pcall(%s))",
			 cases[i]);
		run(text);
		if (i != 6)
			cr_expect(strstr(result, "pattern: too much work"),
				  "%s: %s", cases[i], result);
	}
	expect("return string.rep('', 1 << 62)", "");
	expect("return select(2, pcall(string.rep, 'x', 1 << 62))",
	       "resulting string too large");
	expect("return select(2, pcall(string.rep, 'xx', -1 >> 1))",
	       "resulting string too large");
	expect("return select(2, pcall(string.rep, '', 1 << 62, 'x'))",
	       "resulting string too large");
	expect("return select(2, pcall(string.find, ('x'):rep(300), "
	       "('x?'):rep(300)))",
	       "pattern too complex");
}

Test(lib_string, long_honest_work_passes)
{
	expect("local s = ('key=value; '):rep(200000) "
	       "return select(2, s:gsub('(%w+)=(%w+)', '%2=%1'))",
	       "200000");
	expect("local n = 0 for w in ('word '):rep(200000):gmatch('%a+') do "
	       "n = n + 1 end return n",
	       "200000");
}

Test(lib_string, rep)
{
	expect("return ('ab'):rep(3)", "ababab");
	expect("return ('ab'):rep(3, '-')", "ab-ab-ab");
	expect("return ('ab'):rep(1, '-')", "ab");
	expect("return ('ab'):rep(0) .. ('ab'):rep(-5)", "");
	expect("return #('x'):rep(1000000)", "1000000");
	expect("return select(2, pcall(string.rep, 'ab', 1 << 30))",
	       "resulting string too large");
}

Test(lib_string, format)
{
	expect("return ('%5d|%-5d|%05d|%+d|%x|%X|%o'):format(42, 42, 42, 42, "
	       "255, 255, 8)",
	       "   42|42   |00042|+42|ff|FF|10");
	expect("return ('%.2f|%10.3f|%e|%g'):format(3.14159, 2.5, 12345.678, "
	       "0.1)",
	       "3.14|     2.500|1.234568e+04|0.1");
	expect("return ('%s|%10s|%-10s|%.2s|%%'):format('abc', 'abc', 'abc', "
	       "'abc')",
	       "abc|       abc|abc       |ab|%");
	expect("return ('%c%c'):format(72, 105)", "Hi");
	expect("return ('%q'):format('a\"b\\n\\0c')", "\"a\\\"b\\\n\\0c\"");
	expect("return ('%q'):format(1 / 3)", "0x1.5555555555555p-2");
	expect("return ('%q'):format(math.mininteger)", "0x8000000000000000");
	expect("return ('%s %s %s'):format(nil, true, 1.5)", "nil true 1.5");
	expect("return ('%s'):format(setmetatable({}, {__tostring = function()"
	       " return 'T' end}))",
	       "T");
	expect("return ('%d'):format(3.0)", "3");
	expect("return #('%99.99f'):format(1e308)", "409");
	expect("return select(2, pcall(string.format, '%d', 'x'))",
	       "bad argument #2 to 'string.format' (number expected, got "
	       "string)");
	expect("return select(2, pcall(string.format, '%y', 1))",
	       "invalid conversion '%y' to 'format'");
	expect("return select(2, pcall(string.format, '%100d', 1))",
	       "invalid conversion to 'format' (width or precision too long)");
	expect("return select(2, pcall(string.format, '%d'))",
	       "bad argument #2 to 'string.format' (no value)");
	expect("return ('%'):rep(2):format()", "%");
	expect("return pcall(string.format, '%')", "false");
	expect("return select(2, pcall(string.format, '%', 1))",
	       "invalid conversion '%' to 'format'");
}

/* The engine's own functions, to compare with. */
static void add_reference(void)
{
	static const char *const names[] = {"find", "match", "gsub", "format"};
	lua_State *L = luaL_newstate();
	luaL_Reg functions[5] = {{NULL, NULL}};

	cr_assert_eq(vm_open(&vm, &vm_run_ops, NULL), 0);
	lua_pushcfunction(L, luaopen_string);
	lua_call(L, 0, 1);
	for (size_t i = 0; i < 4; i++) {
		lua_getfield(L, -1, names[i]);
		functions[i].name = names[i];
		functions[i].func = lua_tocfunction(L, -1);
		lua_pop(L, 1);
	}
	vm_library(&vm, "ref", functions);
	lua_close(L);
}

Test(lib_string, agrees_with_the_reference_engine)
{
	add_reference();
	run("math.randomseed(42) "
	    "local parts = {'a', 'b', '.', '%a', '%d', '[ab]', '[^a]', '*', "
	    "  '+', '-', '?', '(', ')', '()', '^', '$', '%1', '%b()', "
	    "  '%f[%w]', '%', '[', ']', '[]a]', '[a-c]', '%-', '[%w_]', "
	    "  '\\0', ' ', '%z', '%Z', '[^%z]', '%f[%z]'} "
	    "local letters = {'a', 'b', 'c', '1', '(', ')', ' ', '\\0', "
	    "  '-'} "
	    "local function any(list, most) local t = {} "
	    "  for i = 1, math.random(0, most) do "
	    "  t[i] = list[math.random(#list)] end return table.concat(t) end "
	    "local function same(f, ...) "
	    "  local a = table.pack(pcall(string[f], ...)) "
	    "  local b = table.pack(pcall(ref[f], ...)) "
	    "  for i = 1, math.max(a.n, b.n) do if a[i] ~= b[i] then "
	    "    a[i] = tostring(a[i]):gsub(\"'.-'\", '') "
	    "    b[i] = tostring(b[i]):gsub(\"'.-'\", '') "
	    "    assert(a[1] == b[1] and (not a[1] or a[i] == b[i]), "
	    "    ref.format('%s %q %q: %q %q', f, (...), (select(2, ...)), "
	    "    tostring(a[i]), tostring(b[i]))) end end "
	    "  return a[1] end "
	    "local good = 0 for i = 1, 30000 do "
	    "  local s, p = any(letters, 12), any(parts, 6) "
	    "  if same('find', s, p) then good = good + 1 end "
	    "  same('match', s, p, math.random(-5, 14)) "
	    "  same('gsub', s, p, '<%0%1>') same('gsub', s, p, {a = 'x'}) "
	    "end return good > 10000");
	cr_expect_str_eq(result, "true", "%s", result);
}

Test(lib_string, formats_as_the_reference_engine)
{
	add_reference();
	run("math.randomseed(43) local good = 0 "
	    "local flags = {'', '-', '0', '+', ' ', '#', '-+', '10', '5', "
	    "  '.3', '8.2', '-9.0', '.'} "
	    "local values = {0, 1, -1, 3.0, 2.5, 1e300, -1 / 0, 'x', 'a\\nb',"
	    "  12345678901, true, '7'} "
	    "for i = 1, 20000 do "
	    "  local c = math.random(14) c = ('aAcdeEfgGiosxX'):sub(c, c) "
	    "  local f = '<%' .. flags[math.random(#flags)] .. c .. '>' "
	    "  local v = values[math.random(#values)] "
	    "  local ok, b = pcall(ref.format, f, v) "
	    "  if ok then good = good + 1 local a = string.format(f, v) "
	    "  assert(a == b, f .. a .. b) end end return good > 5000");
	cr_expect_str_eq(result, "true", "%s", result);
}
