/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers: the names of sandbox layers that a child says hold, or do not.
 */
#ifndef PF_BROKER_LAYERS_H
#define PF_BROKER_LAYERS_H

#include "lib/buf.h"

enum {
	LAYERS_MAX = 16,
	LAYERS_NAME = 24, /* bytes of a name, with its NUL */
};

/* Append the array of names under `key` of a raw map. What is too long, or
 * too many, is left out. */
void layers_read(struct slice map, const char *key, char names[][LAYERS_NAME],
		 unsigned *n);

/* The key and the array, as `status` shows them. */
void layers_pack(struct buf *out, const char *key,
		 const char names[][LAYERS_NAME], unsigned n);

#endif
