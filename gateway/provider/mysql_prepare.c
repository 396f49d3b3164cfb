/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mysql_prepare: the statements that a connection knows, and how one comes to
 * be known.
 */
#include "gateway/provider/mysql.h"

#include <stdlib.h>
#include <strings.h>

void my_forget(struct my *my, struct my_prepared *p)
{
	if (p->kept)
		statements_remove(&my->known, &p->st);
	statement_fini(&p->st);
	free(p);
}

static int no_memory(struct job *job)
{
	job_fail(job, JOB_UNAVAILABLE, "no memory");
	return ERR_CLOSED;
}

void my_drop(struct my *my, struct my_prepared *p)
{
	my_close_stmt(my, p->stmt);
	my_forget(my, p);
}

static void make_room(struct my *my)
{
	struct statement *old = statements_surplus(&my->known);

	if (old)
		my_drop(my, container_of(old, struct my_prepared, st));
}

/* What cannot be prepared, and has no rows: LOCK TABLES, USE. Emysql sent all
 * that has no parameters as text. */
static int run_text(struct my *my, struct job *job, struct slice sql)
{
	int failed = my_query(my, sql);

	if (failed || mysql_field_count(my->link) > 0) {
		int r = my_refuse(my, job,
				  (struct my_error){mysql_errno(my->link),
						    mysql_sqlstate(my->link),
						    mysql_error(my->link)});

		return failed ? r : ERR_CLOSED;
	}
	pack_bool(&job->out, true);
	return OK;
}

/*
 * Is it to be kept? When the columns of an answer are not those that the
 * library saw before, it refuses to read on, and the statement has to be run
 * anew: so only what may run twice, and what never has columns.
 */
static bool is_keepable(const struct my_prepared *p)
{
	static const char *const verbs[] = {"INSERT", "UPDATE", "DELETE",
					    "REPLACE"};
	const char *text = (const char *)p->st.sql.p;

	text += strspn(text, " \t\r\n");
	if (strncasecmp(text, "SELECT", 6) == 0)
		return true;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (strncasecmp(text, verbs[i], strlen(verbs[i])) == 0)
			return mysql_stmt_field_count(p->stmt) == 0;
	return false;
}

/* NULL: *r is what the call returns, and the job is answered or failed. */
struct my_prepared *my_prepare(struct my *my, struct job *job, struct slice sql,
			       int *r)
{
	struct my_prepared *p = calloc(1, sizeof(*p));

	if (!p || statement_init(&p->st, sql) < 0 ||
	    !(p->stmt = mysql_stmt_init(my->link))) {
		if (p)
			statement_fini(&p->st);
		free(p);
		*r = no_memory(job);
		return NULL;
	}
	make_room(my);
	if (my_prepare_stmt(my, p->stmt, p->st.sql) == 0) {
		p->kept = is_keepable(p) &&
			  statements_add(&my->known, &p->st) == OK;
		return p;
	}
	if (my->classic && job->nargs == 1 && mysql_stmt_errno(p->stmt) == 1295)
		*r = run_text(my, job, p->st.sql);
	else
		*r = my_refuse_stmt(my, job, p->stmt);
	my_drop(my, p);
	return NULL;
}
