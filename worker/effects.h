/* SPDX-License-Identifier: Apache-2.0 */
/*
 * effects: what a run wants to have done when it ends well: kv writes, bus
 * events, artifact writes. Kept here, visible to the run's own reads, packed
 * at its end (proto/ops.h has the shapes), dropped when it fails.
 *
 * No Lua here; lib_kv.c, lib_bus.c and lib_artifacts.c use it.
 */
#ifndef PF_WORKER_EFFECTS_H
#define PF_WORKER_EFFECTS_H

#include "lib/buf.h"

enum effect_kind {
	EFFECT_KV_SET,
	EFFECT_KV_DELETE,
	EFFECT_EMIT,
	EFFECT_WRITE,
	EFFECT_DELETE,
	EFFECT_RENAME,
};

struct effect {
	enum effect_kind kind;
	uint32_t hash;	       /* of the key */
	uint32_t key, key_len; /* key, bus name, artifact name: in `bytes` */
	uint32_t value, value_len; /* value, packed data, new name */
	uint64_t number;	   /* ttl in ms, blob id */
	uint64_t size;		   /* of the blob */
};

/* Zeroed memory is a valid empty set. */
struct effects {
	size_t max, max_bytes; /* limits; 0: those of proto.h */
	struct buf bytes;
	struct buf list; /* of struct effect */
};

void effects_clear(struct effects *e); /* keeps some memory */
void effects_fini(struct effects *e);

static inline uint32_t effects_count(const struct effects *e)
{
	return (uint32_t)(e->list.n / sizeof(struct effect));
}

const struct effect *effects_at(const struct effects *e, uint32_t i);
struct slice effect_key(const struct effects *e, const struct effect *one);
struct slice effect_value(const struct effects *e, const struct effect *one);

/*
 * Each adds one effect (a second kv write of a key takes the place of the
 * first). ERR_FULL: PROTO_MAX_EFFECTS or PROTO_MAX_EFFECT_BYTES are reached;
 * nothing was added. ERR_NOMEM.
 */
int effects_kv_set(struct effects *e, struct slice key, struct slice value,
		   uint64_t ttl_ms) must_check;
int effects_kv_delete(struct effects *e, struct slice key) must_check;
int effects_emit(struct effects *e, struct slice name,
		 struct slice packed) must_check;
int effects_write(struct effects *e, struct slice name, uint64_t blob,
		  uint64_t size) must_check;
int effects_delete(struct effects *e, struct slice name) must_check;
int effects_rename(struct effects *e, struct slice from,
		   struct slice to) must_check;

/* The uncommitted write of a key, or NULL. */
const struct effect *effects_kv_find(const struct effects *e, struct slice key);

/*
 * Where an artifact of this name would be found. ARTIFACT_HERE: written by
 * this run, *blob and *size say where; ARTIFACT_GONE: deleted or renamed away
 * by this run; ARTIFACT_BROKER: ask the broker for `*name`, which may be
 * another name by now (a rename). *name is replaced by bytes that live in `e`
 * or in `scratch`.
 */
enum artifact_where { ARTIFACT_HERE, ARTIFACT_GONE, ARTIFACT_BROKER };
enum artifact_where effects_artifact(const struct effects *e,
				     struct slice *name, struct buf *scratch,
				     uint64_t *blob, uint64_t *size);

/* Append all effects, packed. */
void effects_pack(const struct effects *e, struct buf *out);

#endif
