/* SPDX-License-Identifier: Apache-2.0 */
/* base64: round trips, and errors at the byte that Go would name. */
#include "tests/lib/vmrun.h"

Test(base64, encode)
{
	expect("return base64.encode('')", "");
	expect("return base64.encode('f')", "Zg==");
	expect("return base64.encode('fo')", "Zm8=");
	expect("return base64.encode('foo')", "Zm9v");
	expect("return base64.encode('v\\0\\255')", "dgD/");
	expect("return pcall(base64.encode)", "false");
}

Test(base64, decode)
{
	expect("return base64.decode('')", "");
	expect("return base64.decode('Zm9v\\r\\nYmFy\\n')", "foobar");
	expect("return base64.decode('Zg=\\n=')", "f");
	expect("for i = 0, 200 do local s = crypto.random(i) "
	       "assert(base64.decode(base64.encode(s)) == s) end return 'ok'",
	       "ok");
}

Test(base64, errors_name_the_byte)
{
	static const struct {
		const char *text;
		int at;
	} cases[] = {
		{"YQ=", 3},   {"YQ", 0},      {"Y", 0},	      {"YWJjY", 4},
		{"YQ=x", 2},  {"YQ==x", 4},   {"=", 0},	      {"Y===", 1},
		{"YW-j", 2},  {"YW_j", 2},    {"Y W j", 1},   {"YWI=YWI=", 4},
		{"YWI==", 4}, {"YWJjYWI", 4}, {"YWJjYQ=", 7}, {"!!!!", 0},
	};
	char text[100], want[60];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text),
			 "return select(2, base64.decode('%s'))",
			 cases[i].text);
		snprintf(want, sizeof(want),
			 "illegal base64 data at input byte %d", cases[i].at);
		expect(text, want);
	}
	expect("return (base64.decode('YQ='))", "nil");
}
