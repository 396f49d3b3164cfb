/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mysql_link: libmariadb's non-blocking functions. Each says what it waits for
 * and goes on when that has happened; what is written here is the waiting.
 */
#include "gateway/provider/mysql.h"

#include <poll.h>
#include <sys/socket.h>

#include "gateway/net.h"

void my_shut(struct my *my)
{
	my_socket fd = mysql_get_socket(my->link);

	if (fd >= 0)
		(void)shutdown(fd, SHUT_RDWR);
}

/* Wait for what `status` names; what happened is the result. A function that
 * must not go on finds its socket shut and fails by itself. */
static int wait_for(struct my *my, int status)
{
	short events = (short)((status & MYSQL_WAIT_READ ? POLLIN : 0) |
			       (status & MYSQL_WAIT_WRITE ? POLLOUT : 0) |
			       (status & MYSQL_WAIT_EXCEPT ? POLLPRI : 0));

	if (!my->late && !my->endless) {
		my->late = net_wait(mysql_get_socket(my->link), events,
				    my->deadline_ms) == ERR_TIMEOUT;
		my->endless = !meter_holds(&my->meter);
	}
	if (my->late || my->endless)
		my_shut(my);
	return status & ~MYSQL_WAIT_TIMEOUT;
}

bool my_connect_link(struct my *my, const struct server *s)
{
	MYSQL *link = NULL;
	int status = mysql_real_connect_start(&link, my->link, s->host, s->user,
					      s->password, s->database, s->port,
					      NULL, 0);

	while (status)
		status = mysql_real_connect_cont(&link, my->link,
						 wait_for(my, status));
	return link != NULL;
}

/* The functions of this form. */
static int drive(struct my *my, MYSQL_STMT *stmt,
		 int (*start)(int *ret, MYSQL_STMT *stmt),
		 int (*go_on)(int *ret, MYSQL_STMT *stmt, int status))
{
	int ret = 1, status = start(&ret, stmt);

	while (status)
		status = go_on(&ret, stmt, wait_for(my, status));
	return ret;
}

int my_prepare_stmt(struct my *my, MYSQL_STMT *stmt, struct slice sql)
{
	int ret = 1;
	int status = mysql_stmt_prepare_start(&ret, stmt, (const char *)sql.p,
					      sql.n);

	while (status)
		status = mysql_stmt_prepare_cont(&ret, stmt,
						 wait_for(my, status));
	return ret;
}

int my_execute_stmt(struct my *my, MYSQL_STMT *stmt)
{
	return drive(my, stmt, mysql_stmt_execute_start,
		     mysql_stmt_execute_cont);
}

int my_fetch_stmt(struct my *my, MYSQL_STMT *stmt)
{
	return drive(my, stmt, mysql_stmt_fetch_start, mysql_stmt_fetch_cont);
}

int my_next_result(struct my *my, MYSQL_STMT *stmt)
{
	return drive(my, stmt, mysql_stmt_next_result_start,
		     mysql_stmt_next_result_cont);
}

void my_free_result(struct my *my, MYSQL_STMT *stmt)
{
	my_bool ret;
	int status = mysql_stmt_free_result_start(&ret, stmt);

	while (status)
		status = mysql_stmt_free_result_cont(&ret, stmt,
						     wait_for(my, status));
}

void my_close_stmt(struct my *my, MYSQL_STMT *stmt)
{
	my_bool ret;
	int status = mysql_stmt_close_start(&ret, stmt);

	while (status)
		status =
			mysql_stmt_close_cont(&ret, stmt, wait_for(my, status));
}

int my_query(struct my *my, struct slice sql)
{
	int ret = 1;
	int status = mysql_real_query_start(&ret, my->link, (const char *)sql.p,
					    sql.n);

	while (status)
		status = mysql_real_query_cont(&ret, my->link,
					       wait_for(my, status));
	return ret;
}

/* Of the library: what it says is about the connection. Of the server: that
 * it is going away. */
static bool breaks(unsigned error)
{
	switch (error) {
	case 1053: /* shutdown in progress */
	case 1080: /* forced close */
	case 1152: /* aborted connection */
	case 1927: /* killed */
	case 4031: /* idle for too long */
		return true;
	default:
		return error >= 2000 && error < 3000;
	}
}

static void note(struct job *job, const struct my_error *e)
{
	buf_addf(&job->note, "error %u, SQLSTATE %s", e->error, e->state);
	/* Others quote the data. */
	if (strncmp(e->state, "42", 2) == 0)
		buf_addf(&job->note, ": %.*s", (int)strcspn(e->text, "\n"),
			 e->text);
}

int my_refuse(struct my *my, struct job *job, struct my_error e)
{
	if (my->late)
		job_fail(job, JOB_TIMEOUT, "the server did not answer in time");
	else if (my->endless)
		job_fail(job, JOB_TOO_LARGE, "the server sent over %d bytes",
			 METER_MAX);
	else if (e.error == 2020) /* CR_NET_PACKET_TOO_LARGE */
		job_fail(job, JOB_TOO_LARGE, "a row is over %d bytes",
			 MY_PACKET);
	else if (breaks(e.error))
		job_fail(job, JOB_UNAVAILABLE, "%s", e.text);
	else {
		note(job, &e);
		buf_clear(&job->out);
		pack_bool(&job->out, false);
		return OK;
	}
	return ERR_CLOSED;
}

int my_refuse_stmt(struct my *my, struct job *job, MYSQL_STMT *stmt)
{
	return my_refuse(my, job,
			 (struct my_error){mysql_stmt_errno(stmt),
					   mysql_stmt_sqlstate(stmt),
					   mysql_stmt_error(stmt)});
}
