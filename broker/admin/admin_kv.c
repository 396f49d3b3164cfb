/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_kv: kv.* of tools, in the space of either dialect.
 */
#include "broker/admin/admin.h"
#include "proto/pack.h"

#define OF_KEY	 "over limits.max_key"
#define OF_VALUE "over limits.max_key or limits.max_value"
#define OF_SUM	 "the sum does not fit in 64 bits, or " OF_KEY
#define OF_LIST                                                                \
	"over limits.list_rows or limits.list_bytes: give a longer prefix"

/* `range`: what ERR_RANGE means there. */
static void refuse(struct admin_later *l, int error, const char *range)
{
	admin_later_refuse(l, call_code(error),
			   error == ERR_RANGE ? range : call_message(error));
	admin_later_end(l);
}

static void on_get(void *arg, int status, struct slice value)
{
	struct admin_later *l = arg;
	struct buf none = {0}, *out;

	if (status < 0 && status != ERR_ABSENT) {
		refuse(l, status, OF_KEY);
		return;
	}
	out = admin_later_answer(l, &none);
	if (status == OK)
		pack_bin(out, value);
	else
		pack_nil(out);
	buf_fini(&none);
	admin_later_end(l);
}

void admin_kv_get(struct admin_call *a)
{
	struct slice key = cursor_text(&a->args);
	enum dialect dialect;
	struct admin_later *l;
	int r;

	if (a->args.error) {
		admin_refuse(a, CODE_BAD_EVENT, "kv.get [key, space]");
		return;
	}
	if (!admin_dialect(a, 1, &dialect) || !(l = admin_later(a)))
		return;
	r = kv_get(a->broker->calls.kv[dialect], key, on_get, l);
	if (r < 0)
		refuse(l, r, OF_KEY);
}

static void on_written(void *arg, int status)
{
	struct admin_later *l = arg;
	struct buf none = {0};

	if (status < 0) {
		refuse(l, status, OF_VALUE);
		return;
	}
	pack_bool(admin_later_answer(l, &none), true);
	buf_fini(&none);
	admin_later_end(l);
}

/* Takes the batch. */
static void apply(struct admin_call *a, struct store_batch *batch, int error)
{
	struct admin_later *l = admin_later(a);
	int r = error;

	if (!l || r < 0) {
		store_batch_free(batch);
		if (l)
			refuse(l, r, OF_VALUE);
		return;
	}
	r = store_apply(a->broker->store, batch, on_written, l);
	if (r < 0)
		refuse(l, r, OF_VALUE);
}

void admin_kv_set(struct admin_call *a)
{
	struct slice key = cursor_text(&a->args);
	struct slice value = cursor_text(&a->args);
	uint64_t ttl_ms = 0;
	enum dialect dialect;
	struct store_batch *batch;

	if (a->nargs > 2 && !cursor_nil(&a->args))
		ttl_ms = cursor_uint(&a->args);
	if (a->args.error) {
		admin_refuse(a, CODE_BAD_EVENT,
			     "kv.set [key, value, ttl_ms, space]");
		return;
	}
	if (!admin_dialect(a, 3, &dialect))
		return;
	batch = store_batch_new();
	apply(a, batch,
	      kv_set(a->broker->calls.kv[dialect], batch, key, value, ttl_ms));
}

void admin_kv_delete(struct admin_call *a)
{
	struct slice key = cursor_text(&a->args);
	enum dialect dialect;
	struct store_batch *batch;

	if (a->args.error) {
		admin_refuse(a, CODE_BAD_EVENT, "kv.delete [key, space]");
		return;
	}
	if (!admin_dialect(a, 1, &dialect))
		return;
	batch = store_batch_new();
	apply(a, batch, kv_delete(a->broker->calls.kv[dialect], batch, key));
}

static void on_list(void *arg, int status, const struct kv_row *row, size_t n)
{
	struct admin_later *l = arg;
	struct buf none = {0}, *out;

	if (status < 0) {
		refuse(l, status, OF_LIST);
		return;
	}
	out = admin_later_answer(l, &none);
	pack_map(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		pack_bin(out, row[i].key);
		pack_bin(out, row[i].value);
	}
	buf_fini(&none);
	admin_later_end(l);
}

void admin_kv_list(struct admin_call *a)
{
	struct slice prefix = {0};
	enum dialect dialect;
	struct admin_later *l;
	int r;

	if (a->nargs > 0)
		prefix = cursor_text(&a->args);
	if (a->args.error) {
		admin_refuse(a, CODE_BAD_EVENT, "kv.list [prefix, space]");
		return;
	}
	if (!admin_dialect(a, 1, &dialect) || !(l = admin_later(a)))
		return;
	r = kv_list(a->broker->calls.kv[dialect], prefix, on_list, l);
	if (r < 0)
		refuse(l, r, OF_LIST);
}

static void on_incr(void *arg, int status, int64_t value)
{
	struct admin_later *l = arg;
	struct buf none = {0};

	if (status == ERR_TYPE) {
		admin_later_refuse(l, CODE_BAD_EVENT,
				   "the value is not an integer");
		admin_later_end(l);
		return;
	}
	if (status < 0) {
		refuse(l, status, OF_SUM);
		return;
	}
	pack_int(admin_later_answer(l, &none), value);
	buf_fini(&none);
	admin_later_end(l);
}

void admin_kv_incr(struct admin_call *a)
{
	struct slice key = cursor_text(&a->args);
	int64_t by = 1;
	enum dialect dialect;
	struct admin_later *l;
	int r;

	if (a->nargs > 1)
		by = cursor_int(&a->args);
	if (a->args.error) {
		admin_refuse(a, CODE_BAD_EVENT, "kv.incr [key, by, space]");
		return;
	}
	if (!admin_dialect(a, 2, &dialect) || !(l = admin_later(a)))
		return;
	r = kv_incr(a->broker->calls.kv[dialect], key, by, on_incr, l);
	if (r < 0)
		on_incr(l, r, 0);
}
