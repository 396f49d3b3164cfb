/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.decode: a descent over the text with a bound on depth, values made as
 * they are met. Errors are worded as Go words them. Integral numbers below
 * 2^53 become integers; null leaves a field out. Start at value().
 */
#include "worker/json.h"
#include "worker/out.h"
#include "worker/libs.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { MAX_DEPTH = 1000 };

struct parse {
	lua_State *L;
	const uint8_t *p, *end;
	const char *where; /* for messages: "looking for beginning of value" */
	int depth;
	struct work work;
	struct json_flavour flavour;
};

/* Each pushes one value, or a message and returns false. */
static bool value(struct parse *s);

static bool failed(struct parse *s, const char *where)
{
	char quoted[8] = {'\'', 0};

	if (s->p >= s->end) {
		lua_pushliteral(s->L, "unexpected end of JSON input");
		return false;
	}
	if (*s->p == '\'' || *s->p == '"' || *s->p == '\\')
		snprintf(quoted, sizeof(quoted),
			 *s->p == '"' ? "'%c'" : "'\\%c'", *s->p);
	else if (*s->p == '\n' || *s->p == '\r' || *s->p == '\t')
		snprintf(quoted, sizeof(quoted), "'\\%c'",
			 *s->p == '\n'	 ? 'n'
			 : *s->p == '\r' ? 'r'
					 : 't');
	else if (isprint(*s->p))
		snprintf(quoted, sizeof(quoted), "'%c'", *s->p);
	else
		snprintf(quoted, sizeof(quoted), "'\\x%02x'", *s->p);
	lua_pushfstring(s->L, "invalid character %s %s", quoted, where);
	return false;
}

static void skip_space(struct parse *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' ||
				 *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static bool literal(struct parse *s, const char *word)
{
	char where[48];

	for (size_t i = 0; word[i]; i++, s->p++) {
		if (s->p < s->end && *s->p == (uint8_t)word[i])
			continue;
		snprintf(where, sizeof(where), "in literal %s (expecting '%c')",
			 word, word[i]);
		return failed(s, where);
	}
	if (word[0] == 'n')
		lua_pushstring(s->L, s->flavour.null); /* NULL: nil */
	else
		lua_pushboolean(s->L, word[0] == 't');
	return true;
}

static bool digits(struct parse *s, const char *where)
{
	if (s->p >= s->end || !isdigit(*s->p))
		return failed(s, where);
	while (s->p < s->end && isdigit(*s->p))
		s->p++;
	return true;
}

/* Decimal digits with a sign, as an integer if they fit. */
static bool push_integer(lua_State *L, const uint8_t *p, size_t n)
{
	char text[24];
	long long v;

	if (n >= sizeof(text))
		return false;
	memcpy(text, p, n);
	text[n] = '\0';
	errno = 0;
	v = strtoll(text, NULL, 10);
	if (errno == 0)
		lua_pushinteger(L, v);
	return errno == 0;
}

static bool number(struct parse *s)
{
	const uint8_t *from = s->p;
	bool plain = true;
	double x;

	if (*s->p == '-')
		s->p++;
	if (s->p < s->end && *s->p == '0')
		s->p++;
	else if (!digits(s, "in numeric literal"))
		return false;
	if (s->p < s->end && *s->p == '.') {
		plain = false;
		s->p++;
		if (!digits(s, "after decimal point in numeric literal"))
			return false;
	}
	if (s->p < s->end && (*s->p | 0x20) == 'e') {
		plain = false;
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if (!digits(s, "in exponent of numeric literal"))
			return false;
	}
	if (s->flavour.exact && plain &&
	    push_integer(s->L, from, (size_t)(s->p - from)))
		return true;
	x = strtod((const char *)from, NULL);
	if (isinf(x)) {
		lua_pushliteral(s->L, "json: cannot unmarshal number ");
		lua_pushlstring(s->L, (const char *)from,
				s->p - from < 64 ? (size_t)(s->p - from) : 64);
		lua_pushliteral(s->L, " into a Lua number");
		lua_concat(s->L, 3);
		return false;
	}
	if (!s->flavour.exact && x == floor(x) && fabs(x) < 0x1p53)
		lua_pushinteger(s->L, (lua_Integer)x);
	else
		lua_pushnumber(s->L, x);
	return true;
}

static void add_rune(struct out *o, uint32_t c)
{
	if (c < 0x80) {
		out_byte(o, (char)c);
	} else if (c < 0x800) {
		out_byte(o, (char)(0xc0 | c >> 6));
		out_byte(o, (char)(0x80 | (c & 63)));
	} else if (c < 0x10000) {
		out_byte(o, (char)(0xe0 | c >> 12));
		out_byte(o, (char)(0x80 | (c >> 6 & 63)));
		out_byte(o, (char)(0x80 | (c & 63)));
	} else {
		out_byte(o, (char)(0xf0 | c >> 18));
		out_byte(o, (char)(0x80 | (c >> 12 & 63)));
		out_byte(o, (char)(0x80 | (c >> 6 & 63)));
		out_byte(o, (char)(0x80 | (c & 63)));
	}
}

/* Four hexadecimal digits at p, or -1. */
static int32_t hex4(const struct parse *s, const uint8_t *p)
{
	int32_t c = 0;

	if (s->end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		if (!isxdigit(p[i]))
			return -1;
		c = c * 16 +
		    (isdigit(p[i]) ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
	}
	return c;
}

/* At the u of \u. A lone surrogate becomes U+FFFD. */
static bool unicode_escape(struct parse *s, struct out *o)
{
	int32_t c = hex4(s, ++s->p), low = -1;

	if (c < 0) {
		while (s->p < s->end && isxdigit(*s->p))
			s->p++;
		return failed(s, "in \\u hexadecimal character escape");
	}
	s->p += 4;
	if (c < 0xd800 || c > 0xdfff) {
		add_rune(o, (uint32_t)c);
		return true;
	}
	if (c < 0xdc00 && s->end - s->p >= 6 && s->p[0] == '\\' &&
	    s->p[1] == 'u')
		low = hex4(s, s->p + 2);
	if (low >= 0xdc00 && low <= 0xdfff) {
		s->p += 6;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		add_rune(o, (uint32_t)c);
	} else {
		add_rune(o, 0xfffd);
	}
	return true;
}

static bool escape(struct parse *s, struct out *o)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;

	if (++s->p >= s->end)
		return failed(s, "");
	if (*s->p == 'u')
		return unicode_escape(s, o);
	at = *s->p ? strchr(from, *s->p) : NULL;
	if (!at)
		return failed(s, "in string escape code");
	out_byte(o, to[at - from]);
	s->p++;
	return true;
}

static void add_sequence(struct parse *s, struct out *o)
{
	size_t n = *s->p >= 0xf0 ? 4 : *s->p >= 0xe0 ? 3 : 2;

	if ((size_t)(s->end - s->p) >= n && slice_is_utf8(slice_of(s->p, n))) {
		out_add(o, s->p, n);
		s->p += n;
	} else {
		add_rune(o, 0xfffd);
		s->p++;
	}
}

/* The rest of a string that is more than plain ASCII. */
static bool long_string(struct parse *s, const uint8_t *from)
{
	struct out o;
	bool ok = true;

	out_init(&o, s->L);
	out_add(&o, from, (size_t)(s->p - from));
	while (ok && s->p < s->end && *s->p != '"') {
		if (*s->p == '\\')
			ok = escape(s, &o);
		else if (*s->p >= 0x80)
			add_sequence(s, &o);
		else if (*s->p < 0x20)
			ok = failed(s, "in string literal");
		else
			out_byte(&o, (char)*s->p++);
	}
	if (ok && s->p >= s->end)
		ok = failed(s, "");
	if (ok) {
		s->p++;
		out_push(&o);
	}
	lua_replace(s->L, o.slot);
	lua_settop(s->L, o.slot);
	return ok;
}

/* After the opening quote. */
static bool string(struct parse *s)
{
	const uint8_t *from = s->p;

	while (s->p < s->end && *s->p >= 0x20 && *s->p < 0x80 && *s->p != '"' &&
	       *s->p != '\\')
		s->p++;
	if (s->p >= s->end || *s->p != '"')
		return long_string(s, from);
	lua_pushlstring(s->L, (const char *)from, (size_t)(s->p - from));
	s->p++;
	return true;
}

/* On failure the message goes in the place of the table. */
static bool give_up(struct parse *s, int table)
{
	lua_replace(s->L, table);
	lua_settop(s->L, table);
	return false;
}

/* After "[" or ",": true when the list ends here or goes on. */
static bool list(struct parse *s)
{
	lua_State *L = s->L;
	int table;

	lua_newtable(L);
	table = lua_gettop(L);
	skip_space(s);
	if (s->p < s->end && *s->p == ']') {
		s->p++;
		return true;
	}
	for (lua_Integer i = 1;; i++) {
		if (!value(s))
			return give_up(s, table);
		lua_rawseti(L, table, i);
		skip_space(s);
		if (s->p >= s->end || (*s->p != ',' && *s->p != ']')) {
			failed(s, "after array element");
			return give_up(s, table);
		}
		if (*s->p++ == ']')
			return true;
	}
}

static bool member(struct parse *s, int table)
{
	skip_space(s);
	if (s->p >= s->end || *s->p != '"')
		return failed(s, "looking for beginning of object key string");
	s->p++;
	if (!string(s))
		return false;
	skip_space(s);
	if (s->p >= s->end || *s->p != ':')
		return failed(s, "after object key");
	s->p++;
	if (!value(s))
		return false;
	lua_rawset(s->L, table);
	return true;
}

static bool object(struct parse *s)
{
	int table;

	lua_newtable(s->L);
	table = lua_gettop(s->L);
	skip_space(s);
	if (s->p < s->end && *s->p == '}') {
		s->p++;
		return true;
	}
	for (;;) {
		if (!member(s, table))
			return give_up(s, table);
		skip_space(s);
		if (s->p >= s->end || (*s->p != ',' && *s->p != '}')) {
			failed(s, "after object key:value pair");
			return give_up(s, table);
		}
		if (*s->p++ == '}')
			return true;
	}
}

static bool nested(struct parse *s)
{
	bool ok;

	if (++s->depth > MAX_DEPTH) {
		lua_pushliteral(s->L, "exceeded max depth");
		return false;
	}
	luaL_checkstack(s->L, 8, "json");
	ok = *s->p++ == '[' ? list(s) : object(s);
	s->depth--;
	return ok;
}

static bool value(struct parse *s)
{
	work_add(&s->work, 1);
	skip_space(s);
	if (s->p >= s->end)
		return failed(s, "");
	switch (*s->p) {
	case '{':
	case '[':
		return nested(s);
	case '"':
		s->p++;
		return string(s);
	case 't':
		return literal(s, "true");
	case 'f':
		return literal(s, "false");
	case 'n':
		return literal(s, "null");
	default:
		if (*s->p == '-' || isdigit(*s->p))
			return number(s);
		return failed(s, "looking for beginning of value");
	}
}

int json_decode_as(lua_State *L, const struct json_flavour *flavour)
{
	struct parse s = {.L = L, .flavour = *flavour};
	size_t n;
	bool ok;

	s.p = (const uint8_t *)luaL_checklstring(L, 1, &n);
	s.end = s.p + n;
	vm_stack(L);
	work_init(&s.work, L, "json.decode", UINT64_MAX);
	ok = value(&s);
	if (ok) {
		skip_space(&s);
		if (s.p < s.end)
			ok = failed(&s, "after top-level value");
	}
	if (ok)
		return 1;
	lua_pushnil(L);
	lua_insert(L, -2);
	return 2;
}

int json_decode(lua_State *L)
{
	static const struct json_flavour go;

	return json_decode_as(L, &go);
}
