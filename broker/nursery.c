/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nursery: see nursery.h. Start at nursery_take().
 */
#include "broker/nursery.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log.h"

enum { RESPAWN_MS = 1, RESPAWN_SLOW_MS = 1000, SPARE_FAILURES = 3 };

static const struct child_ops spare_ops;

static struct child *spawn(struct nursery *n, size_t memory)
{
	struct spawn_options o = {
		.path = n->options.worker,
		.memory = memory,
		.namespaces = true,
	};
	struct child *c;
	pid_t pid;
	int fd;

	if (n->drop_uid)
		o.uid = o.gid = spawn_unused_uid(&n->uids);
	if (spawn_worker(&o, &pid, &fd) < 0) {
		log_error("nursery", "no worker could be started from %s: %s",
			  o.path, strerror(errno));
		return NULL;
	}
	c = child_new(&n->house, pid, fd, &spare_ops, n);
	if (!c) {
		close(fd);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return NULL;
	}
	list_push(&n->children, &c->node);
	n->nchildren++;
	return c;
}

/* ---- the spare --------------------------------------------------------- */

static void warm_later(struct nursery *n)
{
	if (n->stopping || n->spare || wheel_started(&n->respawn))
		return;
	wheel_start(n->house.wheel, &n->respawn,
		    n->failures < SPARE_FAILURES ? RESPAWN_MS
						 : RESPAWN_SLOW_MS);
}

static void tell_tried(struct nursery *n, const char *why)
{
	void (*tried)(void *arg, const char *why_) = n->tried;

	n->tried = NULL;
	if (tried)
		tried(n->tried_arg, why);
}

static void on_respawn(struct wheel_timer *t)
{
	struct nursery *n = container_of(t, struct nursery, respawn);

	if (n->stopping || n->spare)
		return;
	n->spare = spawn(n, n->options.memory);
	if (!n->spare) {
		n->failures++;
		tell_tried(n, "no worker can be started");
		warm_later(n);
	}
}

static void on_ready(struct child *c, void *arg)
{
	struct nursery *n = arg;

	(void)c;
	n->failures = 0;
	tell_tried(n, NULL);
}

static int on_call(struct child *c, void *arg, struct run *run,
		   const struct rpc *question)
{
	(void)c, (void)arg, (void)run, (void)question;
	return ERR_DENIED; /* it has no script that could ask */
}

static void on_log(struct child *c, void *arg, const struct rpc *record)
{
	(void)arg, (void)record;
	child_kill(c, "protocol");
}

static void on_dead(struct child *c, void *arg, const struct child_death *death)
{
	struct nursery *n = arg;

	if (!n->stopping)
		log_warn("nursery", "spare worker ended pid=%d cause=%s %s=%d",
			 (int)c->pid, death->cause,
			 WIFSIGNALED(death->status) ? "signal" : "exit",
			 WIFSIGNALED(death->status)
				 ? WTERMSIG(death->status)
				 : WEXITSTATUS(death->status));
	if (n->spare == c)
		n->spare = NULL;
	n->failures++;
	tell_tried(n, death->cause);
	nursery_bury(n, c);
	warm_later(n);
}

static int on_loaded(struct child *c, void *arg, struct slice map, bool failed)
{
	(void)c, (void)arg, (void)map, (void)failed;
	return ERR_FORMAT; /* a spare is never loaded */
}

static void on_room(struct child *c, void *arg)
{
	(void)c, (void)arg;
}

static void on_return(struct child *c, void *arg, struct run *run)
{
	(void)c, (void)arg, (void)run;
	must(!"a spare has no runs");
}

static const struct child_ops spare_ops = {
	.on_ready = on_ready,
	.on_loaded = on_loaded,
	.on_call = on_call,
	.on_log = on_log,
	.on_room = on_room,
	.on_return = on_return,
	.on_dead = on_dead,
};

/* ---- all of them ------------------------------------------------------- */

static void on_sigchld(uv_signal_t *handle, int signum)
{
	struct nursery *n = handle->data;

	(void)signum;
	list_each(node, next, &n->children)
		child_reap(container_of(node, struct child, node));
}

int nursery_init(struct nursery *n, const struct child_house *house,
		 const struct nursery_options *options, struct buf *why)
{
	*n = (struct nursery){.house = *house, .options = *options};
	affinity_init(&n->affinity);
	n->house.affinity = &n->affinity;
	list_init(&n->children);
	wheel_timer_init(&n->respawn, on_respawn);
	n->drop_uid = geteuid() == 0;
	if (n->drop_uid && spawn_uids_init(&n->uids, options->uid_base) < 0) {
		buf_addf(why, "no unused uid for workers (sandbox.uid)");
		return ERR_DENIED;
	}
	if (access(options->worker, X_OK) < 0) {
		buf_addf(why, "worker: %s: %s", options->worker,
			 strerror(errno));
		return ERR_ABSENT;
	}
	must(uv_signal_init(house->turn->loop, &n->sigchld) == 0);
	n->sigchld.data = n;
	must(uv_signal_start(&n->sigchld, on_sigchld, SIGCHLD) == 0);
	uv_unref((uv_handle_t *)&n->sigchld);
	return OK;
}

void nursery_warm(struct nursery *n, void (*tried)(void *arg, const char *why),
		  void *arg)
{
	n->tried = tried;
	n->tried_arg = arg;
	warm_later(n);
}

struct child *nursery_take(struct nursery *n, size_t memory)
{
	struct child *c = n->spare;

	if (n->stopping)
		return NULL;
	if (c && c->state == CHILD_SPARE && memory == n->options.memory) {
		n->spare = NULL;
		warm_later(n);
		return c;
	}
	return spawn(n, memory);
}

void nursery_bury(struct nursery *n, struct child *c)
{
	child_free(c);
	n->nchildren--;
	if (n->nchildren == 0 && n->stopping && n->empty)
		n->empty(n->arg);
}

void nursery_stop(struct nursery *n, void (*empty)(void *arg), void *arg)
{
	n->stopping = true;
	n->empty = empty;
	n->arg = arg;
	wheel_stop(&n->respawn);
	if (n->spare)
		child_kill(n->spare, CHILD_STOPPED);
	if (n->nchildren == 0)
		empty(arg);
}

void nursery_close(struct nursery *n)
{
	uv_close((uv_handle_t *)&n->sigchld, NULL);
}
