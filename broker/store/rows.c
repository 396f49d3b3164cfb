/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows: the growing arrays in which every engine puts what a scan finds.
 */
#include <stdlib.h>

#include "broker/store/engine.h"

int engine_rows_add(struct engine_rows *r, struct slice key, struct slice value)
{
	size_t cap = r->cap ? r->cap * 2 : 64;
	struct engine_row *row;

	if (r->n == r->cap) {
		row = realloc(r->row, cap * sizeof(*row));
		if (!row)
			return ERR_NOMEM;
		r->row = row;
		r->cap = cap;
	}
	r->row[r->n++] = (struct engine_row){r->bytes.n, key.n, value.n};
	buf_add_slice(&r->bytes, key);
	buf_add_slice(&r->bytes, value);
	return buf_error(&r->bytes);
}

void engine_rows_fini(struct engine_rows *r)
{
	buf_fini(&r->bytes);
	free(r->row);
	*r = (struct engine_rows){0};
}
