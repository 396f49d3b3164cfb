/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_core: what a plain scalar means by the core schema of YAML 1.2
 * (section 10.3.2 of its specification): null, bool, int, float or str.
 *
 * Not here: durations, sizes and the like, which are ours (conf_read.c).
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "broker/conf/yaml.h"

static bool one_of(struct slice s, const char *const *words)
{
	for (; *words; words++) {
		if (slice_is(s, *words))
			return true;
	}
	return false;
}

static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const trues[] = {"true", "True", "TRUE", NULL};
static const char *const falses[] = {"false", "False", "FALSE", NULL};
static const char *const infs[] = {".inf", ".Inf", ".INF", NULL};
static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};

static size_t span(struct slice s, size_t at, const char *set)
{
	size_t n = 0;

	while (at + n < s.n && s.p[at + n] && strchr(set, s.p[at + n]))
		n++;
	return n;
}

/* The base of an integer's text, or 0; *at: where its digits start. */
static int int_base(struct slice s, size_t *at)
{
	bool sign = s.n && (s.p[0] == '-' || s.p[0] == '+');

	*at = 2;
	if (slice_starts(s, slice_str("0x")))
		return s.n > 2 && span(s, 2, "0123456789abcdefABCDEF") ==
					       s.n - 2
			       ? 16
			       : 0;
	if (slice_starts(s, slice_str("0o")))
		return s.n > 2 && span(s, 2, "01234567") == s.n - 2 ? 8 : 0;
	*at = 0;
	return s.n > sign && span(s, sign, "0123456789") == s.n - sign ? 10 : 0;
}

static bool is_float(struct slice s)
{
	size_t at = s.n && (s.p[0] == '-' || s.p[0] == '+');
	size_t whole = span(s, at, "0123456789"), part = 0, exponent;

	at += whole;
	if (at < s.n && s.p[at] == '.') {
		part = span(s, at + 1, "0123456789");
		at += 1 + part;
	}
	if (whole + part == 0)
		return false;
	if (at == s.n)
		return true;
	if (s.p[at] != 'e' && s.p[at] != 'E')
		return false;
	at++;
	at += at < s.n && (s.p[at] == '-' || s.p[at] == '+');
	exponent = span(s, at, "0123456789");
	return exponent > 0 && at + exponent == s.n;
}

static struct yaml_value number(struct slice s)
{
	struct yaml_value v = {.type = YAML_STR};
	const char *text = (const char *)s.p;
	size_t at;
	int base = int_base(s, &at);
	bool sign = s.n && (s.p[0] == '-' || s.p[0] == '+');
	struct slice rest = slice_of(s.p + sign, s.n - sign);

	if (base) {
		errno = 0;
		v.i = strtoll(text + at, NULL, base);
		v.f = errno ? strtod(text, NULL) : (double)v.i;
		v.type = errno ? YAML_FLOAT : YAML_INT;
		if (errno && base == 8) /* strtod knows no octal */
			v.type = YAML_STR;
	} else if (is_float(s)) {
		v.type = YAML_FLOAT;
		v.f = strtod(text, NULL);
	} else if (one_of(rest, infs)) {
		v.type = YAML_FLOAT;
		v.f = s.p[0] == '-' ? -INFINITY : INFINITY;
	} else if (one_of(s, nans)) {
		v.type = YAML_FLOAT;
		v.f = NAN;
	}
	return v;
}

struct yaml_value yaml_core(const struct yaml_node *scalar)
{
	struct yaml_value v = {.type = YAML_STR};
	struct slice s = scalar->text;

	if (scalar->kind != YAML_SCALAR || !scalar->plain)
		return v;
	if (one_of(s, nulls)) {
		v.type = YAML_NULL;
	} else if (one_of(s, trues) || one_of(s, falses)) {
		v.type = YAML_BOOL;
		v.b = one_of(s, trues);
	} else if (s.n < 400) { /* longer ones are no number */
		v = number(s);
	}
	return v;
}
