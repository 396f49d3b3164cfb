/* SPDX-License-Identifier: Apache-2.0 */
/*
 * civil: calendar dates in UTC, without the C library's, which opens files of
 * time zones. A worker knows no zone but UTC: what scripts call local is UTC.
 */
#ifndef PF_WORKER_CIVIL_H
#define PF_WORKER_CIVIL_H

#include <stdbool.h>
#include <stdint.h>

struct civil {
	int64_t year;
	int month, day; /* from 1 */
	int hour, minute, second;
	int weekday; /* 0 is Sunday */
	int yearday; /* from 1 */
};

/* False past the year +-200,000,000. */
bool civil_from_unix(struct civil *c, int64_t seconds);

/* Fields may be out of their range (month 14, day -3): they carry over.
 * Weekday and yearday are not looked at. False when out of bounds. */
bool civil_to_unix(int64_t *seconds, const int64_t ymdhms[6]);

int64_t civil_now(void);

#endif
