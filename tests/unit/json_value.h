/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_value: packed values written as JSON, for tests of what takes or gives
 * raw values. Quotes may be written as '. What comes out lives as long as the
 * test program, or until json_reuse().
 */
#ifndef PF_TESTS_JSON_VALUE_H
#define PF_TESTS_JSON_VALUE_H

#include <criterion/criterion.h>

#include "ctl/json.h"

enum { JSON_VALUES = 1024 };

static struct buf json_pool[JSON_VALUES];
static size_t json_used;

static inline struct buf *json_room(void)
{
	cr_assert(json_used < JSON_VALUES);
	return &json_pool[json_used++];
}

/* Nothing that came out is needed any more. */
static inline void json_reuse(void)
{
	while (json_used > 0)
		buf_clear(&json_pool[--json_used]);
}

static inline struct slice packed(const char *text)
{
	struct buf *out = json_room(), quoted = {0};
	struct json_error error = {0};

	for (; *text; text++)
		buf_add_byte(&quoted,
			     *text == '\'' ? (uint8_t)'"' : (uint8_t)*text);
	cr_assert_eq(json_read(buf_slice(&quoted), out, &error), OK, "%s",
		     error.what);
	buf_fini(&quoted);
	return buf_slice(out);
}

/* On one line, with ' for quotes; "" when there is nothing. */
static inline const char *json(struct slice value)
{
	struct buf *out = json_room();

	if (value.n)
		json_write(value, false, out);
	for (size_t i = 0; i < out->n; i++)
		if (out->p[i] == '"')
			out->p[i] = '\'';
	buf_add_byte(out, 0);
	return (const char *)out->p;
}

#endif
