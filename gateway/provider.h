/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider: one kind of server that scripts may use (postgres, redis, http,
 * ...). One file in provider/ implements one struct provider (or a few that
 * share a client library); pool.c calls it.
 *
 * Each connection of a pool is one thread, which owns one struct conn and
 * takes one job after the other. A provider may block in it, but no longer
 * than the job's deadline: it uses its library's asynchronous interface and
 * net_wait() (net.h), or the library's own timeouts. A job that is late all
 * the same is answered without it, and what it says then is dropped.
 *
 * What a provider gets and gives are MessagePack values. It never sees a
 * script, nor writes a log line about one; passwords never leave it.
 */
#ifndef PF_GATEWAY_PROVIDER_H
#define PF_GATEWAY_PROVIDER_H

#include "lib/buf.h"
#include "lib/err.h"
#include "proto/pack.h"
#include "proto/unpack.h"

enum {
	PROVIDER_MAX_ROWS = 10000,     /* of one answer */
	PROVIDER_MAX_BYTES = 16 << 20, /* of one answer, packed */
	PROVIDER_MAX_SIZE = 128,       /* connections of one pool */
};

struct provider;

/* One connection, owned by its thread. */
struct conn {
	const struct provider *provider;
	void *settings; /* the pool's, as pool_open() made them: read only,
			   but for what it locks itself */
	void *handle;	/* the provider's; NULL: not connected */
	/* The socket, set by connect(); -1: not known. An idle connection
	 * whose socket the server has closed is dropped before a job meets
	 * it. */
	int fd;
};

/* One call. */
struct job {
	struct slice op;    /* "execute", "cmd", "get", ... */
	struct cursor args; /* of the op's arguments; nargs of them */
	uint32_t nargs;
	uint64_t deadline_ms; /* CLOCK_MONOTONIC, see net_now_ms() */
	/* What the caller may reach: an array of prefixes of
	 * "PROVIDER:HOST:PORT", or empty: everything but link-local
	 * addresses. pool.c has checked it against the pool's target. */
	struct slice grants;
	/* The answer: one packed value in `out`, or a failure: `out` empty,
	 * code and why (one line, no secrets) set by job_fail(). */
	struct buf out;
	enum job_code {
		JOB_OK,
		JOB_BADARG,	 /* becomes a Lua error "badarg: WHY" */
		JOB_UNAVAILABLE, /* not connected, or the connection broke */
		JOB_TIMEOUT,
		JOB_TOO_LARGE,
		JOB_DENIED,
	} code;
	struct buf why;
	/* One line for the log, no secrets: what the server said where the
	 * script only gets `false`. May stay empty. */
	struct buf note;
};

/* Returns `code`, for `return job_fail(job, JOB_BADARG, "...")`. */
__attribute__((format(printf, 3, 4))) int
job_fail(struct job *job, enum job_code code, const char *fmt, ...);

struct provider {
	const char *name;	  /* "postgres" */
	const char *default_pool; /* "pool_postgres" */
	bool connects; /* false: conns have no connection of their own
			  (bcrypt, http): connect() is never called */
	bool eager;    /* ensure_pool() fails unless one connects (mysql) */
	bool implicit; /* a pool that nobody has ensured is made when it is
			  first used (http, bcrypt) */
	unsigned size; /* of a pool where the settings say nothing; 0: one
			  per processor that is not spared
			  (lib/affinity.h) */

	/*
	 * Settings of a pool: one raw map, those that the script gave before
	 * the configuration's, and the first of equal keys counts (map_find,
	 * settings.h). Unknown keys are ignored. *size: how many connections
	 * (comes in as the default; clamped by the caller). *target: who it
	 * talks to as "HOST:PORT", for grants and logs (appended to a buf).
	 * ERR_TYPE: `why` names the key.
	 */
	int (*pool_open)(struct slice settings, void **out, unsigned *size,
			 struct buf *target, struct buf *why);
	void (*pool_close)(void *settings);

	/* Connect by the deadline. OK, or ERR_* and `why` (one line, no
	 * secrets); handle stays NULL. */
	int (*connect)(struct conn *c, uint64_t deadline_ms, struct buf *why);
	void (*disconnect)(struct conn *c); /* handle becomes NULL */

	/*
	 * Do the job. Fills job->out (answered well) or calls job_fail().
	 * Returns OK when the connection can be used further, ERR_CLOSED when
	 * it must be dropped.
	 */
	int (*call)(struct conn *c, struct job *job);

	/*
	 * May be NULL. Ops that need no connection (hash_method), done at once
	 * on the main thread, so that they must not block: OK and the job done
	 * or failed, or ERR_ABSENT when the op is none of them. `settings`: the
	 * raw map of this provider's configuration. Calls of these ops may name
	 * any pool or none.
	 */
	int (*local)(struct slice settings, struct job *job);

	/*
	 * May be NULL. Jobs whose arguments say which pool they are for (the
	 * name of an open cursor): the settings of that pool, or NULL: the one
	 * that the call names. On the main thread; must not block.
	 */
	const void *(*owner)(const struct job *job);
};

/* All there are; NULL ends the list. provider.c */
extern const struct provider *const providers[];
const struct provider *provider_find(struct slice name);

#endif
