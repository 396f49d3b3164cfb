/* SPDX-License-Identifier: Apache-2.0 */
/*
 * effects: what a run wants to have done (proto/ops.h has the shapes), checked
 * and committed in one atomic batch.
 *
 * A worker is trusted in nothing: the sequence is walked with its bounds
 * before anything of it is used.
 */
#ifndef PF_BROKER_EFFECTS_H
#define PF_BROKER_EFFECTS_H

#include "broker/artifact.h"
#include "broker/bus.h"
#include "broker/grants.h"
#include "broker/kv.h"

enum {
	EFFECTS_DATA_DEPTH = 16, /* of what is emitted on the bus */
	EFFECTS_WHAT = 128,
	EFFECTS_PACKING = 64, /* bytes that packing adds to an effect at most */
};

/* Where effects go: one per dialect. */
struct effects_ctx {
	struct store *store;
	struct kv *kv;
	struct bus *bus;
	struct artifacts *artifacts;
	uint64_t max_effects, max_bytes; /* of one run; 0: those of proto.h */
};

/* The run that they come from; borrowed for the call only. */
struct effects_run {
	struct slice script;
	const struct grants *grants; /* NULL: everything */
	uint64_t owner;		     /* of its blobs (artifact.h), not 0 */
	uint32_t hops; /* 0; for a run that a bus event started: the
			* event's hops + 1 */
	char *what;    /* NULL, or EFFECTS_WHAT bytes: on ERR_DENIED, ERR_RANGE
			* and ERR_FORMAT which effect it was, for a message */
};

enum effect {
	EFFECT_KV_SET,
	EFFECT_KV_DELETE,
	EFFECT_BUS_EMIT,
	EFFECT_ARTIFACT_WRITE,
	EFFECT_ARTIFACT_DELETE,
	EFFECT_ARTIFACT_RENAME,
	EFFECT_COUNT,
};

/* A decoded effect; slices point into the sequence. */
struct effect_view {
	enum effect effect;
	struct slice name;  /* key, event name, artifact name */
	struct slice value; /* value, data (raw), new name */
	uint64_t ttl_ms, blob, size;
};

/*
 * The next effect at *at in `seq`: 1, 0 at the end, ERR_FORMAT. Checks shape
 * and types, that names of artifacts are clean, and that what is emitted is
 * at most EFFECTS_DATA_DEPTH deep, has no extension and no str that is not
 * UTF-8.
 */
int effects_next(struct slice seq, size_t *at,
		 struct effect_view *out) must_check;

/* A walk over what is not known to be within the limits. */
struct effects_walk {
	struct slice seq;
	uint64_t max, max_bytes; /* as in effects_ctx */
	uint64_t n;		 /* how many there were so far */
	size_t at;
};

/*
 * As effects_next(), but ERR_FORMAT also when there are too many or they have
 * too many bytes. The worker counts keys and values only: EFFECTS_PACKING is
 * allowed for each on top of max_bytes.
 */
int effects_walk(struct effects_walk *w, struct effect_view *out) must_check;

const char *effect_name(enum effect effect);

/* What effects_apply() would refuse at once, but for a lack of room or memory:
 * ERR_FORMAT, ERR_DENIED, ERR_RANGE, or OK. */
int effects_examine(const struct effects_ctx *ctx,
		    const struct effects_run *run, struct slice seq) must_check;

/*
 * Commit all of `seq`, or nothing. The callback's status: OK, ERR_FULL,
 * ERR_CONFLICT (a rename whose names have changed), ERR_IO and what else the
 * store tells. Refused at once:
 *   ERR_FORMAT  malformed: kill the worker
 *   ERR_DENIED  a grant is missing
 *   ERR_RANGE   a key or value is over the configured limit
 *   ERR_FULL, ERR_CLOSED, ERR_NOMEM
 * Blobs that were put and not named stay the caller's to drop
 * (artifact_drop_owner()). `seq` is borrowed for the call only. An empty one
 * is fine. Events on the bus are delivered before the callback.
 */
int effects_apply(const struct effects_ctx *ctx, const struct effects_run *run,
		  struct slice seq, void (*cb)(void *arg, int status),
		  void *arg) must_check;

#endif
