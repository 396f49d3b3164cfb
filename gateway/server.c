/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: see server.h. Knows no library; what TLS means to one is its
 * provider's business.
 */
#include "gateway/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/provider.h"
#include "gateway/settings.h"

/* Where Debian and its kin keep the certificates that all trust. */
#define SYSTEM_CAS "/etc/ssl/certs/ca-certificates.crt"

int server_text(struct slice settings, const char *key, const char *other,
		char **out, struct buf *why)
{
	int r = settings_text(settings, key, NULL, out, why);

	if (r == OK && !*out)
		r = settings_text(settings, other, NULL, out, why);
	return r;
}

/* Absent: the fallback's copy. */
static int fill(char **text, const char *fallback)
{
	if (*text || !fallback)
		return OK;
	*text = strdup(fallback);
	return *text ? OK : ERR_NOMEM;
}

static int read_verify(struct server *s, struct slice settings, struct buf *why)
{
	char *word;
	int r = server_text(settings, "verify", "ssl.verify", &word, why);

	s->verify = true;
	if (r < 0 || !word)
		return r;
	if (strcmp(word, "verify_none") == 0) {
		s->verify = false;
	} else if (strcmp(word, "verify_peer") != 0) {
		buf_addf(why, "verify: must be verify_peer or verify_none");
		r = ERR_TYPE;
	}
	free(word);
	return r;
}

static int read_tls(struct server *s, struct slice settings, struct buf *why)
{
	int r;

	if ((r = settings_bool(settings, "ssl", &s->ssl, why)) < 0 ||
	    (r = read_verify(s, settings, why)) < 0 ||
	    (r = server_text(settings, "cacertfile", "cafile", &s->cafile,
			     why)) < 0 ||
	    (r = settings_text(settings, "certfile", NULL, &s->certfile, why)) <
		    0 ||
	    (r = settings_text(settings, "keyfile", NULL, &s->keyfile, why)) <
		    0)
		return r;
	if (s->verify)
		return fill(&s->cafile, SYSTEM_CAS);
	/* libpq would verify by it all the same. */
	free(s->cafile);
	s->cafile = NULL;
	return OK;
}

int server_init(struct server *s, struct slice settings,
		const struct server_defaults *d, struct buf *why)
{
	const struct settings_range ports = {1, 65535};
	int64_t port = d->port;
	int r;

	*s = (struct server){.ssl = d->ssl};
	if ((r = settings_text(settings, "host", "localhost", &s->host, why)) <
		    0 ||
	    (r = settings_int(settings, "port", ports, &port, why)) < 0 ||
	    (r = server_text(settings, d->user_key ? d->user_key : "user",
			     "user", &s->user, why)) < 0 ||
	    (r = fill(&s->user, d->user)) < 0 ||
	    (r = settings_text(settings, "password", d->password, &s->password,
			       why)) < 0 ||
	    (r = settings_text(settings, "database", d->database, &s->database,
			       why)) < 0)
		return r;
	s->port = (uint16_t)port;
	return read_tls(s, settings, why);
}

void server_fini(struct server *s)
{
	if (s->password)
		explicit_bzero(s->password, strlen(s->password));
	free(s->host);
	free(s->user);
	free(s->password);
	free(s->database);
	free(s->cafile);
	free(s->certfile);
	free(s->keyfile);
	*s = (struct server){0};
}

int server_check_files(const struct server *s, struct buf *why)
{
	const char *const files[] = {s->cafile, s->certfile, s->keyfile};

	for (size_t i = 0; s->ssl && i < sizeof(files) / sizeof(*files); i++) {
		int fd = files[i] ? open(files[i], O_RDONLY | O_CLOEXEC) : -1;

		if (fd >= 0) {
			close(fd);
		} else if (files[i]) {
			buf_addf(why, "%s cannot be read: %s", files[i],
				 strerror(errno));
			return ERR_IO;
		}
	}
	return OK;
}

int server_size(struct slice settings, unsigned *size, struct buf *why)
{
	const struct settings_range sizes = {1, 65535};
	int64_t n = *size;
	int r = settings_int(settings, "pool_size", sizes, &n, why);

	if (r == OK)
		r = settings_int(settings, "size", sizes, &n, why);
	*size = (unsigned)n;
	return r;
}
