/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctx: what a script reads of its event: the globals ctx, ws, err, opts,
 * event and config.
 *
 * ctx and the tables below it are real Lua tables that start empty; the
 * __index of their metatable finds the key in the event's bytes, decodes that
 * one value and, when it is asked for again, keeps it in the table. Writing to
 * them, and whatever needs the whole table (pairs, #, json.encode), first
 * makes an ordinary table of it (ctx_fill). Mutations of earlier scripts (ops)
 * lie over the event.
 *
 * All positions are offsets into the run's bytes, which may move once
 * (ctx_move) when the run first waits for something.
 */
#ifndef PF_WORKER_CTX_H
#define PF_WORKER_CTX_H

#include "proto/event.h"
#include "proto/unpack.h"
#include "worker/field.h"
#include "worker/headers.h"
#include "worker/vm.h"

struct lane;

enum view {
	VIEW_CTX,
	VIEW_REQ,
	VIEW_RESP,
	VIEW_WS,
	VIEW_REQ_HEADERS,
	VIEW_RESP_HEADERS,
	VIEW_CONFIG,
	VIEW_FILLED_HEADERS, /* an ordinary table, but any case will do */
	VIEW_DEAD,	     /* its event is over */
	VIEW_COUNT,
};

struct span {
	uint32_t off, len;
};

/* What the ops of earlier scripts come to. */
struct overlay {
	bool has[OP_COUNT];
	struct span last[OP_COUNT]; /* the argument of the last of each kind */
	int64_t status;
	bool headers[2]; /* any header op on req, resp */
	bool req, resp;	 /* any op on it */
};

struct ctx {
	const uint8_t *base;
	struct span event, ops, extra; /* extra.len 0: none */
	bool has_event;		       /* there is a ctx at all */
	struct fields root, req, resp, ws;
	struct headers headers[2]; /* of req, resp */
	struct overlay over;
	uint32_t seen[VIEW_COUNT]; /* fields asked for once, as bits */
	uint32_t kept[VIEW_COUNT]; /* fields put into the table */
	int meta[VIEW_COUNT];	   /* references to the metatables */
	const void *meta_p[VIEW_COUNT];
	bool keep;	    /* views are noted, so that ctx_end can end them */
	int views;	    /* reference to their table */
	bool config_dirty;  /* the global config was looked at or written */
	int own_config;	    /* while another one is lent: reference to it */
	struct buf scratch; /* text that is put together */
};

/* Make the metatables and what outlives runs, once per lane. `keep`: globals
 * are kept between runs, so views must end with their run. */
void ctx_open(struct lane *l, bool keep);
void ctx_close(struct ctx *c);

/*
 * A run begins: `event` is a map (or empty: hooks without one); `ops` and
 * `extra` may be empty. All three lie in one piece of memory that starts at
 * `base`. ERR_FORMAT: the bytes make no sense.
 */
int ctx_begin(struct ctx *c, const uint8_t *base, struct slice event,
	      struct slice ops, struct slice extra) must_check;

/* The bytes are at `base` now. */
void ctx_move(struct ctx *c, const uint8_t *base);

/* Put the globals of this hook into the environment on top of L. */
void ctx_globals(lua_State *L, struct lane *l);

/* The run is over: end the views that a script may have kept, take the
 * globals out of the environment that is kept (on top of L, or nothing). */
void ctx_end(lua_State *L, struct lane *l);

/* For struct vm_ops.fill. */
bool ctx_fill(lua_State *L, int index);

/* The header fields as this run sees them, read when first asked for. */
struct headers *ctx_headers(struct ctx *c, bool resp);

/* The maps req or resp, and ws; an empty one when the event has none. */
struct fields *ctx_side(struct ctx *c, bool resp);
struct fields *ctx_ws(struct ctx *c);

/* Raises when the heap is nearly full: before each entry of a table whose size
 * the client decides, so that the script fails and not its worker. */
void ctx_room(lua_State *L);

/* ctx_value.c: push the value of one field (not of body, data and text). */
void ctx_value_root(lua_State *L, struct lane *l, enum field f);
void ctx_value_req(lua_State *L, struct lane *l, enum field f);
void ctx_value_resp(lua_State *L, struct lane *l, enum field f);
void ctx_value_ws(lua_State *L, struct lane *l, enum field f);

/* Push a new table that is the view v of the present run. */
void ctx_push_view(lua_State *L, struct lane *l, enum view v);

/* ctx_body.c: push the value of a body field as one of a lazy table (at 1,
 * its key at 2), perhaps after calls: `return ctx_body_index(...)`. */
int ctx_body_index(lua_State *L, struct lane *l, enum body which);
/* Push it, waiting in place. */
void ctx_body_push(lua_State *L, struct lane *l, enum body which);
uint64_t ctx_body_length(struct lane *l, enum body which);

/* The bytes of a span; a span of bytes that lie behind base. */
static inline struct slice span_slice(const struct ctx *c, struct span s)
{
	return slice_of(c->base + s.off, s.len);
}

static inline struct span span_of(const struct ctx *c, struct slice s)
{
	return (struct span){s.n ? (uint32_t)(s.p - c->base) : 0,
			     (uint32_t)s.n};
}

/* The string that a found value is, or empty. */
static inline struct slice value_text(struct slice value)
{
	struct cursor c = cursor_of(value);

	return value.n ? cursor_text(&c) : value;
}

/* The value of a field of req or resp as it was sent; empty when absent. */
static inline struct slice ctx_find(struct ctx *c, bool resp, enum field f)
{
	return fields_find(ctx_side(c, resp), c->base, f);
}

static inline struct slice ctx_text(struct ctx *c, bool resp, enum field f)
{
	return value_text(ctx_find(c, resp, f));
}

#endif
