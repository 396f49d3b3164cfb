/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane without a broker: its calls are answered by the host's functions,
 * its answers are read from the wire's buffer. The whole dialect is tested
 * through the socket in tests/integration/test_worker_wire.py.
 */
#include <criterion/criterion.h>

#include "proto/pack.h"
#include "proto/unpack.h"
#include "worker/lane.h"

static struct wire wire;
static struct script script;
static struct lane lane;
static unsigned waits;

/* Every call is answered with the text "answer", or refused with a code. */
static const char *refusal;

static void answer(struct lane *l)
{
	struct buf b = {0};
	struct rpc msg;

	if (refusal) {
		rpc_failure(&b, l->call_id);
		pack_map(&b, 2);
		pack_cstr(&b, "code");
		pack_cstr(&b, refusal);
		pack_cstr(&b, "message");
		pack_cstr(&b, "why");
		rpc_failure_end(&b);
	} else {
		rpc_result(&b, l->call_id);
		pack_cstr(&b, "answer");
	}
	cr_assert_eq(rpc_decode(buf_slice(&b), &msg), OK);
	lane_answer(l, &msg);
	buf_fini(&b);
}

static void on_wait(void *arg, struct lane *l)
{
	(void)arg;
	waits++;
	answer(l);
}

static void on_gone(void *arg)
{
	(void)arg;
	cr_assert(false, "nobody is gone");
}

static struct lane_host host = {
	.wire = &wire,
	.script = &script,
	.wait = on_wait,
	.gone = on_gone,
};

static void load(const char *source, bool may_yield)
{
	struct buf b = {0};

	pack_map(&b, 3);
	pack_cstr(&b, "script");
	pack_cstr(&b, "s");
	pack_cstr(&b, "concurrency");
	pack_uint(&b, may_yield ? 2 : 1);
	pack_cstr(&b, "files");
	pack_array(&b, 1);
	pack_cstr(&b, "close.lua");
	cr_assert_eq(script_init(&script, buf_slice(&b)), OK);
	buf_fini(&b);
	buf_add(&script.files[0].text, source, strlen(source));
	host.may_yield = may_yield;
	refusal = NULL;
	waits = 0;
	cr_assert_eq(lane_init(&lane, &host), OK);
	cr_assert_eq(lane_compile(&lane), OK);
}

static void unload(void)
{
	lane_fini(&lane);
	script_fini(&script);
	buf_fini(&wire.out);
}

static void begin(uint32_t id)
{
	struct buf event = {0}, b = {0};

	buf_clear(&wire.out);
	pack_map(&event, 2);
	pack_cstr(&event, "id");
	pack_cstr(&event, "an id");
	pack_cstr(&event, "req");
	pack_map(&event, 1);
	pack_cstr(&event, "path");
	pack_cstr(&event, "/path");
	pack_array(&b, 5);
	pack_uint(&b, HOOK_CLOSE);
	pack_bin(&b, buf_slice(&event));
	pack_nil(&b);
	pack_uint(&b, 0);
	pack_nil(&b);
	cr_assert_eq(lane_begin(&lane, id, buf_slice(&b)), OK);
	/* Whoever still looks at these bytes is caught by the sanitizer. */
	buf_fini(&b);
	buf_fini(&event);
}

/* What stands last on the wire: the answer of run `id`. */
static struct rpc result(uint32_t id)
{
	struct cursor c = cursor_of(buf_slice(&wire.out));
	struct slice raw = {0};
	struct rpc msg;

	while (c.p != c.end && !c.error)
		raw = cursor_raw(&c);
	cr_assert_not(c.error);
	cr_assert_eq(rpc_decode(raw, &msg), OK);
	cr_assert_eq(msg.type, RPC_RESPONSE);
	cr_assert_eq(msg.id, id);
	return msg;
}

static void ends_with_path(uint32_t id, const char *path)
{
	struct rpc msg = result(id);
	struct cursor c = cursor_of(msg.result), ops;
	struct op_view op;

	cr_assert_not(msg.failed);
	cr_assert_eq(lane.state, LANE_FREE);
	cr_assert_eq(cursor_array(&c), 4);
	ops = cursor_of(cursor_text(&c));
	cr_assert_eq(ops_next(&ops, &op), 1);
	cr_assert_eq(op.op, OP_REQ_SET_PATH);
	cr_assert(slice_is(op.a, path));
}

static void fails_with(uint32_t id, const char *code)
{
	struct rpc msg = result(id);
	struct slice raw;
	struct cursor c;

	cr_assert(msg.failed);
	cr_assert_eq(lane.state, LANE_FREE);
	cr_assert(map_find(msg.error, "code", &raw));
	c = cursor_of(raw);
	cr_assert(slice_is(cursor_text(&c), code));
}

Test(lane, runs_one_event_after_the_other)
{
	load("mut.req.set_path(ctx.req.path .. '!')", false);
	for (uint32_t i = 1; i < 100; i++) {
		begin(i);
		ends_with_path(i, "/path!");
	}
	cr_assert_eq(waits, 0);
	unload();
}

#define ASKS "local v = kv.get('k') mut.req.set_path(ctx.req.path .. v)"

Test(lane, with_one_lane_a_call_waits_in_place)
{
	load(ASKS, false);
	begin(1);
	ends_with_path(1, "/pathanswer");
	cr_assert_eq(waits, 1);
	unload();
}

Test(lane, with_others_it_yields_and_its_event_is_moved)
{
	load(ASKS, true);
	begin(1);
	cr_assert_eq(lane.state, LANE_WAITING);
	answer(&lane);
	cr_assert_eq(lane.state, LANE_READY);
	lane_go(&lane);
	ends_with_path(1, "/pathanswer");
	cr_assert_eq(waits, 0);
	unload();
}

Test(lane, where_it_cannot_yield_it_waits_in_place)
{
	load("local v = coroutine.wrap(function() return kv.get('k') end)() "
	     "v = v .. ('x'):gsub('x', function() return kv.get('k') end) "
	     "mut.req.set_path(ctx.req.path .. v)",
	     true);
	begin(1);
	ends_with_path(1, "/pathansweranswer");
	cr_assert_eq(waits, 2);
	unload();
}

Test(lane, a_refusal_is_the_script_s_to_see_but_for_timeout)
{
	load("local v, why = kv.get('k') mut.req.set_path(why)", false);
	refusal = "denied";
	begin(1);
	ends_with_path(1, "/denied: why");
	refusal = "timeout";
	begin(2);
	fails_with(2, "timeout");
	refusal = "storage";
	begin(3);
	ends_with_path(3, "/storage: why");
	unload();
}

Test(lane, an_error_leaves_a_lane_as_good_as_new)
{
	load("kv.set('a', 'b') mut.req.set_path('/x') "
	     "if kv.get('k') == nil then error('boom') end",
	     true);
	for (uint32_t i = 1; i < 20; i += 2) {
		refusal = "denied";
		begin(i);
		answer(&lane);
		lane_go(&lane);
		fails_with(i, "script_error");
		refusal = NULL;
		begin(i + 1);
		answer(&lane);
		lane_go(&lane);
		ends_with_path(i + 1, "/x");
	}
	unload();
}

Test(lane, parameters_without_sense)
{
	static const struct {
		const char *p;
		size_t n;
	} bad[] = {
		{"\xc0", 1},
		{"\x94\x07\xc4\x01\x80\xc0\x00", 7},
		{"\x95\x07\xc4\x01\x05\xc0\x00\xc0", 8},
		{"\x95\x06\xc4\x01\x80\xc0\x00\xc0", 8},
		{"\x95\x63\xc4\x01\x80\xc0\x00\xc0", 8},
		{"\x95\x07\xc4\x01\x80\xc4\x01\x05\x01\xc0", 10},
	};

	load("", false);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_lt(lane_begin(&lane, 1, slice_of(bad[i].p, bad[i].n)),
			     0);
	begin(2);
	cr_assert_not(result(2).failed);
	unload();
}
