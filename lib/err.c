/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err: the words for codes, and the end of must(). Start at err.h.
 */
#include "lib/err.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const names[] = {
	"ok",	   "nomem", "range",	"format",  "type",   "absent",
	"exists",  "full",  "closed",	"timeout", "denied", "io",
	"corrupt", "again", "conflict", "system",
};

const char *err_name(int code)
{
	size_t i = code <= 0 ? (size_t)-code : 0;

	if (code > 0 || i >= sizeof(names) / sizeof(names[0]))
		return "system";
	return names[i];
}

void must_failed(const char *cond, const char *file, int line)
{
	fprintf(stderr, "%s:%d: must(%s) does not hold\n", file, line, cond);
	abort();
}
