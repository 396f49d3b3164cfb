/* SPDX-License-Identifier: Apache-2.0 */
/*
 * url: splitting and joining absolute URLs, percent-coding, query pairs.
 * Pure functions over bytes; lenient when it reads, strict in url_ok().
 */
#ifndef PF_WORKER_URL_H
#define PF_WORKER_URL_H

#include "lib/buf.h"

struct url {
	struct slice scheme, host, path, query; /* still encoded */
	bool has_query;
};

/* Whatever it is, its parts; a missing part is empty. The fragment and a
 * user name before the host are left out. */
struct url url_split(struct slice text);

/* An absolute URL with a host that a request can be sent to. */
bool url_ok(struct slice text);

/* A host with an optional port, as in a URL: no user name, no path, no
 * space, brackets only around an IPv6 address. */
bool url_host_ok(struct slice host);

/* scheme://host/path?query; `path` is decoded text and gets encoded. */
void url_join(const struct url *u, struct slice decoded_path, struct buf *out);

/* Append the decoded text; a '+' becomes a space when `plus`. A '%' without
 * two hex digits stays as it is. */
void url_decode(struct slice text, bool plus, struct buf *out);

/* The next name=value pair of a query, still encoded; false at the end. */
bool url_pair(struct slice *rest, struct slice *name, struct slice *value);

#endif
