/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcached: flush_all, get, set, add, replace, delete by libmemcached and the
 * text protocol. A value is stored as it is, so that other clients read it.
 *
 * Keys that the protocol cannot carry (spaces, control bytes) are sent
 * percent-encoded behind a '%', and so are those that begin with '%': no two
 * keys become one. Too long ones, and the empty one, are `false`.
 */
#include <libmemcached/memcached.h>
#include <stdlib.h>

#include "gateway/net.h"
#include "gateway/provider/all.h"
#include "gateway/provider/memcached_wire.h"
#include "gateway/settings.h"

enum { MAX_KEY = 250, MAX_BLOCK = PROVIDER_MAX_BYTES + 4096 };

struct settings {
	char *host;
	int64_t port;
};

/* ---- settings ---------------------------------------------------------- */

static void pool_close(void *arg)
{
	struct settings *s = arg;

	free(s->host);
	free(s);
}

static int pool_open(struct slice map, void **out, unsigned *size,
		     struct buf *target, struct buf *why)
{
	static const struct settings_range ports = {1, 65535};
	struct settings *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return ERR_NOMEM;
	s->port = 11211;
	if ((r = settings_text(map, "host", "127.0.0.1", &s->host, why)) < 0 ||
	    (r = settings_int(map, "port", ports, &s->port, why)) < 0 ||
	    (r = settings_size(map, size, why)) < 0) {
		pool_close(s);
		return r;
	}
	settings_target(s->host, s->port, target);
	*out = s;
	return OK;
}

/* ---- memory: libmemcached believes the lengths that a server announces - */

static void *cap_malloc(const memcached_st *m, const size_t n, void *arg)
{
	(void)m, (void)arg;
	return n > MAX_BLOCK ? NULL : malloc(n);
}

static void cap_free(const memcached_st *m, void *p, void *arg)
{
	(void)m, (void)arg;
	free(p);
}

static void *cap_realloc(const memcached_st *m, void *p, const size_t n,
			 void *arg)
{
	(void)m, (void)arg;
	return n > MAX_BLOCK ? NULL : realloc(p, n);
}

static void *cap_calloc(const memcached_st *m, size_t n, const size_t size,
			void *arg)
{
	(void)m, (void)arg;
	return size && n > MAX_BLOCK / size ? NULL : calloc(n, size);
}

/* ---- the connection ---------------------------------------------------- */

static void disconnect(struct conn *c)
{
	memcached_free(c->handle);
	c->handle = NULL;
}

static memcached_st *new_handle(const struct settings *s)
{
	memcached_st *m = memcached_create(NULL);

	if (!m)
		return NULL;
	memcached_set_memory_allocators(m, cap_malloc, cap_free, cap_realloc,
					cap_calloc, NULL);
	memcached_behavior_set(m, MEMCACHED_BEHAVIOR_NO_BLOCK, 1);
	memcached_behavior_set(m, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
	memcached_behavior_set(m, MEMCACHED_BEHAVIOR_TCP_KEEPALIVE, 1);
	if (memcached_server_add(m, s->host, (in_port_t)s->port) ==
	    MEMCACHED_SUCCESS)
		return m;
	memcached_free(m);
	return NULL;
}

static void set_deadline(memcached_st *m, uint64_t deadline_ms)
{
	uint64_t left = (uint64_t)net_left_ms(deadline_ms);

	if (left == 0)
		left = 1;
	memcached_behavior_set(m, MEMCACHED_BEHAVIOR_POLL_TIMEOUT, left);
	memcached_behavior_set(m, MEMCACHED_BEHAVIOR_CONNECT_TIMEOUT, left);
}

/* In words; what went wrong last says more than the sum of it. */
static const char *explain(memcached_st *m, memcached_return_t r)
{
	if (r == MEMCACHED_SOME_ERRORS || r == MEMCACHED_FAILURE)
		r = memcached_last_error(m);
	if (r == MEMCACHED_ERRNO || r == MEMCACHED_CONNECTION_FAILURE)
		return "the connection to memcached failed";
	return memcached_strerror(m, r);
}

/* A value of a server, for free(). NULL and NOTFOUND only when it said so:
 * half a value is no missing value. */
static char *fetch(memcached_st *m, struct slice key, size_t *n,
		   memcached_return_t *r)
{
	uint32_t flags;
	char *value =
		memcached_get(m, (const char *)key.p, key.n, n, &flags, r);

	if (*r == MEMCACHED_NOTFOUND &&
	    memcached_last_error(m) != MEMCACHED_SUCCESS)
		*r = memcached_last_error(m);
	return value;
}

static bool look(void *wire, const void *p, size_t n)
{
	return wire_take(wire, p, n);
}

/* It connects when it is first asked something. */
static int do_connect(struct conn *c, uint64_t deadline_ms, struct buf *why)
{
	memcached_st *m = new_handle(c->settings);
	struct wire wire = {.n = 0};
	memcached_return_t r;
	size_t n = 0;

	if (!m)
		return ERR_NOMEM;
	set_deadline(m, deadline_ms);
	net_inspect(look, &wire);
	free(fetch(m, slice_str("pinfold"), &n, &r));
	net_inspect(NULL, NULL);
	if (r != MEMCACHED_SUCCESS && r != MEMCACHED_NOTFOUND) {
		buf_addf(why, "%s", explain(m, r));
		memcached_free(m);
		return r == MEMCACHED_TIMEOUT ? ERR_TIMEOUT : ERR_IO;
	}
	c->handle = m;
	c->fd = net_last_fd();
	return OK;
}

/* ---- keys -------------------------------------------------------------- */

static bool is_plain(uint8_t c)
{
	return c > ' ' && c != 0x7f;
}

/* False: the protocol cannot carry it. */
static bool encode_key(struct slice key, struct buf *out)
{
	bool plain = key.n > 0 && key.p[0] != '%';

	for (size_t i = 0; plain && i < key.n; i++)
		plain = is_plain(key.p[i]);
	if (plain) {
		buf_add_slice(out, key);
	} else {
		buf_add_byte(out, '%');
		for (size_t i = 0; i < key.n; i++)
			if (is_plain(key.p[i]) && key.p[i] != '%')
				buf_add_byte(out, key.p[i]);
			else
				buf_addf(out, "%%%02X", key.p[i]);
	}
	return key.n > 0 && buf_error(out) == OK && out->n <= MAX_KEY;
}

/* ---- calls ------------------------------------------------------------- */

struct request {
	memcached_st *m;
	struct slice op;
	struct buf key;
	struct slice value;
	time_t expires;
};

static bool is_store(struct slice op)
{
	return slice_is(op, "set") || slice_is(op, "add") ||
	       slice_is(op, "replace");
}

static memcached_return_t get(struct request *q, struct job *job)
{
	memcached_return_t r;
	size_t n = 0;
	char *value = fetch(q->m, buf_slice(&q->key), &n, &r);

	if (r == MEMCACHED_SUCCESS && n <= PROVIDER_MAX_BYTES)
		pack_text(&job->out, slice_of(value ? value : "", n));
	else if (r == MEMCACHED_SUCCESS)
		r = MEMCACHED_E2BIG;
	free(value);
	return r;
}

static memcached_return_t store(struct request *q)
{
	const char *key = (const char *)q->key.p;
	const char *value = q->value.n ? (const char *)q->value.p : "";

	if (slice_is(q->op, "set"))
		return memcached_set(q->m, key, q->key.n, value, q->value.n,
				     q->expires, 0);
	if (slice_is(q->op, "add"))
		return memcached_add(q->m, key, q->key.n, value, q->value.n,
				     q->expires, 0);
	return memcached_replace(q->m, key, q->key.n, value, q->value.n,
				 q->expires, 0);
}

/* What the server said no to is `false`; a connection that may be out of step
 * is dropped. */
static int conclude(struct request *q, memcached_return_t r, struct job *job)
{
	switch (r) {
	case MEMCACHED_SUCCESS:
	case MEMCACHED_STORED:
	case MEMCACHED_DELETED:
		if (is_store(q->op))
			pack_text(&job->out, q->value);
		else if (!slice_is(q->op, "get"))
			pack_bool(&job->out, true);
		return OK;
	case MEMCACHED_E2BIG:
	case MEMCACHED_CLIENT_ERROR:
		if (slice_is(q->op, "get")) {
			job_fail(job, JOB_TOO_LARGE, "the value is too large");
			return ERR_CLOSED;
		}
		/* fall through */
	case MEMCACHED_SERVER_MEMORY_ALLOCATION_FAILURE:
		buf_addf(&job->note, "%s", memcached_strerror(q->m, r));
		pack_bool(&job->out, false);
		return ERR_CLOSED; /* it may still read what was too much */
	case MEMCACHED_NOTFOUND:
	case MEMCACHED_NOTSTORED:
	case MEMCACHED_DATA_EXISTS:
	case MEMCACHED_KEY_TOO_BIG:
	case MEMCACHED_BAD_KEY_PROVIDED:
		pack_bool(&job->out, false);
		return OK;
	case MEMCACHED_TIMEOUT:
		job_fail(job, JOB_TIMEOUT, "memcached does not answer");
		return ERR_CLOSED;
	case MEMCACHED_MEMORY_ALLOCATION_FAILURE:
		job_fail(job, JOB_TOO_LARGE, "the value is too large");
		return ERR_CLOSED;
	default:
		job_fail(job, JOB_UNAVAILABLE, "%s", explain(q->m, r));
		return ERR_CLOSED;
	}
}

/* A key, of those that store a value, of those maybe when it expires. */
static bool read_request(struct job *job, struct request *q, bool *carried)
{
	struct cursor *c = &job->args;
	struct slice key;

	q->op = job->op;
	if (slice_is(q->op, "flush_all")) {
		*carried = true;
		return true;
	}
	key = cursor_text(c);
	*carried = encode_key(key, &q->key);
	if (!is_store(q->op))
		return job->nargs >= 1 && !c->error;
	q->value = cursor_text(c);
	if (job->nargs >= 3 && !cursor_nil(c)) {
		double d = cursor_number(c);

		q->expires = d >= -1e12 && d <= 1e12 ? (time_t)d : 0;
	}
	return job->nargs >= 2 && !c->error;
}

static bool is_known(struct slice op)
{
	return is_store(op) || slice_is(op, "get") || slice_is(op, "delete") ||
	       slice_is(op, "flush_all");
}

static int perform(struct request *q, struct job *job)
{
	struct wire wire = {.n = 0};
	memcached_return_t r;

	net_inspect(look, &wire);
	set_deadline(q->m, job->deadline_ms);
	if (slice_is(q->op, "get"))
		r = get(q, job);
	else if (slice_is(q->op, "delete"))
		r = memcached_delete(q->m, (const char *)q->key.p, q->key.n, 0);
	else if (slice_is(q->op, "flush_all"))
		r = memcached_flush(q->m, 0);
	else
		r = store(q);
	net_inspect(NULL, NULL);
	return conclude(q, r, job);
}

static int call(struct conn *c, struct job *job)
{
	struct request q = {.m = c->handle};
	bool carried;
	int r = OK;

	if (!is_known(job->op))
		job_fail(job, JOB_BADARG, "unknown function");
	else if (!read_request(job, &q, &carried))
		job_fail(job, JOB_BADARG,
			 "keys and values are strings, a time is a number");
	else if (!carried)
		pack_bool(&job->out, false);
	else
		r = perform(&q, job);
	buf_fini(&q.key);
	return r;
}

const struct provider memcached_provider = {
	.name = "memcached",
	.default_pool = "pool_memcached",
	.connects = true,
	.eager = true,
	.size = 5,
	.pool_open = pool_open,
	.pool_close = pool_close,
	.connect = do_connect,
	.disconnect = disconnect,
	.call = call,
};
