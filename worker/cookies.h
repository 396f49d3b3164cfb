/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cookies: the Cookie and Set-Cookie header fields, read and written
 * (RFC 6265). Pure functions; slices point into what was given.
 */
#ifndef PF_WORKER_COOKIES_H
#define PF_WORKER_COOKIES_H

#include "lib/buf.h"

/* Milliseconds since 1970 of year 1: "no expiry", as scripts know it. */
#define COOKIE_NO_EXPIRY (-62135596800000)

struct cookie {
	struct slice raw; /* "name=value" as it stood */
	struct slice name, value;
	bool quoted; /* the value stood in double quotes (now without) */
};

/* Everything beyond `cookie` is zero or empty when not said. */
struct set_cookie {
	struct cookie cookie;
	struct slice path, domain, same_site;
	int64_t expires_ms; /* COOKIE_NO_EXPIRY when not said */
	int64_t max_age;
	bool has_max_age, secure, http_only, partitioned;
};

/* The next cookie of a Cookie header's value; false at the end. */
bool cookie_next(struct slice *rest, struct cookie *out);

/* One Set-Cookie line; false when it names no cookie. */
bool set_cookie_parse(struct slice line, struct set_cookie *out);

/* Append "name=value": bytes that no cookie may have are left out, a value
 * with a space or a comma is put in double quotes. */
void cookie_put(struct buf *b, struct slice name, struct slice value);

/* Append a whole Set-Cookie line. */
void set_cookie_put(struct buf *b, const struct set_cookie *c);

#endif
