/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider: which there are in this build. Each is a CMake option, and one
 * line here.
 */
#include "gateway/provider.h"

#include <stdarg.h>
#include <stdio.h>

#include "gateway/provider/all.h"

const struct provider *const providers[] = {
#ifdef PINFOLD_PROVIDER_POSTGRES
	&postgres_provider,
	&cockroachdb_provider,
#endif
#ifdef PINFOLD_PROVIDER_MYSQL
	&mysql_provider,
	&mysql2_provider,
#endif
#ifdef PINFOLD_PROVIDER_MONGODB
	&mongodb_provider,
#endif
#ifdef PINFOLD_PROVIDER_REDIS
	&redis_provider,
#endif
#ifdef PINFOLD_PROVIDER_MEMCACHED
	&memcached_provider,
#endif
#ifdef PINFOLD_PROVIDER_HTTP
	&http_provider,
#endif
#ifdef PINFOLD_PROVIDER_BCRYPT
	&bcrypt_provider,
#endif
	NULL,
};

const struct provider *provider_find(struct slice name)
{
	for (size_t i = 0; providers[i]; i++)
		if (slice_is(name, providers[i]->name))
			return providers[i];
	return NULL;
}

/* Servers' texts get into it: one line of printable text. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

int job_fail(struct job *job, enum job_code code, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	clean(text);
	buf_clear(&job->out);
	buf_clear(&job->why);
	if (n > 0)
		buf_add_slice(&job->why, slice_str(text));
	job->code = code;
	return (int)code;
}
