/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_check: what only the whole configuration can tell: keys that must be
 * there, paths that exclude each other; and whether the programs and the
 * folder that it names are there. Private to conf.c.
 */
#ifndef PF_BROKER_CONF_CHECK_H
#define PF_BROKER_CONF_CHECK_H

#include "broker/conf/conf_read.h"

/* Fills in what follows from other keys (control). ERR_FORMAT, ERR_NOMEM. */
int conf_check(struct conf_reader *r, const struct yaml_node *root,
	       struct conf *conf) must_check;

/* Is one of two absolute paths the other, or inside it? Symbolic links are
 * followed as far as the paths exist. */
bool conf_paths_overlap(const char *a, const char *b);

#endif
