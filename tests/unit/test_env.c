/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment that outlives runs: what a fresh one sees, what it keeps to
 * itself. The rules as a script meets them are in
 * tests/integration/test_worker_mqtt.py.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "worker/env.h"
#include "worker/libs.h"

static struct vm vm;
static char printed[4096];

static void on_print(void *arg, struct slice line)
{
	size_t at = strlen(printed);

	(void)arg;
	snprintf(printed + at, sizeof(printed) - at, "%s%.*s", at ? "|" : "",
		 (int)line.n, (const char *)line.p);
}

static bool on_source(void *arg, struct slice module, struct slice *text,
		      const char **chunkname)
{
	(void)arg;
	if (!slice_is(module, "mod"))
		return false;
	*text = slice_str("loaded = (loaded or 0) + 1\n"
			  "return function() return x end");
	*chunkname = "@mod.lua";
	return true;
}

static const struct vm_ops ops = {.print = on_print, .source = on_source};

static void call(const char *name)
{
	lua_State *L = vm.L;

	printed[0] = 0;
	env_push_state(L);
	lua_getfield(L, -1, name);
	vm_event_begin(&vm, 0);
	cr_assert_eq(lua_pcall(L, 0, 0, 0), LUA_OK, "%s", lua_tostring(L, -1));
	vm_event_end(&vm, true);
	lua_settop(L, 0);
}

/* Load a script, which defines f. */
static void load(const char *text)
{
	cr_assert_eq(vm_open(&vm, &ops, NULL), OK);
	cr_assert_eq(vm_compile(&vm, slice_str(text), "@main.lua"), OK);
	env_root(&vm);
	env_push_root(vm.L);
	vm_event_begin(&vm, 0);
	cr_assert_eq(lua_pcall(vm.L, 0, 0, 0), LUA_OK, "%s",
		     lua_tostring(vm.L, -1));
	env_seal(&vm);
	vm_event_end(&vm, true);
	cr_assert_eq(lua_gettop(vm.L), 0);
}

static void run_twice(const char *text, const char *want)
{
	load(text);
	for (int i = 0; i < 2; i++) {
		env_fresh(&vm);
		call("f");
		cr_expect_str_eq(printed, want, "%s: got %s", text, printed);
		cr_expect_eq(lua_gettop(vm.L), 0);
	}
	vm_close(&vm);
}

Test(env, globals_of_a_run_are_gone)
{
	run_twice("n = 0 function f() n = n + 1 print(n, x) x = 1 end",
		  "1\tnil");
	run_twice("function f() print(x) x = 1 print(x) x = nil print(x) end",
		  "nil|1|nil");
}

Test(env, a_nil_hides_what_was_loaded)
{
	run_twice("n = 0 function f() n = nil print(n) end", "nil");
	run_twice("n = 0 function f() n = 1 n = nil print(n) end", "nil");
	run_twice("n = 0 m = 1 function f() n = nil m = m + 1 print(m) end",
		  "2");
}

Test(env, the_whole_is_seen)
{
	run_twice("n = 7 function f() local t = {} for k in pairs(_G) do "
		  "t[k] = true end print(t.n, t.type, t.f, t.x) x = 1 end",
		  "true\ttrue\ttrue\tnil");
}

Test(env, modules_share_it)
{
	run_twice("local m = require 'mod' x = 1 "
		  "function f() print(m(), loaded) x = 2 print(m()) end",
		  "1\t1|2");
	run_twice("function f() local m = require 'mod' x = 3 "
		  "print(m(), loaded, require 'mod' == m) end",
		  "3\t1\ttrue");
	run_twice("g = load 'x = (x or 0) + 1 return x' "
		  "function f() print(g(), g(), x) end",
		  "1\t2\t2");
}

Test(env, libraries_keep_what_load_wrote)
{
	run_twice("string.n = 1 "
		  "function f() string.n = string.n + 1 string.m = 1 "
		  "print(string.n, ('').n, string.rep('a', 2)) end",
		  "2\t2\taa");
	run_twice("function f() print(string.m, table.m) string.m = 1 "
		  "table.m = 2 end",
		  "nil\tnil");
}

Test(env, metatables_of_the_script)
{
	run_twice("setmetatable(_G, {__index = function(_, k) return k end}) "
		  "function f() print(nix, type(string)) nix = 1 print(nix) "
		  "end",
		  "nix\ttable|1");
	run_twice("for k in pairs(_G) do end n = 1 "
		  "function f() n = n + 1 print(n, type(math.pi)) end",
		  "2\tnumber");
}

/* Without a root, all is as it was. */
Test(env, chunks_without_a_root)
{
	lua_State *L;

	cr_assert_eq(vm_open(&vm, &ops, NULL), OK);
	L = vm.L;
	cr_assert_eq(vm_compile(&vm,
				slice_str("print(load 'x = 1 return x'())"
					  "print(x)"),
				"@main.lua"),
		     OK);
	vm_env_push(&vm, L);
	vm_env_set(L, -2);
	printed[0] = 0;
	cr_assert_eq(lua_pcall(L, 0, 0, 0), LUA_OK);
	cr_expect_str_eq(printed, "1|1");
	vm_close(&vm);
}
