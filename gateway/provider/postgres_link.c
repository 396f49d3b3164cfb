/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postgres_link: waiting for the server within a job's deadline, and preparing
 * statements: one round trip in libpq's pipeline mode, together with closing
 * the statement that has to make room.
 */
#include "gateway/provider/postgres.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/net.h"

/* libpq says a line for each address that it tried, and hints. */
void pg_first_line(struct buf *why, const char *text)
{
	size_t n = strcspn(text, "\n");

	buf_add(why, text, n < 300 ? n : 300);
}

/* ---- waiting ----------------------------------------------------------- */

int pg_broke(struct pg *pg, struct job *job)
{
	struct buf why = {0};

	pg_first_line(&why, PQerrorMessage(pg->link));
	job_fail(job, JOB_UNAVAILABLE, "%.*s", (int)why.n, (const char *)why.p);
	buf_fini(&why);
	return ERR_CLOSED;
}

/* Until there is a result, or none is left (NULL). ERR_CLOSED: the job has
 * failed and the connection is of no use. */
int pg_next_result(struct pg *pg, struct job *job, PGresult **res)
{
	int unsent = PQflush(pg->link), r;

	while (unsent >= 0 && PQisBusy(pg->link)) {
		r = net_wait(PQsocket(pg->link),
			     (short)(POLLIN | (unsent ? POLLOUT : 0)),
			     job->deadline_ms);
		if (r == ERR_TIMEOUT) {
			job_fail(job, JOB_TIMEOUT,
				 "the server did not answer in time");
			return ERR_CLOSED;
		}
		if (!meter_holds(&pg->meter)) {
			job_fail(job, JOB_TOO_LARGE,
				 "the server sent over %d bytes", METER_MAX);
			return ERR_CLOSED;
		}
		if (r < 0 || !PQconsumeInput(pg->link))
			return pg_broke(pg, job);
		unsent = PQflush(pg->link);
	}
	if (unsent < 0)
		return pg_broke(pg, job);
	*res = PQgetResult(pg->link);
	return OK;
}

/* What the server said, for the log. Class 22 quotes the data. */
static void note_refusal(struct job *job, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	if (!state || job->note.n)
		return;
	buf_addf(&job->note, "SQLSTATE %s", state);
	if (text && strncmp(state, "22", 2) != 0)
		buf_addf(&job->note, ": %.*s", (int)strcspn(text, "\n"), text);
}

/* The statement is refused, but the connection may be used further. */
int pg_refuse(struct pg *pg, struct job *job, const PGresult *res)
{
	if (PQstatus(pg->link) == CONNECTION_BAD)
		return pg_broke(pg, job);
	note_refusal(job, res);
	buf_clear(&job->out);
	pack_bool(&job->out, false);
	return OK;
}

/* ---- preparing --------------------------------------------------------- */

static int take_types(struct pg_prepared *p, struct job *job,
		      const PGresult *res)
{
	p->nparams = PQnparams(res);
	p->types = calloc((size_t)p->nparams + 1, sizeof(*p->types));
	if (!p->types) {
		job_fail(job, JOB_UNAVAILABLE, "no memory");
		return ERR_CLOSED;
	}
	for (int i = 0; i < p->nparams; i++)
		p->types[i] = PQparamtype(res, i);
	return OK;
}

/* A result of a pipeline: command 0 closes an older statement, which may fail
 * (it may be gone); 1 prepares, 2 describes. *refused: the job is answered. */
static int take_answer(struct pg *pg, struct job *job, struct pg_prepared *p,
		       unsigned command, const PGresult *res)
{
	switch (PQresultStatus(res)) {
	case PGRES_FATAL_ERROR:
		if (command > 0 || PQstatus(pg->link) == CONNECTION_BAD)
			return pg_refuse(pg, job, res);
		return OK;
	case PGRES_COMMAND_OK:
		return command == 2 ? take_types(p, job, res) : OK;
	default: /* aborted with the one before */
		return OK;
	}
}

static int read_prepare(struct pg *pg, struct job *job, struct pg_prepared *p,
			bool closes)
{
	unsigned command = closes ? 0 : 1, syncs = closes ? 2 : 1;
	PGresult *res;
	int r = OK;

	while (syncs > 0 && r == OK) {
		r = pg_next_result(pg, job, &res);
		if (r < 0)
			return r;
		if (!res && ++command > 3)
			return pg_broke(pg, job);
		if (PQresultStatus(res) == PGRES_PIPELINE_SYNC)
			syncs--;
		else if (res)
			r = take_answer(pg, job, p, command, res);
		PQclear(res);
	}
	return r;
}

void pg_forget(struct pg *pg, struct pg_prepared *p)
{
	statements_remove(&pg->known, &p->st);
	statement_fini(&p->st);
	free(p->types);
	free(p);
}

static bool send_prepare(struct pg *pg, struct pg_prepared *p,
			 const char *closed)
{
	char sql[32];

	if (!PQenterPipelineMode(pg->link))
		return false;
	if (closed) {
		snprintf(sql, sizeof(sql), "DEALLOCATE %s", closed);
		if (!PQsendQueryParams(pg->link, sql, 0, NULL, NULL, NULL, NULL,
				       0) ||
		    !PQpipelineSync(pg->link))
			return false;
	}
	return PQsendPrepare(pg->link, p->name, (const char *)p->st.sql.p, 0,
			     NULL) &&
	       PQsendDescribePrepared(pg->link, p->name) &&
	       PQpipelineSync(pg->link);
}

/* p->types stays NULL when the server refuses it, and the job is answered. */
int pg_prepare(struct pg *pg, struct job *job, struct pg_prepared *p)
{
	struct statement *surplus = NULL;
	bool sent;
	int r;

	if (statements_add(&pg->known, &p->st) == OK) {
		snprintf(p->name, sizeof(p->name), "p%u", pg->next_name++);
		surplus = statements_surplus(&pg->known);
	}
	if (surplus) {
		struct pg_prepared *old =
			container_of(surplus, struct pg_prepared, st);

		sent = send_prepare(pg, p, old->name);
		pg_forget(pg, old);
	} else {
		sent = send_prepare(pg, p, NULL);
	}
	if (!sent)
		return pg_broke(pg, job);
	r = read_prepare(pg, job, p, surplus != NULL);
	if (r == OK && !PQexitPipelineMode(pg->link))
		return pg_broke(pg, job);
	return r;
}
