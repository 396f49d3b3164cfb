/* SPDX-License-Identifier: Apache-2.0 */
/* json of the dialect mqtt: what it gives and takes, text by text. */
#include "tests/lib/mqrun.h"

TestSuite(mq_json, .timeout = 60);

Test(mq_json, encode)
{
	static const char *const cases[][2] = {
		{"{b = 1, a = {1, 2, 3}, c = 'x'}",
		 "{\"a\":[1,2,3],\"b\":1,\"c\":\"x\"}"},
		{"{}", "{}"},
		{"{a = {}}", "{\"a\":{}}"},
		{"{{}, {{}}}", "[{},[{}]]"},
		{"{[1] = 'a', [3] = 'c'}", "[\"a\",\"c\"]"},
		{"{[3] = 'c', [1] = 'a', [-2] = 'z', [0] = 'y'}",
		 "[\"z\",\"y\",\"a\",\"c\"]"},
		{"{true, false}", "[true,false]"},
		{"{'a', nil, 'c'}", "[\"a\",\"c\"]"},
		/* Sorted by bytes: upper case, _, lower case, the rest. */
		{"{b = 1, B = 2, _ = 3, ['\\u{e9}'] = 4, [''] = 5, ba = 6}",
		 "{\"\":5,\"B\":2,\"_\":3,\"b\":1,\"ba\":6,\"\u00e9\":4}"},
		{"{'mp', 'cid', 'user'}", "[\"mp\",\"cid\",\"user\"]"},
		/* Text. */
		{"{'<a>&/'}", "[\"<a>&/\"]"},
		{"{'\"\\\\'}", "[\"\\\"\\\\\"]"},
		{"{'\\n\\t\\r\\b\\f'}", "[\"\\n\\t\\r\\b\\f\"]"},
		{"{'\\0\\1\\x1f\\127'}", "[\"\\u0000\\u0001\\u001f\x7f\"]"},
		{"{'\\u{2028}\\u{e9}\\u{1f600}'}",
		 "[\"\u2028\u00e9\U0001f600\"]"},
		{"{'a\\xffb\\xc3'}", "[\"a\ufffdb\ufffd\"]"},
		{"{['k\\xff\\n'] = 1}", "{\"k\ufffd\\n\":1}"},
		/* Numbers. */
		{"{1, -7, math.mininteger}", "[1,-7,-9223372036854775808]"},
		{"{1.0}", "[1.0]"},
		{"{-0.0, 0.0}", "[-0.0,0.0]"},
		{"{0.1, -0.5, 1.5}", "[0.1,-0.5,1.5]"},
		{"{100.0, 1000.0, 1500.0, 1234.0}",
		 "[100.0,1.0e3,1.5e3,1234.0]"},
		{"{123456.789, 12345678901234.5}",
		 "[123456.789,12345678901234.5]"},
		{"{0.001, 0.0001, 0.00012, 0.0012}",
		 "[0.001,1.0e-4,1.2e-4,0.0012]"},
		{"{1e15, 1e100, 2.0^53, 2.0^53 - 1}",
		 "[1.0e15,1.0e100,9.007199254740992e15,9007199254740991.0]"},
		{"{1e22, 5e-324, 1.7976931348623157e308}",
		 "[1.0e22,5.0e-324,1.7976931348623157e308]"},
		{"{0.1 + 0.2, 1 / 3}", "[0.30000000000000004,"
				       "0.3333333333333333]"},
	};
	char text[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text), "return json.encode(%s)",
			 cases[i][0]);
		expect(text, cases[i][1]);
	}
}

/* nil, where ours gives an error text behind it. */
Test(mq_json, encode_gives_nil)
{
	static const char *const cases[] = {
		"{1, a = 2}", "{[1.5] = 1}",	   "{[true] = 1}",
		"{print}",    "{a = {b = print}}", "{coroutine.create(print)}",
		"{1/0}",      "{a = 0/0}",
	};
	char text[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text), "return json.encode(%s)",
			 cases[i]);
		expect(text, "nil");
	}
	expect("local t = {} t[1] = t return json.encode(t)", "nil");
	expect("local t = {} t.a = {t} return json.encode(t)", "nil");
	expect("return select(2, json.encode({print}))",
	       "json: a value is a function");
}

Test(mq_json, deep_and_large)
{
	expect("local t = {} for i = 1, 999 do t = {t} end "
	       "return #json.encode(t)",
	       "2000");
	expect("local t = {} for i = 1, 1001 do t = {t} end "
	       "return json.encode(t)",
	       "nil");
	expect("local t = {} for i = 1, 100000 do t['k' .. i] = i end "
	       "local s = json.encode(t) local n = 0 "
	       "for k in pairs(json.decode(s)) do n = n + 1 end return n",
	       "100000");
	expect("local t = {} for i = 100000, 1, -1 do t[2 * i] = i end "
	       "local d = json.decode(json.encode(t)) "
	       "for i = 1, 100000 do assert(d[i] == i) end return #d",
	       "100000");
	/* A collection may take entries out while it looks. */
	expect("local t = setmetatable({}, {__mode = 'v'}) "
	       "for i = 1, 1000 do t[i] = {i} end "
	       "return json.encode(t) ~= nil",
	       "true");
}

Test(mq_json, wrong_arguments_raise)
{
	static const char *const cases[] = {
		"json.encode('x')", "json.encode(1)",	 "json.encode(nil)",
		"json.encode()",    "json.encode(true)", "json.decode(1)",
		"json.decode(nil)", "json.decode()",	 "json.decode({})",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		expect_error(cases[i], "bad argument #1 to ");
}

Test(mq_json, decode)
{
	expect("return json.decode('null')", "null");
	expect("return json.decode('{\"a\":null}').a", "null");
	expect("return json.decode('[1,null]')[2]", "null");
	expect("return math.type(json.decode('1.0'))", "float");
	expect("return json.decode('1e3')", "1000.0");
	expect("return math.type(json.decode('10'))", "integer");
	expect("return json.decode('9223372036854775807')",
	       "9223372036854775807");
	expect("return json.decode('-9223372036854775808')",
	       "-9223372036854775808");
	expect("return math.type(json.decode('9223372036854775808'))", "float");
	expect("return math.type(json.decode(('9'):rep(300)))", "float");
	expect("return json.decode('-0')", "0");
	expect("return json.decode('true')", "true");
	expect("return json.decode(' \"a\\\\u00e9\" ')", "a\u00e9");
	expect("return next(json.decode('{}'))", "nil");
	expect("return next(json.decode('[]'))", "nil");
	expect("return json.encode(json.decode('[]'))", "{}");
	expect("return json.encode(json.decode('{\"b\":[1,{}],\"a\":2.50}'))",
	       "{\"a\":2.5,\"b\":[1,{}]}");
	expect("return json.decode('{\"a\":1,\"a\":2}').a", "2");
}

Test(mq_json, decode_gives_nil)
{
	static const char *const cases[] = {
		"",    "x",    "{",	"[1,]", "{\"a\"}", "1 2",
		"nul", "[1]]", "{a:1}", "01",	"\"a",	   "1e400",
	};
	char text[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text), "return json.decode('%s')",
			 cases[i]);
		expect(text, "nil");
	}
}

Test(mq_json, null_as_nil)
{
	mq_script.nulls = false;
	expect("return json.decode('null')", "nil");
	expect("return next(json.decode('{\"a\":null}'))", "nil");
	expect("return json.decode('[null,1]')[2]", "1");
}

/* The library of hook files is another. */
Test(mq_json, of_hook_files)
{
	mq_script.dialect = DIALECT_HTTP;
	mq_script.nulls = false;
	expect("return json.encode({})", "[]");
	expect("return json.encode({1.0})", "[1]");
	expect("return json.decode('1.0')", "1");
}
