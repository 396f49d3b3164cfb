/* SPDX-License-Identifier: Apache-2.0 */
/* The heap: contents survive, the sum is right, the limit ends the process. */
#include "proto/proto.h"
#include "tests/lib/vmrun.h"
#include "worker/arena.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(heap, .timeout = 60);

enum { BLOCKS = 2000 };

static void fill(uint8_t *p, size_t n, size_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(seed + i * 7);
}

static bool is_filled(const uint8_t *p, size_t n, size_t seed)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != (uint8_t)(seed + i * 7))
			return false;
	return true;
}

static size_t some_size(void)
{
	switch (random() % 4) {
	case 0:
		return (size_t)random() % 64 + 1;
	case 1:
		return (size_t)random() % 1000 + 1;
	case 2:
		return (size_t)random() % 9000 + 1;
	default:
		return (size_t)random() % 100000 + 1;
	}
}

Test(heap, contents_survive)
{
	static struct {
		uint8_t *p;
		size_t n;
	} b[BLOCKS];
	size_t before = heap_used();

	srandom(3);
	for (size_t round = 0; round < 10000; round++) {
		size_t i = (size_t)random() % BLOCKS;
		size_t n = random() % 3 ? some_size() : 0;
		uint8_t *p = heap_lua(NULL, b[i].p, b[i].n, n);
		size_t least = n < b[i].n ? n : b[i].n;

		cr_assert_eq(p == NULL, n == 0);
		cr_assert_eq((uintptr_t)p % 16, 0);
		cr_assert(is_filled(p, b[i].p ? least : 0, i));
		if (n)
			fill(p, n, i);
		b[i].p = p;
		b[i].n = n;
	}
	for (size_t i = 0; i < BLOCKS; i++)
		heap_lua(NULL, b[i].p, b[i].n, 0);
	/* At most one empty span a size class stays in use. */
	cr_expect_leq(heap_used() - before, (size_t)40 * 65536);
}

Test(heap, every_size_is_its_own)
{
	for (size_t n = 1; n < 20000; n += n < 600 ? 1 : 97) {
		uint8_t *a = arena_get(n), *b = arena_get(n);

		memset(a, 1, n);
		memset(b, 2, n);
		cr_assert_eq(a[0] + a[n - 1], 2);
		cr_assert(a + n <= b || b + n <= a);
		arena_put(a, n);
		arena_put(b, n);
	}
}

/* The exit code of a child that runs text under a limit. */
static int run_limited(const char *text, size_t limit, char out[200])
{
	int status = 0, fd[2];
	ssize_t n;
	pid_t pid;

	cr_assert_eq(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		heap_setup(limit, NULL, NULL);
		run(text);
		n = write(fd[1], result, strlen(result));
		_exit(n < 0);
	}
	close(fd[1]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	n = read(fd[0], out, 199);
	out[n > 0 ? n : 0] = 0;
	close(fd[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* B01-B04, B11: no way to catch it, no way past it. */
Test(heap, the_limit_ends_the_process)
{
	static const char *const bombs[] = {
		"local s = 'x' while true do s = s .. s end",
		"local t = {} while true do t[#t + 1] = {} end",
		"local t = {} while true do pcall(function() "
		"while true do t[#t + 1] = ('x') .. #t end end) end",
		"local t = {} while true do t[#t + 1] = coroutine.create("
		"print) end",
		"local t = setmetatable({}, {__mode = 'k', __newindex = "
		"function(t, k, v) setmetatable(t, nil) t[k] = v "
		"setmetatable(t, {__mode = 'v'}) end}) "
		"local keep = {} while true do keep[#keep + 1] = {} "
		"pcall(function() t[{}] = {} end) end",
	};
	char out[200];

	for (size_t i = 0; i < sizeof(bombs) / sizeof(*bombs); i++)
		cr_expect_eq(run_limited(bombs[i], 16 << 20, out),
			     EXIT_WORKER_MEMORY, "%s: %s", bombs[i], out);
}

Test(heap, what_will_not_fit_is_an_ordinary_error)
{
	static const char *const cases[] = {
		"return select(2, pcall(string.rep, 'x', 100 << 20))",
		"local s = ('x'):rep(1 << 20) return select(2, pcall("
		"string.rep, s, 64))",
		"local s = ('x'):rep(1 << 20) local t = {} "
		"for i = 1, 60 do t[i] = s end "
		"return select(2, pcall(table.concat, t))",
		"local s = ('x'):rep(2 << 20) return select(2, pcall("
		"string.gsub, s, 'x', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy'))",
		"local s = ('\\1'):rep(3 << 20) "
		"return select(2, json.encode({s, s, s}))",
	};
	char out[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cr_expect_eq(run_limited(cases[i], 32 << 20, out), 0, "%s",
			     cases[i]);
		cr_expect(strstr(out, "not enough memory"), "%s: %s", cases[i],
			  out);
	}
}

static void on_soft(void *arg)
{
	(void)arg;
	vm.collect = true;
	vm_arm(&vm);
}

/* Ten times the limit in garbage, in pieces that Lua's own pace lets grow. */
Test(heap, garbage_alone_does_not_kill)
{
	heap_setup(24 << 20, on_soft, NULL);
	expect("local keep = ('k'):rep(9 << 20) local n = 0 "
	       "for i = 1, 80 do local s = ('x'):rep(3 << 20) n = n + #s end "
	       "return n == 80 * (3 << 20) and #keep",
	       "9437184");
	expect("local s = '' local keep = ('k'):rep(7 << 20) "
	       "for i = 1, 4000 do s = ('y'):rep(30000) .. i end return #s",
	       "30004");
}

Test(heap, told_at_the_mark_and_on_the_way_to_the_limit)
{
	enum { MIB = 1 << 20 };
	uint8_t *p;

	heap_setup(16 * MIB, on_soft, NULL);
	heap_soft(heap_used() + 8 * MIB);
	p = heap_lua(NULL, NULL, 0, 7 * MIB);
	cr_expect_not(vm.collect);
	p = heap_lua(NULL, p, 7 * MIB, 9 * MIB);
	cr_expect(vm.collect);
	vm.collect = false;
	p = heap_lua(NULL, p, 9 * MIB, 10 * MIB);
	cr_expect_not(vm.collect, "told twice");
	p = heap_lua(NULL, p, 10 * MIB, 14 * MIB);
	cr_expect(vm.collect, "half way");
	vm.collect = false;
	p = heap_lua(NULL, p, 14 * MIB, 2 * MIB);
	p = heap_lua(NULL, p, 2 * MIB, 9 * MIB);
	cr_expect(vm.collect, "again from below");
	heap_lua(NULL, p, 9 * MIB, 0);
}
