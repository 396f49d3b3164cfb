/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "worker/cookies.h"

Test(cookies, reads_what_browsers_send)
{
	struct slice rest = slice_str(" a=1; b=\"q q\";;c=x=y; =v; d ; e=\"");
	struct cookie c;

	cr_assert(cookie_next(&rest, &c));
	cr_assert(slice_is(c.name, "a") && slice_is(c.value, "1"));
	cr_assert_not(c.quoted);
	cr_assert(cookie_next(&rest, &c));
	cr_assert(slice_is(c.value, "q q") && c.quoted);
	cr_assert(slice_is(c.raw, "b=\"q q\""));
	cr_assert(cookie_next(&rest, &c));
	cr_assert(slice_is(c.name, "c") && slice_is(c.value, "x=y"));
	cr_assert(cookie_next(&rest, &c));
	cr_assert(slice_is(c.name, "d") && c.value.n == 0);
	cr_assert(cookie_next(&rest, &c));
	cr_assert(slice_is(c.value, "\"") && !c.quoted);
	cr_assert_not(cookie_next(&rest, &c));
}

Test(cookies, reads_set_cookie)
{
	struct set_cookie c;

	cr_assert(set_cookie_parse(
		slice_str("id=7; path=/x; Domain=d; MAX-AGE=60; Secure; "
			  "HttpOnly; SameSite=Lax; Partitioned; other=1; "
			  "Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
		&c));
	cr_assert(slice_is(c.cookie.name, "id"));
	cr_assert(slice_is(c.path, "/x") && slice_is(c.domain, "d"));
	cr_assert(c.has_max_age && c.max_age == 60);
	cr_assert(c.secure && c.http_only && c.partitioned);
	cr_assert(slice_is(c.same_site, "Lax"));
	cr_assert_eq(c.expires_ms, 1792567680000);
	cr_assert(set_cookie_parse(
		slice_str("a=; expires=Thursday, 01-Jan-70 00:00:10 GMT"), &c));
	cr_assert_eq(c.expires_ms, 10000);
	cr_assert(set_cookie_parse(slice_str("a=b; expires=tomorrow"), &c));
	cr_assert_eq(c.expires_ms, COOKIE_NO_EXPIRY);
	cr_assert_not(c.has_max_age);
	cr_assert(set_cookie_parse(slice_str("a=b; Expires="), &c));
	cr_assert_eq(c.expires_ms, COOKIE_NO_EXPIRY);
	cr_assert_not(set_cookie_parse(slice_str(" ; Path=/"), &c));
	cr_assert_not(set_cookie_parse((struct slice){0}, &c));
}

static void writes(struct set_cookie *c, const char *expected)
{
	struct buf b = {0};

	set_cookie_put(&b, c);
	cr_assert(slice_is(buf_slice(&b), expected), "%.*s", (int)b.n,
		  (char *)b.p);
	buf_fini(&b);
}

Test(cookies, writes)
{
	struct set_cookie c = {.expires_ms = COOKIE_NO_EXPIRY};

	c.cookie.name = slice_str("n");
	c.cookie.value = slice_str("a\";\\b\x01");
	writes(&c, "n=ab");
	c.cookie.value = slice_str("2 x,y");
	c.path = slice_str("/;\r\nx");
	c.has_max_age = c.secure = c.http_only = c.partitioned = true;
	c.max_age = 0;
	c.expires_ms = 951782399000;
	writes(&c, "n=\"2 x,y\"; Path=/x; Expires=Mon, 28 Feb 2000 23:59:59 "
		   "GMT; Max-Age=0; HttpOnly; Secure; Partitioned");
}

Test(cookies, what_is_written_is_read_back)
{
	struct set_cookie c = {.expires_ms = 4102444800000}, d;
	struct buf b = {0};

	c.cookie.name = slice_str("n");
	c.cookie.value = slice_str("v v");
	set_cookie_put(&b, &c);
	cr_assert(set_cookie_parse(buf_slice(&b), &d));
	cr_assert(slice_is(d.cookie.value, "v v") && d.cookie.quoted);
	cr_assert_eq(d.expires_ms, c.expires_ms);
	buf_fini(&b);
}
