/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants: what a script may touch, as lists of prefixes.
 *
 * Zeroed memory grants everything of the script's dialect; a kind that is
 * limited grants the names that start with one of its prefixes, so a limited
 * kind without prefixes grants nothing. The empty prefix matches everything.
 */
#ifndef PF_BROKER_GRANTS_H
#define PF_BROKER_GRANTS_H

#include "lib/buf.h"

enum grant {
	GRANT_KV_READ,
	GRANT_KV_WRITE,
	GRANT_BUS, /* names to emit */
	GRANT_ARTIFACTS,
	GRANT_DATA,
	GRANT_PROVIDERS, /* servers, see call_provider.c */
	GRANT_COUNT,
};

struct learn;

struct grants {
	struct learn *learn; /* notes what is used (learn.h), or NULL */
	struct grant_list {
		const struct slice *prefix; /* borrowed; the owner of the
					     * grants keeps them */
		size_t n;
		bool limited;
	} list[GRANT_COUNT];
};

/* NULL grants everything. */
bool grants_allow(const struct grants *g, enum grant kind, struct slice name);

/* The same for what is about to be done: if it may be, it is noted. */
bool grants_use(const struct grants *g, enum grant kind, struct slice name);

/* The list's prefixes as an array; nil when it is not limited. */
void grant_pack(const struct grant_list *list, struct buf *out);

/* "kv.read", "kv.write", "bus", "artifacts", "data", "providers". */
const char *grant_name(enum grant kind);

#endif
