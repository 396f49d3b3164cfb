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
};

const char *reload_verdict_name(enum reload_verdict verdict);

/*
 * Begin. `only`: reload just this script, even when nothing of it changed, by
 * its name, or by the absolute path of a one-file script (NULL: all that
 * changed). `done` is called once, later. ERR_AGAIN: a reload
 * is under way. ERR_ABSENT: no such script. ERR_NOMEM.
 */
int reload_start(struct broker *b, const char *only,
		 void (*done)(void *arg, const struct reload_result *result),
		 void *arg) must_check;

/* enable and disable: what the file says, overridden until the next start.
 * Takes effect with the next reload. ERR_NOMEM. */
int reload_override(struct broker *b, struct slice name,
		    bool enabled) must_check;
void reload_forget_overrides(struct broker *b); /* and commands */

/*
 * script.load: from the next reload on, until the next start, there is a
 * one-file script of this path, or it is enabled when the file has it. Twice
 * is once. ERR_RANGE: the path is too long, or no .lua file's. ERR_NOMEM.
 */
int reload_command(struct broker *b, const char *path) must_check;
/* The opposite; false: no command had named it. */
bool reload_withdraw(struct broker *b, const char *path);

/* A crew has told; true when it belonged to a reload. */
bool reload_loaded(struct broker *b, struct crew *crew, struct slice why);

/* The broker is ending: nothing will be switched any more. */
void reload_cancel(struct broker *b);

#endif
