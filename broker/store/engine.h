/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine: what a kind of storage has to do; one file of this folder each.
 *
 * Everything blocks and is called by one thread at a time: on the storage
 * thread (open and close: while there is none), or by the loop while that has
 * nothing to do. But get() with `cached` is called by the loop at any moment.
 * What is `cached`, or ENGINE_NOWAIT, must not wait for the disk. An engine
 * knows no overlay, no group and no callback.
 */
#ifndef PF_BROKER_STORE_ENGINE_H
#define PF_BROKER_STORE_ENGINE_H

#include "broker/store.h"

struct engine;

/* Its value is STORE_FORMAT in digits. */
#define ENGINE_KEY_FORMAT "mformat"

/* Values from this size on may be kept apart, in files that are given up as a
 * whole; bytes. */
enum { ENGINE_LARGE = 32 << 10 };

/* What a scan found; the slices are offsets until it is over. */
struct engine_rows {
	struct buf bytes;
	struct engine_row {
		size_t at, key_n, value_n;
	} * row;
	size_t n, cap;
	bool more;
};

enum engine_commit {
	ENGINE_SYNC,   /* on the disk */
	ENGINE_OS,     /* with the kernel */
	ENGINE_NOWAIT, /* likewise; ERR_AGAIN, and nothing is written, when the
			* engine first has to make room */
};

struct engine_ops {
	const char *name;

	/* Errors as store_open(). */
	int (*open)(struct engine **out, const char *dir,
		    const struct store_options *options, char why[STORE_WHY]);
	void (*close)(struct engine *e); /* syncs first */

	/* Appends the value to out. ERR_ABSENT; with cached also ERR_AGAIN. */
	int (*get)(struct engine *e, struct slice key, bool cached,
		   struct buf *out);

	/* Bytes of the value without copying it. Errors as get(). */
	int (*size)(struct engine *e, struct slice key, bool cached, size_t *n);

	int (*scan)(struct engine *e, const struct store_range *range,
		    struct engine_rows *out);

	/* put and del gather; commit writes what was gathered at once and
	 * forgets it, whatever comes of it. */
	void (*put)(struct engine *e, struct slice key, struct slice value);
	void (*del)(struct engine *e, struct slice key);
	int (*commit)(struct engine *e, enum engine_commit how,
		      char why[STORE_WHY]);
	void (*abandon)(struct engine *e);

	/* For room on the disk after large values were deleted or replaced:
	 * flush, a while later compact. Both only begin something. ERR_AGAIN:
	 * what was to be flushed is not yet. May be NULL. */
	void (*flush)(struct engine *e);
	int (*compact)(struct engine *e);

	/* Bytes that the engine may still write without being asked. */
	uint64_t (*backlog)(struct engine *e);

	/* May be NULL. */
	int (*backup)(struct engine *e, const char *dir, char why[STORE_WHY]);
};

extern const struct engine_ops engine_rocksdb;
extern const struct engine_ops engine_mem;

/* Helpers for scans. ERR_NOMEM. */
int engine_rows_add(struct engine_rows *r, struct slice key,
		    struct slice value) must_check;
void engine_rows_fini(struct engine_rows *r);

#endif
