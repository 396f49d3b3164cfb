/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landlock: no path, no TCP port, no signal, no abstract socket, by the
 * kernel's Landlock; as much of that as the running kernel knows.
 */
#ifndef PF_WORKER_LANDLOCK_H
#define PF_WORKER_LANDLOCK_H

#include "lib/landlock.h"

/* Take them all away, for good. Needs no_new_privs and one free descriptor.
 * 0, ERR_ABSENT (no Landlock in this kernel) or ERR_IO (errno). */
int landlock_enter(void) must_check;

#endif
