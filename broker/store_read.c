/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_read: the loop side of reading, and of backups. A read asks the
 * engine first and the overlay when it comes back: since jobs come back in
 * order, every write that the engine had not seen is in the overlay then.
 */
#include <stdio.h>
#include <stdlib.h>

#include "broker/store_loop.h"
#include "lib/log.h"

int store_try_get(struct store *s, struct slice key, struct buf *out)
{
	struct store_op *op = map_get(&s->overlay, key);

	if (op && op->del)
		return ERR_ABSENT;
	if (op) {
		buf_add_slice(out, op->value);
		return buf_error(out);
	}
	if (s->stopped)
		return ERR_CLOSED;
	return s->thread.ops->get(s->thread.engine, key, true, out);
}

int store_get_now(struct store *s, struct slice key, struct buf *out)
{
	must(!s->flight && !s->closing);
	return s->thread.ops->get(s->thread.engine, key, false, out);
}

struct get_job {
	struct job job;
	struct store *s;
	void (*cb)(void *arg, int status, struct slice value);
	void *arg;
	struct buf value;
	size_t key_n;
	uint8_t key[];
};

static void get_work(struct store_thread *t, struct job *job)
{
	struct get_job *g = container_of(job, struct get_job, job);

	job->status = t->ops->get(t->engine, slice_of(g->key, g->key_n), false,
				  &g->value);
}

static void get_done(struct job *job)
{
	struct get_job *g = container_of(job, struct get_job, job);
	struct slice key = slice_of(g->key, g->key_n), value;
	struct store_op *op = map_get(&g->s->overlay, key);
	struct store *s = g->s;
	int status = job->status;

	value = buf_slice(&g->value);
	if (op) {
		value = op->value;
		status = op->del ? ERR_ABSENT : OK;
	}
	if (status < 0)
		value = (struct slice){0};
	g->cb(g->arg, status, value);
	buf_fini(&g->value);
	free(g);
	store_job_over(s);
}

int store_get(struct store *s, struct slice key,
	      void (*cb)(void *arg, int status, struct slice value), void *arg)
{
	int r = store_job_allowed(s);
	struct get_job *g;

	if (r < 0)
		return r;
	g = calloc(1, sizeof(*g) + key.n);
	if (!g)
		return ERR_NOMEM;
	g->job.work = get_work;
	g->job.done = get_done;
	g->s = s;
	g->cb = cb;
	g->arg = arg;
	g->key_n = key.n;
	if (key.n)
		memcpy(g->key, key.p, key.n);
	store_job_post(s, &g->job);
	return OK;
}

struct list_job {
	struct job job;
	struct store *s;
	void (*cb)(void *arg, int status, const struct store_page *page);
	void *arg;
	struct store_range range; /* prefix and after are in bytes */
	struct engine_rows rows;
	uint8_t bytes[];
};

static void list_work(struct store_thread *t, struct job *job)
{
	struct list_job *l = container_of(job, struct list_job, job);

	job->status = t->ops->scan(t->engine, &l->range, &l->rows);
}

/* What is pending within the page, by key. */
struct pending {
	struct store_op **op;
	size_t n;
};

static int by_key(const void *a, const void *b)
{
	const struct store_op *const *x = a, *const *y = b;

	return slice_cmp((*x)->key, (*y)->key);
}

static bool within(const struct list_job *l, struct slice key,
		   const struct slice *last)
{
	return slice_starts(key, l->range.prefix) &&
	       (!l->range.after.n || slice_cmp(key, l->range.after) > 0) &&
	       (!last || slice_cmp(key, *last) <= 0);
}

static int collect(const struct list_job *l, const struct slice *last,
		   struct pending *out)
{
	const struct map *m = &l->s->overlay;
	struct store_op *op;
	size_t at = 0, n = 0;

	while ((op = map_next(m, &at)))
		n += within(l, op->key, last);
	if (n == 0)
		return OK;
	out->op = calloc(n, sizeof(struct store_op *));
	if (!out->op)
		return ERR_NOMEM;
	for (at = 0; (op = map_next(m, &at));)
		if (within(l, op->key, last))
			out->op[out->n++] = op;
	qsort(out->op, out->n, sizeof(struct store_op *), by_key);
	return OK;
}

static struct store_row stored_row(const struct list_job *l, size_t i)
{
	const struct engine_row *r = &l->rows.row[i];
	const uint8_t *p = l->rows.bytes.p + r->at;

	return (struct store_row){slice_of(p, r->key_n),
				  slice_of(p + r->key_n, r->value_n)};
}

/* Both are sorted; a pending one stands for the stored one of its key. */
static size_t merge(const struct list_job *l, const struct pending *over,
		    struct store_row *out)
{
	size_t i = 0, j = 0, n = 0;

	while (i < l->rows.n || j < over->n) {
		struct store_row row = {0};
		int c = i == l->rows.n ? 1 : -1;

		if (i < l->rows.n)
			row = stored_row(l, i);
		if (i < l->rows.n && j < over->n)
			c = slice_cmp(row.key, over->op[j]->key);
		i += c <= 0;
		if (c >= 0) {
			const struct store_op *op = over->op[j++];

			if (op->del)
				continue;
			row = (struct store_row){op->key, op->value};
		}
		out[n++] = row;
	}
	return n;
}

/* Pending rows may have made the page longer than was asked for. */
static void limit(const struct list_job *l, struct store_page *page)
{
	size_t bytes = 0, i;

	for (i = 0; i < page->n; i++) {
		bytes += page->row[i].key.n + page->row[i].value.n;
		if (i == l->range.max_rows || (i && bytes > l->range.max_bytes))
			break;
	}
	if (i == page->n)
		return;
	page->n = i;
	page->more = true;
	page->last = page->row[i - 1].key;
}

static void list_answer(struct list_job *l)
{
	struct store_page page = {.more = l->rows.more};
	struct pending over = {0};
	struct store_row *row = NULL;
	int r;

	if (page.more)
		page.last = stored_row(l, l->rows.n - 1).key;
	r = collect(l, page.more ? &page.last : NULL, &over);
	if (r == OK && l->rows.n + over.n > 0) {
		row = calloc(l->rows.n + over.n, sizeof(*row));
		r = row ? OK : ERR_NOMEM;
	}
	if (r == OK) {
		page.row = row;
		page.n = row ? merge(l, &over, row) : 0;
		limit(l, &page);
	}
	l->cb(l->arg, r, r == OK ? &page : NULL);
	free(over.op);
	free(row);
}

static void list_done(struct job *job)
{
	struct list_job *l = container_of(job, struct list_job, job);
	struct store *s = l->s;

	if (job->status < 0)
		l->cb(l->arg, job->status, NULL);
	else
		list_answer(l);
	engine_rows_fini(&l->rows);
	free(l);
	store_job_over(s);
}

int store_list(struct store *s, const struct store_range *range,
	       void (*cb)(void *arg, int status, const struct store_page *page),
	       void *arg)
{
	struct slice prefix = range->prefix, after = range->after;
	int r = store_job_allowed(s);
	struct list_job *l;

	must(range->max_rows > 0);
	if (r < 0)
		return r;
	l = calloc(1, sizeof(*l) + prefix.n + after.n);
	if (!l)
		return ERR_NOMEM;
	l->job.work = list_work;
	l->job.done = list_done;
	l->s = s;
	l->cb = cb;
	l->arg = arg;
	l->range = *range;
	if (prefix.n)
		memcpy(l->bytes, prefix.p, prefix.n);
	if (after.n)
		memcpy(l->bytes + prefix.n, after.p, after.n);
	l->range.prefix = slice_of(l->bytes, prefix.n);
	l->range.after = slice_of(l->bytes + prefix.n, after.n);
	store_job_post(s, &l->job);
	return OK;
}

struct backup_job {
	struct job job;
	struct store *s;
	void (*cb)(void *arg, int status);
	void *arg;
	char *dir;
};

static void backup_work(struct store_thread *t, struct job *job)
{
	struct backup_job *b = container_of(job, struct backup_job, job);
	char why[STORE_WHY] = "";

	job->status = ERR_TYPE;
	if (t->ops->backup)
		job->status = t->ops->backup(t->engine, b->dir, why);
	if (job->status < 0)
		log_error("store", "backup failed: %s", why);
}

static void backup_done(struct job *job)
{
	struct backup_job *b = container_of(job, struct backup_job, job);
	struct store *s = b->s;

	b->cb(b->arg, job->status);
	free(b->dir);
	free(b);
	store_job_over(s);
}

int store_backup(struct store *s, const char *dir,
		 void (*cb)(void *arg, int status), void *arg)
{
	int r = store_job_allowed(s);
	struct backup_job *b;

	if (r < 0)
		return r;
	b = calloc(1, sizeof(*b));
	if (!b || !(b->dir = strdup(dir))) {
		free(b);
		return ERR_NOMEM;
	}
	b->job.work = backup_work;
	b->job.done = backup_done;
	b->s = s;
	b->cb = cb;
	b->arg = arg;
	store_job_post(s, &b->job);
	return OK;
}
