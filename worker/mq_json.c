/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json as VerneMQ's scripts know it: keys sorted by bytes and no spaces, {} is
 * an object, integer keys make an array in their order, floats keep their
 * point, and a null becomes the string "null" (or nil: the setting `nulls`).
 * Start at encode_value().
 */
#include "worker/json.h"
#include "worker/libs.h"
#include "worker/mq.h"
#include "worker/out.h"

#include <math.h>
#include <stdio.h>

enum { MAX_DEPTH = 1000 };

static void encode_value(struct out *o, int index, int depth);

static void add_escape(struct out *o, uint8_t c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *at = c ? strchr(from, c) : NULL;
	char text[8];

	if (at) {
		out_byte(o, '\\');
		out_byte(o, to[at - from]);
		return;
	}
	snprintf(text, sizeof(text), "\\u%04x", c);
	out_text(o, text);
}

static void add_string(struct out *o, struct slice s)
{
	size_t from = 0, i = 0, n;

	out_byte(o, '"');
	while (i < s.n) {
		n = 1;
		if (s.p[i] >= 0x80)
			n = json_utf8_length(s.p + i, s.n - i);
		if (n && s.p[i] >= 0x20 && s.p[i] != '"' && s.p[i] != '\\') {
			i += n;
			continue;
		}
		out_add(o, s.p + from, i - from);
		if (n)
			add_escape(o, s.p[i]);
		else
			out_text(o, "\xef\xbf\xbd"); /* U+FFFD */
		from = ++i;
	}
	out_add(o, s.p + from, s.n - from);
	out_byte(o, '"');
}

static void zeros(struct out *o, int n)
{
	while (n-- > 0)
		out_byte(o, '0');
}

/* d.ddde-5, with at least one digit behind the point. */
static void add_scientific(struct out *o, const char *digits, int n, int e)
{
	char text[16];

	out_byte(o, digits[0]);
	out_byte(o, '.');
	if (n > 1)
		out_add(o, digits + 1, (size_t)n - 1);
	else
		out_byte(o, '0');
	snprintf(text, sizeof(text), "e%d", e);
	out_text(o, text);
}

/* Would 1234000.0 be longer than 1.234e6? From 2^53 on the answer is always
 * yes: the zeros would pretend to be exact. */
static bool scientific_is_shorter(double x, int n, int e)
{
	int point = n > 1 ? 1 : 2;    /* "." or ".0" */
	int exponent = e > 9 ? 3 : 2; /* "e6", "e12" */
	int filled = e + 1 - n;	      /* zeros before ".0" */

	return fabs(x) >= 0x1p53 || filled + 2 > point + exponent;
}

/* The shortest text that reads back as x, as Erlang writes it. */
static void add_double(struct out *o, double x)
{
	char digits[24];
	int e, n = json_digits(x, digits, &e);

	if (signbit(x))
		out_byte(o, '-');
	if (e < -3 || (n <= e + 1 && scientific_is_shorter(x, n, e))) {
		add_scientific(o, digits, n, e);
	} else if (e < 0) {
		out_text(o, "0.");
		zeros(o, -e - 1);
		out_add(o, digits, (size_t)n);
	} else if (n <= e + 1) {
		out_add(o, digits, (size_t)n);
		zeros(o, e + 1 - n);
		out_text(o, ".0");
	} else {
		out_add(o, digits, (size_t)e + 1);
		out_byte(o, '.');
		out_add(o, digits + e + 1, (size_t)(n - e - 1));
	}
}

static void add_number(struct out *o, int index)
{
	double x = lua_tonumber(o->L, index);
	char text[32];

	if (lua_isinteger(o->L, index)) {
		snprintf(text, sizeof(text), "%lld",
			 (long long)lua_tointeger(o->L, index));
		out_text(o, text);
	} else if (isfinite(x)) {
		add_double(o, x);
	} else {
		luaL_error(o->L, "json: a number that is not finite");
	}
}

/* How many keys, and are they all of one kind? LUA_TNUMBER: integers. */
static size_t look(lua_State *L, int index, int *kind)
{
	size_t n = 0;

	*kind = LUA_TNONE;
	lua_pushnil(L);
	while (lua_next(L, index)) {
		int type = lua_type(L, -2);

		lua_pop(L, 1);
		if (type != LUA_TSTRING && !lua_isinteger(L, -1))
			luaL_error(L, "json: a key is a %s",
				   type == LUA_TNUMBER ? "float"
						       : luaL_typename(L, -1));
		if (*kind != LUA_TNONE && *kind != type)
			luaL_error(L, "json: keys of two kinds");
		*kind = type;
		if (++n % 65536 == 0)
			vm_poll(L);
	}
	return n;
}

static void sift(lua_Integer *list, size_t i, size_t n)
{
	lua_Integer one = list[i];

	for (size_t child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && list[child + 1] > list[child])
			child++;
		if (list[child] <= one)
			break;
		list[i] = list[child];
	}
	list[i] = one;
}

static void sort(lua_Integer *list, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift(list, i, n);
	while (n > 1) {
		lua_Integer top = list[0];

		list[0] = list[--n];
		list[n] = top;
		sift(list, 0, n);
	}
}

/* Push the array of at most *n integer keys, sorted. *n: how many: a
 * collection may have taken some out of a weak table. */
static lua_Integer *push_integers(lua_State *L, int index, size_t *n)
{
	lua_Integer *keys;
	size_t i = 0;

	vm_room(L, *n * sizeof(*keys));
	keys = lua_newuserdatauv(L, *n * sizeof(*keys), 0);
	lua_pushnil(L);
	while (lua_next(L, index)) {
		lua_pop(L, 1);
		if (i == *n) {
			lua_pop(L, 1);
			break;
		}
		keys[i++] = lua_tointeger(L, -1);
	}
	*n = i;
	sort(keys, i);
	return keys;
}

/* Holes are left out: {[1] = "a", [3] = "c"} is ["a","c"]. */
static void encode_list(struct out *o, int index, size_t n, int depth)
{
	lua_State *L = o->L;
	lua_Integer *keys = push_integers(L, index, &n);

	out_byte(o, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			out_byte(o, ',');
		lua_rawgeti(L, index, keys[i]);
		encode_value(o, lua_gettop(L), depth);
		lua_pop(L, 1);
	}
	out_byte(o, ']');
	lua_pop(L, 1);
}

static void encode_object(struct out *o, int index, size_t n, int depth)
{
	lua_State *L = o->L;
	struct json_key *keys = json_push_keys(L, index, &n);
	int list = lua_gettop(L) - 1;

	out_byte(o, '{');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			out_byte(o, ',');
		add_string(o, keys[i].text);
		out_byte(o, ':');
		lua_rawgeti(L, list, keys[i].at);
		lua_rawget(L, index);
		encode_value(o, lua_gettop(L), depth);
		lua_pop(L, 1);
	}
	out_byte(o, '}');
	lua_pop(L, 2);
}

static void encode_table(struct out *o, int index, int depth)
{
	lua_State *L = o->L;
	size_t n;
	int kind;

	if (depth > MAX_DEPTH)
		luaL_error(L, "json: nested too deep, or without end");
	luaL_checkstack(L, 16, "json");
	vm_fill(L, index);
	n = look(L, index, &kind);
	if (n == 0)
		out_text(o, "{}");
	else if (kind == LUA_TSTRING)
		encode_object(o, index, n, depth + 1);
	else
		encode_list(o, index, n, depth + 1);
	vm_poll(L);
}

static void encode_value(struct out *o, int index, int depth)
{
	lua_State *L = o->L;
	struct slice s;

	switch (lua_type(L, index)) {
	case LUA_TBOOLEAN:
		out_text(o, lua_toboolean(L, index) ? "true" : "false");
		break;
	case LUA_TNUMBER:
		add_number(o, index);
		break;
	case LUA_TSTRING:
		s.p = (const uint8_t *)lua_tolstring(L, index, &s.n);
		add_string(o, s);
		break;
	case LUA_TTABLE:
		encode_table(o, index, depth);
		break;
	default:
		luaL_error(L, "json: a value is a %s", luaL_typename(L, index));
	}
}

static int encode(lua_State *L)
{
	struct out o;

	out_init(&o, L);
	encode_value(&o, 1, 1);
	out_push(&o);
	return 1;
}

static int json_encode(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	return json_protected(L, encode);
}

static int decode(lua_State *L)
{
	struct json_flavour flavour = {.exact = true};

	luaL_checktype(L, 1, LUA_TSTRING);
	if (lane_of(L)->host->script->nulls)
		flavour.null = "null";
	return json_decode_as(L, &flavour);
}

void mq_json(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"encode", json_encode},
		{"decode", decode},
		{NULL, NULL},
	};

	luaL_setfuncs(L, functions, 0);
}
