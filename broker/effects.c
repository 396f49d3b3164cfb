/* SPDX-License-Identifier: Apache-2.0 */
/*
 * effects: from a worker's bytes to one batch. Start at effects_apply().
 * Checking comes first, completely; then a batch is built in one go on the
 * loop. Only names of artifacts have to be asked about before: artifact_tx.c
 * does that and calls on_ready().
 */
#include "broker/effects.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/proto.h"

/* The grant that an effect needs for its name. */
static const enum grant needs[EFFECT_COUNT] = {
	[EFFECT_KV_SET] = GRANT_KV_WRITE,
	[EFFECT_KV_DELETE] = GRANT_KV_WRITE,
	[EFFECT_BUS_EMIT] = GRANT_BUS,
	[EFFECT_ARTIFACT_WRITE] = GRANT_ARTIFACTS,
	[EFFECT_ARTIFACT_DELETE] = GRANT_ARTIFACTS,
	[EFFECT_ARTIFACT_RENAME] = GRANT_ARTIFACTS,
};

/* One commit under way; made only when it has to outlive the call. */
struct commit {
	struct effects_ctx ctx;
	struct bus_tx bus;
	struct artifact_tx *artifacts;
	void (*cb)(void *arg, int status);
	void *arg;
	uint32_t hops;
	struct slice script;
	struct slice seq; /* both in bytes when artifacts make it wait */
	struct buf bytes;
};

static void commit_free(struct commit *c)
{
	kv_unref(c->ctx.kv);
	bus_unref(c->ctx.bus);
	buf_fini(&c->bytes);
	free(c);
}

static bool is_artifact(enum effect effect)
{
	return effect >= EFFECT_ARTIFACT_WRITE;
}

static int explain(const struct effects_run *run, const struct effect_view *e,
		   int r)
{
	/* The name is a stranger's: only its printable start. */
	char name[41];
	size_t n = 0;

	if (!run->what)
		return r;
	for (; n < e->name.n && n < sizeof(name) - 1; n++) {
		uint8_t c = e->name.p[n];

		name[n] = c >= 0x20 && c < 0x7f ? (char)c : '?';
	}
	name[n] = 0;
	snprintf(run->what, EFFECTS_WHAT, "%s %s", effect_name(e->effect),
		 name);
	return r;
}

static int allowed(const struct effects_ctx *ctx, const struct effects_run *run,
		   const struct effect_view *e)
{
	enum grant kind = needs[e->effect];

	if (!grants_use(run->grants, kind, e->name))
		return ERR_DENIED;
	if (e->effect == EFFECT_ARTIFACT_RENAME &&
	    !grants_use(run->grants, kind, e->value))
		return ERR_DENIED;
	if (kind == GRANT_KV_WRITE && !kv_key_ok(ctx->kv, e->name))
		return ERR_RANGE;
	if (e->effect == EFFECT_KV_SET && !kv_value_ok(ctx->kv, e->value))
		return ERR_RANGE;
	return OK;
}

/* All of them well formed and allowed; *nartifacts are about artifacts. */
static int examine(const struct effects_ctx *ctx, const struct effects_run *run,
		   struct slice seq, size_t *nartifacts)
{
	struct effects_walk walk = {.seq = seq,
				    .max = ctx->max_effects,
				    .max_bytes = ctx->max_bytes};
	struct effect_view e;
	int r;

	*nartifacts = 0;
	while ((r = effects_walk(&walk, &e)) > 0) {
		*nartifacts += is_artifact(e.effect);
		r = allowed(ctx, run, &e);
		if (r < 0)
			break;
	}
	return r < 0 ? explain(run, &e, r) : OK;
}

int effects_examine(const struct effects_ctx *ctx,
		    const struct effects_run *run, struct slice seq)
{
	size_t nartifacts;

	return examine(ctx, run, seq, &nartifacts);
}

static int add_one(struct commit *c, struct store_batch *b,
		   const struct effect_view *e)
{
	struct bus_event event = {.name = e->name,
				  .from = c->script,
				  .data = e->value,
				  .hops = c->hops};

	switch (e->effect) {
	case EFFECT_KV_SET:
		return kv_set(c->ctx.kv, b, e->name, e->value, e->ttl_ms);
	case EFFECT_KV_DELETE:
		return kv_delete(c->ctx.kv, b, e->name);
	case EFFECT_BUS_EMIT:
		return bus_add(c->ctx.bus, &c->bus, b, &event);
	default:
		return OK;
	}
}

static void on_applied(void *arg, int status)
{
	struct commit *c = arg;

	if (c->artifacts)
		artifact_tx_end(c->artifacts, status);
	bus_commit(c->ctx.bus, &c->bus, status);
	c->cb(c->arg, status);
	commit_free(c);
}

/* Builds the batch and applies it. An error leaves c to the caller. */
static int apply(struct commit *c)
{
	struct store_batch *b = store_batch_new();
	struct effect_view e;
	size_t at = 0;
	int r = b ? OK : ERR_NOMEM;

	while (r == OK && effects_next(c->seq, &at, &e) > 0)
		r = add_one(c, b, &e);
	if (r < 0) {
		store_batch_free(b);
	} else {
		if (c->artifacts)
			artifact_tx_fill(c->artifacts, b);
		r = store_apply(c->ctx.store, b, on_applied, c);
	}
	if (r < 0)
		bus_commit(c->ctx.bus, &c->bus, r);
	return r;
}

static void on_ready(void *arg, int status, struct artifact_tx *tx)
{
	struct commit *c = arg;

	if (status == OK) {
		c->artifacts = tx;
		status = apply(c);
		if (status < 0)
			artifact_tx_end(tx, status);
	}
	if (status < 0) {
		c->cb(c->arg, status);
		commit_free(c);
	}
}

static void as_op(const struct effect_view *e, struct artifact_op *op)
{
	op->name = e->name;
	op->kind = ARTIFACT_DELETE;
	if (e->effect == EFFECT_ARTIFACT_WRITE) {
		op->kind = ARTIFACT_WRITE;
		op->blob = e->blob;
		op->size = e->size;
	} else if (e->effect == EFFECT_ARTIFACT_RENAME) {
		op->kind = ARTIFACT_RENAME;
		op->to = e->value;
	}
}

/* Ask about names first; the sequence has to be kept until they are known. */
static int begin(struct commit *c, const struct effects_run *run, size_t n)
{
	struct artifact_op *op = calloc(n, sizeof(*op));
	struct artifact_ops ops = {run->owner, op, n};
	struct effect_view e;
	size_t at = 0, i = 0;
	int r;

	if (!op)
		return ERR_NOMEM;
	while (effects_next(c->seq, &at, &e) > 0)
		if (is_artifact(e.effect))
			as_op(&e, &op[i++]);
	must(i == n);
	buf_add_slice(&c->bytes, c->seq);
	buf_add_slice(&c->bytes, c->script);
	r = buf_error(&c->bytes);
	if (r == OK) {
		c->seq.p = c->bytes.p;
		c->script.p = c->bytes.p + c->seq.n;
		r = artifact_begin(c->ctx.artifacts, &ops, on_ready, c);
	}
	if (r == ERR_FORMAT && run->what)
		snprintf(run->what, EFFECTS_WHAT,
			 "artifact.write of a blob that is not the run's");
	free(op);
	return r;
}

int effects_apply(const struct effects_ctx *ctx, const struct effects_run *run,
		  struct slice seq, void (*cb)(void *arg, int status),
		  void *arg)
{
	struct commit *c;
	size_t n;
	int r;

	r = examine(ctx, run, seq, &n);
	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	c->ctx = *ctx;
	c->cb = cb;
	c->arg = arg;
	c->hops = run->hops;
	c->script = run->script;
	c->seq = seq;
	kv_ref(ctx->kv);
	bus_ref(ctx->bus);
	bus_tx_init(&c->bus);
	r = n ? begin(c, run, n) : apply(c);
	if (r < 0)
		commit_free(c);
	return r;
}
