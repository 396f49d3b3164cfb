/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map: byte-string keys to pointers; open addressing, hash seeded per process
 * so that a stranger who chooses keys cannot choose collisions.
 *
 * Keys are not copied: the caller keeps the bytes of a key alive while it is
 * in the map (usually inside the value).
 */
#ifndef PF_LIB_MAP_H
#define PF_LIB_MAP_H

#include "lib/err.h"
#include "lib/slice.h"

struct map_slot {
	struct slice key;
	void *value; /* NULL: free */
	uint32_t hash;
};

/* Zeroed memory is a valid empty map. */
struct map {
	struct map_slot *slots;
	size_t cap; /* a power of two, or 0 */
	size_t n;
};

void map_fini(struct map *m);

/* 64 bits of it, by this process' seed; `before`: of what stands before the
 * key, or 0. */
uint64_t map_hash(struct slice key, uint64_t before);

void *map_get(const struct map *m, struct slice key);

/* Insert or replace; value must not be NULL. *old (may be NULL) gets what was
 * there. ERR_NOMEM leaves the map as it was. */
int map_put(struct map *m, struct slice key, void *value,
	    void **old) must_check;

/* Remove and return the value, or NULL. */
void *map_del(struct map *m, struct slice key);

/* Iterate: start with *at = 0; NULL at the end. No put or del meanwhile. */
void *map_next(const struct map *m, size_t *at);

#endif
