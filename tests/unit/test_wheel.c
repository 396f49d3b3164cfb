/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines on a loop of their own. Time is not waited for where it need not
 * be: uv_update_time() moves the loop's clock, and a far horizon is reached by
 * turning the wheel by hand (tick and due times moved back).
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "broker/wheel.h"
#include "lib/err.h"

enum { MANY = 500 };

static uv_loop_t loop;
static struct wheel wheel;
static struct wheel_timer timers[MANY];
static uint64_t due[MANY];
static unsigned fired[MANY], total, early;

static void on_fire(struct wheel_timer *t)
{
	size_t i = (size_t)(t - timers);

	cr_assert(!wheel_started(t));
	if (uv_now(&loop) < due[i])
		early++;
	fired[i]++;
	total++;
}

static void setup(void)
{
	cr_assert_eq(uv_loop_init(&loop), 0);
	wheel_init(&wheel, &loop);
	for (int i = 0; i < MANY; i++)
		wheel_timer_init(&timers[i], on_fire);
}

static void teardown(void)
{
	wheel_close(&wheel);
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&loop), 0);
}

TestSuite(wheel, .init = setup, .fini = teardown, .timeout = 60);

static void start(int i, uint64_t ms)
{
	due[i] = uv_now(&loop) + ms;
	wheel_start(&wheel, &timers[i], ms);
	cr_assert(wheel_started(&timers[i]));
}

/* The wheel holds no reference: something else has to keep the loop. */
static void on_stop(uv_timer_t *t)
{
	uv_close((uv_handle_t *)t, NULL);
}

static void run_for(uint64_t ms)
{
	uv_timer_t end;

	uv_timer_init(&loop, &end);
	uv_update_time(&loop);
	uv_timer_start(&end, on_stop, ms, 0);
	uv_run(&loop, UV_RUN_DEFAULT);
}

/*
 * Until `n` have fired; the test's own timeout is the only limit. Without
 * UV_RUN_ONCE, which runs timers and may then wait for the next ones.
 */
static void run_until(unsigned n)
{
	uv_ref((uv_handle_t *)&wheel.timer);
	while (total < n) {
		uv_run(&loop, UV_RUN_NOWAIT);
		uv_sleep(1);
	}
	uv_unref((uv_handle_t *)&wheel.timer);
}

/* As if `ms` had passed in which nobody came to look. */
static void turn_back(uint64_t ms)
{
	uint64_t ticks = ms / WHEEL_GRAIN_MS;

	must(ticks % WHEEL_SLOTS == 0);
	must(wheel.tick > ticks);
	wheel.tick -= ticks;
	for (int i = 0; i < MANY; i++)
		if (wheel_started(&timers[i])) {
			timers[i].due_ms -= ms;
			due[i] -= ms;
		}
}

Test(wheel, each_fires_once_and_never_early)
{
	srandom(1);
	for (int i = 0; i < MANY; i++)
		start(i, (uint64_t)random() % 200);
	run_until(MANY);
	run_for(50);
	cr_assert_eq(total, MANY);
	cr_assert_eq(early, 0);
	for (int i = 0; i < MANY; i++)
		cr_assert_eq(fired[i], 1);
}

static int order[8], norder;

static void on_ordered(struct wheel_timer *t)
{
	order[norder++] = (int)(t - timers);
	total++;
}

Test(wheel, fires_in_order)
{
	static const uint64_t ms[] = {60, 20, 80, 0, 40};

	for (int i = 0; i < 5; i++) {
		wheel_timer_init(&timers[i], on_ordered);
		start(i, ms[i]);
	}
	run_until(5);
	for (int i = 1; i < 5; i++)
		cr_assert_leq(ms[order[i - 1]], ms[order[i]]);
}

Test(wheel, what_was_stopped_does_not_fire)
{
	for (int i = 0; i < 100; i++)
		start(i, 5 + (uint64_t)i % 20);
	for (int i = 0; i < 100; i += 2) {
		wheel_stop(&timers[i]);
		wheel_stop(&timers[i]);
		cr_assert(!wheel_started(&timers[i]));
	}
	wheel_stop(&timers[400]); /* was never started */
	run_until(50);
	run_for(60);
	cr_assert_eq(total, 50);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(fired[i], (unsigned)i % 2);
}

Test(wheel, starting_again_moves_the_deadline)
{
	start(0, 5);
	start(0, 10000);
	start(1, 10000);
	start(1, 5);
	run_until(1);
	cr_assert_eq(fired[1], 1);
	cr_assert_eq(fired[0], 0);
	start(0, 5);
	run_until(2);
	cr_assert_eq(early, 0);
}

/* The look-out for the next deadline passes over 64 empty slots at a time. */
Test(wheel, the_first_slot_behind_empty_ones)
{
	uint64_t now, tick;

	uv_update_time(&loop);
	now = uv_now(&loop);
	tick = (now / WHEEL_GRAIN_MS / 64 + 2) * 64;
	start(0, tick * WHEEL_GRAIN_MS - now);
	start(1, 1);
	run_until(1);
	cr_assert_eq(fired[1], 1);
	cr_assert_eq(wheel.armed_ms, tick * WHEEL_GRAIN_MS);
	run_until(2);
}

Test(wheel, zero_is_soon_but_not_now)
{
	start(0, 0);
	cr_assert_eq(total, 0);
	run_until(1);
}

Test(wheel, works_again_after_it_was_idle)
{
	for (int i = 0; i < 3; i++) {
		start(i, 3);
		run_until((unsigned)i + 1);
		run_for(30);
	}
	cr_assert_eq(early, 0);
}

static void on_again(struct wheel_timer *t)
{
	total++;
	if (total < 20)
		wheel_start(&wheel, t, total % 3);
}

Test(wheel, restart_inside_fire)
{
	wheel_timer_init(&timers[0], on_again);
	start(0, 1);
	run_until(20);
	run_for(20);
	cr_assert_eq(total, 20);
}

/* Two that are due together: the first stops one and moves another. */
static void on_meddle(struct wheel_timer *t)
{
	(void)t;
	total++;
	wheel_stop(&timers[1]);
	wheel_stop(&timers[2]);
	start(2, 40);
	start(3, 40);
}

Test(wheel, stop_and_start_of_others_inside_fire)
{
	wheel_timer_init(&timers[0], on_meddle);
	for (int i = 0; i < 4; i++)
		start(i, 10);
	run_until(3);
	run_for(60);
	cr_assert_eq(fired[1], 0);
	cr_assert_eq(fired[2], 1);
	cr_assert_eq(fired[3], 1);
	cr_assert_eq(early, 0);
}

/* A deadline that is freed by the one before it in the same slot. */
static struct wheel_timer *mortal;

static void on_free(struct wheel_timer *t)
{
	(void)t;
	total++;
	wheel_stop(mortal);
	free(mortal);
	mortal = NULL;
}

Test(wheel, freed_inside_fire)
{
	mortal = malloc(sizeof(*mortal));
	wheel_timer_init(mortal, on_fire);
	wheel_timer_init(&timers[0], on_free);
	start(0, 10);
	wheel_start(&wheel, mortal, 10);
	run_until(1);
	run_for(20);
	cr_assert_eq(total, 1);
}

Test(wheel, beyond_the_horizon)
{
	uint64_t round = (uint64_t)WHEEL_SLOTS * WHEEL_GRAIN_MS;

	start(0, round + 10); /* the same slot as 1 */
	start(1, 10);
	start(2, 3 * round + 10);
	start(3, round - WHEEL_GRAIN_MS);
	run_for(60);
	cr_assert_eq(fired[1], 1, "the near one of the slot");
	cr_assert_eq(total, 1, "the far ones of the slot stay");
}

/* Far deadlines are waited for, round by round, and fire at their time. */
Test(wheel, many_rounds_later)
{
	uint64_t round = (uint64_t)WHEEL_SLOTS * WHEEL_GRAIN_MS;

	uv_update_time(&loop);
	if (uv_now(&loop) < 4 * round)
		cr_skip_test("the machine has only just started");
	start(0, 3 * round + 40);
	start(1, 20);
	for (int i = 0; i < 3; i++) {
		run_for(60);
		cr_assert_eq(fired[0], 0, "round %d", i);
		turn_back(round);
	}
	run_until(2);
	cr_assert_eq(fired[0], 1);
	cr_assert_eq(early, 0);
}

Test(wheel, after_a_long_sleep_all_that_is_due_fires)
{
	uint64_t round = (uint64_t)WHEEL_SLOTS * WHEEL_GRAIN_MS;

	uv_update_time(&loop);
	if (uv_now(&loop) < 8 * round)
		cr_skip_test("the machine has only just started");
	for (int i = 0; i < 100; i++)
		start(i, 50 + (uint64_t)i * 600);
	turn_back(5 * round);
	run_until(100);
	cr_assert_eq(total, 100);
}

Test(wheel, random_starts_and_stops)
{
	bool on[MANY] = {false};
	unsigned expected = 0;

	srandom(9);
	for (int round = 0; round < 40; round++) {
		for (int k = 0; k < 200; k++) {
			int i = (int)(random() % MANY);

			if (random() % 3) {
				start(i, (uint64_t)random() % 100);
				on[i] = true;
			} else {
				wheel_stop(&timers[i]);
				on[i] = false;
			}
		}
		uv_sleep(2);
		for (int i = 0; i < MANY; i++)
			fired[i] = 0;
		uv_run(&loop, UV_RUN_NOWAIT);
		for (int i = 0; i < MANY; i++) {
			cr_assert_leq(fired[i], on[i]);
			on[i] = on[i] && !fired[i];
			cr_assert_eq(wheel_started(&timers[i]), on[i]);
		}
	}
	for (int i = 0; i < MANY; i++)
		expected += on[i];
	total = 0;
	run_until(expected);
	run_for(120);
	cr_assert_eq(total, expected);
	cr_assert_eq(early, 0);
}
