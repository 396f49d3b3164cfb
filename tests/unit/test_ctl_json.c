/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON of the command line: what it reads and refuses, where it says a
 * mistake is, and that what it writes is read back as the same.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ctl/json.h"
#include "proto/pack.h"
#include "proto/scan.h"
#include "proto/unpack.h"

/* Reads, and writes on one line what was read. */
static void turns_into(const char *text, const char *want)
{
	struct buf packed = {0}, out = {0};
	struct json_error error;
	int rc = json_read(slice_str(text), &packed, &error);

	cr_assert_eq(rc, OK, "%s: %s", text, error.what);
	cr_assert(scan_whole(buf_slice(&packed), packed.n));
	json_write(buf_slice(&packed), false, &out);
	buf_add_byte(&out, 0);
	cr_assert_str_eq((const char *)out.p, want);
	buf_fini(&packed);
	buf_fini(&out);
}

static void is_refused(const char *text, unsigned column, const char *what)
{
	struct buf packed = {0};
	struct json_error error;
	int rc = json_read(slice_str(text), &packed, &error);

	cr_assert(rc < 0, "%s was read", text);
	cr_assert(strstr(error.what, what), "%s: %s", text, error.what);
	cr_assert_eq(error.column, column, "%s: column %u", text, error.column);
	buf_fini(&packed);
}

Test(ctl_json, values)
{
	turns_into("null", "null");
	turns_into(" true\n", "true");
	turns_into("false", "false");
	turns_into("0", "0");
	turns_into("-12", "-12");
	turns_into("9223372036854775807", "9223372036854775807");
	turns_into("-9223372036854775808", "-9223372036854775808");
	turns_into("18446744073709551615", "18446744073709551615");
	turns_into("18446744073709551616", "1.8446744073709552e+19");
	turns_into("0.1", "0.1");
	turns_into("-1.5e3", "-1500.0");
	turns_into("1E-2", "0.01");
	turns_into("[]", "[]");
	turns_into("{}", "{}");
	turns_into("[1, [2,{\"a\" : [ ]}] ]", "[1,[2,{\"a\":[]}]]");
	turns_into("{\"b\":1,\"a\":{\"c\":null}}",
		   "{\"b\":1,\"a\":{\"c\":null}}");
}

Test(ctl_json, strings)
{
	turns_into("\"\"", "\"\"");
	turns_into("\"a\\n\\t\\\"\\\\\\/\"", "\"a\\n\\u0009\\\"\\\\/\"");
	turns_into("\"\\u00e9\\u0000\"", "\"\xc3\xa9\\u0000\"");
	turns_into("\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"");
	turns_into("\"\\u0085\"", "\"\\u0085\"");
	turns_into("{\"$base64\":\"/wA=\"}", "{\"$base64\":\"/wA=\"}");
	turns_into("{\"$base64\":\"aGk=\"}", "\"hi\"");
	turns_into("{\"$base64\":\"\"}", "\"\"");
	turns_into("{\"$base64\":\"/w==\",\"a\":1}",
		   "{\"$base64\":\"/w==\",\"a\":1}");
	turns_into("{\"$base64\":1}", "{\"$base64\":1}");
}

Test(ctl_json, mistakes)
{
	is_refused("", 1, "expected a value");
	is_refused("nul", 1, "expected a value");
	is_refused("1 2", 3, "nothing behind");
	is_refused("[1,]", 4, "expected a value");
	is_refused("[1 2]", 4, "expected , or ]");
	is_refused("{\"a\" 1}", 6, "expected :");
	is_refused("{a:1}", 2, "in double quotes");
	is_refused("{\"a\":1", 7, "expected , or }");
	is_refused("\"a", 3, "does not end");
	is_refused("\"\\x\"", 4, "unknown escape");
	is_refused("\"\\ud800\"", 8, "four hex digits");
	is_refused("\"\\udc00\"", 8, "four hex digits");
	is_refused("\"\\u12g4\"", 6, "four hex digits");
	is_refused("\"\x01\"", 2, "control character");
	is_refused("\"\xff\"", 4, "not UTF-8");
	is_refused("01", 1, "expected a number");
	is_refused("1.", 1, "expected a number");
	is_refused("-", 1, "expected a number");
	is_refused("+1", 1, "expected a value");
	is_refused("1e", 1, "expected a number");
	is_refused("{\"$base64\":\"a\"}", 16, "expected base64");
	is_refused("{\"$base64\":\"a=b=\"}", 19, "expected base64");
	is_refused("{\n\"a\": [1,\n  ?]}", 3, "expected a value");
}

Test(ctl_json, depth_is_bounded)
{
	char deep[2 * JSON_DEPTH + 3] = {0};
	struct buf packed = {0};
	struct json_error error;

	memset(deep, '[', JSON_DEPTH);
	memset(deep + JSON_DEPTH, ']', JSON_DEPTH);
	cr_assert_eq(json_read(slice_str(deep), &packed, &error), OK);
	memset(deep, '[', JSON_DEPTH + 1);
	memset(deep + JSON_DEPTH + 1, ']', JSON_DEPTH + 1);
	buf_clear(&packed);
	cr_assert_eq(json_read(slice_str(deep), &packed, &error), ERR_RANGE);
	cr_assert_str_eq(error.what, "nested too deep");
	buf_fini(&packed);
}

Test(ctl_json, size_is_bounded)
{
	char *text = calloc(1, JSON_MAX + 1);
	struct buf packed = {0};
	struct json_error error;

	memset(text, ' ', JSON_MAX + 1);
	text[0] = '1';
	cr_assert_eq(json_read(slice_of(text, JSON_MAX), &packed, &error), OK);
	cr_assert_eq(json_read(slice_of(text, JSON_MAX + 1), &packed, &error),
		     ERR_RANGE);
	buf_fini(&packed);
	free(text);
}

Test(ctl_json, what_json_lacks)
{
	struct buf packed = {0}, out = {0};

	pack_array(&packed, 4);
	pack_lazy(&packed, 5);
	pack_double(&packed, 1.0 / 0.0);
	pack_map(&packed, 2);
	pack_int(&packed, 7);
	pack_nil(&packed);
	pack_bin(&packed, slice_of("\xff", 1));
	pack_bool(&packed, true);
	pack_bin(&packed, slice_str("text"));
	json_write(buf_slice(&packed), false, &out);
	buf_add_byte(&out, 0);
	cr_assert_str_eq((const char *)out.p,
			 "[null,null,{\"7\":null,\"base64:/w==\":true},"
			 "\"text\"]");
	buf_fini(&packed);
	buf_fini(&out);
}

Test(ctl_json, pretty)
{
	struct buf packed = {0}, out = {0};
	struct json_error error;
	const char *text = "{\"a\":[[\"k\",\"v\"],[\"x\",\"y\"],1],\"b\":{}}";

	cr_assert_eq(json_read(slice_str(text), &packed, &error), OK);
	json_write(buf_slice(&packed), true, &out);
	buf_add_byte(&out, 0);
	cr_assert_str_eq((const char *)out.p, "{\n"
					      "  \"a\": [\n"
					      "    [\"k\", \"v\"],\n"
					      "    [\"x\", \"y\"],\n"
					      "    1\n"
					      "  ],\n"
					      "  \"b\": {}\n"
					      "}");
	buf_fini(&packed);
	buf_fini(&out);
}

Test(ctl_json, base64)
{
	struct buf out = {0};

	cr_assert_eq(base64_read(slice_str("AAEC/v8="), &out), OK);
	cr_assert(slice_eq(buf_slice(&out), slice_of("\0\1\2\xfe\xff", 5)));
	cr_assert_eq(base64_read(slice_str("AAE"), &out), ERR_FORMAT);
	cr_assert_eq(base64_read(slice_str("A==="), &out), ERR_FORMAT);
	cr_assert_eq(base64_read(slice_str("AA=A"), &out), ERR_FORMAT);
	cr_assert_eq(base64_read(slice_str("AA-_"), &out), ERR_FORMAT);
	buf_fini(&out);
}
