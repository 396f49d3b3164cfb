/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event: lazy access to the map that a proxy sends with a hook
 * (PROTOCOL.md 3). Nothing is decoded that nobody asks for.
 */
#ifndef PF_PROTO_EVENT_H
#define PF_PROTO_EVENT_H

#include "lib/buf.h"
#include "proto/scan.h"

/* Bodies that may be kept elsewhere. The words travel in body.get. */
enum body {
	BODY_REQ,  /* "req.body" */
	BODY_RESP, /* "resp.body" */
	BODY_WS,   /* "ws.data" */
	BODY_COUNT,
};

const char *body_name(enum body body);
enum body body_parse(struct slice name); /* BODY_COUNT when unknown */

/* What the broker itself needs of an event; slices point into it. */
struct event_head {
	struct slice id;	  /* empty when absent */
	struct slice traceparent; /* empty when absent */
	int64_t deadline_ms;	  /* -1 when absent */
};

/*
 * `event` is the raw map; `marks` are what the scan of the message that holds
 * it noted (offsets from `base`), or NULL to walk. ERR_TYPE: not a map, or a
 * key of the wrong type.
 */
int event_head(struct slice event, const uint8_t *base,
	       const struct scan *marks, struct event_head *out) must_check;

/*
 * The bodies of an event: for each, where its value stands. `inline_` is the
 * content when it is there; `lazy_len` its length when it is an extension;
 * absent: both zero and `value` empty.
 */
struct event_bodies {
	struct {
		struct slice value; /* raw bytes of the MessagePack value */
		struct slice inline_;
		uint64_t lazy_len;
		bool lazy;
	} body[BODY_COUNT];
};

int event_bodies(struct slice event, struct event_bodies *out) must_check;

/*
 * The event as a worker gets it: every inline body above `limit` bytes is
 * replaced by an extension of type 1. Nothing else changes. Appends to `out`.
 */
void event_trim(struct slice event, const struct event_bodies *bodies,
		size_t limit, struct buf *out);

#endif
