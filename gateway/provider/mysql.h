/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mysql: what the files mysql*.c share. mysql.c: settings, connecting, a call;
 * mysql_link.c: libmariadb's calls with a deadline; mysql_prepare.c:
 * statements; mysql_rows.c: reading an answer; mysql_value.c: single values.
 */
#ifndef PF_GATEWAY_PROVIDER_MYSQL_H
#define PF_GATEWAY_PROVIDER_MYSQL_H

#include <mysql.h>
/* It defines macros of these names. */
#undef list_pop
#undef list_push

#include "gateway/meter.h"
#include "gateway/provider.h"
#include "gateway/server.h"
#include "gateway/statements.h"

enum { MY_PARAMS = 1024, MY_PACKET = 32 << 20 };

struct my_prepared {
	struct statement st;
	MYSQL_STMT *stmt;
	bool kept;
};

/* A connection. */
struct my {
	MYSQL *link;
	struct statements known;
	struct meter meter;
	uint64_t deadline_ms; /* of what goes on */
	bool late;	      /* it has passed, and the socket is shut */
	bool endless;	      /* the server sent too much, likewise */
	bool classic;	      /* provider mysql: answers as Emysql gives them */
	MYSQL_BIND bind[MY_PARAMS];
	union my_number {
		int64_t i;
		double d;
	} number[MY_PARAMS];
};

/*
 * libmariadb's functions, ended by the deadline: the socket is shut then, and
 * they fail as for a connection that broke. Zero: well. The library looks for
 * a NUL behind sql when that is empty.
 */
bool my_connect_link(struct my *my, const struct server *s);
int my_prepare_stmt(struct my *my, MYSQL_STMT *stmt, struct slice sql);
int my_execute_stmt(struct my *my, MYSQL_STMT *stmt);
int my_fetch_stmt(struct my *my, MYSQL_STMT *stmt); /* as mysql_stmt_fetch */
int my_next_result(struct my *my, MYSQL_STMT *stmt);
void my_free_result(struct my *my, MYSQL_STMT *stmt);
void my_close_stmt(struct my *my, MYSQL_STMT *stmt);
int my_query(struct my *my, struct slice sql);

/* Shut the socket, so that nothing waits for the server any more. */
void my_shut(struct my *my);

/*
 * An error of the server or the library: the job is answered `false`, or
 * fails as unavailable, late or too large. OK when the connection can be
 * used, else ERR_CLOSED.
 */
struct my_error {
	unsigned error;
	const char *state, *text;
};
int my_refuse(struct my *my, struct job *job, struct my_error e);
int my_refuse_stmt(struct my *my, struct job *job, MYSQL_STMT *stmt);

/* The rows of an executed statement, or true. As my_refuse(). */
int my_answer(struct my *my, struct job *job, MYSQL_STMT *stmt) must_check;

/* Prepare. NULL: *r is what the call returns, and the job is answered or has
 * failed. One that is not `kept` is to be dropped after its use. */
struct my_prepared *my_prepare(struct my *my, struct job *job, struct slice sql,
			       int *r);

/* Close it at the server, and free it; or only the latter, for a connection
 * that ends. */
void my_drop(struct my *my, struct my_prepared *p);
void my_forget(struct my *my, struct my_prepared *p);

/* n values at the job's cursor into my->bind. Borrows from the job. JOB_OK, or
 * a failed job. */
int my_params_read(struct my *my, struct job *job, unsigned n);

/* How a column is to be read: fills in buffer_type. ERR_TYPE: it is of a type
 * that scripts do not get. */
int my_bind_column(const struct my *my, const MYSQL_FIELD *field,
		   MYSQL_BIND *bind) must_check;

/* Decimals come as text. */
void my_pack_decimal(struct buf *out, const struct my *my,
		     const MYSQL_FIELD *field, struct slice text);

/* The shortest number that a 4-byte float stands for. */
double my_round_float(double d);

bool my_is_decimal(const MYSQL_FIELD *field);

#endif
