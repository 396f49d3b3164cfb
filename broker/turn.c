/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn: tasks run in uv_check (behind the sockets) and in uv_prepare (behind
 * the timers, before the loop waits).
 */
#include "broker/turn.h"

#include <stdlib.h>

static void run_all(struct turn *t)
{
	struct list *node;

	while ((node = list_pop(&t->tasks))) {
		struct turn_task *task =
			container_of(node, struct turn_task, node);

		task->run(task);
	}
}

static void on_prepare(uv_prepare_t *handle)
{
	run_all(handle->data);
}

static void on_check(uv_check_t *handle)
{
	run_all(handle->data);
}

int turn_init(struct turn *t, uv_loop_t *loop)
{
	*t = (struct turn){.loop = loop};
	list_init(&t->tasks);
	turn_tick(t);
	t->scratch = malloc(TURN_SCRATCH);
	if (!t->scratch)
		return ERR_NOMEM;
	must(uv_prepare_init(loop, &t->prepare) == 0);
	must(uv_check_init(loop, &t->check) == 0);
	t->prepare.data = t->check.data = t;
	must(uv_prepare_start(&t->prepare, on_prepare) == 0);
	must(uv_check_start(&t->check, on_check) == 0);
	uv_unref((uv_handle_t *)&t->prepare);
	uv_unref((uv_handle_t *)&t->check);
	return OK;
}

void turn_close(struct turn *t)
{
	run_all(t);
	uv_close((uv_handle_t *)&t->prepare, NULL);
	uv_close((uv_handle_t *)&t->check, NULL);
}

void turn_fini(struct turn *t)
{
	free(t->scratch);
	t->scratch = NULL;
}

void turn_task_init(struct turn_task *task, void (*run)(struct turn_task *task))
{
	list_init(&task->node);
	task->run = run;
}

void turn_later(struct turn *t, struct turn_task *task)
{
	if (list_empty(&task->node))
		list_push(&t->tasks, &task->node);
}

void turn_forget(struct turn_task *task)
{
	list_remove(&task->node);
}

void turn_tick(struct turn *t)
{
	t->now_us = uv_hrtime() / 1000;
}
