/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings: reading the raw map of a pool's settings. Nil counts as absent.
 * A value of a wrong type is ERR_TYPE, with "KEY: what it must be" in `why`.
 */
#ifndef PF_GATEWAY_SETTINGS_H
#define PF_GATEWAY_SETTINGS_H

#include "lib/buf.h"

/* A copy of the text, or of `fallback` (NULL stays NULL), for free(). A
 * number counts as its text. Text with a NUL inside is wrong. */
int settings_text(struct slice map, const char *key, const char *fallback,
		  char **out, struct buf *why) must_check;

/* An integer, or its decimal text, of least..most. *out is kept when the key
 * is absent. */
struct settings_range {
	int64_t least, most;
};
int settings_int(struct slice map, const char *key, struct settings_range range,
		 int64_t *out, struct buf *why) must_check;

/* true, false, or the words true, on, yes, false, off, no. */
int settings_bool(struct slice map, const char *key, bool *out,
		  struct buf *why) must_check;

/* How many connections: `size` of the script, else `pool_size` of the
 * configuration, else what is there. */
int settings_size(struct slice map, unsigned *size, struct buf *why) must_check;

/* "HOST:PORT", a host with a colon in brackets. */
void settings_target(const char *host, int64_t port, struct buf *target);

#endif
