/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bcrypt: gen_salt() and hashpw(password, salt_or_hash), by libcrypt. Here and
 * not in a worker, since a quarter of a second of processor time must not
 * stop a script's lanes. One thread per processor but for the spared ones, and
 * a bound on the cost: a hash cannot be stopped once it has begun.
 */
#include <crypt.h>
#include <errno.h>
#include <stdlib.h>

#include "gateway/provider/all.h"
#include "gateway/settings.h"

enum {
	ROUNDS = 12,
	LEAST_ROUNDS = 4,
	MOST_ROUNDS = 16,
	SALT_BYTES = 29,     /* "$2b$12$" and 22 characters */
	PASSWORD_BYTES = 72, /* bcrypt looks at no more */
};

struct settings {
	int64_t rounds;
};

static int pool_open(struct slice map, void **out, unsigned *size,
		     struct buf *target, struct buf *why)
{
	static const struct settings_range rounds = {LEAST_ROUNDS, MOST_ROUNDS};
	struct settings *s = calloc(1, sizeof(*s));
	int r;

	(void)size, (void)target;
	if (!s)
		return ERR_NOMEM;
	s->rounds = ROUNDS;
	r = settings_int(map, "rounds", rounds, &s->rounds, why);
	if (r < 0) {
		free(s);
		return r;
	}
	*out = s;
	return OK;
}

static void pool_close(void *settings)
{
	free(settings);
}

static void gen_salt(const struct settings *s, struct job *job)
{
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];

	/* It takes random bytes itself. */
	if (crypt_gensalt_rn("$2a$", (unsigned long)s->rounds, NULL, 0, salt,
			     sizeof(salt)))
		pack_cstr(&job->out, salt);
	else
		job_fail(job, JOB_UNAVAILABLE, "no salt: %s", strerror(errno));
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* "$2a$12$", also 2b and 2y, and 22 characters of its own alphabet; what a
 * hash has behind them is not looked at. The cost, or -1. */
static int cost_of(struct slice salt)
{
	const uint8_t *p = salt.p;
	int cost;

	if (salt.n < SALT_BYTES || p[0] != '$' || p[1] != '2' ||
	    (p[2] != 'a' && p[2] != 'b' && p[2] != 'y') || p[3] != '$' ||
	    !is_digit(p[4]) || !is_digit(p[5]) || p[6] != '$')
		return -1;
	for (size_t i = 7; i < SALT_BYTES; i++)
		if (!is_digit(p[i]) && !(p[i] >= 'A' && p[i] <= 'Z') &&
		    !(p[i] >= 'a' && p[i] <= 'z') && p[i] != '.' && p[i] != '/')
			return -1;
	cost = (p[4] - '0') * 10 + p[5] - '0';
	return cost >= LEAST_ROUNDS ? cost : -1;
}

static void hash(struct job *job, struct slice password, struct slice salt)
{
	char secret[PASSWORD_BYTES + 1], setting[SALT_BYTES + 1];
	struct crypt_data *data = calloc(1, sizeof(*data));
	const char *result;

	if (!data) {
		job_fail(job, JOB_UNAVAILABLE, "no memory");
		return;
	}
	if (password.n > PASSWORD_BYTES)
		password.n = PASSWORD_BYTES;
	memset(secret, 0, sizeof(secret));
	if (password.n)
		memcpy(secret, password.p, password.n);
	memcpy(setting, salt.p, SALT_BYTES);
	setting[SALT_BYTES] = '\0';
	result = crypt_rn(secret, setting, data, sizeof(*data));
	if (result)
		pack_cstr(&job->out, result);
	else
		job_fail(job, JOB_BADARG, "bad salt");
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(data, sizeof(*data));
	free(data);
}

static void hashpw(struct job *job)
{
	struct slice password = cursor_text(&job->args);
	struct slice salt = cursor_text(&job->args);
	int cost;

	if (job->nargs < 2 || job->args.error) {
		job_fail(job, JOB_BADARG, "a password and a salt are strings");
		return;
	}
	/* It would be cut there, and equal to a shorter one. */
	if (password.n && memchr(password.p, 0, password.n)) {
		job_fail(job, JOB_BADARG, "a password has no NUL");
		return;
	}
	cost = cost_of(salt);
	if (cost < 0)
		job_fail(job, JOB_BADARG, "bad salt");
	else if (cost > MOST_ROUNDS)
		job_fail(job, JOB_BADARG, "the cost of the salt is over %d",
			 MOST_ROUNDS);
	else
		hash(job, password, salt);
}

static int call(struct conn *c, struct job *job)
{
	if (slice_is(job->op, "gen_salt"))
		gen_salt(c->settings, job);
	else if (slice_is(job->op, "hashpw"))
		hashpw(job);
	else
		job_fail(job, JOB_BADARG, "unknown function");
	return OK;
}

const struct provider bcrypt_provider = {
	.name = "bcrypt",
	.default_pool = "bcrypt",
	.implicit = true,
	.pool_open = pool_open,
	.pool_close = pool_close,
	.call = call,
};
