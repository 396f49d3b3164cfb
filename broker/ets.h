/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ets: tables in memory that scripts of the MQTT dialect share: a name, and
 * under each key one value or several, which are packed bytes that nobody
 * here looks into. They end with the broker, or with the script that made
 * them.
 */
#ifndef PF_BROKER_ETS_H
#define PF_BROKER_ETS_H

#include "lib/buf.h"
#include "lib/slice.h"

enum ets_type {
	ETS_SET,	   /* one value a key */
	ETS_ORDERED_SET,   /* likewise: order shows in nothing yet */
	ETS_BAG,	   /* several values, each once */
	ETS_DUPLICATE_BAG, /* several */
	ETS_TYPES,
};

enum {
	ETS_NAME = 1024, /* bytes of a table's name at most */
	ETS_KEY = 65535, /* of a key */
	ETS_DEPTH = 16,	 /* nesting of a value */
};

enum ets_type ets_type_parse(struct slice name); /* ETS_TYPES: unknown */

struct ets;

/* max_bytes: of all tables together, keys, values and what keeps them. */
int ets_new(size_t max_bytes, struct ets **out) must_check;
void ets_free(struct ets *e); /* NULL is fine */

/* There is a table of that name now; one that was there stays as it is, of
 * whatever type. `owner` is the script that made it. ERR_RANGE: the name is
 * empty or too long. ERR_FULL, ERR_NOMEM. */
int ets_ensure(struct ets *e, struct slice name, enum ets_type type,
	       struct slice owner) must_check;

/* Tables that `owner` made go. */
void ets_forget(struct ets *e, struct slice owner);

/*
 * `map` is a raw map from keys to values: all of it goes in, or nothing.
 * ERR_ABSENT: no such table. ERR_TYPE: not a map of text keys, or an empty
 * one. ERR_RANGE: a key or a value is too long or too deep. ERR_FULL: over
 * max_bytes, as if nothing were replaced. ERR_NOMEM, after which a part of it
 * may be in.
 */
int ets_insert(struct ets *e, struct slice name, struct slice map) must_check;

/* The same when none of the keys is there (1), else nothing (0). */
int ets_insert_new(struct ets *e, struct slice name,
		   struct slice map) must_check;

/* Append the array of values of a key, oldest first. ERR_ABSENT: no such
 * table; ERR_RANGE: they are too many bytes for an answer; ERR_NOMEM. */
int ets_lookup(struct ets *e, struct slice name, struct slice key,
	       struct buf *out) must_check;

/* ERR_ABSENT: no such table. */
int ets_delete(struct ets *e, struct slice name, struct slice key) must_check;
int ets_delete_all(struct ets *e, struct slice name) must_check;

struct ets_counts {
	size_t tables, values, bytes, max_bytes;
};
void ets_count(const struct ets *e, struct ets_counts *out);

#endif
