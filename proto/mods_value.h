/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mods_value: the walk over one modifier's value. For mods.c.
 */
#ifndef PF_PROTO_MODS_VALUE_H
#define PF_PROTO_MODS_VALUE_H

#include "lib/buf.h"
#include "proto/unpack.h"

enum mods_kind {
	MODS_NONE,
	MODS_BOOL,
	MODS_INT,    /* any integer: -1 often means without limit */
	MODS_U32,    /* 0..2^32-1 */
	MODS_BYTE,   /* 0..255 */
	MODS_QOS,    /* 0..2 */
	MODS_TEXT,   /* any bytes */
	MODS_TOPIC,  /* to publish to: no wildcards */
	MODS_FORMAT, /* "utf8" or "undefined" */
	MODS_USER,   /* array of maps of one text */
	MODS_MAP,
	MODS_FILTER, /* to subscribe to */
	MODS_FILTERS,
	MODS_SUBSCRIPTIONS,    /* array of [filter, qos or 128] */
	MODS_SUBSCRIPTIONS_M5, /* and qos may be 128..255, or [qos, options] */
	MODS_HANDLING,	       /* when retained messages are sent */
	MODS_IDS,	       /* an integer or an array of them */
};

struct mods_map;

struct mods_key {
	const char *name;
	enum mods_kind kind;
	bool required;
	const struct mods_map *map; /* MODS_MAP */
};

struct mods_map {
	const struct mods_key *keys;
	size_t n;
};

/* `error` and `why` are about the first mistake. */
struct mods_walk {
	struct cursor c;
	struct buf *out;  /* NULL: check only, no floats for integers */
	struct buf *why;  /* NULL: nobody asks */
	const char *name; /* of the modifier that is walked */
	int error;
};

/* Notes the mistake, if it is the first; ERR_TYPE. */
int mods_fail(struct mods_walk *w, const char *what);

/* The next value; mistakes are in w->error. */
void mods_walk_value(struct mods_walk *w, enum mods_kind kind,
		     const struct mods_map *map);

/* A map with these keys. An empty array is an empty map, as Lua has one kind
 * of empty table; `filled`: it must not be empty. */
void mods_walk_map(struct mods_walk *w, const struct mods_map *map,
		   bool filled);

#endif
