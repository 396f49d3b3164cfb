/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops: the mutations that scripts make, and the effects of a run.
 *
 * An op is one MessagePack array [name, args...]; ops travel between broker
 * and worker as a plain sequence of such arrays inside one bin, so that they
 * can be appended without being read. Effects likewise.
 *
 * Effects of a run (worker -> broker):
 *   ["kv.set", key, value, ttl_ms]      ttl_ms 0: none
 *   ["kv.delete", key]
 *   ["bus.emit", name, data]            data: any value, depth <= 16
 *   ["artifact.write", name, blob, size] blob: what artifact.put answered
 *   ["artifact.delete", name]
 *   ["artifact.rename", old, new]
 */
#ifndef PF_PROTO_OPS_H
#define PF_PROTO_OPS_H

#include "lib/err.h"
#include "lib/slice.h"

enum op {
	OP_REQ_SET_HOST,
	OP_REQ_SET_SCHEME,
	OP_REQ_SET_METHOD,
	OP_REQ_SET_PATH,
	OP_REQ_SET_QUERY,
	OP_REQ_SET_URL,
	OP_REQ_SET_BODY,
	OP_REQ_SET_HEADER,
	OP_REQ_ADD_HEADER,
	OP_REQ_DEL_HEADER,
	OP_RESP_SET_STATUS,
	OP_RESP_SET_BODY,
	OP_RESP_SET_HEADER,
	OP_RESP_ADD_HEADER,
	OP_RESP_DEL_HEADER,
	OP_WS_SET_DATA,
	OP_WS_DROP,
	OP_CTX_SET_FINISH,
	OP_COUNT,
};

struct op_info {
	const char *name;
	size_t len;	  /* of name */
	const char *args; /* one letter each: s string, n header name,
			     v header value, b bytes, i status 100..999 */
};

extern const struct op_info op_table[OP_COUNT];

enum op op_parse(struct slice name); /* OP_COUNT when unknown */

/* A decoded op; slices point into the bytes. */
struct op_view {
	enum op op;
	struct slice a, b; /* up to two string arguments */
	int64_t i;	   /* the status */
};

struct cursor;

/* The next op of a sequence. 1, 0 at the end, ERR_FORMAT, ERR_TYPE. */
int ops_next(struct cursor *c, struct op_view *out) must_check;

/*
 * All ops of a sequence that came from a worker are well formed: known names,
 * right types, header names that are tokens, values without CR, LF or NUL,
 * a status of 100..999, valid UTF-8 wherever it says str, at most
 * PROTO_MAX_OPS. *n: how many; *finish: one of them is ctx.set_finish.
 */
int ops_check(struct slice seq, uint32_t *n, bool *finish) must_check;

/* A header name: one or more token characters (RFC 9110 5.6.2). */
bool header_name_ok(struct slice name);

/* A header value: no CR, LF, NUL. */
bool header_value_ok(struct slice value);

/* Names of header fields compare without case (ASCII). */
bool header_name_eq(struct slice a, struct slice b);

#endif
