/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statements: what one connection has prepared, found by the SQL text, so
 * that a call costs one round trip. Bounded: the one that was used longest ago
 * makes room.
 */
#ifndef PF_GATEWAY_STATEMENTS_H
#define PF_GATEWAY_STATEMENTS_H

#include "lib/list.h"
#include "lib/map.h"

enum { STATEMENTS_MAX = 64, STATEMENTS_SQL = 16 << 10 };

/* Part of a provider's own struct. */
struct statement {
	struct list node;
	struct slice sql; /* a copy with a NUL behind it */
};

struct statements {
	struct map by_sql;
	struct list recent; /* the oldest first */
	unsigned n;
};

void statements_init(struct statements *s);
void statements_fini(struct statements *s); /* an empty one */

/* Copies the text. ERR_NOMEM. */
int statement_init(struct statement *st, struct slice sql) must_check;
void statement_fini(struct statement *st);

/* The one with this text, now the most recent; or NULL. */
struct statement *statements_find(struct statements *s, struct slice sql);

/* The one to remove before the next is added, or NULL: there is room. */
struct statement *statements_surplus(const struct statements *s);

/* ERR_NOMEM, or ERR_RANGE: so long that it is not worth keeping. */
int statements_add(struct statements *s, struct statement *st) must_check;

/* The caller's again. */
void statements_remove(struct statements *s, struct statement *st);

/* Any of them, or NULL: to empty it. */
struct statement *statements_first(const struct statements *s);

#endif
