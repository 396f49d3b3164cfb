/* SPDX-License-Identifier: Apache-2.0 */
/* json as Go encodes and decodes, on any bytes, at any depth. */
#include "tests/lib/vmrun.h"

TestSuite(json, .timeout = 60);

Test(json, encode)
{
	static const char *const cases[][2] = {
		{"{b = 1, a = {1, 2, 3}, c = 'x'}",
		 "{\"a\":[1,2,3],\"b\":1,\"c\":\"x\"}"},
		{"{}", "[]"},
		{"{1, nil, 3}", "{\"1\":1,\"3\":3}"},
		{"'<a>&'", "\"\\u003ca\\u003e\\u0026\""},
		{"nil", "null"},
		{"true", "true"},
		{"{[1.5] = 1, [true] = 2, [0] = 3}",
		 "{\"0\":3,\"1.5\":1,\"true\":2}"},
		{"{x = 1, [100000000] = 2}", "{\"100000000\":2,\"x\":1}"},
		{"{[1] = 'a', ['1'] = 'a'}", "{\"1\":\"a\"}"},
		{"'a\\n\\r\\t\\1\\127/\"\\\\'",
		 "\"a\\n\\r\\t\\u0001\x7f/\\\"\\\\\""},
		{"'\\u{2028}\\u{2029}\\u{e9}\\u{1f600}'",
		 "\"\\u2028\\u2029\u00e9\U0001f600\""},
		{"'a\\xffb\\xed\\xa0\\x80c\\xc3'",
		 "\"a\\ufffdb\\ufffd\\ufffd\\ufffdc\\ufffd\""},
		{"1.0", "1"},
		{"-0.0", "0"},
		{"0.1", "0.1"},
		{"1e20", "100000000000000000000"},
		{"1e21", "1e+21"},
		{"1.5e300", "1.5e+300"},
		{"1e-6", "0.000001"},
		{"1e-7", "1e-7"},
		{"-1.25e-9", "-1.25e-9"},
		{"5e-324", "5e-324"},
		{"123456.789", "123456.789"},
		{"1/3", "0.3333333333333333"},
		{"2^53", "9007199254740992"},
		{"math.mininteger", "-9223372036854775808"},
		{"{{{}}}", "[[[]]]"},
	};
	char text[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text),
			 "local s, e = json.encode(%s) assert(not e) return s",
			 cases[i][0]);
		expect(text, cases[i][1]);
	}
}

Test(json, encode_errors)
{
	expect("return select(2, json.encode(0/0))",
	       "json: unsupported value: NaN");
	expect("return select(2, json.encode({1/0}))",
	       "json: unsupported value: +Inf");
	expect("return select(2, json.encode(-1/0))",
	       "json: unsupported value: -Inf");
	expect("return (json.encode(0/0))", "nil");
	expect("return pcall(json.encode)", "false");
	expect("local t = {} t.t = t return select(2, json.encode(t))",
	       "json: unsupported value: encountered a cycle");
	expect("local a, b = {}, {} for i = 1, 9 do a[i] = b b[i] = a end "
	       "return select(2, json.encode(a))",
	       "json: unsupported value: encountered a cycle");
	expect("local t = {} for i = 1, 1000 do t = {t} end "
	       "return select(2, json.encode(t))",
	       "json: exceeded max depth");
	expect("local t = {} for i = 1, 999 do t = {t} end "
	       "return #json.encode(t)",
	       "2000");
}

Test(json, decode)
{
	static const char *const cases[][2] = {
		{"null", "nil"},
		{"true", "true"},
		{" [1,null,3] ", "list"},
		{"\\\"a\\\"", "a"},
		{"1", "1"},
		{"1.0", "1"},
		{"-0", "0"},
		{"1e3", "1000"},
		{"1.5", "1.5"},
		{"9007199254740991", "9007199254740991"},
		{"-12.25e-1", "-1.225"},
		{"\\\"\\\\u00e9\\\\n\\\\/\\\\ud83d\\\\ude00\\\"",
		 "\u00e9\n/\U0001f600"},
		{"\\\"\\\\ud800x\\\\udc00\\\"", "\ufffdx\ufffd"},
		{"\\\"\\xff\\xc3\\xa9\\xe2\\x82\\\"",
		 "\ufffd\u00e9\ufffd\ufffd"},
	};
	char text[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text),
			 "local v, e = json.decode(\"%s\") assert(not e) "
			 "if type(v) == 'table' then return v[1] == 1 and "
			 "v[2] == nil and v[3] == 3 and 'list' end return v",
			 cases[i][0]);
		expect(text, cases[i][1]);
	}
	expect("return math.type(json.decode('5.0'))", "integer");
	expect("return math.type(json.decode('9007199254740993'))", "float");
	expect("return json.decode('{\"a\":1,\"a\":2,\"n\":null}').a", "2");
	expect("return next(json.decode('{\"n\":null}'))", "nil");
	expect("return #json.decode(('['):rep(1000) .. (']'):rep(1000))", "1");
	expect("return json.encode(json.decode('{}'))", "[]");
}

Test(json, decode_errors)
{
	static const char *const cases[][2] = {
		{"", "unexpected end of JSON input"},
		{" ", "unexpected end of JSON input"},
		{"[1,", "unexpected end of JSON input"},
		{"{\"a\"", "unexpected end of JSON input"},
		{"\"abc", "unexpected end of JSON input"},
		{"\"\\\\", "unexpected end of JSON input"},
		{"tru", "unexpected end of JSON input"},
		{"-", "unexpected end of JSON input"},
		{"1 2", "invalid character '2' after top-level value"},
		{"01", "invalid character '1' after top-level value"},
		{"[1 2]", "invalid character '2' after array element"},
		{"[1,]",
		 "invalid character ']' looking for beginning of value"},
		{"{1:2}", "invalid character '1' looking for beginning of "
			  "object key string"},
		{"{\"a\" 1}", "invalid character '1' after object key"},
		{"{\"a\":1 1}",
		 "invalid character '1' after object key:value pair"},
		{"{\"a\":1,}", "invalid character '}' looking for beginning "
			       "of object key string"},
		{"NaN", "invalid character 'N' looking for beginning of value"},
		{"1.", "unexpected end of JSON input"},
		{"1.x", "invalid character 'x' after decimal point in numeric "
			"literal"},
		{"1ex", "invalid character 'x' in exponent of numeric literal"},
		{"trux", "invalid character 'x' in literal true (expecting "
			 "'e')"},
		{"\"\\\\x\"", "invalid character 'x' in string escape code"},
		{"\"\\\\u12x4\"", "invalid character 'x' in \\u hexadecimal "
				  "character escape"},
		{"\"\\1\"", "invalid character '\\x01' in string literal"},
		{"1e400",
		 "json: cannot unmarshal number 1e400 into a Lua number"},
	};
	char text[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text),
			 "local v, e = json.decode('%s') assert(v == nil) "
			 "return e",
			 cases[i][0]);
		expect(text, cases[i][1]);
	}
	expect("return select(2, json.decode(('['):rep(1001)))",
	       "exceeded max depth");
	expect("return select(2, json.decode(('{\"a\":'):rep(100000)))",
	       "exceeded max depth");
	expect("return select(2, json.decode('\\u{feff}1'))",
	       "invalid character '\\xef' looking for beginning of value");
}

Test(json, round_trip)
{
	expect("local t = {} for i = 1, 300 do "
	       "t[i] = {id = i, name = crypto.random(20):gsub('[\\x80-\\xff]',"
	       " ''), v = i / 7, list = {i, {}, 'x'}} end "
	       "local s = json.encode(t) "
	       "local u = json.decode(s) for i = 1, 300 do "
	       "assert(u[i].name == t[i].name and u[i].v == t[i].v) end "
	       "return json.encode(u) == s",
	       "true");
	expect("for i = 1, 2000 do local x = string.unpack('d', "
	       "crypto.random(8)) if x == x and x * 0 == 0 then "
	       "assert(json.decode(json.encode(x)) == x) end end "
	       "return 'ok'",
	       "ok");
}
