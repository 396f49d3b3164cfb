/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: the connection's state: bytes in, bytes out, unanswered calls.
 *
 * Not here: sockets (blocking.c), what a result says (result.c). Start at
 * pf_next(). A call's id is its slot's number plus a count of the slot's
 * uses, so that an answer is found without a search and an old one is told
 * from a new one.
 */
#include <stdlib.h>

#include "clients/c/client.h"
#include "proto/pack.h"

enum {
	SLOT_BITS = 12,
	SLOTS_MAX = 1 << SLOT_BITS,
	KEEP = 64 << 10, /* of a buffer's memory when it is empty */
	LEAST = 1024,	 /* of max_message */
	HEAD = 64,	 /* an envelope without its method and values */
};

static size_t or_default(size_t v, size_t otherwise)
{
	return v ? v : otherwise;
}

struct pf_client *pf_new(const struct pf_options *options)
{
	struct pf_options o = options ? *options : (struct pf_options){0};
	struct pf_client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->max_in = or_default(o.max_message, PROTO_MAX_MESSAGE);
	if (c->max_in < LEAST)
		c->max_in = LEAST;
	c->max_message = c->max_in;
	c->max_output = or_default(o.max_output, 2 * (size_t)PROTO_MAX_MESSAGE);
	c->nslots = o.max_inflight ? o.max_inflight : PROTO_MAX_INFLIGHT;
	if (c->nslots > SLOTS_MAX)
		c->nslots = SLOTS_MAX;
	c->may_inflight = c->nslots;
	c->inline_body = SIZE_MAX;
	c->slots = calloc(c->nslots, sizeof(*c->slots));
	if (!c->slots) {
		free(c);
		return NULL;
	}
	for (uint32_t i = 0; i < c->nslots; i++)
		c->slots[i].next = i + 1;
	scan_init(&c->scan, c->max_in);
	return c;
}

void pf_free(struct pf_client *c)
{
	if (!c)
		return;
	buf_fini(&c->in);
	buf_fini(&c->out);
	buf_fini(&c->hooks);
	free(c->slots);
	free(c);
}

int pf_feed(struct pf_client *c, const void *bytes, size_t n)
{
	size_t unread = c->in.n - c->in_at;

	if (c->error)
		return c->error;
	if (unread > c->max_in)
		return ERR_FULL;
	if (unread == 0)
		buf_reset(&c->in, KEEP);
	else
		buf_consume(&c->in, c->in_at);
	c->in_at = 0;
	buf_add(&c->in, bytes, n);
	if (buf_error(&c->in))
		c->error = ERR_NOMEM;
	return c->error;
}

struct slice pf_output(const struct pf_client *c)
{
	if (c->out_at == c->out.n)
		return slice_of(NULL, 0);
	return slice_of(c->out.p + c->out_at, c->out.n - c->out_at);
}

void pf_sent(struct pf_client *c, size_t n)
{
	must(n <= c->out.n - c->out_at);
	c->out_at += n;
	if (c->out_at == c->out.n) {
		buf_reset(&c->out, KEEP);
		c->out_at = 0;
	}
}

/* May a message with `n` bytes of values be written? Tidies the buffer. */
static int may_write(struct pf_client *c, size_t n)
{
	if (c->error)
		return c->error;
	if (n > c->max_message - HEAD)
		return ERR_RANGE;
	if (c->out.n - c->out_at + n + HEAD > c->max_output)
		return ERR_FULL;
	if (c->out_at > c->out.n / 2) {
		buf_consume(&c->out, c->out_at);
		c->out_at = 0;
	}
	return 0;
}

/* Take back everything from `before` on if it could not be written whole. */
static int written(struct pf_client *c, size_t before)
{
	if (!buf_error(&c->out))
		return 0;
	c->out.error = 0;
	c->out.n = before;
	return ERR_NOMEM;
}

static uint32_t id_of(const struct pf_client *c, uint32_t slot)
{
	return c->slots[slot].uses << SLOT_BITS | slot;
}

static struct slot *find(const struct pf_client *c, uint32_t id)
{
	uint32_t i = id & (SLOTS_MAX - 1);

	if (i >= c->nslots || c->slots[i].state == SLOT_FREE ||
	    id_of(c, i) != id)
		return NULL;
	return &c->slots[i];
}

static void release(struct pf_client *c, struct slot *slot)
{
	slot->state = SLOT_FREE;
	slot->uses++;
	slot->next = c->free;
	c->free = (uint32_t)(slot - c->slots);
	c->used--;
}

int pf_call(struct pf_client *c, const char *method, struct pf_args args,
	    void *tag, uint32_t *id)
{
	uint32_t i = c->free;
	size_t before;
	int rc = may_write(c, strlen(method) + args.packed.n);

	if (rc < 0)
		return rc;
	if (i == c->nslots || c->used >= c->may_inflight)
		return ERR_FULL;
	before = c->out.n;
	rpc_request(&c->out, id_of(c, i), method, args.n);
	pack_raw(&c->out, args.packed);
	rc = written(c, before);
	if (rc < 0)
		return rc;
	c->free = c->slots[i].next;
	c->slots[i].state = SLOT_WAITS;
	c->slots[i].tag = tag;
	c->used++;
	if (id)
		*id = id_of(c, i);
	return 0;
}

int pf_notify(struct pf_client *c, const char *method, struct pf_args args)
{
	size_t before;
	int rc = may_write(c, strlen(method) + args.packed.n);

	if (rc < 0)
		return rc;
	before = c->out.n;
	rpc_notification(&c->out, method, args.n);
	pack_raw(&c->out, args.packed);
	return written(c, before);
}

void pf_forget(struct pf_client *c, uint32_t id)
{
	struct slot *slot = find(c, id);

	if (!slot || slot->state == SLOT_FORGOTTEN)
		return;
	slot->state = SLOT_FORGOTTEN;
	slot->tag = NULL;
	c->forgotten++;
}

void *pf_tag(const struct pf_client *c, uint32_t id)
{
	const struct slot *slot = find(c, id);

	return slot ? slot->tag : NULL;
}

uint32_t pf_unanswered(const struct pf_client *c)
{
	return c->used - c->forgotten;
}

int pf_answer(struct pf_client *c, uint32_t id, struct slice value)
{
	int rc = may_write(c, value.n);
	size_t before;

	if (rc < 0)
		return rc;
	before = c->out.n;
	rpc_result(&c->out, id);
	pack_raw(&c->out, value);
	return written(c, before);
}

int pf_answer_bytes(struct pf_client *c, uint32_t id, struct slice bytes)
{
	int rc = may_write(c, bytes.n);
	size_t before;

	if (rc < 0)
		return rc;
	before = c->out.n;
	rpc_result(&c->out, id);
	pack_bin(&c->out, bytes);
	return written(c, before);
}

int pf_refuse(struct pf_client *c, uint32_t id, enum code code,
	      const char *message)
{
	int rc = may_write(c, strlen(message));
	size_t before;

	if (rc < 0)
		return rc;
	before = c->out.n;
	rpc_failure(&c->out, id);
	pack_map(&c->out, 2);
	pack_cstr(&c->out, "code");
	pack_cstr(&c->out, code_name(code));
	pack_cstr(&c->out, "message");
	pack_text(&c->out, slice_str(message));
	rpc_failure_end(&c->out);
	return written(c, before);
}

/* 1: it is for the caller; 0: an answer nobody wants any more. */
static int on_response(struct pf_client *c, const struct rpc *rpc,
		       struct pf_item *item)
{
	struct slot *slot = find(c, rpc->id);
	bool hello = c->hello_asked && rpc->id == c->hello_id;
	bool wanted;

	if (!slot)
		return ERR_FORMAT; /* nobody asked */
	if (hello && !rpc->failed)
		pf_learn_hello(c, rpc->result);
	if (hello)
		c->hello_asked = false;
	wanted = slot->state == SLOT_WAITS;
	c->forgotten -= !wanted;
	*item = (struct pf_item){
		.kind = rpc->failed ? PF_ERROR : PF_RESULT,
		.id = rpc->id,
		.tag = slot->tag,
		.result = rpc->failed ? slice_of(NULL, 0) : rpc->result,
	};
	release(c, slot);
	if (rpc->failed)
		pf_error_read(rpc->error, &item->error);
	return wanted;
}

static int on_message(struct pf_client *c, struct slice msg,
		      struct pf_item *item)
{
	struct rpc rpc;
	int rc = rpc_decode(msg, &rpc);
	struct cursor values;

	if (rc < 0)
		return rc;
	if (rpc.type == RPC_RESPONSE)
		return on_response(c, &rpc, item);
	values = cursor_of(rpc.params);
	(void)cursor_array(&values);
	*item = (struct pf_item){
		.kind = rpc.type == RPC_REQUEST ? PF_REQUEST : PF_NOTIFICATION,
		.id = rpc.id,
		.method = rpc.method,
		.params = {rpc.nparams,
			   slice_of(values.p, (size_t)(values.end - values.p))},
	};
	if (rpc.type == RPC_NOTIFICATION && slice_is(rpc.method, "hooks") &&
	    rpc.nparams > 0)
		pf_learn_hooks(c, cursor_raw(&values));
	return 1;
}

int pf_next(struct pf_client *c, struct pf_item *item)
{
	while (!c->error && c->in_at < c->in.n) {
		struct slice rest =
			slice_of(c->in.p + c->in_at, c->in.n - c->in_at);
		size_t len = 0;
		int rc = scan_next(&c->scan, rest, &len);

		if (rc == 0)
			return 0;
		if (rc > 0) {
			c->in_at += len;
			rc = on_message(c, slice_of(rest.p, len), item);
		}
		if (rc > 0)
			return 1;
		if (rc < 0)
			c->error = rc;
	}
	return c->error;
}
