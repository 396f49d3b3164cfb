/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv: byte-string keys and values that scripts share, with expiry and two
 * atomic operations. One struct kv per dialect ("http"); all its scripts see
 * the same space.
 *
 * In the store:
 *   'k' NS 0 KEY          -> u64be expiry, then the value
 *   'x' NS 0 u64be KEY    -> nothing; "look at KEY when the clock passes u64"
 * An expiry is CLOCK_REALTIME in ms, 0 for never. A key past its expiry reads
 * as absent from that moment; the sweep removes it a little later. Rows of
 * the index may be stale (the key was set again): the sweep looks at the key
 * before it deletes anything.
 *
 * Everything here follows the callback law of store.h. Errors that the store
 * tells are passed on; beyond them:
 *   ERR_RANGE   a key or value over the limits; a list over its limits
 *   ERR_TYPE    kv_incr: the value is no decimal int64
 *   ERR_CONFLICT  kv_cas: the value is another one
 */
#ifndef PF_BROKER_KV_H
#define PF_BROKER_KV_H

#include "broker/store.h"

struct kv;

/* Zero means the default. */
struct kv_options {
	const char *ns;	       /* "http"; no NUL inside */
	uint8_t account;       /* of the store; what counts towards its limit */
	size_t max_key;	       /* PROTO_MAX_KEY, the most there is */
	size_t max_value;      /* PROTO_MAX_VALUE */
	uint32_t list_rows;    /* 10,000 */
	size_t list_bytes;     /* 16 MiB of keys and values */
	uint64_t (*now)(void); /* ms of wall-clock time; tests set it */
};

/* `store` must outlive it. ERR_NOMEM. */
int kv_open(struct kv **out, struct store *store,
	    const struct kv_options *options) must_check;

/* Calls under way still end with their callbacks; nothing new may begin. To
 * be called before store_close(). */
void kv_close(struct kv *kv);

/* For calls that outlive kv_close(): the memory stays until all let go. */
void kv_ref(struct kv *kv);
void kv_unref(struct kv *kv);

/* The value, appended to out; ERR_ABSENT; ERR_AGAIN: use kv_get(). */
int kv_try_get(struct kv *kv, struct slice key, struct buf *out) must_check;

/* The value lives until the callback returns. */
int kv_get(struct kv *kv, struct slice key,
	   void (*cb)(void *arg, int status, struct slice value),
	   void *arg) must_check;

struct kv_row {
	struct slice key, value;
};

/*
 * All keys with that prefix, sorted, as of one moment. ERR_RANGE when they
 * are more than the limits allow (too_large for scripts); keys that have
 * expired count until they are swept. Rows live until the callback returns.
 */
int kv_list(struct kv *kv, struct slice prefix,
	    void (*cb)(void *arg, int status, const struct kv_row *row,
		       size_t n),
	    void *arg) must_check;

/*
 * Adds `by` to a decimal int64 (absent counts as 0) and answers the sum once
 * it is written. Exact under any concurrency; the key keeps its expiry.
 * ERR_TYPE; ERR_RANGE when the sum would overflow.
 */
int kv_incr(struct kv *kv, struct slice key, int64_t by,
	    void (*cb)(void *arg, int status, int64_t value),
	    void *arg) must_check;

/*
 * Sets key to `value` if it holds *old (NULL: if it is absent); NULL for
 * value deletes. ERR_CONFLICT, at once or by the callback, when it does not.
 * The key keeps no expiry.
 */
struct kv_cas {
	struct slice key;
	const struct slice *old, *value;
};

int kv_cas(struct kv *kv, const struct kv_cas *cas,
	   void (*cb)(void *arg, int status), void *arg) must_check;

/*
 * Adds to a batch: a plain write happens when the caller applies it. ttl_ms
 * 0: none; a ttl of more than a hundred years is none too. ERR_RANGE leaves
 * the batch as it was.
 */
int kv_set(struct kv *kv, struct store_batch *b, struct slice key,
	   struct slice value, uint64_t ttl_ms) must_check;
int kv_delete(struct kv *kv, struct store_batch *b,
	      struct slice key) must_check;

/* Are key and value within the limits? */
bool kv_key_ok(const struct kv *kv, struct slice key);
bool kv_value_ok(const struct kv *kv, struct slice value);

#endif
