/* SPDX-License-Identifier: Apache-2.0 */
/* What a script sees and does not see, and that events leave nothing behind. */
#include "tests/lib/vmrun.h"

TestSuite(vm, .timeout = 60);

Test(vm, surface)
{
	static const char *const absent[] = {
		"io",
		"package",
		"dofile",
		"loadfile",
		"string.dump",
		"os.execute",
		"os.exit",
		"os.remove",
		"os.rename",
		"os.tmpname",
		"os.setlocale",
		"debug.sethook",
		"debug.getinfo",
		"debug.getregistry",
		"debug.setmetatable",
		"debug.getupvalue",
		"debug.debug",
		"module",
		"newproxy",
	};
	static const char *const present[] = {
		"assert",	   "collectgarbage",
		"error",	   "getmetatable",
		"ipairs",	   "load",
		"loadstring",	   "next",
		"pairs",	   "pcall",
		"print",	   "eprint",
		"rawequal",	   "rawget",
		"rawlen",	   "rawset",
		"require",	   "select",
		"setmetatable",	   "tonumber",
		"tostring",	   "type",
		"xpcall",	   "unpack",
		"string.format",   "string.pack",
		"table.getn",	   "table.maxn",
		"table.unpack",	   "math.pow",
		"math.mod",	   "math.log10",
		"math.cosh",	   "math.sinh",
		"math.tanh",	   "math.ldexp",
		"math.frexp",	   "math.tointeger",
		"bit32.band",	   "utf8.char",
		"coroutine.close", "os.clock",
		"os.date",	   "os.time",
		"os.difftime",	   "os.getenv",
		"debug.traceback", "json.encode",
		"base64.decode",   "time.unix",
		"crypto.hash",
	};
	char text[100];

	for (size_t i = 0; i < sizeof(absent) / sizeof(*absent); i++) {
		snprintf(text, sizeof(text), "return type(%s)", absent[i]);
		expect(text, "nil");
	}
	for (size_t i = 0; i < sizeof(present) / sizeof(*present); i++) {
		snprintf(text, sizeof(text), "return type(%s)", present[i]);
		expect(text, "function");
	}
	expect("return os.getenv('PATH')", "nil");
	expect("return _VERSION", "Lua 5.4");
	expect("return _G._G == _G and _G == _ENV", "true");
}

Test(vm, globals_end_with_the_event)
{
	expect("x = 1 _G.y = 2 rawset(_G, 'z', 3) return x + _G.y + z", "6");
	expect("return x or y or z", "nil");
	expect("print = 5 tostring = error return print", "5");
	expect("return tostring(print ~= 5)", "true");
}

Test(vm, libraries_start_fresh)
{
	expect("string.x = 1 string.upper = 2 return string.x + string.upper",
	       "3");
	expect("return tostring(string.x) .. ('a'):upper()", "nilA");
	expect("function string.twice(s) return s .. s end "
	       "return ('ab'):twice()",
	       "abab");
	expect("return pcall(function() return ('ab'):twice() end)", "false");
	expect("rawset(table, 'insert', 1) return rawget(table, 'insert')",
	       "1");
	expect("return type(table.insert)", "function");
	expect("for k in pairs(os) do os[k] = nil end return next(os)", "nil");
	expect("return type(os.time)", "function");
	expect("setmetatable(math, {__index = function() return 7 end}) "
	       "return math.nothing",
	       "7");
	expect("return math.nothing", "nil");
	expect("json = 5 return json", "5");
	expect("return type(json)", "table");
}

Test(vm, libraries_look_ordinary)
{
	expect("return rawget(string, 'upper') == string.upper", "true");
	expect("local n = 0 for k, v in pairs(table) do n = n + 1 "
	       "assert(table[k] == v) end return n > 5",
	       "true");
	expect("return type(next(math))", "string");
	expect("return getmetatable(string) or getmetatable(_G)", "nil");
	expect("local n = 0 for k in pairs(_G) do n = n + 1 end return n > 30",
	       "true");
	expect("setmetatable(_G, {__index = function(_, k) error('no ' .. k) "
	       "end}) print('x') return select(2, pcall(function() return zz "
	       "end))",
	       "demo/x.lua:1: no zz");
	expect("return zz", "nil");
}

static int answer(lua_State *L)
{
	lua_pushinteger(L, 42);
	return 1;
}

Test(vm, own_libraries_and_aliases)
{
	cr_assert_eq(vm_open(&vm, &vm_run_ops, NULL), 0);
	vm_library(&vm, "mine", (luaL_Reg[]){{"answer", answer}, {NULL, NULL}});
	vm_alias(&vm, "also", "mine");
	expect("also.x = 1 return mine.x", "1");
	expect("return also == mine and mine.x == nil", "true");
	expect("return also.answer()", "42");
}

Test(vm, strings_metatable_is_out_of_reach)
{
	expect("return getmetatable('')", "false");
	expect("return pcall(setmetatable, 'x', {})", "false");
	expect("return '10' + 5", "15");
}

Test(vm, load_takes_text_only)
{
	expect("return load('return 1 + 1')()", "2");
	expect("return select(2, load('\\27Lua'))",
	       "attempt to load a binary chunk (mode is 't')");
	expect("return select(2, load('x = 1', 'n', 'b'))",
	       "attempt to load a text chunk (mode is 'b')");
	expect("x = 5 return load('return x')()", "5");
	expect("return load('return x', 'n', 't', {x = 6})()", "6");
	expect("return select(2, load('x =', '=name'))",
	       "name:1: unexpected symbol near <eof>");
	expect("local parts = {'return ', '7'} local i = 0 "
	       "return load(function() i = i + 1 return parts[i] end)()",
	       "7");
	expect("return loadstring('return ...')(8)", "8");
	expect("return select(2, load(('x=1\\n'):rep(100000)))",
	       "(load):1: source text over 256 KiB");
}

/* What its reader does wrong is told, as a mistake in the text is. */
Test(vm, load_survives_its_reader)
{
	expect("return select(2, load(function() error('no', 0) end))", "no");
	expect("return select(2, load(function() return {} end))",
	       "reader function must return a string");
	expect("return select('#', load(function() error() end))", "2");
	expect("local t = {7, 'return '} "
	       "return load(function() return table.remove(t) end)()",
	       "7");
	expect("return select(2, load(7))", "(load):1: unexpected symbol");
}

/* What it is made of may be a stranger's, and its error ends in a log. */
Test(vm, a_chunk_without_a_name_is_not_quoted)
{
	expect("return select(2, load('user=a&password=b'))",
	       "(load):1: unexpected symbol");
	expect("return select(2, loadstring('user=a&password=b'))",
	       "(load):1: unexpected symbol");
	expect("return select(2, load('x = \"pass near <eof>\\n'))",
	       "(load):1: unfinished string");
	expect("return select(2, load('\\nreturn 12pass'))",
	       "(load):2: malformed number");
	expect("return select(2, load(function() return nil end))", "nil");
	expect("local t = {'pass word'} return select(2, load(function() "
	       "return table.remove(t) end))",
	       "(load):1: syntax error");
	/* Is more to come? So ask those that read line by line. */
	expect("return select(2, load('if x then'))",
	       "(load):1: 'end' expected near <eof>");
	expect("load('\\nlocal pass pass()')()",
	       "error: (load):2: attempt to call a nil value (local 'pass')");
	/* A name asks for all of it. */
	expect("return select(2, load('pass word', '=n'))",
	       "n:1: syntax error near 'word'");
	expect("return select(2, load('pass word', 'pass word'))",
	       "[string \"pass word\"]:1: syntax error near 'word'");
}

Test(vm, mutated_bytecode_is_refused)
{
	expect("local s = '\\27LuaT\\0\\x19\\x93\\r\\n\\x1a\\n' "
	       "for i = 1, 3000 do local m = s .. crypto.random(40) "
	       "  assert(not load(m)) assert(not load(m, 'n', 'b')) "
	       "  assert(not load(m, 'n', 'bt')) "
	       "end return 'all'",
	       "all");
	cr_expect_eq(vm_compile(&vm, slice_of("\x1bLua", 4), "@b"), ERR_FORMAT);
}

Test(vm, errors_name_file_and_line)
{
	expect("\nerror('boom')", "error: demo/x.lua:2: boom");
	expect("\n\nlocal x = nil\nx.y = 1",
	       "error: demo/x.lua:4: attempt to index a nil value (local "
	       "'x')");
	expect("x = = 1", "refused: demo/x.lua:1: unexpected symbol near '='");
	expect("#!/usr/bin/lua\nreturn 3", "3");
	expect("\xef\xbb\xbfreturn 4", "4");
}

Test(vm, require)
{
	expect("return require('count').n + require('count').n", "2");
	expect("return require('count') == require('count')", "true");
	expect("return require('a.b')", "a.b");
	expect("require 'none' return seen", "true");
	expect("return require('none')", "true");
	expect("return select(2, pcall(require, 'broken'))",
	       "demo/broken.lua:2: unexpected symbol near '='");
	expect("pcall(require, 'raises') "
	       "return select(2, pcall(require, 'raises'))",
	       "demo/raises.lua:2: boom");
	expect("return select(2, pcall(require, 'loop'))",
	       "demo/loop.lua:1: module 'loop' requires itself");
	expect("return select(2, pcall(require, 'nope'))",
	       "module 'nope' not found in the script's folder");
	expect("return require 'string' == string", "true");
}

Test(vm, protected_calls)
{
	expect("return select(2, pcall(error, {1}))[1]", "1");
	expect("return select('#', pcall(function() return 1, 2, 3 end))", "4");
	expect("return select(2, xpcall(error, function(m) return m .. '!' "
	       "end, 'x'))",
	       "x!");
	expect("return select(2, xpcall(function(a, b) return a + b end, "
	       "print, 1, 2))",
	       "3");
	expect("return select(2, xpcall(error, function() error('in handler', "
	       "0) end))",
	       "in handler");
	expect("local function deep() local x = nil; x() end "
	       "local _, t = xpcall(function() deep() end, debug.traceback) "
	       "return t:match(\"in upvalue '(.-)'\")",
	       "deep");
	expect("local co = coroutine.wrap(function() return pcall(function() "
	       "return coroutine.yield(1) + 1 end) end) "
	       "co() return select(2, co(41))",
	       "42");
	expect("local co = coroutine.wrap(function() return select(2, xpcall("
	       "function() return coroutine.yield(1) + 1 end, print)) end) "
	       "co() return co(41)",
	       "42");
}

/* Lua 5.4.4 would call whatever lies where the handler was. */
Test(vm, closing_inside_xpcall_keeps_its_error)
{
	expect("local co = coroutine.create(function() "
	       "  local x <close> = setmetatable({}, {__close = function() "
	       "    error('from close', 0) end}) "
	       "  xpcall(function() coroutine.yield() end, print) end) "
	       "coroutine.resume(co) "
	       "return select(2, coroutine.close(co))",
	       "from close");
}

Test(vm, coroutines)
{
	expect("local co = coroutine.create(function(a) "
	       "local b = coroutine.yield(a + 1) error('e' .. b, 0) end) "
	       "local _, x = coroutine.resume(co, 1) "
	       "local ok, y = coroutine.resume(co, 2) "
	       "return x .. tostring(ok) .. y .. coroutine.status(co) .. "
	       "tostring(select(2, coroutine.resume(co)))",
	       "2falsee2deadcannot resume dead coroutine");
	expect("return select(2, pcall(coroutine.yield))",
	       "attempt to yield from outside a coroutine");
	expect("return select(2, coroutine.running())", "true");
	expect("return coroutine.isyieldable()", "false");
	expect("return coroutine.wrap(function() return select(2, "
	       "coroutine.running()) or not coroutine.isyieldable() end)()",
	       "false");
	expect("local co = coroutine.create(print) "
	       "return coroutine.isyieldable(co)",
	       "true");
	expect("return coroutine.isyieldable(coroutine.running())", "false");
	expect("return pcall(coroutine.isyieldable, 1)", "false");
	expect("return select(2, pcall(coroutine.wrap(function() error('w', 0)"
	       " end)))",
	       "w");
	expect("local f = coroutine.wrap(function() error('w', 0) end) "
	       "return select(2, pcall(function() f() end))",
	       "demo/x.lua:1: w");
	expect("local log = '' local co = coroutine.create(function() "
	       "local x <close> = setmetatable({}, {__close = function() "
	       "log = log .. 'closed' end}) coroutine.yield() end) "
	       "coroutine.resume(co) "
	       "return tostring(coroutine.close(co)) .. log",
	       "trueclosed");
	expect("return select(2, pcall(coroutine.close, coroutine.running()))",
	       "cannot close a running coroutine");
}

Test(vm, nesting_is_bounded)
{
	/* C01: closing within closing, 30,000 deep. */
	run("local before for i = 1, 30000 do local inner = before "
	    "local co = coroutine.create(function() "
	    "local x <close> = setmetatable({}, {__close = function() "
	    "if inner then assert(coroutine.close(inner)) end end}) "
	    "coroutine.yield() end) "
	    "coroutine.resume(co) before = co end "
	    "return tostring(select(2, coroutine.close(before)))");
	cr_expect(strstr(result, "C stack overflow"), "%s", result);
	run("local function f() return coroutine.wrap(f)() end f()");
	cr_expect(strstr(result, "C stack overflow"), "%s", result);
	run("local function f() pcall(f) end f() "
	    "local function g() return (('x'):gsub('.', g)) end g()");
	cr_expect(strstr(result, "C stack overflow"), "%s", result);
	run("local function f() return f() + 1 end f()");
	cr_expect(strstr(result, "stack overflow"), "%s", result);
}

/* C02: naming the operand of a failing operation recurses over the chain. */
Test(vm, long_chains_are_refused)
{
	char *text = malloc(300000);
	static const char *const links[] = {"._ENV", "['_ENV']", ".--[[x]]a",
					    "[_ENV]", ".a[1]"};

	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		strcpy(text, "x = _ENV");
		for (size_t n = 0; n < 20000; n++)
			memcpy(text + 8 + n * strlen(links[i]), links[i],
			       strlen(links[i]) + 1);
		strcat(text, " + 1");
		run(text);
		cr_expect(strstr(result, "too many index operations"), "%s",
			  result);
	}
	free(text);
	expect("return load('x = ' .. ('('):rep(300) .. '1' .. "
	       "(')'):rep(300))",
	       "nil");
}

Test(vm, ordinary_text_is_not_refused)
{
	run("local parts = {} for i = 1, 3000 do "
	    "parts[i] = 'a.b.c[' .. i .. '].d = f(a.b)[\"x\"].y -- ...' end "
	    "return assert(load(table.concat(parts, '\\n')))");
	cr_expect(strstr(result, "function: "), "%s", result);
	run("local parts = {} for i = 1, 3000 do "
	    "parts[i] = '[' .. i .. '] = {x.y[1].z, \"a.b.c]]\", .5, 1..2},' "
	    "end return load('return {' .. table.concat(parts) .. '}')");
	cr_expect(strstr(result, "nil"), "malformed 1..2: %s", result);
	run("local parts = {} for i = 1, 3000 do "
	    "parts[i] = '[' .. i .. '] = {x.y[1].z, \"a.b.c]]\", .5, q..w},' "
	    "end return assert(load('return {' .. table.concat(parts) .. "
	    "'}'))");
	cr_expect(strstr(result, "function: "), "%s", result);
}

Test(vm, no_addresses)
{
	expect("return tostring({})", "table: 0x00000001");
	expect("local t = {} local a = tostring(t) tostring({}) "
	       "return a == tostring(t) and a == string.format('%s', t) and "
	       "a == 'table: ' .. string.format('%p', t)",
	       "true");
	expect("return tostring(print) ~= tostring(error)", "true");
	expect("return tostring(coroutine.create(print)):match('^thread: "
	       "0x0000000%x$') ~= nil",
	       "true");
	expect("return tostring(setmetatable({}, {__name = 'My'}))",
	       "My: 0x00000001");
	expect("return string.format('%p', 1)", "(null)");
	expect("return (json.encode({f = print}))",
	       "{\"f\":\"function: 0x00000001\"}");
}

Test(vm, random_is_not_inherited)
{
	char first[64];

	strcpy(first, run("math.randomseed(1) return math.random(1 << 60)"));
	cr_expect_str_eq(run("math.randomseed(1) return math.random(1 << 60)"),
			 first);
	run("return math.random(1 << 60)");
	cr_expect_str_neq(result, first);
	expect("for i = 1, 1000 do local r = math.random(3, 5) "
	       "assert(r >= 3 and r <= 5) assert(math.random() < 1) end "
	       "return pcall(math.random, 2, 1)",
	       "false");
}

/* A seed is told, and whoever has it gets the same numbers again. */
Test(vm, a_seed_can_be_repeated)
{
	char first[64];

	expect("local a, b = math.randomseed() local n = math.random(0) "
	       "local c, d = math.randomseed(a, b) "
	       "return n == math.random(0) and a == c and b == d",
	       "true");
	expect("return select(2, math.randomseed(7))", "0");
	run("math.randomseed() return math.random(1 << 60)");
	strcpy(first, result);
	run("math.randomseed() return math.random(1 << 60)");
	cr_expect_str_neq(result, first);
}

Test(vm, print)
{
	run("print(1, nil, 'x', 2.0) eprint('e')");
	cr_expect_str_eq(printed, "1\tnil\tx\t2.0\ne");
	expect("return collectgarbage('count') > 10 and collectgarbage()", "0");
}

Test(vm, bits_of_the_past)
{
	expect("return bit32.band(0xff, 0x0f) .. ' ' .. bit32.bnot(0) .. ' ' "
	       ".. bit32.lshift(1, 31) .. ' ' .. bit32.rshift(-1, 28) .. ' ' "
	       ".. bit32.arshift(0x80000000, 31) .. ' ' .. "
	       "bit32.rrotate(1, 1) .. ' ' .. bit32.extract(0xabcd, 4, 8) .. "
	       "' ' .. bit32.replace(0, 0xff, 8, 4)",
	       "15 4294967295 2147483648 15 4294967295 2147483648 188 3840");
	expect("return table.maxn({1, 2, [10] = 3}) .. table.getn({1, 2})",
	       "102");
	expect("return math.frexp(8)", "0.5");
	expect("return math.ldexp(0.5, 4)", "8.0");
	expect("return select('#', unpack({1, nil, 3}, 1, 3))", "3");
}
