/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack: a cursor over MessagePack bytes that have passed a scan.
 *
 * Every read checks type and bounds; the first failure sticks in `error` and
 * every later read fails too and yields zero, so that a run of reads is
 * checked once. Slices that come out live as long as the bytes.
 */
#ifndef PF_PROTO_UNPACK_H
#define PF_PROTO_UNPACK_H

#include "lib/err.h"
#include "lib/slice.h"

enum cursor_type {
	CURSOR_END, /* no byte left, or an error */
	CURSOR_NIL,
	CURSOR_BOOL,
	CURSOR_INT,
	CURSOR_FLOAT,
	CURSOR_STR, /* str */
	CURSOR_BIN, /* bin */
	CURSOR_ARRAY,
	CURSOR_MAP,
	CURSOR_EXT,
};

struct cursor {
	const uint8_t *p, *end;
	int error; /* 0, ERR_TYPE or ERR_FORMAT */
};

static inline struct cursor cursor_of(struct slice bytes)
{
	return (struct cursor){bytes.p, bytes.n ? bytes.p + bytes.n : bytes.p,
			       0};
}

enum cursor_type cursor_peek(const struct cursor *c);

/* Each consumes one value (of a container: its header) when the type fits. */
uint32_t cursor_array(struct cursor *c);    /* elements that follow */
uint32_t cursor_map(struct cursor *c);	    /* pairs that follow */
struct slice cursor_text(struct cursor *c); /* str or bin */
int64_t cursor_int(struct cursor *c);	    /* ERR_TYPE outside int64 */
uint64_t cursor_uint(struct cursor *c);	    /* ERR_TYPE when negative */
double cursor_number(struct cursor *c);	    /* any int or float */
bool cursor_bool(struct cursor *c);
struct slice cursor_ext(struct cursor *c, int8_t *type);

/* Consumes a nil and says true; otherwise consumes nothing. */
bool cursor_nil(struct cursor *c);

/* The bytes of the next whole value, whatever it is. */
struct slice cursor_raw(struct cursor *c);
void cursor_skip(struct cursor *c);

/* The value of `key` in the map `value`, as raw bytes; false when `value` is
 * no map or lacks the key. The first of several equal keys counts. */
bool map_find(struct slice value, const char *key, struct slice *found);

/* The text (str or bin) under the key: empty when it is absent or no text. */
struct slice map_text(struct slice value, const char *key);

#endif
