/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log records: one line each whatever is in them, nothing that a terminal
 * would obey, attributes that cannot be mistaken for others, valid JSON.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/log.h"

#define S(text) slice_of((text), sizeof(text) - 1)

static struct buf line;
static int lines;
static enum log_level last;

static void on_line(void *arg, enum log_level level, struct slice s)
{
	struct buf *b = arg;

	buf_clear(b);
	buf_add_slice(b, s);
	buf_add_byte(b, 0);
	last = level;
	lines++;
}

static void setup(void)
{
	int null = open("/dev/null", O_WRONLY);

	dup2(null, STDERR_FILENO);
	close(null);
	log_setup(LOG_INFO, false);
	log_tap(on_line, &line);
}

static void teardown(void)
{
	log_tap(NULL, NULL);
	buf_fini(&line);
}

TestSuite(log, .init = setup, .fini = teardown);

/* What stands behind the time. */
static const char *text(void)
{
	return (const char *)line.p + sizeof("2026-11-22T03:24:13.123Z");
}

static void expect_one_safe_line(void)
{
	cr_assert_eq(lines, 1, "%d lines", lines);
	cr_assert_gt(line.n, 2);
	cr_assert_eq(line.p[line.n - 2], '\n');
	for (size_t i = 0; i + 2 < line.n; i++)
		cr_assert(line.p[i] >= 0x20 && line.p[i] != 0x7f,
			  "byte %02x at %zu", line.p[i], i);
	cr_assert(slice_is_utf8(slice_of(line.p, line.n - 1)));
}

Test(log, text_line)
{
	log_warn("child", "gone pid=%d", 7);
	cr_assert_eq(line.p[4], '-');
	cr_assert_eq(line.p[10], 'T');
	cr_assert_eq(line.p[23], 'Z');
	cr_assert_str_eq(text(), "warn  child gone pid=7\n");
	cr_assert_eq(last, LOG_WARN);
}

Test(log, levels)
{
	cr_assert_eq(log_level_parse(slice_str("audit")), LOG_AUDIT);
	cr_assert_eq(log_level_parse(slice_str("trace")), LOG_TRACE);
	cr_assert_eq(log_level_parse(slice_str("Info")), ERR_ABSENT);
	cr_assert_eq(log_level_parse(slice_of(NULL, 0)), ERR_ABSENT);
	log_debug("t", "not wanted");
	cr_assert_eq(lines, 0);
	log_setup(LOG_AUDIT, false);
	log_error("t", "not wanted");
	cr_assert_eq(lines, 0);
	log_at(LOG_AUDIT, "t", "always");
	cr_assert_eq(lines, 1);
}

Test(log, control_bytes_are_escaped_in_text)
{
	struct log_attr attr = {S("k"), S("a\nb\"c\\d\x1b[31m\x7f\0")};

	log_attrs(LOG_INFO, "log", S("one\ntwo\r\x1b]0;x\x07 \xff\xfe"), &attr,
		  1);
	expect_one_safe_line();
	cr_assert_str_eq(text(),
			 "info  log one\\ntwo\\x0d\\x1b]0;x\\x07 \\xff\\xfe "
			 "k=\"a\\nb\\\"c\\\\d\\x1b[31m\\x7f\\x00\"\n");
}

/* U+009B begins an escape sequence as ESC [ does. */
Test(log, c1_controls_are_escaped_too)
{
	log_attrs(LOG_INFO, "log",
		  S("\xc2\x9b"
		    "31m \xc3\xa4 \xc2\xa0"),
		  NULL, 0);
	cr_assert_str_eq(text(), "info  log \\xc2\\x9b31m \xc3\xa4 \xc2\xa0\n");
	log_setup(LOG_INFO, true);
	log_attrs(LOG_INFO, "log", S("\xc2\x9b \xc3\xa4"), NULL, 0);
	cr_assert_not_null(strstr(text(), "\"msg\":\"\\u009b \xc3\xa4\""));
}

Test(log, an_attribute_cannot_look_like_two)
{
	struct log_attr attrs[] = {
		{S("script"), S("mine")},
		{S("x script=other y"), S("1")},
		{S("a"), S("1 script=other")},
		{S("b"), S("")},
		{S("c"), S("p=q")},
	};

	log_attrs(LOG_INFO, "log", S("m"), attrs, 5);
	cr_assert_str_eq(text(),
			 "info  log m script=mine \"x script=other y\"=1 "
			 "a=\"1 script=other\" b=\"\" c=\"p=q\"\n");
}

Test(log, json)
{
	struct log_attr attrs[] = {{S("k\"\n"), S("v\\\"\t\xff")},
				   {S("e"), S("\xe2\x82\xac")}};

	log_setup(LOG_INFO, true);
	log_attrs(LOG_ERROR, "log", S("a \"quoted\"\n\x01 text"), attrs, 2);
	expect_one_safe_line();
	cr_assert_eq(memcmp(line.p, "{\"time\":\"2", 10), 0);
	cr_assert_not_null(
		strstr((char *)line.p,
		       "Z\",\"level\":\"error\",\"topic\":\"log\",\"msg\":"
		       "\"a \\\"quoted\\\"\\n\\u0001 text\","
		       "\"k\\\"\\n\":\"v\\\\\\\"\\u0009\xef\xbf\xbd\","
		       "\"e\":\"\xe2\x82\xac\"}\n"));
}

/* Whatever the size, a record comes out: cut, but whole as a line. */
static void huge(bool json, uint8_t byte)
{
	static uint8_t big[1 << 20];
	struct log_attr attrs[] = {{S("a"), {big, sizeof(big)}},
				   {{big, sizeof(big)}, S("b")},
				   {S("c"), {big, sizeof(big)}}};

	memset(big, byte, sizeof(big));
	lines = 0;
	log_setup(LOG_INFO, json);
	log_attrs(LOG_INFO, "log", slice_of(big, sizeof(big)), attrs, 3);
	expect_one_safe_line();
	cr_assert_leq(line.n, 40000);
	if (json)
		cr_assert_eq(line.p[line.n - 3], '}');
	lines = 0;
	log_attrs(LOG_INFO, "log", S("m"), attrs, 3);
	expect_one_safe_line();
}

Test(log, huge_records_are_cut_not_lost)
{
	static const uint8_t bytes[] = {'x', '\n', 1, 0xff, '"', 0xc3};

	for (size_t i = 0; i < sizeof(bytes); i++) {
		huge(false, bytes[i]);
		huge(true, bytes[i]);
	}
}

Test(log, a_cut_never_splits_a_character)
{
	static char big[1 << 16];

	for (size_t i = 0; i < sizeof(big); i += 2)
		memcpy(big + i, "\xc3\xa4", 2);
	log_attrs(LOG_INFO, "log", slice_of(big + 1, sizeof(big) - 1), NULL, 0);
	expect_one_safe_line();
	lines = 0;
	log_attrs(LOG_INFO, "log", slice_of(big, sizeof(big)), NULL, 0);
	expect_one_safe_line();
	cr_assert_null(strstr(text(), "\\x"), "all of it was valid text");
}
