/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crew: handing out runs (crew_submit, on_room), and keeping workers alive
 * (on_dead, on_restart). How a worker gets its script: crew_load.c.
 */
#include "broker/crew.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "broker/crew_load.h"
#include "lib/log.h"

enum { RESTART_MIN_MS = 100, RESTART_MAX_MS = 30000 };

#define RESTARTED "restart" /* the cause of an end that somebody wants */

static void fail_run(struct run *run, enum code code, const char *message)
{
	struct outcome outcome = {.code = code, .message = slice_str(message)};

	run->state = RUN_IDLE;
	run->done(run, &outcome);
}

/* ---- handing out ------------------------------------------------------- */

/*
 * What a dead worker has handed back goes to the next one alone, as many as it
 * has lanes: an event that kills is then among the oldest, and found, instead
 * of killing one worker for each event before it.
 */
static bool has_room(const struct child *c, const struct run *run)
{
	bool careful = run->tries > 0;

	if (!careful && !list_empty(&c->sent))
		careful =
			container_of(c->sent.prev, struct run, node)->tries > 1;
	return child_has_room(c, careful ? 0 : CREW_AHEAD);
}

static struct child *least_busy(const struct crew *crew, const struct run *run)
{
	struct child *best = NULL;

	for (unsigned i = 0; i < crew->nworkers; i++) {
		struct child *c = crew->workers[i];

		if (c && has_room(c, run) && (!best || c->nsent < best->nsent))
			best = c;
	}
	return best;
}

static void enqueue(struct crew *crew, struct run *run, bool front)
{
	run->state = RUN_QUEUED;
	if (front)
		list_push_front(&crew->queue, &run->node);
	else
		list_push(&crew->queue, &run->node);
	crew->nqueue++;
	crew->queue_bytes += run->event.n;
}

static struct run *dequeue(struct crew *crew)
{
	struct run *run =
		container_of(list_pop(&crew->queue), struct run, node);

	crew->nqueue--;
	crew->queue_bytes -= run->event.n;
	run->state = RUN_IDLE;
	return run;
}

static bool broken(const struct crew *crew)
{
	if (crew->script->dialect == DIALECT_MQTT && crew->told &&
	    !crew->hooks_known)
		return true; /* given up until it loads */
	return crew->script->state == SCRIPT_UNAVAILABLE || crew->stopping ||
	       (crew->deaths >= CREW_BREAKER && crew->serving == 0);
}

/* Has this event ended too many workers? Then it has failed now. */
static bool held(struct crew *crew, struct run *run)
{
	char why[QUARANTINE_WHY];

	if (!quarantine_holds(&crew->script->quarantine, run,
			      uv_now(crew->wheel->loop), why))
		return false;
	fail_run(run, CODE_UNAVAILABLE, why);
	return true;
}

void crew_submit(struct crew *crew, struct run *run)
{
	struct child *c;

	list_init(&run->node);
	run->tries = 0;
	if (broken(crew)) {
		fail_run(run, CODE_UNAVAILABLE,
			 crew->script->why ? crew->script->why
					   : "the script has no worker");
		return;
	}
	if (held(crew, run))
		return;
	c = crew->nqueue ? NULL : least_busy(crew, run);
	if (c)
		child_send(c, run);
	else if (crew->nqueue >= CREW_QUEUE ||
		 crew->queue_bytes + run->event.n > CREW_QUEUE_BYTES)
		fail_run(run, CODE_OVERLOADED, "the script's queue is full");
	else
		enqueue(crew, run, false);
}

bool crew_withdraw(struct crew *crew, struct run *run)
{
	if (run->state != RUN_QUEUED)
		return false;
	list_remove(&run->node);
	crew->nqueue--;
	crew->queue_bytes -= run->event.n;
	run->state = RUN_IDLE;
	return true;
}

void crew_hand_out(struct crew *crew, struct child *c)
{
	while (crew->nqueue &&
	       has_room(c, container_of(crew->queue.next, struct run, node))) {
		struct run *run = dequeue(crew);

		if (!held(crew, run))
			child_send(c, run);
	}
}

static void on_room(struct child *c, void *arg)
{
	crew_hand_out(arg, c);
}

void crew_fail_queue(struct crew *crew, enum code code, const char *message)
{
	size_t n = crew->nqueue; /* what `done` submits anew waits its turn */

	while (n-- && crew->nqueue)
		fail_run(dequeue(crew), code, message);
}

/* ---- life and death ---------------------------------------------------- */

static const struct child_ops child_ops;

static void employ(struct crew *crew, unsigned at)
{
	struct child *c = crew->ops->spawn(crew->arg, crew);

	crew->workers[at] = c;
	if (!c) { /* none could be started: as bad as one that died */
		if (++crew->deaths >= CREW_BREAKER)
			crew_tell(crew, slice_str("no worker can be started"));
		return;
	}
	child_adopt(c, &child_ops, crew);
	if (c->state == CHILD_SPARE)
		crew_load(c, crew);
}

static void fill(struct crew *crew)
{
	for (unsigned i = 0; i < crew->nworkers; i++)
		if (!crew->workers[i])
			employ(crew, i);
}

static uint64_t pause_ms(unsigned deaths)
{
	uint64_t ms = RESTART_MIN_MS;

	if (deaths <= 1)
		return 0;
	for (unsigned i = 2; i < deaths && ms < RESTART_MAX_MS; i++)
		ms *= 2;
	if (ms > RESTART_MAX_MS)
		ms = RESTART_MAX_MS;
	/* +-20 %, so that many scripts do not restart in step */
	return ms * 4 / 5 + (uint64_t)(rand() % 1000) * ms * 2 / 5 / 1000;
}

static void on_restart(struct wheel_timer *t)
{
	struct crew *crew = container_of(t, struct crew, restart);

	if (crew->stopping || crew->script->state == SCRIPT_UNAVAILABLE)
		return;
	fill(crew);
	for (unsigned i = 0; i < crew->nworkers; i++)
		if (!crew->workers[i] && !wheel_started(&crew->restart))
			wheel_start(crew->wheel, &crew->restart,
				    pause_ms(crew->deaths + 1));
}

static void on_return(struct child *c, void *arg, struct run *run)
{
	(void)c;
	enqueue(arg, run, true);
}

static void on_culprit(struct child *c, void *arg, const struct run *run)
{
	struct crew *crew = arg;

	(void)c;
	quarantine_strike(&crew->script->quarantine, run, crew->script->name,
			  uv_now(crew->wheel->loop));
}

static void describe(const struct crew *crew, const struct child *c,
		     const struct child_death *death)
{
	int status = death->status;

	log_warn("child",
		 "worker ended script=%s pid=%d cause=%s %s=%d answers=%llu",
		 crew->script->name, (int)c->pid, death->cause,
		 WIFSIGNALED(status) ? "signal" : "exit",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		 (unsigned long long)c->answers);
}

static void replace(struct crew *crew)
{
	uint64_t ms = pause_ms(crew->deaths);

	if (crew->deaths == CREW_BREAKER)
		log_error("crew",
			  "breaker open script=%s: %u workers ended without a "
			  "good answer",
			  crew->script->name, crew->deaths);
	if (ms == 0)
		on_restart(&crew->restart);
	else if (!wheel_started(&crew->restart))
		wheel_start(crew->wheel, &crew->restart, ms);
	/* Last: the end of an old generation's last event frees its crew. */
	if (broken(crew))
		crew_fail_queue(crew, CODE_UNAVAILABLE,
				"the script's workers only end");
}

static void on_dead(struct child *c, void *arg, const struct child_death *death)
{
	struct crew *crew = arg;
	bool served = c->answers > 0;

	for (unsigned i = 0; i < crew->nworkers; i++)
		if (crew->workers[i] == c) {
			crew->workers[i] = NULL;
			crew->restarts[i]++;
		}
	if (c->load.serial && !c->kept)
		crew->ops->on_over(crew->arg, c->load.serial);
	crew->serving = 0;
	for (unsigned i = 0; i < crew->nworkers; i++)
		if (crew->workers[i] &&
		    crew->workers[i]->state == CHILD_SERVING)
			crew->serving++;
	if (served)
		crew->deaths = 0;
	else if (strcmp(death->cause, RESTARTED) != 0)
		crew->deaths++;
	if (!crew->stopping && crew->script->state != SCRIPT_UNAVAILABLE) {
		describe(crew, c, death);
		/* Never loaded: do not keep the start waiting for ever. */
		if (crew->deaths >= CREW_BREAKER)
			crew_tell(crew, slice_str("its workers only end"));
		else if (strcmp(death->cause, "load_timeout") == 0)
			crew_tell(crew, slice_str("it was not loaded within "
						  "load_timeout"));
		crew->ops->on_dead(crew->arg, crew, c);
		replace(crew);
		return;
	}
	/* What was handed back finds no other worker any more. */
	crew_fail_queue(crew, CODE_SHUTTING_DOWN, "pinfold is stopping");
	crew->ops->on_dead(crew->arg, crew, c);
}

static int on_call(struct child *c, void *arg, struct run *run,
		   const struct rpc *question)
{
	struct crew *crew = arg;

	return crew->ops->on_call(crew->arg, crew, c, run, question);
}

static void on_log(struct child *c, void *arg, const struct rpc *record)
{
	struct crew *crew = arg;

	crew->ops->on_log(crew->arg, crew, c, record);
}

static const struct child_ops child_ops = {
	.on_ready = crew_load,
	.on_loaded = crew_loaded,
	.on_call = on_call,
	.on_log = on_log,
	.on_room = on_room,
	.on_return = on_return,
	.on_culprit = on_culprit,
	.on_dead = on_dead,
};

int crew_new(struct script *script, const struct conf *conf,
	     struct wheel *wheel, const struct crew_ops *ops, void *arg,
	     struct crew **out)
{
	struct crew *crew = calloc(1, sizeof(*crew));

	*out = NULL;
	if (!crew)
		return ERR_NOMEM;
	crew->script = script;
	crew->conf = conf;
	crew->wheel = wheel;
	crew->ops = ops;
	crew->arg = arg;
	crew->nworkers = (unsigned)script->conf->workers;
	list_init(&crew->queue);
	wheel_timer_init(&crew->restart, on_restart);
	script_pack_load(script, conf, &crew->load);
	crew->workers = calloc(crew->nworkers, sizeof(*crew->workers));
	crew->restarts = calloc(crew->nworkers, sizeof(*crew->restarts));
	if (!crew->workers || !crew->restarts || buf_error(&crew->load) < 0) {
		crew_free(crew);
		return ERR_NOMEM;
	}
	script->crew = crew;
	*out = crew;
	return OK;
}

void crew_start(struct crew *crew)
{
	on_restart(&crew->restart);
}

void crew_stop(struct crew *crew)
{
	crew->stopping = true;
	wheel_stop(&crew->restart);
	crew_fail_queue(crew, CODE_SHUTTING_DOWN, "pinfold is stopping");
	for (unsigned i = 0; i < crew->nworkers; i++)
		if (crew->workers[i])
			child_kill(crew->workers[i], CHILD_STOPPED);
}

void crew_restart(struct crew *crew)
{
	crew->deaths = 0;
	for (unsigned i = 0; i < crew->nworkers; i++)
		if (crew->workers[i])
			child_kill(crew->workers[i], RESTARTED);
	/* Also when a pause is under way. */
	wheel_start(crew->wheel, &crew->restart, 1);
}

bool crew_idle(const struct crew *crew)
{
	for (unsigned i = 0; i < crew->nworkers; i++)
		if (crew->workers[i])
			return false;
	return true;
}

void crew_free(struct crew *crew)
{
	if (!crew)
		return;
	wheel_stop(&crew->restart);
	buf_fini(&crew->load);
	free(crew->workers);
	free(crew->restarts);
	if (crew->script)
		crew->script->crew = NULL;
	free(crew);
}
