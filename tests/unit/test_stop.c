/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a script does, its deadline ends it; the next event is unharmed. */
#include "tests/lib/vmrun.h"

TestSuite(stop, .timeout = 60);

static void still_well(void)
{
	expect("return 1 + 1", "2");
	cr_expect_not(was_stopped);
}

Test(stop, loops)
{
	expect_stopped("while true do end");
	expect_stopped("while true do pcall(function() while true do end end) "
		       "end");
	expect_stopped("local function f() pcall(f) pcall(f) end "
		       "while true do f() end");
	expect_stopped("local function f() return f() end f()");
	still_well();
}

Test(stop, message_handlers)
{
	expect_stopped("local function l() while true do end end xpcall(l, l)");
	expect_stopped("xpcall(error, function() while true do end end)");
	expect_stopped("local function h() while true do xpcall(error, h) end "
		       "end xpcall(error, h)");
	still_well();
}

Test(stop, coroutines)
{
	expect_stopped("local function l() while true do end end "
		       "coroutine.resume(coroutine.create(l))");
	expect_stopped("coroutine.wrap(function() while true do end end)()");
	expect_stopped(
		"local f = function() while true do end end "
		"for i = 1, 20 do local g = coroutine.create(f) "
		"  f = function() while true do coroutine.resume(g) end end "
		"end f()");
	expect_stopped("local co = coroutine.wrap(function() while true do "
		       "coroutine.yield() end end) while true do co() end");
	still_well();
}

Test(stop, closing_handlers)
{
	expect_stopped("local loop = setmetatable({}, {__close = function() "
		       "while true do end end}) "
		       "while true do pcall(function() local x <close> = loop "
		       "end) end");
	expect_stopped("local loop = setmetatable({}, {__close = function() "
		       "while true do end end}) "
		       "local co = coroutine.create(function() "
		       "local x <close> = loop coroutine.yield() end) "
		       "coroutine.resume(co) coroutine.close(co)");
	expect_stopped("local loop = setmetatable({}, {__close = function() "
		       "while true do end end}) "
		       "coroutine.wrap(function() local x <close> = loop "
		       "while true do end end)()");
	still_well();
}

Test(stop, callbacks_of_libraries)
{
	expect_stopped("(('a'):rep(10)):gsub('.', function() while true do "
		       "end end)");
	expect_stopped("table.sort({3, 2, 1}, function() while true do end "
		       "end)");
	expect_stopped("tostring(setmetatable({}, {__tostring = function() "
		       "while true do end end}))");
	expect_stopped("load(function() while true do end end)");
	expect_stopped("for _ in pairs(setmetatable({}, {__pairs = function() "
		       "while true do end end})) do end");
	still_well();
}

Test(stop, loops_in_c)
{
	expect_stopped("local t = setmetatable({}, {__index = rawlen, "
		       "__len = function() return 1 << 60 end}) "
		       "while true do pcall(table.concat, t) "
		       "pcall(table.insert, t, 1, 1) end");
	expect_stopped("local s = ('a'):rep(200000) "
		       "while true do pcall(string.find, s, '.-.-.-b') end");
	expect_stopped("local t = {} for i = 1, 200 do t[i] = {i} end "
		       "while true do json.decode(json.encode(t)) end");
	still_well();
}

Test(stop, a_timeout_from_outside_is_sticky)
{
	lua_CFunction late = (lua_CFunction)(void (*)(void))vm_timeout;

	cr_assert_eq(vm_open(&vm, &vm_run_ops, NULL), 0);
	vm_library(&vm, "test", (luaL_Reg[]){{"late", late}, {NULL, NULL}});
	run("while true do pcall(test.late) end");
	cr_expect(was_stopped);
	run("pcall(test.late) return 'went on'");
	cr_expect(was_stopped);
	cr_expect(strstr(result, VM_TIMEOUT_TEXT), "%s", result);
	still_well();
}

Test(stop, an_early_signal_does_no_harm)
{
	timer(5);
	run_with("local n = 0 for i = 1, 20000000 do n = n + 1 end return n",
		 vm_clock_ns() + 3600 * 1000000000ull);
	timer(0);
	cr_expect_str_eq(result, "20000000");
	cr_expect_not(was_stopped);
}

Test(stop, no_finalizers)
{
	expect("return select(2, pcall(setmetatable, {}, {__gc = print}))",
	       "__gc is not available");
	expect("local mt = {} local t = setmetatable({}, mt) "
	       "mt.__gc = function() seen = true end t = nil "
	       "for i = 1, 1e5 do local _ = {} end return seen",
	       "nil");
	cr_expect_str_eq(printed, "");
}
