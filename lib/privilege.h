/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privilege: the identity and the capabilities that a locked process gives up.
 */
#ifndef PF_LIB_PRIVILEGE_H
#define PF_LIB_PRIVILEGE_H

#include "lib/err.h"

/*
 * Become that user and group (real, effective, saved), without supplementary
 * groups, and check that there is no way back: 0. Both 0: keep what is: 1, but
 * ERR_DENIED for root. One of them 0, or not allowed: ERR_DENIED, ERR_IO with
 * errno.
 */
int privilege_drop_uid(unsigned uid, unsigned gid) must_check;

/* Empty effective, permitted, inheritable and ambient set, and where allowed
 * the bounding set and the ways in which uid 0 is special. */
int privilege_drop_capabilities(void) must_check;

#endif
