/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcached_wire: lines of the text protocol, and values between them.
 */
#include "gateway/provider/memcached_wire.h"

#include <stdio.h>
#include <string.h>

enum { MAX_VALUE = 1 << 30 };

/* "VALUE KEY FLAGS BYTES": its bytes and the end of line come next. */
static bool begin_value(struct wire *w)
{
	unsigned long flags, bytes;
	int end = 0;

	if (sscanf(w->line, "VALUE %*250s %10lu %10lu%n", &flags, &bytes,
		   &end) != 2 ||
	    strcmp(w->line + end, "\r\n") != 0 || bytes > MAX_VALUE)
		return false;
	w->skip = bytes + 2;
	return true;
}

static bool is_answer(struct wire *w)
{
	static const char *const whole[] = {
		"END\r\n",	 "STORED\r\n",	"NOT_STORED\r\n", "EXISTS\r\n",
		"NOT_FOUND\r\n", "DELETED\r\n", "OK\r\n",	  "ERROR\r\n"};

	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		if (strcmp(w->line, whole[i]) == 0)
			return true;
	if (strncmp(w->line, "CLIENT_ERROR ", 13) == 0 ||
	    strncmp(w->line, "SERVER_ERROR ", 13) == 0)
		return true;
	return strncmp(w->line, "VALUE ", 6) == 0 && begin_value(w);
}

static bool take_line(struct wire *w, char c)
{
	if (c == '\0' || w->n + 1 == sizeof(w->line))
		return false;
	w->line[w->n++] = c;
	if (c != '\n')
		return true;
	w->line[w->n] = '\0';
	w->n = 0;
	return is_answer(w);
}

bool wire_take(struct wire *w, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		size_t k = w->skip < n ? w->skip : n;

		w->skip -= k;
		at += k;
		n -= k;
		if (n == 0)
			break;
		if (!take_line(w, *at))
			return false;
		at++;
		n--;
	}
	return true;
}
