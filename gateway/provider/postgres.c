/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postgres: PostgreSQL and what speaks its protocol (CockroachDB), by libpq's
 * asynchronous interface. Each connection keeps what it has prepared, so that
 * a call is one round trip. Start at pg_call(); then postgres_link.c,
 * postgres_rows.c, postgres_value.c.
 *
 * Answers are VerneMQ's: an array of rows for what selects; true, or false
 * when no row was touched, for what counts; {} for what does neither; false
 * when the server refuses the statement.
 */
#include "gateway/provider/postgres.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/net.h"
#include "gateway/provider/all.h"
#include "gateway/server.h"
#include "gateway/settings.h"

/* ---- settings ---------------------------------------------------------- */

static int open_settings(struct slice settings, bool ssl, void **out,
			 unsigned *size, struct buf *target, struct buf *why)
{
	const struct server_defaults defaults = {
		.port = 5432,
		.user = "root",
		.password = "password",
		.database = "vernemq_db",
		.ssl = ssl,
	};
	struct server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return ERR_NOMEM;
	r = server_init(s, settings, &defaults, why);
	if (r == OK)
		r = server_size(settings, size, why);
	if (r < 0) {
		server_fini(s);
		free(s);
		return r;
	}
	settings_target(s->host, s->port, target);
	*out = s;
	return OK;
}

static int pg_open(struct slice settings, void **out, unsigned *size,
		   struct buf *target, struct buf *why)
{
	return open_settings(settings, false, out, size, target, why);
}

static int crdb_open(struct slice settings, void **out, unsigned *size,
		     struct buf *target, struct buf *why)
{
	return open_settings(settings, true, out, size, target, why);
}

static void pg_close(void *settings)
{
	server_fini(settings);
	free(settings);
}

/* ---- connecting -------------------------------------------------------- */

static PGconn *start(const struct server *s)
{
	char port[8];
	const char *const keys[] = {"host",
				    "port",
				    "user",
				    "password",
				    "dbname",
				    "sslmode",
				    "sslrootcert",
				    "sslcert",
				    "sslkey",
				    "gssencmode",
				    "application_name",
				    NULL};
	const char *const values[] = {
		s->host,
		port,
		s->user,
		s->password,
		s->database,
		!s->ssl ? "disable" : s->verify ? "verify-full" : "require",
		s->cafile,
		s->certfile,
		s->keyfile,
		"disable",
		"pinfold",
		NULL};

	snprintf(port, sizeof(port), "%u", s->port);
	return PQconnectStartParams(keys, values, 0);
}

static int poll_connect(PGconn *link, uint64_t deadline_ms)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	int r;

	while (state == PGRES_POLLING_READING ||
	       state == PGRES_POLLING_WRITING) {
		r = net_wait(PQsocket(link),
			     state == PGRES_POLLING_READING ? POLLIN : POLLOUT,
			     deadline_ms);
		if (r < 0)
			return r;
		state = PQconnectPoll(link);
	}
	return state == PGRES_POLLING_OK ? OK : ERR_IO;
}

/* Notices would go to stderr. */
static void ignore_notice(void *arg, const PGresult *res)
{
	(void)arg;
	(void)res;
}

static int pg_connect(struct conn *c, uint64_t deadline_ms, struct buf *why)
{
	struct pg *pg;
	int r = server_check_files(c->settings, why);

	if (r < 0)
		return r;
	pg = calloc(1, sizeof(*pg));
	if (!pg)
		return ERR_NOMEM;
	r = ERR_NOMEM;
	statements_init(&pg->known);
	pg->link = start(c->settings);
	if (pg->link && PQstatus(pg->link) != CONNECTION_BAD)
		r = poll_connect(pg->link, deadline_ms);
	else if (pg->link)
		r = ERR_IO;
	if (r == OK && PQsetnonblocking(pg->link, 1) == 0) {
		PQsetNoticeReceiver(pg->link, ignore_notice, NULL);
		c->handle = pg;
		c->fd = PQsocket(pg->link);
		return OK;
	}
	if (r == ERR_TIMEOUT)
		buf_addf(why, "it does not answer");
	else
		pg_first_line(why, pg->link ? PQerrorMessage(pg->link)
					    : "no memory");
	PQfinish(pg->link);
	free(pg);
	return r < 0 ? r : ERR_IO;
}

static void pg_disconnect(struct conn *c)
{
	struct pg *pg = c->handle;
	struct statement *st;

	while ((st = statements_first(&pg->known)) != NULL)
		pg_forget(pg, container_of(st, struct pg_prepared, st));
	statements_fini(&pg->known);
	buf_fini(&pg->params.text);
	PQfinish(pg->link);
	free(pg);
	c->handle = NULL;
}

/* ---- a call ------------------------------------------------------------ */

/* Finds or prepares. NULL: the job is answered or failed, and *r is what
 * pg_call() returns. */
static struct pg_prepared *statement(struct pg *pg, struct job *job,
				     struct slice sql, int *r)
{
	struct statement *st = statements_find(&pg->known, sql);
	struct pg_prepared *p;

	*r = OK;
	if (st)
		return container_of(st, struct pg_prepared, st);
	p = calloc(1, sizeof(*p));
	if (!p || statement_init(&p->st, sql) < 0) {
		free(p);
		job_fail(job, JOB_UNAVAILABLE, "no memory");
		return NULL;
	}
	*r = pg_prepare(pg, job, p);
	if (*r == OK && p->types)
		return p;
	pg_forget(pg, p);
	return NULL;
}

static int execute(struct pg *pg, struct job *job, struct slice sql,
		   bool *stale)
{
	struct cursor args = job->args;
	struct pg_prepared *p;
	int r;

	p = statement(pg, job, sql, &r);
	if (!p)
		return r;
	pg->params.n = (int)job->nargs - 1;
	if (pg->params.n != p->nparams)
		job_fail(job, JOB_BADARG,
			 "the statement takes %d parameters, not %d",
			 p->nparams, pg->params.n);
	else if (pg_params_read(&pg->params, p->types, job) == JOB_OK)
		r = pg_run(pg, job, p, stale);
	job->args = args;
	if (*stale || !p->name[0])
		pg_forget(pg, p);
	return r;
}

static int pg_call(struct conn *c, struct job *job)
{
	struct pg *pg = c->handle;
	struct slice sql = cursor_text(&job->args);
	bool stale = false;
	int r;

	if (!slice_is(job->op, "execute")) {
		job_fail(job, JOB_BADARG, "no such function");
		return OK;
	}
	if (job->args.error || memchr(sql.p, 0, sql.n) ||
	    job->nargs > PG_PARAMS) {
		job_fail(job, JOB_BADARG, "execute(pool, sql, parameters...)");
		return OK;
	}
	meter_start(&pg->meter, PQsocket(pg->link));
	r = execute(pg, job, sql, &stale);
	if (r == OK && stale) {
		buf_clear(&job->out);
		buf_clear(&job->note);
		r = execute(pg, job, sql, &stale);
	}
	/* Whatever the server made up. */
	if (job->code == JOB_OK && job->out.n == 0)
		return pg_broke(pg, job);
	return r;
}

/* ---- what needs no connection ------------------------------------------ */

static int hash_method(struct slice settings, struct job *job,
		       const char *fallback)
{
	struct buf why = {0};
	char *method;

	if (!slice_is(job->op, "hash_method"))
		return ERR_ABSENT;
	if (settings_text(settings, "password_hash_method", fallback, &method,
			  &why) == OK)
		pack_cstr(&job->out, method);
	else
		job_fail(job, JOB_BADARG, "%.*s", (int)why.n,
			 (const char *)why.p);
	free(method);
	buf_fini(&why);
	return OK;
}

static int pg_local(struct slice settings, struct job *job)
{
	return hash_method(settings, job, "crypt");
}

static int crdb_local(struct slice settings, struct job *job)
{
	return hash_method(settings, job, "bcrypt");
}

const struct provider postgres_provider = {
	.name = "postgres",
	.default_pool = "pool_postgres",
	.connects = true,
	.size = 5,
	.pool_open = pg_open,
	.pool_close = pg_close,
	.connect = pg_connect,
	.disconnect = pg_disconnect,
	.call = pg_call,
	.local = pg_local,
};

const struct provider cockroachdb_provider = {
	.name = "cockroachdb",
	.default_pool = "pool_cockroachdb",
	.connects = true,
	.size = 5,
	.pool_open = crdb_open,
	.pool_close = pg_close,
	.connect = pg_connect,
	.disconnect = pg_disconnect,
	.call = pg_call,
	.local = crdb_local,
};
