/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field: values of a packed map by their keys. What is absent or of another
 * type reads as zero or empty. Slices live as long as the map.
 */
#ifndef PF_CTL_FIELD_H
#define PF_CTL_FIELD_H

#include "lib/buf.h"
#include "proto/unpack.h"

struct cursor field_at(struct slice map, const char *key); /* nil: absent */
int64_t field_int(struct slice map, const char *key);
struct slice field_text(struct slice map, const char *key);

/* The texts of an array, safe for a terminal, with `between` between them;
 * `none` when there are none. */
struct field_words {
	const char *between, *none;
};
void field_words(struct slice map, const char *key, struct field_words how,
		 struct buf *out);

#endif
