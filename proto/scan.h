/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan: where does the next MessagePack value end, and are its bounds sane?
 *
 * A bounded walk that can stop at any byte and be resumed when more have
 * arrived. It allocates nothing and believes no declared length: a length is
 * only ever compared with limits and with bytes that are there. Everything
 * that comes from a socket goes through here before any byte of it is used;
 * after that, unpack.h reads it without surprises.
 *
 * On the way it notes where the elements of the third level start: in a hook
 * request [0, id, method, [event]] these are the event's keys and values, so
 * that nobody has to walk the event again to find them.
 */
#ifndef PF_PROTO_SCAN_H
#define PF_PROTO_SCAN_H

#include "lib/err.h"
#include "lib/slice.h"

enum {
	SCAN_DEPTH = 32, /* nesting, PROTOCOL.md 1 */
	SCAN_MARKS = 40, /* third-level elements that are noted */
};

struct scan {
	size_t max; /* bytes one value may have */
	size_t at;  /* how far the walk is, from the value's first byte */
	uint32_t left[SCAN_DEPTH + 1]; /* elements still open, per level */
	uint8_t depth;
	bool begun;
	bool marks_lost; /* there were more than SCAN_MARKS */
	uint8_t nmarks;
	uint32_t mark[SCAN_MARKS]; /* offsets from the value's first byte */
};

void scan_init(struct scan *s, size_t max);

/*
 * Go on with the value that starts at bytes.p[0]; `bytes` holds all of it
 * that has arrived (the same start at every call, never fewer bytes).
 * Returns 1 and *len when the value is whole: the marks then stand until the
 * next call, and the next call begins a new value. 0: more bytes are needed.
 * ERR_RANGE: longer than max, or deeper than SCAN_DEPTH. ERR_FORMAT: the
 * reserved byte 0xc1, or more elements declared than max has bytes.
 */
int scan_next(struct scan *s, struct slice bytes, size_t *len) must_check;

/* One whole value and nothing behind it? */
bool scan_whole(struct slice value, size_t max);

#endif
