/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload_wish: what commands have said about scripts, over what the file says,
 * until the next start.
 */
#ifndef PF_BROKER_RELOAD_WISH_H
#define PF_BROKER_RELOAD_WISH_H

#include "broker/broker.h"

enum reload_wish { WISH_NONE, WISH_ENABLED, WISH_DISABLED };

/* enable and disable: what the file says, overridden until the next start.
 * Takes effect with the next reload. ERR_NOMEM. */
int reload_override(struct broker *b, struct slice name,
		    bool enabled) must_check;

/* What was wished about it before; and that again, when a command that wished
 * otherwise has failed. */
enum reload_wish reload_wished(struct broker *b, struct slice name);
void reload_wish_again(struct broker *b, const char *name,
		       enum reload_wish before);

void reload_forget_overrides(struct broker *b); /* and commands */

/*
 * script.load: from the next reload on, until the next start, there is a
 * one-file script of this path, or it is enabled when the file has it. Twice
 * is once. ERR_RANGE: the path is too long, or no .lua file's. ERR_NOMEM.
 */
int reload_command(struct broker *b, const char *path) must_check;
/* The opposite; false: no command had named it. */
bool reload_withdraw(struct broker *b, const char *path);

/* Put what commands have named into a file that was read. `why` gets a line of
 * text when that cannot be. */
int reload_add_commands(struct broker *b, struct conf *conf,
			struct buf *why) must_check;

/* Is this script of the file to be served? */
bool reload_wants(struct broker *b, const struct conf *conf,
		  const struct conf_script *c);

#endif
