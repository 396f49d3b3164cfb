/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox: the gateway gives up everything but sockets to other machines and
 * a few files to read, after it has its configuration and before it talks to
 * anybody. There is no way back.
 *
 * Layers, in the order of their application; those marked * are optional:
 * where the kernel refuses them the gateway runs without, and the report says
 * so. Any other that cannot be had ends it.
 *
 *   environment   no variable but its own; cwd /, umask 0777, own session
 *   fds           descriptor 3, a socket, and no other; sanitizer builds keep
 *                 2 for their report
 *   no_new_privs
 *   uid           started by root: an unused uid and gid, no groups; not
 *                 reported for an ordinary user, who keeps its own
 *   landlock*     files.h; no TCP port, no signal, no abstract socket
 *   mdwe*         memory is never both writable and executable, even in turn
 *   capabilities  none in any set
 *   rlimits       no file of any size, no core, 8 GiB of address space
 *   dumpable      off: no ptrace, no /proc/PID by its own uid
 *   pdeathsig     SIGKILL when the broker ends
 *   seccomp       policy.h
 */
#ifndef PF_GATEWAY_SANDBOX_H
#define PF_GATEWAY_SANDBOX_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/slice.h"

enum { SANDBOX_FD = 3, SANDBOX_LAYERS = 11, SANDBOX_FILES = 4096 };

struct sandbox_options {
	unsigned uid, gid;   /* 0: keep; root must not keep its own */
	struct slice config; /* raw map, for the files that it names */
};

/* Names are the words above, in that order; they live forever. */
struct sandbox_report {
	const char *held[SANDBOX_LAYERS];
	unsigned nheld;
	const char *missing[SANDBOX_LAYERS];
	unsigned nmissing;
	const char *failed; /* the mandatory layer that ended it, or NULL */
	int error;	    /* its errno, or 0 */
};

/* With one thread. 0, or a negative code when a mandatory layer does not hold:
 * then the process is of no use but to _exit with EXIT_WORKER_SANDBOX. */
int sandbox_enter(const struct sandbox_options *o,
		  struct sandbox_report *r) must_check;

#endif
