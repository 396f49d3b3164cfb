/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway may reach, how settings of pools are read, and which bytes
 * are memcached's. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/net.h"
#include "gateway/provider/memcached_wire.h"
#include "gateway/settings.h"
#include "proto/pack.h"

static struct buf array(const char *const *texts)
{
	struct buf b = {0};
	uint32_t n = 0;

	while (texts[n])
		n++;
	pack_array(&b, n);
	for (uint32_t i = 0; i < n; i++)
		pack_cstr(&b, texts[i]);
	return b;
}

static bool granted(const char *grant, const char *provider, const char *target)
{
	struct buf grants = array((const char *[]){grant, NULL});
	bool yes = net_granted(buf_slice(&grants), provider, slice_str(target));

	buf_fini(&grants);
	return yes;
}

Test(grants, a_prefix_ends_where_a_part_ends)
{
	cr_assert(granted("postgres", "postgres", "db:5432"));
	cr_assert(granted("http:a.b:443", "http", "a.b:443"));
	cr_assert(granted("http:a.b", "http", "a.b:443"));
	cr_assert(granted("http:", "http", "a.b:443"));
	cr_assert(granted("", "http", "a.b:443"));
	cr_assert_not(granted("http:a.b:44", "http", "a.b:443"));
	cr_assert_not(granted("http:a.b", "http", "a.b.evil.org:443"));
	cr_assert_not(granted("http:a.b", "http", "a.bc:443"));
	cr_assert_not(granted("mysql", "mysql2", "db:3306"));
	cr_assert_not(granted("http:a.b:443:x", "http", "a.b:443"));
}

Test(grants, none_given_is_everything_and_none_listed_nothing)
{
	struct buf none = array((const char *[]){NULL});

	cr_assert(net_granted((struct slice){0}, "http", slice_str("a:1")));
	cr_assert_not(net_granted(buf_slice(&none), "http", slice_str("a:1")));
	buf_fini(&none);
}

static bool allowed(const char *host)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons(80)};

	if (inet_pton(AF_INET, host, &in.sin_addr) == 1)
		return net_allowed((const void *)&in);
	cr_assert(inet_pton(AF_INET6, host, &in6.sin6_addr) == 1);
	return net_allowed((const void *)&in6);
}

Test(addresses, link_local_ones_are_refused)
{
	static const char *const bad[] = {"169.254.169.254",
					  "169.254.0.1",
					  "fe80::1",
					  "febf::1",
					  "::ffff:169.254.169.254",
					  "::169.254.1.1",
					  "fd00:ec2::254",
					  "64:ff9b::169.254.169.254"};
	static const char *const good[] = {
		"127.0.0.1",   "10.0.0.1", "::1",	    "169.253.1.1",
		"169.255.1.1", "fec0::1",  "fd00:ec2::253", "::ffff:10.0.0.1"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_not(allowed(bad[i]), "%s", bad[i]);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		cr_assert(allowed(good[i]), "%s", good[i]);
}

Test(addresses, a_grant_that_names_one_allows_it)
{
	struct buf grants = array((const char *[]){"http:169.254.169.254:80",
						   "http:[fe80::1]", NULL});
	struct buf all = array((const char *[]){"http", "", "http:", NULL});
	struct net_policy policy = {"http", buf_slice(&grants)};

	net_policy_set(&policy);
	cr_assert(allowed("169.254.169.254"));
	cr_assert(allowed("fe80::1"));
	cr_assert_not(allowed("169.254.169.253"));
	cr_assert_not(allowed("fe80::2"));
	policy.provider = "redis";
	cr_assert_not(allowed("169.254.169.254"));
	policy = (struct net_policy){"http", buf_slice(&all)};
	cr_assert_not(allowed("169.254.169.254"));
	net_policy_set(NULL);
	cr_assert_not(allowed("169.254.169.254"));
	buf_fini(&grants);
	buf_fini(&all);
}

Test(addresses, other_families_are_refused)
{
	struct sockaddr a = {.sa_family = AF_UNIX};

	cr_assert_not(net_allowed(&a));
	a.sa_family = AF_UNSPEC;
	cr_assert(net_allowed(&a));
}

static struct buf settings(void)
{
	struct buf b = {0};

	pack_map(&b, 9);
	pack_cstr(&b, "host");
	pack_cstr(&b, "db.example");
	pack_cstr(&b, "host");
	pack_cstr(&b, "from the configuration");
	pack_cstr(&b, "port");
	pack_cstr(&b, "6000");
	pack_cstr(&b, "pool_size");
	pack_uint(&b, 7);
	pack_cstr(&b, "ssl");
	pack_cstr(&b, "on");
	pack_cstr(&b, "database");
	pack_uint(&b, 3);
	pack_cstr(&b, "user");
	pack_nil(&b);
	pack_cstr(&b, "half");
	pack_double(&b, 1.5);
	pack_cstr(&b, "nul");
	pack_bin(&b, slice_of("a\0b", 3));
	return b;
}

Test(settings, are_read_by_key)
{
	static const struct settings_range ports = {1, 65535};
	struct buf b = settings(), why = {0};
	struct slice map = buf_slice(&b);
	int64_t port = 1;
	unsigned size = 5;
	bool ssl = false;
	char *text;

	cr_assert_eq(settings_text(map, "host", NULL, &text, &why), OK);
	cr_assert_str_eq(text, "db.example");
	free(text);
	cr_assert_eq(settings_text(map, "database", NULL, &text, &why), OK);
	cr_assert_str_eq(text, "3");
	free(text);
	cr_assert_eq(settings_text(map, "user", "root", &text, &why), OK);
	cr_assert_str_eq(text, "root");
	free(text);
	cr_assert_eq(settings_text(map, "absent", NULL, &text, &why), OK);
	cr_assert_null(text);
	cr_assert_eq(settings_int(map, "port", ports, &port, &why), OK);
	cr_assert_eq(port, 6000);
	cr_assert_eq(settings_size(map, &size, &why), OK);
	cr_assert_eq(size, 7);
	cr_assert_eq(settings_bool(map, "ssl", &ssl, &why), OK);
	cr_assert(ssl);
	cr_assert_eq(why.n, 0);
	buf_fini(&b);
}

Test(settings, say_which_key_is_wrong)
{
	static const struct settings_range few = {1, 10};
	struct buf b = settings(), why = {0};
	struct slice map = buf_slice(&b);
	int64_t n = 0;
	bool yes;
	char *text;

	cr_assert_eq(settings_int(map, "port", few, &n, &why), ERR_TYPE);
	cr_assert(slice_is(buf_slice(&why),
			   "port: must be a number from 1 to 10"));
	buf_clear(&why);
	cr_assert_eq(settings_int(map, "half", few, &n, &why), ERR_TYPE);
	cr_assert_eq(settings_bool(map, "host", &yes, &why), ERR_TYPE);
	cr_assert_eq(settings_text(map, "nul", NULL, &text, &why), ERR_TYPE);
	cr_assert_eq(settings_text(map, "half", NULL, &text, &why), ERR_TYPE);
	buf_fini(&b);
	buf_fini(&why);
}

/* However it is cut in two, the verdict is the same. */
static bool is_memcached(const char *text, size_t n)
{
	struct wire whole = {.n = 0};
	bool good = wire_take(&whole, text, n);

	for (size_t i = 0; i <= n; i++) {
		struct wire w = {.n = 0};

		cr_assert_eq(wire_take(&w, text, i) &&
				     wire_take(&w, text + i, n - i),
			     good, "%s cut at %zu", text, i);
	}
	return good;
}

#define YES(text) cr_assert(is_memcached(text, sizeof(text) - 1), "%s", text)
#define NO(text)  cr_assert_not(is_memcached(text, sizeof(text) - 1), "%s", text)

Test(memcached, answers_are_known)
{
	YES("");
	YES("STORED\r\n");
	YES("NOT_FOUND\r\n");
	YES("END\r\n");
	YES("OK\r\n");
	YES("SERVER_ERROR object too large for cache\r\n");
	YES("VALUE k 0 0\r\n\r\nEND\r\n");
	YES("VALUE k 12 9\r\nVERSION\r\n\r\nEND\r\n");
	YES("VALUE k 0 3\r\n\0\r\n\r\nEND\r\n");
	YES("VALUE k 0 100\r\nabc");
}

Test(memcached, others_are_not)
{
	NO("VERSION\r\n");
	NO("VERSION 1.6.18\r\n");
	NO("HTTP/1.1 200 OK\r\n");
	NO("END\n");
	NO("\r\n");
	NO("ERROR\0\r\n");
	NO("VALUE k 0\r\n");
	NO("VALUE k 0 -1\r\n");
	NO("VALUE k 0 99999999999999999999\r\n");
	NO("VALUE k 0 1 7 x\r\n");
	NO("VALUE k 0 1\r\nabEND\r\n");
}

Test(memcached, lines_end)
{
	char line[WIRE_LINE + 1];

	memset(line, 'x', sizeof(line));
	cr_assert_not(is_memcached(line, sizeof(line)));
}
