/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script_read: reading the sources of a script. Private to script.c.
 */
#ifndef PF_BROKER_SCRIPT_READ_H
#define PF_BROKER_SCRIPT_READ_H

#include "broker/script.h"

/* Every .lua file of the folder `dir`/NAME and of those in it. */
int script_read_folder(struct script *s, const char *dir,
		       struct buf *why) must_check;

/*
 * A one-file script: every .lua file below `root` (what it may `require`),
 * and `file`, which need not be there. s->main names it: relative to root, or
 * its base name.
 */
int script_read_file(struct script *s, const struct conf_script *conf,
		     struct buf *why) must_check;

#endif
