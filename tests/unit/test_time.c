/* SPDX-License-Identifier: Apache-2.0 */
/* Dates without the C library, against the C library. */
#include "tests/lib/vmrun.h"
#include "worker/civil.h"

#include <stdlib.h>
#include <time.h>

Test(time, library)
{
	expect("return time.date():match("
	       "'^%d%d%d%d_%d%d_%d%d_%d%d_%d%d_%d%d$') == time.date('')",
	       "true");
	expect("return time.date('%F'):match('^%d%d%d%d%-%d%d%-%d%d$') ~= nil",
	       "true");
	expect("return time.date('Jan 2 Monday %q %% 100%')",
	       "Jan 2 Monday %q %% 100%");
	expect("return pcall(time.date, 5)", "false");
	expect("return time.rfc3339():match("
	       "'^%d+%-%d+%-%d+T%d+:%d+:%d+Z$') ~= nil",
	       "true");
	expect("return math.type(time.unix()) .. tostring(math.abs("
	       "time.unix() - os.time()) <= 1)",
	       "integertrue");
}

Test(time, civil_agrees_with_the_c_library)
{
	srandom(1);
	for (int i = 0; i < 20000; i++) {
		time_t t = ((time_t)random() << 8 ^ random()) - (1ll << 37);
		int64_t back;
		struct civil c;
		struct tm tm;

		gmtime_r(&t, &tm);
		cr_assert(civil_from_unix(&c, t));
		cr_assert_eq(c.year, tm.tm_year + 1900);
		cr_assert_eq(c.month, tm.tm_mon + 1);
		cr_assert_eq(c.day, tm.tm_mday);
		cr_assert_eq(c.hour, tm.tm_hour);
		cr_assert_eq(c.minute, tm.tm_min);
		cr_assert_eq(c.second, tm.tm_sec);
		cr_assert_eq(c.weekday, tm.tm_wday);
		cr_assert_eq(c.yearday, tm.tm_yday + 1);
		cr_assert(civil_to_unix(
			&back, (int64_t[6]){c.year, c.month, c.day, c.hour,
					    c.minute, c.second}));
		cr_assert_eq(back, t);
	}
}

Test(time, os_date_agrees_with_strftime)
{
	static const char format[] = "%a %A %b %B %c %C %d %D %e %F %g %G %H "
				     "%I %j %m %M %p %r %R %S %T %u %U %V %w "
				     "%W %x %X %y %Y %%";
	char text[300], want[600];

	setenv("TZ", "UTC", 1);
	srandom(2);
	for (int i = 0; i < 500; i++) {
		time_t t = random() * 2l;
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(want, sizeof(want), format, &tm);
		snprintf(text, sizeof(text), "return os.date('%s', %lld)",
			 format, (long long)t);
		expect(text, want);
	}
}

Test(time, os)
{
	expect("return os.time({year = 2026, month = 11, day = 22, hour = 3, "
	       "min = 24, sec = 13})",
	       "1795317853");
	expect("return os.time({year = 2026, month = 14, day = -3})",
	       "1801137600");
	expect("local t = {year = 2026, month = 14, day = 1} os.time(t) "
	       "return t.year .. t.month .. t.yday",
	       "2027232");
	expect("local t = os.date('*t', 0) return t.year .. t.month .. t.day "
	       ".. t.wday .. tostring(t.isdst)",
	       "1970115false");
	expect("return os.date('!%Y', 86400 * 365)", "1971");
	expect("return os.difftime(5, 3)", "2.0");
	expect("return select(2, pcall(os.time, {year = 1}))",
	       "field 'month' missing in date table");
	expect("return pcall(os.date, '%Ez')", "true");
	expect("return pcall(os.date, '%Q')", "false");
	expect("return pcall(os.date, '%')", "false");
	expect("return pcall(os.date, '%c', 1 << 62)", "false");
	expect("local c = os.clock() * 1000 return c - c // 1 < 1e-6 or "
	       "c - c // 1 > 1 - 1e-6",
	       "true");
}
