/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn: a new worker process, on one end of a socket pair.
 *
 * By posix_spawn, never fork: the broker is large and has threads, and every
 * worker gets an address layout of its own. Whoever spawns also waits for the
 * pid; nothing here looks at SIGCHLD.
 */
#ifndef PF_BROKER_SPAWN_H
#define PF_BROKER_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

enum { SPAWN_FD = 3, SPAWN_BUFFER = 1 << 20, SPAWN_UIDS = 512 };

struct spawn_options {
	const char *path;  /* of the program; argv[0] is its last part */
	unsigned uid, gid; /* 0: not given, the worker keeps its own */
	size_t memory;	   /* bytes; 0: not given */
	bool namespaces;
};

/*
 * Start the worker of worker/main.c. It has an empty environment, default
 * signals, a session of its own, 0-2 on /dev/null (in sanitizer builds 2 is the
 * broker's), SPAWN_FD, and no other descriptor. *fd is the broker's end:
 * nonblocking, close on exec; its buffers hold SPAWN_BUFFER where the system
 * allows it.
 *
 * The worker is killed when the thread that called this ends: call it on a
 * thread that lives as long as the broker.
 *
 * 0, or ERR_IO / ERR_NOMEM with errno and nothing left behind. A path that
 * cannot be executed is an error here.
 */
int spawn_worker(const struct spawn_options *o, pid_t *pid, int *fd) must_check;

/* The same for any argv (NULL-terminated). */
int spawn_program(const char *path, char *const argv[], pid_t *pid,
		  int *fd) must_check;

/*
 * The ids that workers drop to when the broker is root. uid and gid are the
 * same number; each worker gets the next one of SPAWN_UIDS, so that those of
 * different scripts are strangers to one another.
 */
struct spawn_uids {
	unsigned base; /* 0: not set up */
	unsigned next;
	uint8_t taken[SPAWN_UIDS / 8]; /* by an account or a group */
};

/*
 * Choose the range: `base`, or where base is 0 one that Debian and systemd
 * leave free: from 1879048192, or where a container maps fewer ids, from
 * 60578. Reads the accounts once, which may take a while: at start-up.
 * ERR_RANGE: not all of it is mapped in this user namespace, or it holds an
 * id that means something to the kernel. ERR_EXISTS: all are taken.
 */
int spawn_uids_init(struct spawn_uids *u, unsigned base) must_check;

/* The next id that no account has. Never 0 after a successful init. */
unsigned spawn_unused_uid(struct spawn_uids *u);

#endif
