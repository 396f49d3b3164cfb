/* SPDX-License-Identifier: Apache-2.0 */
/*
 * url: see url.h. Not a full RFC 3986 parser: the proxy is the judge of what
 * it can send, this only has to show scripts the same parts that it would.
 */
#include "worker/url.h"

static const uint8_t *find(struct slice s, uint8_t c)
{
	return s.n ? memchr(s.p, c, s.n) : NULL;
}

/* Cut s at the first c: s keeps what is before, the rest is returned. */
static bool cut(struct slice *s, uint8_t c, struct slice *rest)
{
	const uint8_t *at = find(*s, c);

	if (!at)
		return false;
	*rest = slice_of(at + 1, (size_t)(s->p + s->n - at - 1));
	s->n = (size_t)(at - s->p);
	return true;
}

/* strchr would find the NUL behind the set. */
static bool one_of(uint8_t c, const char *set)
{
	return c && strchr(set, c);
}

static bool is_alpha(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool take_scheme(struct slice *text, struct slice *scheme)
{
	size_t i = 0;

	while (i < text->n &&
	       (is_alpha(text->p[i]) ||
		(i && (is_digit(text->p[i]) || one_of(text->p[i], "+-.")))))
		i++;
	if (i == 0 || text->n - i < 3 || memcmp(text->p + i, "://", 3) != 0)
		return false;
	*scheme = slice_of(text->p, i);
	*text = slice_of(text->p + i + 3, text->n - i - 3);
	return true;
}

struct url url_split(struct slice text)
{
	struct url u = {0};
	struct slice rest;
	size_t i = 0;

	cut(&text, '#', &rest);
	u.has_query = cut(&text, '?', &u.query);
	if (!take_scheme(&text, &u.scheme)) {
		u.path = text;
		return u;
	}
	while (i < text.n && text.p[i] != '/')
		i++;
	u.host = slice_of(text.p, i);
	u.path = slice_of(text.p + i, text.n - i);
	if (cut(&u.host, '@', &rest))
		u.host = rest;
	return u;
}

static bool port_ok(struct slice port)
{
	for (size_t i = 0; i < port.n; i++)
		if (!is_digit(port.p[i]))
			return false;
	return port.n <= 5;
}

static bool ipv6_ok(struct slice host)
{
	struct slice tail;

	host = slice_of(host.p + 1, host.n - 1);
	if (!cut(&host, ']', &tail) || host.n == 0)
		return false;
	for (size_t i = 0; i < host.n; i++)
		if (!is_digit(host.p[i]) && !is_alpha(host.p[i]) &&
		    !one_of(host.p[i], ":.%-_~"))
			return false;
	return tail.n == 0 ||
	       (tail.p[0] == ':' && port_ok(slice_of(tail.p + 1, tail.n - 1)));
}

bool url_host_ok(struct slice host)
{
	struct slice port;

	if (host.n == 0)
		return false;
	if (host.p[0] == '[')
		return ipv6_ok(host);
	if (cut(&host, ':', &port) && !port_ok(port))
		return false;
	for (size_t i = 0; i < host.n; i++)
		if (host.p[i] <= ' ' || host.p[i] == 0x7f ||
		    one_of(host.p[i], "/?#@[]<>\"\\^`{|}"))
			return false;
	return host.n > 0;
}

static int hex(uint8_t c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool escaped_at(struct slice s, size_t i)
{
	return s.n - i > 2 && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0;
}

bool url_ok(struct slice text)
{
	struct url u = url_split(text);

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] <= ' ' || text.p[i] == 0x7f)
			return false;
		if (text.p[i] == '%' && !escaped_at(text, i))
			return false;
	}
	return u.scheme.n > 0 && url_host_ok(u.host);
}

static bool path_plain(uint8_t c)
{
	return is_alpha(c) || is_digit(c) || one_of(c, "/-._~$&+,:;=@!*'()");
}

static void encode_path(struct slice path, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	if (path.n == 0 || path.p[0] != '/')
		buf_add_byte(out, '/');
	for (size_t i = 0; i < path.n; i++) {
		uint8_t c = path.p[i];

		if (path_plain(c)) {
			buf_add_byte(out, c);
			continue;
		}
		buf_add_byte(out, '%');
		buf_add_byte(out, (uint8_t)digits[c >> 4]);
		buf_add_byte(out, (uint8_t)digits[c & 15]);
	}
}

void url_join(const struct url *u, struct slice decoded_path, struct buf *out)
{
	buf_add_slice(out, u->scheme);
	if (u->scheme.n)
		buf_add(out, "://", 3);
	buf_add_slice(out, u->host);
	if (decoded_path.n)
		encode_path(decoded_path, out);
	else
		buf_add_slice(out, u->path);
	if (!u->has_query)
		return;
	buf_add_byte(out, '?');
	buf_add_slice(out, u->query);
}

void url_decode(struct slice text, bool plus, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (c == '%' && escaped_at(text, i)) {
			c = (uint8_t)(hex(text.p[i + 1]) << 4 |
				      hex(text.p[i + 2]));
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		buf_add_byte(out, c);
	}
}

bool url_pair(struct slice *rest, struct slice *name, struct slice *value)
{
	struct slice pair, next;

	while (rest->n) {
		pair = *rest;
		if (!cut(&pair, '&', &next))
			next = (struct slice){0};
		*rest = next;
		if (pair.n == 0)
			continue;
		*name = pair;
		*value = (struct slice){0};
		cut(name, '=', value);
		return true;
	}
	return false;
}
