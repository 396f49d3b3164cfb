/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cookies: a forgiving reader and a strict writer. Start at cookie_next().
 */
#include "worker/cookies.h"

#include <stdio.h>
#include <strings.h>

#include "worker/civil.h"

static struct slice trim(struct slice s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* What stands before the next ';', trimmed; *rest moves behind it. */
static struct slice part(struct slice *rest)
{
	const uint8_t *at = rest->n ? memchr(rest->p, ';', rest->n) : NULL;
	struct slice s = *rest;

	if (at) {
		s.n = (size_t)(at - s.p);
		*rest = slice_of(at + 1, rest->n - s.n - 1);
	} else {
		*rest = (struct slice){0};
	}
	return trim(s);
}

static void split(struct slice pair, struct slice *name, struct slice *value)
{
	const uint8_t *at = pair.n ? memchr(pair.p, '=', pair.n) : NULL;

	*name = pair;
	*value = (struct slice){0};
	if (at) {
		name->n = (size_t)(at - pair.p);
		*value = trim(slice_of(at + 1, pair.n - name->n - 1));
	}
	*name = trim(*name);
}

static bool take_pair(struct slice pair, struct cookie *out)
{
	*out = (struct cookie){.raw = pair};
	split(pair, &out->name, &out->value);
	if (out->value.n > 1 && out->value.p[0] == '"' &&
	    out->value.p[out->value.n - 1] == '"') {
		out->value = slice_of(out->value.p + 1, out->value.n - 2);
		out->quoted = true;
	}
	return out->name.n > 0;
}

bool cookie_next(struct slice *rest, struct cookie *out)
{
	while (rest->n)
		if (take_pair(part(rest), out))
			return true;
	return false;
}

static bool is(struct slice s, const char *word)
{
	return s.n == strlen(word) &&
	       strncasecmp((const char *)s.p, word, s.n) == 0;
}

static int64_t parse_number(struct slice s)
{
	bool negative = s.n && s.p[0] == '-';
	int64_t v = 0;

	for (size_t i = negative; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return 0;
		if (v < INT32_MAX)
			v = v * 10 + (s.p[i] - '0');
	}
	return negative ? -v : v;
}

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static int month_of(const char *name)
{
	for (int i = 0; i < 12; i++)
		if (strncasecmp(months + 3 * i, name, 3) == 0)
			return i + 1;
	return 0;
}

/* "Wed, 21 Oct 2026 07:28:00 GMT", with blanks or dashes in the date. */
static int64_t parse_date(struct slice s)
{
	int year, day, hour, minute, second;
	int64_t unix_s;
	char text[64], month[4];
	const char *p;

	if (s.n == 0 || s.n >= sizeof(text))
		return COOKIE_NO_EXPIRY;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	for (char *c = text; *c; c++)
		if (*c == '-')
			*c = ' ';
	p = strchr(text, ',');
	if (sscanf(p ? p + 1 : text, "%2d %3s %4d %2d:%2d:%2d", &day, month,
		   &year, &hour, &minute, &second) != 6 ||
	    !month_of(month))
		return COOKIE_NO_EXPIRY;
	if (year < 100)
		year += year < 70 ? 2000 : 1900;
	if (!civil_to_unix(&unix_s, (int64_t[]){year, month_of(month), day,
						hour, minute, second}))
		return COOKIE_NO_EXPIRY;
	return unix_s * 1000;
}

static void take_attribute(struct slice pair, struct set_cookie *out)
{
	struct slice name, value;

	split(pair, &name, &value);
	if (is(name, "path")) {
		out->path = value;
	} else if (is(name, "domain")) {
		out->domain = value;
	} else if (is(name, "samesite")) {
		out->same_site = value;
	} else if (is(name, "expires")) {
		out->expires_ms = parse_date(value);
	} else if (is(name, "max-age")) {
		out->max_age = parse_number(value);
		out->has_max_age = true;
	} else if (is(name, "secure")) {
		out->secure = true;
	} else if (is(name, "httponly")) {
		out->http_only = true;
	} else if (is(name, "partitioned")) {
		out->partitioned = true;
	}
}

bool set_cookie_parse(struct slice line, struct set_cookie *out)
{
	*out = (struct set_cookie){.expires_ms = COOKIE_NO_EXPIRY};
	if (!take_pair(part(&line), &out->cookie))
		return false;
	while (line.n)
		take_attribute(part(&line), out);
	return true;
}

static bool value_byte(uint8_t c)
{
	return c >= 0x20 && c != 0x7f && c != '"' && c != ';' && c != '\\';
}

void cookie_put(struct buf *b, struct slice name, struct slice value)
{
	bool quote = false;

	buf_add_slice(b, name);
	buf_add_byte(b, '=');
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] == ' ' || value.p[i] == ',')
			quote = true;
	if (quote)
		buf_add_byte(b, '"');
	for (size_t i = 0; i < value.n; i++)
		if (value_byte(value.p[i]))
			buf_add_byte(b, value.p[i]);
	if (quote)
		buf_add_byte(b, '"');
}

static void put_text(struct buf *b, const char *name, struct slice value)
{
	if (!value.n)
		return;
	buf_addf(b, "; %s=", name);
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] >= 0x20 && value.p[i] != 0x7f &&
		    value.p[i] != ';')
			buf_add_byte(b, value.p[i]);
}

static void put_date(struct buf *b, int64_t ms)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	struct civil c;

	/* Only years that the format can say. */
	if (ms < 0 || ms / 1000 > 253402300799 ||
	    !civil_from_unix(&c, ms / 1000))
		return;
	buf_addf(b, "; Expires=%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
		 days + 3 * c.weekday, c.day, months + 3 * (c.month - 1),
		 (int)c.year, c.hour, c.minute, c.second);
}

void set_cookie_put(struct buf *b, const struct set_cookie *c)
{
	cookie_put(b, c->cookie.name, c->cookie.value);
	put_text(b, "Path", c->path);
	put_text(b, "Domain", c->domain);
	put_date(b, c->expires_ms);
	if (c->has_max_age)
		buf_addf(b, "; Max-Age=%lld", (long long)c->max_age);
	if (c->http_only)
		buf_add(b, "; HttpOnly", 10);
	if (c->secure)
		buf_add(b, "; Secure", 8);
	put_text(b, "SameSite", c->same_site);
	if (c->partitioned)
		buf_add(b, "; Partitioned", 13);
}
