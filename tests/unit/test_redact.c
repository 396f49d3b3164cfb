/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a recording keeps of an event: no secret in any of the places where
 * one can be, and everything else as it was.
 */
#include <criterion/criterion.h>

#include "broker/redact.h"
#include "ctl/json.h"
#include "proto/pack.h"
#include "proto/scan.h"

static void text_becomes(const char *text, const char *want)
{
	struct buf out = {0};

	redact_text(slice_str(text), &out);
	buf_add_byte(&out, 0);
	cr_expect_str_eq((const char *)out.p, want);
	buf_fini(&out);
}

static void event_becomes(const char *event, const char *extra, bool secrets,
			  const char *want)
{
	struct buf packed = {0}, more = {0}, out = {0};
	struct redacted r = {0};
	struct json_error error;

	cr_assert_eq(json_read(slice_str(event), &packed, &error), OK);
	if (extra)
		cr_assert_eq(json_read(slice_str(extra), &more, &error), OK);
	redact_event(buf_slice(&packed), buf_slice(&more), secrets, &r);
	cr_assert_eq(buf_error(&r.event), OK);
	cr_assert(scan_whole(buf_slice(&r.event), r.event.n));
	json_write(buf_slice(&r.event), false, &out);
	buf_add_byte(&out, 0);
	cr_expect_str_eq((const char *)out.p, want);
	redacted_fini(&r);
	buf_fini(&packed);
	buf_fini(&more);
	buf_fini(&out);
}

Test(redact, forms_and_queries)
{
	text_becomes("a=1&password=geheim&b=2", "a=1&password=[redacted]&b=2");
	text_becomes("/x?access_token=abc#f", "/x?access_token=[redacted]#f");
	text_becomes("PASSWD=x;pwd=y z", "PASSWD=[redacted];pwd=[redacted] z");
	text_becomes("password=\"a b\" x", "password=\"[redacted]\" x");
	text_becomes("password=", "password=[redacted]");
	text_becomes("password", "password");
	text_becomes("spin=1&pin=1", "spin=1&pin=[redacted]");
	text_becomes("passing=1", "passing=1");
	text_becomes("my password is long", "my password is long");
}

Test(redact, json)
{
	text_becomes("{\"password\":\"x\",\"a\":\"y\"}",
		     "{\"password\":\"[redacted]\",\"a\":\"y\"}");
	text_becomes("{\"apiKey\" : \"a\\\"b\", \"n\": 1}",
		     "{\"apiKey\" : \"[redacted]\", \"n\": 1}");
	text_becomes("{\"pin\": 1234}", "{\"pin\": \"[redacted]\"}");
	text_becomes("{\"token\":\"no end", "{\"token\":\"[redacted]\"");
	text_becomes("{\"secret\":{\"password\":\"x\"}}",
		     "{\"secret\":{\"password\":\"[redacted]\"}}");
	text_becomes("{\"secret\":", "{\"secret\":");
	text_becomes("{\"tokens\": [\"a\", [\"]\\\"\", 7]], \"n\": [1]}",
		     "{\"tokens\": \"[redacted]\", \"n\": [1]}");
	text_becomes("{\"tokens\":[\"no end\", [",
		     "{\"tokens\":\"[redacted]\"");
}

Test(redact, mqtt)
{
	event_becomes(
		"{\"client_id\":\"c\",\"username\":\"u\","
		"\"password\":\"geheim\",\"properties\":{"
		"\"p_authentication_method\":\"M\","
		"\"p_authentication_data\":\"geheim\","
		"\"p_user_property\":[[\"credentials\",\"open\"]]}}",
		NULL, false,
		"{\"client_id\":\"c\",\"username\":\"u\","
		"\"password\":\"[redacted]\",\"properties\":{"
		"\"p_authentication_method\":\"M\","
		"\"p_authentication_data\":\"[redacted]\","
		"\"p_user_property\":[[\"credentials\",\"[redacted]\"]]}}");
}

Test(redact, multipart)
{
	text_becomes("--B\r\nContent-Disposition: form-data; "
		     "name=\"password\"\r\n\r\ngeheim\r\n--B\r\n",
		     "--B\r\nContent-Disposition: form-data; "
		     "name=\"password\"\r\n\r\n[redacted]\r\n--B\r\n");
	text_becomes("name=\"password\"\r\n\r\ngeheim",
		     "name=\"password\"\r\n\r\n[redacted]");
}

Test(redact, urls)
{
	text_becomes("http://u:p@h/", "http://u:[redacted]@h/");
	text_becomes("http://u@h/ http://h:80/a@b",
		     "http://u@h/ http://h:80/a@b");
	text_becomes("://", "://");
}

Test(redact, headers)
{
	event_becomes(
		"{\"req\":{\"headers\":[[\"authorization\",\"Basic abc\"],"
		"[\"Proxy-Authorization\",\"abc\"],"
		"[\"Cookie\",\"a=b; c=d=e; f\"],[\"X-Auth-Token\",\"t\"],"
		"[\"Accept\",\"*/*\"]]}}",
		NULL, false,
		"{\"req\":{\"headers\":[[\"authorization\",\"Basic "
		"[redacted]\"],[\"Proxy-Authorization\",\"[redacted]\"],"
		"[\"Cookie\",\"a=[redacted]; c=[redacted]; [redacted]\"],"
		"[\"X-Auth-Token\",\"[redacted]\"],[\"Accept\",\"*/*\"]]}}");
	event_becomes("{\"resp\":{\"headers\":{\"Set-Cookie\":[\"a=b; Path=/\","
		      "\"c=d\"],\"AUTHORIZATION\":\"x y\",\"B\":\"1\"}}}",
		      NULL, false,
		      "{\"resp\":{\"headers\":{\"Set-Cookie\":[\"a=[redacted]; "
		      "Path=/\",\"c=[redacted]\"],\"AUTHORIZATION\":\"x "
		      "[redacted]\",\"B\":\"1\"}}}");
}

Test(redact, the_rest_of_an_event)
{
	event_becomes(
		"{\"id\":\"1\",\"n\":5,\"req\":{\"cookies\":{\"a\":\"b\"},"
		"\"query\":{\"password\":[\"x\"],\"q\":[\"y\"]},"
		"\"body\":\"password=x\"},\"ws\":{\"data\":"
		"\"{\\\"token\\\":\\\"t\\\"}\"},\"password\":7}",
		NULL, false,
		"{\"id\":\"1\",\"n\":5,\"req\":{\"cookies\":{\"a\":"
		"\"[redacted]\"},\"query\":{\"password\":[\"[redacted]\"],"
		"\"q\":[\"y\"]},\"body\":\"password=[redacted]\"},"
		"\"ws\":{\"data\":\"{\\\"token\\\":\\\"[redacted]\\\"}\"},"
		"\"password\":\"[redacted]\"}");
}

Test(redact, secrets_when_asked_for)
{
	const char *event = "{\"req\":{\"headers\":[[\"Cookie\",\"a=b\"]],"
			    "\"cookies\":{\"a\":\"b\"}},\"password\":7}";

	event_becomes(event, NULL, true, event);
}

Test(redact, extra_wins)
{
	event_becomes("{\"id\":\"1\",\"err\":{\"msg\":\"old\"}}",
		      "{\"err\":{\"msg\":\"token=x\"}}", false,
		      "{\"id\":\"1\",\"err\":{\"msg\":\"token=[redacted]\"}}");
}

Test(redact, bodies_that_are_elsewhere_are_left_out)
{
	struct buf packed = {0};
	struct redacted r = {0};

	pack_map(&packed, 2);
	pack_cstr(&packed, "id");
	pack_cstr(&packed, "1");
	pack_cstr(&packed, "req");
	pack_map(&packed, 2);
	pack_cstr(&packed, "body");
	pack_lazy(&packed, 100000);
	pack_cstr(&packed, "path");
	pack_cstr(&packed, "/");
	redact_event(buf_slice(&packed), slice_of(NULL, 0), false, &r);
	cr_assert_eq(r.nleft_out, 1);
	cr_assert(
		slice_eq(buf_slice(&r.left_out), slice_of("\xa8req.body", 9)));
	cr_assert(scan_whole(buf_slice(&r.event), r.event.n));
	cr_assert(!memmem(r.event.p, r.event.n, "body", 4));
	redacted_fini(&r);
	buf_fini(&packed);
}
