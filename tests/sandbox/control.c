/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control: a script on the plain engine with its own libraries, without any
 * guard of ours but the two that everybody has: an allocator that says no at a
 * limit, and a hook that is armed when the time is over. test_controls.py shows
 * with it what the guards of the worker are for.
 *
 *   control MILLISECONDS LIMIT_BYTES < SCRIPT
 *
 * Ends with 0 (the script ended), 1 (it raised), 2 (it was stopped), or as the
 * engine makes it end.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum { ENDED, RAISED, STOPPED, MAX_SCRIPT = 16 << 20 };

static struct {
	size_t used, limit;
} heap;

static lua_State *L;

static void late(lua_State *at, lua_Debug *ar)
{
	(void)ar;
	luaL_error(at, "late");
}

static void on_alarm(int sig)
{
	(void)sig;
	lua_sethook(L, late, LUA_MASKCOUNT, 1);
}

static void *resize(void *ud, void *p, size_t old, size_t size)
{
	(void)ud;
	if (!p)
		old = 0;
	if (size > old && heap.used + size - old > heap.limit)
		return NULL;
	heap.used += size - old;
	if (size)
		return realloc(p, size);
	free(p);
	return NULL;
}

static int run(const char *text, size_t n)
{
	const char *why;

	if (luaL_loadbuffer(L, text, n, "=probe") == LUA_OK &&
	    lua_pcall(L, 0, 0, 0) == LUA_OK) {
		lua_close(L);
		return ENDED;
	}
	why = lua_tostring(L, -1);
	return why && strstr(why, "late") ? STOPPED : RAISED;
}

int main(int argc, char **argv)
{
	struct itimerval timer = {0};
	static char text[MAX_SCRIPT];
	long ms;

	if (argc != 3)
		return 64;
	ms = strtol(argv[1], NULL, 10);
	heap.limit = strtoul(argv[2], NULL, 10);
	L = lua_newstate(resize, NULL);
	if (!L)
		return 64;
	luaL_openlibs(L);
	signal(SIGALRM, on_alarm);
	timer.it_value.tv_sec = ms / 1000;
	timer.it_value.tv_usec = ms % 1000 * 1000;
	setitimer(ITIMER_REAL, &timer, NULL);
	return run(text, fread(text, 1, sizeof(text), stdin));
}
