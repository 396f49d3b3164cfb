/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_watch: one timer for each worker, which runs while there is more than
 * one run that nothing was heard of.
 */
#include "broker/child_watch.h"

#include <signal.h>

static void on_silence(struct wheel_timer *t)
{
	struct child *c = container_of(t, struct child, silence);

	if (c->state != CHILD_SERVING || c->reaped || c->nsent < 2)
		return;
	if (uv_now(c->link.turn->loop) - c->heard_ms >= SILENCE_MS)
		kill(c->pid, SIGUSR1);
	wheel_start(c->link.wheel, t, SILENCE_MS);
}

void child_watch_init(struct child *c)
{
	wheel_timer_init(&c->silence, on_silence);
}

void child_watch(struct child *c)
{
	if (c->nsent > 1 && !wheel_started(&c->silence))
		wheel_start(c->link.wheel, &c->silence, SILENCE_MS);
}
