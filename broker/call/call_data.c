/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_data: data.exists, data.read and data.list of workers: files that the
 * operator made readable. The work itself is in data.c.
 */
#include "broker/call/call.h"
#include "proto/pack.h"

static void refuse(struct later *l, int status)
{
	if (status != ERR_ABSENT && status != ERR_TYPE &&
	    status != ERR_FORMAT) {
		later_fail(l, status);
		return;
	}
	later_refuse(l, CODE_UNAVAILABLE, "no such file in the data store");
	later_end(l);
}

static bool allowed(struct question *q, struct slice name)
{
	if (!question_granted(q, GRANT_DATA, name))
		return false;
	if (q->house->data)
		return true;
	question_refuse(q, CODE_UNAVAILABLE, "data_store is not configured");
	return false;
}

/* A question of nothing but a name. */
static int
ask(struct question *q,
    int (*start)(struct data *d, struct slice name,
		 void (*cb)(void *arg, int status, const struct data_result *r),
		 void *arg),
    void (*cb)(void *arg, int status, const struct data_result *r))
{
	struct slice name = cursor_text(&q->args);
	struct later *l;
	int r;

	if (q->args.error)
		return ERR_FORMAT;
	if (!allowed(q, name) || !(l = later_new(q)))
		return OK;
	r = start(q->house->data, name, cb, l);
	if (r < 0)
		cb(l, r, NULL);
	return OK;
}

static void on_exists(void *arg, int status, const struct data_result *r)
{
	struct later *l = arg;

	if (status < 0 && status != ERR_FORMAT) {
		refuse(l, status);
		return;
	}
	pack_bool(later_answer(l), status == OK && r->exists);
	later_end(l);
}

int call_data_exists(struct question *q)
{
	return ask(q, data_exists, on_exists);
}

static void on_read(void *arg, int status, const struct data_result *r)
{
	struct later *l = arg;
	struct buf *out;

	if (status < 0) {
		refuse(l, status);
		return;
	}
	out = later_answer(l);
	pack_array(out, 2);
	pack_bin(out, r->bytes);
	pack_uint(out, r->total);
	later_end(l);
}

int call_data_read(struct question *q)
{
	struct slice name = cursor_text(&q->args);
	struct data_range range = {.offset = cursor_uint(&q->args)};
	struct later *l;
	int r;

	range.length = (size_t)cursor_uint(&q->args);
	if (q->args.error || range.length > PROTO_RANGE)
		return ERR_FORMAT;
	if (!allowed(q, name) || !(l = later_new(q)))
		return OK;
	r = data_read(q->house->data, name, &range, on_read, l);
	if (r < 0)
		on_read(l, r, NULL);
	return OK;
}

static void on_list(void *arg, int status, const struct data_result *r)
{
	struct later *l = arg;
	struct buf *out;

	if (status < 0) {
		refuse(l, status);
		return;
	}
	out = later_answer(l);
	pack_array(out, (uint32_t)r->n);
	for (size_t i = 0; i < r->n; i++)
		pack_bin(out, r->name[i]);
	later_end(l);
}

int call_data_list(struct question *q)
{
	return ask(q, data_list, on_list);
}
