/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field: the key names of an event (PROTOCOL.md 3), as numbers, and an index
 * over one map of it that is built only as far as somebody asked.
 */
#ifndef PF_WORKER_FIELD_H
#define PF_WORKER_FIELD_H

#include "lib/slice.h"

enum field {
	FIELD_NONE, /* any other name */
	FIELD_ID,
	FIELD_SESSION_ID,
	FIELD_IS_FINISHED,
	FIELD_REQ,
	FIELD_RESP,
	FIELD_WS,
	FIELD_ERR,
	FIELD_OPTS,
	FIELD_PROTO,
	FIELD_HOST,
	FIELD_SCHEME,
	FIELD_METHOD,
	FIELD_PATH,
	FIELD_QUERY,
	FIELD_URL,
	FIELD_REMOTE_ADDR,
	FIELD_HEADERS,
	FIELD_COOKIES,
	FIELD_BODY,
	FIELD_CONTENT_LENGTH,
	FIELD_STATUS,
	FIELD_STATUS_CODE,
	FIELD_DIRECTION,
	FIELD_OPCODE,
	FIELD_OPCODE_NAME,
	FIELD_DATA,
	FIELD_TEXT,
	FIELD_TIMESTAMP,
	FIELD_COUNT,
};

enum field field_parse(struct slice name);
const char *field_name(enum field f); /* "" for FIELD_NONE */

/*
 * Where the values of one map stand, as offsets from a base that the caller
 * passes every time (the bytes may move, the offsets stay). Zeroed: not open.
 */
struct fields {
	uint32_t off[FIELD_COUNT]; /* 0: not met yet */
	uint32_t at, end;	   /* where the walk goes on; end of the map */
	uint32_t left;		   /* pairs not walked yet */
	bool open;
	bool skip; /* the value at `at` is still to be skipped */
	bool bad;  /* the bytes make no sense; nothing is found any more */
};

/* Begin with the map whose bytes are base[off..end). False: it is no map. */
bool fields_open(struct fields *f, const uint8_t *base, uint32_t off,
		 uint32_t end);

/* The value of a key: its bytes from there to the map's end; empty when the
 * key is absent. The first of several equal keys counts. */
struct slice fields_find(struct fields *f, const uint8_t *base,
			 enum field want);

#endif
