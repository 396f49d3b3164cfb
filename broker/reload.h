/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload: a new generation of what has changed, without losing an event.
 *
 *   read the file --> open changed scripts --> load them in new workers
 *        |                  |                        |
 *     refused: nothing changes    refused: that script's old generation stays
 *   all have told --> switch the roster between two events; what began on the
 *   old generation ends on it
 *
 * Only the scripts and their settings are taken from the file; sockets, paths,
 * limits and times need a new start (a warning says so).
 */
#ifndef PF_BROKER_RELOAD_H
#define PF_BROKER_RELOAD_H

#include "broker/broker.h"

enum reload_verdict {
	RELOAD_KEPT,	/* nothing of it has changed */
	RELOAD_LOADED,	/* a new generation serves */
	RELOAD_REFUSED, /* broken; the old generation, if any, goes on */
	RELOAD_REMOVED,
};

struct reload_row {
	char *name;
	char *path; /* of a one-file script; else NULL */
	enum reload_verdict verdict;
	char *why; /* of RELOAD_REFUSED */
	struct script *old, *new_;
	bool loading;
};

/* What came of it. `error` is a line of text when the file itself was wrong;
 * then there are no rows. */
struct reload_result {
	const struct reload_row *row;
	size_t n;
	struct slice error;
	const struct conf *conf; /* what the file says; NULL: it was wrong */
};

/* Is it a script of that file, enabled or not? */
bool reload_knows(const struct reload_result *result, const char *name);

const char *reload_verdict_name(enum reload_verdict verdict);

/* Can one begin now? */
bool reload_possible(const struct broker *b);

/* One that was asked for by a signal: now, or once that is possible. */
void reload_wanted(struct broker *b);
void reload_postponed(struct broker *b); /* it is possible */

/*
 * Begin. `only`: reload this script, even when nothing of it changed, by its
 * name, or by the absolute path of a one-file script, and no other; what the
 * file has added or taken away comes and goes nevertheless. NULL: all that
 * changed. `done` is called once, later. ERR_AGAIN: not possible now.
 * ERR_NOMEM.
 */
int reload_start(struct broker *b, const char *only,
		 void (*done)(void *arg, const struct reload_result *result),
		 void *arg) must_check;

/* A crew has told; true when it belonged to a reload. */
bool reload_loaded(struct broker *b, struct crew *crew, struct slice why);

/* The broker is ending: nothing will be switched any more. */
void reload_cancel(struct broker *b);

#endif
