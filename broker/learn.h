/* SPDX-License-Identifier: Apache-2.0 */
/*
 * learn: the smallest grants that a script would have needed for what it has
 * done so far, as lists of prefixes like those of grants.h.
 *
 * Names are kept as they are while there are few. Where more than LEARN_FAN of
 * them share what stands before a separator (or before a number), that stem
 * takes their place; where LEARN_NAMES do not suffice, the two that are most
 * alike become one. So the lists cover everything that was noted, and their
 * size is bounded. Zeroed memory has learned nothing.
 */
#ifndef PF_BROKER_LEARN_H
#define PF_BROKER_LEARN_H

#include "broker/grants.h"

enum {
	LEARN_NAMES = 64,  /* of one kind */
	LEARN_BYTES = 128, /* of one name; the rest is cut off */
	LEARN_FAN = 8,
};

struct learn_name {
	uint8_t bytes[LEARN_BYTES];
	uint8_t n;
};

struct learn {
	struct learn_list {
		struct learn_name *name; /* LEARN_NAMES, made when needed */
		size_t n;
	} list[GRANT_COUNT];
};

void learn_fini(struct learn *l);

/* It has needed a grant for that name. When memory is short, nothing. */
void learn_note(struct learn *l, enum grant kind, struct slice name);

/* The i-th prefix, i < list[kind].n, in no order. */
struct slice learn_at(const struct learn *l, enum grant kind, size_t i);

#endif
