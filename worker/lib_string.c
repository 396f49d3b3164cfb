/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The string library. What is linear in real strings is the engine's own;
 * rep and whatever matches patterns is ours, bounded (pattern.c); format is in
 * lib_format.c. string.dump does not exist.
 */
#include "worker/out.h"
#include "worker/pattern.h"

#include <lualib.h>

static struct slice check_slice(lua_State *L, int arg)
{
	struct slice s;

	s.p = (const uint8_t *)luaL_checklstring(L, arg, &s.n);
	return s;
}

static int str_rep(lua_State *L)
{
	struct slice s = check_slice(L, 1), sep;
	lua_Integer times = luaL_checkinteger(L, 2);
	size_t total, done, n;
	luaL_Buffer b;
	char *p;

	sep.p = (const uint8_t *)luaL_optlstring(L, 3, "", &sep.n);
	if (times <= 0 || s.n + sep.n == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	if (__builtin_mul_overflow(s.n + sep.n, (size_t)times, &total) ||
	    total > INT32_MAX)
		return luaL_error(L, "resulting string too large");
	total -= sep.n;
	vm_room(L, total * 2);
	p = luaL_buffinitsize(L, &b, total);
	memcpy(p, s.p, s.n);
	if (times > 1)
		memcpy(p + s.n, sep.p, sep.n);
	/* Then all that is there once more, until it is full. */
	for (done = times > 1 ? s.n + sep.n : s.n; done < total; done += n) {
		n = done < total - done ? done : total - done;
		memcpy(p + done, p, n);
	}
	luaL_pushresultsize(&b, total);
	return 1;
}

/* Where a search begins: a position counted from 1, or from the end. */
static size_t start_of(lua_Integer init, size_t n)
{
	if (init > 0)
		return (size_t)init - 1;
	if (init == 0 || init < -(lua_Integer)n)
		return 0;
	return n - (size_t)-init;
}

static int push_range(lua_State *L, const uint8_t *base, const uint8_t *from,
		      const uint8_t *to)
{
	lua_pushinteger(L, from - base + 1);
	lua_pushinteger(L, to - base);
	return 2;
}

static int find_plain(lua_State *L, struct slice s, size_t init,
		      struct slice pat)
{
	const uint8_t *hit;

	hit = memmem(s.p + init, s.n - init, pat.p, pat.n);
	if (hit)
		return push_range(L, s.p, hit, hit + pat.n);
	lua_pushnil(L);
	return 1;
}

static int search(lua_State *L, bool find)
{
	struct slice s = check_slice(L, 1), pat = check_slice(L, 2);
	size_t init = start_of(luaL_optinteger(L, 3, 1), s.n), anchor;
	struct pattern m;

	if (init > s.n) {
		lua_pushnil(L);
		return 1;
	}
	if (find && (lua_toboolean(L, 4) || pattern_plain(pat)))
		return find_plain(L, s, init, pat);
	anchor = pat.n && pat.p[0] == '^';
	pattern_init(&m, L, s, pat);
	for (const uint8_t *at = s.p + init; at <= s.p + s.n; at++) {
		const uint8_t *end = pattern_at(&m, at, anchor);

		if (end && find)
			return push_range(L, s.p, at, end) +
			       pattern_captures(&m, NULL, NULL);
		if (end)
			return pattern_captures(&m, at, end);
		if (anchor)
			break;
	}
	lua_pushnil(L);
	return 1;
}

static int str_find(lua_State *L)
{
	return search(L, true);
}

static int str_match(lua_State *L)
{
	return search(L, false);
}

/* Upvalues: text, pattern, where to go on, end of the last match (or -1). */
static int gmatch_next(lua_State *L)
{
	struct slice s, pat;
	lua_Integer at = lua_tointeger(L, lua_upvalueindex(3));
	lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
	struct pattern m;

	s.p = (const uint8_t *)lua_tolstring(L, lua_upvalueindex(1), &s.n);
	pat.p = (const uint8_t *)lua_tolstring(L, lua_upvalueindex(2), &pat.n);
	pattern_init(&m, L, s, pat);
	for (; at <= (lua_Integer)s.n; at++) {
		const uint8_t *end = pattern_at(&m, s.p + at, 0);

		if (!end || end - s.p == last)
			continue;
		lua_pushinteger(L, end - s.p);
		lua_copy(L, -1, lua_upvalueindex(3));
		lua_replace(L, lua_upvalueindex(4));
		return pattern_captures(&m, s.p + at, end);
	}
	lua_pushinteger(L, (lua_Integer)s.n + 1);
	lua_replace(L, lua_upvalueindex(3));
	return 0;
}

static int str_gmatch(lua_State *L)
{
	struct slice s = check_slice(L, 1);
	size_t init;

	check_slice(L, 2);
	init = start_of(luaL_optinteger(L, 3, 1), s.n);
	if (init > s.n)
		init = s.n + 1;
	lua_settop(L, 2);
	lua_pushinteger(L, (lua_Integer)init);
	lua_pushinteger(L, -1);
	lua_pushcclosure(L, gmatch_next, 4);
	return 1;
}

/* One gsub. */
struct gsub {
	struct pattern m;
	struct out out;
	int type; /* of the replacement */
};

/* %0 to %9 and %% in a replacement string. */
static void add_template(struct gsub *g, const uint8_t *from, const uint8_t *to)
{
	lua_State *L = g->m.L;
	struct slice t, value;
	const uint8_t *p, *end, *mark;

	t.p = (const uint8_t *)lua_tolstring(L, 3, &t.n);
	work_add(&g->m.work, t.n / 16);
	for (p = t.p, end = t.p + t.n; p < end; p = mark + 2) {
		mark = memchr(p, '%', (size_t)(end - p));
		if (!mark)
			break;
		out_add(&g->out, p, (size_t)(mark - p));
		if (mark + 1 < end && mark[1] == '%') {
			out_byte(&g->out, '%');
		} else if (mark + 1 < end && mark[1] == '0') {
			out_add(&g->out, from, (size_t)(to - from));
		} else if (mark + 1 < end && mark[1] > '0' && mark[1] <= '9') {
			pattern_capture(&g->m, (unsigned)(mark[1] - '1'), from,
					to);
			value.p =
				(const uint8_t *)lua_tolstring(L, -1, &value.n);
			out_add(&g->out, value.p, value.n);
			lua_pop(L, 1);
		} else {
			luaL_error(L, "invalid use of '%%' in replacement "
				      "string");
		}
	}
	if (p < end)
		out_add(&g->out, p, (size_t)(end - p));
}

/* A table's or a function's answer; nil and false keep the match. True when
 * something was replaced. */
static bool add_value(struct gsub *g, const uint8_t *from, const uint8_t *to)
{
	lua_State *L = g->m.L;
	struct slice value;

	if (g->type == LUA_TTABLE) {
		pattern_capture(&g->m, 0, from, to);
		lua_gettable(L, 3);
	} else {
		lua_pushvalue(L, 3);
		lua_call(L, pattern_captures(&g->m, from, to), 1);
	}
	if (!lua_toboolean(L, -1)) {
		out_add(&g->out, from, (size_t)(to - from));
		lua_pop(L, 1);
		return false;
	}
	if (!lua_isstring(L, -1))
		luaL_error(L, "invalid replacement value (a %s)",
			   luaL_typename(L, -1));
	value.p = (const uint8_t *)lua_tolstring(L, -1, &value.n);
	out_add(&g->out, value.p, value.n);
	lua_pop(L, 1);
	return true;
}

static bool add_replacement(struct gsub *g, const uint8_t *from,
			    const uint8_t *to)
{
	if (g->type == LUA_TTABLE || g->type == LUA_TFUNCTION)
		return add_value(g, from, to);
	add_template(g, from, to);
	return true;
}

/* Replace at most `max` matches; how many there were. */
static lua_Integer gsub_run(struct gsub *g, size_t anchor, lua_Integer max,
			    bool *changed)
{
	const uint8_t *at = g->m.text.p, *end = at + g->m.text.n, *last = NULL;
	lua_Integer n = 0;

	while (n < max) {
		const uint8_t *to = pattern_at(&g->m, at, anchor);

		if (to && to != last) {
			n++;
			if (add_replacement(g, at, to))
				*changed = true;
			at = last = to;
		} else if (at < end) {
			out_byte(&g->out, (char)*at++);
		} else {
			break;
		}
		if (anchor)
			break;
	}
	out_add(&g->out, at, (size_t)(end - at));
	return n;
}

static int str_gsub(lua_State *L)
{
	struct slice s = check_slice(L, 1), pat = check_slice(L, 2);
	lua_Integer max, n;
	bool changed = false;
	struct gsub g;

	g.type = lua_type(L, 3);
	luaL_argexpected(L,
			 g.type == LUA_TNUMBER || g.type == LUA_TSTRING ||
				 g.type == LUA_TTABLE ||
				 g.type == LUA_TFUNCTION,
			 3, "string/function/table");
	max = luaL_optinteger(L, 4, (lua_Integer)s.n + 1);
	vm_stack(L);
	if (g.type == LUA_TNUMBER)
		lua_tostring(L, 3);
	out_init(&g.out, L);
	pattern_init(&g.m, L, s, pat);
	n = gsub_run(&g, pat.n && pat.p[0] == '^', max, &changed);
	if (changed)
		out_push(&g.out);
	else
		lua_pushvalue(L, 1);
	lua_pushinteger(L, n);
	return 2;
}

void open_string(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"dump", NULL},		{"find", str_find},
		{"gmatch", str_gmatch}, {"gsub", str_gsub},
		{"match", str_match},	{"rep", str_rep},
		{NULL, NULL},
	};

	lua_pushcfunction(L, luaopen_string);
	lua_call(L, 0, 1);
	luaL_setfuncs(L, functions, 0);
	lua_pushnil(L);
	lua_setfield(L, -2, "dump");
	lua_getfield(L, -1, "gmatch");
	lua_setfield(L, -2, "gfind");
	open_format(L);
	/* Strings' metatable leads to the library and is out of reach. */
	lua_pushliteral(L, "");
	lua_getmetatable(L, -1);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 2);
}
