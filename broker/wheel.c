/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel: a hashed timing wheel with a bitmap of slots in use. The uv timer is
 * armed for the earliest slot that may hold something; stopping a deadline
 * leaves it armed (a wake-up too many now and then is cheaper than looking).
 */
#include "broker/wheel.h"

#include "lib/err.h"

static uint64_t tick_of(uint64_t ms)
{
	/* Rounded up: never early. */
	return (ms + WHEEL_GRAIN_MS - 1) / WHEEL_GRAIN_MS;
}

static void on_timer(uv_timer_t *handle);

static void arm(struct wheel *w, uint64_t at_ms)
{
	uint64_t now = uv_now(w->loop);

	if (w->armed_ms && w->armed_ms <= at_ms)
		return;
	w->armed_ms = at_ms;
	uv_timer_start(&w->timer, on_timer, at_ms > now ? at_ms - now : 1, 0);
}

/* Arm for the first slot in use after the current tick. */
static void arm_next(struct wheel *w)
{
	for (uint64_t i = 1; i <= WHEEL_SLOTS; i++) {
		uint64_t slot = (w->tick + i) % WHEEL_SLOTS;

		if (slot % 64 == 0 && w->used[slot / 64] == 0) {
			i += 63;
			continue;
		}
		if (w->used[slot / 64] >> (slot % 64) & 1) {
			arm(w, (w->tick + i) * WHEEL_GRAIN_MS);
			return;
		}
	}
}

static void run_slot(struct wheel *w, uint64_t slot, uint64_t now)
{
	struct list due;

	/* Moved away first: what fires may start and stop timers here. */
	list_init(&due);
	list_each(node, next, &w->slots[slot])
	{
		struct wheel_timer *t =
			container_of(node, struct wheel_timer, node);

		if (t->due_ms <= now) {
			list_remove(node);
			list_push(&due, node);
		}
	}
	if (list_empty(&w->slots[slot]))
		w->used[slot / 64] &= ~((uint64_t)1 << (slot % 64));
	while (!list_empty(&due)) {
		struct wheel_timer *t =
			container_of(list_pop(&due), struct wheel_timer, node);

		t->due_ms = 0;
		t->fire(t);
	}
}

static void on_timer(uv_timer_t *handle)
{
	struct wheel *w = handle->data;
	uint64_t now = uv_now(w->loop), target = now / WHEEL_GRAIN_MS;

	w->armed_ms = 0;
	w->running = true;
	if (target - w->tick > WHEEL_SLOTS)
		w->tick = target - WHEEL_SLOTS;
	while (w->tick < target) {
		uint64_t slot = ++w->tick % WHEEL_SLOTS;

		if (w->used[slot / 64] >> (slot % 64) & 1)
			run_slot(w, slot, now);
	}
	w->running = false;
	w->armed_ms = 0;
	arm_next(w);
}

void wheel_init(struct wheel *w, uv_loop_t *loop)
{
	*w = (struct wheel){.loop = loop};
	w->tick = uv_now(loop) / WHEEL_GRAIN_MS;
	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		list_init(&w->slots[i]);
	must(uv_timer_init(loop, &w->timer) == 0);
	w->timer.data = w;
	uv_unref((uv_handle_t *)&w->timer);
}

void wheel_close(struct wheel *w)
{
	uv_close((uv_handle_t *)&w->timer, NULL);
}

void wheel_timer_init(struct wheel_timer *t,
		      void (*fire)(struct wheel_timer *timer))
{
	list_init(&t->node);
	t->due_ms = 0;
	t->fire = fire;
}

void wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t delay_ms)
{
	uint64_t slot, tick;

	if (!w->armed_ms && !w->running) /* empty: nothing to catch up with */
		w->tick = uv_now(w->loop) / WHEEL_GRAIN_MS;
	t->due_ms = uv_now(w->loop) + (delay_ms ? delay_ms : 1);
	tick = tick_of(t->due_ms);
	if (tick <= w->tick)
		tick = w->tick + 1;
	slot = tick % WHEEL_SLOTS;
	list_remove(&t->node);
	list_push(&w->slots[slot], &t->node);
	w->used[slot / 64] |= (uint64_t)1 << (slot % 64);
	/* When the slot next comes up: of a far deadline, rounds too early. */
	tick = w->tick + 1 + (tick - w->tick - 1) % WHEEL_SLOTS;
	arm(w, tick * WHEEL_GRAIN_MS);
}

void wheel_stop(struct wheel_timer *t)
{
	list_remove(&t->node);
	t->due_ms = 0;
}
