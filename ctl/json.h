/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: JSON text <-> packed values, for what people read and event files.
 *
 * Bytes that are no UTF-8 are written as {"$base64": "..."}, and such a map
 * with that one key is read as bytes again. What JSON lacks (extensions,
 * infinite numbers) is written as null.
 */
#ifndef PF_CTL_JSON_H
#define PF_CTL_JSON_H

#include "lib/buf.h"

enum {
	JSON_DEPTH = 24, /* fits into a message with what is around it */
	JSON_MAX = 16 << 20,
};

struct json_error {
	unsigned line, column; /* from 1; columns are bytes */
	const char *what;
};

/*
 * One value, with only blanks around it; appends it packed to `out`.
 * ERR_FORMAT: *error says where and what. ERR_RANGE: longer than JSON_MAX or
 * deeper than JSON_DEPTH, *error as well. ERR_NOMEM.
 */
int json_read(struct slice text, struct buf *out,
	      struct json_error *error) must_check;

/* Without a newline at the end; pretty: over several lines. */
void json_write(struct slice packed, bool pretty, struct buf *out);
void json_write_string(struct slice text, struct buf *out);

void base64_write(struct slice bytes, struct buf *out);

/* ERR_FORMAT: not base64 with its padding. */
int base64_read(struct slice text, struct buf *out) must_check;

#endif
