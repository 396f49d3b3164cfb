/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name: the names of artifacts and data files, as they may come from a worker.
 */
#ifndef PF_BROKER_NAME_H
#define PF_BROKER_NAME_H

#include "lib/slice.h"

enum { NAME_MAX_BYTES = 1024, NAME_PART_MAX = 255 };

/*
 * Cleaned and relative: 1..1024 bytes, no NUL, parts between slashes of
 * 1..255 bytes that are neither "." nor "..". Workers clean before they ask;
 * anything else is refused.
 */
bool name_ok(struct slice name);

#endif
