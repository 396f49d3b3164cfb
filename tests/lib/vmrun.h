/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmrun: a vm for unit tests. run(text) compiles and runs a script as an event
 * and gives its first result as text, or "error: ..."; what it prints is in
 * printed. run_late(text) does the same with a deadline that passes while it
 * runs: a timer's signal plays the broker's. Criterion gives each test a
 * process of its own, so one vm a file is enough.
 */
#ifndef PF_TESTS_LIB_VMRUN_H
#define PF_TESTS_LIB_VMRUN_H

#include "worker/heap.h"
#include "worker/libs.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

static struct vm vm;
static char printed[1 << 16], result[1 << 16];
static bool was_stopped;

static void on_print(void *arg, struct slice line)
{
	size_t at = strlen(printed);

	(void)arg;
	snprintf(printed + at, sizeof(printed) - at, "%s%.*s", at ? "\n" : "",
		 (int)line.n, (const char *)line.p);
}

static bool on_source(void *arg, struct slice module, struct slice *text,
		      const char **chunkname)
{
	static const struct {
		const char *name, *chunkname, *text;
	} files[] = {
		{"count", "@demo/count.lua",
		 "count = (count or 0) + 1\nreturn {n = count, ...}"},
		{"a.b", "@demo/a/b.lua", "return 'a.b'"},
		{"broken", "@demo/broken.lua", "local x =\n= 1"},
		{"raises", "@demo/raises.lua", "\nerror('boom')"},
		{"loop", "@demo/loop.lua", "return require 'loop'"},
		{"none", "@demo/none.lua", "seen = true"},
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		if (!slice_is(module, files[i].name))
			continue;
		*text = slice_str(files[i].text);
		*chunkname = files[i].chunkname;
		return true;
	}
	return false;
}

static const struct vm_ops vm_run_ops = {.print = on_print,
					 .source = on_source};

static void on_timer(int number)
{
	(void)number;
	vm_arm(&vm);
}

static void timer(int milliseconds)
{
	struct itimerval t = {
		.it_interval.tv_usec = milliseconds * 1000,
		.it_value.tv_usec = milliseconds * 1000,
	};

	signal(SIGALRM, on_timer);
	setitimer(ITIMER_REAL, &t, NULL);
}

static void take_result(lua_State *co, int status, int n)
{
	size_t size;
	const char *p;

	if (n == 0 && status == LUA_OK)
		lua_pushnil(co), n = 1;
	p = vm_tostring(co, status == LUA_OK ? -n : -1, &size);
	snprintf(result, sizeof(result), "%s%s", status ? "error: " : "", p);
}

static const char *run_with(const char *text, uint64_t deadline_ns)
{
	lua_State *co;
	int n = 0, status;

	printed[0] = 0;
	if (!vm.L)
		cr_assert_eq(vm_open(&vm, &vm_run_ops, NULL), 0);
	if (vm_compile(&vm, slice_str(text), "@demo/x.lua") != 0) {
		snprintf(result, sizeof(result), "refused: %s",
			 lua_tostring(vm.L, -1));
		lua_settop(vm.L, 0);
		return result;
	}
	vm_env_push(&vm, vm.L);
	vm_env_set(vm.L, -2);
	co = lua_newthread(vm.L);
	lua_pushvalue(vm.L, 1);
	lua_xmove(vm.L, co, 1);
	vm_event_begin(&vm, deadline_ns);
	status = vm_resume(&vm, co, 0, &n);
	was_stopped = vm.stopping;
	if (status != LUA_OK)
		n = 1;
	take_result(co, status, n);
	vm_event_end(&vm, true);
	cr_assert_eq(lua_gettop(vm.L), 2);
	lua_settop(vm.L, 0);
	return result;
}

static inline const char *run(const char *text)
{
	return run_with(text, 0);
}

static inline const char *run_late(const char *text)
{
	timer(30);
	run_with(text, vm_clock_ns() + 50000000);
	timer(0);
	return result;
}

#define expect(text, want)                                                     \
	cr_expect_str_eq(run(text), want, "%s: got %s", text, result)
/* The script ends by the stop and by nothing else. */
#define expect_stopped(text)                                                   \
	do {                                                                   \
		run_late(text);                                                \
		cr_expect(was_stopped, "%s: got %s", text, result);            \
		cr_expect(strstr(result, VM_TIMEOUT_TEXT), "%s: got %s", text, \
			  result);                                             \
	} while (0)

#endif
