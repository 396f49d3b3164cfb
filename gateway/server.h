/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: whom a database's pool talks to, and as whom. The keys are those of
 * scripts (cacertfile, verify, size) and of the configuration (cafile,
 * ssl.verify, pool_size).
 */
#ifndef PF_GATEWAY_SERVER_H
#define PF_GATEWAY_SERVER_H

#include "lib/buf.h"

struct server {
	char *host, *user, *password, *database; /* as the defaults: or NULL */
	uint16_t port;
	bool ssl, verify;
	char *cafile; /* set when, and only when, certificates are verified */
	char *certfile, *keyfile; /* or NULL */
};

/* What holds where the settings say nothing. user_key: another name of
 * "user", or NULL. */
struct server_defaults {
	uint16_t port;
	const char *user, *password, *database;
	const char *user_key;
	bool ssl;
};

/* Reads the settings (settings.h). ERR_TYPE: `why` names the key. ERR_NOMEM.
 * server_fini() is due in any case. */
int server_init(struct server *s, struct slice settings,
		const struct server_defaults *defaults,
		struct buf *why) must_check;
void server_fini(struct server *s);

/* Can the files for TLS be read, now? ERR_IO and `why`. The libraries say it
 * badly, and libpq reads memory that it has not written. */
int server_check_files(const struct server *s, struct buf *why) must_check;

/* How many connections: *size is kept when the settings do not say. */
int server_size(struct slice settings, unsigned *size,
		struct buf *why) must_check;

/* settings_text(), but `other` is asked when `key` is absent. */
int server_text(struct slice settings, const char *key, const char *other,
		char **out, struct buf *why) must_check;

#endif
