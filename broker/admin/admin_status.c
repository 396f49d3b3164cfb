/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_status: status and script.list, as maps.
 */
#include <unistd.h>

#include "broker/admin/admin.h"
#include "proto/pack.h"

static void pack_pair(struct buf *out, const char *key, uint64_t value)
{
	pack_cstr(out, key);
	pack_uint(out, value);
}

static void pack_workers(struct buf *out, const struct crew *crew)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < crew->nworkers; i++)
		n += crew->workers[i] != NULL;
	pack_cstr(out, "workers");
	pack_array(out, n);
	for (unsigned i = 0; i < crew->nworkers; i++) {
		const struct child *c = crew->workers[i];

		if (!c)
			continue;
		pack_map(out, 4);
		pack_pair(out, "pid", (uint64_t)c->pid);
		pack_pair(out, "restarts", crew->restarts[i]);
		layers_pack(out, "sandbox", c->held, c->nheld);
		layers_pack(out, "missing", c->missing, c->nmissing);
	}
}

static const char *state_name(const struct script *s)
{
	if (s->state != SCRIPT_UNAVAILABLE && s->crew->serving == 0 &&
	    s->crew->deaths >= CREW_BREAKER)
		return "broken";
	if (s->state == SCRIPT_READY && s->crew->serving == 0)
		return "restarting";
	return s->state == SCRIPT_READY	    ? "ready"
	       : s->state == SCRIPT_LOADING ? "loading"
					    : "unavailable";
}

static void pack_counts(struct buf *out, const struct script *s)
{
	uint32_t n = 0;

	pack_pair(out, "events", s->stats.events);
	pack_cstr(out, "errors");
	for (int i = 0; i < CODE_COUNT; i++)
		n += s->stats.errors[i] > 0;
	pack_map(out, n);
	for (int i = 0; i < CODE_COUNT; i++)
		if (s->stats.errors[i])
			pack_pair(out, code_name((enum code)i),
				  s->stats.errors[i]);
	pack_pair(out, "p50_us", stats_quantile(&s->stats, 0.5));
	pack_pair(out, "p99_us", stats_quantile(&s->stats, 0.99));
	pack_pair(out, "queue", s->crew->nqueue);
}

static uint64_t failed(const struct stats *stats)
{
	uint64_t n = 0;

	for (int i = 0; i < CODE_COUNT; i++)
		n += stats->errors[i];
	return n;
}

/* Of a one-file script: its file, and numbers of each hook that has run. */
static void pack_file(struct buf *out, const struct script *s)
{
	uint32_t n = 0;

	pack_cstr(out, "file");
	pack_text(out, slice_str(s->conf->file));
	for (int i = 0; i < HOOK_COUNT; i++)
		n += s->hook_stats[i] != NULL;
	pack_cstr(out, "calls");
	pack_map(out, n);
	for (int i = 0; i < HOOK_COUNT; i++) {
		const struct stats *stats = s->hook_stats[i];

		if (!stats)
			continue;
		pack_cstr(out, hook_table[i].name);
		pack_map(out, 4);
		pack_pair(out, "calls", stats->events);
		pack_pair(out, "errors", failed(stats));
		pack_pair(out, "p50_us", stats_quantile(stats, 0.5));
		pack_pair(out, "p99_us", stats_quantile(stats, 0.99));
	}
}

void admin_pack_script(struct buf *out, const struct script *s)
{
	bool mqtt = s->dialect == DIALECT_MQTT;

	pack_map(out, 11u + (s->why != NULL) + 2 * mqtt);
	pack_cstr(out, "dialect");
	pack_cstr(out, dialect_name(s->dialect));
	if (mqtt)
		pack_file(out, s);
	pack_cstr(out, "name");
	pack_cstr(out, s->name);
	pack_pair(out, "generation", s->generation);
	pack_cstr(out, "state");
	pack_cstr(out, state_name(s));
	pack_cstr(out, "hooks");
	pack_array(out, (uint32_t)__builtin_popcountll(s->hooks));
	for (int hook = 0; hook < HOOK_COUNT; hook++)
		if (script_serves(s, (enum hook)hook))
			pack_cstr(out, hook_table[hook].name);
	pack_workers(out, s->crew);
	pack_counts(out, s);
	if (s->why) {
		pack_cstr(out, "why");
		pack_text(out, slice_str(s->why));
	}
}

static void pack_scripts(struct buf *out, const struct broker *b)
{
	const struct roster *r = b->chains.roster;

	pack_array(out, (uint32_t)r->n);
	for (size_t i = 0; i < r->n; i++)
		admin_pack_script(out, r->scripts[i]);
}

void admin_script_list(struct admin_call *a)
{
	pack_scripts(admin_answer(a), a->broker);
}

void admin_status(struct admin_call *a)
{
	static const char *const phases[] = {"starting", "serving", "draining",
					     "flushing", "ending"};
	const struct broker *b = a->broker;
	struct buf *out = admin_answer(a);

	pack_map(out, 10);
	pack_cstr(out, "version");
	pack_cstr(out, PROTO_RELEASE);
	pack_pair(out, "pid", (uint64_t)getpid());
	pack_pair(out, "uptime_ms", uv_now(b->loop) - b->started_ms);
	pack_cstr(out, "state");
	pack_cstr(out, phases[b->phase]);
	pack_cstr(out, "session");
	pack_cstr(out, b->session);
	pack_pair(out, "clients", b->clients.nclients);
	pack_pair(out, "running", b->chains.running);
	pack_pair(out, "dropped", b->clients.dropped);
	pack_cstr(out, "scripts");
	pack_scripts(out, b);
	pack_cstr(out, "gateway");
	gateway_pack_status(&b->gateway, out);
}
