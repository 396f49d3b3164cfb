/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crew_load: a worker gets its script: the load request, what the worker says
 * about a one-file script, and the effects of loading it. crew_load() begins,
 * crew_loaded() goes on, serve() and refuse_script() end it.
 */
#include "broker/crew_load.h"

#include <stdlib.h>

#include "lib/log.h"
#include "proto/pack.h"
#include "proto/unpack.h"

/* ---- loading ----------------------------------------------------------- */

void crew_tell(struct crew *crew, struct slice why)
{
	if (crew->told)
		return;
	crew->told = true;
	if (why.n && !crew->hooks_known)
		script_deny(crew->script);
	crew->ops->on_loaded(crew->arg, crew, why);
}

static struct slice message_of(struct slice error)
{
	struct slice text = slice_str("the script does not load"), value;

	if (map_find(error, "message", &value)) {
		struct cursor c = cursor_of(value);

		value = cursor_text(&c);
		if (!c.error)
			text = value;
	}
	return text;
}

/* The first worker's verdict counts: the sources do not change. */
static void refuse_script(struct crew *crew, struct slice error)
{
	struct slice text = message_of(error);
	struct script *s = crew->script;

	s->state = SCRIPT_UNAVAILABLE;
	if (!s->why)
		s->why = strndup((const char *)text.p, text.n);
	crew_tell(crew, text);
	crew_fail_queue(crew, CODE_UNAVAILABLE,
			s->why ? s->why : "the script does not load");
}

/* [map], of a one-file script [map, which of the workers it is] */
void crew_load(struct child *c, void *arg)
{
	struct crew *crew = arg;
	bool mqtt = crew->script->dialect == DIALECT_MQTT;
	struct buf params = {0};
	unsigned at = 0;

	while (at < crew->nworkers && crew->workers[at] != c)
		at++;
	pack_raw(&params, buf_slice(&crew->load));
	if (mqtt)
		pack_uint(&params, at);
	if (buf_error(&params) < 0)
		child_kill(c, "no memory");
	else
		child_load(c, buf_slice(&params), 1 + mqtt,
			   crew->conf->load_timeout_ms);
	buf_fini(&params);
}

static void serve(struct crew *crew, struct child *c, unsigned lanes)
{
	child_serve(c, lanes, crew->script->conf->timeout_ms);
	crew->serving++;
	crew->script->state = SCRIPT_READY;
	free(crew->script->why);
	crew->script->why = NULL;
	crew_tell(crew, slice_of(NULL, 0));
	crew_hand_out(crew, c);
}

static void refuse(struct crew *crew, struct child *c, const char *what)
{
	struct buf map = {0};

	pack_map(&map, 1);
	pack_cstr(&map, "message");
	pack_cstr(&map, what);
	refuse_script(crew, buf_slice(&map));
	child_kill(c, "unloaded");
	buf_fini(&map);
}

/* Not the script is wrong, but a server is away, or it did load before: it is
 * tried again, as after a death, and meanwhile fails. */
static void give_up(struct crew *crew, struct slice error)
{
	struct slice text = message_of(error);
	struct script *s = crew->script;

	if (!s->why)
		s->why = strndup((const char *)text.p, text.n);
	log_warn("crew", "script=%s does not load now: %.*s", s->name,
		 (int)text.n, (const char *)text.p);
	crew_tell(crew, text);
	if (crew->serving == 0)
		crew_fail_queue(crew, CODE_UNAVAILABLE,
				s->why ? s->why : "the script does not load");
}

/* What a one-file script has said about itself. */
struct loaded {
	uint64_t hooks, lanes;
	struct slice effects;
};

static int read_loaded(struct slice map, struct loaded *out)
{
	struct slice value;
	struct cursor c;

	*out = (struct loaded){0};
	if (!map_find(map, "hooks", &value))
		return ERR_FORMAT;
	c = cursor_of(value);
	for (uint32_t n = cursor_array(&c); n > 0 && !c.error; n--) {
		uint64_t hook = cursor_uint(&c);

		if (hook >= HOOK_COUNT ||
		    hook_table[hook].dialect != DIALECT_MQTT)
			return ERR_FORMAT;
		out->hooks |= 1ull << hook;
	}
	if (c.error || !map_find(map, "lanes", &value))
		return ERR_FORMAT;
	c = cursor_of(value);
	out->lanes = cursor_uint(&c);
	if (c.error || out->lanes == 0)
		return ERR_FORMAT;
	if (!map_find(map, "effects", &value))
		return OK;
	c = cursor_of(value);
	if (!cursor_nil(&c))
		out->effects = cursor_text(&c);
	return c.error ? ERR_FORMAT : OK;
}

/* The first worker's word counts, as with the sources. */
static void note_hooks(struct crew *crew, uint64_t hooks)
{
	struct script *s = crew->script;
	uint64_t before = s->hooks;

	if (crew->hooks_known)
		return;
	crew->hooks_known = true;
	s->hooks = hooks;
	if (crew->told && before != hooks && crew->ops->on_hooks)
		crew->ops->on_hooks(crew->arg, crew);
}

void crew_applied(struct crew_load *l, int status)
{
	struct child *c = l->child;

	l->ops->on_over(l->arg, l->serial);
	if (c) { /* else the crew may be gone as well */
		c->kept = NULL;
		if (c->state == CHILD_LOADING && status == OK)
			serve(l->crew, c, l->lanes);
		else if (c->state == CHILD_LOADING)
			refuse(l->crew, c, "the effects of loading failed");
	}
	free(l);
}

/* Its effects are committed before it serves. */
static int commit(struct crew *crew, struct child *c, const struct loaded *said)
{
	struct crew_load *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return ERR_NOMEM;
	*l = (struct crew_load){.child = c,
				.crew = crew,
				.ops = crew->ops,
				.arg = crew->arg,
				.lanes = (unsigned)said->lanes,
				.serial = c->load.serial};
	c->kept = &l->child;
	r = crew->ops->on_effects(crew->arg, crew, l, said->effects);
	if (r == OK)
		return OK;
	c->kept = NULL;
	free(l);
	if (r == ERR_FORMAT)
		return r;
	refuse(crew, c,
	       r == ERR_DENIED ? "effects of loading that are not granted"
			       : "the effects of loading failed");
	return OK;
}

int crew_loaded(struct child *c, void *arg, struct slice map, bool failed)
{
	struct crew *crew = arg;
	struct loaded said;

	if (failed) {
		crew->ops->on_over(crew->arg, c->load.serial);
		if (c->starved || crew->hooks_known)
			give_up(crew, map);
		else
			refuse_script(crew, map);
		child_kill(c, "unloaded");
		return OK;
	}
	if (crew->script->dialect == DIALECT_HTTP) {
		serve(crew, c, (unsigned)crew->script->conf->concurrency);
		return OK;
	}
	if (read_loaded(map, &said) < 0)
		return ERR_FORMAT;
	if (said.lanes * crew->nworkers >= CREW_LANES + crew->nworkers) {
		refuse(crew, c, "num_states: more than 1024");
		return OK;
	}
	note_hooks(crew, said.hooks);
	if (said.effects.n && crew->ops->on_effects)
		return commit(crew, c, &said);
	crew->ops->on_over(crew->arg, c->load.serial);
	serve(crew, c, (unsigned)said.lanes);
	return OK;
}
