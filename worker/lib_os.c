/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os: clock, date, time, difftime, and a getenv that knows nothing. Time is
 * UTC (civil.h); the clock has a grain of a millisecond.
 */
#include "worker/civil.h"
#include "worker/libs.h"
#include "worker/out.h"

#include <stdio.h>
#include <time.h>

static const char *const weekdays[] = {"Sunday",    "Monday",	"Tuesday",
				       "Wednesday", "Thursday", "Friday",
				       "Saturday"};
static const char *const months[] = {
	"January", "February", "March",	    "April",   "May",	   "June",
	"July",	   "August",   "September", "October", "November", "December"};

static int os_clock(lua_State *L)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	lua_pushnumber(L, (double)now.tv_sec +
				  (double)(now.tv_nsec / 1000000) / 1000);
	return 1;
}

/* ISO 8601: week 1 is the one with the year's first Thursday. */
static int iso_week(const struct civil *c, int64_t *year)
{
	int monday_first = (c->weekday + 6) % 7;
	int week = (c->yearday - 1 - monday_first + 10) / 7;
	bool leap =
		c->year % 4 == 0 && (c->year % 100 != 0 || c->year % 400 == 0);
	int days = leap ? 366 : 365;

	*year = c->year;
	if (c->yearday - monday_first + 3 > days) {
		++*year;
		return 1;
	}
	if (week > 0)
		return week;
	--*year;
	leap = *year % 4 == 0 && (*year % 100 != 0 || *year % 400 == 0);
	return (c->yearday + (leap ? 366 : 365) - 1 - monday_first + 10) / 7;
}

static void add_number(struct out *o, const char *format, int64_t n)
{
	char text[32];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), format, (long)n);
#pragma GCC diagnostic pop
	out_text(o, text);
}

/* A conversion that stands for others; NULL if it is none. */
static const char *composed(char c)
{
	switch (c) {
	case 'c':
		return "%a %b %e %H:%M:%S %Y";
	case 'D':
	case 'x':
		return "%m/%d/%y";
	case 'F':
		return "%Y-%m-%d";
	case 'r':
		return "%I:%M:%S %p";
	case 'R':
		return "%H:%M";
	case 'T':
	case 'X':
		return "%H:%M:%S";
	default:
		return NULL;
	}
}

static void add_names(struct out *o, const struct civil *c, char conversion)
{
	const char *month = months[c->month - 1], *day = weekdays[c->weekday];

	if (conversion == 'a')
		out_add(o, day, 3);
	else if (conversion == 'A')
		out_text(o, day);
	else if (conversion == 'B')
		out_text(o, month);
	else
		out_add(o, month, 3);
}

/* Conversions that are one number; false if it is none. */
static bool add_field(struct out *o, const struct civil *c, char conversion)
{
	int hour12 = c->hour % 12 ? c->hour % 12 : 12;
	int64_t iso_year, week = iso_week(c, &iso_year), seconds;
	const struct {
		char conversion;
		const char *format;
		int64_t n;
	} fields[] = {
		{'C', "%02ld", c->year / 100},
		{'d', "%02ld", c->day},
		{'e', "%2ld", c->day},
		{'g', "%02ld", iso_year % 100},
		{'G', "%ld", iso_year},
		{'H', "%02ld", c->hour},
		{'I', "%02ld", hour12},
		{'j', "%03ld", c->yearday},
		{'m', "%02ld", c->month},
		{'M', "%02ld", c->minute},
		{'S', "%02ld", c->second},
		{'u', "%ld", c->weekday ? c->weekday : 7},
		{'U', "%02ld", (c->yearday + 6 - c->weekday) / 7},
		{'V', "%02ld", week},
		{'w', "%ld", c->weekday},
		{'W', "%02ld", (c->yearday + 6 - (c->weekday + 6) % 7) / 7},
		{'y', "%02ld", ((c->year % 100) + 100) % 100},
		{'Y', "%ld", c->year},
	};
	int64_t ymdhms[6] = {c->year, c->month,	 c->day,
			     c->hour, c->minute, c->second};

	if (conversion == 's' && civil_to_unix(&seconds, ymdhms)) {
		add_number(o, "%ld", seconds);
		return true;
	}
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		if (fields[i].conversion != conversion)
			continue;
		add_number(o, fields[i].format, fields[i].n);
		return true;
	}
	return false;
}

static void add_conversion(struct out *o, const struct civil *c, char what)
{
	const char *parts = composed(what);

	if (parts) {
		for (; *parts; parts++)
			if (*parts == '%')
				add_conversion(o, c, *++parts);
			else
				out_byte(o, *parts);
	} else if (strchr("aAbBh", what) && what) {
		add_names(o, c, what);
	} else if (what == 'p') {
		out_text(o, c->hour < 12 ? "AM" : "PM");
	} else if (what == 'n' || what == 't' || what == '%') {
		out_byte(o, what == 'n' ? '\n' : what == 't' ? '\t' : '%');
	} else if (what == 'z' || what == 'Z') {
		out_text(o, what == 'z' ? "+0000" : "UTC");
	} else if (!add_field(o, c, what)) {
		luaL_error(o->L, "invalid conversion specifier '%%%c'",
			   what ? what : ' ');
	}
}

static int push_table(lua_State *L, const struct civil *c)
{
	const struct {
		const char *name;
		int64_t n;
	} fields[] = {
		{"year", c->year},    {"month", c->month},
		{"day", c->day},      {"hour", c->hour},
		{"min", c->minute},   {"sec", c->second},
		{"yday", c->yearday}, {"wday", c->weekday + 1},
	};

	lua_createtable(L, 0, 9);
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		lua_pushinteger(L, fields[i].n);
		lua_setfield(L, -2, fields[i].name);
	}
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "isdst");
	return 1;
}

static int os_date(lua_State *L)
{
	size_t n;
	const char *format = luaL_optlstring(L, 1, "%c", &n);
	const char *end = format + n;
	int64_t when = luaL_opt(L, luaL_checkinteger, 2, civil_now());
	struct civil c;
	struct out o;

	if (!civil_from_unix(&c, when))
		return luaL_error(L, "date result cannot be represented");
	if (*format == '!')
		format++;
	if (strncmp(format, "*t", 2) == 0)
		return push_table(L, &c);
	out_init(&o, L);
	for (; format < end; format++) {
		if (*format != '%') {
			out_byte(&o, *format);
			continue;
		}
		format++;
		if (*format == 'E' || *format == 'O')
			format++;
		add_conversion(&o, &c, *format);
	}
	out_push(&o);
	return 1;
}

static int64_t field(lua_State *L, const char *name, int64_t otherwise)
{
	int exact, type = lua_getfield(L, 1, name);
	lua_Integer n = lua_tointegerx(L, -1, &exact);

	if (type == LUA_TNIL && otherwise < 0)
		luaL_error(L, "field '%s' missing in date table", name);
	if (type != LUA_TNIL && !exact)
		luaL_error(L, "field '%s' is not an integer", name);
	lua_pop(L, 1);
	return type == LUA_TNIL ? otherwise : n;
}

static int os_time(lua_State *L)
{
	int64_t ymdhms[6], seconds;
	struct civil c;

	if (lua_isnoneornil(L, 1)) {
		lua_pushinteger(L, civil_now());
		return 1;
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	ymdhms[0] = field(L, "year", -1);
	ymdhms[1] = field(L, "month", -1);
	ymdhms[2] = field(L, "day", -1);
	ymdhms[3] = field(L, "hour", 12);
	ymdhms[4] = field(L, "min", 0);
	ymdhms[5] = field(L, "sec", 0);
	if (!civil_to_unix(&seconds, ymdhms) || !civil_from_unix(&c, seconds))
		return luaL_error(L, "time result cannot be represented");
	push_table(L, &c); /* the caller's table is brought into range */
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_settable(L, 1);
	}
	lua_pushinteger(L, seconds);
	return 1;
}

static int os_difftime(lua_State *L)
{
	lua_pushnumber(L, luaL_checknumber(L, 1) - luaL_optnumber(L, 2, 0));
	return 1;
}

static int os_getenv(lua_State *L)
{
	luaL_checkstring(L, 1);
	lua_pushnil(L);
	return 1;
}

void open_os(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"clock", os_clock},	   {"date", os_date},
		{"difftime", os_difftime}, {"getenv", os_getenv},
		{"time", os_time},	   {NULL, NULL},
	};

	luaL_newlib(L, functions);
}
