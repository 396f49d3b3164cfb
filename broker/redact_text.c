/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact_text: finding secrets in text by the names before them: NAME=VALUE of
 * queries and forms, "NAME": "VALUE" of JSON, name="NAME" of multipart forms,
 * and user:password@ of URLs. Start at redact_text().
 */
#include <strings.h>

#include "broker/redact.h"

#define REDACTED "[redacted]"

enum { NAME_MAX_ = 64, PART_HEAD = 300 };

static bool contains(struct slice s, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= s.n; i++)
		if (strncasecmp((const char *)s.p + i, word, n) == 0)
			return true;
	return false;
}

bool redact_name(struct slice name)
{
	static const char *const inside[] = {
		"password",   "passwd", "passphrase",
		"secret",     "token",	"api-key",
		"api_key",    "apikey", "authorization",
		"credential", "jwt",	"authentication_data"};
	static const char *const whole[] = {"pass", "pwd", "pin", "otp"};

	if (name.n == 0 || name.n > NAME_MAX_)
		return false;
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
		if (contains(name, inside[i]))
			return true;
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		if (name.n == strlen(whole[i]) && contains(name, whole[i]))
			return true;
	return false;
}

static bool is_name(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Where a string in quotes ends: at the quote, or at the end of s. */
static size_t string_end(struct slice s, size_t at, uint8_t quote)
{
	while (at < s.n && s.p[at] != quote)
		at += s.p[at] == '\\' ? 2 : 1;
	return at < s.n ? at : s.n;
}

static size_t until(struct slice s, size_t at, const char *stop)
{
	while (at < s.n && !(s.p[at] && strchr(stop, s.p[at])))
		at++;
	return at;
}

/* Behind NAME=; copies what is not secret, returns where to go on. */
static size_t after_equals(struct slice s, size_t at, struct buf *out)
{
	size_t end;

	if (at < s.n && (s.p[at] == '"' || s.p[at] == '\'')) {
		end = string_end(s, at + 1, s.p[at]);
		buf_add_byte(out, s.p[at]);
	} else {
		end = until(s, at, "&; \t\r\n\"'<>#");
	}
	buf_addf(out, REDACTED);
	return end;
}

/* Where an array ends that begins at `at`: behind its bracket, or with s. */
static size_t array_end(struct slice s, size_t at)
{
	size_t depth = 0;

	while (at < s.n) {
		if (s.p[at] == '"')
			at = string_end(s, at + 1, '"');
		else if (s.p[at] == '[')
			depth++;
		else if (s.p[at] == ']' && --depth == 0)
			return at + 1;
		at++;
	}
	return s.n;
}

/* Behind "NAME": the value of a JSON pair. `at` is behind the colon. */
static size_t json_value(struct slice s, size_t at, struct buf *out)
{
	while (at < s.n && is_blank(s.p[at]))
		buf_add_byte(out, s.p[at++]);
	if (at == s.n || s.p[at] == '{')
		return at; /* its strings have names of their own */
	buf_addf(out, "\"" REDACTED "\"");
	if (s.p[at] == '[')
		return array_end(s, at);
	if (s.p[at] != '"')
		return until(s, at, ",}] \t\r\n");
	at = string_end(s, at + 1, '"');
	return at < s.n ? at + 1 : at;
}

/* Behind name="NAME: the content of a part of a multipart form. */
static size_t part_value(struct slice s, size_t at, struct buf *out)
{
	size_t limit = s.n - at < PART_HEAD ? s.n : at + PART_HEAD;
	size_t body = at, end;

	while (body + 4 <= limit && memcmp(s.p + body, "\r\n\r\n", 4) != 0)
		body++;
	if (body + 4 > limit)
		return at;
	body += 4;
	buf_add(out, s.p + at, body - at);
	buf_addf(out, REDACTED);
	for (end = body; end + 4 <= s.n; end++)
		if (memcmp(s.p + end, "\r\n--", 4) == 0)
			return end;
	return s.n;
}

/* Behind a secret's name, whose first byte is at `from`. */
static size_t secret(struct slice s, size_t from, size_t at, struct buf *out)
{
	size_t colon = at + 1;

	if (at < s.n && s.p[at] == '=') {
		buf_add_byte(out, '=');
		return after_equals(s, at + 1, out);
	}
	if (at >= s.n || s.p[at] != '"')
		return at;
	while (colon < s.n && is_blank(s.p[colon]))
		colon++;
	if (colon < s.n && s.p[colon] == ':') {
		buf_add(out, s.p + at, colon + 1 - at);
		return json_value(s, colon + 1, out);
	}
	if (from >= 6 && memcmp(s.p + from - 6, "name=\"", 6) == 0)
		return part_value(s, at, out);
	return at;
}

/* Behind "://": the password of user:password@host. */
static size_t userinfo(struct slice s, size_t at, struct buf *out)
{
	size_t end = until(s, at, "@/?# \t\r\n\"'<>"), colon;

	if (end >= s.n || s.p[end] != '@')
		return at;
	for (colon = at; colon < end && s.p[colon] != ':'; colon++)
		;
	if (colon == end)
		return at;
	buf_add(out, s.p + at, colon + 1 - at);
	buf_addf(out, REDACTED);
	return end;
}

void redact_text(struct slice s, struct buf *out)
{
	size_t at = 0, from;

	while (at < s.n) {
		from = at;
		if (s.n - at >= 3 && memcmp(s.p + at, "://", 3) == 0) {
			buf_add(out, s.p + at, 3);
			at = userinfo(s, at + 3, out);
			continue;
		}
		while (at < s.n && is_name(s.p[at]))
			at++;
		if (at == from) {
			buf_add_byte(out, s.p[at++]);
			continue;
		}
		buf_add(out, s.p + from, at - from);
		if (redact_name(slice_of(s.p + from, at - from)))
			at = secret(s, from, at, out);
	}
}
