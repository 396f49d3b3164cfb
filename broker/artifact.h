/* SPDX-License-Identifier: Apache-2.0 */
/*
 * artifact: named files that scripts leave behind. Content goes ahead of its
 * name: artifact_put() appends chunks to a blob that nobody can see, and an
 * effect of the run gives the blob its name, together with all else that the
 * run did, or never.
 *
 * In the store:
 *   'a' NS 0 NAME        -> u64be blob, u64be size, u64be mtime (ms)
 *   'c' u64be BLOB u64be INDEX -> a chunk; all but the last have 1 MiB
 *   'p' u64be BLOB       -> u64be size: a blob without a name
 * The account counts content from the moment it is put. A blob that loses its
 * name keeps its content for a grace, for readers that have begun; whatever
 * still has no name when the broker starts is removed.
 *
 * Names are flat: "d/x" makes "d" a directory as far as stat tells. Names
 * must pass name_ok(): ERR_FORMAT otherwise. Callback law of store.h.
 */
#ifndef PF_BROKER_ARTIFACT_H
#define PF_BROKER_ARTIFACT_H

#include "broker/store.h"

enum {
	ARTIFACT_CHUNK = 1 << 20,
	ARTIFACT_GRACE_MS = 30 * 1000,
	ARTIFACT_BLOBS = 1000, /* without a name, of one owner */
};

struct artifacts;

/* Zero means the default. */
struct artifact_options {
	const char *ns; /* "http" */
	uint8_t account;
	uint64_t max_bytes; /* of one; 64 MiB */
	uint32_t list_rows; /* 10,000 */
	uint64_t grace_ms;  /* ARTIFACT_GRACE_MS; tests set it */
};

/* `store` must outlive it. ERR_NOMEM, or what the sweep's start met. */
int artifact_open(struct artifacts **out, struct store *store,
		  const struct artifact_options *options) must_check;

/* Calls under way still end with their callbacks. Before store_close(). */
void artifact_close(struct artifacts *a);

struct artifact_stat {
	bool dir; /* no such file, but some name lies below; the rest is 0 */
	uint64_t blob, size, mtime_ms;
};

/* ERR_ABSENT. */
int artifact_stat(struct artifacts *a, struct slice name,
		  void (*cb)(void *arg, int status,
			     const struct artifact_stat *stat),
		  void *arg) must_check;

/* All names, sorted; they live until the callback returns. ERR_RANGE when
 * there are more than list_rows. */
int artifact_list(struct artifacts *a,
		  void (*cb)(void *arg, int status, const struct slice *name,
			     size_t n),
		  void *arg) must_check;

/*
 * Up to `length` (at most 1 MiB, ERR_RANGE) bytes of a blob from `offset`;
 * fewer, or none, at its end. ERR_ABSENT: the blob is gone. Blob 0 is empty.
 * The bytes live until the callback returns.
 */
struct artifact_range {
	uint64_t blob, offset;
	size_t length;
};

int artifact_read(struct artifacts *a, const struct artifact_range *range,
		  void (*cb)(void *arg, int status, struct slice bytes),
		  void *arg) must_check;

/*
 * Appends bytes (at most 1 MiB, ERR_RANGE) to a blob of this owner, or to a
 * new one for blob 0; the callback tells its number once they are written.
 * Only whole chunks can be appended to: a put of less than 1 MiB is the last
 * (ERR_FORMAT after it). An owner is a run: a number of the caller's, not 0.
 * ERR_ABSENT: not this owner's blob. ERR_RANGE: over max_bytes. ERR_FULL.
 */
struct artifact_put {
	uint64_t owner, blob;
	struct slice bytes;
};

int artifact_put(struct artifacts *a, const struct artifact_put *put,
		 void (*cb)(void *arg, int status, uint64_t blob),
		 void *arg) must_check;

/* Forget blobs that have got no name: when a run is over, whether it went
 * well or not. Cheap when there are none. */
void artifact_drop_owner(struct artifacts *a, uint64_t owner);
void artifact_drop_blob(struct artifacts *a, uint64_t owner, uint64_t blob);

/* How many blobs wait for a name or for their removal. */
size_t artifact_loose(const struct artifacts *a);

/*
 * The name changes of one run, all or nothing. They need to know what the
 * names mean now, so they take turns: `ready` is called when everything is
 * known. With OK it must add artifact_tx_fill() to its batch and apply it
 * before it returns; artifact_tx_end() then tells, once, what came of the
 * batch (also when it came to nothing). With an error the transaction is
 * over already: ERR_CONFLICT when a rename's source is gone or its target
 * exists by now, or what the store tells.
 *
 * Refused at once: ERR_FORMAT for a name that is not clean, a blob that is
 * not the owner's, not of that size, or named twice. Slices are copied.
 */
struct artifact_op {
	enum {
		ARTIFACT_WRITE,	 /* name, blob, size; blob 0 with size 0 */
		ARTIFACT_DELETE, /* name; fine when absent */
		ARTIFACT_RENAME, /* name -> to */
	} kind;
	struct slice name, to;
	uint64_t blob, size;
};

struct artifact_ops {
	uint64_t owner;
	const struct artifact_op *op;
	size_t n;
};

struct artifact_tx;

int artifact_begin(struct artifacts *a, const struct artifact_ops *ops,
		   void (*ready)(void *arg, int status, struct artifact_tx *tx),
		   void *arg) must_check;
void artifact_tx_fill(struct artifact_tx *tx, struct store_batch *b);
void artifact_tx_end(struct artifact_tx *tx, int status);

#endif
