/* SPDX-License-Identifier: Apache-2.0 */
/*
 * string.format: as Lua's, but %p and %s show no addresses. The numbers are
 * printed by the C library, one specification at a time, width and precision
 * at most two digits.
 */
#include "worker/out.h"
#include "worker/libs.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

struct spec {
	char text[32]; /* "%-08.3" and later its conversion, for snprintf */
	size_t n;
	int width, precision; /* -1: none */
	bool left;
	char conversion;
};

enum { NUMBER_MAX = 500 }; /* "%99.99f" of the largest double */

static const char *digits(lua_State *L, const char *p, int *value)
{
	*value = 0;
	for (int i = 0; i < 2 && isdigit((unsigned char)*p); i++)
		*value = *value * 10 + (*p++ - '0');
	if (isdigit((unsigned char)*p))
		luaL_error(L, "invalid conversion to 'format' (width or "
			      "precision too long)");
	return p;
}

/* p is after the %; returns just after the conversion. */
static const char *parse(lua_State *L, const char *p, struct spec *s)
{
	const char *from = p;

	*s = (struct spec){.width = -1, .precision = -1};
	while (*p && strchr("-+ #0", *p)) {
		s->left |= *p == '-';
		if (p++ - from >= 5)
			luaL_error(L, "invalid conversion to 'format' "
				      "(repeated flags)");
	}
	if (isdigit((unsigned char)*p))
		p = digits(L, p, &s->width);
	if (*p == '.')
		p = digits(L, p + 1, &s->precision);
	s->text[0] = '%';
	s->n = 1 + (size_t)(p - from);
	memcpy(s->text + 1, from, s->n - 1);
	s->conversion = *p;
	return *p ? p + 1 : p;
}

static void add_integer(struct out *o, struct spec *s, int arg)
{
	lua_Integer n = luaL_checkinteger(o->L, arg);

	memcpy(s->text + s->n, "ll", 2);
	s->text[s->n + 2] = s->conversion == 'i' ? 'd' : s->conversion;
	out_room(o, NUMBER_MAX);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	o->n += (size_t)snprintf(o->p + o->n, NUMBER_MAX, s->text,
				 (long long)n);
#pragma GCC diagnostic pop
}

static void add_number(struct out *o, struct spec *s, int arg)
{
	lua_Number n = luaL_checknumber(o->L, arg);

	s->text[s->n] = s->conversion;
	out_room(o, NUMBER_MAX);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	o->n += (size_t)snprintf(o->p + o->n, NUMBER_MAX, s->text, n);
#pragma GCC diagnostic pop
}

static void add_padded(struct out *o, const struct spec *s, const char *p,
		       size_t n)
{
	size_t pad = 0;

	if (s->precision >= 0 && n > (size_t)s->precision)
		n = (size_t)s->precision;
	if (s->width > 0 && n < (size_t)s->width)
		pad = (size_t)s->width - n;
	for (size_t i = 0; i < pad && !s->left; i++)
		out_byte(o, ' ');
	out_add(o, p, n);
	for (size_t i = 0; i < pad && s->left; i++)
		out_byte(o, ' ');
}

static void add_string(struct out *o, const struct spec *s, int arg)
{
	size_t n;
	const char *p = vm_tostring(o->L, arg, &n);

	add_padded(o, s, p, n);
	lua_pop(o->L, 1);
}

static void add_pointer(struct out *o, struct spec *s, int arg)
{
	char text[16] = "(null)";

	s->precision = -1;
	switch (lua_type(o->L, arg)) {
	case LUA_TNIL:
	case LUA_TBOOLEAN:
	case LUA_TNUMBER:
		break;
	default:
		snprintf(text, sizeof(text), "0x%08x",
			 (unsigned)vm_id(o->L, arg));
	}
	add_padded(o, s, text, strlen(text));
}

static void add_char(struct out *o, const struct spec *s, int arg)
{
	char c = (char)luaL_checkinteger(o->L, arg);

	add_padded(o, s, &c, 1);
}

static void quote_string(struct out *o, const char *p, size_t n)
{
	char code[8];

	out_byte(o, '"');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];
		bool digit = i + 1 < n && isdigit((unsigned char)p[i + 1]);

		if (c == '"' || c == '\\' || c == '\n') {
			out_byte(o, '\\');
			out_byte(o, (char)c);
		} else if (iscntrl(c)) {
			snprintf(code, sizeof(code), digit ? "\\%03d" : "\\%d",
				 c);
			out_text(o, code);
		} else {
			out_byte(o, (char)c);
		}
	}
	out_byte(o, '"');
}

static void quote_number(struct out *o, int arg)
{
	char text[64];
	lua_Number n = lua_tonumber(o->L, arg);

	if (lua_isinteger(o->L, arg)) {
		lua_Integer i = lua_tointeger(o->L, arg);

		snprintf(text, sizeof(text),
			 i == LUA_MININTEGER ? "0x%llx" : "%lld", (long long)i);
	} else if (isinf(n)) {
		snprintf(text, sizeof(text), n > 0 ? "1e9999" : "-1e9999");
	} else if (isnan(n)) {
		snprintf(text, sizeof(text), "(0/0)");
	} else {
		snprintf(text, sizeof(text), "%a", n);
	}
	out_text(o, text);
}

static void add_quoted(struct out *o, const struct spec *s, int arg)
{
	size_t n;
	const char *p;

	if (s->n != 1)
		luaL_error(o->L, "specifier '%%q' cannot have modifiers");
	switch (lua_type(o->L, arg)) {
	case LUA_TSTRING:
		p = lua_tolstring(o->L, arg, &n);
		quote_string(o, p, n);
		break;
	case LUA_TNUMBER:
		quote_number(o, arg);
		break;
	case LUA_TNIL:
	case LUA_TBOOLEAN:
		p = vm_tostring(o->L, arg, &n);
		out_add(o, p, n);
		lua_pop(o->L, 1);
		break;
	default:
		luaL_argerror(o->L, arg, "value has no literal form");
	}
}

static void add(struct out *o, struct spec *s, int arg)
{
	switch (s->conversion) {
	case 'c':
		add_char(o, s, arg);
		break;
	case 'd':
	case 'i':
	case 'u':
	case 'o':
	case 'x':
	case 'X':
		add_integer(o, s, arg);
		break;
	case 'a':
	case 'A':
	case 'e':
	case 'E':
	case 'f':
	case 'F':
	case 'g':
	case 'G':
		add_number(o, s, arg);
		break;
	case 's':
		add_string(o, s, arg);
		break;
	case 'p':
		add_pointer(o, s, arg);
		break;
	case 'q':
		add_quoted(o, s, arg);
		break;
	default:
		s->text[s->n] = s->conversion;
		luaL_error(o->L, "invalid conversion '%s' to 'format'",
			   s->text);
	}
}

static int str_format(lua_State *L)
{
	size_t n;
	const char *p = luaL_checklstring(L, 1, &n), *end = p + n, *mark;
	int args = lua_gettop(L), arg = 1;
	struct spec s;
	struct out o;

	vm_stack(L);
	out_init(&o, L);
	while ((mark = memchr(p, '%', (size_t)(end - p)))) {
		out_add(&o, p, (size_t)(mark - p));
		p = mark + 1;
		if (*p == '%') {
			out_byte(&o, *p++);
			continue;
		}
		p = parse(L, p, &s);
		if (++arg > args)
			return luaL_argerror(L, arg, "no value");
		add(&o, &s, arg);
	}
	out_add(&o, p, (size_t)(end - p));
	out_push(&o);
	return 1;
}

void open_format(lua_State *L)
{
	lua_pushcfunction(L, str_format);
	lua_setfield(L, -2, "format");
}
