/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loader: see loader.h. A script that cannot be loaded leaves nothing behind;
 * the broker may try again with a better one. Start at loader_load().
 */
#include "worker/loader.h"

#include <stdlib.h>

#include "proto/pack.h"
#include "proto/unpack.h"
#include "worker/dialect_mqtt.h"
#include "worker/lib.h"
#include "worker/libs.h"

static void fail_load(struct sched *s, uint32_t id, const char *hook,
		      struct slice message)
{
	struct buf *out = &s->wire.out;

	rpc_failure(out, id);
	pack_map(out, 4);
	pack_cstr(out, "code");
	pack_cstr(out, code_name(CODE_SCRIPT_ERROR));
	pack_cstr(out, "message");
	pack_text(out, message);
	pack_cstr(out, "hook");
	pack_cstr(out, hook);
	pack_cstr(out, "traceback");
	pack_cstr(out, "");
	rpc_failure_end(out);
}

static void drop_lane(struct sched *s, struct lane *l)
{
	list_remove(&l->node);
	lane_fini(l);
	free(l);
	s->nlanes--;
}

static void drop_script(struct sched *s)
{
	struct list *node;

	while ((node = list_first(&s->free)))
		drop_lane(s, container_of(node, struct lane, node));
	script_fini(&s->script);
}

/* --- sources --- */

/* The answer to call `id`, in the input buffer; what else comes is kept. */
static struct rpc await(struct sched *s, uint32_t id)
{
	struct rpc msg;
	int r;

	for (;;) {
		r = wire_next(&s->wire, &msg);
		sched_check(r);
		if (r == 0) {
			sched_check(wire_flush(&s->wire));
			sched_check(wire_read(&s->wire));
		} else if (msg.type == RPC_REQUEST) {
			sched_enqueue(s, &msg);
		} else if (msg.type == RPC_RESPONSE && msg.id == id) {
			return msg;
		}
	}
}

static bool fetch_source(struct sched *s, uint32_t load_id,
			 struct source_file *f)
{
	uint32_t id = s->wire.next_id++;
	struct cursor c;
	struct rpc msg;

	rpc_request(&s->wire.out, id, "source.get", 2);
	pack_uint(&s->wire.out, load_id);
	pack_cstr(&s->wire.out, f->name);
	msg = await(s, id);
	c = cursor_of(msg.result);
	if (msg.failed)
		return false;
	buf_add_slice(&f->text, cursor_text(&c));
	return !c.error && !buf_error(&f->text);
}

/* Whom does the script need? A module of script_dir only when it is required,
 * perhaps by another script. */
static bool needed(const struct script *s, const struct source_file *f)
{
	return s->dialect == DIALECT_HTTP || f == s->main;
}

/* The first file that cannot be had or does not compile; *why says why. */
static const struct source_file *load_files(struct sched *s, uint32_t id,
					    struct lane *l, struct buf *why)
{
	struct source_file *files = s->script.files;

	for (size_t i = 0; i < s->script.nfiles; i++) {
		files[i].missing = !fetch_source(s, id, &files[i]);
		if (!files[i].missing || !needed(&s->script, &files[i]))
			continue;
		buf_addf(why,
			 "%s: the source cannot be had, or is "
			 "larger than %d bytes",
			 files[i].chunkname + 1, PROTO_MAX_SOURCE);
		return &files[i];
	}
	for (size_t i = 0; i < s->script.nfiles; i++)
		if (needed(&s->script, &files[i]) &&
		    lane_try(l, &files[i], why) < 0)
			return &files[i];
	return NULL;
}

/* --- answers --- */

static void pack_hooks(struct buf *out, const struct lane *l)
{
	uint32_t n = 0;

	for (int h = 0; h < HOOK_COUNT; h++)
		n += l->chunk[h] != LUA_NOREF;
	pack_cstr(out, "hooks");
	pack_array(out, n);
	for (int h = 0; h < HOOK_COUNT; h++)
		if (l->chunk[h] != LUA_NOREF)
			pack_uint(out, (uint64_t)h);
}

static void answer_http(struct sched *s, uint32_t id, const struct lane *l)
{
	rpc_result(&s->wire.out, id);
	pack_map(&s->wire.out, 1);
	pack_hooks(&s->wire.out, l);
}

static void answer_mqtt(struct sched *s, uint32_t id, const struct lane *l,
			const struct effects *e)
{
	struct buf *out = &s->wire.out, packed = {0};
	uint32_t n = effects_count(e);

	rpc_result(out, id);
	pack_map(out, 4);
	pack_hooks(out, l);
	pack_cstr(out, "lanes");
	pack_uint(out, s->nlanes);
	pack_cstr(out, "effects");
	if (n) {
		effects_pack(e, &packed);
		pack_bin(out, buf_slice(&packed));
		buf_fini(&packed);
	} else {
		pack_nil(out);
	}
	pack_cstr(out, "neffects");
	pack_uint(out, n);
}

/* --- a script of one file --- */

/* The load of all lanes: each sees the effects of those before it, and all
 * together have the bounds of one run. */
struct loading {
	struct sched *s;
	uint32_t id;
	uint64_t deadline_ns;
	struct mqtt_settings settings;
	struct effects effects;
};

static void swap_effects(struct lane *l, struct loading *ld)
{
	struct effects e = l->effects;

	l->effects = ld->effects;
	ld->effects = e;
}

/* Numbers are dealt to the workers in turn: how many lanes there will be is
 * known only when the first has been loaded. */
static unsigned number(const struct script *s, unsigned lane)
{
	return lane * s->workers + s->index + 1;
}

static int load_lane(struct loading *ld, struct lane *l, unsigned lane)
{
	struct sched *s = ld->s;
	int r;

	swap_effects(l, ld);
	s->running = l;
	r = mqtt_load(l, ld->id, number(&s->script, lane), ld->deadline_ns);
	s->running = NULL;
	if (r == OK)
		swap_effects(l, ld);
	return r;
}

static void warn_unknown(struct lane *l)
{
	struct buf line = {0}, names = {0};

	mqtt_unknown_hooks(l, &names);
	if (names.n) {
		buf_addf(&line, "hooks: no such hook: %.*s", (int)names.n,
			 (const char *)names.p);
		log_text(l, LOG_WARN, buf_slice(&line));
	}
	buf_fini(&line);
	buf_fini(&names);
}

/* The first lane has run: what it says holds for all. */
static int take_settings(struct loading *ld, struct lane *l)
{
	struct script *s = &ld->s->script;
	struct buf why = {0};
	int r = mqtt_settings(l, &ld->settings, &why);

	if (r < 0)
		fail_load(ld->s, ld->id, "", buf_slice(&why));
	buf_fini(&why);
	s->concurrency =
		(ld->settings.num_states + s->workers - 1) / s->workers;
	if (r == OK)
		warn_unknown(l);
	return r;
}

static int load_lanes(struct loading *ld, struct lane *first)
{
	struct script *s = &ld->s->script;
	struct lane *l = first;
	unsigned lane = 0;
	int r;

	do {
		if (lane > 0) {
			l = sched_lane(ld->s);
			list_push(&ld->s->free, &l->node);
		}
		sched_check(lane_compile(l));
		r = load_lane(ld, l, lane);
		if (r == OK && lane == 0)
			r = take_settings(ld, l);
		if (r < 0)
			return r;
		mqtt_settle(l, ld->settings.keep_state);
	} while (++lane < s->concurrency);
	return OK;
}

static void load_mqtt(struct sched *s, uint32_t id, struct lane *first,
		      uint64_t since_ns)
{
	struct loading ld = {
		.s = s,
		.id = id,
		.deadline_ns = since_ns + s->script.load_timeout_ms * 1000000,
		.settings = {.num_states = s->script.concurrency,
			     .keep_state = s->script.keep_state},
		.effects = {.max = s->script.max_effects,
			    .max_bytes = s->script.max_effect_bytes},
	};

	s->host.may_yield = false;
	if (load_lanes(&ld, first) == OK) {
		s->host.may_yield = s->script.concurrency > 1;
		s->loaded = true;
		answer_mqtt(s, id, first, &ld.effects);
	} else {
		drop_script(s);
	}
	effects_fini(&ld.effects);
}

/* --- the request --- */

static void take_params(struct sched *s, struct slice params)
{
	struct cursor c = cursor_of(params);
	uint32_t n = cursor_array(&c);

	if (s->loaded || n < 1 || n > 2)
		sched_end(ERR_FORMAT);
	sched_check(script_init(&s->script, cursor_raw(&c)));
	if (n == 2)
		s->script.index = (unsigned)cursor_uint(&c);
	if (c.error)
		sched_end(ERR_FORMAT);
	s->host.may_yield = s->script.concurrency > 1;
}

void loader_load(struct sched *s, const struct rpc *msg)
{
	uint64_t since_ns = vm_clock_ns();
	const struct source_file *bad;
	struct buf why = {0};
	uint32_t id = msg->id;
	struct lane *l;

	take_params(s, msg->params);
	l = sched_lane(s);
	list_push(&s->free, &l->node);
	bad = load_files(s, id, l, &why);
	if (bad) {
		fail_load(s, id,
			  bad->hook == HOOK_COUNT ? ""
						  : hook_table[bad->hook].name,
			  buf_slice(&why));
		drop_script(s);
	} else if (s->script.dialect == DIALECT_MQTT) {
		load_mqtt(s, id, l, since_ns);
	} else {
		sched_check(lane_compile(l));
		s->loaded = true;
		answer_http(s, id, l);
	}
	buf_fini(&why);
	sched_check(wire_flush(&s->wire));
}
