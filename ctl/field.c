/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field: see field.h.
 */
#include "ctl/field.h"

#include "ctl/out.h"

struct cursor field_at(struct slice map, const char *key)
{
	struct slice raw;

	if (!map_find(map, key, &raw))
		raw = slice_of("\xc0", 1);
	return cursor_of(raw);
}

int64_t field_int(struct slice map, const char *key)
{
	struct cursor c = field_at(map, key);

	return cursor_int(&c);
}

struct slice field_text(struct slice map, const char *key)
{
	struct cursor c = field_at(map, key);

	return cursor_text(&c);
}

void field_words(struct slice map, const char *key, struct field_words how,
		 struct buf *out)
{
	struct cursor c = field_at(map, key);
	uint32_t n = cursor_array(&c);

	if (n == 0)
		buf_addf(out, "%s", how.none);
	for (uint32_t i = 0; i < n && !c.error; i++) {
		buf_addf(out, "%s", i > 0 ? how.between : "");
		out_safe(cursor_text(&c), out);
	}
}
