/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_end: causes and culprits. Nothing here changes anything.
 */
#include "broker/child_end.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

void child_end_read(const struct child *c, struct child_death *death)
{
	death->status = c->status;
	death->code = CODE_CRASHED;
	death->cause = "crashed";
	if (c->cause) {
		death->cause = c->cause;
		if (strcmp(c->cause, CHILD_STOPPED) == 0)
			death->code = CODE_SHUTTING_DOWN;
	} else if (WIFEXITED(c->status) &&
		   WEXITSTATUS(c->status) == EXIT_WORKER_MEMORY) {
		death->code = CODE_MEMORY;
		death->cause = "memory";
	} else if (WIFEXITED(c->status) &&
		   WEXITSTATUS(c->status) == EXIT_WORKER_SANDBOX) {
		death->cause = *c->failed ? c->failed : "sandbox";
	} else if (WIFSIGNALED(c->status) && WTERMSIG(c->status) == SIGSYS) {
		death->cause = "forbidden_syscall";
	}
}

struct run *child_end_culprit(struct child *c, const struct child_death *death)
{
	struct run *only;

	if (c->culprit)
		return c->culprit->id == c->running ? c->culprit : NULL;
	if (c->cause)
		return NULL;
	if (death->code == CODE_MEMORY)
		return child_run(c, c->running);
	/* A script has no way to that signal: somebody has sent it. */
	if (c->nbegun != 1 ||
	    (WIFSIGNALED(c->status) && WTERMSIG(c->status) == SIGKILL))
		return NULL;
	only = container_of(c->sent.next, struct run, node);
	return only->call ? NULL : only;
}
