/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched: who runs next. It never looks into an event. There is no way back
 * from a broken socket or bytes without sense: the process ends there, with
 * the code that tells the broker why. The first message is loader.c's. Start at
 * sched_run().
 */
#include "worker/sched.h"

#include <stdlib.h>
#include <unistd.h>

#include "worker/dialect.h"
#include "worker/heap.h"
#include "worker/loader.h"

/* An event that came while no lane was free. */
struct pending {
	struct list node;
	uint32_t id;
	struct buf params;
};

void sched_end(int code)
{
	int status = EXIT_WORKER_PROTOCOL;

	if (code == ERR_CLOSED)
		status = 0;
	else if (code == ERR_NOMEM)
		status = EXIT_WORKER_MEMORY;
	_exit(status);
}

void sched_check(int code)
{
	if (code < 0)
		sched_end(code);
}

static void on_gone(void *arg)
{
	(void)arg;
	sched_end(ERR_CLOSED);
}

/* --- lanes --- */

static struct lane *lane_at(struct list *node)
{
	return container_of(node, struct lane, node);
}

struct lane *sched_lane(struct sched *s)
{
	struct lane *l = calloc(1, sizeof(*l));

	if (!l)
		sched_end(ERR_NOMEM);
	sched_check(lane_init(l, &s->host));
	s->nlanes++;
	return l;
}

static struct lane *free_lane(struct sched *s)
{
	struct list *node = list_pop(&s->free);
	struct lane *l;

	if (node)
		return lane_at(node);
	if (s->nlanes >= s->script.concurrency)
		return NULL;
	l = sched_lane(s);
	sched_check(lane_compile(l));
	return l;
}

/* All lanes that have nothing to do collect what they have let go of. */
static void rest(struct sched *s)
{
	list_each(node, next, &s->free) if (lane_due(lane_at(node)))
		lane_collect(lane_at(node));
}

static void collect(struct list *lanes)
{
	list_each(node, next, lanes) lane_collect(lane_at(node));
}

static void on_collect(void *arg)
{
	struct sched *s = arg;

	collect(&s->free);
	collect(&s->waiting);
	collect(&s->ready);
}

/* A lane came back: it waits, or its run is over and answered. */
static void put_lane(struct sched *s, struct lane *l)
{
	int r;

	s->run_id = 0;
	s->running = NULL;
	if (l->state == LANE_WAITING) {
		list_push(&s->waiting, &l->node);
		sched_check(wire_called(&s->wire));
		return;
	}
	if (l->dialect->turns)
		list_push(&s->free, &l->node);
	else
		list_push_front(&s->free, &l->node);
	r = wire_answered(&s->wire);
	sched_check(r);
	if (r == 1)
		rest(s);
}

/* --- events --- */

static void begin(struct sched *s, struct lane *l, uint32_t id,
		  struct slice params)
{
	if (lane_due(l)) { /* with always more to do, no lane rests */
		sched_check(wire_flush(&s->wire));
		lane_collect(l);
	}
	s->running = l;
	s->run_id = id;
	sched_check(lane_begin(l, id, params));
	put_lane(s, l);
}

/* A signal that came between runs was meant for one that goes on now. */
static void resume(struct sched *s, struct lane *l)
{
	s->running = l;
	s->run_id = l->run_id;
	if (s->asked) {
		s->asked = 0;
		vm_arm(&l->vm);
	}
	lane_go(l);
	put_lane(s, l);
}

void sched_enqueue(struct sched *s, const struct rpc *msg)
{
	struct list *node = list_pop(&s->spare);
	struct pending *p = node ? container_of(node, struct pending, node)
				 : calloc(1, sizeof(*p));

	if (!p)
		sched_end(ERR_NOMEM);
	list_init(&p->node);
	p->id = msg->id;
	buf_clear(&p->params);
	buf_add_slice(&p->params, msg->params);
	sched_check(buf_error(&p->params));
	list_push(&s->queue, &p->node);
}

static void begin_queued(struct sched *s, struct lane *l)
{
	struct pending *p =
		container_of(list_pop(&s->queue), struct pending, node);
	struct buf bytes = l->bytes;

	l->bytes = p->params;
	l->moved = true;
	p->params = bytes;
	buf_reset(&p->params, WIRE_ROOM);
	list_push(&s->spare, &p->node);
	begin(s, l, p->id, buf_slice(&l->bytes));
}

/* --- messages --- */

static void take_answer(struct sched *s, const struct rpc *msg)
{
	list_each(node, next, &s->waiting)
	{
		struct lane *l = lane_at(node);

		if (l->call_id != msg->id)
			continue;
		lane_answer(l, msg);
		list_remove(&l->node);
		list_push(&s->ready, &l->node);
		return;
	}
}

static void take_request(struct sched *s, const struct rpc *msg)
{
	struct lane *l;

	if (slice_is(msg->method, "load")) {
		loader_load(s, msg);
		return;
	}
	if (!s->loaded || !slice_is(msg->method, "run"))
		sched_end(ERR_FORMAT);
	l = free_lane(s);
	if (l)
		begin(s, l, msg->id, msg->params);
	else
		sched_enqueue(s, msg);
}

/* A lane waits in place: others' answers and new events are kept. */
static void on_wait(void *arg, struct lane *l)
{
	struct sched *s = arg;
	uint32_t run_id = s->run_id;
	struct rpc msg;
	int r;

	s->run_id = 0; /* what comes meanwhile is not its doing */
	while (l->state != LANE_READY) {
		r = wire_next(&s->wire, &msg);
		sched_check(r);
		if (r == 0) {
			sched_check(wire_flush(&s->wire));
			sched_check(wire_read(&s->wire));
		} else if (msg.type == RPC_REQUEST) {
			sched_enqueue(s, &msg);
		} else if (msg.type == RPC_RESPONSE && msg.id == l->call_id) {
			s->run_id = run_id;
			lane_answer(l, &msg);
		} else if (msg.type == RPC_RESPONSE) {
			take_answer(s, &msg);
		}
	}
}

/* One thing that can be done without waiting. */
static bool step(struct sched *s)
{
	struct list *node = list_pop(&s->ready);
	struct lane *l;
	struct rpc msg;
	int r;

	if (node) {
		l = lane_at(node);
		resume(s, l);
		return true;
	}
	if (!list_empty(&s->queue) && (l = free_lane(s))) {
		begin_queued(s, l);
		return true;
	}
	r = wire_next(&s->wire, &msg);
	sched_check(r);
	if (r == 0)
		return false;
	if (msg.type == RPC_RESPONSE)
		take_answer(s, &msg);
	else if (msg.type == RPC_REQUEST && list_empty(&s->queue))
		take_request(s, &msg);
	else if (msg.type == RPC_REQUEST)
		sched_enqueue(s, &msg);
	return true;
}

int sched_run(struct sched *s)
{
	for (;;) {
		while (step(s))
			;
		sched_check(wire_flush(&s->wire));
		rest(s);
		if (wire_read(&s->wire) < 0)
			return 0;
	}
}

int sched_init(struct sched *s, int fd)
{
	*s = (struct sched){0};
	list_init(&s->free);
	list_init(&s->waiting);
	list_init(&s->ready);
	list_init(&s->queue);
	list_init(&s->spare);
	s->host = (struct lane_host){
		.wire = &s->wire,
		.script = &s->script,
		.wait = on_wait,
		.collect = on_collect,
		.gone = on_gone,
		.arg = s,
	};
	return wire_init(&s->wire, fd);
}

static void drop_lanes(struct list *list)
{
	struct list *node;

	while ((node = list_pop(list))) {
		struct lane *l = lane_at(node);

		lane_fini(l);
		free(l);
	}
}

static void drop_pending(struct list *list)
{
	struct list *node;

	while ((node = list_pop(list))) {
		struct pending *p = container_of(node, struct pending, node);

		buf_fini(&p->params);
		free(p);
	}
}

void sched_fini(struct sched *s)
{
	drop_lanes(&s->free);
	drop_lanes(&s->waiting);
	drop_lanes(&s->ready);
	drop_pending(&s->queue);
	drop_pending(&s->spare);
	script_fini(&s->script);
	wire_fini(&s->wire);
}

void sched_arm(struct sched *s)
{
	struct lane *l = s->running;

	if (!l) {
		s->asked = 1;
		return;
	}
	vm_arm(&l->vm);
	if (vm_late(&l->vm))
		wire_running(&s->wire, s->run_id);
}

void sched_collect(struct sched *s)
{
	struct lane *l = s->running;

	if (!l)
		return;
	l->vm.collect = true;
	vm_arm(&l->vm);
}

/* Was it surely that run which has filled the heap? All lanes share it. */
static bool is_sure(const struct sched *s)
{
	size_t kb = heap_limit() / 1024;

	return (list_empty(&s->waiting) && list_empty(&s->ready)) ||
	       lua_gc(s->running->vm.L, LUA_GCCOUNT) > (int)(kb / 2);
}

void sched_last_words(void *sched)
{
	struct sched *s = sched;

	wire_last_words(&s->wire, s->run_id && is_sure(s) ? s->run_id : 0);
}
