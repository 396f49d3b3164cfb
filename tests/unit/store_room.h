/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_room: a loop, a temporary directory and a store in it, for the tests
 * of whatever stands on the store. Each test runs once per engine.
 */
#ifndef PF_TESTS_STORE_ROOM_H
#define PF_TESTS_STORE_ROOM_H

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/store.h"
#include "lib/log.h"

struct room {
	uv_loop_t loop;
	char dir[64];
	struct store_options options;
	struct store *store;
	bool closed;
};

static inline void room_store_open(struct room *r)
{
	char why[STORE_WHY];

	cr_assert_eq(store_open(&r->store, &r->loop, r->dir, &r->options, why),
		     OK, "%s", why);
}

static inline void room_open(struct room *r, const struct store_options *o)
{
	*r = (struct room){.options = *o};
	log_setup(LOG_ERROR, false);
	strcpy(r->dir, "/tmp/pinfold-test-XXXXXX");
	cr_assert(mkdtemp(r->dir));
	cr_assert_eq(uv_loop_init(&r->loop), 0);
	room_store_open(r);
}

static inline void room_on_closed(void *arg)
{
	*(bool *)arg = true;
}

static inline void room_store_close(struct room *r)
{
	r->closed = false;
	store_close(r->store, room_on_closed, &r->closed);
	while (!r->closed)
		uv_run(&r->loop, UV_RUN_ONCE);
}

static inline int room_remove(const char *path, const struct stat *st, int type,
			      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void room_remove_dir(const char *dir)
{
	nftw(dir, room_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void room_close(struct room *r)
{
	room_store_close(r);
	uv_run(&r->loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&r->loop), 0);
	room_remove_dir(r->dir);
}

/* Runs the loop until *flag. */
#define room_wait(r, flag)                                                     \
	do {                                                                   \
		while (!(flag))                                                \
			uv_run(&(r)->loop, UV_RUN_ONCE);                       \
	} while (0)

/* An answer of whatever kind. */
struct answer {
	int calls, status;
	int64_t number;
	struct buf text;
	size_t n;
	bool more;
};

static inline void answer_fini(struct answer *a)
{
	buf_fini(&a->text);
	*a = (struct answer){0};
}

static inline void on_status(void *arg, int status)
{
	struct answer *a = arg;

	a->calls++;
	a->status = status;
}

static inline void on_value(void *arg, int status, struct slice value)
{
	struct answer *a = arg;

	on_status(a, status);
	buf_clear(&a->text);
	buf_add_slice(&a->text, value);
}

static inline void on_number(void *arg, int status, int64_t number)
{
	struct answer *a = arg;

	on_status(a, status);
	a->number = number;
}

/* The mem engine with and without a cache that answers, RocksDB; and both with
 * groups that the loop writes. */
enum { KINDS = 5 };

static inline struct store_options kind_options(int kind)
{
	bool disk = kind == 2 || kind == 4;
	struct store_options o = {.kind = disk ? STORE_ROCKSDB : STORE_MEM};

	o.cold = kind == 1;
	o.loop_bytes = kind > 2 ? 4096 : 0;
	o.floor_bytes = 1; /* the machine's own disk is not under test */
	return o;
}

#define each_kind(o)                                                           \
	for (int kind_ = 0; kind_ < KINDS; kind_++)                            \
		for (struct store_options o = kind_options(kind_),             \
					  *once_ = &o;                         \
		     once_; once_ = NULL)

static inline bool answer_is(const struct answer *a, const char *text)
{
	return slice_is(buf_slice(&a->text), text);
}

static inline struct slice s(const char *text)
{
	return slice_str(text);
}

/* What account 1 is charged with. */
static inline uint64_t room_usage(struct room *r)
{
	struct store_status status;

	store_status(r->store, &status);
	return status.usage[1];
}

static inline void room_on_page(void *arg, int status,
				const struct store_page *page)
{
	struct answer *a = arg;

	on_status(a, status);
	a->n = page->n;
}

/* How many keys of the store begin so. */
static inline size_t room_rows(struct room *r, const char *prefix)
{
	struct store_range range = {
		.prefix = s(prefix), .max_rows = 1000, .max_bytes = 64 << 20};
	struct answer a = {0};

	cr_assert_eq(store_list(r->store, &range, room_on_page, &a), OK);
	room_wait(r, a.calls);
	return a.n;
}

/* Keys and values as C strings. */
static inline void room_put(struct room *r, const char *key, const char *value,
			    struct answer *a)
{
	struct store_batch *b = store_batch_new();

	store_batch_set(b, 0, slice_str(key), slice_str(value));
	cr_assert_eq(store_apply(r->store, b, on_status, a), OK);
}

static inline void room_get(struct room *r, const char *key, struct answer *a)
{
	a->calls = 0;
	cr_assert_eq(store_get(r->store, slice_str(key), on_value, a), OK);
	cr_assert_eq(a->calls, 0);
	room_wait(r, a->calls);
	cr_assert_eq(a->calls, 1);
}

#endif
