/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox: a worker gives up everything but memory and one socket, before it
 * sees a line of script. There is no way back.
 *
 * Layers, in the order of their application; those marked * are optional:
 * where the kernel or a container refuses them the worker runs without, and
 * the report says so. Any other that cannot be had ends the worker.
 *
 *   environment   no variable; cwd /, umask 0777, own session, signals at
 *                 their defaults and unblocked. SIGUSR1 and SIGPIPE stay as
 *                 the worker's main() set them
 *   fds           descriptor 3, a socket, and no other: not even 0-2. Nothing
 *                 can ever be opened again, so the numbers stay free.
 *                 Sanitizer builds keep 2 for their report
 *   no_new_privs
 *   uid           started by root: an unused uid and gid, no groups. An
 *                 ordinary user's worker keeps its own: not reported
 *   user* net* ipc* uts* mount*     namespaces; the root is empty, read-only
 *   landlock*     all that the running kernel's ABI knows
 *   mdwe*         memory is never both writable and executable, even in turn
 *   capabilities  none in any set
 *   rlimits       address space: memory + SANDBOX_SLACK; no file, no process,
 *                 no core. No CPU limit: it counts a life, not an event, and
 *                 to move it needs a capability that root often lacks; the
 *                 broker's SIGKILL and pdeathsig stand in for it. Sanitizer
 *                 builds have no limit on address space and stack
 *   dumpable      off: no ptrace, no /proc/PID by its own uid
 *   pdeathsig     SIGKILL when the broker ends; checked against the socket's
 *                 creator, so that a broker that died earlier counts as well
 *   seccomp       policy.h
 */
#ifndef PF_WORKER_SANDBOX_H
#define PF_WORKER_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

enum { SANDBOX_FD = 3, SANDBOX_LAYERS = 16, SANDBOX_SLACK = 64 << 20 };

struct sandbox_options {
	unsigned uid, gid; /* 0: keep; root must not keep its own */
	size_t memory;	   /* bytes of heap; 0: address space unlimited */
	bool namespaces;   /* false: do not try them, report them missing */
};

/* Names are the words above, in that order; they live forever. */
struct sandbox_report {
	const char *held[SANDBOX_LAYERS];
	unsigned nheld;
	const char *missing[SANDBOX_LAYERS]; /* optional ones */
	unsigned nmissing;
	const char *failed; /* the mandatory layer that ended it, or NULL */
	int error;	    /* its errno, or 0 */
};

/*
 * Enter all layers, with one thread and nothing open that is worth keeping but
 * SANDBOX_FD. 0, or a negative code when a mandatory layer does not hold: then
 * the process is half locked and of no use but to _exit with
 * EXIT_WORKER_SANDBOX. Writing to SANDBOX_FD still works then.
 *
 * Afterwards end with _exit() only: what exit() does is not allowed.
 */
int sandbox_enter(const struct sandbox_options *o,
		  struct sandbox_report *r) must_check;

/*
 * The same without some layers, as bits from sandbox_bit(): only for tests
 * that show what one layer stops when another one fails. A layer left out is
 * neither held nor missing.
 */
int sandbox_enter_without(const struct sandbox_options *o, unsigned without,
			  struct sandbox_report *r) must_check;

/* The bit of a layer's name; 0 when there is none of that name. */
unsigned sandbox_bit(const char *name);

#endif
