/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact: an event as it may be written down: what authenticates somebody is
 * replaced by "[redacted]", what is not there (a body that the proxy keeps)
 * is left out.
 *
 *   Authorization, Proxy-Authorization   the scheme stays
 *   Cookie, Set-Cookie, cookies          names and attributes stay
 *   fields, parameters and keys whose name tells of a password, a token, a
 *   secret or an API key, wherever they are: headers, query, url, form and
 *   JSON and multipart bodies, websocket messages; user:password@ in a URL
 *
 * Bodies are searched as they are: what is compressed is not seen through.
 */
#ifndef PF_BROKER_REDACT_H
#define PF_BROKER_REDACT_H

#include "lib/buf.h"

struct redacted {
	struct buf event;    /* the packed map */
	struct buf left_out; /* packed names: "req.body", ... */
	uint32_t nleft_out;
};

/*
 * `event` and `extra` (may be empty) are packed maps that have passed a scan;
 * keys of `extra` win. With `secrets` nothing is replaced. Failures stick in
 * out->event. `out` starts zeroed.
 */
void redact_event(struct slice event, struct slice extra, bool secrets,
		  struct redacted *out);
void redacted_fini(struct redacted *r);

/* The secrets in plain text, alone; appends to out. */
void redact_text(struct slice text, struct buf *out);

/*
 * For log_filter(): `arg` is a struct conf_list of passwords. True when one of
 * them stands in the text; `out` then has it without any. Words of less than
 * REDACT_LEAST bytes are not looked for: they would be everywhere.
 */
enum { REDACT_LEAST = 4 };
bool redact_known(void *arg, struct slice text, struct buf *out);

/* Does the name of a field say that its value is a secret? */
bool redact_name(struct slice name);

#endif
