/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files: the few that the gateway may read once it is locked: what names
 * resolve by, shared libraries, certificates, and the files that its
 * configuration names.
 */
#ifndef PF_GATEWAY_FILES_H
#define PF_GATEWAY_FILES_H

#include "lib/err.h"
#include "lib/slice.h"

/*
 * By Landlock, for good: read those, write nothing, and no TCP port of its
 * own. `config`: raw map of provider -> settings, whose cafile, certfile and
 * keyfile count. Needs no_new_privs. ERR_ABSENT: no Landlock in this kernel;
 * ERR_IO with errno.
 */
int files_enter(struct slice config) must_check;

#endif
