/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statements: see statements.h.
 */
#include "gateway/statements.h"

#include <stdlib.h>

void statements_init(struct statements *s)
{
	*s = (struct statements){0};
	list_init(&s->recent);
}

void statements_fini(struct statements *s)
{
	must(s->n == 0);
	map_fini(&s->by_sql);
}

int statement_init(struct statement *st, struct slice sql)
{
	uint8_t *copy = malloc(sql.n + 1);

	if (!copy)
		return ERR_NOMEM;
	if (sql.n)
		memcpy(copy, sql.p, sql.n);
	copy[sql.n] = 0;
	st->sql = slice_of(copy, sql.n);
	list_init(&st->node);
	return OK;
}

void statement_fini(struct statement *st)
{
	free((void *)st->sql.p);
	st->sql = (struct slice){0};
}

struct statement *statements_find(struct statements *s, struct slice sql)
{
	struct statement *st = map_get(&s->by_sql, sql);

	if (st) {
		list_remove(&st->node);
		list_push(&s->recent, &st->node);
	}
	return st;
}

struct statement *statements_first(const struct statements *s)
{
	struct list *node = list_first(&s->recent);

	return node ? container_of(node, struct statement, node) : NULL;
}

struct statement *statements_surplus(const struct statements *s)
{
	return s->n < STATEMENTS_MAX ? NULL : statements_first(s);
}

int statements_add(struct statements *s, struct statement *st)
{
	int r = st->sql.n > STATEMENTS_SQL
			? ERR_RANGE
			: map_put(&s->by_sql, st->sql, st, NULL);

	if (r < 0)
		return r;
	list_push(&s->recent, &st->node);
	s->n++;
	return OK;
}

void statements_remove(struct statements *s, struct statement *st)
{
	if (map_del(&s->by_sql, st->sql))
		s->n--;
	list_remove(&st->node);
}
