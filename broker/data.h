/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data: read-only files below one directory that the operator names.
 *
 * Nothing outside that directory is ever seen: the kernel resolves every name
 * beneath it (openat2 RESOLVE_BENEATH, no magic links). A symbolic link is
 * followed as long as it stays beneath; one that is absolute or climbs out
 * does not exist. Only regular files count; a listing does not descend through
 * links to directories.
 *
 * The *_work functions block; the others do their work on libuv's pool and
 * follow the callback law of store.h. Names must pass name_ok() (for list the
 * empty name is the root): ERR_FORMAT otherwise.
 */
#ifndef PF_BROKER_DATA_H
#define PF_BROKER_DATA_H

#include <uv.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/slice.h"

enum {
	DATA_RANGE = 1 << 20, /* of one read */
	DATA_LIST_ROWS = 10000,
	DATA_LIST_BYTES = 16 << 20,
	DATA_LIST_DEPTH = 32,
	DATA_MAX_CALLS = 64, /* at once; the pool has four threads */
};

struct data;

/* ERR_ABSENT, ERR_IO: the root cannot be opened as a directory; errno says
 * why. */
int data_open(struct data **out, uv_loop_t *loop, const char *root) must_check;

/* Calls under way still end with their callbacks. NULL is allowed. */
void data_close(struct data *d);

/* Status OK with *yes. A directory exists too. */
int data_exists_work(const struct data *d, struct slice name,
		     bool *yes) must_check;

/* Appends up to `length` bytes from `offset` (none past the end) to out. */
struct data_range {
	uint64_t offset;
	size_t length; /* at most DATA_RANGE: ERR_RANGE */
};

/* ERR_ABSENT; ERR_TYPE: no regular file; ERR_IO. */
int data_read_work(const struct data *d, struct slice name,
		   const struct data_range *range, struct buf *out,
		   uint64_t *total) must_check;

/*
 * Names of all files at or below `path`, relative to the root. Sorted, each
 * followed by a NUL in `names`. Nothing there: an empty list. ERR_RANGE: more
 * than the limits above.
 */
int data_list_work(const struct data *d, struct slice path, struct buf *names,
		   size_t *n) must_check;

/* What a call has found; lives until the callback returns. */
struct data_result {
	bool exists;
	struct slice bytes;	  /* of read */
	uint64_t total;		  /* of read: the file's size */
	const struct slice *name; /* of list */
	size_t n;
};

/* ERR_FULL: too many at once. */
int data_exists(struct data *d, struct slice name,
		void (*cb)(void *arg, int status, const struct data_result *r),
		void *arg) must_check;
int data_read(struct data *d, struct slice name, const struct data_range *range,
	      void (*cb)(void *arg, int status, const struct data_result *r),
	      void *arg) must_check;
int data_list(struct data *d, struct slice path,
	      void (*cb)(void *arg, int status, const struct data_result *r),
	      void *arg) must_check;

#endif
