/* SPDX-License-Identifier: Apache-2.0 */
/*
 * artifact_space: what artifact.c (reading), artifact_blob.c (blobs without a
 * name) and artifact_tx.c (names) share. Nobody else includes it.
 */
#ifndef PF_BROKER_ARTIFACT_SPACE_H
#define PF_BROKER_ARTIFACT_SPACE_H

#include "broker/artifact.h"
#include "broker/be.h"
#include "broker/name.h"
#include "lib/list.h"
#include "lib/map.h"

enum { ARTIFACT_NS_MAX = 32, ARTIFACT_META = 24 };

struct artifacts {
	struct store *store;
	struct artifact_options o;
	uint8_t prefix[ARTIFACT_NS_MAX + 2]; /* 'a' NS 0 */
	size_t prefix_n;
	struct map blobs;   /* id -> struct blob, all without a name */
	struct list doomed; /* of them, those to be removed, by due_ms */
	struct list owned;  /* and those that a run may still name */
	struct list queue;  /* transactions; the first one has its turn */
	uv_timer_t timer;   /* for the first of doomed */
	uint32_t refs;	    /* calls under way, and the timer */
	bool turn;	    /* the first of queue is being served */
	bool closing;
};

/* A blob without a name. */
struct blob {
	struct list node;
	uint64_t id, owner, size, due_ms;
	uint8_t key[8]; /* of the map */
	bool claimed;	/* a transaction is about to name it */
	bool orphan;	/* its owner is gone: doomed unless that names it */
	bool going;	/* its removal is under way */
};

struct artifact_key {
	size_t n;
	uint8_t b[ARTIFACT_NS_MAX + 2 + NAME_MAX_BYTES + 1];
};

static inline struct slice artifact_key_slice(const struct artifact_key *k)
{
	return slice_of(k->b, k->n);
}

void artifact_name_key(const struct artifacts *a, struct slice name,
		       struct artifact_key *out);
void artifact_chunk_key(uint64_t blob, uint64_t index,
			struct artifact_key *out);
void artifact_mark_key(uint64_t blob, struct artifact_key *out);

/* False when the record is damaged. */
bool artifact_meta(struct slice record, struct artifact_stat *out);

void artifact_ref(struct artifacts *a);
void artifact_unref(struct artifacts *a);

struct blob *artifact_blob(const struct artifacts *a, uint64_t id);
/* A blob lost its name, or never gets one: remove it after `wait_ms`. */
void artifact_doom(struct artifacts *a, uint64_t id, uint64_t size,
		   uint64_t wait_ms);
void artifact_blob_forget(struct artifacts *a, struct blob *b);
int artifact_sweep_start(struct artifacts *a) must_check;
void artifact_blobs_fini(struct artifacts *a);

#endif
