/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.encode, with the choices of Go's encoder that scripts were written
 * against: keys sorted by bytes, <, > and & escaped, an empty table is [].
 * Linear in what comes out; what goes in is bounded by depth, the heap and
 * the stop. Decoding is in json_decode.c. Start at encode_value().
 */
#include "worker/json.h"
#include "worker/out.h"
#include "worker/libs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_DEPTH = 1000 };

/* Tables that are being written, innermost first. */
struct level {
	const void *table;
	const struct level *outer;
	int depth;
};

static void encode_value(struct out *o, int index, const struct level *level);

static void add_escape(struct out *o, uint8_t c)
{
	char text[8];

	if (c == '"' || c == '\\') {
		out_byte(o, '\\');
		out_byte(o, (char)c);
		return;
	}
	if (c == '\n' || c == '\r' || c == '\t') {
		out_byte(o, '\\');
		out_byte(o, c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
		return;
	}
	snprintf(text, sizeof(text), "\\u%04x", c);
	out_text(o, text);
}

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' &&
	       c != '>' && c != '&';
}

size_t json_utf8_length(const uint8_t *p, size_t left)
{
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

	if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
		return 0;
	return slice_is_utf8(slice_of(p, n)) ? n : 0;
}

static void add_string(struct out *o, struct slice s)
{
	size_t from = 0, i = 0, n;

	out_byte(o, '"');
	while (i < s.n) {
		if (is_plain(s.p[i])) {
			i++;
			continue;
		}
		out_add(o, s.p + from, i - from);
		if (s.p[i] < 0x80) {
			add_escape(o, s.p[i++]);
			from = i;
			continue;
		}
		n = json_utf8_length(s.p + i, s.n - i);
		if (n == 0)
			out_text(o, "\\ufffd");
		else if (n == 3 && memcmp(s.p + i, "\xe2\x80", 2) == 0 &&
			 (s.p[i + 2] & 0xfe) == 0xa8)
			out_text(o, s.p[i + 2] & 1 ? "\\u2029" : "\\u2028");
		else
			out_add(o, s.p + i, n);
		i += n ? n : 1;
		from = i;
	}
	out_add(o, s.p + from, s.n - from);
	out_byte(o, '"');
}

/* The fewest digits that read back as x: "d.ddde[+-]xx". */
static void shortest(double x, char text[40])
{
	int precision = fabs(x) < 2.3e-308 ? 0 : 14;

	for (; precision <= 16; precision++) {
		snprintf(text, 40, "%.*e", precision, x);
		if (strtod(text, NULL) == x)
			return;
	}
}

int json_digits(double x, char digits[24], int *exponent)
{
	char text[40];
	const char *p = text;
	int n = 0;

	shortest(fabs(x), text);
	for (; *p && *p != 'e'; p++)
		if (*p != '.' && n < 24)
			digits[n++] = *p;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	*exponent = atoi(p + 1);
	return n;
}

static void zeros(struct out *o, int n)
{
	while (n-- > 0)
		out_byte(o, '0');
}

/* `digits` times ten to the power `exponent` minus their count plus one. */
static void add_plain(struct out *o, const char *digits, int n, int exponent)
{
	if (exponent < 0) {
		out_text(o, "0.");
		zeros(o, -exponent - 1);
		out_add(o, digits, (size_t)n);
	} else if (n <= exponent + 1) {
		out_add(o, digits, (size_t)n);
		zeros(o, exponent + 1 - n);
	} else {
		out_add(o, digits, (size_t)exponent + 1);
		out_byte(o, '.');
		out_add(o, digits + exponent + 1, (size_t)(n - exponent - 1));
	}
}

static void add_double(struct out *o, double x)
{
	char text[16], digits[24];
	int exponent, n = json_digits(x, digits, &exponent);

	if (x < 0)
		out_byte(o, '-');
	if (exponent >= -6 && exponent < 21) {
		add_plain(o, digits, n, exponent);
		return;
	}
	out_byte(o, digits[0]);
	if (n > 1) {
		out_byte(o, '.');
		out_add(o, digits + 1, (size_t)(n - 1));
	}
	snprintf(text, sizeof(text), "e%+d", exponent);
	out_text(o, text);
}

static void add_number(struct out *o, int index)
{
	double x = lua_tonumber(o->L, index);
	char text[32];

	if (lua_isinteger(o->L, index)) {
		snprintf(text, sizeof(text), "%lld",
			 (long long)lua_tointeger(o->L, index));
		out_text(o, text);
		return;
	}
	if (isnan(x))
		luaL_error(o->L, "json: unsupported value: NaN");
	if (isinf(x))
		luaL_error(o->L, "json: unsupported value: %sInf",
			   x > 0 ? "+" : "-");
	if (x == 0)
		out_byte(o, '0');
	else
		add_double(o, x);
}

/* Only 1..n, without holes? Then n; else -1, with all keys counted. */
static lua_Integer list_length(lua_State *L, int index, lua_Integer *keys)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, index);
	bool list = true;

	*keys = 0;
	lua_pushnil(L);
	while (lua_next(L, index)) {
		lua_pop(L, 1);
		++*keys;
		if (*keys % 65536 == 0)
			vm_poll(L);
		if (list &&
		    (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 ||
		     lua_tointeger(L, -1) > n))
			list = false;
	}
	return list && *keys == n ? n : -1;
}

static void encode_list(struct out *o, int index, lua_Integer n,
			const struct level *level)
{
	out_byte(o, '[');
	for (lua_Integer i = 1; i <= n; i++) {
		if (i > 1)
			out_byte(o, ',');
		lua_rawgeti(o->L, index, i);
		encode_value(o, lua_gettop(o->L), level);
		lua_pop(o->L, 1);
	}
	out_byte(o, ']');
}

static void sort_keys(struct json_key *keys, struct json_key *spare, size_t n)
{
	size_t half = n / 2, a = 0, b = half, k = 0;

	if (n < 2)
		return;
	sort_keys(keys, spare, half);
	sort_keys(keys + half, spare, n - half);
	memcpy(spare, keys, half * sizeof(*keys));
	while (a < half && b < n)
		keys[k++] = slice_cmp(spare[a].text, keys[b].text) <= 0
				    ? spare[a++]
				    : keys[b++];
	memcpy(keys + k, spare + a, (half - a) * sizeof(*keys));
}

/* At most max keys of the table at index, at 1, 3, 5 ... of the list on top.
 * How many: a collection may have taken some out of a weak table. */
static size_t list_keys(lua_State *L, int index, size_t max)
{
	int list = lua_gettop(L);
	size_t n = 0;

	lua_pushnil(L);
	while (lua_next(L, index)) {
		lua_pop(L, 1);
		if (n == max) {
			lua_pop(L, 1);
			break;
		}
		lua_pushvalue(L, -1);
		lua_rawseti(L, list, (lua_Integer)(2 * n++ + 1));
	}
	return n;
}

/* A key's __tostring may change the table, so it is not asked before the list
 * is whole. */
struct json_key *json_push_keys(lua_State *L, int index, size_t *n)
{
	struct json_key *keys;
	int list;

	vm_room(L, *n * 2 * (sizeof(*keys) + 16));
	lua_createtable(L, (int)*n * 2, 0);
	list = lua_gettop(L);
	*n = list_keys(L, index, *n);
	keys = lua_newuserdatauv(L, 2 * *n * sizeof(*keys), 0);
	for (size_t i = 0; i < *n; i++) {
		keys[i].at = (int)(2 * i + 1);
		lua_rawgeti(L, list, keys[i].at);
		keys[i].text.p =
			(const uint8_t *)vm_tostring(L, -1, &keys[i].text.n);
		lua_rawseti(L, list, keys[i].at + 1);
		lua_pop(L, 1);
	}
	sort_keys(keys, keys + *n, *n);
	return keys;
}

static void encode_object(struct out *o, int index, size_t n,
			  const struct level *level)
{
	lua_State *L = o->L;
	struct json_key *keys = json_push_keys(L, index, &n);
	int list = lua_gettop(L) - 1;

	out_byte(o, '{');
	for (size_t i = 0; i < n; i++) {
		/* 1 and "1" are one key in JSON: the first counts. */
		if (i > 0 && slice_eq(keys[i].text, keys[i - 1].text))
			continue;
		if (i > 0)
			out_byte(o, ',');
		add_string(o, keys[i].text);
		out_byte(o, ':');
		lua_rawgeti(L, list, keys[i].at);
		lua_rawget(L, index);
		encode_value(o, lua_gettop(L), level);
		lua_pop(L, 1);
	}
	out_byte(o, '}');
	lua_pop(L, 2);
}

static void encode_table(struct out *o, int index, const struct level *outer)
{
	lua_State *L = o->L;
	struct level level = {.table = lua_topointer(L, index),
			      .outer = outer,
			      .depth = outer ? outer->depth + 1 : 1};
	lua_Integer keys, n;

	if (level.depth > MAX_DEPTH) {
		for (; outer; outer = outer->outer)
			if (outer->table == level.table)
				luaL_error(L, "json: unsupported value: "
					      "encountered a cycle");
		luaL_error(L, "json: exceeded max depth");
	}
	luaL_checkstack(L, 16, "json");
	vm_fill(L, index);
	n = list_length(L, index, &keys);
	if (n >= 0)
		encode_list(o, index, n, &level);
	else
		encode_object(o, index, (size_t)keys, &level);
	vm_poll(L);
}

static void encode_value(struct out *o, int index, const struct level *level)
{
	lua_State *L = o->L;
	struct slice s;

	switch (lua_type(L, index)) {
	case LUA_TNIL:
		out_text(o, "null");
		break;
	case LUA_TBOOLEAN:
		out_text(o, lua_toboolean(L, index) ? "true" : "false");
		break;
	case LUA_TNUMBER:
		add_number(o, index);
		break;
	case LUA_TTABLE:
		encode_table(o, index, level);
		break;
	default:
		s.p = (const uint8_t *)vm_tostring(L, index, &s.n);
		add_string(o, s);
		lua_pop(L, 1);
	}
}

static int encode(lua_State *L)
{
	struct out o;

	out_init(&o, L);
	encode_value(&o, 1, NULL);
	out_push(&o);
	return 1;
}

int json_protected(lua_State *L, lua_CFunction encoder)
{
	lua_settop(L, 1);
	vm_stack(L);
	lua_pushcfunction(L, encoder);
	lua_insert(L, 1);
	if (lua_pcall(L, 1, 1, 0) == LUA_OK)
		return 1;
	if (vm_of(L)->stopping)
		return lua_error(L);
	lua_pushnil(L);
	lua_insert(L, -2);
	return 2;
}

static int json_encode(lua_State *L)
{
	luaL_checkany(L, 1);
	return json_protected(L, encode);
}

void open_json(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"decode", json_decode},
		{"encode", json_encode},
		{NULL, NULL},
	};

	luaL_newlib(L, functions);
}
