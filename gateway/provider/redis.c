/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis: cmd(pool, "CMD a b", args...) by hiredis. Words of the command are
 * separated by single spaces; what follows is appended, a string as it is, a
 * table's values joined to one argument. Nothing of a script is ever a format.
 *
 * hiredis only writes and reads buffers here: the socket is net.c's, and all
 * waiting is done in exchange().
 */
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "gateway/net.h"
#include "gateway/provider/all.h"
#include "gateway/settings.h"

enum { MAX_ARGS = 1024, MAX_ELEMENTS = 100000, MAX_LINE = 64 << 10 };

struct settings {
	char *host, *user, *password;
	int64_t port, database;
};

/* ---- settings ---------------------------------------------------------- */

static void pool_close(void *arg)
{
	struct settings *s = arg;

	free(s->host);
	free(s->user);
	free(s->password);
	free(s);
}

static int read_settings(struct slice map, struct settings *s, unsigned *size,
			 struct buf *why)
{
	static const struct settings_range port = {1, 65535},
					   database = {0, 1 << 20};
	int r;

	if ((r = settings_text(map, "host", "localhost", &s->host, why)) < 0 ||
	    (r = settings_text(map, "user", "", &s->user, why)) < 0 ||
	    (r = settings_text(map, "password", "", &s->password, why)) < 0 ||
	    (r = settings_int(map, "port", port, &s->port, why)) < 0 ||
	    (r = settings_size(map, size, why)) < 0)
		return r;
	return settings_int(map, "database", database, &s->database, why);
}

static int pool_open(struct slice map, void **out, unsigned *size,
		     struct buf *target, struct buf *why)
{
	struct settings *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return ERR_NOMEM;
	s->port = 6379;
	r = read_settings(map, s, size, why);
	if (r < 0) {
		pool_close(s);
		return r;
	}
	settings_target(s->host, s->port, target);
	*out = s;
	return OK;
}

/* ---- the connection ---------------------------------------------------- */

struct link {
	redisContext *r;
	redisReplyObjectFunctions fn;
	void *(*make_array)(const redisReadTask *task, int n);
	size_t elements; /* of the reply that is being read */
};

/* hiredis believes the count that a server announces. */
static void *make_array(const redisReadTask *task, int n)
{
	struct link *l = task->privdata;

	if (n < 0 || (size_t)n > MAX_ELEMENTS - l->elements)
		return NULL;
	l->elements += (size_t)n;
	return l->make_array(task, n);
}

static void disconnect(struct conn *c)
{
	struct link *l = c->handle;

	redisFree(l->r); /* and its socket */
	free(l);
	c->handle = NULL;
}

static struct link *new_link(int fd)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->r = redisConnectFd(fd);
	if (!l->r) {
		free(l);
		return NULL;
	}
	l->r->flags &= ~REDIS_BLOCK;
	l->fn = *l->r->reader->fn;
	l->make_array = l->fn.createArray;
	l->fn.createArray = make_array;
	l->r->reader->fn = &l->fn;
	redisReaderSetPrivdata(l->r->reader, l);
	return l;
}

static int flush(redisContext *r, uint64_t deadline_ms)
{
	int done = 0, e;

	while (!done) {
		if (redisBufferWrite(r, &done) != REDIS_OK)
			return ERR_CLOSED;
		if (!done && (e = net_wait(r->fd, POLLOUT, deadline_ms)) < 0)
			return e;
	}
	return OK;
}

/* A line without an end, which hiredis would look through again and again. It
 * stands at the line that says how long a string is until all of it is there.
 */
static bool is_long_line(const redisReader *r)
{
	return r->len - r->pos > MAX_LINE &&
	       !memchr(r->buf + r->pos, '\n', MAX_LINE);
}

/* Send what was appended and take one reply, of a bounded size. */
static int exchange(struct link *l, uint64_t deadline_ms, redisReply **out)
{
	redisContext *r = l->r;
	void *reply = NULL;
	size_t input = 0;
	int e = flush(r, deadline_ms);

	l->elements = 0;
	while (e == OK) {
		size_t before;

		if (redisGetReplyFromReader(r, &reply) != REDIS_OK)
			return r->err == REDIS_ERR_OOM ? ERR_RANGE : ERR_CLOSED;
		if (reply)
			break;
		if (input > PROVIDER_MAX_BYTES || is_long_line(r->reader))
			return ERR_RANGE;
		if ((e = net_wait(r->fd, POLLIN, deadline_ms)) < 0)
			return e;
		before = r->reader->len;
		if (redisBufferRead(r) != REDIS_OK)
			return ERR_CLOSED;
		input += r->reader->len - before;
	}
	*out = reply;
	return e;
}

static const char *words(int e)
{
	return e == ERR_TIMEOUT ? "redis does not answer"
	       : e == ERR_RANGE ? "the reply is too large"
				: "the connection to redis broke";
}

/* A command of ours while connecting. */
static int order(struct link *l, uint64_t deadline_ms, const char *const *argv,
		 struct buf *why)
{
	redisReply *reply = NULL;
	const char *copy[3];
	int n = 0, e;

	for (; n < 3 && argv[n]; n++)
		copy[n] = argv[n];
	if (redisAppendCommandArgv(l->r, n, copy, NULL) != REDIS_OK)
		return ERR_NOMEM;
	e = exchange(l, deadline_ms, &reply);
	if (e < 0) {
		buf_addf(why, "%s", words(e));
	} else if (reply->type == REDIS_REPLY_ERROR) {
		buf_addf(why, "%s: %.200s", argv[0], reply->str);
		e = ERR_DENIED;
	}
	if (reply)
		freeReplyObject(reply);
	return e == ERR_DENIED ? ERR_IO : e;
}

static int greet(struct link *l, const struct settings *s, uint64_t deadline_ms,
		 struct buf *why)
{
	const char *auth[] = {"AUTH", s->user, s->password, NULL};
	const char *old_auth[] = {"AUTH", s->password, NULL};
	const char *select[] = {"SELECT", NULL, NULL};
	char number[24];
	int r = OK;

	if (s->user[0])
		r = order(l, deadline_ms, auth, why);
	else if (s->password[0])
		r = order(l, deadline_ms, old_auth, why);
	if (r < 0 || s->database == 0)
		return r;
	snprintf(number, sizeof(number), "%lld", (long long)s->database);
	select[1] = number;
	return order(l, deadline_ms, select, why);
}

static int do_connect(struct conn *c, uint64_t deadline_ms, struct buf *why)
{
	const struct settings *s = c->settings;
	struct link *l;
	int fd, r;

	r = net_connect(s->host, (uint16_t)s->port, deadline_ms, &fd, why);
	if (r < 0)
		return r;
	l = new_link(fd);
	if (!l) {
		close(fd);
		return ERR_NOMEM;
	}
	c->handle = l;
	r = greet(l, s, deadline_ms, why);
	if (r < 0) {
		disconnect(c);
		return r;
	}
	c->fd = fd;
	return OK;
}

/* ---- the command of a script ------------------------------------------- */

struct command {
	int n;
	size_t lens[MAX_ARGS];
	const char *words[MAX_ARGS];
	struct buf joined[8]; /* what tables became */
	unsigned njoined;
};

static bool add_word(struct command *c, struct slice s)
{
	if (c->n == MAX_ARGS)
		return false;
	c->words[c->n] = s.p ? (const char *)s.p : "";
	c->lens[c->n++] = s.n;
	return true;
}

static bool split(struct command *c, struct slice text)
{
	size_t start = 0;

	for (size_t i = 0; i <= text.n; i++) {
		if (i < text.n && text.p[i] != ' ')
			continue;
		if (!add_word(c, slice_of(text.p + start, i - start)))
			return false;
		start = i + 1;
	}
	return true;
}

/* All texts of an array, or keys and values of a map, as one word. */
static bool join(struct command *c, struct cursor *args)
{
	bool map = cursor_peek(args) == CURSOR_MAP;
	uint64_t n = map ? (uint64_t)cursor_map(args) * 2 : cursor_array(args);
	struct buf *b;

	if (c->njoined == sizeof(c->joined) / sizeof(c->joined[0]))
		return false;
	b = &c->joined[c->njoined++];
	while (n-- > 0 && !args->error)
		buf_add_slice(b, cursor_text(args));
	return !args->error && buf_error(b) == OK && add_word(c, buf_slice(b));
}

static bool read_command(struct command *c, struct cursor args, uint32_t n)
{
	struct slice text = cursor_text(&args);

	if (n == 0 || args.error || !split(c, text))
		return false;
	for (uint32_t i = 1; i < n; i++) {
		switch (cursor_peek(&args)) {
		case CURSOR_STR:
		case CURSOR_BIN:
			if (!add_word(c, cursor_text(&args)))
				return false;
			break;
		case CURSOR_ARRAY:
		case CURSOR_MAP:
			if (!join(c, &args))
				return false;
			break;
		default:
			return false;
		}
	}
	return true;
}

/* Commands after which a connection no longer gives one reply to each. */
static bool breaks_pipe(const struct command *c)
{
	static const char *const names[] = {
		"subscribe", "psubscribe", "ssubscribe", "monitor", "client",
		"hello",     "sync",	   "psync",	 "quit",    "reset"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (c->lens[0] == strlen(names[i]) &&
		    strncasecmp(c->words[0], names[i], c->lens[0]) == 0)
			return true;
	return false;
}

/* ---- the reply --------------------------------------------------------- */

static void pack_reply(struct buf *out, const redisReply *r, bool top)
{
	char number[24];

	switch (r->type) {
	case REDIS_REPLY_INTEGER:
		snprintf(number, sizeof(number), "%lld", r->integer);
		pack_cstr(out, number);
		break;
	case REDIS_REPLY_NIL:
		pack_nil(out); /* the worker says what it is called inside */
		break;
	case REDIS_REPLY_ARRAY:
		pack_array(out, (uint32_t)r->elements);
		for (size_t i = 0; i < r->elements; i++)
			pack_reply(out, r->element[i], false);
		break;
	default:
		if (top && r->type == REDIS_REPLY_ERROR)
			pack_bool(out, false);
		else if (top && r->len == 2 && memcmp(r->str, "OK", 2) == 0)
			pack_bool(out, true);
		else
			pack_text(out, slice_of(r->str, r->len));
	}
}

static int fail(struct job *job, int e)
{
	job_fail(job,
		 e == ERR_TIMEOUT ? JOB_TIMEOUT
		 : e == ERR_RANGE ? JOB_TOO_LARGE
				  : JOB_UNAVAILABLE,
		 "%s", words(e));
	return ERR_CLOSED;
}

static int command(struct link *l, struct command *c, struct job *job)
{
	redisReply *reply = NULL;
	int e;

	/* Something that nobody asked for would be taken for the answer. */
	if (net_wait(l->r->fd, POLLIN, 0) == OK ||
	    l->r->reader->len != l->r->reader->pos)
		return fail(job, ERR_CLOSED);
	if (redisAppendCommandArgv(l->r, c->n, c->words, c->lens) != REDIS_OK)
		return fail(job, ERR_RANGE);
	e = exchange(l, job->deadline_ms, &reply);
	if (e < 0)
		return fail(job, e);
	if (reply->type == REDIS_REPLY_ERROR)
		buf_addf(&job->note, "%.200s", reply->str);
	pack_reply(&job->out, reply, true);
	freeReplyObject(reply);
	return OK;
}

static int call(struct conn *c, struct job *job)
{
	struct command *cmd;
	int r = OK;

	if (!slice_is(job->op, "cmd")) {
		job_fail(job, JOB_BADARG, "unknown function");
		return OK;
	}
	cmd = calloc(1, sizeof(*cmd));
	if (!cmd) {
		job_fail(job, JOB_UNAVAILABLE, "no memory");
		return OK;
	}
	if (!read_command(cmd, job->args, job->nargs))
		job_fail(job, JOB_BADARG,
			 "a command and its arguments are strings");
	else if (breaks_pipe(cmd))
		job_fail(job, JOB_BADARG,
			 "that command does not work in a pool");
	else
		r = command(c->handle, cmd, job);
	for (unsigned i = 0; i < cmd->njoined; i++)
		buf_fini(&cmd->joined[i]);
	free(cmd);
	return r;
}

const struct provider redis_provider = {
	.name = "redis",
	.default_pool = "pool_redis",
	.connects = true,
	.size = 5,
	.pool_open = pool_open,
	.pool_close = pool_close,
	.connect = do_connect,
	.disconnect = disconnect,
	.call = call,
};
