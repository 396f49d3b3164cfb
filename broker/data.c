/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data: carries calls to libuv's pool and their results back. What is done
 * there is in data_work.c.
 */
#include "broker/data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/data_space.h"
#include "broker/name.h"
#include "lib/list.h"

struct call {
	uv_work_t work;
	struct data *d;
	enum { CALL_EXISTS, CALL_READ, CALL_LIST } kind;
	void (*cb)(void *arg, int status, const struct data_result *r);
	void *arg;
	struct data_range range;
	struct data_result result;
	struct buf bytes;
	int status;
	size_t name_n;
	uint8_t name[];
};

int data_open(struct data **out, uv_loop_t *loop, const char *root)
{
	struct data *d = calloc(1, sizeof(*d));

	if (!d)
		return ERR_NOMEM;
	d->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (d->root < 0) {
		int r = errno == ENOENT ? ERR_ABSENT : ERR_IO;

		free(d);
		return r;
	}
	d->loop = loop;
	d->refs = 1;
	*out = d;
	return OK;
}

static void unref(struct data *d)
{
	if (--d->refs > 0)
		return;
	close(d->root);
	free(d);
}

void data_close(struct data *d)
{
	if (d)
		unref(d);
}

static void call_work(uv_work_t *work)
{
	struct call *c = container_of(work, struct call, work);
	struct slice name = slice_of(c->name, c->name_n);

	if (c->kind == CALL_EXISTS)
		c->status = data_exists_work(c->d, name, &c->result.exists);
	else if (c->kind == CALL_READ)
		c->status = data_read_work(c->d, name, &c->range, &c->bytes,
					   &c->result.total);
	else
		c->status = data_list_work(c->d, name, &c->bytes, &c->result.n);
}

/* NUL-ended names -> slices. */
static struct slice *split(const struct call *c)
{
	struct slice *name = calloc(c->result.n + 1, sizeof(*name));
	const char *p = (const char *)c->bytes.p;

	for (size_t i = 0; name && i < c->result.n; i++) {
		name[i] = slice_str(p);
		p += name[i].n + 1;
	}
	return name;
}

static void call_done(uv_work_t *work, int canceled)
{
	struct call *c = container_of(work, struct call, work);
	struct slice *name = NULL;
	struct data *d = c->d;

	if (canceled)
		c->status = ERR_CLOSED;
	if (c->status == OK && c->kind == CALL_READ)
		c->result.bytes = buf_slice(&c->bytes);
	if (c->status == OK && c->kind == CALL_LIST) {
		name = split(c);
		c->status = name ? OK : ERR_NOMEM;
		c->result.name = name;
	}
	d->calls--;
	c->cb(c->arg, c->status, c->status == OK ? &c->result : NULL);
	free(name);
	buf_fini(&c->bytes);
	free(c);
	unref(d);
}

static int call_new(struct data *d, struct slice name, struct call **out)
{
	struct call *c;

	if (d->calls >= DATA_MAX_CALLS)
		return ERR_FULL;
	c = calloc(1, sizeof(*c) + name.n);
	if (!c)
		return ERR_NOMEM;
	c->d = d;
	c->name_n = name.n;
	if (name.n)
		memcpy(c->name, name.p, name.n);
	*out = c;
	return OK;
}

static int start(struct call *c)
{
	if (uv_queue_work(c->d->loop, &c->work, call_work, call_done) < 0) {
		free(c);
		return ERR_SYSTEM;
	}
	c->d->refs++;
	c->d->calls++;
	return OK;
}

int data_exists(struct data *d, struct slice name,
		void (*cb)(void *arg, int status, const struct data_result *r),
		void *arg)
{
	struct call *c;
	int r = name_ok(name) ? call_new(d, name, &c) : ERR_FORMAT;

	if (r < 0)
		return r;
	c->kind = CALL_EXISTS;
	c->cb = cb;
	c->arg = arg;
	return start(c);
}

int data_read(struct data *d, struct slice name, const struct data_range *range,
	      void (*cb)(void *arg, int status, const struct data_result *r),
	      void *arg)
{
	struct call *c;
	int r = name_ok(name) ? call_new(d, name, &c) : ERR_FORMAT;

	if (r < 0)
		return r;
	c->kind = CALL_READ;
	c->range = *range;
	c->cb = cb;
	c->arg = arg;
	return start(c);
}

int data_list(struct data *d, struct slice path,
	      void (*cb)(void *arg, int status, const struct data_result *r),
	      void *arg)
{
	struct call *c;
	int r = !path.n || name_ok(path) ? call_new(d, path, &c) : ERR_FORMAT;

	if (r < 0)
		return r;
	c->kind = CALL_LIST;
	c->cb = cb;
	c->arg = arg;
	return start(c);
}
