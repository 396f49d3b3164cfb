/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings: the values of one raw map, by key. See settings.h.
 */
#include "gateway/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/unpack.h"

static bool find(struct slice map, const char *key, struct cursor *c)
{
	struct slice value;

	if (!map_find(map, key, &value))
		return false;
	*c = cursor_of(value);
	return cursor_peek(c) != CURSOR_NIL;
}

static int wrong(const char *key, const char *due, struct buf *why)
{
	buf_addf(why, "%s: must be %s", key, due);
	return ERR_TYPE;
}

int settings_text(struct slice map, const char *key, const char *fallback,
		  char **out, struct buf *why)
{
	char number[32];
	struct slice text = {0};
	struct cursor c;

	*out = NULL;
	if (find(map, key, &c)) {
		if (cursor_peek(&c) == CURSOR_INT) {
			snprintf(number, sizeof(number), "%" PRId64,
				 cursor_int(&c));
			text = slice_str(number);
		} else {
			text = cursor_text(&c);
		}
		if (c.error || (text.n && memchr(text.p, 0, text.n)))
			return wrong(key, "text", why);
	} else if (fallback) {
		text = slice_str(fallback);
	} else {
		return OK;
	}
	*out = malloc(text.n + 1);
	if (!*out)
		return ERR_NOMEM;
	if (text.n)
		memcpy(*out, text.p, text.n);
	(*out)[text.n] = '\0';
	return OK;
}

static bool parse_int(struct slice text, int64_t *out)
{
	char copy[24], *end;

	if (text.n == 0 || text.n >= sizeof(copy))
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	errno = 0;
	*out = strtoll(copy, &end, 10);
	return errno == 0 && end == copy + text.n;
}

int settings_int(struct slice map, const char *key, struct settings_range range,
		 int64_t *out, struct buf *why)
{
	int64_t value = 0;
	struct cursor c;
	bool good;

	if (!find(map, key, &c))
		return OK;
	switch (cursor_peek(&c)) {
	case CURSOR_STR:
	case CURSOR_BIN:
		good = parse_int(cursor_text(&c), &value);
		break;
	case CURSOR_FLOAT: { /* Lua's 5.0 */
		double d = cursor_number(&c);

		good = d >= -9e15 && d <= 9e15 && d == (double)(int64_t)d;
		value = good ? (int64_t)d : 0;
		break;
	}
	default:
		value = cursor_int(&c);
		good = !c.error;
	}
	if (good && value >= range.least && value <= range.most) {
		*out = value;
		return OK;
	}
	buf_addf(why, "%s: must be a number from %" PRId64 " to %" PRId64, key,
		 range.least, range.most);
	return ERR_TYPE;
}

int settings_bool(struct slice map, const char *key, bool *out, struct buf *why)
{
	struct slice text;
	struct cursor c;

	if (!find(map, key, &c))
		return OK;
	if (cursor_peek(&c) == CURSOR_BOOL) {
		*out = cursor_bool(&c);
		return OK;
	}
	text = cursor_text(&c);
	if (slice_is(text, "true") || slice_is(text, "on") ||
	    slice_is(text, "yes"))
		*out = true;
	else if (slice_is(text, "false") || slice_is(text, "off") ||
		 slice_is(text, "no"))
		*out = false;
	else
		return wrong(key, "true or false", why);
	return OK;
}

int settings_size(struct slice map, unsigned *size, struct buf *why)
{
	static const struct settings_range sizes = {1, 1000000};
	int64_t n = *size;
	int r = settings_int(map, "pool_size", sizes, &n, why);

	if (r == OK)
		r = settings_int(map, "size", sizes, &n, why);
	*size = (unsigned)n;
	return r;
}

void settings_target(const char *host, int64_t port, struct buf *target)
{
	bool bracket = strchr(host, ':') != NULL && host[0] != '[';

	buf_addf(target, bracket ? "[%s]:%" PRId64 : "%s:%" PRId64, host, port);
}
