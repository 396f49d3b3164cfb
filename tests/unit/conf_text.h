/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_text: configurations as text, right ones and wrong ones, for the tests
 * of conf. They stand in /etc/pf/t.yml, as far as conf knows.
 */
#ifndef PF_TESTS_CONF_TEXT_H
#define PF_TESTS_CONF_TEXT_H

#include <criterion/criterion.h>

#include "broker/conf/conf.h"

/* The shortest that is complete, and one with a script s. */
#define MIN		 "listen: p.sock\ndata_dir: data\n"
#define SCRIPT(settings) MIN "luaplugin: {scripts: {s: {" settings "}}}\n"

static inline int parse_n(struct slice text, struct conf **out,
			  struct buf *error)
{
	return conf_parse("t.yml", "/etc/pf", text, out, error);
}

/* It must be right; the caller frees it. */
static inline struct conf *good(const char *text)
{
	struct buf error = {0};
	struct conf *conf;
	int rc = parse_n(slice_str(text), &conf, &error);

	cr_assert_eq(rc, 0, "%s: %.*s", text, (int)error.n,
		     (const char *)error.p);
	cr_assert_not_null(conf);
	cr_assert_eq(error.n, 0);
	buf_fini(&error);
	return conf;
}

/* It must be wrong, and that must be said of it. */
static inline void bad(const char *text, const char *expected)
{
	struct buf error = {0};
	struct conf *conf;
	int rc = parse_n(slice_str(text), &conf, &error);

	buf_add_byte(&error, 0);
	cr_assert_eq(rc, ERR_FORMAT, "accepted, or %d: %s", rc, text);
	cr_assert_null(conf);
	cr_assert_str_eq((const char *)error.p, expected);
	buf_fini(&error);
}

#endif
