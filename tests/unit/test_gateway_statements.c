/* SPDX-License-Identifier: Apache-2.0 */
/* The statements that a connection has prepared. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/statements.h"

static struct statement *add(struct statements *s, const char *sql)
{
	struct statement *st = calloc(1, sizeof(*st));

	cr_assert(st && statement_init(st, slice_str(sql)) == OK);
	cr_assert_eq(statements_add(s, st), OK);
	return st;
}

static void drop(struct statements *s, struct statement *st)
{
	statements_remove(s, st);
	statement_fini(st);
	free(st);
}

static void drop_all(struct statements *s)
{
	while (statements_first(s))
		drop(s, statements_first(s));
	statements_fini(s);
}

Test(statements, are_found_by_their_text)
{
	struct statements s;
	struct statement *one;

	statements_init(&s);
	cr_assert_null(statements_find(&s, slice_str("SELECT 1")));
	one = add(&s, "SELECT 1");
	add(&s, "");
	cr_assert_eq(statements_find(&s, slice_str("SELECT 1")), one);
	cr_assert_null(statements_find(&s, slice_str("SELECT 2")));
	cr_assert_eq(one->sql.p[one->sql.n], 0);
	drop(&s, one);
	cr_assert_null(statements_find(&s, slice_str("SELECT 1")));
	cr_assert_not_null(statements_find(&s, slice_str("")));
	drop_all(&s);
}

Test(statements, the_one_used_longest_ago_has_to_go)
{
	struct statements s;
	struct statement *second = NULL;
	char sql[16];

	statements_init(&s);
	for (int i = 0; i < STATEMENTS_MAX; i++) {
		cr_assert_null(statements_surplus(&s));
		snprintf(sql, sizeof(sql), "%d", i);
		if (i == 1)
			second = add(&s, sql);
		else
			add(&s, sql);
	}
	cr_assert_not_null(statements_find(&s, slice_str("0")));
	cr_assert_eq(statements_surplus(&s), second);
	drop(&s, second);
	cr_assert_null(statements_surplus(&s));
	drop_all(&s);
}

Test(statements, a_long_one_is_not_kept)
{
	struct statements s;
	struct statement st = {0};
	char *sql = malloc(STATEMENTS_SQL + 1);

	cr_assert(sql);
	memset(sql, 'x', STATEMENTS_SQL + 1);
	statements_init(&s);
	cr_assert_eq(statement_init(&st, slice_of(sql, STATEMENTS_SQL + 1)),
		     OK);
	cr_assert_eq(statements_add(&s, &st), ERR_RANGE);
	statements_remove(&s, &st); /* of one that is not there */
	cr_assert_eq(s.n, 0);
	statement_fini(&st);
	statements_fini(&s);
	free(sql);
}
