/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hook files' time library: unix, rfc3339, date. The zone is UTC.
 */
#include "worker/civil.h"
#include "worker/libs.h"
#include "worker/out.h"

#include <stdio.h>

static int time_unix(lua_State *L)
{
	lua_pushinteger(L, civil_now());
	return 1;
}

static void add_part(struct out *o, const struct civil *c, char what)
{
	char text[64] = {'%', what, 0};
	long year = (long)c->year;

	switch (what) {
	case 'Y':
		snprintf(text, sizeof(text), "%04ld", year);
		break;
	case 'y':
		snprintf(text, sizeof(text), "%02ld", year % 100);
		break;
	case 'm':
		snprintf(text, sizeof(text), "%02d", c->month);
		break;
	case 'd':
		snprintf(text, sizeof(text), "%02d", c->day);
		break;
	case 'H':
		snprintf(text, sizeof(text), "%02d", c->hour);
		break;
	case 'M':
		snprintf(text, sizeof(text), "%02d", c->minute);
		break;
	case 'S':
		snprintf(text, sizeof(text), "%02d", c->second);
		break;
	case 'F':
		snprintf(text, sizeof(text), "%04ld-%02d-%02d", year, c->month,
			 c->day);
		break;
	case 'T':
		snprintf(text, sizeof(text), "%02d:%02d:%02d", c->hour,
			 c->minute, c->second);
		break;
	}
	out_text(o, text); /* an unknown one stays as it is */
}

static int push_date(lua_State *L, const char *format, size_t n)
{
	const char *end = format + n;
	struct civil c = {0};
	struct out o;

	if (!civil_from_unix(&c, civil_now()))
		return luaL_error(L, "the clock is out of bounds");
	out_init(&o, L);
	for (; format < end; format++) {
		if (*format == '%' && format + 1 < end && format[1])
			add_part(&o, &c, *++format);
		else
			out_byte(&o, *format);
	}
	out_push(&o);
	return 1;
}

static int time_rfc3339(lua_State *L)
{
	static const char format[] = "%FT%TZ";

	return push_date(L, format, sizeof(format) - 1);
}

static int time_date(lua_State *L)
{
	static const char usual[] = "%Y_%m_%d_%H_%M_%S";
	const char *format = usual;
	size_t n = 0;

	if (!lua_isnoneornil(L, 1)) {
		luaL_checktype(L, 1, LUA_TSTRING);
		format = lua_tolstring(L, 1, &n);
	}
	return n ? push_date(L, format, n)
		 : push_date(L, usual, sizeof(usual) - 1);
}

void open_time(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"date", time_date},
		{"rfc3339", time_rfc3339},
		{"unix", time_unix},
		{NULL, NULL},
	};

	luaL_newlib(L, functions);
}
