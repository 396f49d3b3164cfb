/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mysql: MySQL and MariaDB by libmariadb, for two providers: mysql answers as
 * Emysql did, mysql2 as mysql-otp does. Each connection keeps what it has
 * prepared, so that a call is one round trip. Start at my_call(); then
 * mysql_link.c, mysql_rows.c, mysql_value.c.
 */
#include "gateway/provider/mysql.h"

#include <stdlib.h>

#include "gateway/net.h"
#include "gateway/provider/all.h"
#include "gateway/settings.h"

/* ---- settings ---------------------------------------------------------- */

struct settings {
	struct server server;
	char *encoding;
};

static void my_close(void *settings)
{
	struct settings *s = settings;

	server_fini(&s->server);
	free(s->encoding);
	free(s);
}

static int my_open(struct slice settings, void **out, unsigned *size,
		   struct buf *target, struct buf *why)
{
	const struct server_defaults defaults = {
		.port = 3306,
		.user = "root",
		.password = "password",
		.database = "vernemq_db",
	};
	struct settings *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return ERR_NOMEM;
	/* Here, on the main thread: the first call is not safe among threads.
	 */
	if ((r = mysql_library_init(0, NULL, NULL) == 0 ? OK : ERR_NOMEM) < 0 ||
	    (r = server_init(&s->server, settings, &defaults, why)) < 0 ||
	    (r = settings_text(settings, "encoding", "utf8", &s->encoding,
			       why)) < 0 ||
	    (r = server_size(settings, size, why)) < 0) {
		my_close(s);
		return r;
	}
	settings_target(s->server.host, s->server.port, target);
	*out = s;
	return OK;
}

/* ---- connecting -------------------------------------------------------- */

static void set_tls(MYSQL *link, const struct server *s)
{
	my_bool on = 1, verify = s->verify;

	if (!s->ssl)
		return;
	mysql_ssl_set(link, s->keyfile, s->certfile, s->cafile, NULL, NULL);
	mysql_options(link, MYSQL_OPT_SSL_ENFORCE, &on);
	mysql_options(link, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
}

static MYSQL *new_link(const struct settings *s)
{
	/* None that would send the password as it is, nor read a file. */
	static const char methods[] =
		"mysql_native_password,caching_sha2_password,"
		"sha256_password,client_ed25519";
	const unsigned protocol = MYSQL_PROTOCOL_TCP;
	const unsigned off = 0;
	const unsigned long packet = MY_PACKET;
	const char *encoding =
		strcmp(s->encoding, "utf8") == 0 ? "utf8mb4" : s->encoding;
	MYSQL *link = mysql_init(NULL);

	if (!link)
		return NULL;
	mysql_options(link, MYSQL_OPT_NONBLOCK, NULL);
	mysql_options(link, MYSQL_OPT_PROTOCOL, &protocol);
	mysql_options(link, MYSQL_OPT_LOCAL_INFILE, &off);
	mysql_options(link, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
	mysql_options(link, MARIADB_OPT_RESTRICTED_AUTH, methods);
	mysql_options(link, MYSQL_SET_CHARSET_NAME, encoding);
	set_tls(link, &s->server);
	return link;
}

static int connect_link(struct my *my, const struct server *s, struct buf *why)
{
	if (!my_connect_link(my, s)) {
		if (my->late)
			buf_addf(why, "it does not answer");
		else
			buf_addf(why, "%.*s",
				 (int)strcspn(mysql_error(my->link), "\n"),
				 mysql_error(my->link));
		return my->late ? ERR_TIMEOUT : ERR_IO;
	}
	if (s->ssl && !mysql_get_ssl_cipher(my->link)) {
		buf_addf(why, "the server has no TLS");
		return ERR_IO;
	}
	return OK;
}

static int my_connect(struct conn *c, uint64_t deadline_ms, struct buf *why)
{
	const struct settings *s = c->settings;
	struct my *my;
	int r = server_check_files(&s->server, why);

	if (r < 0)
		return r;
	my = calloc(1, sizeof(*my));
	if (!my)
		return ERR_NOMEM;
	r = ERR_NOMEM;
	statements_init(&my->known);
	my->classic = c->provider == &mysql_provider;
	my->deadline_ms = deadline_ms;
	my->link = new_link(s);
	if (my->link) {
		meter_start(&my->meter, -1);
		r = connect_link(my, &s->server, why);
	}
	if (r == OK) {
		c->handle = my;
		c->fd = mysql_get_socket(my->link);
		return OK;
	}
	if (my->link)
		mysql_close(my->link);
	free(my);
	return r;
}

/* The socket is shut first: closing would wait for rows that nobody wants.
 * Statements outlive their connection, and then only memory is freed. */
static void my_disconnect(struct conn *c)
{
	struct my *my = c->handle;
	struct statement *st;

	my_shut(my);
	mysql_close(my->link);
	while ((st = statements_first(&my->known)) != NULL) {
		struct my_prepared *p =
			container_of(st, struct my_prepared, st);

		mysql_stmt_close(p->stmt);
		my_forget(my, p);
	}
	statements_fini(&my->known);
	free(my);
	c->handle = NULL;
}

/* ---- a call ------------------------------------------------------------ */

static bool is_stale(MYSQL_STMT *stmt)
{
	switch (mysql_stmt_errno(stmt)) {
	case 1243: /* ER_UNKNOWN_STMT_HANDLER */
	case 1615: /* ER_NEED_REPREPARE */
	case 2057: /* CR_NEW_STMT_METADATA */
		return true;
	default:
		return false;
	}
}

static int run(struct my *my, struct job *job, struct my_prepared *p,
	       bool *stale)
{
	unsigned n = job->nargs - 1;

	if (n != mysql_stmt_param_count(p->stmt)) {
		if (my->classic)
			pack_bool(&job->out, false);
		else
			job_fail(job, JOB_BADARG,
				 "the statement takes %lu parameters, not %u",
				 mysql_stmt_param_count(p->stmt), n);
		return OK;
	}
	if (my_params_read(my, job, n) != JOB_OK)
		return OK;
	if (n && mysql_stmt_bind_param(p->stmt, my->bind) != 0)
		return my_refuse_stmt(my, job, p->stmt);
	if (my_execute_stmt(my, p->stmt) != 0) {
		*stale = p->kept && is_stale(p->stmt);
		return *stale ? OK : my_refuse_stmt(my, job, p->stmt);
	}
	return my_answer(my, job, p->stmt);
}

static int execute(struct my *my, struct job *job, struct slice sql,
		   bool *stale)
{
	struct statement *st = statements_find(&my->known, sql);
	struct my_prepared *p;
	struct cursor args = job->args;
	int r = OK;

	p = st ? container_of(st, struct my_prepared, st)
	       : my_prepare(my, job, sql, &r);
	if (!p)
		return r;
	*stale = false;
	r = run(my, job, p, stale);
	job->args = args;
	if (r < 0) /* so that closing waits for nothing */
		my_shut(my);
	if (*stale || !p->kept)
		my_drop(my, p);
	return r;
}

static int my_call(struct conn *c, struct job *job)
{
	struct my *my = c->handle;
	struct slice sql = cursor_text(&job->args);
	bool stale = false;
	int r;

	if (!slice_is(job->op, "execute")) {
		job_fail(job, JOB_BADARG, "no such function");
		return OK;
	}
	if (job->args.error || job->nargs > MY_PARAMS) {
		job_fail(job, JOB_BADARG, "execute(pool, sql, parameters...)");
		return OK;
	}
	meter_start(&my->meter, c->fd);
	my->deadline_ms = job->deadline_ms;
	r = execute(my, job, sql, &stale);
	if (r == OK && stale) {
		buf_clear(&job->out);
		buf_clear(&job->note);
		r = execute(my, job, sql, &stale);
	}
	if (r == OK && stale) {
		job_fail(job, JOB_UNAVAILABLE, "the statement keeps changing");
		return ERR_CLOSED;
	}
	return r;
}

/* ---- what needs no connection ------------------------------------------ */

static int hash_method(struct slice settings, struct job *job,
		       const char *fallback)
{
	static const char *const sql[][2] = {
		{"password", "PASSWORD(?)"},
		{"md5", "MD5(?)"},
		{"sha1", "SHA1(?)"},
		{"sha256", "SHA2(?, 256)"},
	};
	struct slice method = slice_str(fallback), value;
	struct cursor c;

	if (!slice_is(job->op, "hash_method"))
		return ERR_ABSENT;
	if (map_find(settings, "password_hash_method", &value)) {
		c = cursor_of(value);
		method = cursor_text(&c);
	}
	for (size_t i = 0; i < sizeof(sql) / sizeof(sql[0]); i++)
		if (slice_is(method, sql[i][0]))
			pack_cstr(&job->out, sql[i][1]);
	if (job->out.n == 0)
		job_fail(job, JOB_BADARG,
			 "password_hash_method: must be password, md5, sha1 "
			 "or sha256");
	return OK;
}

static int my_local(struct slice settings, struct job *job)
{
	return hash_method(settings, job, "password");
}

static int my2_local(struct slice settings, struct job *job)
{
	return hash_method(settings, job, "sha256");
}

const struct provider mysql_provider = {
	.name = "mysql",
	.default_pool = "pool_mysql",
	.connects = true,
	.eager = true,
	.size = 5,
	.pool_open = my_open,
	.pool_close = my_close,
	.connect = my_connect,
	.disconnect = my_disconnect,
	.call = my_call,
	.local = my_local,
};

const struct provider mysql2_provider = {
	.name = "mysql2",
	.default_pool = "pool_mysql2",
	.connects = true,
	.size = 5,
	.pool_open = my_open,
	.pool_close = my_close,
	.connect = my_connect,
	.disconnect = my_disconnect,
	.call = my_call,
	.local = my2_local,
};
