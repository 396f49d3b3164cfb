/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postgres_rows: running a prepared statement and reading what comes, row by
 * row, so that an endless answer is stopped at the limit. What an answer
 * means is told at the top of postgres.c.
 */
#include "gateway/provider/postgres.h"

/* One call while its results come in. */
struct answer {
	struct job *job;
	size_t head; /* of the array, in job->out */
	uint32_t rows;
	bool over;  /* job->out is no array of rows any more */
	bool stale; /* the server has forgotten or outlived what we prepared */
};

/* array 32, so that the count can be written when it is known. */
static void begin_rows(struct answer *a)
{
	static const uint8_t head[5] = {0xdd};

	a->head = a->job->out.n;
	buf_add(&a->job->out, head, sizeof(head));
}

static void end_rows(struct answer *a)
{
	uint8_t *p = a->job->out.p + a->head + 1;

	if (a->over || buf_error(&a->job->out))
		return;
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(a->rows >> (24 - 8 * i));
}

static void refuse_column(struct answer *a, const char *name)
{
	job_fail(a->job, JOB_BADARG,
		 "column %s has a type that scripts do not get: cast it to "
		 "text (%s::text)",
		 name, name);
	a->over = true;
}

static void add_row(struct answer *a, const PGresult *res)
{
	struct buf *out = &a->job->out;
	int n = PQnfields(res);

	pack_map(out, (uint32_t)n);
	for (int i = 0; i < n; i++) {
		struct slice text = slice_of(PQgetvalue(res, 0, i),
					     (size_t)PQgetlength(res, 0, i));

		pack_text(out, slice_str(PQfname(res, i)));
		if (PQgetisnull(res, 0, i)) {
			pack_nil(out);
		} else if (pg_pack_field(out, PQftype(res, i), text) < 0) {
			refuse_column(a, PQfname(res, i));
			return;
		}
	}
}

static int take_row(struct answer *a, const PGresult *res)
{
	if (++a->rows > PROVIDER_MAX_ROWS) {
		job_fail(a->job, JOB_TOO_LARGE, "the answer has over %d rows",
			 PROVIDER_MAX_ROWS);
		return ERR_CLOSED;
	}
	if (!a->over)
		add_row(a, res);
	if (buf_error(&a->job->out)) {
		job_fail(a->job, JOB_TOO_LARGE, "the answer is over %d bytes",
			 PROVIDER_MAX_BYTES);
		return ERR_CLOSED;
	}
	return OK;
}

/* "INSERT 0 1", "SELECT 3", "CREATE TABLE", "SHOW". */
static void take_tag(struct answer *a, PGresult *res)
{
	const char *tag = PQcmdStatus(res), *count = PQcmdTuples(res);

	if (strncmp(tag, "SELECT", 6) == 0 || count[0] == '\0' || a->over)
		return;
	buf_clear(&a->job->out);
	pack_bool(&a->job->out, strcmp(count, "0") != 0);
	a->over = true;
}

static bool is_stale(const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	return state && (strcmp(state, "26000") == 0 || /* no such statement */
			 strcmp(state, "0A000") == 0); /* result type changed */
}

static int take_result(struct pg *pg, struct answer *a, PGresult *res)
{
	switch (PQresultStatus(res)) {
	case PGRES_SINGLE_TUPLE:
		return take_row(a, res);
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
		take_tag(a, res);
		return OK;
	case PGRES_EMPTY_QUERY:
		return OK;
	case PGRES_FATAL_ERROR:
		a->over = true;
		a->stale = a->rows == 0 && is_stale(res);
		return a->job->code == JOB_OK ? pg_refuse(pg, a->job, res) : OK;
	default: /* COPY: nobody would read or write it */
		pg_refuse(pg, a->job, res);
		a->over = true;
		return ERR_CLOSED;
	}
}

int pg_run(struct pg *pg, struct job *job, const struct pg_prepared *p,
	   bool *stale)
{
	const struct pg_params *q = &pg->params;
	struct answer a = {.job = job};
	PGresult *res;
	int r;

	if (!PQsendQueryPrepared(pg->link, p->name, q->n, q->value, q->length,
				 q->format, 0) ||
	    !PQsetSingleRowMode(pg->link))
		return pg_broke(pg, job);
	begin_rows(&a);
	while ((r = pg_next_result(pg, job, &res)) == OK && res) {
		r = take_result(pg, &a, res);
		PQclear(res);
		if (r < 0)
			return r;
	}
	if (r == OK)
		end_rows(&a);
	*stale = a.stale;
	return r;
}
