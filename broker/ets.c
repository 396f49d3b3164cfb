/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ets: a map of tables, each a map of rows, each a list of values. What goes
 * in is checked and counted before anything changes: see room_for().
 */
#include "broker/ets.h"

#include <stdlib.h>

#include "lib/list.h"
#include "lib/map.h"
#include "proto/pack.h"
#include "proto/unpack.h"

enum {
	OVERHEAD = 96, /* of the allocator and the maps for each, roughly */
	MAX_LOOKUP = 16 << 20,
};

static const char *const types[ETS_TYPES] = {
	[ETS_SET] = "set",
	[ETS_ORDERED_SET] = "ordered_set",
	[ETS_BAG] = "bag",
	[ETS_DUPLICATE_BAG] = "duplicate_bag",
};

struct ets {
	struct map tables;
	size_t max_bytes, bytes, values;
};

struct table {
	enum ets_type type;
	struct map rows;
	struct slice name, owner; /* in text */
	uint8_t text[];
};

struct row {
	struct list values; /* the oldest first, never empty */
	size_t n, bytes;    /* of the values */
	struct map index;   /* ETS_BAG: by their bytes */
	size_t key_n;
	uint8_t key[];
};

struct value {
	struct list node;
	size_t n;
	uint8_t bytes[];
};

enum ets_type ets_type_parse(struct slice name)
{
	int i;

	for (i = 0; i < ETS_TYPES; i++)
		if (slice_is(name, types[i]))
			break;
	return (enum ets_type)i;
}

/* ---- sizes ------------------------------------------------------------- */

static size_t table_size(const struct table *t)
{
	return sizeof(*t) + OVERHEAD + t->name.n + t->owner.n;
}

static size_t row_size(size_t key_n)
{
	return sizeof(struct row) + OVERHEAD + key_n;
}

static size_t value_size(size_t n)
{
	return sizeof(struct value) + OVERHEAD + n;
}

/* ---- tables ------------------------------------------------------------ */

static struct slice row_key(const struct row *r)
{
	return slice_of(r->key, r->key_n);
}

static void free_value(struct ets *e, struct row *r, struct value *v)
{
	list_remove(&v->node);
	r->n--;
	r->bytes -= v->n;
	e->values--;
	e->bytes -= value_size(v->n);
	free(v);
}

static void free_row(struct ets *e, struct row *r)
{
	struct list *node;

	while ((node = list_first(&r->values)))
		free_value(e, r, container_of(node, struct value, node));
	map_fini(&r->index);
	e->bytes -= row_size(r->key_n);
	free(r);
}

static void clear_table(struct ets *e, struct table *t)
{
	size_t at = 0;
	struct row *r;

	while ((r = map_next(&t->rows, &at)))
		free_row(e, r);
	map_fini(&t->rows);
}

static void free_table(struct ets *e, struct table *t)
{
	clear_table(e, t);
	map_del(&e->tables, t->name);
	e->bytes -= table_size(t);
	free(t);
}

int ets_ensure(struct ets *e, struct slice name, enum ets_type type,
	       struct slice owner)
{
	struct table *t;

	if (name.n == 0 || name.n > ETS_NAME || owner.n > ETS_NAME)
		return ERR_RANGE;
	if (map_get(&e->tables, name))
		return OK;
	if (e->bytes + sizeof(*t) + OVERHEAD + name.n + owner.n > e->max_bytes)
		return ERR_FULL;
	t = calloc(1, sizeof(*t) + name.n + owner.n);
	if (!t)
		return ERR_NOMEM;
	t->type = type;
	t->name = slice_of(t->text, name.n);
	t->owner = slice_of(t->text + name.n, owner.n);
	memcpy(t->text, name.p, name.n);
	if (owner.n)
		memcpy(t->text + name.n, owner.p, owner.n);
	if (map_put(&e->tables, t->name, t, NULL) < 0) {
		free(t);
		return ERR_NOMEM;
	}
	e->bytes += table_size(t);
	return OK;
}

/* One that the owner made, or NULL. */
static struct table *owned(const struct ets *e, struct slice owner)
{
	size_t at = 0;
	struct table *t;

	while ((t = map_next(&e->tables, &at)))
		if (slice_eq(t->owner, owner))
			return t;
	return NULL;
}

void ets_forget(struct ets *e, struct slice owner)
{
	struct table *t;

	while ((t = owned(e, owner)))
		free_table(e, t);
}

/* ---- what goes in ------------------------------------------------------ */

static bool shallow(struct cursor *c, unsigned levels)
{
	enum cursor_type type = cursor_peek(c);
	uint64_t n;

	if (type != CURSOR_ARRAY && type != CURSOR_MAP) {
		cursor_skip(c);
		return !c->error;
	}
	if (levels == 0)
		return false;
	n = type == CURSOR_MAP ? 2 * (uint64_t)cursor_map(c) : cursor_array(c);
	for (; n > 0 && !c->error; n--)
		if (!shallow(c, levels - 1))
			return false;
	return !c->error;
}

static bool is_text(const struct cursor *c)
{
	enum cursor_type type = cursor_peek(c);

	return type == CURSOR_STR || type == CURSOR_BIN;
}

/* Is the map fit, and is there room for all of it as if it were new? */
static int room_for(const struct ets *e, struct slice map)
{
	struct cursor c = cursor_of(map);
	size_t need = 0;
	uint32_t n;

	if (cursor_peek(&c) != CURSOR_MAP)
		return ERR_TYPE;
	n = cursor_map(&c);
	if (n == 0)
		return ERR_TYPE;
	for (; n > 0; n--) {
		struct slice key, raw;
		struct cursor v;

		if (!is_text(&c))
			return ERR_TYPE;
		key = cursor_text(&c);
		raw = cursor_raw(&c);
		v = cursor_of(raw);
		if (c.error)
			return ERR_TYPE;
		if (key.n > ETS_KEY || !shallow(&v, ETS_DEPTH))
			return ERR_RANGE;
		need += row_size(key.n) + value_size(raw.n);
	}
	return need > e->max_bytes || e->bytes > e->max_bytes - need ? ERR_FULL
								     : OK;
}

static struct row *new_row(struct ets *e, struct table *t, struct slice key)
{
	struct row *r = calloc(1, sizeof(*r) + key.n);

	if (!r)
		return NULL;
	list_init(&r->values);
	r->key_n = key.n;
	if (key.n)
		memcpy(r->key, key.p, key.n);
	if (map_put(&t->rows, row_key(r), r, NULL) < 0) {
		free(r);
		return NULL;
	}
	e->bytes += row_size(key.n);
	return r;
}

static int add_value(struct ets *e, struct row *r, struct slice raw, bool index)
{
	struct value *v = malloc(sizeof(*v) + raw.n);

	if (!v)
		return ERR_NOMEM;
	v->n = raw.n;
	memcpy(v->bytes, raw.p, raw.n);
	if (index &&
	    map_put(&r->index, slice_of(v->bytes, v->n), v, NULL) < 0) {
		free(v);
		return ERR_NOMEM;
	}
	list_push(&r->values, &v->node);
	r->n++;
	r->bytes += raw.n;
	e->values++;
	e->bytes += value_size(raw.n);
	return OK;
}

static int put(struct ets *e, struct table *t, struct slice key,
	       struct slice raw)
{
	struct row *r = map_get(&t->rows, key);
	int rc;

	if (t->type == ETS_BAG && r && map_get(&r->index, raw))
		return OK;
	if (!r && !(r = new_row(e, t, key)))
		return ERR_NOMEM;
	rc = add_value(e, r, raw, t->type == ETS_BAG);
	if (list_empty(&r->values)) {
		map_del(&t->rows, key);
		free_row(e, r);
	}
	if (rc < 0)
		return rc;
	while ((t->type == ETS_SET || t->type == ETS_ORDERED_SET) && r->n > 1)
		free_value(e, r,
			   container_of(list_first(&r->values), struct value,
					node));
	return OK;
}

static bool has_one(const struct table *t, struct slice map)
{
	struct cursor c = cursor_of(map);

	for (uint32_t n = cursor_map(&c); n > 0 && !c.error; n--) {
		if (map_get(&t->rows, cursor_text(&c)))
			return true;
		cursor_skip(&c);
	}
	return false;
}

static int insert(struct ets *e, struct slice name, struct slice map,
		  bool fresh)
{
	struct table *t = map_get(&e->tables, name);
	struct cursor c = cursor_of(map);
	int r;

	if (!t)
		return ERR_ABSENT;
	if ((r = room_for(e, map)) < 0)
		return r;
	if (fresh && has_one(t, map))
		return 0;
	for (uint32_t n = cursor_map(&c); n > 0 && r == OK; n--) {
		struct slice key = cursor_text(&c);

		r = put(e, t, key, cursor_raw(&c));
	}
	return r < 0 ? r : 1;
}

int ets_insert(struct ets *e, struct slice name, struct slice map)
{
	int r = insert(e, name, map, false);

	return r < 0 ? r : OK;
}

int ets_insert_new(struct ets *e, struct slice name, struct slice map)
{
	return insert(e, name, map, true);
}

/* ---- the rest ---------------------------------------------------------- */

int ets_lookup(struct ets *e, struct slice name, struct slice key,
	       struct buf *out)
{
	struct table *t = map_get(&e->tables, name);
	struct row *r;

	if (!t)
		return ERR_ABSENT;
	r = map_get(&t->rows, key);
	if (r && r->bytes > MAX_LOOKUP)
		return ERR_RANGE;
	pack_array(out, r ? (uint32_t)r->n : 0);
	if (!r)
		return buf_error(out);
	list_each(node, next, &r->values)
	{
		struct value *v = container_of(node, struct value, node);

		pack_raw(out, slice_of(v->bytes, v->n));
	}
	return buf_error(out);
}

int ets_delete(struct ets *e, struct slice name, struct slice key)
{
	struct table *t = map_get(&e->tables, name);
	struct row *r;

	if (!t)
		return ERR_ABSENT;
	r = map_del(&t->rows, key);
	if (r)
		free_row(e, r);
	return OK;
}

int ets_delete_all(struct ets *e, struct slice name)
{
	struct table *t = map_get(&e->tables, name);

	if (!t)
		return ERR_ABSENT;
	clear_table(e, t);
	return OK;
}

void ets_count(const struct ets *e, struct ets_counts *out)
{
	*out = (struct ets_counts){e->tables.n, e->values, e->bytes,
				   e->max_bytes};
}

int ets_new(size_t max_bytes, struct ets **out)
{
	struct ets *e = calloc(1, sizeof(*e));

	if (!e)
		return ERR_NOMEM;
	e->max_bytes = max_bytes;
	*out = e;
	return OK;
}

void ets_free(struct ets *e)
{
	size_t at;
	struct table *t;

	if (!e)
		return;
	while (at = 0, (t = map_next(&e->tables, &at)))
		free_table(e, t);
	map_fini(&e->tables);
	free(e);
}
