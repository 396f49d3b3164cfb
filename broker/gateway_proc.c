/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_proc: see gateway_proc.h. A process is born in proc_spawn(), what it
 * says arrives at on_message(), and settle() is where it ends.
 */
#include "broker/gateway_proc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/spawn.h"
#include "lib/log.h"
#include "proto/pack.h"
#include "proto/proto.h"
#include "proto/rpc.h"
#include "proto/unpack.h"

enum {
	SLOT_BITS = 12,
	SEQ_BITS = 18,
	ENSURE_ID = 1 << (SLOT_BITS + SEQ_BITS), /* nobody waits for it */
	READY_MS = 20000,
	HUNG_MS = 3000, /* past a call's own deadline */
	END_MS = 3000,	/* for a process that was told to */
	BACKLOG = 128 << 20,
	LOG_LINES = 100, /* a second */
};

_Static_assert(1 << SLOT_BITS == GATEWAY_CALLS, "a slot for each call");

/* ---- calls ------------------------------------------------------------- */

static void end_call(struct gateway_call *a,
		     const struct gateway_answer *answer)
{
	struct gateway_proc *p = a->proc;
	struct gateway *g = p->gateway;
	unsigned at = a->id & (GATEWAY_CALLS - 1);

	wheel_stop(&a->timer);
	list_remove(&a->node);
	p->slots[at] = NULL;
	p->free_slots[p->nfree++] = (uint16_t)at;
	p->ncalls--;
	g->ncalls--;
	g->bytes -= a->bytes;
	a->done(a->arg, answer);
	if (a->pool)
		buf_fini(&a->pool->params);
	free(a->pool);
	free(a);
	if (p->retired && p->ncalls == 0)
		proc_leave(p);
}

static void fail_call(struct gateway_call *a, enum code code,
		      const char *message)
{
	struct gateway_answer answer = {
		.failed = true,
		.code = slice_str(code_name(code)),
		.message = slice_str(message),
	};

	end_call(a, &answer);
}

static void fail_calls(struct gateway_proc *p)
{
	struct list *node;

	while ((node = list_first(&p->calls)) != NULL)
		fail_call(container_of(node, struct gateway_call, node),
			  CODE_UNAVAILABLE, "unavailable: the gateway ended");
}

void proc_kill(struct gateway_proc *p, const char *cause)
{
	if (!p->cause)
		p->cause = cause;
	if (!p->reaped)
		kill(p->pid, SIGKILL);
}

/* It answers every call soon after its timeout: this one hangs. */
static void on_hung(struct wheel_timer *t)
{
	struct gateway_call *a = container_of(t, struct gateway_call, timer);
	struct gateway_proc *p = a->proc;

	fail_call(a, CODE_TIMEOUT, "the gateway did not answer in time");
	proc_kill(p, "hung");
}

/* ---- what it says ------------------------------------------------------ */

static int on_answer(struct gateway_proc *p, const struct rpc *rpc)
{
	struct gateway_answer answer = {.failed = rpc->failed};
	struct gateway_call *a = p->slots[rpc->id & (GATEWAY_CALLS - 1)];

	if (rpc->id == ENSURE_ID)
		return OK;
	if (!a || a->id != rpc->id)
		return p->cause ? OK : ERR_FORMAT;
	if (rpc->failed) {
		answer.code = map_text(rpc->error, "code");
		answer.message = map_text(rpc->error, "message");
	} else {
		answer.value = rpc->result;
		gateway_remember(p->gateway, a);
		p->gateway->deaths = 0;
	}
	end_call(a, &answer);
	return OK;
}

static void on_ready(struct gateway_proc *p, struct slice map)
{
	layers_read(map, "sandbox", p->held, &p->nheld);
	layers_read(map, "missing", p->missing, &p->nmissing);
	wheel_stop(&p->timer);
	p->ready = true;
	if (p->gateway->options.strict && p->nmissing > 0) {
		log_error("gateway",
			  "sandbox: strict, and this layer does not hold: %s",
			  p->missing[0]);
		proc_kill(p, "sandbox");
		return;
	}
	log_info("gateway", "started pid=%d", (int)p->pid);
}

static int on_log(struct gateway_proc *p, struct cursor *c)
{
	uint64_t level = cursor_uint(c), now = uv_now(p->link.turn->loop);
	struct slice text = cursor_text(c);

	if (c->error || level > LOG_ERROR)
		return ERR_FORMAT;
	if (now / 1000 != p->log_second) {
		p->log_second = now / 1000;
		p->log_lines = 0;
	}
	if (p->log_lines++ < LOG_LINES)
		log_attrs((enum log_level)level, "gateway", text, NULL, 0);
	return OK;
}

static int on_notification(struct gateway_proc *p, const struct rpc *rpc)
{
	struct cursor c = cursor_of(rpc->params);
	uint32_t n = cursor_array(&c);

	if (slice_is(rpc->method, "log") && n == 2)
		return on_log(p, &c);
	if (slice_is(rpc->method, "pools") && n == 1) {
		buf_clear(&p->pools);
		buf_add_slice(&p->pools, cursor_raw(&c));
		return OK;
	}
	if (!slice_is(rpc->method, "ready") || n != 1 || p->ready)
		return ERR_FORMAT;
	on_ready(p, cursor_raw(&c));
	return OK;
}

static void on_message(void *arg, struct slice msg, const struct scan *marks)
{
	struct gateway_proc *p = arg;
	struct rpc rpc;
	int r;

	(void)marks;
	r = rpc_decode(msg, &rpc);
	if (r == OK && rpc.type == RPC_RESPONSE)
		r = on_answer(p, &rpc);
	else if (r == OK)
		r = rpc.type == RPC_NOTIFICATION ? on_notification(p, &rpc)
						 : ERR_FORMAT;
	if (r < 0)
		proc_kill(p, "protocol");
}

static const char *cause_of(const struct gateway_proc *p)
{
	if (p->cause)
		return p->cause;
	if (WIFEXITED(p->status) &&
	    WEXITSTATUS(p->status) == EXIT_WORKER_SANDBOX)
		return "sandbox";
	if (WIFSIGNALED(p->status) && WTERMSIG(p->status) == SIGSYS)
		return "forbidden_syscall";
	return "crashed";
}

static void settle(struct gateway_proc *p)
{
	if (!p->ended || !p->reaped || !p->link_closed)
		return;
	if (!p->leaving)
		log_warn("gateway", "ended pid=%d cause=%s %s=%d calls=%u",
			 (int)p->pid, cause_of(p),
			 WIFSIGNALED(p->status) ? "signal" : "exit",
			 WIFSIGNALED(p->status) ? WTERMSIG(p->status)
						: WEXITSTATUS(p->status),
			 p->ncalls);
	fail_calls(p);
	wheel_stop(&p->timer);
	gateway_gone(p->gateway, p);
	buf_fini(&p->pools);
	free(p);
}

static void on_end(void *arg, enum link_end why)
{
	struct gateway_proc *p = arg;

	if (why != LINK_EOF && !p->cause)
		p->cause = why == LINK_STUCK ? "stuck" : "protocol";
	p->ended = true;
	if (!p->leaving)
		proc_kill(p, p->cause);
	link_close(&p->link);
}

static void on_closed(void *arg)
{
	struct gateway_proc *p = arg;

	p->ended = true; /* also when we have closed it */
	p->link_closed = true;
	settle(p);
}

void proc_reap(struct gateway_proc *p)
{
	if (p->reaped || waitpid(p->pid, &p->status, WNOHANG) != p->pid)
		return;
	p->reaped = true;
	settle(p);
}

static void on_timer(struct wheel_timer *t)
{
	struct gateway_proc *p = container_of(t, struct gateway_proc, timer);

	proc_kill(p, p->leaving ? "stopped" : "start_timeout");
}

/* The closed socket tells it to go. */
void proc_leave(struct gateway_proc *p)
{
	if (p->leaving)
		return;
	p->leaving = true;
	fail_calls(p);
	wheel_start(p->gateway->wheel, &p->timer, END_MS);
	link_close(&p->link);
}

void proc_retire(struct gateway_proc *p)
{
	p->retired = true;
	if (p->ncalls == 0)
		proc_leave(p);
}

/* ---- its start --------------------------------------------------------- */

static const struct link_ops link_ops = {on_message, on_end, on_closed};

static struct gateway_proc *proc_new(struct gateway *g, pid_t pid)
{
	static const struct link_limits limits = {
		.max_message = PROTO_MAX_INTERNAL,
		.max_backlog = BACKLOG,
	};
	struct gateway_proc *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->gateway = g;
	p->pid = pid;
	list_init(&p->node);
	list_init(&p->calls);
	for (unsigned i = 0; i < GATEWAY_CALLS; i++)
		p->free_slots[i] = (uint16_t)(GATEWAY_CALLS - 1 - i);
	p->nfree = GATEWAY_CALLS;
	wheel_timer_init(&p->timer, on_timer);
	link_init(&p->link, g->turn, g->wheel, &limits);
	return p;
}

static void introduce(struct gateway *g, struct gateway_proc *p)
{
	struct buf *out = link_out(&p->link);

	rpc_notification(out, "config", 1);
	if (g->config.n)
		pack_raw(out, buf_slice(&g->config));
	else
		pack_map(out, 0);
	list_each(node, next, &g->pools)
	{
		struct gateway_pool *pool =
			container_of(node, struct gateway_pool, node);
		struct cursor c = cursor_of(buf_slice(&pool->params));
		uint32_t n = cursor_array(&c);

		rpc_request(out, ENSURE_ID, "ensure_pool", n);
		pack_raw(out, slice_of(c.p, (size_t)(c.end - c.p)));
	}
}

static bool run_program(const struct gateway_options *o, pid_t *pid, int *fd)
{
	char uid[24], gid[24];
	char *argv[4] = {(char *)(uintptr_t) "pinfold-gateway"};

	snprintf(uid, sizeof(uid), "--uid=%u", o->uid);
	snprintf(gid, sizeof(gid), "--gid=%u", o->gid);
	if (o->uid) {
		argv[1] = uid;
		argv[2] = gid;
	}
	if (spawn_program(o->path, argv, pid, fd) == OK)
		return true;
	log_error("gateway", "cannot be started from %s: %s", o->path,
		  strerror(errno));
	return false;
}

struct gateway_proc *proc_spawn(struct gateway *g)
{
	struct gateway_proc *p;
	pid_t pid;
	int fd;

	if (!run_program(&g->options, &pid, &fd))
		return NULL;
	p = proc_new(g, pid);
	if (!p) {
		close(fd);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return NULL;
	}
	wheel_start(g->wheel, &p->timer, READY_MS);
	if (link_open_fd(&p->link, fd) < 0)
		close(fd);
	else if (link_start(&p->link, &link_ops, p) == OK) {
		introduce(g, p);
		return p;
	}
	p->link.ops = &link_ops;
	p->link.arg = p;
	proc_kill(p, "socket");
	link_close(&p->link);
	return p;
}

bool proc_serves(const struct gateway_proc *p)
{
	return !p->ended && !p->cause && !p->retired && !p->leaving;
}

struct gateway_call *proc_call(struct gateway_proc *p,
			       const struct gateway_question *q)
{
	struct gateway_call *a = calloc(1, sizeof(*a));
	uint32_t at;

	if (!a)
		return NULL;
	at = p->free_slots[--p->nfree];
	p->seq = p->seq % ((1u << SEQ_BITS) - 1) + 1;
	a->id = p->seq << SLOT_BITS | at;
	a->proc = p;
	a->bytes = q->args.n + q->grants.n + 64;
	wheel_timer_init(&a->timer, on_hung);
	wheel_start(p->gateway->wheel, &a->timer, q->timeout_ms + HUNG_MS);
	p->slots[at] = a;
	list_push(&p->calls, &a->node);
	p->ncalls++;
	p->gateway->ncalls++;
	p->gateway->bytes += a->bytes;
	return a;
}
