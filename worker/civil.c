/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proleptic Gregorian calendar. Years are counted from March inside, so
 * that the leap day is a year's last.
 */
#include "worker/civil.h"

#include <time.h>

enum { DAY = 86400, ERA_DAYS = 146097 /* of 400 years */ };
#define BOUND 6000000000000000 /* seconds; some 190 million years */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days from 1970-01-01 to the first of that month, from March = 0. */
static int64_t days_to(int64_t year, int month_from_march)
{
	int64_t era = floor_div(year, 400), y = year - era * 400;
	int64_t days = y * 365 + y / 4 - y / 100;

	return era * ERA_DAYS + days + (153 * month_from_march + 2) / 5 -
	       719468;
}

static bool leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

bool civil_from_unix(struct civil *c, int64_t seconds)
{
	static const int before[] = {0,	  31,  59,  90,	 120, 151,
				     181, 212, 243, 273, 304, 334};
	int64_t days, rest, year, in_year;
	int month = 11;

	if (seconds > BOUND || seconds < -BOUND)
		return false;
	days = floor_div(seconds, DAY);
	rest = seconds - days * DAY;
	year = floor_div((days + 719468) * 400, ERA_DAYS);
	/* A guess that may be a year off. */
	while (days_to(year, 0) > days)
		year--;
	while (days_to(year + 1, 0) <= days)
		year++;
	in_year = days - days_to(year, 0);
	while ((153 * month + 2) / 5 > in_year)
		month--;
	c->day = (int)(in_year - (153 * month + 2) / 5) + 1;
	c->month = month < 10 ? month + 3 : month - 9;
	c->year = year + (month >= 10);
	c->hour = (int)(rest / 3600);
	c->minute = (int)(rest / 60 % 60);
	c->second = (int)(rest % 60);
	c->weekday = (int)(days + 4 - 7 * floor_div(days + 4, 7));
	c->yearday =
		before[c->month - 1] + c->day + (c->month > 2 && leap(c->year));
	return true;
}

bool civil_to_unix(int64_t *seconds, const int64_t ymdhms[6])
{
	int64_t month, year, days;

	for (int i = 0; i < 6; i++)
		if (ymdhms[i] > INT32_MAX || ymdhms[i] < INT32_MIN)
			return false;
	month = ymdhms[1] - 3;
	year = ymdhms[0] + floor_div(month, 12);
	month -= 12 * floor_div(month, 12);
	days = days_to(year, (int)month) + ymdhms[2] - 1;
	*seconds = days * DAY + ymdhms[3] * 3600 + ymdhms[4] * 60 + ymdhms[5];
	return *seconds <= BOUND && *seconds >= -BOUND;
}

int64_t civil_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec;
}
