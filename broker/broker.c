/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker: start (broker_open), the wiring between rooms, and the end
 * (broker_stop). What a message means is in client.c, call.c and admin.c.
 */
#include "broker/broker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sysexits.h>
#include <unistd.h>

#include "broker/admin/admin.h"
#include "broker/feed.h"
#include "broker/redact.h"
#include "broker/reload.h"
#include "broker/reload_wish.h"
#include "lib/log.h"
#include "proto/pack.h"

enum {
	LINGER_MS = 3000,      /* for clients that read slowly, at the end */
	LOOP_BYTES = 64 << 10, /* some hundred runs, a tenth of a millisecond */
};

/* ---- scripts ----------------------------------------------------------- */

static int on_crew_call(void *arg, struct crew *crew, struct child *c,
			struct run *run, const struct rpc *question)
{
	struct broker *b = arg;

	return call_answer(&b->calls, crew->script, c, run, question);
}

static void on_crew_log(void *arg, struct crew *crew, struct child *c,
			const struct rpc *record)
{
	struct broker *b = arg;

	if (!list_empty(&b->execs))
		admin_exec_log(b, c, record);
	call_log(&b->calls, crew->script, c, record);
}

static struct child *on_crew_spawn(void *arg, struct crew *crew)
{
	struct broker *b = arg;

	return nursery_take(&b->nursery, crew->script->conf->memory);
}

static void retire(struct broker *b, struct crew *crew)
{
	struct script *script = crew->script;

	crew_free(crew);
	script_free(script);
	(void)b;
}

static void on_crew_dead(void *arg, struct crew *crew, struct child *c)
{
	struct broker *b = arg;

	nursery_bury(&b->nursery, c);
	/* The last worker of a script that no event needs any more. */
	if (crew->stopping && crew->script->refs == 0 && crew_idle(crew))
		retire(b, crew);
}

static void serve(struct broker *b);

static void on_crew_loaded(void *arg, struct crew *crew, struct slice why)
{
	struct broker *b = arg;

	if (reload_loaded(b, crew, why))
		return; /* which tells in its own words */
	if (why.n)
		log_error("script",
			  "script=%s cannot be loaded and is unavailable: %.*s",
			  crew->script->name, (int)why.n, (const char *)why.p);
	else
		log_info("script", "script=%s loaded generation=%llu",
			 crew->script->name,
			 (unsigned long long)crew->script->generation);
	if (b->loading > 0 && --b->loading == 0 && b->phase == BROKER_STARTING)
		serve(b);
}

static int on_crew_effects(void *arg, struct crew *crew, struct crew_load *load,
			   struct slice effects)
{
	struct broker *b = arg;

	return call_apply_load(&b->calls, load, crew->script, effects);
}

static void on_run_over(void *arg, uint64_t serial)
{
	struct broker *b = arg;

	call_over(&b->calls, serial);
}

/* The same scripts, by the hooks that they are known to have now. */
static void renew_roster(struct broker *b)
{
	const struct roster *old = b->chains.roster;
	struct script **all = calloc(old->n + 1, sizeof(*all));
	struct roster *roster;

	for (size_t i = 0; all && i < old->n; i++)
		all[i] = old->scripts[i];
	if (!all || roster_new(all, old->n, &roster) < 0) {
		log_error("broker", "no memory for a new list of hooks");
		free(all);
		return;
	}
	chain_switch(&b->chains, roster);
}

static void on_renew(struct turn_task *task)
{
	struct broker *b = container_of(task, struct broker, renew);

	if (b->phase != BROKER_SERVING)
		return;
	renew_roster(b);
	client_tell_hooks(&b->clients);
}

/* A script that was given up has loaded at last. */
static void on_crew_hooks(void *arg, struct crew *crew)
{
	struct broker *b = arg;

	(void)crew;
	turn_later(&b->turn, &b->renew);
}

static const struct crew_ops crew_ops = {
	.on_call = on_crew_call,
	.on_log = on_crew_log,
	.on_loaded = on_crew_loaded,
	.on_effects = on_crew_effects,
	.on_over = on_run_over,
	.on_hooks = on_crew_hooks,
	.spawn = on_crew_spawn,
	.on_dead = on_crew_dead,
};

static bool is_listed(const struct roster *roster, const char *name)
{
	for (size_t i = 0; roster && i < roster->n; i++)
		if (strcmp(roster->scripts[i]->name, name) == 0)
			return true;
	return false;
}

/* No roster lists it any more: its workers may go. */
static void on_script_gone(void *arg, struct script *script)
{
	struct broker *b = arg;

	feed_close(script);
	if (b->phase < BROKER_ENDING &&
	    !is_listed(b->chains.roster, script->name))
		call_unloaded(&b->calls, slice_str(script->name));
	if (crew_idle(script->crew)) {
		retire(b, script->crew);
		return;
	}
	crew_stop(script->crew);
}

static int on_apply(void *arg, struct event *ev, struct script *script,
		    struct slice effects, char *what)
{
	struct broker *b = arg;

	if (ev->dry)
		return admin_exec_apply(b, ev, script, effects);
	return call_apply(&b->calls, ev, script, effects, what);
}

static const struct chain_ops chain_ops = {on_apply, on_run_over,
					   on_script_gone};

static int open_scripts(struct broker *b, struct buf *why)
{
	struct script **all = calloc(b->conf->nscripts + 1, sizeof(*all));
	struct roster *roster;
	struct crew *crew;
	size_t n = 0;

	if (!all)
		return EX_OSERR;
	for (size_t i = 0; i < b->conf->nscripts; i++) {
		struct conf_script *c = b->conf->scripts[i];
		struct buf text = {0};

		if (!conf_script_wanted(b->conf, c))
			continue;
		if (script_open(c, b->conf->script_dir, ++b->generation,
				&all[n], &text) < 0) {
			buf_addf(why, "%s:%u:1: script %s: %.*s", b->conf->file,
				 c->line, c->name, (int)text.n,
				 (const char *)text.p);
			buf_fini(&text);
			while (n > 0)
				script_free(all[--n]);
			free(all);
			return EX_CONFIG;
		}
		b->conf->scripts[i] = NULL; /* the script owns it now */
		if (crew_new(all[n], b->conf, &b->wheel, &b->crew_ops, b,
			     &crew))
			return EX_OSERR;
		n++;
	}
	if (roster_new(all, n, &roster) < 0)
		return EX_OSERR;
	chain_switch(&b->chains, roster);
	b->loading = n;
	return 0;
}

/* ---- serving ----------------------------------------------------------- */

static void fail_start(struct broker *b, const struct buf *why)
{
	log_error("broker", "%.*s", (int)why->n, (const char *)why->p);
	b->exit_status = EX_UNAVAILABLE;
	broker_stop(b);
}

static void serve(struct broker *b)
{
	struct roster *roster;
	struct buf why = {0};

	renew_roster(b); /* one-file scripts have said their hooks */
	roster = b->chains.roster;
	if (server_open(&b->server, b->loop, b->conf, &b->clients, &why) < 0) {
		fail_start(b, &why);
		buf_fini(&why);
		return;
	}
	b->phase = BROKER_SERVING;
	for (size_t i = 0; i < roster->n; i++)
		feed_open(&b->chains, b->calls.bus, roster->scripts[i]);
	log_info("broker", "serving scripts=%zu listen=%s", roster->n,
		 b->conf->listen.path);
	puts("ready");
	fflush(stdout);
	reload_postponed(b);
}

/* ---- flush ------------------------------------------------------------- */

static void on_flush_answer(struct event *ev)
{
	(void)ev; /* failures are in the log */
}

static void on_flush_done(struct event *ev)
{
	struct broker_flush *f = ev->client;

	event_free(ev);
	if (--f->running == 0 && f->done)
		f->done(f);
}

void broker_flush(struct broker_flush *f, struct slice session)
{
	struct event *ev = event_new(&f->broker->chains);
	struct buf map = {0};

	f->running = 1;
	pack_map(&map, 1);
	pack_cstr(&map, "opts");
	pack_map(&map, 1);
	pack_cstr(&map, "session");
	pack_text(&map, session);
	if (!ev || buf_error(&map) < 0 ||
	    event_fill(ev, buf_slice(&map), buf_slice(&map),
		       slice_of(NULL, 0)) < 0) {
		log_error("broker", "flush: no memory");
		f->running = 0;
		if (ev)
			event_free(ev);
		if (f->done)
			f->done(f);
	} else {
		ev->hook = HOOK_FLUSH;
		ev->client = f;
		ev->answer = on_flush_answer;
		ev->done = on_flush_done;
		chain_start(ev);
	}
	buf_fini(&map);
}

/* ---- the end ----------------------------------------------------------- */

static void on_store_closed(void *arg)
{
	struct broker *b = arg;

	b->store = NULL;
	broker_close_children(b);
	wheel_close(&b->wheel);
	turn_close(&b->turn);
	uv_close((uv_handle_t *)&b->sigterm, NULL);
	uv_close((uv_handle_t *)&b->sigint, NULL);
	uv_close((uv_handle_t *)&b->sighup, NULL);
}

static void on_no_clients(void *arg)
{
	struct broker *b = arg;

	wheel_stop(&b->shutdown);
	mqtt_clients_close(&b->mqtt_clients);
	b->clients.mqtt = NULL;
	mqtt_fini(&b->mqtt);
	call_close(&b->calls);
	store_close(b->store, on_store_closed, b);
}

/* Answers that are under way still reach who reads them. */
static void on_no_gateway(void *arg)
{
	struct broker *b = arg;

	admin_close(b);
	wheel_start(&b->wheel, &b->shutdown, LINGER_MS);
	client_finish_all(&b->clients, on_no_clients, b);
}

static void on_no_workers(void *arg)
{
	struct broker *b = arg;

	gateway_stop(&b->gateway, on_no_gateway, b);
}

static void end(struct broker *b)
{
	struct roster *roster = b->chains.roster;

	if (b->phase == BROKER_ENDING)
		return;
	b->phase = BROKER_ENDING;
	reload_cancel(b);
	turn_forget(&b->renew);
	wheel_stop(&b->shutdown);
	b->chains.idle = NULL;
	server_close(&b->server);
	for (size_t i = 0; i < roster->n; i++) {
		feed_close(roster->scripts[i]);
		crew_stop(roster->scripts[i]->crew);
	}
	nursery_stop(&b->nursery, on_no_workers, b);
}

static void on_flushed(struct broker_flush *f)
{
	struct broker *b = f->broker;

	free(f);
	end(b);
}

static void flush(struct broker *b)
{
	struct broker_flush *f;

	if (b->phase != BROKER_DRAINING)
		return;
	b->phase = BROKER_FLUSHING;
	b->chains.idle = NULL;
	f = calloc(1, sizeof(*f));
	if (!f || !chain_serves(&b->chains, HOOK_FLUSH)) {
		free(f);
		end(b);
		return;
	}
	f->broker = b;
	f->done = on_flushed;
	broker_flush(f, slice_str(b->session));
}

static void on_idle(void *arg)
{
	flush(arg);
}

static void on_shutdown(struct wheel_timer *t)
{
	struct broker *b = container_of(t, struct broker, shutdown);

	if (b->phase == BROKER_ENDING) {
		client_close_all(&b->clients);
		return;
	}
	log_warn("broker", "shutdown_timeout passed events=%zu",
		 b->chains.running);
	end(b);
}

void broker_stop(struct broker *b)
{
	if (b->phase >= BROKER_ENDING)
		return;
	if (b->phase == BROKER_STARTING || b->phase >= BROKER_DRAINING) {
		end(b);
		return;
	}
	b->phase = BROKER_DRAINING;
	log_info("broker", "stopping events=%zu", b->chains.running);
	uv_close((uv_handle_t *)&b->server.listen, NULL);
	uv_close((uv_handle_t *)&b->server.control, NULL);
	unlink(b->conf->listen.path);
	unlink(b->conf->control);
	b->server.open = false;
	client_drain(&b->clients, "stopping");
	wheel_start(&b->wheel, &b->shutdown, b->conf->shutdown_timeout_ms);
	b->chains.idle = on_idle;
	if (b->chains.running == 0)
		flush(b);
}

/* A first worker has locked itself, or could not: then nothing is served. */
static void on_tried(void *arg, const char *why)
{
	struct broker *b = arg;
	struct buf text = {0};

	if (b->phase != BROKER_STARTING)
		return;
	if (why) {
		buf_addf(&text, BROKER_NO_SANDBOX, why);
		fail_start(b, &text);
		buf_fini(&text);
		return;
	}
	for (size_t i = 0; i < b->chains.roster->n; i++)
		crew_start(b->chains.roster->scripts[i]->crew);
	if (b->loading == 0)
		serve(b);
}

static void on_sighup(uv_signal_t *handle, int signum)
{
	(void)signum;
	reload_wanted(handle->data);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	(void)signum;
	broker_stop(handle->data);
}

/* ---- the start --------------------------------------------------------- */

static void make_session(char out[37])
{
	uint8_t r[16] = {0};

	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		log_warn("broker", "no random session id");
	r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
	r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
	for (size_t i = 0, at = 0; i < sizeof(r); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[at++] = '-';
		at += (size_t)snprintf(out + at, 37 - at, "%02x", r[i]);
	}
}

static int open_store(struct broker *b, struct buf *why)
{
	struct store_options options = {
		.kind = STORE_ROCKSDB,
		.durability = b->conf->durable_disk ? STORE_DISK : STORE_OS,
		.account_max = b->conf->max_bytes,
		.loop_bytes = LOOP_BYTES,
	};
	char text[STORE_WHY];
	int r = store_open(&b->store, b->loop, b->conf->data_dir, &options,
			   text);

	if (r == OK)
		return 0;
	buf_addf(why, "%s", text);
	return r == ERR_CORRUPT || r == ERR_FORMAT ? EX_DATAERR
	       : r == ERR_EXISTS		   ? EX_UNAVAILABLE
						   : EX_IOERR;
}

static int open_mqtt(struct broker *b)
{
	if (mqtt_init(&b->mqtt, &b->wheel, b->conf->mqtt.cache_ttl_ms) < 0)
		return EX_OSERR;
	mqtt_clients_open(&b->mqtt_clients, &b->clients, &b->mqtt);
	b->clients.mqtt = &b->mqtt;
	b->calls.mqtt = &b->mqtt;
	b->calls.mqtt_clients = &b->mqtt_clients;
	return 0;
}

static void watch_signal(struct broker *b, uv_signal_t *handle, int signum,
			 uv_signal_cb on)
{
	must(uv_signal_init(b->loop, handle) == 0);
	handle->data = b;
	must(uv_signal_start(handle, on, signum) == 0);
}

int broker_open(struct broker *b, uv_loop_t *loop, struct conf *conf,
		struct buf *why)
{
	int r;

	*b = (struct broker){.loop = loop, .conf = conf, .crew_ops = crew_ops};
	list_init(&b->overrides);
	list_init(&b->commands);
	list_init(&b->execs);
	list_init(&b->recorders);
	log_filter(redact_known, &conf->mqtt.secrets);
	signal(SIGPIPE, SIG_IGN);
	make_session(b->session);
	wheel_init(&b->wheel, loop);
	if (turn_init(&b->turn, loop) < 0)
		return EX_OSERR;
	b->started_ms = uv_now(loop);
	wheel_timer_init(&b->shutdown, on_shutdown);
	turn_task_init(&b->renew, on_renew);
	chain_init(&b->chains, &b->wheel, conf, &chain_ops, b);
	client_house_init(&b->clients, &b->turn, &b->wheel, &b->chains, conf);
	b->clients.session = b->session;
	admin_open(b);
	/* Before what may take long: its default is to end the process. */
	watch_signal(b, &b->sighup, SIGHUP, on_sighup);
	if ((r = open_store(b, why)) ||
	    (r = call_open(&b->calls, loop, b->store, conf, why)) ||
	    (r = open_mqtt(b)) || (r = broker_open_children(b, why)) ||
	    (r = open_scripts(b, why)))
		return r;
	watch_signal(b, &b->sigterm, SIGTERM, on_signal);
	watch_signal(b, &b->sigint, SIGINT, on_signal);
	nursery_warm(&b->nursery, on_tried, b);
	return 0;
}

void broker_fini(struct broker *b)
{
	chain_fini(&b->chains);
	reload_forget_overrides(b);
	turn_fini(&b->turn);
	broker_free_paths(b);
	log_filter(NULL, NULL);
	conf_free(b->conf);
}
