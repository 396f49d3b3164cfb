/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers: see layers.h. Workers and the gateway say them when they are ready.
 */
#include "broker/layers.h"

#include <string.h>

#include "proto/pack.h"
#include "proto/unpack.h"

void layers_read(struct slice map, const char *key, char names[][LAYERS_NAME],
		 unsigned *n)
{
	struct slice value;
	struct cursor c;
	uint32_t count;

	if (!map_find(map, key, &value))
		return;
	c = cursor_of(value);
	for (count = cursor_array(&c); count > 0 && !c.error; count--) {
		struct slice name = cursor_text(&c);

		if (*n == LAYERS_MAX || name.n >= LAYERS_NAME)
			continue;
		memcpy(names[*n], name.p, name.n);
		names[(*n)++][name.n] = 0;
	}
}

void layers_pack(struct buf *out, const char *key,
		 const char names[][LAYERS_NAME], unsigned n)
{
	pack_cstr(out, key);
	pack_array(out, n);
	for (unsigned i = 0; i < n; i++)
		pack_text(out, slice_str(names[i]));
}
