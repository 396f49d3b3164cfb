/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.sort: a merge sort between two lists of its own, so it takes the
 * fewest comparisons, keeps equal elements in order, ends whatever the
 * comparison says, and leaves the table as it was when that raises.
 */
#include "worker/libs.h"

enum { MAX_ELEMENTS = 10000000, RUN = 8 };

/* Stack of table.sort: 1 the table, 2 the comparison or nil, 3 and 4 the
 * lists. */
enum { TABLE = 1, LESS, FIRST, SECOND };

struct sort {
	lua_State *L;
	struct work work;
	bool custom; /* a comparison was given */
};

/* Is the element at stack index a less than the one at b? */
static bool less(struct sort *s, int a, int b)
{
	bool result;

	work_add(&s->work, 1);
	if (!s->custom)
		return lua_compare(s->L, a, b, LUA_OPLT);
	lua_pushvalue(s->L, LESS);
	lua_pushvalue(s->L, a);
	lua_pushvalue(s->L, b);
	lua_call(s->L, 2, 1);
	result = lua_toboolean(s->L, -1);
	lua_pop(s->L, 1);
	return result;
}

/* Insertion sort of [from, to) of FIRST. */
static void sort_run(struct sort *s, lua_Integer from, lua_Integer to)
{
	lua_State *L = s->L;
	int top = lua_gettop(L);

	for (lua_Integer i = from + 1; i < to; i++) {
		lua_Integer at = i;

		lua_rawgeti(L, FIRST, i);
		while (at > from) {
			lua_rawgeti(L, FIRST, at - 1);
			if (!less(s, top + 1, top + 2))
				break;
			lua_rawseti(L, FIRST, at--);
		}
		lua_settop(L, top + 1);
		lua_rawseti(L, FIRST, at);
	}
}

static void copy(struct sort *s, int from, int to, lua_Integer i,
		 lua_Integer end)
{
	for (; i < end; i++) {
		lua_rawgeti(s->L, from, i);
		lua_rawseti(s->L, to, i);
	}
}

/* [a, b) and [b, c) of `from` become [a, c) of `to`. */
static void merge(struct sort *s, int from, int to, const lua_Integer at[3])
{
	lua_State *L = s->L;
	lua_Integer left = at[0], right = at[1], k = at[0];
	int top = lua_gettop(L);

	if (right >= at[2]) {
		copy(s, from, to, left, at[2]);
		return;
	}
	while (left < at[1] && right < at[2]) {
		lua_rawgeti(L, from, left);
		lua_rawgeti(L, from, right);
		if (less(s, top + 2, top + 1)) {
			lua_rawseti(L, to, k++);
			right++;
		} else {
			lua_pop(L, 1);
			lua_rawseti(L, to, k++);
			left++;
		}
		lua_settop(L, top);
	}
	for (; left < at[1]; left++) {
		lua_rawgeti(L, from, left);
		lua_rawseti(L, to, k++);
	}
	copy(s, from, to, right, at[2]);
}

/* Sort FIRST, elements 1..n; the list that holds the result. */
static int sort_lists(struct sort *s, lua_Integer n)
{
	int from = FIRST, to = SECOND, swap;

	for (lua_Integer i = 1; i <= n; i += RUN)
		sort_run(s, i, i + RUN <= n ? i + RUN : n + 1);
	for (lua_Integer width = RUN; width < n; width *= 2) {
		for (lua_Integer i = 1; i <= n; i += 2 * width) {
			lua_Integer at[3] = {i, i + width, i + 2 * width};

			at[1] = at[1] > n + 1 ? n + 1 : at[1];
			at[2] = at[2] > n + 1 ? n + 1 : at[2];
			merge(s, from, to, at);
		}
		swap = from;
		from = to;
		to = swap;
	}
	return from;
}

static int table_sort(lua_State *L)
{
	struct sort s = {.L = L};
	lua_Integer n;
	bool raw;
	int result;

	luaL_checktype(L, TABLE, LUA_TTABLE);
	vm_fill(L, TABLE);
	s.custom = !lua_isnoneornil(L, LESS);
	if (s.custom)
		luaL_checktype(L, LESS, LUA_TFUNCTION);
	lua_settop(L, LESS);
	vm_stack(L);
	raw = !lua_getmetatable(L, TABLE);
	lua_settop(L, LESS);
	n = raw ? (lua_Integer)lua_rawlen(L, TABLE) : luaL_len(L, TABLE);
	if (n < 2)
		return 0;
	luaL_argcheck(L, n <= MAX_ELEMENTS, TABLE, "array too big");
	work_init(&s.work, L, "table.sort", (uint64_t)n * 64 + MAX_ELEMENTS);
	/* A lying length is not worth its memory: grow with what is there. */
	lua_createtable(L, raw ? (int)n : 0, 0);
	lua_createtable(L, raw ? (int)n : 0, 0);
	luaL_checkstack(L, 8, NULL);
	for (lua_Integer i = 1; i <= n; i++) {
		work_add(&s.work, 1);
		lua_geti(L, TABLE, i);
		if (lua_isnil(L, -1))
			return luaL_error(L,
					  "attempt to compare nil (element "
					  "%I of the table to sort)",
					  (LUAI_UACINT)i);
		lua_rawseti(L, FIRST, i);
	}
	result = sort_lists(&s, n);
	for (lua_Integer i = 1; i <= n; i++) {
		lua_rawgeti(L, result, i);
		lua_seti(L, TABLE, i);
	}
	return 0;
}

void open_sort(lua_State *L)
{
	lua_pushcfunction(L, table_sort);
	lua_setfield(L, -2, "sort");
}
