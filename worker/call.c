/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call: how a C function of a script's API asks the broker (lane.h): the
 * request, the wait (a yield or in place), and what answers mean.
 */
#include "proto/pack.h"
#include "proto/unpack.h"
#include "worker/lane.h"

enum { KEEP = 64 << 10 };

struct buf *lane_call_begin(struct lane *l, const char *method,
			    uint32_t nparams)
{
	struct wire *w = l->host->wire;

	l->call_id = w->next_id++;
	rpc_request(&w->out, l->call_id, method, 1 + nparams);
	pack_uint(&w->out, l->run_id);
	return &w->out;
}

/* Before anything is read, the run's bytes leave the input buffer. */
static void move_run(struct lane *l)
{
	if (l->moved)
		return;
	buf_clear(&l->bytes);
	buf_add_slice(&l->bytes, l->run);
	must(!buf_error(&l->bytes));
	l->run = buf_slice(&l->bytes);
	l->moved = true;
	ctx_move(&l->ctx, l->run.p);
}

static int resumed(lua_State *L, int status, lua_KContext k)
{
	(void)status;
	return ((lane_k)k)(L, &lane_of(L)->answer);
}

const struct answer *lane_ask(lua_State *L)
{
	struct lane *l = lane_of(L);

	move_run(l);
	l->state = LANE_WAITING;
	l->host->wait(l->host->arg, l);
	l->state = LANE_RUNNING;
	return &l->answer;
}

int lane_call(lua_State *L, lane_k k)
{
	struct lane *l = lane_of(L);

	if (!l->host->may_yield || !vm_can_yield(L))
		return k(L, lane_ask(L));
	move_run(l);
	wire_mark(l->host->wire);
	l->state = LANE_WAITING;
	return lua_yieldk(L, 0, (lua_KContext)k, resumed);
}

void lane_answer(struct lane *l, const struct rpc *msg)
{
	struct buf *b = &l->answer_bytes;

	buf_reset(b, KEEP);
	buf_add_slice(b, msg->error);
	buf_add_slice(b, msg->result);
	must(!buf_error(b));
	l->answer.failed = msg->failed;
	l->answer.error = slice_of(b->p, msg->error.n);
	l->answer.result = slice_of(b->p + msg->error.n, msg->result.n);
	l->state = LANE_READY;
}

/* Push "code: message", with the code once. */
static enum code push_failure(lua_State *L, const struct answer *a)
{
	struct slice code = map_text(a->error, "code");
	struct slice message = map_text(a->error, "message");
	enum code c = code_parse(code);

	if (c == CODE_TIMEOUT)
		vm_timeout(L);
	luaL_checkstack(L, 4, NULL);
	if (slice_starts(message, code) && message.n) {
		lua_pushlstring(L, (const char *)message.p, message.n);
		return c;
	}
	lua_pushlstring(L, (const char *)code.p, code.n);
	lua_pushliteral(L, ": ");
	lua_pushlstring(L, (const char *)message.p, message.n);
	lua_concat(L, 3);
	return c;
}

bool lane_failed(lua_State *L, const struct answer *a, int fail)
{
	if (!a->failed)
		return false;
	if (fail == LUA_TNIL)
		lua_pushnil(L);
	else
		lua_pushboolean(L, 0);
	push_failure(L, a);
	return true;
}

void lane_check(lua_State *L, const struct answer *a)
{
	enum code code;

	if (!a->failed)
		return;
	code = push_failure(L, a);
	if (code == CODE_BODY_UNAVAILABLE)
		lane_of(L)->failed = code;
	luaL_where(L, 1);
	lua_insert(L, -2);
	lua_concat(L, 2);
	lua_error(L);
}

void lane_check_effect(lua_State *L, int code)
{
	if (code == ERR_FULL)
		luaL_error(L,
			   "too_large: the effects of one run are more than "
			   "%d or %d bytes",
			   (int)lane_of(L)->effects.max,
			   (int)lane_of(L)->effects.max_bytes);
	must(code == OK);
}

/* --- reading by ranges --- */

static int next_range(lua_State *L);

/* bin, or [bin, total] */
static bool take_range(struct fetch *f, const struct answer *a)
{
	struct cursor c = cursor_of(a->result);
	bool pair = cursor_peek(&c) == CURSOR_ARRAY;
	struct slice bytes;
	uint8_t *room;

	if (pair && cursor_array(&c) != 2)
		return false;
	bytes = cursor_text(&c);
	if (pair)
		f->total = cursor_uint(&c);
	if (c.error)
		return false;
	f->sized = true;
	/* At once for all of it: doubling would need twice the memory. */
	if (f->total > f->bytes.n && f->total <= f->max &&
	    buf_reserve(&f->bytes, f->total - f->bytes.n, &room) < 0)
		return false;
	buf_add_slice(&f->bytes, bytes);
	/* Nothing more, though more was promised: take what there is. */
	if (bytes.n == 0)
		f->total = f->bytes.n;
	return !buf_error(&f->bytes);
}

static int on_range(lua_State *L, const struct answer *a)
{
	struct fetch *f = &lane_of(L)->fetch;

	if (a->failed)
		return f->done(L, a);
	if (!take_range(f, a))
		return luaL_error(L, "%s: an answer without sense", f->method);
	if (f->bytes.n >= f->total)
		return f->done(L, a);
	if (f->total > f->max) {
		lua_pushnil(L);
		lua_pushfstring(L,
				"too_large: %I bytes, at most %I may be "
				"read (a quarter of the script's memory)",
				(LUAI_UACINT)f->total, (LUAI_UACINT)f->max);
		return 2;
	}
	return next_range(L);
}

static int next_range(lua_State *L)
{
	struct lane *l = lane_of(L);
	struct fetch *f = &l->fetch;
	uint64_t left = f->sized ? f->total - f->bytes.n : PROTO_RANGE;
	struct buf *b = lane_call_begin(l, f->method, 3);

	if (f->name.n)
		pack_text(b, f->name);
	else
		pack_uint(b, f->blob);
	pack_uint(b, f->bytes.n);
	pack_uint(b, left < PROTO_RANGE ? left : PROTO_RANGE);
	if (f->wait)
		return on_range(L, lane_ask(L));
	return lane_call(L, on_range);
}

int lane_fetch(lua_State *L, bool wait)
{
	struct fetch *f = &lane_of(L)->fetch;

	f->wait = wait;
	f->max = lane_of(L)->host->script->max_body;
	return next_range(L);
}
