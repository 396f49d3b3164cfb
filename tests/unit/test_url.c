/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "worker/url.h"

Test(url, splits)
{
	struct url u = url_split(slice_str("https://me:pw@h:1/a%20b?q=1?#f"));

	cr_assert(slice_is(u.scheme, "https") && slice_is(u.host, "h:1"));
	cr_assert(slice_is(u.path, "/a%20b") && slice_is(u.query, "q=1?"));
	cr_assert(u.has_query);
	u = url_split(slice_str("/only/path"));
	cr_assert(slice_is(u.path, "/only/path") && u.host.n == 0);
	u = url_split(slice_str("http://h"));
	cr_assert(slice_is(u.host, "h") && u.path.n == 0 && !u.has_query);
	u = url_split(slice_str("http://h?x"));
	cr_assert(slice_is(u.host, "h") && slice_is(u.query, "x"));
	u = url_split((struct slice){0});
	cr_assert(u.path.n == 0);
}

Test(url, judges)
{
	static const char *const good[] = {
		"http://h",	    "http://h:80/", "https://[::1]:8443/x?y#z",
		"http://h/%41?%20", "ws://a.b/",
	};
	static const char *const bad[] = {
		"",
		"/rel",
		"http://",
		"http:///x",
		"http://[::1",
		"http://h:x/",
		"http://a b/",
		"http://h/a b",
		"http://h/\n",
		"http://h/%4",
		"http://h/%zz",
		"1http://h/",
		"http://[]/",
		"://h",
		"http://h|/",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		cr_assert(url_ok(slice_str(good[i])), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_not(url_ok(slice_str(bad[i])), "%s", bad[i]);
	cr_assert_not(url_ok(slice_of("http://h\0", 9)));
	cr_assert_not(url_host_ok(slice_of("[\0]", 3)));
}

static struct buf out;

static const char *decoded(const char *in, bool plus)
{
	buf_clear(&out);
	url_decode(slice_str(in), plus, &out);
	buf_add_byte(&out, '\0');
	return (const char *)out.p;
}

Test(url, decodes)
{
	cr_assert_str_eq(decoded("/enc%2Fodd/%7e", false), "/enc/odd/~");
	cr_assert_str_eq(decoded("a+b%2B", true), "a b+");
	cr_assert_str_eq(decoded("a+b", false), "a+b");
	cr_assert_str_eq(decoded("100%", true), "100%");
	cr_assert_str_eq(decoded("%4", true), "%4");
	cr_assert_str_eq(decoded("%zz", true), "%zz");
	buf_fini(&out);
}

Test(url, joins)
{
	struct url u = url_split(slice_str("http://h/x?a=1"));

	url_join(&u, slice_str("new path?z=1"), &out);
	cr_assert(slice_is(buf_slice(&out), "http://h/new%20path%3Fz=1?a=1"));
	buf_clear(&out);
	url_join(&u, (struct slice){0}, &out);
	cr_assert(slice_is(buf_slice(&out), "http://h/x?a=1"));
	buf_fini(&out);
}

Test(url, pairs)
{
	struct slice rest = slice_str("&q=1&q=2&&flag&=v&a=b=c"), name, value;
	static const char *const expected[][2] = {
		{"q", "1"}, {"q", "2"}, {"flag", ""}, {"", "v"}, {"a", "b=c"},
	};

	for (size_t i = 0; i < 5; i++) {
		cr_assert(url_pair(&rest, &name, &value));
		cr_assert(slice_is(name, expected[i][0]));
		cr_assert(slice_is(value, expected[i][1]));
	}
	cr_assert_not(url_pair(&rest, &name, &value));
}
