/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem: the engine for tests. A sorted array under a mutex, searched by
 * halving; made to be obviously right, not fast. It can refuse to answer from
 * its "cache" and can fail one write, so that tests reach those paths.
 */
#include <stdlib.h>

#include "broker/store/engine.h"

struct item {
	struct buf key, value;
	bool del; /* in the gathered list only */
};

struct items {
	struct item *p;
	size_t n, cap;
};

struct engine {
	uv_mutex_t lock;
	struct items kept, gathered;
	bool cold;
	uint32_t fail_write, commits;
};

static void item_fini(struct item *it)
{
	buf_fini(&it->key);
	buf_fini(&it->value);
}

static void items_fini(struct items *s)
{
	for (size_t i = 0; i < s->n; i++)
		item_fini(&s->p[i]);
	free(s->p);
	*s = (struct items){0};
}

/* The first whose key is not below. */
static size_t lower(const struct items *s, struct slice key)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (slice_cmp(buf_slice(&s->p[mid].key), key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct item *room(struct items *s, size_t at)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 64;
		s->p = realloc(s->p, s->cap * sizeof(*s->p));
		must(s->p);
	}
	memmove(&s->p[at + 1], &s->p[at], (s->n - at) * sizeof(*s->p));
	s->n++;
	s->p[at] = (struct item){0};
	return &s->p[at];
}

static struct item *find(const struct items *s, struct slice key)
{
	size_t at = lower(s, key);

	if (at < s->n && slice_eq(buf_slice(&s->p[at].key), key))
		return &s->p[at];
	return NULL;
}

static int mem_open(struct engine **out, const char *dir,
		    const struct store_options *options, char why[STORE_WHY])
{
	struct engine *e = calloc(1, sizeof(*e));

	(void)dir;
	(void)why;
	if (!e)
		return ERR_NOMEM;
	must(uv_mutex_init(&e->lock) == 0);
	e->cold = options->cold;
	e->fail_write = options->fail_write;
	*out = e;
	return OK;
}

static void mem_close(struct engine *e)
{
	items_fini(&e->kept);
	items_fini(&e->gathered);
	uv_mutex_destroy(&e->lock);
	free(e);
}

static int mem_get(struct engine *e, struct slice key, bool cached,
		   struct buf *out)
{
	struct item *it;

	if (cached && e->cold)
		return ERR_AGAIN;
	uv_mutex_lock(&e->lock);
	it = find(&e->kept, key);
	if (it)
		buf_add_slice(out, buf_slice(&it->value));
	uv_mutex_unlock(&e->lock);
	return it ? buf_error(out) : ERR_ABSENT;
}

static int mem_size(struct engine *e, struct slice key, bool cached, size_t *n)
{
	struct item *it = find(&e->kept, key);

	if (cached && e->cold)
		return ERR_AGAIN;
	*n = it ? it->value.n : 0;
	return it ? OK : ERR_ABSENT;
}

static int mem_scan(struct engine *e, const struct store_range *range,
		    struct engine_rows *out)
{
	bool after = range->after.n > 0;
	struct slice from = after ? range->after : range->prefix;
	size_t at = lower(&e->kept, from);
	int r;

	for (; at < e->kept.n; at++) {
		struct slice key = buf_slice(&e->kept.p[at].key);
		struct slice value = buf_slice(&e->kept.p[at].value);

		if (after && slice_eq(key, from))
			continue;
		if (!slice_starts(key, range->prefix))
			break;
		if (out->n == range->max_rows ||
		    (out->n &&
		     out->bytes.n + key.n + value.n > range->max_bytes)) {
			out->more = true;
			break;
		}
		r = engine_rows_add(out, key, value);
		if (r < 0)
			return r;
	}
	return OK;
}

static void mem_put(struct engine *e, struct slice key, struct slice value)
{
	struct item *it = room(&e->gathered, e->gathered.n);

	buf_add_slice(&it->key, key);
	buf_add_slice(&it->value, value);
}

static void mem_del(struct engine *e, struct slice key)
{
	struct item *it = room(&e->gathered, e->gathered.n);

	buf_add_slice(&it->key, key);
	it->del = true;
}

static void keep(struct items *s, struct item *from)
{
	size_t at = lower(s, buf_slice(&from->key));
	struct item *it = find(s, buf_slice(&from->key));

	if (it) {
		item_fini(it);
		s->n--;
		memmove(&s->p[at], &s->p[at + 1], (s->n - at) * sizeof(*s->p));
	}
	if (!from->del) {
		*room(s, at) = *from;
		*from = (struct item){0};
	}
}

static int mem_commit(struct engine *e, enum engine_commit how,
		      char why[STORE_WHY])
{
	bool fail = ++e->commits == e->fail_write;

	(void)how;
	uv_mutex_lock(&e->lock);
	for (size_t i = 0; !fail && i < e->gathered.n; i++)
		keep(&e->kept, &e->gathered.p[i]);
	uv_mutex_unlock(&e->lock);
	items_fini(&e->gathered);
	if (fail)
		memcpy(why, "asked to fail", sizeof("asked to fail"));
	return fail ? ERR_IO : OK;
}

static void mem_abandon(struct engine *e)
{
	items_fini(&e->gathered);
}

static uint64_t mem_backlog(struct engine *e)
{
	(void)e;
	return 0;
}

const struct engine_ops engine_mem = {
	.name = "mem",
	.open = mem_open,
	.close = mem_close,
	.get = mem_get,
	.size = mem_size,
	.scan = mem_scan,
	.put = mem_put,
	.del = mem_del,
	.commit = mem_commit,
	.abandon = mem_abandon,
	.backlog = mem_backlog,
};
