/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postgres: what the files postgres*.c share. postgres.c: settings,
 * connecting, a call; postgres_link.c: waiting and preparing;
 * postgres_rows.c: running and reading; postgres_value.c: single values.
 */
#ifndef PF_GATEWAY_PROVIDER_POSTGRES_H
#define PF_GATEWAY_PROVIDER_POSTGRES_H

#include <libpq-fe.h>

#include "gateway/meter.h"
#include "gateway/provider.h"
#include "gateway/statements.h"

enum { PG_PARAMS = 1024, PG_ARRAY_DEPTH = 6 };

/* The parameters of one call, as libpq takes them. */
struct pg_params {
	int n;
	const char *value[PG_PARAMS];
	int length[PG_PARAMS], format[PG_PARAMS];
	size_t at[PG_PARAMS]; /* in `text`, of a value that is not borrowed */
	struct buf text;
};

struct pg_prepared {
	struct statement st;
	char name[16]; /* "": it is not kept */
	int nparams;
	Oid *types; /* NULL: the server has refused it */
};

/* A connection. */
struct pg {
	PGconn *link;
	struct statements known;
	unsigned next_name;
	struct meter meter;
	struct pg_params params;
};

/*
 * The functions below return OK while the connection can be used, else
 * ERR_CLOSED; the job has failed then.
 */

/* Until there is a result (for PQclear()), or none is left: NULL. */
int pg_next_result(struct pg *pg, struct job *job, PGresult **res) must_check;

/* The connection broke: the job fails. Always ERR_CLOSED. */
int pg_broke(struct pg *pg, struct job *job);

/* The server has refused the statement: the job's answer is `false`, and what
 * it said is noted. */
int pg_refuse(struct pg *pg, struct job *job, const PGresult *res);

/* Appends the first line of what libpq says: it says one for each address
 * that it tried, and hints. */
void pg_first_line(struct buf *why, const char *text);

/* Prepare p->st. p->types is NULL when it is refused. */
int pg_prepare(struct pg *pg, struct job *job,
	       struct pg_prepared *p) must_check;

/* Frees it; the server may still know it. */
void pg_forget(struct pg *pg, struct pg_prepared *p);

/* Run with pg->params and read the answer. *stale: the server does not know
 * the statement any more, or not as it was; nothing was done. */
int pg_run(struct pg *pg, struct job *job, const struct pg_prepared *p,
	   bool *stale) must_check;

/*
 * Read p->n values that the job's cursor stands before, of the types that the
 * server has told. Borrows from the job. JOB_OK, or a failed job.
 */
int pg_params_read(struct pg_params *p, const Oid *types, struct job *job);

/* One field of a row, as text from the server. ERR_TYPE: of a type that
 * scripts do not get (dates, addresses). */
int pg_pack_field(struct buf *out, Oid type, struct slice text) must_check;

#endif
