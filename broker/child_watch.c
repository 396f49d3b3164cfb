/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_watch: one timer for each worker, which runs while it has anything to
 * do.
 */
#include "broker/child_watch.h"

#include <signal.h>

/* Not by the turn's clock, which stands while nothing arrives. */
static bool computes(const struct child *c, const struct run *run)
{
	return run->state == RUN_BEGUN && !run->call &&
	       uv_now(c->link.turn->loop) * 1000 >=
		       run->begun_us + WATCH_MS * 1000;
}

/* Does it compute for long, by its oldest runs that wait for nobody? */
static bool computes_long(const struct child *c)
{
	if (c->state == CHILD_LOADING)
		return computes(c, &c->load);
	list_each(node, next, &c->sent)
	{
		const struct run *run = container_of(node, struct run, node);

		if (run->state != RUN_BEGUN)
			break;
		if (computes(c, run))
			return true;
	}
	return false;
}

void child_watch_release(struct child *c)
{
	if (c->confined)
		affinity_release(c->pid, &c->processors);
	c->confined = false;
}

static void on_watch(struct wheel_timer *t)
{
	struct child *c = container_of(t, struct child, watch);
	bool silent = uv_now(c->link.turn->loop) - c->heard_ms >= WATCH_MS;
	bool loading = c->state == CHILD_LOADING;

	if ((c->state != CHILD_SERVING && !loading) || c->reaped)
		return;
	if (silent && c->nsent > 1)
		kill(c->pid, SIGUSR1);
	if (!c->confined && silent && computes_long(c)) {
		c->confined =
			affinity_confine(c->affinity, c->pid, &c->processors);
	} else if (c->confined && !computes_long(c)) {
		child_watch_release(c);
	}
	if (c->nsent > 0 || loading || c->confined)
		wheel_start(c->link.wheel, t, WATCH_MS);
}

void child_watch_init(struct child *c)
{
	wheel_timer_init(&c->watch, on_watch);
}

void child_watch(struct child *c)
{
	if (!wheel_started(&c->watch))
		wheel_start(c->link.wheel, &c->watch, WATCH_MS);
}
