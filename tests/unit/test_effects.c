/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Effects: what a worker may say, and all or nothing of it.
 */
#include "broker/effects.h"
#include "proto/pack.h"
#include "proto/proto.h"
#include "tests/unit/store_room.h"

struct eff_room {
	struct room r;
	struct effects_ctx ctx;
	struct effects_run run;
	char what[EFFECTS_WHAT];
	struct buf seq;
};

static void eff_open(struct eff_room *k, const struct store_options *o)
{
	struct kv_options kv = {.ns = "http", .account = 1};
	struct artifact_options art = {
		.ns = "http", .account = 1, .grace_ms = 1};

	*k = (struct eff_room){0};
	room_open(&k->r, o);
	k->ctx.store = k->r.store;
	cr_assert_eq(kv_open(&k->ctx.kv, k->r.store, &kv), OK);
	cr_assert_eq(
		bus_open(&k->ctx.bus, k->r.store, &(struct bus_options){0}),
		OK);
	cr_assert_eq(artifact_open(&k->ctx.artifacts, k->r.store, &art), OK);
	k->run = (struct effects_run){
		.script = s("alpha"), .owner = 7, .what = k->what};
}

static void eff_close(struct eff_room *k)
{
	bus_close(k->ctx.bus);
	kv_close(k->ctx.kv);
	artifact_close(k->ctx.artifacts);
	buf_fini(&k->seq);
	room_close(&k->r);
}

static void e_set(struct eff_room *k, const char *key, const char *value)
{
	pack_array(&k->seq, 4);
	pack_cstr(&k->seq, "kv.set");
	pack_cstr(&k->seq, key);
	pack_cstr(&k->seq, value);
	pack_uint(&k->seq, 0);
}

static void e_delete(struct eff_room *k, const char *key)
{
	pack_array(&k->seq, 2);
	pack_cstr(&k->seq, "kv.delete");
	pack_cstr(&k->seq, key);
}

static void e_emit(struct eff_room *k, const char *name)
{
	pack_array(&k->seq, 3);
	pack_cstr(&k->seq, "bus.emit");
	pack_cstr(&k->seq, name);
	pack_map(&k->seq, 1);
	pack_cstr(&k->seq, "a");
	pack_int(&k->seq, 1);
}

static void e_write(struct eff_room *k, const char *name, uint64_t blob,
		    uint64_t size)
{
	pack_array(&k->seq, 4);
	pack_cstr(&k->seq, "artifact.write");
	pack_cstr(&k->seq, name);
	pack_uint(&k->seq, blob);
	pack_uint(&k->seq, size);
}

static void e_rename(struct eff_room *k, const char *name, const char *to)
{
	pack_array(&k->seq, 3);
	pack_cstr(&k->seq, "artifact.rename");
	pack_cstr(&k->seq, name);
	pack_cstr(&k->seq, to);
}

/* Commits what was packed since the last time. */
static int commit(struct eff_room *k)
{
	struct answer a = {0};
	int r;

	k->what[0] = 0;
	r = effects_apply(&k->ctx, &k->run, buf_slice(&k->seq), on_status, &a);
	buf_fini(&k->seq); /* borrowed for the call only */
	if (r < 0)
		return r;
	cr_assert_eq(a.calls, 0, "never before it returns");
	room_wait(&k->r, a.calls);
	return a.status;
}

static bool holds(struct eff_room *k, const char *key, const char *value)
{
	struct answer g = {0};
	bool same;

	cr_assert_eq(kv_get(k->ctx.kv, s(key), on_value, &g), OK);
	room_wait(&k->r, g.calls);
	same = value ? g.status == OK && answer_is(&g, value)
		     : g.status == ERR_ABSENT;
	answer_fini(&g);
	return same;
}

static void on_blob(void *arg, int status, uint64_t blob)
{
	struct answer *a = arg;

	on_status(a, status);
	a->number = (int64_t)blob;
}

static uint64_t blob_of(struct eff_room *k, const char *text)
{
	struct artifact_put p = {k->run.owner, 0, s(text)};
	struct answer a = {0};

	cr_assert_eq(artifact_put(k->ctx.artifacts, &p, on_blob, &a), OK);
	room_wait(&k->r, a.calls);
	cr_assert_eq(a.status, OK);
	return (uint64_t)a.number;
}

static void on_stat(void *arg, int status, const struct artifact_stat *stat)
{
	struct answer *a = arg;

	on_status(a, status);
	a->number = stat && !stat->dir ? (int64_t)stat->size : -1;
}

static int64_t size_of(struct eff_room *k, const char *name)
{
	struct answer a = {0};

	cr_assert_eq(artifact_stat(k->ctx.artifacts, s(name), on_stat, &a), OK);
	room_wait(&k->r, a.calls);
	return a.status == OK ? a.number : -1;
}

static int on_event(void *arg, const struct bus_event *e)
{
	struct buf *text = arg;

	buf_addf(text, "%d:%.*s/%.*s/%u ", (int)e->seq, (int)e->name.n,
		 e->name.p, (int)e->from.n, e->from.p, e->hops);
	return OK;
}

Test(effects, all_kinds_at_once)
{
	each_kind(o)
	{
		struct slice all = s("*");
		struct bus_filter f = {.names = &all, .n = 1};
		struct buf heard = {0};
		struct bus_sub *sub;
		struct eff_room k;
		uint64_t blob;

		eff_open(&k, &o);
		cr_assert_eq(
			bus_subscribe(k.ctx.bus, &f, on_event, &heard, &sub),
			OK);
		cr_assert_eq(commit(&k), OK, "nothing at all");
		blob = blob_of(&k, "content");
		k.run.hops = 3;
		e_set(&k, "a", "1");
		e_set(&k, "b", "2");
		e_emit(&k, "x");
		e_delete(&k, "b");
		e_emit(&k, "y");
		e_write(&k, "t", blob, 7);
		e_rename(&k, "t", "final");
		cr_assert_eq(commit(&k), OK, "%s", k.what);
		cr_assert(holds(&k, "a", "1"));
		cr_assert(holds(&k, "b", NULL), "the last one counts");
		cr_assert_eq(size_of(&k, "final"), 7);
		cr_assert_eq(size_of(&k, "t"), -1);
		cr_assert(slice_is(buf_slice(&heard),
				   "1:x/alpha/3 2:y/alpha/3 "));
		eff_close(&k);
		buf_fini(&heard);
	}
}

/* Whatever is wrong with one of them, none happens. */
Test(effects, one_bad_one_spoils_all)
{
	each_kind(o)
	{
		struct slice mine = s("mine:"), all = s("*");
		struct bus_filter f = {.names = &all, .n = 1};
		struct grants grants = {0};
		struct buf heard = {0};
		struct bus_sub *sub;
		struct eff_room k;

		eff_open(&k, &o);
		cr_assert_eq(
			bus_subscribe(k.ctx.bus, &f, on_event, &heard, &sub),
			OK);
		e_set(&k, "a", "1");
		e_emit(&k, "x");
		e_rename(&k, "none", "b");
		cr_assert_eq(commit(&k), ERR_CONFLICT);
		e_set(&k, "a", "1");
		e_emit(&k, "x");
		e_write(&k, "b", 12345, 7);
		cr_assert_eq(commit(&k), ERR_FORMAT);
		e_set(&k, "a", "1");
		pack_array(&k.seq, 1);
		pack_cstr(&k.seq, "kv.drop");
		cr_assert_eq(commit(&k), ERR_FORMAT);
		grants.list[GRANT_KV_WRITE] =
			(struct grant_list){&mine, 1, true};
		k.run.grants = &grants;
		e_set(&k, "mine:a", "1");
		e_set(&k, "a", "1");
		cr_assert_eq(commit(&k), ERR_DENIED);
		cr_assert_str_eq(k.what, "kv.set a");
		cr_assert(holds(&k, "a", NULL));
		cr_assert(holds(&k, "mine:a", NULL));
		e_set(&k, "mine:a", "1");
		e_emit(&k, "not limited");
		cr_assert_eq(commit(&k), OK);
		cr_assert(holds(&k, "mine:a", "1"));
		eff_close(&k);
		/* Numbers of what failed are never used again for others. */
		cr_assert_eq(heard.n, strlen("2:not limited/alpha/0 "));
		buf_fini(&heard);
	}
}

Test(effects, grants_of_every_kind)
{
	struct store_options o = kind_options(0);
	struct slice mine = s("m/");
	struct grants grants = {0};
	struct eff_room k;

	eff_open(&k, &o);
	for (int i = 0; i < GRANT_COUNT; i++)
		grants.list[i] = (struct grant_list){&mine, 1, true};
	k.run.grants = &grants;
	e_delete(&k, "x");
	cr_assert_eq(commit(&k), ERR_DENIED);
	e_emit(&k, "x");
	cr_assert_eq(commit(&k), ERR_DENIED);
	e_write(&k, "x", 0, 0);
	cr_assert_eq(commit(&k), ERR_DENIED);
	e_write(&k, "m/x", 0, 0);
	e_rename(&k, "m/x", "x");
	cr_assert_eq(commit(&k), ERR_DENIED);
	e_write(&k, "m/x", 0, 0);
	e_rename(&k, "m/x", "m/y");
	cr_assert_eq(commit(&k), OK);
	grants.list[GRANT_ARTIFACTS].n = 0;
	e_write(&k, "m/x", 0, 0);
	cr_assert_eq(commit(&k), ERR_DENIED, "an empty list grants nothing");
	eff_close(&k);
}

static int check(struct buf *b)
{
	struct effects_walk walk = {.seq = buf_slice(b)};
	struct effect_view e;
	int r;

	while ((r = effects_walk(&walk, &e)) > 0)
		;
	buf_fini(b);
	return r;
}

static void head(struct buf *b, const char *name, uint32_t args)
{
	pack_array(b, args + 1);
	pack_cstr(b, name);
}

Test(effects, shapes)
{
	struct buf b = {0};

	head(&b, "kv.set", 2);
	pack_cstr(&b, "k");
	pack_cstr(&b, "v");
	cr_assert_eq(check(&b), ERR_FORMAT, "too few");
	head(&b, "kv.delete", 2);
	pack_cstr(&b, "k");
	pack_cstr(&b, "v");
	cr_assert_eq(check(&b), ERR_FORMAT, "too many");
	head(&b, "kv.delete", 1);
	pack_int(&b, 1);
	cr_assert_eq(check(&b), ERR_FORMAT, "type");
	head(&b, "kv.set", 3);
	pack_cstr(&b, "k");
	pack_cstr(&b, "v");
	pack_int(&b, -1);
	cr_assert_eq(check(&b), ERR_FORMAT, "ttl");
	head(&b, "artifact.delete", 1);
	pack_cstr(&b, "../x");
	cr_assert_eq(check(&b), ERR_FORMAT, "name");
	pack_map(&b, 0);
	cr_assert_eq(check(&b), ERR_FORMAT, "no array");
	pack_array(&b, 0);
	cr_assert_eq(check(&b), ERR_FORMAT, "no name");
	buf_add(&b, "\xdd\xff\xff\xff\xff", 5);
	cr_assert_eq(check(&b), ERR_FORMAT, "a length that lies");
	buf_add(&b, "\x92\xa9kv.delete\xda\xff", 13);
	cr_assert_eq(check(&b), ERR_FORMAT, "cut off");
}

static int check_data(struct buf *data)
{
	struct buf b = {0};

	head(&b, "bus.emit", 2);
	pack_cstr(&b, "e");
	pack_raw(&b, buf_slice(data));
	buf_fini(data);
	return check(&b);
}

/* Subscribers decode it with whatever library they have. */
Test(effects, data_of_events)
{
	struct buf d = {0};

	pack_nil(&d);
	cr_assert_eq(check_data(&d), OK);
	for (int i = 0; i < EFFECTS_DATA_DEPTH; i++)
		pack_array(&d, 1);
	pack_bin(&d, s("\xff"));
	cr_assert_eq(check_data(&d), OK);
	for (int i = 0; i <= EFFECTS_DATA_DEPTH; i++)
		pack_array(&d, 1);
	pack_nil(&d);
	cr_assert_eq(check_data(&d), ERR_FORMAT, "too deep");
	pack_str(&d, s("\xff"));
	cr_assert_eq(check_data(&d), ERR_FORMAT, "str that is no text");
	pack_ext(&d, 1, s("12345678"));
	cr_assert_eq(check_data(&d), ERR_FORMAT, "extension");
	pack_map(&d, 2);
	pack_cstr(&d, "a");
	pack_array(&d, 0);
	pack_map(&d, 0);
	pack_nil(&d);
	cr_assert_eq(check_data(&d), ERR_FORMAT, "a map as a key");
	pack_map(&d, 2);
	pack_cstr(&d, "a");
	pack_map(&d, 1);
	pack_int(&d, 1);
	pack_double(&d, 1.5);
	pack_bin(&d, s("b"));
	pack_bool(&d, true);
	cr_assert_eq(check_data(&d), OK);
}

Test(effects, bounds)
{
	struct store_options o = kind_options(0);
	char *big = calloc(1, PROTO_MAX_VALUE + 2);
	struct eff_room k;

	eff_open(&k, &o);
	for (int i = 0; i < PROTO_MAX_EFFECTS; i++)
		e_delete(&k, "k");
	cr_assert_eq(commit(&k), OK);
	for (int i = 0; i <= PROTO_MAX_EFFECTS; i++)
		e_delete(&k, "k");
	cr_assert_eq(commit(&k), ERR_FORMAT);
	memset(big, 'x', PROTO_MAX_VALUE + 1);
	e_set(&k, "k", big);
	cr_assert_eq(commit(&k), ERR_RANGE);
	big[PROTO_MAX_VALUE] = 0;
	e_set(&k, "k", big);
	cr_assert_eq(commit(&k), OK);
	for (int i = 0; i < 4; i++)
		e_set(&k, "k", big);
	cr_assert_eq(commit(&k), OK, "4 MiB and what they are packed in");
	for (int i = 0; i < 5; i++)
		e_set(&k, "k", big);
	cr_assert_eq(commit(&k), ERR_FORMAT, "5 MiB");
	big[PROTO_MAX_KEY + 1] = 0;
	e_delete(&k, big);
	cr_assert_eq(commit(&k), ERR_FORMAT);
	eff_close(&k);
	free(big);
}

/* A write that the store loses: no part of it may show, not even on the bus;
 * and the blob can be dropped. */
Test(effects, a_store_that_fails)
{
	struct store_options o = {.kind = STORE_MEM, .fail_write = 3};
	struct slice all = s("*");
	struct bus_filter f = {.names = &all, .n = 1};
	struct buf heard = {0};
	struct bus_sub *sub;
	struct eff_room k;
	uint64_t blob;

	eff_open(&k, &o);
	cr_assert_eq(bus_subscribe(k.ctx.bus, &f, on_event, &heard, &sub), OK);
	blob = blob_of(&k, "content"); /* the second write */
	e_set(&k, "a", "1");
	e_emit(&k, "x");
	e_write(&k, "f", blob, 7);
	cr_assert_eq(commit(&k), ERR_IO);
	cr_assert(holds(&k, "a", NULL));
	cr_assert_eq(size_of(&k, "f"), -1);
	cr_assert_eq(heard.n, 0);
	artifact_drop_owner(k.ctx.artifacts, 7);
	for (int i = 0; i < 2000 && artifact_loose(k.ctx.artifacts); i++) {
		uv_run(&k.r.loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
	cr_assert_eq(artifact_loose(k.ctx.artifacts), 0);
	eff_close(&k);
}

/* The owner goes while its effects are on their way. */
Test(effects, the_owner_goes_too_early)
{
	each_kind(o)
	{
		struct answer a = {0};
		struct eff_room k;

		eff_open(&k, &o);
		e_write(&k, "f", blob_of(&k, "content"), 7);
		cr_assert_eq(effects_apply(&k.ctx, &k.run, buf_slice(&k.seq),
					   on_status, &a),
			     OK);
		artifact_drop_owner(k.ctx.artifacts, 7);
		room_wait(&k.r, a.calls);
		cr_assert_eq(a.status, OK);
		cr_assert_eq(size_of(&k, "f"), 7);
		cr_assert_eq(artifact_loose(k.ctx.artifacts), 0);
		eff_close(&k);
	}
}

/* Closing with one under way: it is answered, and nothing is left over. */
Test(effects, closing)
{
	each_kind(o)
	{
		struct answer a = {0};
		struct eff_room k;

		eff_open(&k, &o);
		e_write(&k, "f", 0, 0);
		e_emit(&k, "x");
		cr_assert_eq(effects_apply(&k.ctx, &k.run, buf_slice(&k.seq),
					   on_status, &a),
			     OK);
		eff_close(&k);
		cr_assert_eq(a.calls, 1);
		cr_assert(a.status == OK || a.status == ERR_CLOSED);
	}
}
