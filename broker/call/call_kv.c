/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_kv: kv.get, kv.list, kv.incr, kv.cas of workers. What the store's
 * cache knows is answered at once, on the loop.
 */
#include <stdlib.h>

#include "broker/call/call.h"
#include "proto/pack.h"

static void on_get(void *arg, int status, struct slice value)
{
	struct later *l = arg;

	if (status == OK)
		pack_bin(later_answer(l), value);
	else if (status == ERR_ABSENT)
		pack_nil(later_answer(l));
	else
		later_refuse(l, call_code(status), call_message(status));
	later_end(l);
}

int call_kv_get(struct question *q)
{
	struct slice key = cursor_text(&q->args);
	struct buf value = {0};
	struct later *l;
	int r;

	if (q->args.error)
		return ERR_FORMAT;
	if (!question_granted(q, GRANT_KV_READ, key))
		return OK;
	r = kv_try_get(question_kv(q), key, &value);
	if (r == OK)
		pack_bin(question_answer(q), buf_slice(&value));
	else if (r == ERR_ABSENT)
		pack_nil(question_answer(q));
	buf_fini(&value);
	if (r == OK || r == ERR_ABSENT)
		return OK;
	if (r != ERR_AGAIN)
		return question_refuse(q, call_code(r), call_message(r));
	if (!(l = later_new(q)))
		return OK;
	r = kv_get(question_kv(q), key, on_get, l);
	if (r < 0)
		later_fail(l, r);
	return OK;
}

static void on_list(void *arg, int status, const struct kv_row *row, size_t n)
{
	struct later *l = arg;
	struct buf *out;

	if (status < 0) {
		later_fail(l, status);
		return;
	}
	out = later_answer(l);
	pack_map(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		pack_bin(out, row[i].key);
		pack_bin(out, row[i].value);
	}
	later_end(l);
}

int call_kv_list(struct question *q)
{
	struct slice prefix = cursor_text(&q->args);
	struct later *l;
	int r;

	if (q->args.error)
		return ERR_FORMAT;
	if (!question_granted(q, GRANT_KV_READ, prefix))
		return OK;
	if (!(l = later_new(q)))
		return OK;
	r = kv_list(question_kv(q), prefix, on_list, l);
	if (r < 0)
		later_fail(l, r);
	return OK;
}

static void on_incr(void *arg, int status, int64_t value)
{
	struct later *l = arg;

	if (status == OK)
		pack_int(later_answer(l), value);
	else if (status == ERR_TYPE)
		later_refuse(l, CODE_SCRIPT_ERROR,
			     "the value is not an integer");
	else if (status == ERR_RANGE)
		later_refuse(l, CODE_SCRIPT_ERROR, "the sum overflows");
	else
		later_refuse(l, call_code(status), call_message(status));
	later_end(l);
}

int call_kv_incr(struct question *q)
{
	struct slice key = cursor_text(&q->args);
	int64_t by = cursor_int(&q->args);
	struct later *l;
	int r;

	if (q->args.error)
		return ERR_FORMAT;
	if (!question_granted(q, GRANT_KV_WRITE, key) || !(l = later_new(q)))
		return OK;
	r = kv_incr(question_kv(q), key, by, on_incr, l);
	if (r < 0)
		on_incr(l, r, 0);
	return OK;
}

static void on_cas(void *arg, int status)
{
	struct later *l = arg;

	if (status == OK || status == ERR_CONFLICT)
		pack_bool(later_answer(l), status == OK);
	else
		later_refuse(l, call_code(status), call_message(status));
	later_end(l);
}

static const struct slice *optional(struct cursor *c, struct slice *value)
{
	if (cursor_nil(c))
		return NULL;
	*value = cursor_text(c);
	return value;
}

int call_kv_cas(struct question *q)
{
	struct slice old, value;
	struct kv_cas cas;
	struct later *l;
	int r;

	cas.key = cursor_text(&q->args);
	cas.old = optional(&q->args, &old);
	cas.value = optional(&q->args, &value);
	if (q->args.error)
		return ERR_FORMAT;
	if (!question_granted(q, GRANT_KV_WRITE, cas.key) ||
	    !(l = later_new(q)))
		return OK;
	r = kv_cas(question_kv(q), &cas, on_cas, l);
	if (r < 0)
		on_cas(l, r);
	return OK;
}
