/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway: when there is a process, and what is asked of it. The process
 * itself is in gateway_proc.c. Start at gateway_ask().
 */
#include "broker/gateway.h"

#include <signal.h>
#include <stdlib.h>

#include "broker/gateway_proc.h"
#include "lib/log.h"
#include "proto/pack.h"
#include "proto/rpc.h"
#include "proto/unpack.h"

enum { PAUSE_MS = 100, PAUSE_MOST_MS = 30000 };

/* ---- pools that are remembered ----------------------------------------- */

static void pool_free(struct gateway_pool *p)
{
	buf_fini(&p->params);
	free(p);
}

static struct gateway_pool *pool_of(const struct gateway_question *q)
{
	struct gateway_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	list_init(&p->node);
	pack_array(&p->params, 4);
	pack_text(&p->params, q->provider);
	pack_raw(&p->params, q->pool);
	p->key = p->params.n;
	pack_raw(&p->params, q->args);
	pack_raw(&p->params, q->grants);
	if (buf_error(&p->params) == OK)
		return p;
	pool_free(p);
	return NULL;
}

/* The first one of a name counts, as in the gateway. */
void gateway_remember(struct gateway *g, struct gateway_call *a)
{
	struct gateway_pool *p = a->pool;

	if (!p || p->params.n > GATEWAY_POOL_BYTES)
		return;
	list_each(node, next, &g->pools)
	{
		struct gateway_pool *old =
			container_of(node, struct gateway_pool, node);

		if (slice_eq(slice_of(p->params.p, p->key),
			     slice_of(old->params.p, old->key)))
			return;
	}
	if (g->npools == GATEWAY_POOLS)
		return;
	a->pool = NULL;
	list_push(&g->pools, &p->node);
	g->npools++;
}

/* ---- start and end ----------------------------------------------------- */

static void restart_later(struct gateway *g)
{
	uint64_t pause = 1;

	if (g->stopping || g->now || !g->wanted || wheel_started(&g->restart))
		return;
	if (g->deaths > 1) {
		pause = (uint64_t)PAUSE_MS
			<< (g->deaths < 12 ? g->deaths - 2 : 10);
		if (pause > PAUSE_MOST_MS)
			pause = PAUSE_MOST_MS;
	}
	wheel_start(g->wheel, &g->restart, pause);
}

static void spawn(struct gateway *g)
{
	g->now = proc_spawn(g);
	if (!g->now) {
		g->deaths++;
		restart_later(g);
		return;
	}
	list_push(&g->procs, &g->now->node);
	g->nprocs++;
}

static void on_restart(struct wheel_timer *t)
{
	struct gateway *g = container_of(t, struct gateway, restart);

	g->restarts++;
	spawn(g);
}

static void tell_stopped(struct gateway *g)
{
	void (*stopped)(void *arg) = g->stopped;

	if (!g->stopping || g->nprocs > 0 || !stopped)
		return;
	g->stopped = NULL;
	stopped(g->arg);
}

void gateway_gone(struct gateway *g, struct gateway_proc *p)
{
	list_remove(&p->node);
	g->nprocs--;
	if (g->now == p) {
		g->now = NULL;
		g->deaths++;
	}
	restart_later(g);
	tell_stopped(g);
}

static void on_sigchld(uv_signal_t *handle, int signum)
{
	struct gateway *g = handle->data;

	(void)signum;
	list_each(node, next, &g->procs)
	{
		proc_reap(container_of(node, struct gateway_proc, node));
	}
}

void gateway_start(struct gateway *g)
{
	g->wanted = true;
	if (!g->stopping && !g->now && !wheel_started(&g->restart))
		spawn(g);
}

int gateway_configure(struct gateway *g, struct slice providers)
{
	struct gateway_proc *old = g->now;

	if (slice_eq(providers, buf_slice(&g->config)))
		return OK;
	if (g->config.n)
		explicit_bzero(g->config.p, g->config.n);
	buf_clear(&g->config);
	buf_add_slice(&g->config, providers);
	if (buf_error(&g->config) < 0)
		return ERR_NOMEM;
	if (!old || g->stopping)
		return OK;
	g->deaths = 0;
	spawn(g);
	proc_retire(old);
	return OK;
}

void gateway_init(struct gateway *g, struct turn *turn, struct wheel *wheel,
		  const struct gateway_options *options)
{
	*g = (struct gateway){
		.turn = turn, .wheel = wheel, .options = *options};
	list_init(&g->procs);
	list_init(&g->pools);
	wheel_timer_init(&g->restart, on_restart);
	must(uv_signal_init(turn->loop, &g->sigchld) == 0);
	g->sigchld.data = g;
	must(uv_signal_start(&g->sigchld, on_sigchld, SIGCHLD) == 0);
	uv_unref((uv_handle_t *)&g->sigchld);
}

void gateway_stop(struct gateway *g, void (*stopped)(void *arg), void *arg)
{
	g->stopping = true;
	g->stopped = stopped;
	g->arg = arg;
	wheel_stop(&g->restart);
	list_each(node, next, &g->procs)
	{
		proc_leave(container_of(node, struct gateway_proc, node));
	}
	tell_stopped(g);
}

void gateway_close(struct gateway *g)
{
	struct list *node;

	while ((node = list_pop(&g->pools)) != NULL)
		pool_free(container_of(node, struct gateway_pool, node));
	if (g->config.n)
		explicit_bzero(g->config.p, g->config.n);
	buf_fini(&g->config);
	uv_close((uv_handle_t *)&g->sigchld, NULL);
}

/* ---- questions --------------------------------------------------------- */

static void send_question(struct gateway_proc *p, uint32_t id,
			  const struct gateway_question *q)
{
	struct buf *out = link_out(&p->link);

	rpc_request(out, id, "call", 6);
	pack_text(out, q->provider);
	pack_text(out, q->op);
	pack_raw(out, q->pool);
	pack_raw(out, q->args);
	pack_uint(out, q->timeout_ms);
	pack_raw(out, q->grants);
}

static void send_ensure(struct gateway_proc *p, uint32_t id,
			const struct gateway_question *q)
{
	struct buf *out = link_out(&p->link);

	rpc_request(out, id, "ensure_pool", 4);
	pack_text(out, q->provider);
	pack_raw(out, q->pool);
	pack_raw(out, q->args);
	pack_raw(out, q->grants);
}

int gateway_ask(struct gateway *g, const struct gateway_question *q,
		void (*done)(void *arg, const struct gateway_answer *a),
		void *arg)
{
	struct gateway_call *a;

	gateway_start(g);
	if (!g->now || !proc_serves(g->now))
		return ERR_CLOSED;
	if (g->now->nfree == 0 || g->ncalls >= GATEWAY_CALLS ||
	    g->bytes + q->args.n > GATEWAY_BYTES)
		return ERR_FULL;
	a = proc_call(g->now, q);
	if (!a)
		return ERR_NOMEM;
	a->done = done;
	a->arg = arg;
	if (slice_is(q->op, "ensure_pool")) {
		a->pool = pool_of(q);
		send_ensure(g->now, a->id, q);
	} else {
		send_question(g->now, a->id, q);
	}
	return OK;
}

struct slice gateway_target(const struct gateway *g, struct slice provider,
			    struct slice pool)
{
	struct cursor c;
	uint32_t n;

	if (!g->now || g->now->pools.n == 0)
		return (struct slice){0};
	c = cursor_of(buf_slice(&g->now->pools));
	for (n = cursor_array(&c); n > 0 && !c.error; n--) {
		struct slice map = cursor_raw(&c);

		if (slice_eq(map_text(map, "provider"), provider) &&
		    slice_eq(map_text(map, "name"), pool))
			return map_text(map, "target");
	}
	return (struct slice){0};
}

/* ---- status ------------------------------------------------------------ */

void gateway_pack_status(const struct gateway *g, struct buf *out)
{
	const struct gateway_proc *p = g->now;

	if (!g->wanted) {
		pack_nil(out);
		return;
	}
	pack_map(out, 7);
	pack_cstr(out, "pid");
	pack_uint(out, p ? (uint64_t)p->pid : 0);
	pack_cstr(out, "state");
	pack_cstr(out, p && p->ready ? "ready" : p ? "starting" : "restarting");
	pack_cstr(out, "restarts");
	pack_uint(out, g->restarts);
	pack_cstr(out, "calls");
	pack_uint(out, g->ncalls);
	layers_pack(out, "sandbox", p ? p->held : NULL, p ? p->nheld : 0);
	layers_pack(out, "missing", p ? p->missing : NULL, p ? p->nmissing : 0);
	pack_cstr(out, "pools");
	if (p && p->pools.n)
		pack_raw(out, buf_slice(&p->pools));
	else
		pack_array(out, 0);
}
