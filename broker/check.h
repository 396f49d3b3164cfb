/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: is this configuration right, and do its scripts load? Each enabled
 * script is loaded in a real, locked worker; no socket is opened and the
 * database is not touched, so it may run beside a serving pinfoldd.
 */
#ifndef PF_BROKER_CHECK_H
#define PF_BROKER_CHECK_H

#include <stdbool.h>

/*
 * Prints to stdout one line a script, `NAME: ok, hooks: ...` or `NAME: why`,
 * or with `json` one map {ok, error, scripts: [{name, ok, hooks, error}]}. A
 * one-file script that asks for data or a server while it is loaded, and fails
 * without it, is told as `ok as far as a trial can tell: why` (key `note`).
 * Without it a mistake of the file goes to stderr. Returns an exit status: 0,
 * 78 something is wrong, 69 the sandbox does not hold, 71 no memory.
 */
int check_run(const char *file, bool json);

#endif
