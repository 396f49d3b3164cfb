/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: ordered byte keys -> byte values, on disk, asked asynchronously.
 *
 * One loop thread and one storage thread. The loop collects every batch that
 * is applied during a turn into one group; the storage thread writes a group
 * as one atomic write of the engine and answers by uv_async. While a group is
 * written the next one gathers, so the busier the store, the larger the group.
 * A small group that memory and the kernel take at once (options.loop_bytes)
 * the loop writes by itself: waking two threads costs more than the write.
 *
 * Writes are visible to reads from the moment store_apply() returns, through
 * an overlay of what is pending. A write that fails takes with it everything
 * that was applied until the loop hears of the failure, since all of that may
 * have been computed from it; nothing of it is ever seen again.
 *
 * Callback law: a function that returns 0 promises exactly one later call of
 * its callback on the loop thread, never before it returns; one that returns
 * an error promises none. Every function but store_open() is for the loop
 * thread only.
 *
 * All keys live in one space; whoever stores something says in its header
 * which first byte its keys have:
 *   'a' artifact names   'b' bus events   'c' artifact contents   'k' kv
 *   'm' the store's own  'p' blobs without a name   'x' kv's expiry index
 */
#ifndef PF_BROKER_STORE_H
#define PF_BROKER_STORE_H

#include <uv.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/list.h"
#include "lib/slice.h"

enum {
	STORE_FORMAT = 1,    /* of the layout of keys and values */
	STORE_ACCOUNTS = 4,  /* account 0 is not counted */
	STORE_WHY = 512,     /* room for a message */
	STORE_MAX_KEY = 4096 /* bytes, prefix included */
};

enum store_kind {
	STORE_ROCKSDB,
	STORE_MEM, /* for tests; forgets everything at store_close() */
};

enum store_durability {
	STORE_OS,   /* the answer waits for the write-ahead log's write() */
	STORE_DISK, /* and for its fdatasync */
};

/* Zero means the default wherever one is named. */
struct store_options {
	enum store_kind kind;
	enum store_durability durability;
	uint64_t account_max;	   /* bytes per account; 0: no limit */
	uint64_t floor_bytes;	   /* free space to keep; 64 MiB */
	size_t queue_bytes;	   /* writes that may wait; 128 MiB */
	size_t cache_bytes;	   /* block cache; 64 MiB */
	size_t write_buffer_bytes; /* memtable; 32 MiB */
	size_t loop_bytes;	   /* smaller groups the loop may write; none.
				    * Nor with STORE_DISK. */
	uint64_t tidy_bytes;	   /* of large values that were freed, after
				    * which the disk gets them back; 64 MiB */
	uint64_t tidy_ms;	   /* and not more often; 10 s */
	/* What only tests set; of STORE_MEM. */
	bool cold;	     /* the cache never answers */
	uint32_t fail_write; /* the nth group fails, counted from 1 */
};

struct store;

/*
 * Opens (and creates, mode 0700) what is kept in `dir`. Blocks; for start-up.
 * On an error `why` names the file and what is wrong with it:
 *   ERR_CORRUPT  damaged; nothing was changed
 *   ERR_EXISTS   another process has it open
 *   ERR_FORMAT   written in a layout that this release does not know
 *   ERR_IO, ERR_NOMEM
 */
int store_open(struct store **out, uv_loop_t *loop, const char *dir,
	       const struct store_options *options,
	       char why[STORE_WHY]) must_check;

/*
 * Refuses everything new from now on, finishes what was accepted (all those
 * callbacks come first), syncs, closes the engine, frees the store, calls cb.
 */
void store_close(struct store *s, void (*cb)(void *arg), void *arg);

/*
 * The value, appended to `out`, when overlay, memtable or block cache know
 * it. ERR_ABSENT; ERR_AGAIN: only the disk can tell, use store_get();
 * ERR_IO, ERR_CORRUPT, ERR_NOMEM.
 */
int store_try_get(struct store *s, struct slice key,
		  struct buf *out) must_check;

/*
 * The value from wherever it is, at once: blocks on the disk. For start-up
 * only, while nothing is applied yet. Errors as above but for ERR_AGAIN.
 */
int store_get_now(struct store *s, struct slice key,
		  struct buf *out) must_check;

/*
 * The value from wherever it is. What the callback sees is the state at the
 * moment of the callback, pending writes included: a callback that applies a
 * batch made from it has done an atomic read-modify-write. The value lives
 * until the callback returns. Status as of store_try_get, but for ERR_AGAIN.
 * Fails at once with ERR_FULL (too many waiting), ERR_CLOSED, ERR_NOMEM.
 */
int store_get(struct store *s, struct slice key,
	      void (*cb)(void *arg, int status, struct slice value),
	      void *arg) must_check;

struct store_range {
	struct slice prefix;
	struct slice after; /* keys above this one; empty: all of prefix */
	size_t max_rows;    /* of a page; at least 1 */
	size_t max_bytes;   /* keys and values; one row always fits */
};

struct store_row {
	struct slice key, value;
};

/* A page, sorted by key; lives until the callback returns. */
struct store_page {
	const struct store_row *row;
	size_t n;
	bool more;	   /* a limit ended it: go on with after = last */
	struct slice last; /* valid when more; its row may be deleted */
};

/*
 * One page of a range: one consistent state, that of the moment of the
 * callback (pending writes included). `range` is copied. Errors as store_get.
 */
int store_list(struct store *s, const struct store_range *range,
	       void (*cb)(void *arg, int status, const struct store_page *page),
	       void *arg) must_check;

/*
 * A batch: all of it or nothing. Of several operations on one key the last
 * counts. Errors (ERR_NOMEM, ERR_RANGE for a key that is too long) stick and
 * are told by store_apply().
 *
 * Operations with an account other than 0 are counted: the account holds the
 * sum of the sizes (key and value) of its keys. charge() adds what is not
 * told by sizes. Keys below 'm' are the store's own.
 */
struct store_batch;

/* NULL when there is no memory; every function here takes that as a batch
 * whose error is ERR_NOMEM. */
struct store_batch *store_batch_new(void);
void store_batch_free(struct store_batch *b);
void store_batch_set(struct store_batch *b, uint8_t account, struct slice key,
		     struct slice value);
/* The value is head followed by tail. */
void store_batch_set2(struct store_batch *b, uint8_t account, struct slice key,
		      struct slice head, struct slice tail);
void store_batch_delete(struct store_batch *b, uint8_t account,
			struct slice key);
void store_batch_charge(struct store_batch *b, uint8_t account, int64_t bytes);
bool store_batch_empty(const struct store_batch *b);

/*
 * Write it. Takes the batch in any case. Callbacks come in the order of the
 * calls; status:
 *   OK         applied and as durable as the options say
 *   ERR_FULL   refused: too little space on the disk
 *   ERR_IO, ERR_CORRUPT, ERR_CLOSED  unavailable; nothing of it was kept
 * Refused at once: ERR_FULL (an account's limit, or the queue is full),
 * ERR_CLOSED, ERR_NOMEM, ERR_RANGE.
 */
int store_apply(struct store *s, struct store_batch *b,
		void (*cb)(void *arg, int status), void *arg) must_check;

/*
 * The batch that has set the newest value of `key`, if its group still gathers;
 * else NULL. The value's bytes may be changed in place until the caller
 * returns to the loop, and the batch's fate decides about that too: follow it.
 */
struct store_batch *store_gathering(struct store *s, struct slice key,
				    uint8_t **value, size_t *n);

/* The caller's memory until cb. */
struct store_follower {
	struct list node;
	void (*cb)(void *arg, int status);
	void *arg;
};

/* A callback as that of store_apply(), right behind the batch's own. */
void store_follow(struct store_batch *b, struct store_follower *f);

/*
 * A consistent copy of everything into `dir`, which must not exist yet.
 * Errors as store_get; status ERR_EXISTS, ERR_IO, and ERR_TYPE from an engine
 * that cannot.
 */
int store_backup(struct store *s, const char *dir,
		 void (*cb)(void *arg, int status), void *arg) must_check;

struct store_status {
	uint64_t usage[STORE_ACCOUNTS]; /* bytes, as of the last group */
	uint64_t groups, batches, failed;
	size_t pending_bytes;
	bool full; /* the last group was refused for lack of space */
};

void store_status(const struct store *s, struct store_status *out);

/* The loop that the store was opened on. */
uv_loop_t *store_loop(const struct store *s);

#endif
