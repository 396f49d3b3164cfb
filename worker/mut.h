/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mut: the mutations of one run, as calls come in, and their canonical form
 * at its end (PROTOCOL.md 3): the last set wins, set_url beats host, scheme,
 * path and query, cookies are folded into headers, ws.drop beats set_data.
 */
#ifndef PF_WORKER_MUT_H
#define PF_WORKER_MUT_H

#include "lib/buf.h"
#include "proto/ops.h"
#include "proto/proto.h"

struct lane;
struct lua_State;

/* What one run's mutations may come to; the rest of a message is for heads. */
enum { MUT_MAX_BYTES = PROTO_MAX_MESSAGE - (64 << 10) };

struct mut_header {
	enum op op; /* REQ_SET, REQ_ADD, REQ_DEL and RESP likewise */
	uint32_t hash;
	uint32_t name, name_len, value, value_len; /* in `bytes` */
	bool dead;
};

/* One a name and side. */
struct mut_cookie {
	bool resp, del;
	uint32_t name, name_len;
	uint32_t text, text_len; /* "name=value" or a Set-Cookie line */
};

struct mut {
	bool has[OP_COUNT];
	struct {
		uint32_t off, len;
	} last[OP_COUNT]; /* the argument of the last call, in `bytes` */
	int64_t status;
	struct buf bytes;
	struct buf headers; /* of struct mut_header */
	struct buf cookies; /* of struct mut_cookie */
	struct buf text;    /* scratch for cookies */
	uint32_t serial;    /* of the run: with globals that are kept, a mut
			       of an earlier run is dead */
	bool any;	    /* something was called in this run */
	bool keep;	    /* globals are kept */
	bool dirty;	    /* a script wrote into the tables themselves */
};

/* Once per lane. */
void mut_open(struct lane *l, bool keep);
void mut_close(struct mut *m);

/* A run begins; with kept globals its own `mut` goes into the environment on
 * top of L (else it is a global already). */
void mut_begin(struct lua_State *L, struct lane *l);

/* A run ended: what it wrote into the tables is undone. */
void mut_end(struct lane *l);

/* For struct vm_ops.fill. */
bool mut_fill(struct lua_State *L, int index);

/*
 * Append the ops of the run that just ended well, packed and in canonical
 * order. Returns how many, or an error when its cookies do not fit. What this
 * hook has no target for is left out.
 */
int mut_pack(struct lane *l, struct buf *out);

/* For the functions of `mut`: the mut of this call, or NULL when it belongs
 * to a run that is over; bytes kept, their offset; the error of a full one. */
struct mut *mut_of(struct lua_State *L);
uint32_t mut_keep(struct mut *m, struct slice s);
int mut_full(struct lua_State *L);

/* mut_cookie.c */
int mut_req_set_cookie(struct lua_State *L);
int mut_req_del_cookie(struct lua_State *L);
int mut_resp_set_cookie(struct lua_State *L);
int mut_resp_del_cookie(struct lua_State *L);

/* mut_pack.c: fold the cookies into header ops. As mut_header. */
int mut_fold_cookies(struct lane *l) must_check;

/* A header op of this run; name and value are copied. ERR_FULL: past
 * PROTO_MAX_OPS or PROTO_MAX_MESSAGE. */
int mut_header(struct mut *m, enum op op, struct slice name,
	       struct slice value) must_check;

static inline struct slice mut_slice(const struct mut *m, uint32_t off,
				     uint32_t len)
{
	return slice_of(m->bytes.p + off, len);
}

#endif
